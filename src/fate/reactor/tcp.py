"""TCP: ports, connectors and transports, on asyncio's transports of the reactor's loop.

A `Link` is the asyncio protocol of one connection. What a protocol of the program raises ends its connection, with that
error for a reason, and is reported.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, cast

from fate.defer import Deferred, Failure
from fate.loop import Fate
from fate.reactor.errors import (
    CannotListenError,
    ConnectError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectTimeoutError,
    UserError,
)
from fate.reactor.protocols import ClientFactory, Factory, Protocol
from fate.reactor.things import Things

LAST_PORT = 0xFFFF


class Address(NamedTuple):
    """Where a connection ends."""

    type: str  # "TCP"
    host: str
    port: int


def _address(name: Any) -> Address:
    return Address("TCP", name[0], name[1])


class Transport:
    """What a protocol writes to."""

    def __init__(self, link: Link, inner: asyncio.Transport) -> None:
        self._link = link
        self._inner = inner
        self._producer: Any = None
        self._streaming = False
        self._paused = False
        self.connected = True
        self.disconnecting = False
        self.aborted = False

    def write(self, data: bytes) -> None:
        """Send `data`. What is written after the end is dropped. Raises TypeError for anything but bytes."""
        if not isinstance(data, bytes):
            raise TypeError(f"Data must be bytes, not {type(data).__name__}")
        if data and self.connected and not self._inner.is_closing():
            self._inner.write(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send all pieces, one after the other."""
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        """Close the connection when everything that was written has been sent and no producer is registered."""
        self.disconnecting = True
        if self._producer is None:
            self._inner.close()

    def loseWriteConnection(self) -> None:
        """Close this direction when everything has been sent."""
        if self.connected and not self._inner.is_closing():
            self._inner.write_eof()

    def abortConnection(self) -> None:
        """Close the connection now; what has not been sent is dropped."""
        self.aborted = self.disconnecting = True
        self._inner.abort()

    def getPeer(self) -> Address:
        """The other end's address."""
        return _address(self._inner.get_extra_info("peername"))

    def getHost(self) -> Address:
        """This end's address."""
        return _address(self._inner.get_extra_info("sockname"))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Send small pieces at once (the default here), or let the kernel gather them."""
        self._inner.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(enabled))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Have the kernel notice a peer that is gone."""
        self._inner.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(enabled))

    def pauseProducing(self) -> None:
        """Do not read for now."""
        if self.connected and self._inner.is_reading():
            self._inner.pause_reading()

    def resumeProducing(self) -> None:
        """Read again."""
        if self.connected and not self.disconnecting and not self._inner.is_reading():
            self._inner.resume_reading()

    def stopProducing(self) -> None:
        """Close the connection."""
        self.loseConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Have `producer` write as fast as the connection takes it.

        streaming: it writes by itself, and is told `pauseProducing` and `resumeProducing`; otherwise it writes once
            each time that `resumeProducing` is called.
        Raises RuntimeError if there is one already.
        """
        if self._producer is not None:
            raise RuntimeError(f"cannot register {producer!r}: {self._producer!r} has not been unregistered")
        if not self.connected:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        if not streaming:
            self._pull()

    def unregisterProducer(self) -> None:
        """It has written all."""
        self._producer = None
        if self.disconnecting:
            self._inner.close()

    def _pull(self) -> None:
        if self._producer is not None and not self._streaming and not self._paused and self.connected:
            self._producer.resumeProducing()
            if self._producer is not None and not self._paused:
                self._link.loop.call_soon(self._pull)

    def _pause(self, paused: bool) -> None:
        self._paused = paused
        if self._producer is None:
            return
        if not self._streaming:
            self._pull()
        elif paused:
            self._producer.pauseProducing()
        else:
            self._producer.resumeProducing()

    def _lost(self) -> None:
        self.connected = False
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()


class Link(asyncio.Protocol):
    """One connection, between asyncio's transport and a protocol of the program.

    build: makes the protocol for the peer's address; None refuses the connection.
    open_things: where it keeps itself as long as it is open.
    ended: is told the reason of the end, after the protocol.
    """

    def __init__(
        self,
        loop: Fate,
        open_things: Things,
        build: Callable[[Address], Any],
        ended: Callable[[Failure], object] | None = None,
    ) -> None:
        self.loop = loop
        self._open = open_things
        self._build = build
        self._ended = ended
        self._protocol: Protocol | None = None
        self._error: BaseException | None = None

    def _guard(self, call: Callable[..., Any], *args: Any) -> Any:
        try:
            return call(*args)
        except Exception as error:
            self._error = error
            self.loop.call_exception_handler(
                {"message": "Exception in a protocol, which costs it its connection", "exception": error}
            )
            self.transport._inner.abort()
            return None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._open.add(self)
        self.transport = Transport(self, cast(asyncio.Transport, transport))
        self._protocol = self._guard(self._build, self.transport.getPeer())
        if self._protocol is None:
            self.transport._inner.abort()
        else:
            self._guard(self._protocol.makeConnection, self.transport)

    def data_received(self, data: bytes) -> None:
        if self._protocol is not None and not self.transport.disconnecting:
            self._guard(self._protocol.dataReceived, data)

    def pause_writing(self) -> None:
        self._guard(self.transport._pause, True)

    def resume_writing(self) -> None:
        self._guard(self.transport._pause, False)

    def end(self) -> None:
        """Close it: the reactor ends."""
        self.transport._inner.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        self._guard(self.transport._lost)
        reason: BaseException
        if self._error is not None:
            reason = self._error
        elif self.transport.aborted:
            reason = ConnectionAborted("the connection was aborted by this program")
        elif exc is not None:
            reason = ConnectionLost(f"the connection was lost: {exc}")
            reason.__cause__ = exc
        else:
            reason = ConnectionDone("the connection was closed cleanly")
        failure = Failure(reason)
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connected = False
            self._guard(protocol.connectionLost, failure)
        if self._ended is not None:
            self._ended(failure)


def _check_port(port: object, first: int) -> None:
    if isinstance(port, bool) or not isinstance(port, int) or not first <= port <= LAST_PORT:
        raise ValueError(f"a port is a number from {first} to {LAST_PORT}, not {port!r:.100}")


class Port:
    """A listening socket. It listens from the beginning; connections are accepted as soon as the reactor runs."""

    def __init__(
        self, loop: Fate, open_things: Things, port: int, factory: Factory, backlog: int, interface: str
    ) -> None:
        self.factory = factory
        self._open = open_things
        self._loop = loop
        self._server: asyncio.Server | None = None
        try:
            _check_port(port, 0)
            if not isinstance(interface, str):
                raise ValueError(f"an interface is an address as text, not {interface!r:.100}")
        except ValueError as error:
            raise CannotListenError(errno.EINVAL, f"cannot listen: {error}") from None
        if open_things.over:
            loop._check_closed()
            raise CannotListenError(errno.ESHUTDOWN, "cannot listen: the reactor has been stopped")
        sock = socket.socket(socket.AF_INET6 if ":" in interface else socket.AF_INET)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((interface, port))
            sock.listen(backlog)
            self._address = _address(sock.getsockname())
        except OSError as error:
            sock.close()
            where = f"{interface or 'any interface'}, port {port}"
            raise CannotListenError(error.errno, f"cannot listen on {where}: {error.strerror}") from error
        except (UnicodeError, TypeError) as error:  # of a name that cannot be, or a zero in it
            sock.close()
            raise CannotListenError(errno.EINVAL, f"cannot listen on {interface!r:.100}: {error}") from error
        try:
            loop._check_closed()
            factory.startFactory()
        except BaseException:
            sock.close()
            raise
        self._socket: socket.socket | None = sock
        open_things.add(self)
        self._starting = loop.create_task(self._start(sock, backlog))

    async def _start(self, sock: socket.socket, backlog: int) -> None:
        def link() -> Link:
            return Link(self._loop, self._open, self.factory.buildProtocol)

        self._server = await self._loop.create_server(link, sock=sock, backlog=backlog)

    def getHost(self) -> Address:
        """Where it listens."""
        return self._address

    def stopListening(self) -> Deferred[None]:
        """Accept no more; the connections stay. The Deferred fires when the port is free."""
        deferred: Deferred[None] = Deferred()
        self.end()
        self._loop.call_soon(deferred.callback, None)
        return deferred

    def end(self) -> None:
        """Close it."""
        if self._socket is not None:
            self._open.discard(self)
            self._starting.cancel()
            if self._server is not None:
                self._server.close()
            self._socket.close()
            self._socket = None
            self.factory.stopFactory()


class Connector:
    """The making of one connection, and of the next if the factory wants it."""

    def __init__(
        self,
        loop: Fate,
        open_things: Things,
        host: str,
        port: int,
        factory: ClientFactory,
        timeout: float,
        bind_address: tuple[str, int] | None,
    ) -> None:
        self.factory = factory
        self.host, self.port = host, port
        self.state = "disconnected"  # connecting, connected
        self._loop = loop
        self._open = open_things
        self._timeout = timeout
        self._bind = bind_address
        self._task: asyncio.Task[None] | None = None
        self._link: Link | None = None
        self._started = False

    def getDestination(self) -> Address:
        """Where it connects to."""
        return Address("TCP", self.host, self.port)

    def connect(self) -> None:
        """Begin an attempt, unless the reactor is ending.

        Raises RuntimeError if one is under way or there is a connection.
        """
        if self.state != "disconnected":
            raise RuntimeError(f"cannot connect: the connector is {self.state}")
        if self._open.over:
            return
        self.state = "connecting"
        if not self._started:
            self._started = True
            self.factory.startFactory()
        self._task = self._loop.create_task(self._connect())
        self._task.add_done_callback(self._done)
        self.factory.startedConnecting(self)

    async def _connect(self) -> None:
        try:
            _check_port(self.port, 1)
            async with asyncio.timeout(self._timeout):
                await self._loop.create_connection(self._make_link, self.host, self.port, local_addr=self._bind)
        except TimeoutError as error:
            where = f"{self.host}, port {self.port}"
            self._fail(ConnectTimeoutError(f"no answer from {where} in {self._timeout} s"), error)
        except Exception as error:  # OSError mostly; a name or a port that cannot be gives others
            self._fail(ConnectError(f"cannot connect to {self.host!r:.100}, port {self.port}: {error}"), error)

    def _done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() and self.state == "connecting":
            self._fail(UserError("the attempt was taken back"), None)

    def _make_link(self) -> Link:
        self._link = Link(self._loop, self._open, self._build, self._ended)
        return self._link

    def _build(self, address: Address) -> Any:
        self.state = "connected"
        return self.factory.buildProtocol(address)

    def _fail(self, error: Exception, cause: BaseException | None) -> None:
        error.__cause__ = cause
        self.state = "disconnected"
        self._tell(self.factory.clientConnectionFailed, Failure(error))

    def _ended(self, reason: Failure) -> None:
        self.state = "disconnected"
        self._link = None
        self._tell(self.factory.clientConnectionLost, reason)

    def _tell(self, method: Callable[[Connector, Failure], object], reason: Failure) -> None:
        try:
            method(self, reason)
        except Exception as error:
            self._loop.call_exception_handler({"message": f"Exception in {method.__qualname__}", "exception": error})
        self._rest()

    def _rest(self) -> None:
        if self.state == "disconnected":  # the factory has not connected again
            self._started = False
            self.factory.stopFactory()

    def stopConnecting(self) -> None:
        """Give an attempt up; the factory is told UserError. Raises RuntimeError if none is under way."""
        if self.state != "connecting" or self._task is None:
            raise RuntimeError(f"nothing to stop: the connector is {self.state}")
        self._task.cancel()

    def disconnect(self) -> None:
        """Give up what there is: the attempt, or the connection."""
        if self.state == "connecting":
            self.stopConnecting()
        elif self._link is not None:
            self._link.transport.loseConnection()
