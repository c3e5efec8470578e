"""Child processes: what it takes to start one and to hear that it has ended, in milliseconds of wall time; and pipes.

The parent has some memory of its own, as programs have: who copies its page tables for a child pays for that.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable

from benchmarks.bench import Bench
from benchmarks.registry import AsCheapAsAny, Group, Times, Unavailable, row

PROGRAM = "/bin/true"
MEMORY = 64 << 20
MESSAGE = b"1" * 1024


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


class Pong(asyncio.Protocol):
    """Writes the next message when one has been read, so many times."""

    def __init__(self, count: int, done: asyncio.Future[None]) -> None:
        self.left = count
        self.done = done

    def data_received(self, data: bytes) -> None:
        self.left -= 1
        if self.left:
            self.write(MESSAGE)
        else:
            self.done.set_result(None)

    def begin(self, write: Callable[[bytes], object]) -> None:
        self.write = write
        write(MESSAGE)


@row("a pipe: 1 KiB written and read", "ns", Group.MICRO, Times(1.05), AsCheapAsAny())
def pipe(bench: Bench) -> float:
    async def work(loop: AbstractEventLoop, count: int) -> None:
        read, write = os.pipe()
        done = loop.create_future()
        source, pong = await loop.connect_read_pipe(lambda: Pong(count, done), os.fdopen(read, "rb", 0))
        sink, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(write, "wb", 0))
        pong.begin(sink.write)
        await done
        sink.close()
        source.close()
        await asyncio.sleep(0)

    return bench.time_coroutine(work, 20_000)
