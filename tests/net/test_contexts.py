"""In which context each of a connection's callbacks runs: in the same as with asyncio's own loop, on each Python.

Since Python 3.15 all of one connection run in one, and each client's is a copy of the server's.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Any

import pytest
import trustme
from support import DEADLINE

from fate import Fate

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="")
LOOPS: list[Callable[[], Any]] = [asyncio.SelectorEventLoop, Fate]
AUTHORITY = trustme.CA()


def contexts(side: str) -> Any:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH if side == "server" else ssl.Purpose.SERVER_AUTH)
    AUTHORITY.issue_cert("localhost").configure_cert(context)
    AUTHORITY.configure_trust(context)
    return context


class Noted(asyncio.Protocol):
    """Notes in `seen` what the variable says in each callback, and adds that callback's name to it."""

    def __init__(self, seen: list[tuple[str, str]], ended: asyncio.Event) -> None:
        self.seen = seen
        self.ended = ended
        self.note("made")

    def note(self, name: str) -> None:
        self.seen.append((name, VARIABLE.get()))
        VARIABLE.set(VARIABLE.get() + name[0])

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.note("connected")
        asyncio.get_running_loop().call_soon(self.note, "soon")

    def data_received(self, data: bytes) -> None:
        self.note("data")
        if data == b"pause":
            self.transport.pause_reading()
            VARIABLE.set(VARIABLE.get() + "p")
            asyncio.get_running_loop().call_soon(self.transport.resume_reading)
        if data == b"much":
            self.transport.set_write_buffer_limits(1)
            self.transport.write(bytes(8_000_000))
        self.transport.write(b".")

    def pause_writing(self) -> None:
        self.note("full")

    def resume_writing(self) -> None:
        self.note("room")

    def eof_received(self) -> None:
        self.note("eof")

    def connection_lost(self, error: Exception | None) -> None:
        self.note("lost")
        self.ended.set()


def run(make_loop: Callable[[], Any], main: Callable[[], Any]) -> Any:
    with asyncio.Runner(loop_factory=make_loop) as runner:
        return runner.run(asyncio.wait_for(main(), DEADLINE))


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_of_those_whom_a_server_serves(secure: bool) -> None:
    async def main() -> list[tuple[str, str]]:
        loop = asyncio.get_running_loop()
        seen: list[tuple[str, str]] = []
        VARIABLE.set("server ")
        options: Any = {"ssl": contexts("server")} if secure else {}
        ended = asyncio.Event()
        server = await loop.create_server(lambda: Noted(seen, ended), "127.0.0.1", 0, **options)
        VARIABLE.set("client ")
        options = {"ssl": contexts("client"), "server_hostname": "localhost"} if secure else {}
        for _ in range(2):
            ended.clear()
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), **options)
            for data in (b"first", b"pause", b"second"):
                writer.write(data)
                assert await reader.readexactly(1) == b"."
            writer.write(b"much")
            await reader.readexactly(8_000_001)
            writer.close()
            await ended.wait()
        server.close()
        await server.wait_closed()
        return seen

    theirs, ours = (run(make_loop, main) for make_loop in LOOPS)
    assert set(ours) == set(theirs)  # TLS may come in other pieces


@pytest.mark.parametrize("how", ["close", "abort", "end"])
def test_of_who_connects(how: str) -> None:
    async def main() -> list[tuple[str, str]]:
        loop = asyncio.get_running_loop()
        seen: list[tuple[str, str]] = []
        ended = asyncio.Event()
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        VARIABLE.set("client ")
        transport, _ = await loop.create_connection(lambda: Noted(seen, ended), sock=near)
        VARIABLE.set("later ")
        for data in (b"first", b"pause", b"second"):
            await loop.sock_sendall(far, data)
            assert await loop.sock_recv(far, 1) == b"."
        if how == "end":
            far.close()
        else:
            getattr(transport, how)()
        await ended.wait()
        far.close()
        return seen

    theirs, ours = (run(make_loop, main) for make_loop in LOOPS)
    assert ours == theirs


def test_of_a_reader_and_a_writer_that_asyncio_has_run_in_a_given_one(loop: Fate) -> None:
    seen: list[str] = []
    near, far = socket.socketpair()
    with near, far:
        context = copy_context()
        context.run(VARIABLE.set, "given")
        for add, remove in ((loop._add_reader, loop._remove_reader), (loop._add_writer, loop._remove_writer)):

            def called(remove: Any = remove) -> None:
                seen.append(VARIABLE.get())
                remove(near)
                if len(seen) == 2:
                    loop.stop()

            add(near, called, context=context)
        far.send(b".")
        loop.run_forever()
    assert seen == ["given", "given"]
