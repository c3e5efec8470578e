"""The reactor without Twisted: TCP, lines and children."""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from growth import in_proportion

from fate.reactor import ClientFactory, Factory, LineReceiver, ProcessProtocol, Protocol, Reactor
from fate.reactor.errors import (
    CannotListenError,
    ConnectError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectTimeoutError,
    ProcessDone,
    ProcessExitedAlready,
    ProcessTerminated,
    SpawnError,
    UserError,
)


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    """A reactor that gives up after 20 seconds; what went to its exception handler is in `reports`."""
    made = Reactor()
    made.reports = []  # type: ignore[attr-defined]
    made.loop.set_exception_handler(lambda loop, context: made.reports.append(context["exception"]))  # type: ignore[attr-defined]
    late: list[bool] = []
    made.callLater(20, lambda: (late.append(True), made.stop()))
    yield made
    assert not late, "nobody stopped the reactor"
    if not made.loop.is_closed():
        made.loop.close()


class Client(ClientFactory):
    """Keeps what happens, and stops the reactor at the end."""

    def __init__(self, reactor: Reactor, protocol: Any = Protocol) -> None:
        self.reactor, self.protocol = reactor, protocol
        self.told: list[Any] = []

    def startFactory(self) -> None:
        self.told.append("start")

    def stopFactory(self) -> None:
        self.told.append("stop")

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self.told.append(type(reason.value))
        self.reactor.stop()

    def clientConnectionLost(self, connector: Any, reason: Any) -> None:
        self.told.append(type(reason.value))
        self.reactor.stop()


class Keeping(Protocol):
    """Keeps what comes."""

    def __init__(self) -> None:
        self.data = b""
        self.reason: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Any) -> None:
        self.reason = reason.value


class Server(Factory):
    """One connection; `act` is called with its protocol when something has come."""

    def __init__(self, act: Callable[[Any], object]) -> None:
        self.act = act
        self.made: list[Any] = []

    def buildProtocol(self, addr: Any) -> Any:
        assert addr.host == "127.0.0.1"

        class Acting(Keeping):
            def dataReceived(inner, data: bytes) -> None:  # noqa: N805
                super().dataReceived(data)
                self.act(inner)

        self.made.append(Acting())
        return self.made[-1]


def connect(reactor: Reactor, server: Factory, first: bytes = b"?") -> tuple[Client, Keeping]:
    kept = Keeping()
    kept.connectionMade = lambda: kept.transport.write(first)  # type: ignore[method-assign]
    factory = Client(reactor, lambda: kept)
    port = reactor.listenTCP(0, server, interface="127.0.0.1")
    reactor.connectTCP("127.0.0.1", port.getHost().port, factory)
    return factory, kept


def test_bytes_go_there_and_back_and_a_clean_end_is_told_to_both(reactor: Reactor) -> None:
    def answer(protocol: Any) -> None:
        protocol.transport.write(protocol.data.upper())
        protocol.transport.writeSequence([b"!", b"!"])
        protocol.transport.loseConnection()

    server = Server(answer)
    factory, kept = connect(reactor, server, b"hello")
    reactor.run()
    assert kept.data == b"HELLO!!"
    assert factory.told == ["start", ConnectionDone, "stop"]
    assert isinstance(kept.reason, ConnectionDone)
    assert isinstance(server.made[0].reason, ConnectionDone)


def test_an_abort_drops_what_was_written(reactor: Reactor) -> None:
    def abort(protocol: Any) -> None:
        protocol.transport.abortConnection()
        protocol.transport.write(b"never")

    server = Server(abort)
    factory, kept = connect(reactor, server)
    reactor.run()
    assert kept.data == b""
    assert isinstance(server.made[0].reason, ConnectionAborted)
    assert issubclass(factory.told[1], (ConnectionLost, ConnectionDone))


def test_a_protocol_that_raises_loses_its_connection_and_is_reported(reactor: Reactor) -> None:
    server = Server(lambda protocol: 1 / 0)
    connect(reactor, server)
    reactor.run()
    assert isinstance(server.made[0].reason, ZeroDivisionError)
    assert [type(error) for error in reactor.reports] == [ZeroDivisionError]  # type: ignore[attr-defined]


@pytest.mark.parametrize("streaming", [True, False])
def test_a_producer_writes_as_fast_as_the_peer_reads(reactor: Reactor, streaming: bool) -> None:
    told: list[str] = []

    class Producer:
        def __init__(self, transport: Any) -> None:
            self.transport, self.left, self.paused = transport, 100, False

        def pauseProducing(self) -> None:
            told.append("pause")
            self.paused = True

        def resumeProducing(self) -> None:
            self.paused = False
            while self.left and not self.paused:
                self.left -= 1
                self.transport.write(b"x" * 50_000)
                if not streaming:
                    break
            if not self.left:
                self.transport.unregisterProducer()
                self.transport.loseConnection()

        def stopProducing(self) -> None:
            told.append("stop")

    def produce(protocol: Any) -> None:
        producer = Producer(protocol.transport)
        protocol.transport.registerProducer(producer, streaming)
        if streaming:
            producer.resumeProducing()

    _, kept = connect(reactor, Server(produce))
    reactor.run()
    assert len(kept.data) == 5_000_000
    assert ("pause" in told) == streaming
    assert "stop" not in told


def test_half_a_connection_can_be_closed_and_wrong_data_is_refused(reactor: Reactor) -> None:
    refused: list[type] = []

    def answer(protocol: Any) -> None:
        with pytest.raises(TypeError, match="must be bytes") as info:
            protocol.transport.write("text")
        refused.append(info.type)
        protocol.transport.write(b"bye")
        protocol.transport.loseWriteConnection()

    _, kept = connect(reactor, Server(answer))
    reactor.run()
    assert (kept.data, refused) == (b"bye", [TypeError])


def test_a_port_that_is_taken_is_a_typed_error(reactor: Reactor) -> None:
    port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
    with pytest.raises(CannotListenError, match="in use"):
        reactor.listenTCP(port.getHost().port, Factory(), interface="127.0.0.1")
    with pytest.raises(CannotListenError):
        reactor.listenTCP(0, Factory(), interface="192.0.2.1")
    port.stopListening().addCallback(lambda _: reactor.stop())
    reactor.run()


def test_a_port_that_has_stopped_listening_is_free(reactor: Reactor) -> None:
    port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
    number = port.getHost().port

    def again(_: Any) -> None:
        reactor.listenTCP(number, Factory(), interface="127.0.0.1").stopListening()
        reactor.stop()

    reactor.callWhenRunning(lambda: port.stopListening().addCallback(again))
    reactor.run()


def test_nobody_there_is_a_typed_failure_and_another_attempt_may_follow(reactor: Reactor) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        factory = Client(reactor)
        attempts: list[Any] = []

        def failed(connector: Any, reason: Any) -> None:
            attempts.append(type(reason.value))
            if len(attempts) < 2:
                connector.connect()
            else:
                reactor.stop()

        factory.clientConnectionFailed = failed  # type: ignore[method-assign]
        reactor.connectTCP("127.0.0.1", taken.getsockname()[1], factory)
        reactor.run()
    assert attempts == [ConnectError, ConnectError]
    assert factory.told == ["start", "stop"]


def test_a_peer_that_never_answers_is_given_up(reactor: Reactor) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        with socket.socket() as one, socket.socket() as two:
            for filler in (one, two):
                filler.setblocking(False)
                filler.connect_ex(address)
            factory = Client(reactor)
            reactor.connectTCP(*address, factory, timeout=0.05)
            reactor.run()
    assert factory.told == ["start", ConnectTimeoutError, "stop"]


def test_an_attempt_can_be_taken_back(reactor: Reactor) -> None:
    factory = Client(reactor)
    connector = reactor.connectTCP("127.0.0.1", 1, factory)
    reactor.callWhenRunning(connector.disconnect)
    reactor.run()
    assert factory.told[:2] in (["start", UserError], ["start", ConnectError])
    with pytest.raises(RuntimeError, match="nothing to stop"):
        connector.stopConnecting()


class Sink:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.disconnecting = False

    def writeSequence(self, pieces: Any) -> None:
        self.written += b"".join(pieces)

    def loseConnection(self) -> None:
        self.disconnecting = True


class Lines(LineReceiver):
    MAX_LENGTH = 10

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.transport: Any = Sink()

    def lineReceived(self, line: bytes) -> None:
        self.got.append(line)
        if line == b"raw":
            self.setRawMode()

    def rawDataReceived(self, data: bytes) -> None:
        raw, _, rest = data.partition(b".")
        self.got.append(("raw", raw))
        self.setLineMode(rest)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_lines_come_whole_however_they_are_cut(size: int) -> None:
    lines = Lines()
    text = b"one\r\n\r\ntwo\r\nthree\r\nrest"
    for place in range(0, len(text), size):
        lines.dataReceived(text[place : place + size])
    assert lines.got == [b"one", b"", b"two", b"three"]


def test_raw_bytes_may_come_between_lines() -> None:
    lines = Lines()
    lines.dataReceived(b"raw\r\nabc.one\r\ntwo\r\n")
    assert lines.got == [b"raw", ("raw", b"abc"), b"one", b"two"]


def test_a_line_that_is_too_long_ends_the_connection() -> None:
    for text in (b"x" * 11 + b"\r\n", b"x" * 50):
        lines = Lines()
        lines.dataReceived(text)
        assert lines.transport.disconnecting
        assert lines.got == []
    lines = Lines()
    lines.sendLine(b"out")
    assert lines.transport.written == b"out\r\n"


class Child(ProcessProtocol):
    """Keeps what a child says, and stops the reactor at its end."""

    def __init__(self, reactor: Reactor) -> None:
        self.reactor, self.out, self.err, self.told = reactor, b"", b"", []  # type: ignore[var-annotated]

    def outReceived(self, data: bytes) -> None:
        self.out += data

    def errReceived(self, data: bytes) -> None:
        self.err += data

    def processExited(self, reason: Any) -> None:
        self.told.append("exited")

    def processEnded(self, reason: Any) -> None:
        self.told.append("ended")
        self.reason = reason.value
        self.reactor.stop()


def spawn(reactor: Reactor, code: str, **options: Any) -> Child:
    child = Child(reactor)
    reactor.spawnProcess(child, sys.executable, ["python", "-c", code], **options)
    return child


def test_a_child_is_written_to_and_heard(reactor: Reactor) -> None:
    child = spawn(reactor, "import sys; print(sys.stdin.read()[::-1]); print('err', file=sys.stderr)")
    child.connectionMade = lambda: (child.transport.write(b"abc"), child.transport.closeStdin())  # type: ignore[assignment, method-assign, return-value]
    reactor.run()
    assert (child.out, child.err) == (b"cba\n", b"err\n")
    assert isinstance(child.reason, ProcessDone)
    assert child.told == ["exited", "ended"]


def test_what_is_written_before_the_child_is_there_reaches_it(reactor: Reactor) -> None:
    child = Child(reactor)
    transport = reactor.spawnProcess(child, sys.executable, ["python", "-c", "print(input())"])
    transport.write(b"early\n")
    transport.closeStdin()
    reactor.run()
    assert child.out == b"early\n"


def test_the_environment_and_the_directory_are_those_given(reactor: Reactor, tmp_path: Any) -> None:
    child = spawn(
        reactor, "import os; print(os.environ.get('FATED'), os.getcwd())", env={"FATED": "yes"}, path=tmp_path
    )
    reactor.run()
    assert child.out.decode().strip() == f"yes {os.path.realpath(tmp_path)}"


def test_how_a_child_ended_is_told(reactor: Reactor) -> None:
    child = spawn(reactor, "exit(3)")
    reactor.run()
    assert isinstance(child.reason, ProcessTerminated)
    assert (child.reason.exitCode, child.reason.signal) == (3, None)


def test_a_child_can_be_killed_once(reactor: Reactor) -> None:
    child = spawn(reactor, "import time; time.sleep(60)")

    def kill() -> None:
        with pytest.raises(ValueError, match="no signal SIGNOTHING"):
            child.transport.signalProcess("NOTHING")
        child.transport.signalProcess("KILL")

    child.connectionMade = kill  # type: ignore[method-assign]
    reactor.run()
    assert isinstance(child.reason, ProcessTerminated)
    assert (child.reason.exitCode, child.reason.signal) == (None, 9)
    with pytest.raises(ProcessExitedAlready):
        child.transport.signalProcess("KILL")


def test_a_program_that_does_not_exist_is_a_typed_end(reactor: Reactor) -> None:
    child = Child(reactor)
    reactor.spawnProcess(child, "/nonexistent/program", ["program"])
    reactor.run()
    assert isinstance(child.reason, SpawnError)
    assert child.told == ["ended"]


def test_nothing_is_left_behind_when_the_reactor_ends(reactor: Reactor) -> None:
    child = spawn(reactor, "print('there', flush=True); import time; time.sleep(60)")
    server = Server(lambda protocol: None)
    factory, kept = connect(reactor, server)
    child.processEnded = lambda reason: child.told.append(reason.value.signal)  # type: ignore[method-assign]
    factory.clientConnectionLost = lambda connector, reason: None  # type: ignore[method-assign]
    waited = [True, True]

    def one_is_there(_: object) -> None:
        waited.pop()
        if not waited:
            reactor.stop()

    child.outReceived = one_is_there  # type: ignore[method-assign]
    server.act = one_is_there
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc") else 0
    reactor.run()
    assert child.told == ["exited", 9]
    assert kept.reason is not None
    assert server.made[0].reason is not None
    if before:
        assert len(os.listdir("/proc/self/fd")) < before


def test_what_begins_again_at_its_end_does_not_keep_the_reactor_from_ending(reactor: Reactor) -> None:
    """A client that reconnects, a child that is started again, a port that is opened anew."""
    told: list[str] = []

    class Again(Client):
        def clientConnectionLost(self, connector: Any, reason: Any) -> None:
            told.append("lost")
            connector.connect()
            reactor.connectTCP("127.0.0.1", peer.getsockname()[1], self)
            with pytest.raises(CannotListenError, match="the reactor has been stopped"):
                reactor.listenTCP(0, self, interface="127.0.0.1")

        def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
            self.clientConnectionLost(connector, reason)

    class Restarted(Child):
        def outReceived(self, data: bytes) -> None:
            reactor.stop()

        def processEnded(self, reason: Any) -> None:
            told.append("ended")
            reactor.spawnProcess(self, sys.executable, ["python", "-c", "import time; time.sleep(60)"])

    with socket.create_server(("127.0.0.1", 0)) as peer:  # it accepts as long as the reactor lives, and longer
        reactor.connectTCP("127.0.0.1", peer.getsockname()[1], Again(reactor))
        child = Restarted(reactor)
        reactor.spawnProcess(child, sys.executable, ["python", "-c", "print(flush=True); input()"])
        reactor.run()
    assert sorted(told) == ["ended", "lost"]
    assert reactor.reports == []  # type: ignore[attr-defined]


def test_a_child_is_written_bytes_and_nothing_else(reactor: Reactor) -> None:
    child = spawn(reactor, "input()")
    with pytest.raises(TypeError, match="Data must be bytes, not str"):
        reactor.spawnProcess(child, "true").write("text")  # type: ignore[arg-type]
    child.connectionMade = lambda: child.transport.closeStdin()  # type: ignore[method-assign]
    reactor.run()


@pytest.mark.parametrize(
    ("host", "port", "timeout"),
    [("127.0.0.1", 0, 5), ("127.0.0.1", "x", 5), ("127.0.0.1", True, 5), (3, 1, 5), ("127.0.0.1", 70000, 5),
     ("a\0b", 1, 5), ("a" * 300, 1, 5), ("127.0.0.1", 1, "x")],
)  # fmt: skip
def test_a_connection_that_cannot_be_asked_for_is_a_typed_failure(
    reactor: Reactor, host: Any, port: Any, timeout: Any
) -> None:
    client = Client(reactor)
    reactor.connectTCP(host, port, client, timeout)
    reactor.run()
    assert client.told == ["start", ConnectError, "stop"]


@pytest.mark.parametrize(
    ("port", "interface", "words"),
    [(70000, "", "a port is a number from 0 to 65535, not 70000"), (-1, "", "not -1"), ("x", "", "not 'x'"),
     (None, "", "not None"), (True, "", "not True"), (0, 3, "an interface is an address as text, not 3"),
     (0, "1.2.3.4.5", "cannot listen on 1.2.3.4.5, port 0"), (0, "a\0b", "cannot listen")],
)  # fmt: skip
def test_where_nobody_can_listen(reactor: Reactor, port: Any, interface: Any, words: str) -> None:
    factory = Client(reactor)
    with pytest.raises(CannotListenError) as caught:
        reactor.listenTCP(port, factory, interface=interface)
    assert words in str(caught.value)
    assert factory.told == []


def test_a_factory_that_raises_when_it_is_told_is_reported_at_once_and_stopped(reactor: Reactor) -> None:
    class Raising(Client):
        def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
            super().clientConnectionFailed(connector, reason)
            raise ValueError("told")

    client = Raising(reactor)
    reactor.connectTCP("127.0.0.1", 70000, client)
    reactor.run()
    assert client.told == ["start", ConnectError, "stop"]
    assert [str(error) for error in reactor.reports] == ["told"]  # type: ignore[attr-defined]


def test_factories_that_raise_keep_no_socket_and_do_not_hinder_the_end(reactor: Reactor) -> None:
    class Raising(Factory):
        def stopFactory(self) -> None:
            raise ValueError("stopped")

    class RaisingFirst(Factory):
        def startFactory(self) -> None:
            raise ValueError("started")

    with pytest.raises(ValueError, match="started"):
        reactor.listenTCP(0, RaisingFirst())
    gc.collect()  # a socket that is left open is a ResourceWarning, which is an error
    reactor.listenTCP(0, Raising())
    reactor.listenTCP(0, Raising())
    reactor.callWhenRunning(reactor.stop)
    reactor.run()
    assert [str(error) for error in reactor.reports] == ["stopped"] * 2  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError):
        reactor.listenTCP(0, Factory())
    gc.collect()


@pytest.mark.parametrize("options", [{"args": ["a\0b"]}, {"env": {1: 2}}])
def test_a_child_that_cannot_be_asked_for_is_a_typed_end(reactor: Reactor, options: Any) -> None:
    child = Child(reactor)
    reactor.spawnProcess(child, sys.executable, **options)
    reactor.run()
    assert isinstance(child.reason, SpawnError)


@pytest.mark.parametrize("pieces", ["many lines in one", "one line in many"])
def test_lines_are_cut_in_proportion_to_what_comes(pieces: str) -> None:
    class Cut(LineReceiver):
        delimiter = b"\n"
        MAX_LENGTH = 1 << 30
        count = 0

        def lineReceived(self, line: bytes) -> None:
            self.count += 1

    def make(count: int) -> Callable[[], None]:
        receiver: Any = Cut()
        receiver.transport = SimpleNamespace(disconnecting=False)
        given = [b"a short line\n" * count] if pieces == "many lines in one" else [b"a piece"] * count + [b"\n"]

        def come() -> None:
            for piece in given:
                receiver.dataReceived(piece)
            assert receiver.count == (count if len(given) == 1 else 1)

        return come

    assert in_proportion(make, 8000)


def test_a_delimiter_may_change_in_the_middle_of_a_line_and_lie_across_two_pieces() -> None:
    told: list[bytes] = []

    class Cut(LineReceiver):
        def lineReceived(self, line: bytes) -> None:
            told.append(line)

    receiver: Any = Cut()
    receiver.transport = SimpleNamespace(disconnecting=False)
    for piece in (b"one\r", b"\ntwo;three", b"\r"):
        receiver.dataReceived(piece)
    assert told == [b"one"]
    receiver.delimiter = b";"
    receiver.dataReceived(b"\n;")
    assert told == [b"one", b"two", b"three\r\n"]
