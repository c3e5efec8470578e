"""TLS over stream transports: the same bytes and callbacks as with asyncio's own, however the records are cut."""

from __future__ import annotations

import array
import asyncio
import selectors
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from support import DEADLINE, examples

from fate import Fate
from fate.net.poll import EpollPoll

AUTHORITY = trustme.CA()
SERVER = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
CLIENT = ssl.create_default_context()
AUTHORITY.issue_cert("localhost").configure_cert(SERVER)
AUTHORITY.configure_trust(CLIENT)
AUTHORITY.configure_trust(SERVER)


class App:
    """What the programs' protocols note; each does `deeds[what]` then."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.buffer = bytearray(1000)

    def connection_made(self, transport: Any) -> None:
        self.play.transport = transport
        self.play.tell("made")

    def data_received(self, data: bytes) -> None:
        self.play.tell("data", data)

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self.buffer)

    def buffer_updated(self, nbytes: int) -> None:
        self.play.tell("data", bytes(self.buffer[:nbytes]))

    def eof_received(self) -> None:
        self.play.tell("eof")

    def pause_writing(self) -> None:
        self.play.tell("pause")

    def resume_writing(self) -> None:
        self.play.tell("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self.play.tell("lost", type(error).__name__)


class Plain(App, asyncio.Protocol):
    """Takes bytes."""


class Buffered(App, asyncio.BufferedProtocol):
    """Gives a buffer."""


MISTAKES = (
    "'NoneType' object is not callable",
    *(f"'NoneType' object has no attribute '{name}'" for name in ("close", "pause_writing", "resume_writing")),
)


def native(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether its transports are Fate's own."""
    return isinstance(loop, Fate) and type(loop._poll) is EpollPoll


class Play:
    """A server's side of TLS on one loop, and its peer, an SSLObject whose records are delivered by hand."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: Callable[[Play], Any], deeds: dict[str, Any]) -> None:
        self.loop = loop
        self.told: list[Any] = []
        self.got = bytearray()
        self.deeds = deeds
        self.transport: Any = None
        loop.set_exception_handler(self.report)
        ours, self.wire = socket.socketpair()
        self.wire.setblocking(False)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = CLIENT.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        connect: Any = loop.connect_accepted_socket  # type: ignore[attr-defined]
        self.made = loop.create_task(connect(lambda: protocol(self), ours, ssl=SERVER))

    def report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context["exception"]
        if str(error) in MISTAKES and not native(loop):
            return  # asyncio's: a writer or limits set after the end, a transport closed in resume_writing (3.12, 3.13)
        self.told.append(("report", type(error)))

    def tell(self, what: str, *arguments: Any) -> None:
        if what == "data" and self.told[-1][0] == "data":
            self.told[-1] = ("data", self.told[-1][1] + arguments[0])
        else:
            self.told.append((what, *arguments))
        self.deeds.get(what, lambda transport: None)(self.transport)

    def turn(self, count: int = 4) -> None:
        for _ in range(count):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    def deliver(self, pieces: int = 1) -> None:
        """Send what the peer has encrypted, in so many pieces, and take what comes back."""
        data = self.outgoing.read()
        size = max(1, -(-len(data) // pieces))
        for start in range(0, len(data), size):
            try:
                self.wire.send(data[start : start + size])
            except OSError:
                return
            self.turn()
        self.turn()
        try:
            while data := self.wire.recv(1 << 20):
                self.incoming.write(data)
                self.turn()
        except OSError:
            pass

    def shake_hands(self, pieces: int = 1) -> None:
        for _ in range(6):
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            self.deliver(pieces)

    def read(self) -> None:
        try:
            while data := self.tls.read(1 << 20):
                self.got += data
        except ssl.SSLError:
            pass

    def end(self) -> tuple[list[Any], bytes]:
        self.deliver()
        self.read()
        self.turn()
        self.deeds.clear()
        self.wire.close()
        self.turn()
        if self.transport is not None:
            self.transport.abort()
        self.turn()
        self.loop.run_until_complete(asyncio.gather(self.made, return_exceptions=True))
        return self.told, bytes(self.got)


def on_all(play: Callable[[Callable[..., Play]], Play]) -> tuple[list[Any], bytes]:
    """Run `play` on asyncio and on Fates of both kinds; what it gave, which must be the same."""
    results = []
    for make in (asyncio.SelectorEventLoop, Fate, lambda: Fate(selectors.SelectSelector())):
        loop = make()
        try:
            results.append(play(lambda *how, loop=loop: Play(loop, *how)).end())
        finally:
            loop.close()
    told, got = results[0]
    for other, bytes_got in results[1:]:
        assert other == told
        common = min(len(bytes_got), len(got))
        assert bytes_got[:common] == got[:common]
        assert len(bytes_got) == len(got) or common > 50_000  # cut short: where, is the kernel's affair
    return told, got


@settings(max_examples=examples(25))
@given(
    st.sampled_from([Plain, Buffered]),
    st.lists(st.tuples(st.sampled_from([1, 500, 20_000, 70_000]), st.integers(1, 40)), max_size=4),
    st.integers(1, 300),
    st.sampled_from(["nothing", "close_notify", "end", "ours"]),
)
def test_records_may_be_cut_anywhere(protocol: Any, messages: list[tuple[int, int]], shaking: int, ending: str) -> None:
    def run(make: Callable[..., Play]) -> Play:
        def answer_once(transport: Any) -> None:  # how often data comes is the kernel's affair
            del play.deeds["data"]
            transport.write(b"answer")

        play = make(protocol, {"data": answer_once})
        play.shake_hands(shaking)
        for size, pieces in messages:
            play.tls.write(b"m" * size)
            play.deliver(pieces)
            play.read()
            play.turn(size // 1000)  # asyncio fills one small buffer a turn
        if ending == "close_notify":
            play.tls.write(b"last words")
            try:
                play.tls.unwrap()
            except ssl.SSLError:
                pass
            play.deliver()
        elif ending == "end":
            play.wire.shutdown(socket.SHUT_WR)
            play.turn()
        elif ending == "ours":
            play.transport.close()
            play.turn()
        return play

    told, got = on_all(run)
    data = b"".join(entry[1] for entry in told if entry[0] == "data")
    sent = b"m" * sum(size for size, _ in messages) + (b"last words" if ending == "close_notify" else b"")
    if protocol is Plain or ending != "end":  # asyncio fills one small buffer a turn, and forgets about the rest then
        assert data == sent
    assert told[0] == ("made",) and told[-1][0] == "lost"
    assert got in (b"", b"answer")


HUGE = 1_000_000  # more than the kernel takes; all other sizes are little, so that nothing depends on how it counts
sizes = st.sampled_from([0, 1, 700, 20_000, HUGE])
acts = st.one_of(
    st.tuples(st.just("write"), sizes, st.sampled_from([bytes, bytearray, memoryview])),
    st.tuples(st.just("writelines"), st.lists(sizes, max_size=3)),
    st.tuples(st.just("set_write_buffer_limits"), st.sampled_from([None, 0, 10, HUGE])),
    st.tuples(st.just("set_protocol"), st.sampled_from([Plain, Buffered])),
    st.tuples(st.sampled_from(["pause_reading", "resume_reading", "close", "abort", "write_eof", "fail"])),
)
steps = st.one_of(
    st.tuples(st.just("act"), acts),
    st.tuples(st.just("act inside"), st.lists(acts, min_size=1, max_size=3)),
    st.tuples(st.just("peer sends"), st.sampled_from([1, 900, 10_000]), st.integers(1, 5)),
    st.tuples(st.sampled_from(["peer reads", "peer unwraps", "peer ends", "peer closes", "peer breaks", "turn"])),
)
callbacks = st.sampled_from(["made", "data", "eof", "pause", "resume", "lost"])


class Scripted:
    """Does what a script says, to the transport of a play and to its peer."""

    def __init__(self, play: Play, reactions: dict[str, list[Any]]) -> None:
        self.play = play
        self.written = 0
        self.depth = 0
        for what, done in reactions.items():
            if what == "made":  # the loop would close it a second time, and asyncio's is of no use from then on
                done = [act for act in done if act[0] != "fail"]
            play.deeds[what] = lambda transport, done=done: self.react(done)

    def react(self, done: list[Any]) -> None:
        if self.depth < 2:  # a write pauses, and that writes
            self.depth += 1
            try:
                for act in done:
                    self.act(*act)
            finally:
                self.depth -= 1

    def act(self, what: str, *how: Any) -> None:
        transport = self.play.transport
        if what == "fail":
            raise ZeroDivisionError
        if transport is None or (what == "close" and transport.is_closing()):  # as above
            return
        try:
            if what == "write":
                self.write(*how)
            elif what == "writelines":
                transport.writelines([self.piece(size) for size in how[0]])
            elif what == "set_protocol":
                transport.set_protocol(how[0](self.play))
            else:
                getattr(transport, what)(*how)
        except (NotImplementedError, OSError, RuntimeError, TypeError, ValueError) as error:
            self.play.told.append(("raised", what, type(error)))

    def piece(self, size: int) -> bytes:
        self.written += 1
        return bytes([65 + self.written % 26]) * (size if self.written < 20 else 0)

    def write(self, size: int, kind: Any) -> None:
        mutable = bytearray(self.piece(size))
        self.play.transport.write(kind(mutable))
        mutable[:] = b"!" * len(mutable)

    def step(self, what: str, *how: Any) -> None:
        play = self.play
        if what == "act":
            if how[0][0] != "fail":
                self.act(*how[0])
        elif what == "act inside":
            play.loop.call_soon(lambda: [self.act(*act) for act in how[0]])
        elif what == "peer sends":
            with suppress(ssl.SSLError):  # it has unwrapped
                play.tls.write(b"p" * how[0])
            play.deliver(how[1])
        elif what == "peer reads":
            play.deliver()
            play.read()
        elif what == "peer unwraps":
            with suppress(ssl.SSLError):
                play.tls.unwrap()
            play.deliver()
        elif what == "peer closes":
            play.wire.close()
        else:
            with suppress(OSError):
                if what == "peer ends":
                    play.wire.shutdown(socket.SHUT_WR)
                elif what == "peer breaks":
                    play.wire.send(b"this is no record" * 100)
        play.turn(1 if what == "turn" else 8)


@pytest.mark.filterwarnings("ignore:unclosed transport", "ignore:returning true from eof_received")
@settings(max_examples=examples(100))
@given(
    st.sampled_from([Plain, Buffered]),
    st.dictionaries(callbacks, st.lists(acts, max_size=3), max_size=3),
    st.lists(steps, max_size=8),
)
def test_a_script_gives_the_same_bytes_and_callbacks_as_on_asyncio(
    protocol: Any, reactions: dict[str, list[Any]], script: list[Any]
) -> None:
    def run(make: Callable[..., Play]) -> Play:
        play = make(protocol, {})
        scripted = Scripted(play, reactions)
        play.shake_hands()
        for step in script:
            scripted.step(*step)
        return play

    on_all(run)


def test_what_is_written_before_the_end_of_the_handshake_is_sent_as_it_was() -> None:
    def run(make: Callable[..., Play]) -> Play:
        play = make(Plain, {})
        play.shake_hands()
        mutable = bytearray(b"x" * 1000)
        play.transport.write(mutable)
        mutable[:] = b"!" * 1000
        play.transport.write(memoryview(b"y"))
        play.transport.writelines([b"", b"z", bytearray(b"z")])
        play.deliver()
        play.read()
        return play

    _, got = on_all(run)
    assert got == b"x" * 1000 + b"yzz"


def test_views_of_wider_items_count_as_bytes() -> None:
    numbers = array.array("I", range(100))

    def run(make: Callable[..., Play]) -> Play:
        play = make(Plain, {})
        play.shake_hands()
        play.transport.writelines([memoryview(numbers)])
        play.transport.write(memoryview(numbers))
        assert play.transport.get_write_buffer_size() == 0
        play.deliver()
        play.read()
        return play

    _, got = on_all(run)
    assert got == 2 * numbers.tobytes()


def test_writelines_with_what_is_not_bytes_sends_none_of_it() -> None:
    loop = Fate()
    play = Play(loop, Plain, {})
    play.shake_hands()
    for wrong in ([b"first", "str"], [[1, 2, 3]], [5]):
        with pytest.raises(TypeError, match="expecting a bytes-like instance"):
            play.transport.writelines(wrong)
    play.transport.write(b"right")
    play.deliver()
    play.read()
    _, got = play.end()
    loop.close()
    assert got == b"right"


def test_a_paused_reader_gets_nothing_until_it_resumes() -> None:
    def run(make: Callable[..., Play]) -> Play:
        play = make(Plain, {})
        play.shake_hands()
        play.transport.pause_reading()
        for _ in range(30):
            play.tls.write(b"m" * 16_000)
            play.deliver()
        assert play.told == [("made",)]
        play.transport.resume_reading()
        play.turn(100)
        return play

    told, _ = on_all(run)
    assert told[1] == ("data", b"m" * 480_000)


def test_a_protocol_that_fails_ends_the_connection() -> None:
    def fail(transport: Any) -> None:
        raise ZeroDivisionError

    def run(make: Callable[..., Play]) -> Play:
        play = make(Plain, {"data": fail})
        play.shake_hands()
        play.tls.write(b"m")
        play.deliver()
        return play

    told, _ = on_all(run)
    assert told == [("made",), ("data", b"m"), ("report", ZeroDivisionError), ("lost", "ZeroDivisionError")]


def test_what_is_no_buffer_is_refused_and_a_closed_transport_takes_writes() -> None:
    def run(make: Callable[..., Play]) -> Play:
        play = make(Plain, {})
        play.shake_hands()
        with pytest.raises(TypeError, match="expecting a bytes-like instance"):
            play.transport.write("text")
        play.transport.write(b"")
        play.transport.close()
        for _ in range(7):
            play.transport.write(b"late")
        return play

    _, got = on_all(run)
    assert got == b""


@pytest.mark.parametrize("by_the_loop", [False, True])
def test_a_transport_closed_twice_takes_every_call(loop: Fate, by_the_loop: bool) -> None:
    def fail(transport: Any) -> None:
        raise ZeroDivisionError

    play = Play(loop, Plain, {"made": fail} if by_the_loop else {})
    play.shake_hands()
    play.transport.close()
    play.transport.close()
    play.transport.write(b"late")
    play.transport.writelines([b"late"])
    play.transport.pause_reading()
    play.transport.resume_reading()
    play.transport.set_write_buffer_limits(10)
    assert play.transport.is_closing() and play.transport.get_write_buffer_size() == 0
    told, got = play.end()
    assert told[0] == ("made",) and [entry[0] for entry in told].count("lost") == 1 and got == b""


def test_more_than_the_peer_takes_pauses_the_protocol() -> None:
    def run(make: Callable[..., Play]) -> Play:
        play = make(Plain, {})
        play.shake_hands()
        for _ in range(20):
            play.transport.write(b"x" * 100_000)
        assert play.told == [("made",), ("pause",)]
        assert play.transport.get_write_buffer_size() > 512 * 1024
        for _ in range(400):
            play.deliver()
            play.read()
        return play

    told, got = on_all(run)
    assert told[:3] == [("made",), ("pause",), ("resume",)]
    assert got == b"x" * 2_000_000


class Shorter(bytes):
    def __len__(self) -> int:
        return 3


class Refusing(bytearray):
    def __len__(self) -> int:
        raise ZeroDivisionError


def with_gaps(data: bytes) -> memoryview:
    return memoryview(bytes(byte for byte in data for _ in range(2)))[::2]


@pytest.mark.parametrize("kind", [Shorter, Refusing, with_gaps])
def test_of_bytes_that_lie_about_themselves_tls_sends_the_content(loop: Fate, kind: Callable[[bytes], Any]) -> None:
    play = Play(loop, Plain, {})
    play.shake_hands()
    play.transport.write(kind(b"0123456789"))
    play.transport.writelines([kind(b"and"), b" more"])
    play.deliver()
    play.read()
    _, got = play.end()
    assert got == b"0123456789and more"


def test_limits_that_are_set_after_the_end_resume_nobody(loop: Fate) -> None:
    """asyncio's fail: there is no protocol to tell."""
    play = Play(loop, Plain, {})
    play.shake_hands()
    for _ in range(20):
        play.transport.write(b"x" * 100_000)
    play.transport.abort()
    play.turn()
    play.transport.set_write_buffer_limits(10_000_000)
    told, _ = play.end()
    assert [entry[0] for entry in told] == ["made", "pause", "lost"]


def test_tls_runs_inside_tls(loop: Fate) -> None:
    served = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            writer.write(b"go\n")
            await writer.start_tls(SERVER)
        writer.write((await reader.readexactly(100_000)).upper())
        await reader.read()
        writer.close()
        served.set()

    async def main() -> None:
        async with asyncio.timeout(20):
            served.clear()
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            for _ in range(2):
                assert await reader.readline() == b"go\n"
                await writer.start_tls(CLIENT, server_hostname="localhost")
            writer.write(b"x" * 100_000)
            assert await reader.readexactly(100_000) == b"X" * 100_000
            writer.close()
            await served.wait()
            server.close()
            for transport in list(loop._transports.values()):
                transport.abort()  # an outer layer is left to the peer to end
            while loop._transports:
                await asyncio.sleep(0)

    loop.run_until_complete(main())


def test_a_handshake_inside_tls_that_takes_too_long_is_told_to_who_asked(
    loop: Fate, reports: list[dict[str, Any]]
) -> None:
    async def main() -> None:
        server = await loop.create_server(asyncio.Protocol, "localhost", 0, ssl=SERVER)
        async with server:
            host, port = server.sockets[0].getsockname()[:2]
            outer, protocol = await loop.create_connection(
                asyncio.Protocol, host, port, ssl=CLIENT, server_hostname="localhost"
            )
            with pytest.raises(ConnectionAbortedError):
                await loop.start_tls(outer, protocol, CLIENT, server_hostname="localhost", ssl_handshake_timeout=0.01)

    loop.run_until_complete(asyncio.wait_for(main(), DEADLINE))
    assert reports == []
