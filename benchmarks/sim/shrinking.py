"""How long it takes to shrink a failing run of 1,000 faults, one of which matters.

    python benchmarks/sim/shrinking.py

A client and a server exchange a line a time over simulated TCP; each of 1,000 messages comes late, by as much as its
number says, and the program fails if the one that matters is late by a millisecond.
"""

from __future__ import annotations

import asyncio
import time

import fate
from fate.sim.explore import shrink
from fate.sim.faults import describe
from fate.sim.programs import Held
from fate.sim.trial import Rules, Trial, run

FAULTS = 1000
MATTERS = 371
FIRST = 2  # the two messages before are the connection's


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back each line."""
    while line := await reader.readline():
        writer.write(line)
    writer.close()


async def ask() -> None:
    """Half as many lines as messages, one of which must not come late."""
    loop = asyncio.get_running_loop()
    async with await asyncio.start_server(serve, "127.0.0.1", 7):
        reader, writer = await asyncio.open_connection("127.0.0.1", 7)
        in_time = True
        for number in range(FAULTS // 2):
            before = loop.time()
            writer.write(b"hello\n")
            await reader.readline()
            if number == MATTERS:
                in_time = loop.time() - before < 0.001
        writer.close()
        assert in_time, "the one that matters came late"


def main() -> None:
    """Print how long it took."""
    runs = 0

    async def program() -> None:
        nonlocal runs
        runs += 1
        await ask()

    held, rules = Held("ask", program), Rules.make("latency")
    forced = tuple(("latency main->main", n, 11 + n % 900) for n in range(FIRST, FIRST + FAULTS))
    found = run(held, rules, Trial(forced=forced))
    began, runs = time.perf_counter(), 0
    least = shrink(held, rules, found)
    seconds = time.perf_counter() - began
    assert least is not None
    [fault] = least.faults()
    print("compiled" if fate.compiled else "not compiled")
    print(f"{len(found.faults())} faults shrunk to 1 in {seconds:.2f} s, {runs} runs: {describe(fault)}")


if __name__ == "__main__":
    main()
