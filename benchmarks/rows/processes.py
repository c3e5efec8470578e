"""Child processes: what it takes to start one and to hear that it has ended, in milliseconds of wall time.

The parent has some memory of its own, as programs have: who copies its page tables for a child pays for that.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time

from benchmarks.bench import Bench
from benchmarks.registry import AsCheapAsAny, Group, Times, Unavailable, row

PROGRAM = "/bin/true"
MEMORY = 64 << 20


@row("subprocess: spawn and wait", "ms", Group.START, Times(5), AsCheapAsAny())
def subprocess_spawn(bench: Bench) -> float:
    if not os.path.exists(PROGRAM):
        raise Unavailable(f"no {PROGRAM}")
    ballast = b"1" * MEMORY

    async def spawn(count: int) -> list[int]:
        times = []
        for _ in range(count):
            begin = time.perf_counter_ns()
            process = await asyncio.create_subprocess_exec(PROGRAM)
            await process.wait()
            times.append(time.perf_counter_ns() - begin)
        return times

    loop = bench.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(spawn(3))
    times = loop.run_until_complete(spawn(bench.count(200)))
    del ballast
    return statistics.median(times) / 1e6
