"""A lease with two holders: whoever holds it may write; it runs out by itself, so that a dead holder blocks nobody.

    fate explore examples/universe/lease.py::main          finds two workers that both write
    fate explore examples/universe/lease.py::fixed         finds nothing

The worker counts its time from the moment at which the answer came. The server counts from the moment at which it
gave the lease away. A late answer is enough: the worker believes in a lease that somebody else has got meanwhile.
"""

import asyncio

PORT = 7002
LEASE = 0.1  # seconds


class Server:
    """Gives the lease to one at a time."""

    def __init__(self) -> None:
        self.until = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        try:
            while await reader.readline():
                free = loop.time() >= self.until
                if free:
                    self.until = loop.time() + LEASE
                writer.write(b"yours\n" if free else b"taken\n")
        finally:
            writer.close()


class Worker:
    """Wants the lease, and writes for a while when it has it."""

    writing = 0

    def __init__(self, careful: bool) -> None:
        self.careful = careful

    async def work(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        try:
            until = await self.get_lease(reader, writer)
            if asyncio.get_running_loop().time() < until:
                self.write(until)
                await asyncio.sleep(until - asyncio.get_running_loop().time())
        finally:
            writer.close()

    def write(self, until: float) -> None:
        loop = asyncio.get_running_loop()
        Worker.writing += 1
        loop.call_at(until - 0.001, self.stop)
        assert Worker.writing == 1, f"{Worker.writing} workers hold the lease"

    def stop(self) -> None:
        Worker.writing -= 1

    async def get_lease(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float:
        """Ask until it is ours; tell until when."""
        loop = asyncio.get_running_loop()
        while True:
            asked = loop.time()
            writer.write(b"lease?\n")
            answer = await reader.readline()
            if not answer:
                raise ConnectionError("the server has closed the connection")
            if answer == b"yours\n":
                return (asked if self.careful else loop.time()) + LEASE
            await asyncio.sleep(0.02)


async def two_workers(careful: bool) -> None:
    Worker.writing = 0
    async with await asyncio.start_server(Server().serve, "127.0.0.1", PORT):
        await asyncio.gather(Worker(careful).work(), Worker(careful).work())


async def main() -> None:
    await two_workers(careful=False)


async def fixed() -> None:
    await two_workers(careful=True)
