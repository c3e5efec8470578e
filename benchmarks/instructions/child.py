"""Every row once, in one interpreter, under callgrind: ``python -m benchmarks.instructions.child ROW ...``.

Prints, as JSON a line, ``[row, operations]`` as it ends each; the counts are in callgrind's own files.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import sys
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import rows
from benchmarks.bench import Bench, Clock
from benchmarks.instructions.echoes import ECHOES, Client
from benchmarks.load import counted

FACTORY = "fate:new_event_loop"
SAMPLES = 5  # the least counts: how often a loop looks at the world also depends on the time
SCALE = 0.02  # callgrind is some fifty times as slow as the processor


class Counter:
    """Callgrind, told what to count."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL(str(counted()))

    def count(self, row: str, work: Callable[[], object], operations: int) -> None:
        for _ in range(SAMPLES):
            gc.collect()
            gc.freeze()
            self.library.begin()
            work()
            self.library.end(row.encode())
        print(json.dumps([row, operations]), flush=True)


@dataclass(frozen=True)
class Counted(Bench):
    """A `Bench` that counts in place of taking the time."""

    counter: Counter | None = None
    row: str = ""

    def time_plain(
        self,
        work: Callable[[int], object],
        operations: int,
        *,
        samples: int = 5,
        clock: Clock = time.thread_time_ns,
        fixed: bool = False,
    ) -> float:
        count = max(2000, self.count(operations))
        work(count // 2)  # what is made once is there
        assert self.counter is not None
        self.counter.count(self.row, lambda: work(count), count)
        return 1.0


def main(names: list[str]) -> None:
    counter = Counter()
    module, _, attribute = FACTORY.partition(":")
    factory: Callable[[], AbstractEventLoop] = getattr(importlib.import_module(module), attribute)
    for name in names:
        if name in ECHOES:
            ECHOES[name](factory, Client(counter.library), lambda work, n, name=name: counter.count(name, work, n))
        else:
            rows.ROWS[name].measure(Counted(factory, module, SCALE, counter=counter, row=name))


if __name__ == "__main__":
    main(sys.argv[1:])
