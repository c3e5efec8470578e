"""What a row is given in its fresh process: a loop factory, clocks, cores, and how to settle down.

Micro rows count the CPU time of the thread (or of the process), never waiting. The garbage collector keeps
Python's defaults, because objects a loop makes for the collector to walk are part of its cost; before each
sample everything alive is collected and frozen, so that imports do not count. No row is defined here.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Clock = Callable[[], int]


def nothing() -> None:
    """The callback of the micro rows: a Python function, as programs pass them."""


@dataclass(frozen=True)
class Bench:
    """One loop to measure.

    ``scale`` shrinks counts and durations (``--quick``). ``core`` is where this process runs and
    ``load_core`` where a load generator should; ``None`` where the platform cannot pin or has one core.
    ``turns``: a descriptor for the load generator, on which it is told to ask (see ``load/echo.c``).
    """

    new_event_loop: Callable[[], AbstractEventLoop]
    module: str
    scale: float = 1.0
    core: int | None = None
    load_core: int | None = None
    turns: int | None = None

    def count(self, full: int) -> int:
        return max(1, int(full * self.scale))

    def time_plain(
        self,
        work: Callable[[int], object],
        operations: int,
        *,
        samples: int = 5,
        clock: Clock = time.thread_time_ns,
        fixed: bool = False,
    ) -> float:
        """Nanoseconds of CPU an operation, of ``work(operations)`` that needs no loop. See :meth:`time`."""
        count = operations if fixed else self.count(operations)
        samples = max(1, int(samples * self.scale)) if fixed else samples
        costs = []
        work(max(1, count // 10))
        for _ in range(samples):
            gc.collect()
            gc.freeze()
            begin = clock()
            work(count)
            costs.append((clock() - begin) / count)
        return statistics.median(costs)

    def time(
        self,
        work: Callable[[AbstractEventLoop, int], None],
        operations: int,
        *,
        samples: int = 5,
        clock: Clock = time.thread_time_ns,
        fixed: bool = False,
    ) -> float:
        """Nanoseconds of CPU an operation: the median of ``samples`` runs of ``work(loop, operations)``.

        One loop serves all samples, after a warm-up of a tenth. ``fixed``: the count makes the row what it is, so
        a smaller scale takes fewer samples instead.
        """
        loop = self.new_event_loop()
        try:
            return self.time_plain(
                lambda count: work(loop, count), operations, samples=samples, clock=clock, fixed=fixed
            )
        finally:
            loop.close()

    def time_coroutine(
        self, work: Callable[[AbstractEventLoop, int], Coroutine[Any, Any, None]], operations: int
    ) -> float:
        """As :meth:`time`, for work that is a coroutine."""
        return self.time(lambda loop, count: loop.run_until_complete(work(loop, count)), operations)


def pin(core: int | None) -> None:
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def take_precedence() -> None:
    """Ahead of the machine's other work, where that is allowed.

    With autogroups (Linux) a nice value counts only inside the session, so the session's group is raised too.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        if os.getsid(0) == os.getpid():  # a session of its own, not that of somebody's shell
            Path("/proc/self/autogroup").write_text("-20")


def two_cores() -> tuple[int | None, int | None]:
    """The core to measure on and the one for load generators, among those this process may use."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    first, *rest = sorted(os.sched_getaffinity(0))
    return first, rest[0] if rest else None


def run_until_readable(loop: AbstractEventLoop, descriptor: int) -> None:
    def stop() -> None:
        loop.remove_reader(descriptor)  # first, or a loop that calls this twice is left with a stop too many
        loop.stop()

    loop.add_reader(descriptor, stop)
    loop.run_forever()
