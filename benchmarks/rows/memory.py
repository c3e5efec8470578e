"""What a pending timer holds, and what stays when all are cancelled, in bytes.

Counted from outside, so that an object, a C allocation and an arena weigh the same: the process's anonymous
memory (``/proc/self/smaps_rollup``) after ``malloc_trim``, before and after, divided by 200,000 timers. One callback
serves all; the list that holds the handles exists before, so it is nobody's cost.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import re
from collections.abc import Callable
from pathlib import Path

from benchmarks.bench import Bench, nothing
from benchmarks.registry import AtMost, Group, Measured, Unavailable, row

TIMERS = 200_000
ROLLUP = Path("/proc/self/smaps_rollup")


@row("bytes a pending timer", "bytes", Group.MEMORY, AtMost(200), resolution=8)
def timer_bytes(bench: Bench) -> Measured:
    pending, left = timer_memory(bench)
    return Measured(pending, {"left": left})


@row(
    "bytes left a timer after cancel",
    "bytes",
    Group.MEMORY,
    AtMost(0),
    relative=False,
    resolution=2,
    variables={"PYTHONMALLOC": "malloc"},
)
def timer_bytes_left(bench: Bench) -> Measured:
    """With C's malloc under Python: Python's own keeps some 3 MB of free pools here, which are no loop's."""
    pending, left = timer_memory(bench)
    return Measured(left, {"pending": pending})


def timer_memory(bench: Bench) -> tuple[float, float]:
    """Bytes a timer while all are pending, and after all were cancelled and dropped."""
    in_use = memory_gauge()
    loop = bench.new_event_loop()
    handles: list[asyncio.TimerHandle | None] = [None] * TIMERS

    async def schedule(count: int) -> None:
        for index in range(count):
            handles[index] = loop.call_later(3600 + index % 997, nothing)

    async def cancel(count: int) -> None:
        for index in range(count):
            handle, handles[index] = handles[index], None
            assert handle is not None
            handle.cancel()

    async def settle() -> None:
        for _ in range(3):
            await asyncio.sleep(0.001)
        gc.collect()

    def run(count: int) -> tuple[int, int]:
        loop.run_until_complete(schedule(count))
        pending = in_use()
        loop.run_until_complete(cancel(count))
        loop.run_until_complete(settle())
        return pending, in_use()

    try:
        run(100)  # whatever a first timer brings along
        before = in_use()
        pending, left = run(TIMERS)
    finally:
        loop.close()
    return (pending - before) / TIMERS, (left - before) / TIMERS


def memory_gauge() -> Callable[[], int]:
    """A function that says how many anonymous bytes the process holds, after giving back what malloc can."""
    if not ROLLUP.exists():
        raise Unavailable(f"needs {ROLLUP} (Linux)")
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)

    def in_use() -> int:
        if trim is not None:
            trim(0)
        found = re.search(r"^Anonymous:\s+(\d+) kB$", ROLLUP.read_text(), re.MULTILINE)
        if found is None:
            raise Unavailable(f"{ROLLUP} does not count anonymous memory")
        return int(found[1]) * 1024

    return in_use
