"""Lost update: two clients of a little store each add one to the same number.

    fate explore examples/universe/lost_update.py::main          finds how one of the two gets lost
    fate explore examples/universe/lost_update.py::fixed         finds nothing

Each client reads the number, adds one and writes it back. One begins 50 ms after the other, so in practice it always
works. Until one message is late.
"""

import asyncio

PORT = 7001


class Store:
    def __init__(self) -> None:
        self.value = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                command, *words = line.decode().split()
                if command == "SET":
                    self.value = int(words[0])
                elif command == "ADD":
                    self.value += int(words[0])
                writer.write(f"{self.value}\n".encode())
        finally:
            writer.close()


class Client:
    async def __aenter__(self) -> "Client":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", PORT)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.writer.close()

    async def ask(self, line: str) -> int:
        self.writer.write(f"{line}\n".encode())
        answer = await self.reader.readline()
        if not answer:
            raise ConnectionError("the store has closed the connection")
        return int(answer)


async def add_one(delay: float) -> None:
    await asyncio.sleep(delay)
    async with Client() as client:
        value = await client.ask("GET")
        await client.ask(f"SET {value + 1}")


async def add_one_at_once(delay: float) -> None:
    await asyncio.sleep(delay)
    async with Client() as client:
        await client.ask("ADD 1")


async def both(add) -> None:
    store = Store()
    async with await asyncio.start_server(store.serve, "127.0.0.1", PORT):
        await asyncio.gather(add(0), add(0.05))
    assert store.value == 2, f"two clients added 1 each, and the number is {store.value}"


async def main() -> None:
    await both(add_one)


async def fixed() -> None:
    await both(add_one_at_once)
