"""How much dearer more of the same is. For tests of what has to stay in proportion to the work."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

TIMES = 16
TOO_MUCH = 2.5 * TIMES  # what is square costs up to 256 times as much; a cache that is full adds to the rest
TRIES = 3


def cost(make: Callable[[int], Callable[[], object]], n: int) -> int:
    """Nanoseconds of CPU time of what `make(n)` has prepared."""
    work = make(n)
    gc.collect()
    gc.disable()
    try:
        begin = time.thread_time_ns()
        work()
        return max(1, time.thread_time_ns() - begin)
    finally:
        gc.enable()


def dearer(make: Callable[[int], Callable[[], object]], n: int) -> float:
    """How many times dearer TIMES as many operations are than n; of several tries the best, for others use the machine.

    make: prepares so many operations, and gives what does them.
    """
    best = float("inf")
    for _ in range(TRIES):
        few = min(cost(make, n) for _ in range(2))
        best = min(best, cost(make, TIMES * n) / few)
        if best <= TOO_MUCH:
            break
    return best


def in_proportion(make: Callable[[int], Callable[[], object]], n: int) -> bool:
    """Whether TIMES as many operations cost about so many times as much."""
    return dearer(make, n) <= TOO_MUCH
