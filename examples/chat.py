"""A chat server for a tavern full of people: asyncio streams, on Fate.

    python examples/chat.py --port 7777        # Ctrl-C closes the tavern
    nc 127.0.0.1 7777                          # come in; say your name first; /who and /quit

Everyone gets every line in the same order. Somebody who does not read what the others say is shown the door before
the server's memory fills up. asyncio does the talking; a fuse that burns on Ctrl-C ends the evening.
"""

import argparse
import asyncio
import signal

import fate

UNREAD = 1_000_000  # bytes that may wait for one guest
LONGEST_LINE = 4096  # bytes


class Tavern:
    def __init__(self) -> None:
        self.guests: dict[str, asyncio.StreamWriter] = {}

    def tell(self, guest: asyncio.StreamWriter, text: str) -> None:
        """Give one guest a line. It is sent as fast as the guest reads; one who is far behind is cut off."""
        if guest.transport.get_write_buffer_size() > UNREAD:
            guest.transport.abort()
        elif not guest.is_closing():
            guest.write(f"{text}\n".encode())

    def tell_all(self, text: str) -> None:
        for guest in self.guests.values():
            self.tell(guest, text)

    async def hear(self, reader: asyncio.StreamReader) -> str | None:
        """The next line from a guest; None when there is no more."""
        try:
            line = await reader.readline()
        except (ConnectionError, ValueError):  # ValueError: a line that is too long
            return None
        return line.decode(errors="replace").strip() if line else None

    async def welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One guest, from the door and back to the door."""
        try:
            name = await self.ask_name(reader, writer)
            if name is not None:
                await self.seat(name, reader, writer)
        finally:
            writer.close()

    async def ask_name(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str | None:
        self.tell(writer, "Welcome to the tavern. What is your name?")
        while (name := await self.hear(reader)) is not None:
            if name in self.guests:
                self.tell(writer, f"There is a {name} here already. Another name?")
            elif not name.isidentifier() or len(name) > 20:
                self.tell(writer, "One word of up to 20 letters and digits, please. Your name?")
            else:
                return name
        return None

    async def seat(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.guests[name] = writer
        self.tell_all(f"* {name} comes in")
        try:
            await self.listen(name, reader, writer)
        finally:
            if self.guests.pop(name, None):  # the tavern has not closed meanwhile
                self.tell_all(f"* {name} leaves")

    async def listen(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (line := await self.hear(reader)) is not None and line != "/quit":
            if line == "/who":
                self.tell(writer, f"* here: {', '.join(sorted(self.guests))}")
            elif line.startswith("/"):
                self.tell(writer, "* there are /who and /quit")
            elif line:
                self.tell_all(f"{name}: {line}")

    async def close(self) -> int:
        """Say good night and see everyone off, within five seconds. Returns how many there were."""
        self.tell_all("* the tavern closes, good night")
        guests, self.guests = list(self.guests.values()), {}
        await asyncio.gather(*(self.see_off(guest) for guest in guests))
        return len(guests)

    async def see_off(self, guest: asyncio.StreamWriter) -> None:
        guest.close()  # what was said before is still sent
        try:
            async with asyncio.timeout(5):
                await guest.wait_closed()
        except (TimeoutError, ConnectionError):
            guest.transport.abort()


async def main(host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, fate.Fate)
    tavern = Tavern()
    server = await asyncio.start_server(tavern.welcome, host, port, limit=LONGEST_LINE, backlog=1000)
    print("The tavern is open at {}:{}".format(*server.sockets[0].getsockname()), flush=True)

    await (loop.get_fuse(signal=signal.SIGINT) | loop.get_fuse(signal=signal.SIGTERM))

    server.close()
    print(f"The tavern closes; {await tavern.close()} go home.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A chat server.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7777, help="0 for any free one")
    arguments = parser.parse_args()
    fate.run(main(arguments.host, arguments.port))
