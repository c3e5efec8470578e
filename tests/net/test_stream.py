"""Stream transports: what programs rely on beyond bytes and callbacks, which `test_like_asyncio` looks after."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import errno
import functools
import gc
import logging
import os
import selectors
import signal
import socket
import ssl
import struct
import sys
import tempfile
import warnings
import weakref
from asyncio import constants
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import trustme
from support import DEADLINE, Log, printed, run_until, turns

from fate import Fate
from fate.net import connections
from fate.net.stream import Stream

HUGE = 3_000_000


class Told(asyncio.Protocol):
    """Notes what it is told, and does what a test gives it to do then."""

    transport: Any = None

    def __init__(self, log: Log | None = None, **deeds: Callable[..., Any]) -> None:
        self.log = Log() if log is None else log
        self.deeds = deeds

    def told(self, what: str, *arguments: Any) -> Any:
        self.log.append((what, *arguments))
        return self.deeds.get(what, lambda *arguments: None)(*arguments)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.told("made")

    def data_received(self, data: bytes) -> None:
        self.told("data", data)

    def eof_received(self) -> Any:
        return self.told("eof")

    def pause_writing(self) -> None:
        self.told("pause")

    def resume_writing(self) -> None:
        self.told("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self.told("lost", error)


Connect = Callable[..., tuple[Any, Told, socket.socket]]


@pytest.fixture
def connect(loop: Fate) -> Iterator[Connect]:
    """Make a connection: its transport, its protocol, which does the deeds given, and its peer, a socket."""
    made: list[tuple[Any, socket.socket]] = []

    def connect(log: Log | None = None, **deeds: Callable[..., Any]) -> tuple[Any, Told, socket.socket]:
        ours, peer = socket.socketpair()
        peer.setblocking(False)
        protocol = Told(log, **deeds)
        transport, _ = loop.run_until_complete(loop.connect_accepted_socket(lambda: protocol, ours))
        made.append((transport, peer))
        return transport, protocol, peer

    yield connect
    for transport, peer in made:
        peer.close()
        if not loop.is_closed():
            transport.abort()
            turns(loop, 3)


def received(peer: socket.socket) -> bytes:
    """All that has come to `peer`."""
    data = b""
    try:
        while piece := peer.recv(1 << 20):
            data += piece
    except BlockingIOError:
        pass
    return data


# -- what it is --------------------------------------------------------------------------------------------------------


def test_a_transport_is_an_asyncio_transport(connect: Connect) -> None:
    transport, _, _ = connect()
    assert type(transport) is Stream
    assert isinstance(transport, asyncio.Transport)
    assert isinstance(transport, asyncio.transports._FlowControlMixin)


def test_a_transport_takes_attributes_and_its_write_can_be_replaced(connect: Connect, log: Log) -> None:
    transport, _, peer = connect()
    transport.write = log.append
    transport.write(b"hello")
    transport.note = 1
    assert log == [b"hello"] and received(peer) == b"" and transport.note == 1


def test_what_has_not_been_asked_before_the_end_is_told_after_it(loop: Fate) -> None:
    server = loop.run_until_complete(loop.create_server(lambda: serving, "127.0.0.1", 0))
    serving = Told()
    client = socket.create_connection(server.sockets[0].getsockname())
    run_until(loop, lambda: serving.transport)
    transport = serving.transport
    client_address, server_address = client.getsockname(), client.getpeername()
    client.close()
    run_until(loop, lambda: serving.log[-1:] == [("lost", None)])
    assert transport.get_extra_info("peername") == client_address
    assert transport.get_extra_info("sockname") == server_address
    assert transport.get_extra_info("socket").fileno() == -1
    assert transport.get_extra_info("color", "none") == "none"
    assert transport._sock is None
    server.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_names_and_socket_of_both_sides_are_as_the_sockets_tell(loop: Fate, host: str) -> None:
    serving, asking = Told(), Told()
    try:
        server = loop.run_until_complete(loop.create_server(lambda: serving, host, 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    address = server.sockets[0].getsockname()
    loop.run_until_complete(loop.create_connection(lambda: asking, *address[:2]))
    run_until(loop, lambda: serving.transport)
    for one, other in [(serving, asking), (asking, serving)]:
        tell = one.transport.get_extra_info
        assert isinstance(tell("socket"), asyncio.trsock.TransportSocket)
        assert tell("sockname") == tell("socket").getsockname() == other.transport.get_extra_info("peername")
        assert tell("peername") == tell("socket").getpeername()
        assert tell("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert tell("socket").gettimeout() == 0
    asking.transport.close()
    run_until(loop, lambda: serving.log[-1:] == [("lost", None)])
    server.close()


@pytest.mark.parametrize("path", ["abstract", "file"])
def test_unix_sockets_have_paths_and_abstract_names(loop: Fate, tmp_path: Path, path: str) -> None:
    name = str(tmp_path / "socket") if path == "file" else f"\0{tmp_path}"
    serving, asking = Told(), Told()
    server = loop.run_until_complete(loop.create_unix_server(lambda: serving, name))
    loop.run_until_complete(loop.create_unix_connection(lambda: asking, name))
    run_until(loop, lambda: serving.transport)
    expected = name if path == "file" else name.encode()
    assert asking.transport.get_extra_info("peername") == expected
    assert serving.transport.get_extra_info("sockname") == expected
    assert serving.transport.get_extra_info("peername") == ""
    asking.transport.close()
    run_until(loop, lambda: serving.log[-1:] == [("lost", None)])
    server.close()


def test_a_transport_tells_in_words_how_it_is(loop: Fate, connect: Connect) -> None:
    transport, _, _ = connect()
    fd = transport._sock_fd
    turns(loop)
    assert repr(transport) == f"<Stream fd={fd} read=polling write=<idle, bufsize=0>>"
    transport.pause_reading()
    transport.write(b"x" * HUGE)
    waiting = transport.get_write_buffer_size()
    assert waiting > 0
    assert repr(transport) == f"<Stream fd={fd} read=idle write=<polling, bufsize={waiting}>>"
    transport.abort()
    assert repr(transport).startswith("<Stream closing")
    turns(loop, 2)
    assert repr(transport) == f"<Stream closed fd={fd}>"


def test_a_socket_with_ways_of_its_own_gets_the_standard_librarys_transport(loop: Fate) -> None:
    class Loud(socket.socket):
        def send(self, data: Any, flags: int = 0) -> int:
            return super().send(bytes(data).upper(), flags)

    ours, peer = socket.socketpair()
    loud = Loud(ours.family, ours.type, ours.proto, fileno=ours.detach())
    transport, _ = loop.run_until_complete(loop.connect_accepted_socket(Told, loud))
    assert type(transport) is connections.SelectorStream
    transport.write(b"hello")
    assert peer.recv(5) == b"HELLO"
    transport.close()
    turns(loop, 2)
    peer.close()


def test_a_loop_on_a_selector_has_the_standard_librarys_transports() -> None:
    loop = Fate(selectors.SelectSelector())
    ours, peer = socket.socketpair()
    transport, _ = loop.run_until_complete(loop.connect_accepted_socket(Told, ours))
    assert type(transport) is connections.SelectorStream
    transport.close()
    turns(loop, 2)
    peer.close()
    loop.close()


# -- its descriptor ----------------------------------------------------------------------------------------------------


def test_a_transports_descriptor_is_its_own(loop: Fate, connect: Connect) -> None:
    transport, _, _ = connect()
    fd = transport._sock_fd
    for paused in (False, True):
        if paused:
            transport.pause_reading()
        for method in (loop.add_reader, loop.add_writer):
            with pytest.raises(RuntimeError, match="is used by transport"):
                method(fd, print)
        with pytest.raises(RuntimeError, match="is used by transport"):
            loop.remove_reader(fd)
    assert loop._transports[fd] is transport and fd in list(loop._transports)
    transport.close()
    turns(loop, 2)
    assert fd not in loop._transports


def test_a_transport_that_is_forgotten_closes_its_socket_and_says_so(loop: Fate, connect: Connect) -> None:
    ours, peer = socket.socketpair()
    transport, _ = loop.run_until_complete(loop.connect_accepted_socket(asyncio.Protocol, ours))
    transport.pause_reading()  # or the poll would hold it
    forgotten = [transport]
    del transport
    with pytest.warns(ResourceWarning, match="unclosed transport <Stream fd="):
        forgotten.clear()
    assert peer.recv(1) == b"" and ours.fileno() == -1
    peer.close()


def test_a_program_that_ends_with_a_connection_open_ends_in_silence() -> None:
    program = """
        import asyncio, fate, socket
        loop = fate.Fate()
        asyncio.set_event_loop(loop)
        ours, theirs = socket.socketpair()

        async def main():
            global writer
            reader, writer = await asyncio.open_connection(sock=ours)
            writer.write(b"tea")

        loop.run_until_complete(main())
        print(theirs.recv(10))
    """
    assert printed(program, "-W", "ignore") == "b'tea'"


def test_an_ended_transport_keeps_nothing_alive(loop: Fate, connect: Connect) -> None:
    transport, protocol, _ = connect()
    alive = weakref.ref(protocol)
    transport.write(b"x")
    transport.abort()
    turns(loop, 3)
    protocol.__dict__.clear()
    del protocol
    gc.collect()
    # the fixture keeps the transport, and nothing else
    assert alive() is None
    assert transport.get_protocol() is None and transport._loop is None


def test_an_ended_transport_takes_every_call(loop: Fate, connect: Connect) -> None:
    transport, _, _ = connect()
    transport.abort()
    turns(loop, 3)
    transport.abort()
    transport.close()
    transport.write(b"x")
    transport.pause_reading()
    transport.resume_reading()
    transport.write_eof()
    assert transport.is_closing() and not transport.is_reading()


# -- told once of what has come ----------------------------------------------------------------------------------------


@pytest.fixture
def tcp(loop: Fate) -> Iterator[tuple[Any, Told, socket.socket]]:
    """A TCP connection that reads nothing yet: its transport, its protocol and its peer, a socket."""
    made: list[Told] = []
    server = loop.run_until_complete(loop.create_server(lambda: made.append(Told()) or made[-1], "127.0.0.1", 0))
    peer = socket.create_connection(server.sockets[0].getsockname())
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    run_until(loop, lambda: made and made[0].transport is not None)
    made[0].transport.pause_reading()
    yield made[0].transport, made[0], peer
    peer.close()
    server.close()
    if not loop.is_closed():
        made[0].transport.abort()
        turns(loop, 3)


def test_an_end_that_comes_with_the_last_bytes_is_told(loop: Fate, tcp: tuple[Any, Told, socket.socket]) -> None:
    transport, protocol, peer = tcp
    peer.send(b"last")
    peer.shutdown(socket.SHUT_WR)
    transport.resume_reading()
    run_until(loop, lambda: protocol.log[-1] == ("lost", None))
    assert protocol.log == [("made",), ("data", b"last"), ("eof",), ("lost", None)]


def test_a_reset_that_comes_with_bytes_is_told(loop: Fate, tcp: tuple[Any, Told, socket.socket]) -> None:
    transport, protocol, peer = tcp
    peer.send(b"last")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    transport.resume_reading()
    run_until(loop, lambda: protocol.log[-1][0] == "lost")
    assert isinstance(protocol.log[-1][1], ConnectionResetError)


def test_bytes_that_somebody_keeps_do_not_change(loop: Fate) -> None:
    """Bytes that nobody has any more are used again for what is read next: those only."""
    kept: list[Any] = []

    class Keeper(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            way = len(data) % 4
            if way == 0:
                kept.append((data, hash(data)))
            elif way == 1:
                kept.append((memoryview(data)[100:200], len(data)))
            elif way == 2:
                kept.append(({data: len(data)}, None))
            self.transport.write(data)

    async def talk() -> None:
        server = await loop.create_server(Keeper, "127.0.0.1", 0)
        conversations = [asyncio.open_connection(*server.sockets[0].getsockname()) for _ in range(20)]
        peers = await asyncio.gather(*conversations)
        for turn in range(40):
            size = 450 + 97 * turn
            messages = [bytes([turn, number]) * ((size + number) // 2) + b"." * (number % 2) for number in range(20)]
            for (_, writer), message in zip(peers, messages, strict=True):
                writer.write(message)
            for (reader, _), message in zip(peers, messages, strict=True):
                assert await reader.readexactly(len(message)) == message
        for _, writer in peers:
            writer.close()
        server.close()

    loop.run_until_complete(talk())
    assert len(kept) > 400
    for what, note in kept:
        if isinstance(what, bytes):
            assert hash(what) == hash(bytes(bytearray(what))) == note
            assert what[2:-1] == what[:-3]
        elif isinstance(what, memoryview):
            assert bytes(what) == bytes(what[:2]) * 50
        else:
            ((data, size),) = what.items()
            assert len(data) == size
            assert what[bytes(bytearray(data))] == size


def test_more_than_one_read_takes_comes_whole(loop: Fate, tcp: tuple[Any, Told, socket.socket]) -> None:
    transport, protocol, peer = tcp
    data = bytes(range(256)) * 1200
    peer.setblocking(False)
    sent = peer.send(data)
    assert sent > 2 * 64 * 1024
    transport.resume_reading()
    run_until(loop, lambda: sum(len(entry[1]) for entry in protocol.log[1:]) == sent)
    assert b"".join(entry[1] for entry in protocol.log[1:]) == data[:sent]


def test_what_is_left_when_reading_pauses_comes_when_it_goes_on(
    loop: Fate, tcp: tuple[Any, Told, socket.socket]
) -> None:
    transport, protocol, peer = tcp
    protocol.deeds["data"] = lambda data: transport.pause_reading()
    peer.send(bytes(100_000))
    transport.resume_reading()
    turns(loop, 10)
    assert len(protocol.log) == 2
    taken = len(protocol.log[1][1])
    assert taken < 100_000
    del protocol.deeds["data"]
    transport.resume_reading()
    run_until(loop, lambda: sum(len(entry[1]) for entry in protocol.log[1:]) == 100_000)


def test_a_small_buffer_is_filled_until_nothing_is_left(loop: Fate, tcp: tuple[Any, Told, socket.socket]) -> None:
    class Small(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer = bytearray(3)
            self.got = b""

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.got += self.buffer[:nbytes]

    transport, _, peer = tcp
    small = Small()
    transport.set_protocol(small)
    peer.send(b"ten bytes.")
    transport.resume_reading()
    run_until(loop, lambda: small.got == b"ten bytes.")


@pytest.fixture
def alarm() -> Iterator[Callable[..., Any]]:
    """Raises a signal whose handler raises LookupError, without any of Python's code after it: a callback."""

    def ring(*args: object) -> None:
        raise LookupError("alarm")

    before = signal.signal(signal.SIGUSR1, ring)
    yield functools.partial(ctypes.PyDLL(None)["raise"], signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def test_what_comes_together_with_a_signal_whose_handler_raises_is_read_when_the_loop_runs_again(
    loop: Fate, tcp: tuple[Any, Told, socket.socket], alarm: Callable[..., Any]
) -> None:
    transport, protocol, peer = tcp
    protocol.deeds["data"] = lambda data: loop.stop()
    transport.resume_reading()
    turns(loop, 3)

    def send() -> None:
        peer.send(b"x")
        loop.call_soon(alarm)  # then the queue is empty, and the poll comes

    loop.call_soon(send)
    guard = loop.call_later(DEADLINE, loop.stop)
    try:
        loop.run_forever()
    except LookupError:
        loop.run_forever()
    guard.cancel()
    assert protocol.log == [("made",), ("data", b"x")]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_what_was_not_read_because_the_program_was_to_end_is_read_when_the_loop_runs_again(
    loop: Fate, tcp: tuple[Any, Told, socket.socket], stop: type[BaseException]
) -> None:
    class Interrupted(asyncio.BufferedProtocol):
        got = b""
        first = True

        def get_buffer(self, sizehint: int) -> bytearray:
            if self.first:
                self.first = False
                raise stop
            self.buffer = bytearray(10)
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.got += self.buffer[:nbytes]

    transport, _, peer = tcp
    interrupted = Interrupted()
    transport.set_protocol(interrupted)
    peer.send(b"x")
    transport.resume_reading()
    with pytest.raises(stop):
        loop.run_forever()
    run_until(loop, lambda: interrupted.got == b"x")


def test_bytes_behind_urgent_data_are_read(loop: Fate, tcp: tuple[Any, Told, socket.socket]) -> None:
    transport, protocol, peer = tcp
    peer.send(b"before ")
    peer.send(b"!", socket.MSG_OOB)
    peer.send(b"after")
    transport.resume_reading()
    run_until(loop, lambda: b"".join(entry[1] for entry in protocol.log[1:]) == b"before after")


def test_reading_goes_on_while_the_peer_takes_nothing(loop: Fate, tcp: tuple[Any, Told, socket.socket]) -> None:
    transport, protocol, peer = tcp
    transport.resume_reading()
    transport.write(bytes(20 << 20))  # it waits to write
    assert transport.get_write_buffer_size()
    for number in range(3):
        peer.send(b"%d" % number)
        run_until(loop, lambda: protocol.log[-1] == ("data", b"%d" % number))
    taken = 0
    while taken < 20 << 20:
        taken += len(peer.recv(1 << 20))
        turns(loop)
    peer.send(b"again")
    run_until(loop, lambda: protocol.log[-1] == ("data", b"again"))


# -- the cork ----------------------------------------------------------------------------------------------------------


def test_what_a_turn_writes_leaves_when_it_ends_and_counts_until_then(loop: Fate, connect: Connect) -> None:
    transport, protocol, peer = connect()
    seen: list[Any] = []

    def answer(data: bytes) -> None:
        transport.write(b"one,")
        transport.write(bytearray(b"two,"))
        transport.writelines([b"three,", memoryview(b"four")])
        seen.append(transport.get_write_buffer_size())
        seen.append(received(peer))

    protocol.deeds["data"] = answer
    peer.send(b"?")
    turns(loop, 2)
    assert seen == [len("one,two,three,four"), b""]
    assert received(peer) == b"one,two,three,four"
    assert transport.get_write_buffer_size() == 0


def test_what_the_callbacks_of_a_turn_write_leaves_in_one_piece_at_its_end(loop: Fate, connect: Connect) -> None:
    transport, _, peer = connect()
    seen: list[bytes] = []
    loop.call_soon(transport.write, b"one,")
    loop.call_soon(lambda: seen.append(received(peer)))
    loop.call_soon(transport.write, b"two")
    turns(loop)
    loop.call_soon(lambda: seen.append(received(peer)))
    turns(loop)
    assert seen == [b"", b"one,two"]


def test_much_that_a_callback_writes_has_left_before_the_next_one_runs(loop: Fate, connect: Connect) -> None:
    transport, _, peer = connect()
    seen: list[int] = []
    loop.call_soon(transport.write, bytes(5000))
    loop.call_soon(lambda: seen.append(len(received(peer))))
    turns(loop)
    assert seen == [5000]


def test_of_many_who_write_in_one_turn_the_first_do_not_wait_for_the_last(loop: Fate, connect: Connect) -> None:
    connections = [connect() for _ in range(40)]
    seen: list[bytes] = []
    for transport, _, _ in connections:
        loop.call_soon(transport.write, bytes(1000))
    loop.call_soon(lambda: seen.extend(received(peer) for _, _, peer in connections))
    turns(loop)
    assert seen[0] == bytes(1000) and seen[-1] == b""
    assert all(received(peer) in (b"", bytes(1000)) for _, _, peer in connections)


def test_what_is_written_while_no_callback_runs_leaves_at_once(connect: Connect) -> None:
    transport, _, peer = connect()
    transport.write(b"x")
    assert received(peer) == b"x"


@pytest.mark.parametrize("deed", ["close", "abort", "write_eof"])
def test_what_was_written_before_the_end_has_left(loop: Fate, connect: Connect, deed: str) -> None:
    transport, _, peer = connect()

    def end() -> None:
        transport.write(b"bye")
        getattr(transport, deed)()

    loop.call_soon(end)
    turns(loop, 3)
    assert peer.recv(10) == b"bye"
    assert peer.recv(10) == b""


def test_who_gets_the_socket_writes_after_what_was_written_before(loop: Fate, connect: Connect) -> None:
    transport, _, peer = connect()

    def write() -> None:
        transport.write(b"one,")
        transport.get_extra_info("socket")._sock.send(b"two")

    loop.call_soon(write)
    turns(loop)
    assert received(peer) == b"one,two"


def test_a_callback_that_ends_the_loop_has_written(loop: Fate, connect: Connect) -> None:
    transport, _, peer = connect()

    def end() -> None:
        transport.write(b"bye")
        raise SystemExit

    loop.call_soon(end)
    with pytest.raises(SystemExit):
        loop.run_forever()
    assert received(peer) == b"bye"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes fork")
def test_a_forked_child_does_not_write_it_again(loop: Fate, connect: Connect) -> None:
    transport, _, peer = connect()
    statuses: list[int] = []

    def fork() -> None:
        transport.write(b"once")
        child = os.fork()
        if not child:
            raise SystemExit
        statuses.append(os.waitpid(child, 0)[1])
        transport.write(b", and more")

    loop.call_soon(fork)
    me = os.getpid()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # other tests' threads may run
            turns(loop)
    finally:
        if os.getpid() != me:
            os._exit(7)
    assert statuses == [7 << 8]
    assert received(peer) == b"once, and more"


@pytest.mark.parametrize("how", ["close", "detach"])
def test_what_is_corked_does_not_go_to_the_file_that_got_the_number_of_a_closed_socket(loop: Fate, how: str) -> None:
    protocol = Told()
    ours, peer = socket.socketpair()
    number = ours.fileno()
    transport, _ = loop.run_until_complete(loop.connect_accepted_socket(lambda: protocol, ours))
    with peer, tempfile.TemporaryFile() as file:

        def end() -> None:
            transport.write(b"for the peer")
            getattr(ours, how)()
            os.dup2(file.fileno(), number)

        loop.call_soon(end)
        turns(loop, 3)
        os.close(number)
        file.seek(0)
        assert file.read() == b""
    assert [what for what, *_ in protocol.log] == ["made", "lost"]
    assert protocol.log[-1][1].errno == errno.EBADF


def test_a_closed_socket_takes_nothing_of_what_comes_for_the_one_that_got_its_number(
    loop: Fate, connect: Connect
) -> None:
    transport, protocol, peer = connect()
    left, right = socket.socketpair()
    with left, right:
        ours = transport.get_extra_info("socket")._sock
        number = ours.fileno()
        peer.send(b"x")
        ours.detach()
        os.dup2(left.fileno(), number)
        right.send(b"for another")
        transport.pause_reading()
        transport.resume_reading()  # watches the number
        turns(loop, 3)
        assert left.recv(100) == b"for another"
    assert protocol.log[-1][1].errno == errno.EBADF


def test_more_than_the_limit_does_not_wait_for_the_callbacks_end(loop: Fate, connect: Connect) -> None:
    transport, _, peer = connect()
    seen: list[bytes] = []
    transport.set_write_buffer_limits(high=10)

    def write() -> None:
        transport.write(b"12345")
        seen.append(received(peer))
        transport.write(b"67890!")
        seen.append(received(peer))

    loop.call_soon(write)
    turns(loop)
    assert seen == [b"", b"1234567890!"]


@pytest.mark.parametrize("inside", [False, True])
def test_the_protocol_is_paused_and_resumed_by_what_the_peer_has_not_taken(
    loop: Fate, connect: Connect, inside: bool
) -> None:
    transport, protocol, peer = connect()

    def write() -> None:
        for _ in range(30):
            transport.write(b"x" * (HUGE // 30))

    if inside:
        loop.call_soon(write)
        turns(loop)
    else:
        write()
    assert protocol.log == [("made",), ("pause",)]
    got = 0
    while got < HUGE:
        got += len(received(peer))
        turns(loop)
    assert protocol.log == [("made",), ("pause",), ("resume",)]
    assert got == HUGE


def test_limits_that_make_no_sense_are_refused(connect: Connect) -> None:
    transport, _, _ = connect()
    transport.set_write_buffer_limits(low=10)
    assert transport.get_write_buffer_limits() == (10, 40)
    transport.set_write_buffer_limits()
    assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
    for high, low in [(-1, None), (1, 2), (None, -1)]:
        with pytest.raises(ValueError):
            transport.set_write_buffer_limits(high, low)


@pytest.mark.parametrize("size", [5, HUGE])
@pytest.mark.parametrize("inside", [False, True])
def test_a_buffer_that_its_owner_changes_after_write_is_sent_as_it_was(
    loop: Fate, connect: Connect, size: int, inside: bool
) -> None:
    transport, _, peer = connect()

    def write() -> None:
        for view in (False, True):
            mutable = bytearray(b"x" * size)
            transport.write(memoryview(mutable) if view else mutable)
            mutable[:] = b"!" * size

    if inside:
        loop.call_soon(write)
        turns(loop)
    else:
        write()
    got = b""
    while len(got) < 2 * size:
        got += received(peer)
        turns(loop)
    assert got == b"x" * (2 * size)


def test_a_view_of_numbers_is_sent_whole(loop: Fate, connect: Connect) -> None:
    transport, _, peer = connect()
    numbers = memoryview(bytes(range(64))).cast("I")
    transport.write(numbers)
    loop.call_soon(transport.write, numbers)
    turns(loop)
    assert received(peer) == bytes(range(64)) * 2


def test_many_pieces_leave_in_order(loop: Fate, connect: Connect) -> None:
    transport, _, peer = connect()
    pieces = [bytes([number % 256]) * number for number in range(300)]
    loop.call_soon(lambda: [transport.write(piece) for piece in pieces])
    got = b""
    while len(got) < sum(map(len, pieces)):
        turns(loop)
        got += received(peer)
    assert got == b"".join(pieces)


def test_writing_to_a_closed_transport_is_told_after_a_while(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    transport, _, _ = connect()
    transport.close()
    with caplog.at_level(logging.WARNING, "asyncio"):
        for _ in range(constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES - 1):
            transport.write(b"x")
        assert not caplog.messages
        transport.write(b"x")
    assert caplog.messages == ["socket.send() raised exception."]


def test_what_is_no_buffer_and_what_comes_after_write_eof_is_refused(connect: Connect) -> None:
    transport, _, _ = connect()
    for wrong in ("text", 1, None):
        with pytest.raises(TypeError, match="must be a bytes-like object"):
            transport.write(wrong)
    transport.write_eof()
    assert transport.can_write_eof()
    with pytest.raises(RuntimeError, match=r"Cannot call write\(\) after write_eof"):
        transport.write(b"x")
    with pytest.raises(RuntimeError, match=r"Cannot call writelines\(\) after write_eof"):
        transport.writelines([b"x"])


# -- order, contexts and errors ----------------------------------------------------------------------------------------


def test_connection_made_comes_before_data_and_before_whoever_waits(loop: Fate, log: Log) -> None:
    ours, peer = socket.socketpair()
    peer.send(b"early")
    protocol = Told(log)

    async def main() -> None:
        await loop.connect_accepted_socket(lambda: protocol, ours)
        log.append("awaited")

    loop.run_until_complete(main())
    turns(loop, 2)
    assert log[0] == ("made",) and sorted(log[1:], key=str) == [("data", b"early"), "awaited"]
    peer.close()
    turns(loop, 3)


def test_callbacks_run_in_the_context_in_which_the_transport_was_made(loop: Fate, log: Log) -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    ours, peer = socket.socketpair()

    def note(*arguments: Any) -> None:
        log.append(variable.get())

    def count(data: bytes) -> None:
        note()
        variable.set(variable.get() + "+")

    protocol = Told(made=note, data=count, eof=note, lost=note)

    async def main() -> None:
        variable.set("mine")
        await loop.connect_accepted_socket(lambda: protocol, ours)

    loop.run_until_complete(main())
    for _ in range(2):
        peer.send(b"x")
        turns(loop, 2)
    peer.close()
    turns(loop, 3)
    assert log == ["mine", "mine", "mine+", "mine++", "mine++"]  # one context for all that is read, as in asyncio
    assert variable.get() == "unset"


def test_a_failed_write_ends_the_connection_in_the_context_of_the_connection(
    loop: Fate, connect: Connect, log: Log
) -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    transport, protocol, peer = connect()
    transport.pause_reading()
    protocol.deeds["lost"] = lambda error: log.append(variable.get())
    peer.close()

    def write() -> None:
        variable.set("writer's")
        transport.write(b"x")

    loop.call_soon(write)
    turns(loop, 2)
    assert log == ["unset"]
    assert isinstance(protocol.log[-1][1], BrokenPipeError)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_what_shall_end_the_program_ends_the_loop(loop: Fate, connect: Connect, stop: type[BaseException]) -> None:
    def end(data: bytes) -> None:
        raise stop

    transport, protocol, peer = connect(data=end)
    peer.send(b"x")
    with pytest.raises(stop):
        loop.run_forever()
    assert not transport.is_closing()
    assert protocol.log == [("made",), ("data", b"x")]


def test_an_instrument_hears_of_reads(loop: Fate, connect: Connect) -> None:
    from fate import Recorder

    transport, protocol, peer = connect()
    recorder = Recorder()
    loop.set_instrument(recorder)
    protocol.deeds["data"] = lambda data: loop.call_soon(lambda: None)
    peer.send(b"x")
    turns(loop, 3)
    (read,) = [record for record in recorder.records() if "Stream" in record.what]
    assert read.cause == 0 and any(record.cause == read.id for record in recorder.records())
    loop.set_instrument(None)
    transport.abort()


def test_debug_mode_changes_nothing(loop: Fate, connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    loop.set_debug(True)
    with caplog.at_level(logging.DEBUG, "asyncio"):
        transport, protocol, peer = connect(data=lambda data: transport.write(data.upper()))
        peer.send(b"x")
        turns(loop, 2)
        transport.pause_reading()
        transport.resume_reading()
        assert received(peer) == b"X"
        peer.close()
        turns(loop, 3)
    assert protocol.log[-1] == ("lost", None)
    assert any("received EOF" in message for message in caplog.messages)


# -- reading -----------------------------------------------------------------------------------------------------------


def test_a_protocol_of_the_other_kind_goes_on_where_the_first_one_ended(loop: Fate, connect: Connect, log: Log) -> None:
    class Buffered(asyncio.BufferedProtocol):
        buffer = bytearray(4)

        def get_buffer(self, sizehint: int) -> memoryview:
            assert sizehint == -1
            return memoryview(self.buffer)

        def buffer_updated(self, nbytes: int) -> None:
            log.append(bytes(self.buffer[:nbytes]))

        def eof_received(self) -> None:
            log.append("eof")

    transport, _, peer = connect(log, data=lambda data: transport.set_protocol(Buffered()))
    peer.send(b"one")
    turns(loop, 2)
    peer.send(b"seven!!")
    turns(loop, 4)
    peer.shutdown(socket.SHUT_WR)
    turns(loop, 4)
    assert log == [("made",), ("data", b"one"), b"seve", b"n!!", "eof"]


@pytest.mark.parametrize("wrong", ["empty", "read-only"])
def test_a_buffer_that_takes_nothing_ends_the_connection(
    loop: Fate, reports: list[Any], connect: Connect, wrong: str
) -> None:
    class Buffered(asyncio.BufferedProtocol):
        def get_buffer(self, sizehint: int) -> Any:
            return bytearray() if wrong == "empty" else b"read-only"

        def connection_lost(self, error: Exception | None) -> None:
            lost.append(error)

    lost: list[Any] = []
    transport, _, peer = connect()
    transport.set_protocol(Buffered())
    peer.send(b"x")
    turns(loop, 3)
    assert len(reports) == 1 and lost == [reports[0]["exception"]]
    assert reports[0]["transport"] is transport
    assert isinstance(lost[0], RuntimeError if wrong == "empty" else (TypeError, BufferError))


def test_much_data_arrives_whole(loop: Fate, connect: Connect) -> None:
    _, protocol, peer = connect()
    data = bytes(range(256)) * (HUGE // 256)
    sent = 0
    while sent < len(data):
        try:
            sent += peer.send(data[sent : sent + 300_000])
        except BlockingIOError:
            turns(loop)
    run_until(loop, lambda: sum(len(entry[1]) for entry in protocol.log[1:]) == len(data))
    assert b"".join(entry[1] for entry in protocol.log[1:]) == data
    assert max(len(entry[1]) for entry in protocol.log[1:]) < 128 * 1024  # larger blocks are mapped, by glibc


def test_a_paused_transport_reads_nothing_though_it_was_in_the_queue(loop: Fate, connect: Connect) -> None:
    first, first_protocol, first_peer = connect()
    second, second_protocol, second_peer = connect()
    first_protocol.deeds["data"] = lambda data: second.pause_reading()
    second_protocol.deeds["data"] = lambda data: first.pause_reading()
    first_peer.send(b"x")
    second_peer.send(b"x")
    turns(loop, 4)
    assert sorted([len(first_protocol.log), len(second_protocol.log)]) == [1, 2]
    first.resume_reading()
    second.resume_reading()
    turns(loop, 4)
    assert len(first_protocol.log) == len(second_protocol.log) == 2


def test_a_file_is_sent_between_what_is_written_before_and_after(loop: Fate, connect: Connect) -> None:
    transport, _, peer = connect()
    with tempfile.TemporaryFile() as file:
        file.write(b"file" * 1000)
        file.flush()

        async def main() -> None:
            transport.write(b"before,")
            sending = asyncio.ensure_future(loop.sendfile(transport, file))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="sendfile is in progress"):
                transport.write(b"meanwhile")
            assert await sending == 4000
            transport.write(b",after")

        loop.run_until_complete(main())
    assert received(peer) == b"before," + b"file" * 1000 + b",after"
    assert loop._transports[transport._sock_fd] is transport


# -- serving -----------------------------------------------------------------------------------------------------------


def test_connections_that_wait_are_accepted_in_one_turn(loop: Fate, log: Log) -> None:
    server = loop.run_until_complete(loop.create_server(lambda: Told(log), "127.0.0.1", 0, backlog=50))
    clients = [socket.create_connection(server.sockets[0].getsockname()) for _ in range(20)]
    run_until(loop, lambda: log)
    assert log == [("made",)] * 20
    for client in clients:
        client.close()
    run_until(loop, lambda: log.count(("lost", None)) == 20)
    server.close()
    loop.run_until_complete(server.wait_closed())


def test_a_server_waits_for_its_connections_to_end(loop: Fate) -> None:
    serving = Told()
    server = loop.run_until_complete(loop.create_server(lambda: serving, "127.0.0.1", 0))
    with socket.create_connection(server.sockets[0].getsockname()) as client:
        run_until(loop, lambda: serving.transport)
        server.close()
        assert server.sockets == ()
        assert server._ssl_context is None
        serving.transport.close()
        loop.run_until_complete(server.wait_closed())
        assert client.recv(1) == b""


def test_a_factory_that_fails_costs_its_connection(loop: Fate, reports: list[Any]) -> None:
    loop.set_debug(True)
    server = loop.run_until_complete(loop.create_server(lambda: 1 / 0, "127.0.0.1", 0))  # type: ignore[arg-type]
    with socket.create_connection(server.sockets[0].getsockname()) as client:
        run_until(loop, lambda: reports)
        assert client.recv(1) == b""
    assert reports[0]["message"] == "Error on transport creation for incoming connection"
    assert isinstance(reports[0]["exception"], ZeroDivisionError)
    server.close()


def test_a_server_without_descriptors_says_so_and_tries_again(
    loop: Fate, reports: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ACCEPT_RETRY_DELAY", 0.01)
    accept = connections.accept
    answers = iter([OSError(errno.EMFILE, "none left")])

    def accept_or_fail(listener: Any, fd: int) -> Any:
        for error in answers:
            raise error
        return accept(listener, fd)

    monkeypatch.setattr(connections, "accept", accept_or_fail)
    serving = Told()
    server = loop.run_until_complete(loop.create_server(lambda: serving, "127.0.0.1", 0))
    client = socket.create_connection(server.sockets[0].getsockname())
    run_until(loop, lambda: serving.transport)
    assert [report["message"] for report in reports] == ["socket.accept() out of system resource"]
    assert reports[0]["exception"].errno == errno.EMFILE
    client.close()
    run_until(loop, lambda: serving.log[-1:] == [("lost", None)])
    server.close()


def test_tls_keeps_no_large_buffer(loop: Fate) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    serving, asking = Told(), Told()
    server = loop.run_until_complete(loop.create_server(lambda: serving, "127.0.0.1", 0, ssl=context))
    address = server.sockets[0].getsockname()
    loop.run_until_complete(loop.create_connection(lambda: asking, *address, ssl=trusting, server_hostname="localhost"))
    run_until(loop, lambda: serving.transport)
    for side in (serving, asking):
        assert len(side.transport._ssl_protocol._ssl_buffer) <= 64 * 1024
        assert type(side.transport._ssl_protocol._transport) is Stream
        assert "ssl" in type(side.transport).__name__.lower()
        assert side.transport.get_extra_info("sslcontext") in (context, trusting)
    asking.transport.write(b"x" * HUGE)
    run_until(loop, lambda: sum(len(entry[1]) for entry in serving.log[1:]) == HUGE)
    asking.transport.close()
    run_until(loop, lambda: serving.log[-1:] == [("lost", None)] and asking.log[-1:] == [("lost", None)])
    server.close()


def test_no_warning_comes_from_a_connection_that_was_closed() -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.read(100))
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x")
        assert await reader.read() == b"x"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loop = Fate()
        loop.run_until_complete(main())
        loop.close()
        gc.collect()


@pytest.mark.parametrize("secure", [False, True])
def test_a_client_that_is_gone_before_it_is_accepted_hinders_nobody(
    loop: Fate, reports: list[Any], secure: bool
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    serving: list[Told] = []

    def make() -> Told:
        serving.append(Told())
        return serving[-1]

    server = loop.run_until_complete(loop.create_server(make, "127.0.0.1", 0, ssl=context if secure else None))
    address = server.sockets[0].getsockname()
    gone, staying = socket.create_connection(address), socket.create_connection(address)
    name = gone.getsockname()
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    gone.close()  # with a reset
    run_until(loop, lambda: len(serving) == 2)
    if not secure:
        run_until(loop, lambda: len(serving[0].log) == 2)
        assert isinstance(serving[0].log[1][1], ConnectionResetError)
        assert serving[0].transport.get_extra_info("peername") == name
    assert not reports
    staying.close()
    turns(loop, 5)
    server.close()
    run_until(loop, lambda: not loop._transports)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="Server.close_clients came with 3.13")
@pytest.mark.parametrize("way", ["close_clients", "abort_clients"])
def test_a_server_knows_its_connections_and_no_other_servers(way: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        made: list[asyncio.Transport] = []

        class Note(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                made.append(cast(asyncio.Transport, transport))

        servers: list[Any] = [await loop.create_server(Note, "127.0.0.1", 0) for _ in range(2)]
        clients = []
        for server in (servers[0], servers[0], servers[1]):
            clients.append(await asyncio.open_connection(*server.sockets[0].getsockname()))
            while len(made) < len(clients):
                await asyncio.sleep(0)
        assert [len(server._clients) for server in servers] == [2, 1]
        getattr(servers[0], way)()
        servers[0].close()
        await servers[0].wait_closed()
        assert [transport.is_closing() for transport in made] == [True, True, False]
        assert await clients[0][0].read() == await clients[1][0].read() == b""
        servers[1].close()
        servers[1].close_clients()
        await servers[1].wait_closed()
        for _, writer in clients:
            writer.close()
            await writer.wait_closed()

    with asyncio.Runner(loop_factory=Fate) as runner:
        runner.run(main())


def test_what_comes_while_data_received_turns_the_loop_is_read_when_it_has_returned(loop: Fate, reports: list) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
    near.setblocking(False)
    got = bytearray()

    class Turning(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            got.extend(data)
            if got == b"first":
                far.send(b"second")
                for _ in range(20):
                    loop.call_soon(lambda: None)
                    loop._run_once()
            else:
                loop.stop()

    async def main() -> None:
        await loop.connect_accepted_socket(Turning, near)
        far.send(b"first")

    task = loop.create_task(main())
    loop.call_later(5, loop.stop)
    with far:
        loop.run_forever()
        assert task.done()
        assert got == b"firstsecond" and not reports
