"""The tavern, full: two hundred people on real connections, and each hears everything in the same order."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import fate

from .conftest import EXAMPLES, Outcome, Program, Start

PEOPLE = 200
LINES = 5


class Guest:
    """Somebody in the tavern."""

    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.name = name
        self.reader = reader
        self.writer = writer

    def say(self, *lines: str) -> None:
        self.writer.write("".join(f"{line}\n" for line in lines).encode())

    async def hear(self) -> str:
        """The next line; empty when the tavern has hung up."""
        return (await self.reader.readline()).decode().rstrip("\n")

    async def hear_until(self, line: str) -> list[str]:
        """All that is said up to `line`."""
        heard = [await self.hear()]
        while heard[-1] != line:
            assert heard[-1], f"{self.name} never heard {line!r}"
            heard.append(await self.hear())
        return heard

    async def hear_all(self) -> list[str]:
        """All that is said until the tavern hangs up."""
        heard = []
        while line := await self.hear():
            heard.append(line)
        return heard


class Tavern:
    """The chat server, in its own process."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.port = int(program.line("open at").rpartition(":")[2])

    @asynccontextmanager
    async def guest(self, name: str) -> AsyncIterator[Guest]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        guest = Guest(name, reader, writer)
        assert "your name" in await guest.hear()
        guest.say(name)
        try:
            yield guest
        finally:
            writer.close()

    def close(self) -> Outcome:
        return self.program.end(signal.SIGINT)


@pytest.fixture
def tavern(start: Start) -> Tavern:
    return Tavern(start(EXAMPLES / "chat.py", "--port", "0"))


def test_every_line_of_two_hundred_people_reaches_everyone_in_one_order(tavern: Tavern) -> None:
    everyone = [f"guest{number}" for number in range(PEOPLE)]
    arrived = asyncio.Barrier(PEOPLE)

    async def evening(name: str) -> list[str]:
        async with tavern.guest(name) as guest:
            await guest.hear_until(f"* {name} comes in")
            await arrived.wait()
            guest.say(*(str(number) for number in range(LINES)))
            heard: list[str] = []
            while len(heard) < PEOPLE * LINES:
                line = await guest.hear()
                assert line, f"{name} heard only {len(heard)} lines"
                if not line.startswith("*"):
                    heard.append(line)
            await arrived.wait()  # nobody leaves before all have heard all
            return heard

    async def all_evenings() -> list[list[str]]:
        return await asyncio.gather(*map(evening, everyone))

    evenings = fate.run(all_evenings())
    assert all(heard == evenings[0] for heard in evenings)
    for name in everyone:
        said = [line for line in evenings[0] if line.startswith(f"{name}: ")]
        assert said == [f"{name}: {number}" for number in range(LINES)]
    assert tavern.close().lines


def test_who_quit_and_names(tavern: Tavern) -> None:
    async def evening() -> None:
        async with tavern.guest("Alice") as alice, tavern.guest("Alice") as hatter:
            await alice.hear_until("* Alice comes in")
            assert await hatter.hear() == "There is a Alice here already. Another name?"
            hatter.say("Mad Hatter")
            assert "One word" in await hatter.hear()
            hatter.say("Hatter", "/who", "/dance", "", "No room!", "/quit")
            assert await hatter.hear_until("Hatter: No room!") == [
                "* Hatter comes in",
                "* here: Alice, Hatter",
                "* there are /who and /quit",
                "Hatter: No room!",
            ]
            assert await hatter.hear() == ""  # has been let out
            assert await alice.hear_until("* Hatter leaves") == [
                "* Hatter comes in",
                "Hatter: No room!",
                "* Hatter leaves",
            ]

    fate.run(evening())
    assert tavern.close().lines


def test_somebody_who_does_not_read_is_cut_off_and_the_others_hear_everything(tavern: Tavern) -> None:
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", tavern.port))
    deaf.sendall(b"Deaf\n")

    async def answer(guest: Guest) -> list[str]:
        """Ask who is here; all that is heard up to the answer."""
        guest.say("/who")
        heard = [await guest.hear()]
        while not heard[-1].startswith("* here:"):
            assert heard[-1], "the speaker was cut off"
            heard.append(await guest.hear())
        return heard

    async def evening() -> tuple[int, int]:
        said = heard = 0
        async with tavern.guest("Speaker") as speaker:
            while "Deaf" not in (await answer(speaker))[-1]:
                pass
            while "Deaf" in (lines := await answer(speaker))[-1]:  # until the tavern gives up on the one who is deaf
                heard += len([line for line in lines if line.startswith("Speaker:")])
                speaker.say(*["x" * 4000] * 100)
                said += 100
            return said, heard + len([line for line in lines if line.startswith("Speaker:")])

    with deaf:
        said, heard = fate.run(evening())
    assert said == heard > 0
    assert tavern.close().lines


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_the_tavern_closes_clean(tavern: Tavern, signal_number: int) -> None:
    async def evening() -> list[str]:
        async with tavern.guest("Alice") as alice, tavern.guest("Bob") as bob:
            await alice.hear_until("* Bob comes in")
            await bob.hear_until("* Bob comes in")
            tavern.program.process.send_signal(signal_number)
            assert await alice.hear_all() == ["* the tavern closes, good night"]
            return await bob.hear_all()

    assert fate.run(evening()) == ["* the tavern closes, good night"]
    assert tavern.program.end().lines == ["The tavern closes; 2 go home."]
