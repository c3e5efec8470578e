"""A ticket office with one seat left, and two customers who want it."""

import asyncio

PORT = 7000


class Office:
    def __init__(self):
        self.seats = 1

    async def serve(self, reader, writer):
        try:
            while line := await reader.readline():
                if line == b"book\n":
                    self.seats -= 1
                writer.write(b"%d\n" % self.seats)
        finally:
            writer.close()


async def customer(delay):
    await asyncio.sleep(delay)
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    try:
        writer.write(b"free?\n")
        if int(await reader.readline() or 0) > 0:
            writer.write(b"book\n")
            await reader.readline()
    finally:
        writer.close()


async def main():
    office = Office()
    async with await asyncio.start_server(office.serve, "127.0.0.1", PORT):
        await asyncio.gather(customer(0), customer(0.09))
    assert office.seats >= 0, "the last seat was sold twice"


if __name__ == "__main__":
    asyncio.run(main())
    print("sold once")
