"""Doubling: the CPU time of n, 2n, 4n... times an operation, and whether it grows faster than n.

A cost that is a + bn + cn^2 shows its square only where n is large enough, so the verdict is taken at the end: four
times the work may cost SEVEN times as much. Twice that is too much for what is linear and four times is where what is
square begins; between them lie n log n, which costs 4.8 times as much, and data that no longer fits into a cache.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.growth.registry import Operation
from fate import Fate

DOUBLINGS = 4
SEVEN = 7.0  # four times the work costs no more
SAMPLES = 3
AGAIN = 2  # what grows is measured again so many times: a busy machine makes one figure too large, not three
ENOUGH = 2e9  # nanoseconds: what takes longer is not doubled any more


@dataclass(frozen=True)
class Point:
    """``n`` operations took ``ns`` nanoseconds of CPU time."""

    n: int
    ns: float


@dataclass(frozen=True)
class Growth:
    """What an operation costs, for each n."""

    points: tuple[Point, ...]

    @property
    def last(self) -> Point:
        return self.points[-1]

    @property
    def ratio(self) -> float:
        """What four times the work costs, at the end."""
        return self.last.ns / self.points[-3].ns

    @property
    def a_doubling(self) -> float:
        return self.ratio**0.5

    @property
    def grows(self) -> bool:
        return self.ratio > SEVEN


def sample(operation: Operation, n: int, *, settled: bool = True) -> int:
    """Nanoseconds of CPU time of n operations, once, on a loop of their own.

    Everything alive is collected and frozen before, and nothing is collected meanwhile: a walk through all that an
    operation has made comes now and then, and would make one figure larger than the next. settled: False, to see only
    that it runs.
    """
    loop = Fate()
    try:
        work = operation.work(loop, n)
        next(work)
        if settled:
            gc.collect()
            gc.freeze()
        gc.disable()
        try:
            begin = time.process_time_ns()
            next(work)
            taken = time.process_time_ns() - begin
        finally:
            gc.enable()
            gc.unfreeze()
        for _ in work:
            pass
        del work
    finally:
        loop.close()
    return max(1, taken)


def doubled(most: int) -> Iterator[int]:
    for power in range(DOUBLINGS, -1, -1):
        yield most >> power


def measure_once(operation: Operation, most: int, samples: int) -> Growth:
    points: list[Point] = []
    for n in doubled(min(most, operation.most)):
        ns = statistics.median(sample(operation, n) for _ in range(samples))
        points.append(Point(n, ns))
        if ns > ENOUGH and len(points) >= 3:
            break
    return Growth(tuple(points))


def measure(operation: Operation, most: int, samples: int = SAMPLES) -> Growth:
    """Of several tries the one that grows least, if the first grows."""
    growth = measure_once(operation, most, samples)
    for _ in range(AGAIN):
        if not growth.grows:
            break
        growth = min(growth, measure_once(operation, most, samples), key=lambda growth: growth.ratio)
    return growth
