"""A monitor asks a server for its load every second, with each check in a TaskGroup, until the program ends it.

Each check says good-bye before it goes. In Python 3.12, a TaskGroup that is cancelled while one of its tasks fails
tells of the failure and forgets that it was cancelled (gh-116720): the monitor then goes on for ever.
"""

import asyncio
import contextlib


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while line := await reader.readline():
            await asyncio.sleep(0.2)
            writer.write(b"bye\n" if line == b"quit\n" else b"0.5\n")
    except ConnectionError:
        pass
    finally:
        writer.close()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> bytes:
    writer.write(line)
    answer = await reader.readline()
    if not answer:
        raise ConnectionError("the server has closed the connection")
    return answer


async def check(loads: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", 7000)
    try:
        loads.append(float(await ask(reader, writer, b"load?\n")))
    finally:
        try:
            await ask(reader, writer, b"quit\n")
        finally:
            writer.close()


async def monitor(loads: list[float]) -> None:
    while True:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(check(loads))
        except* OSError:
            pass  # try again
        await asyncio.sleep(1)


async def main() -> None:
    loads: list[float] = []
    async with await asyncio.start_server(serve, "127.0.0.1", 7000):
        monitoring = asyncio.create_task(monitor(loads))
        await asyncio.sleep(3)
        monitoring.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await monitoring
