"""Datagram transports against asyncio's own: the same script on both gives the same bytes and the same callbacks.

Both run on real sockets. A script is a list of steps; after each, both sides are given turns until nothing happens any
more. What may differ by the kernel's choice (ports, how much fits into a socket's buffer) is left out of the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import tempfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import examples, turns

from fate import Fate

QUIET = 6  # turns; asyncio takes one datagram in each, Fate up to sixteen
MOST = 6  # datagrams between two steps

sizes = st.sampled_from([0, 1, 2, 100, 1024, 9000, 65000])
steps = st.one_of(
    st.tuples(st.just("receive"), st.lists(sizes, min_size=1, max_size=MOST)),
    st.tuples(st.just("send"), sizes, st.sampled_from(["bytes", "bytearray", "memoryview"]), st.booleans()),
    st.tuples(st.just("send too much")),
    st.tuples(st.just("send nonsense"), st.sampled_from(["text", "elsewhere", "nobody"])),
    st.tuples(st.sampled_from(["pause", "resume", "close", "abort", "protocol", "limits", "size"])),
    st.tuples(st.just("react"), st.sampled_from(["nothing", "raise", "pause", "close", "abort", "echo", "protocol"])),
    st.tuples(st.just("lose peer")),
)
scripts = st.lists(steps, max_size=12)
kinds = st.sampled_from(["udp", "udp connected", "udp6", "unix", "unix connected"])


class Recorder(asyncio.DatagramProtocol):
    """Logs what it is told, and reacts once to a datagram as it was asked to."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.world = world

    def note(self, *what: Any) -> None:
        self.world.log.append((self.name, *what))

    def connection_made(self, transport: Any) -> None:
        self.world.transport = transport
        self.note("made")

    def connection_lost(self, exc: Exception | None) -> None:
        self.note("lost", type(exc))

    def error_received(self, exc: Exception) -> None:
        self.note("error", type(exc), getattr(exc, "errno", None))

    def pause_writing(self) -> None:
        self.note("pause")

    def resume_writing(self) -> None:
        self.note("resume")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.note("got", data, self.world.whose(addr))
        self.world.react(data, addr)


class World:
    """One loop, one transport, its peer, and what happened."""

    def __init__(self, loop: Any, kind: str, folder: str) -> None:
        self.loop = loop
        self.log: list[Any] = []
        self.reaction = "nothing"
        self.transport: Any = None
        self.names = (f"protocol {number}" for number in itertools.count())
        self.count = 0
        loop.set_exception_handler(
            lambda loop, context: self.log.append(
                ("report", type(context.get("exception")), str(context.get("exception")))
            )
        )
        family = {"udp": socket.AF_INET, "udp6": socket.AF_INET6, "unix": socket.AF_UNIX}[kind.split()[0]]
        self.peer, ours = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_DGRAM)
        for name, sock in (("peer", self.peer), ("ours", ours)):
            place: Any = {socket.AF_INET: ("127.0.0.1", 0), socket.AF_INET6: ("::1", 0)}
            sock.bind(place.get(family) or os.path.join(folder, f"{type(loop).__name__} {name}"))
            sock.setblocking(False)
        self.address = self.peer.getsockname()
        self.ours = ours.getsockname()
        self.connected = kind.endswith("connected")
        if self.connected:
            ours.connect(self.address)
        loop.run_until_complete(loop.create_datagram_endpoint(lambda: Recorder(next(self.names), self), sock=ours))

    def whose(self, address: Any) -> str:
        return "peer" if address == self.address else f"?{type(address)}"

    def react(self, data: bytes, address: Any) -> None:
        reaction, self.reaction = self.reaction, "nothing"
        if reaction == "raise":
            raise ValueError(len(data))
        if reaction == "echo":
            self.transport.sendto(data, address)
        elif reaction == "protocol":
            self.transport.set_protocol(Recorder(next(self.names), self))
        elif reaction != "nothing":
            self.step((reaction,))

    def step(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("receive", lengths):
                for length in lengths:
                    self.count += 1
                    with contextlib.suppress(OSError):  # it has been closed
                        self.peer.sendto(bytes([self.count % 256]) * length, self.ours)
            case ("send", length, "bytes", to):
                self.send(os.urandom(0) + b"s" * length, to)
            case ("send", length, kind, to):
                data = bytearray(b"s" * length)
                self.send(data if kind == "bytearray" else memoryview(data), to)
                data[:1] = b"?" * min(1, length)  # a transport keeps a copy
            case ("send too much",):
                self.send(bytes(300_000), True)
            case ("send nonsense", "text"):
                self.attempt(lambda: self.transport.sendto("text", self.address))
            case ("send nonsense", "elsewhere"):
                self.attempt(lambda: self.transport.sendto(b"tea", (1, 2, 3)))
            case ("send nonsense", "nobody"):
                if not self.connected:
                    self.attempt(lambda: self.transport.sendto(b"tea", None))
            case ("pause",):
                self.transport.pause_reading()
            case ("resume",):
                self.transport.resume_reading()
            case ("close",):
                self.transport.close()
            case ("abort",):
                self.transport.abort()
            case ("protocol",):
                if not self.transport.is_closing():
                    self.transport.set_protocol(Recorder(next(self.names), self))
            case ("limits",):
                self.transport.set_write_buffer_limits(high=10)
            case ("size",):
                self.log.append(("size", self.transport.get_write_buffer_size(), self.transport.is_closing()))
            case ("react", reaction):
                self.reaction = reaction
            case ("lose peer",):
                self.peer.close()

    def send(self, data: Any, to: bool) -> None:
        if self.transport._sock is None and not self.connected:
            return  # asyncio's own raises an AttributeError there
        self.attempt(lambda: self.transport.sendto(data, self.address if to or not self.connected else None))

    def attempt(self, call: Any) -> None:
        if self.transport._sock is None:
            return
        try:
            call()
        except Exception as error:
            self.log.append(("raised", type(error), str(error)))

    def settle(self) -> None:
        turns(self.loop, QUIET + MOST)
        if self.peer.fileno() < 0:
            return
        with contextlib.suppress(BlockingIOError):
            while True:
                data, address = self.peer.recvfrom(1 << 18)
                self.log.append(("peer got", data, address == self.ours))
                turns(self.loop, 2)

    def end(self) -> list[Any]:
        if self.transport is not None:
            self.transport.abort()
        self.settle()
        self.peer.close()
        self.loop.close()
        return self.log


def play(loop: Any, kind: str, script: list[Any], folder: str) -> list[Any]:
    world = World(loop, kind, folder)
    try:
        for step in script:
            world.step(step)
            world.settle()
    finally:
        log = world.end()
    return log


@settings(max_examples=examples(150))
@given(kinds, scripts)
def test_the_same_script_gives_the_same_bytes_and_the_same_callbacks(kind: str, script: list[Any]) -> None:
    if kind == "udp6" and not socket.has_ipv6:
        kind = "udp"
    with tempfile.TemporaryDirectory() as folder:
        expected = play(asyncio.SelectorEventLoop(), kind, script, folder)
        assert play(Fate(), kind, script, folder) == expected


@pytest.mark.parametrize("kind", ["udp", "unix connected"])
def test_the_log_of_a_script_tells_of_it(kind: str, tmp_path: Any) -> None:
    log = play(Fate(), kind, [("receive", [3]), ("send", 2, "bytes", True), ("close",)], str(tmp_path))
    assert log == [
        ("protocol 0", "made"),
        ("protocol 0", "got", b"\1\1\1", "peer"),
        ("peer got", b"ss", True),
        ("protocol 0", "lost", type(None)),
    ]
