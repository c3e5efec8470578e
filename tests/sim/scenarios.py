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


async def overtaken() -> None:
    """Fails when callbacks do not run in the order in which they were given to call_soon."""
    loop, order = asyncio.get_running_loop(), []  # type: ignore[var-annotated]
    for number in range(3):
        loop.call_soon(order.append, number)
    await asyncio.sleep(0)
    assert order == [0, 1, 2], f"the order was {order}"


async def restless() -> None:
    """Goes on for ever when a message is late."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 7) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", 7)
        began = server.get_loop().time()
        writer.write(b"hello\n")
        await reader.readline()
        writer.close()
        while server.get_loop().time() - began > 0.02:
            await asyncio.sleep(0.001)


async def good_bye() -> None:
    """Says something and closes the connection; whether that arrives it does not wait for."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 7):
        _, writer = await asyncio.open_connection("127.0.0.1", 7)
        writer.write(b"hello\n")
        writer.close()
