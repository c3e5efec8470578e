"""Three tasks write into one file by turns: whoever has the lock writes.

Any of them may be cancelled. One that anyio 3.4.0 cancels as it gets the lock keeps it, though it is gone: the
others wait for ever (issue 398).
"""

import asyncio

from anyio import Lock


async def write(lock: Lock, lines: list[str], line: str) -> None:
    async with lock:
        await asyncio.sleep(0.01)
        lines.append(line)


async def main() -> None:
    lock, lines = Lock(), []
    await asyncio.gather(*(write(lock, lines, line) for line in ("one", "two", "three")), return_exceptions=True)
