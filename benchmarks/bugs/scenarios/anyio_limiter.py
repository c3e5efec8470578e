"""Two workers that may use one printer between them: a CapacityLimiter lets one at a time.

anyio 4.13.0 gives a token that it has promised to a waiting worker to the next who asks, so both print (issue 1170).
"""

import asyncio

from anyio import CapacityLimiter


class Printer:
    def __init__(self) -> None:
        self.limiter = CapacityLimiter(1)
        self.printing = 0

    async def print(self, page: str) -> None:
        async with self.limiter:
            self.printing += 1
            try:
                assert self.printing == 1, f"{self.printing} pages at once, one of them {page!r}"
                await asyncio.sleep(0.01)
            finally:
                self.printing -= 1


async def work(printer: Printer, name: str) -> None:
    for number in range(3):
        await printer.print(f"{name}, page {number + 1}")


async def main() -> None:
    printer = Printer()
    await asyncio.gather(work(printer, "report"), work(printer, "letter"))
