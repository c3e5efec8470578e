"""What a program pays before its first line: the import, in milliseconds of wall time with warm caches."""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.bench import Bench
from benchmarks.registry import AtMost, Group, Unavailable, row

PROGRAM = """
import asyncio, time
begin = time.perf_counter_ns()
import {module}
print(time.perf_counter_ns() - begin)
"""


@row("import, beyond importing asyncio", "ms", Group.START, AtMost(60), relative=False, resolution=3)
def import_time(bench: Bench) -> float:
    """The median of interpreters of their own, so that nothing else has been imported; the first warms the caches."""
    if bench.module == "asyncio":
        raise Unavailable("is asyncio")
    command = [sys.executable, "-I", "-c", PROGRAM.format(module=bench.module)]
    times = [int(subprocess.check_output(command)) for _ in range(1 + bench.count(7))]
    return statistics.median(times[1:]) / 1e6
