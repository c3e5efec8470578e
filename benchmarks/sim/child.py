"""One measurement in a process of its own: ``python -m benchmarks.sim.child SIMULATOR ROW SIZE``; prints JSON.

The time is the process's own CPU time, so that neighbours on the machine do not count.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

from benchmarks.sim import programs
from benchmarks.sim.simulators import SIMULATORS, Simulator

ENOUGH = 0.3
"""Seconds of CPU time that a measurement takes at least."""
cpu = time.process_time


def rate(work: Callable[[], object], count: int) -> float:
    """How many of `count` things a second `work` does; once before, to be warm."""
    work()
    times = 0
    began = cpu()
    while (took := cpu() - began) < ENOUGH:
        work()
        times += 1
    return times * count / took


def measure(simulator: Simulator, row: str, size: int) -> object:
    """The figure of a row, or for "histories" what the program saw, by name."""
    if row == "ping-pong":
        return rate(lambda: simulator.ping_pong(size), 2 * size)
    if row == "sleeps":
        return rate(lambda: simulator.run(lambda: programs.sleeps(size)), size)
    if row == "tiny":
        return rate(lambda: simulator.sweep(programs.tiny, size), size)
    assert row == "histories", row
    return simulator.run(programs.chance)


if __name__ == "__main__":
    chosen = SIMULATORS[sys.argv[1]]
    if sys.argv[2] == "histories":
        chosen.settle()
    print(json.dumps(measure(chosen, sys.argv[2], int(sys.argv[3]))))
