"""A cancelled command leaves its reply: the next caller on the same connection gets an answer that is not its own.

    fate explore examples/universe/cancelled_command.py::main          finds a reader who gets another's value
    fate explore examples/universe/cancelled_command.py::fixed         finds nothing

redis-py had this one (issue 2665). The client shares one connection. Whoever is cancelled between the request and the
reply goes away, and the reply stays in the connection. The fix gives such a connection up.
"""

import asyncio
import contextlib

PORT = 7004
VALUES = {"alice": "apples", "bob": "bananas"}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while line := await reader.readline():
            await asyncio.sleep(0.01)
            writer.write(VALUES[line.decode().split()[1]].encode() + b"\n")
    finally:
        writer.close()


class Client:
    """One connection for all."""

    def __init__(self, careful: bool) -> None:
        self.careful = careful
        self.lock = asyncio.Lock()
        self.writer: asyncio.StreamWriter | None = None

    async def get(self, key: str) -> str:
        async with self.lock:
            if self.writer is None:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", PORT)
            self.writer.write(f"GET {key}\n".encode())
            try:
                reply = await self.reader.readline()
            except BaseException:
                if self.careful:
                    self.close()
                raise
            if not reply:
                raise ConnectionError("the server has closed the connection")
            return reply.decode().strip()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None


async def ask(client: Client, key: str) -> None:
    value = await client.get(key)
    assert value == VALUES[key], f"{key} got {value}"


async def two_readers(careful: bool) -> None:
    client = Client(careful)
    async with await asyncio.start_server(serve, "127.0.0.1", PORT):
        alice = asyncio.create_task(ask(client, "alice"))
        with contextlib.suppress(asyncio.CancelledError):
            await alice
        try:
            await ask(client, "bob")
        finally:
            client.close()


async def main() -> None:
    await two_readers(careful=False)


async def fixed() -> None:
    await two_readers(careful=True)
