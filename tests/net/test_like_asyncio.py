"""Stream transports do what asyncio's do: random scripts run on both, over real sockets.

A script is what a program and its peer do: write (any size, any kind of buffer), pause, resume, half-close, close,
abort, change the protocol or the limits, inside a callback or outside, and fail in callbacks. The same script gives the
same bytes to the peer and the same callbacks in the same order. Sizes are either small, or more than the kernel and the
limits take together, so that nothing depends on how the kernel counts.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import examples

from fate import Fate
from fate.net.stream import Stream

HUGE = 1_000_000
Script = list[tuple[Any, ...]]

sizes = st.sampled_from([0, 1, 2, 700, 5000, HUGE])
deeds = st.one_of(
    st.tuples(st.just("write"), sizes, st.sampled_from(["bytes", "bytearray", "memoryview"])),
    st.tuples(st.just("writelines"), st.lists(sizes, max_size=4)),
    st.tuples(
        st.sampled_from(
            ["pause_reading", "resume_reading", "write_eof", "close", "abort", "plain", "buffered", "write a number"]
        )
    ),
    st.tuples(st.just("limits"), st.sampled_from([(None, None), (0, None), (1, 0), (HUGE, 0), (10, 20)])),
    st.tuples(st.just("fail")),
    st.tuples(st.just("dup")),
)
deeds = st.one_of(deeds, st.tuples(st.just("soon"), st.lists(deeds, min_size=1, max_size=3)))
steps = st.one_of(
    st.tuples(st.just("do"), deeds),
    st.tuples(st.just("do inside"), st.lists(deeds, min_size=1, max_size=4)),
    st.tuples(st.just("do in one turn"), st.lists(st.lists(deeds, min_size=1, max_size=3), min_size=2, max_size=4)),
    st.tuples(st.just("peer sends"), st.sampled_from([1, 10, 3000, 60_000])),
    st.tuples(st.just("send a file"), st.sampled_from([0, 10, 70_000])),
    st.tuples(st.just("peer reads")),
    st.tuples(st.just("peer ends")),
    st.tuples(st.just("peer closes")),
    st.tuples(st.just("turn")),
)
reactions = st.dictionaries(
    st.sampled_from(["made", "data", "eof", "pause_writing", "resume_writing", "lost", "get_buffer", "buffer_updated"]),
    st.lists(deeds, max_size=3),
    max_size=3,
)


class Failed(Exception):
    """What a callback of the scripts raises."""


class AtOnce(ThreadPoolExecutor):
    """Runs what it is given while it is given, so that no thread decides when: asyncio reads files in threads."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(call(*args, **options))
        except Exception as error:
            done.set_exception(error)
        return done


class Play:
    """One script on one loop: what the protocol was told, and what its peer got."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, tcp: bool, reactions: dict[str, Script], keep_open: bool
    ) -> None:
        self.loop = loop
        self.tcp = tcp
        self.reactions = reactions
        self.keep_open = keep_open
        self.told: list[Any] = []
        self.got = bytearray()
        self.count = 0
        self.depth = 0
        self.transport: Any = None
        loop.set_exception_handler(self.report)
        loop.set_default_executor(AtOnce())
        self.ours, self.peer = tcp_pair() if tcp else socket.socketpair()
        self.peer.setblocking(False)
        self.made = loop.create_task(loop.connect_accepted_socket(lambda: Plain(self), self.ours))  # type: ignore[attr-defined]
        self.much = False
        self.files: list[Any] = []
        self.sending: asyncio.Task[Any] | None = None

    def report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(context.get("exception"), AttributeError):
            return  # asyncio's transport closed twice: after a close() in resume_writing, and abort() after its end
        self.tell(
            "report", context["message"].split(" <")[0].split("callback")[0], type(context.get("exception")).__name__
        )

    def tell(self, *what: Any) -> None:
        if what[0] == "data" and self.told and self.told[-1][0] == "data":
            self.told[-1] = ("data", self.told[-1][1] + what[1])  # how it is cut into pieces is the kernel's affair
        else:
            self.told.append(what)

    def react(self, name: str, *arguments: Any) -> None:
        self.tell(name, *arguments)
        if self.depth < 3:  # writing makes it pause, which makes it write
            self.depth += 1
            try:
                for deed in self.reactions.get(name, ()):
                    self.do(deed)
            finally:
                self.depth -= 1

    def turn(self, count: int = 1) -> None:
        for _ in range(count):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    def step(self, step: tuple[Any, ...]) -> None:
        what, *rest = step
        if what == "peer closes" and self.tcp:
            what = "peer ends"  # the second packet to a closed socket fails, and who corks sends one
        if what == "do":
            if step[1][0] != "fail":
                self.do(*rest)
        elif what == "do inside":
            self.loop.call_soon(lambda: [self.do(deed) for deed in rest[0]])
        elif what == "do in one turn":
            for several in rest[0]:
                self.loop.call_soon(lambda several=several: [self.do(deed) for deed in several])
        elif what == "peer sends":
            if rest[0] > 50_000 and self.much:
                return  # the kernel might not take it
            self.much = self.much or rest[0] > 50_000
            try:
                self.peer.send(b"p" * rest[0])
            except OSError:
                pass  # it has closed
        elif what == "send a file":
            self.send_file(rest[0])
        elif what == "peer reads":
            self.read()
        elif what == "peer ends":
            try:
                self.peer.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        elif what == "peer closes":
            self.peer.close()
        self.turn(1 if what == "turn" else 80 if self.much else 6)

    def send_file(self, size: int) -> None:
        if self.transport is None or self.transport.is_closing() or self.sending is not None or self.files:
            return
        file = tempfile.TemporaryFile()  # noqa: SIM115 (the play's end closes it)
        self.files.append(file)
        file.write(b"f" * size)
        file.seek(0)

        async def send() -> None:
            try:
                self.tell("sent", await self.loop.sendfile(self.transport, file))
            except Exception as error:
                if not self.transport.is_closing():  # else asyncio may go on waiting for the closed socket, for ever
                    self.tell("raised", "sendfile", type(error).__name__)

        self.sending = self.loop.create_task(send())
        self.turn(10)

    def read(self) -> None:
        """The peer takes all that there is, and all that comes after it."""
        while self.peer.fileno() != -1:
            try:
                data = self.peer.recv(1 << 20)
            except BlockingIOError:
                return
            except OSError:
                self.told.append(("peer was reset",))
                return
            if not data:
                return
            self.got += data
            self.turn(2)

    def do(self, deed: tuple[Any, ...]) -> None:
        what, *rest = deed
        transport = self.transport
        if what == "fail":
            raise Failed
        if transport is None:
            return
        if "lost" in [entry[0] for entry in self.told] and what in ("write", "writelines"):
            return  # when it has sent the last of it asyncio calls connection_lost, and in that still writes
        if self.count > 20:  # a script that writes when it is told to go on never ends
            return
        try:
            if what == "write":
                self.write(*rest)
            elif what == "writelines":
                pieces = [self.piece(size) for size in rest[0]]
                if sys.version_info >= (3, 12) and type(transport) is not Stream:
                    transport.write(b"".join(pieces))  # its writelines of 3.12.1 forgets about flow control
                else:
                    transport.writelines(pieces)
            elif what == "limits":
                transport.set_write_buffer_limits(*rest[0])
            elif what == "plain":
                transport.set_protocol(Plain(self))
            elif what == "buffered":
                transport.set_protocol(Buffered(self))
            elif what == "write a number":
                transport.write(1)
            elif what == "soon":
                self.loop.call_soon(lambda: [self.do(deed) for deed in rest[0]])
            elif what == "dup":
                if self.sending is None:  # else asyncio waits for a closed socket, which lives on
                    with suppress(OSError):  # it is closed when its owner hears of a failed write
                        self.files.append(self.ours.dup())
            else:
                getattr(transport, what)()
        except (AttributeError, OSError, RuntimeError, TypeError, ValueError) as error:
            if not isinstance(error, AttributeError):  # asyncio's transport has no loop once it is closed
                self.tell("raised", what, type(error).__name__)

    def piece(self, size: int) -> bytes:
        self.count += 1
        return bytes([65 + self.count % 26]) * size

    def write(self, size: int, kind: str) -> None:
        data = self.piece(size)
        if kind == "bytes" or sys.version_info >= (3, 12):  # where asyncio keeps what its caller may change
            self.transport.write(data)
            return
        mutable = bytearray(data)
        self.transport.write(mutable if kind == "bytearray" else memoryview(mutable))
        mutable[:] = b"!" * len(mutable)

    def end(self) -> None:
        for _ in range(3):
            self.read()
            self.turn(6)
        if self.transport is not None:
            self.told.append(("closing", self.transport.is_closing(), "reading", self.transport.is_reading()))
            self.told.append(("waiting", self.transport.get_write_buffer_size()))
            self.reactions = {}
            self.count = 0
            self.do(("abort",))
        self.turn(6)
        self.peer.close()
        for file in self.files:
            file.close()
        if self.sending is not None:
            self.sending.cancel()
            self.turn(3)
        self.loop.run_until_complete(asyncio.gather(self.made, return_exceptions=True))


class Plain(asyncio.Protocol):
    def __init__(self, play: Play) -> None:
        self.play = play

    def connection_made(self, transport: Any) -> None:
        self.play.transport = transport
        self.play.react("made")

    def data_received(self, data: bytes) -> None:
        self.play.react("data", data)

    def eof_received(self) -> bool:
        self.play.react("eof")
        return self.play.keep_open

    def pause_writing(self) -> None:
        self.play.react("pause_writing")

    def resume_writing(self) -> None:
        self.play.react("resume_writing")

    def connection_lost(self, error: Exception | None) -> None:
        self.play.react("lost", type(error).__name__)


class Buffered(asyncio.BufferedProtocol):
    def __init__(self, play: Play) -> None:
        self.play = play
        self.buffer = bytearray(1000)

    def get_buffer(self, sizehint: int) -> bytearray:
        for deed in self.play.reactions.get("get_buffer", ()):
            self.play.do(deed)
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.play.tell("data", bytes(self.buffer[:nbytes]))
        for deed in self.play.reactions.get("buffer_updated", ()):
            self.play.do(deed)

    eof_received: Any = Plain.eof_received
    pause_writing: Any = Plain.pause_writing
    resume_writing: Any = Plain.resume_writing
    connection_lost: Any = Plain.connection_lost


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected TCP sockets, whose buffers are smaller than HUGE."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100_000)
        peer = socket.socket()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100_000)
        peer.connect(server.getsockname())
        ours, _ = server.accept()
    for sock in (ours, peer):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 100_000)
        sock.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )  # asyncio's second small write would wait, not a cork's
    return ours, peer


def play(
    make: Callable[[], asyncio.AbstractEventLoop], tcp: bool, reactions: dict[str, Script], keep: bool, script: Script
) -> tuple[Any, bytes]:
    loop = make()
    try:
        play = Play(loop, tcp, reactions, keep)
        play.turn(6)
        for step in script:
            play.step(step)
        play.end()
        return play.told, bytes(play.got)
    finally:
        loop.close()


def differ(result: tuple[Any, bytes], expected: tuple[Any, bytes]) -> str:
    """In what two plays differ; "" if they do not."""
    (told, got), (should, sent) = result, expected
    failed = [entry for entry in should if entry[0] == "lost" and entry[1] != "NoneType"]
    if failed:  # of a write that fails who corks hears when the turn ends, so after what other callbacks tell
        if told.count(failed[0]) != len(failed):
            return f"{told} and {should}"
        told, should = ([entry for entry in one if entry[0] != "lost"] for one in (told, should))
    if told != should:
        return f"{told} and {should}"
    common = min(len(got), len(sent))
    if got[:common] != sent[:common]:
        return f"{got[:100]!r} and {sent[:100]!r}"
    if len(got) != len(sent) and common <= 50_000:  # else cut short while the kernel was full: where, is its affair
        return f"{got!r} and {sent!r}"
    return ""


def same(
    make: Callable[[], asyncio.AbstractEventLoop], tcp: bool, reactions: dict[str, Script], keep: bool, script: Script
) -> None:
    """`make`'s loop does what asyncio's does. On a busy machine TCP's bytes arrive when the kernel has time, whoever
    waits for them: so what differs is played again, and must go on to differ."""
    for _ in range(4 if tcp else 1):
        expected = play(asyncio.SelectorEventLoop, tcp, reactions, keep, script)
        difference = differ(play(make, tcp, reactions, keep, script), expected)
        if not difference:
            return
    pytest.fail(difference)


@pytest.mark.filterwarnings("ignore:unclosed transport")
@settings(max_examples=examples(400))
@given(st.booleans(), reactions, st.booleans(), st.lists(steps, max_size=8))
@example(False, {"data": [("write", 1, "bytes"), ("abort",)]}, False, [("peer sends", 1)])
@example(False, {"data": [("write", HUGE, "bytes"), ("close",)]}, False, [("peer sends", 1), ("peer reads",)])
@example(False, {"resume_writing": [("write", 1, "bytes"), ("close",)]}, True, [("do", ("write", HUGE, "bytes"))])
@example(False, {"eof": [("write", 1, "bytearray"), ("write_eof",)]}, True, [("peer sends", 1), ("peer ends",)])
@example(True, {"made": [("buffered",)]}, False, [("peer sends", 3000), ("peer ends",)])
@example(
    True, {"data": [("pause_reading",)]}, True, [("peer sends", 3000), ("peer ends",), ("do", ("resume_reading",))]
)
def test_a_script_gives_the_same_bytes_and_callbacks_as_on_asyncio(
    tcp: bool, reactions: dict[str, Script], keep_open: bool, script: Script
) -> None:
    same(Fate, tcp, reactions, keep_open, script)
    if "send a file" not in [what for what, *_ in script]:  # select() fails when that is aborted, for asyncio too
        same(lambda: Fate(selectors.SelectSelector()), tcp, reactions, keep_open, script)
