"""Where a profiler sees the time go that a loop waits: in a call of its own, not in the loop's."""

from __future__ import annotations

import pstats
import subprocess
import sys
from pathlib import Path

import pytest
from support import DEADLINE

WAITS = 0.2  # seconds

WHOLE = f"""
import asyncio, fate
async def main():
    for _ in range(4):
        await asyncio.sleep({WAITS / 4})
fate.run(main())
"""

# A profiler that comes when the loop has run for a while, waiting for bytes.
LATE = f"""
import asyncio, cProfile, fate, sys

async def echo(reader, writer):
    while line := await reader.readline():
        writer.write(line)
    writer.close()

async def main():
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for _ in range(50):
            writer.write(b"again\\n")
            await reader.readline()
        with cProfile.Profile() as profile:
            for _ in range(4):
                await asyncio.sleep({WAITS / 4})
        writer.close()
        await writer.wait_closed()
    profile.dump_stats(sys.argv[1])

fate.run(main())
"""


@pytest.mark.parametrize("way", ["python", "fate run", "late"])
def test_a_profiler_sees_the_wait_as_a_call(tmp_path: Path, way: str) -> None:
    source, stats = tmp_path / "program.py", tmp_path / "stats"
    source.write_text(LATE if way == "late" else WHOLE)
    words = {
        "python": ["-m", "cProfile", "-o", str(stats), str(source)],
        "fate run": ["-m", "fate", "run", "-m", "cProfile", "-o", str(stats), str(source)],
        "late": [str(source), str(stats)],
    }[way]
    subprocess.run(
        [sys.executable, *words],
        check=True,
        timeout=DEADLINE,
    )
    own = {name: row[2] for (_, _, name), row in pstats.Stats(str(stats)).stats.items()}  # type: ignore[attr-defined]
    waits = [seconds for name, seconds in own.items() if "poll" in name and "object" in name]
    assert sum(waits) > 0.7 * WAITS  # one that comes late may miss the first
    assert max((seconds for name, seconds in own.items() if "turn" in name), default=0.0) < WAITS / 2
