"""Programs that are explored by the tests; some of them fail."""

from __future__ import annotations

import asyncio
import random

from fate import sim

runs = 0


async def good() -> None:
    await asyncio.sleep(1)


async def late() -> None:
    """Fails when the message is 20 ms late or more."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(await reader.readline())
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 7) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", 7)
        began = server.get_loop().time()
        writer.write(b"hello\n")
        await reader.readline()
        writer.close()
        assert server.get_loop().time() - began < 0.02, "too late"


async def always_bad() -> None:
    print("noise")
    await asyncio.sleep(2)
    raise LookupError("gone")


async def by_seed() -> None:
    """Fails in about every tenth universe, without a fault."""
    await asyncio.sleep(random.random())
    assert random.random() > 0.1, "bad luck"


async def once() -> None:
    """Fails in its third run only: it depends on what is not of the universe."""
    global runs
    runs += 1
    assert runs != 3, "not of the universe"


async def drifting() -> None:
    """No two of its runs are the same."""
    global runs
    runs += 1
    await asyncio.sleep(runs)


async def forgetful() -> None:
    task = asyncio.create_task(asyncio.sleep(1000), name="forgotten")
    await asyncio.sleep(0)
    assert not task.done()


async def stuck() -> None:
    await asyncio.Event().wait()


async def hosts() -> None:
    """Another host fails."""

    async def other() -> None:
        await asyncio.sleep(1)
        raise LookupError("elsewhere")

    sim.current().host("db", other)
    await asyncio.sleep(5)


def not_async() -> None:
    pass


number = 7
