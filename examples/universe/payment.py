"""A retry that doubles a payment: the shop asks the bank again when the answer does not come in time.

    fate explore examples/universe/payment.py::main          finds a customer who pays twice
    fate explore examples/universe/payment.py::fixed         finds nothing

The first request was not lost, only its answer was late. The fix gives each payment a number of its own, which the
second request repeats, so the bank can tell that it has it already.
"""

import asyncio

PORT = 7003
PATIENCE = 0.03  # seconds


class Bank:
    def __init__(self) -> None:
        self.balance = 100
        self.done: set[str] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                _, amount, number = line.decode().split()
                if number == "-" or number not in self.done:
                    self.done.add(number)
                    self.balance -= int(amount)
                writer.write(b"paid\n")
        finally:
            writer.close()


async def pay(amount: int, number: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    try:
        writer.write(f"PAY {amount} {number}\n".encode())
        async with asyncio.timeout(PATIENCE):
            if await reader.readline() != b"paid\n":
                raise ConnectionError("the bank has closed the connection")
    finally:
        writer.close()


async def buy(number: str) -> None:
    for _ in range(3):
        try:
            return await pay(10, number)
        except (TimeoutError, ConnectionError):
            continue
    raise ConnectionError("the bank does not answer")


async def shop(number: str) -> None:
    bank = Bank()
    async with await asyncio.start_server(bank.serve, "127.0.0.1", PORT):
        await buy(number)
    assert bank.balance >= 90, f"the customer bought for 10 and paid {100 - bank.balance}"


async def main() -> None:
    await shop("-")


async def fixed() -> None:
    await shop("order-1")
