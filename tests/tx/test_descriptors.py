"""Readers and writers: what is written leaves when the turn ends, and every end of a connection is told."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.python import log
from zope.interface import implementer

from fate.tx import FateReactor

Run = Callable[..., None]


class Peer(Protocol):
    """Keeps what comes, and calls back."""

    def __init__(
        self, made: Callable[[Any], object] | None = None, lost: Callable[[Any], object] | None = None
    ) -> None:
        self.made, self.lost = made, lost
        self.data = b""
        self.chunks: list[bytes] = []
        self.wanted: dict[int, Callable[[Any], object]] = {}

    def connectionMade(self) -> None:
        if self.made:
            self.made(self)

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self.chunks.append(data)
        for length in [length for length in self.wanted if length <= len(self.data)]:
            self.wanted.pop(length)(self)

    def connectionLost(self, reason: Any = None) -> None:
        self.reason = reason.value
        if self.lost:
            self.lost(self)


def connect(reactor: FateReactor, server: Peer, client: Peer) -> Callable[[], None]:
    """What joins the two over TCP, when called."""

    def go() -> None:
        class Once(Factory):
            noisy = False

            def buildProtocol(self, addr: Any) -> Peer:
                return server

        class Client(ClientFactory):
            noisy = False

            def buildProtocol(self, addr: Any) -> Peer:
                return client

        port = reactor.listenTCP(0, Once(), interface="127.0.0.1")
        reactor.connectTCP("127.0.0.1", port.getHost().port, Client())

    return go


class Sends:
    """Counts what a transport gives to its socket."""

    def __init__(self, transport: Any) -> None:
        self.socket, self.sent = transport.socket, []
        transport.socket = self

    def send(self, data: Any) -> int:
        count = self.socket.send(data)
        self.sent.append(bytes(data[:count]))
        return count

    def __getattr__(self, name: str) -> Any:
        return getattr(self.socket, name)


def test_what_one_callback_writes_leaves_in_one_piece(reactor: FateReactor, run: Run) -> None:
    seen: list[Any] = []

    def made(peer: Peer) -> None:
        seen.append(Sends(peer.transport))

    def asked(peer: Peer) -> None:
        peer.transport.write(b"one ")
        peer.transport.writeSequence([b"two ", b"three"])
        seen.append(list(seen[0].sent))
        peer.transport.loseConnection()

    server, client = Peer(made), Peer(lambda peer: peer.transport.write(b"?"), lambda _: reactor.stop())
    server.wanted[1] = asked
    run(connect(reactor, server, client))
    assert seen[1] == []
    assert [piece for piece in seen[0].sent if piece] == [b"one two three"]
    assert client.data == b"one two three"
    assert isinstance(client.reason, ConnectionDone)
    assert isinstance(server.reason, ConnectionDone)


@pytest.mark.parametrize(("size", "expected"), [(1, [0, 0, 2]), (10_000, [0, 1, 2])])
def test_what_the_callbacks_of_one_turn_write_leaves_when_it_ends(
    reactor: FateReactor, run: Run, size: int, expected: list[int]
) -> None:
    """Back to back, so that a client that sleeps between two answers is woken once; much leaves at once."""
    sends: list[Sends] = []
    seen: list[int] = []

    def made(peer: Peer) -> None:
        sends.append(Sends(peer.transport))
        if len(sends) == 2:
            for server in servers:
                reactor.callLater(0, write, server)  # two calls in one turn
            reactor.callLater(0, reactor.callLater, 0, check)

    def write(server: Peer) -> None:
        assert server.transport is not None
        server.transport.write(b"x" * size)
        seen.append(sum(len(each.sent) for each in sends))

    def check() -> None:
        seen.append(sum(len(each.sent) for each in sends))
        reactor.stop()

    servers = [Peer(made), Peer(made)]

    def go() -> None:
        for server in servers:
            connect(reactor, server, Peer())()

    run(go)
    assert seen == expected


def test_more_than_the_kernel_takes_arrives_whole(reactor: FateReactor, run: Run) -> None:
    size = 5_000_000
    client = Peer(lambda peer: peer.transport.write(b"?"))
    server = Peer()
    server.wanted[1] = lambda peer: (peer.transport.write(b"x" * size), peer.transport.loseConnection())
    client.lost = lambda _: reactor.stop()
    run(connect(reactor, server, client))
    assert len(client.data) == size


def test_a_producer_is_paused_and_resumed(reactor: FateReactor, run: Run) -> None:
    told: list[str] = []

    @implementer(IPushProducer)
    class Producer:
        left = 200

        def pauseProducing(self) -> None:
            told.append("pause")

        def resumeProducing(self) -> None:
            told.append("resume")
            self.produce()

        def stopProducing(self) -> None:
            told.append("stop")

        def produce(self) -> None:
            while self.left and (not told or told[-1] != "pause"):
                self.left -= 1
                server.transport.write(b"x" * 20_000)
            if not self.left:
                server.transport.unregisterProducer()
                server.transport.loseConnection()

    def start(_: Peer) -> None:
        producer = Producer()
        server.transport.registerProducer(producer, True)
        producer.produce()

    server, client = Peer(start), Peer(lost=lambda _: reactor.stop())
    run(connect(reactor, server, client))
    assert len(client.data) == 4_000_000
    assert told[:2] == ["pause", "resume"]
    assert "stop" not in told


def test_half_a_connection_can_be_closed(reactor: FateReactor, run: Run) -> None:
    told: list[str] = []

    @implementer(IHalfCloseableProtocol)
    class Half(Peer):
        def readConnectionLost(self) -> None:
            told.append("read")
            self.transport.write(b"answer")
            self.transport.loseConnection()

        def writeConnectionLost(self) -> None:
            told.append("write")

    def ask(peer: Peer) -> None:
        peer.transport.write(b"question")
        peer.transport.loseWriteConnection()

    server, client = Half(), Half(ask)
    client.readConnectionLost = lambda: client.transport.loseConnection()  # type: ignore[method-assign]
    client.lost = lambda _: reactor.stop()
    run(connect(reactor, server, client))
    assert told == ["write", "read"]
    assert (server.data, client.data) == (b"question", b"answer")


def test_an_aborted_connection_sends_nothing_more(reactor: FateReactor, run: Run) -> None:
    def abort(peer: Peer) -> None:
        peer.transport.write(b"never sent")
        peer.transport.abortConnection()
        peer.transport.write(b"neither")

    server, client = Peer(), Peer(lambda peer: peer.transport.write(b"?"), lambda _: reactor.stop())
    server.wanted[1] = abort
    run(connect(reactor, server, client))
    assert isinstance(server.reason, ConnectionAborted)
    assert isinstance(client.reason, ConnectionLost)
    assert client.data == b""


def test_an_error_in_data_received_costs_the_connection_and_nothing_else(
    reactor: FateReactor, run: Run, logged: list[Any]
) -> None:
    def fail(peer: Peer) -> None:
        raise ZeroDivisionError

    server, client = Peer(), Peer(lambda peer: peer.transport.write(b"?"), lambda _: reactor.stop())
    server.wanted[1] = fail
    run(connect(reactor, server, client))
    assert isinstance(server.reason, ZeroDivisionError)
    assert [type(error) for error in logged] == [ZeroDivisionError]


def test_what_is_logged_in_a_callback_bears_the_name_of_its_connection(reactor: FateReactor, run: Run) -> None:
    systems: list[str] = []

    def observe(event: dict[str, Any]) -> None:
        if event.get("message") == ("here",):
            systems.append(event["system"])

    log.addObserver(observe)
    server, client = Peer(), Peer(lambda peer: peer.transport.write(b"?"), lambda _: reactor.stop())
    server.wanted[1] = lambda peer: (log.msg("here"), peer.transport.loseConnection())
    try:
        run(connect(reactor, server, client))
        log.msg("here")
    finally:
        log.removeObserver(observe)
    assert systems == ["Peer,0,127.0.0.1", "-"]


def test_a_pause_keeps_what_is_already_there_from_being_read(reactor: FateReactor, run: Run) -> None:
    def pause(peer: Peer) -> None:
        peer.transport.pauseProducing()
        client.transport.write(b"second")
        reactor.callLater(0.02, resume, peer)

    def resume(peer: Peer) -> None:
        assert peer.data == b"first"
        peer.wanted[11] = lambda _: reactor.stop()
        peer.transport.resumeProducing()

    server, client = Peer(), Peer(lambda peer: peer.transport.write(b"first"))
    server.wanted[5] = pause
    run(connect(reactor, server, client))
    assert server.data == b"firstsecond"


class Pipe(FileDescriptor):
    """One end of a pipe."""

    def __init__(self, reactor: FateReactor, fd: int) -> None:
        super().__init__(reactor)
        self.fd = fd
        self.told: list[Any] = []

    def fileno(self) -> int:
        return self.fd

    def doRead(self) -> Any:
        self.told.append(os.read(self.fd, 100))

    def doWrite(self) -> Any:
        self.told.append("write")
        self.reactor.removeWriter(self)

    def connectionLost(self, reason: Any) -> None:
        self.told.append(type(reason.value))
        self.reactor.removeReader(self)
        self.reactor.removeWriter(self)
        os.close(self.fd)
        self.reactor.stop()


def test_a_hang_up_with_nothing_to_read_is_a_clean_end(reactor: FateReactor, run: Run) -> None:
    read, write = os.pipe()
    pipe = Pipe(reactor, read)
    reactor.addReader(pipe)
    os.write(write, b"x")
    os.close(write)
    run()
    assert pipe.told == [b"x", ConnectionDone]


def test_a_broken_pipe_is_an_unclean_end(reactor: FateReactor, run: Run) -> None:
    read, write = os.pipe()
    pipe = Pipe(reactor, write)
    os.close(read)
    reactor.addWriter(pipe)
    run()
    assert pipe.told == [ConnectionLost]


def test_only_a_writer_that_is_ready_is_called(reactor: FateReactor, run: Run) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    pipe = Pipe(reactor, write)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(write, b"x" * 65536)
    reactor.addWriter(pipe)
    reactor.callLater(0.01, lambda: (pipe.told.append("drain"), os.read(read, 1 << 20)))
    reactor.callLater(0.03, reactor.stop)
    run()
    assert pipe.told[:2] == ["drain", "write"]
    os.close(read)


def test_a_regular_file_is_always_ready(reactor: FateReactor, run: Run, tmp_path: Any) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"contents")
    fd = os.open(path, os.O_RDONLY)

    class File(Pipe):
        def doRead(self) -> Any:
            super().doRead()
            self.reactor.removeReader(self)
            self.reactor.stop()

    file = File(reactor, fd)
    reactor.addReader(file)
    assert reactor.getReaders() == [file]
    run()
    assert file.told == [b"contents"]
    os.close(fd)


def test_all_readers_and_writers_are_known_and_can_be_removed(reactor: FateReactor) -> None:
    left, right = socket.socketpair()
    with left, right:
        reader, writer = Pipe(reactor, left.fileno()), Pipe(reactor, right.fileno())
        reactor.addReader(reader)
        reactor.addReader(reader)
        reactor.addWriter(writer)
        assert (reactor.getReaders(), reactor.getWriters()) == ([reader], [writer])
        assert set(reactor.removeAll()) == {reader, writer}
        assert (reactor.getReaders(), reactor.getWriters()) == ([], [])
        reactor.removeReader(reader)  # twice does nothing


def test_two_descriptors_may_share_a_number(reactor: FateReactor, run: Run) -> None:
    left, right = socket.socketpair()
    with left, right:
        reader, writer = Pipe(reactor, left.fileno()), Pipe(reactor, left.fileno())
        reactor.addReader(reader)
        reactor.addWriter(writer)
        right.send(b"x")
        reactor.callLater(0.01, reactor.removeReader, reader)
        reactor.callLater(0.02, reactor.stop)
        run()
        assert reader.told == [b"x"]
        assert writer.told == ["write"]
