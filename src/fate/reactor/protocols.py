"""What programs derive from: protocols, the factories that make them, lines, and children. No loop, no socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from fate.defer import Failure
    from fate.reactor.processes import ProcessTransport
    from fate.reactor.tcp import Address, Connector, Transport


class Protocol:
    """One end of one connection: override what you want to hear of."""

    transport: Transport
    factory: Any = None
    connected = False

    def makeConnection(self, transport: Transport) -> None:
        """The connection is there: keeps `transport`, and calls `connectionMade`."""
        self.connected = True
        self.transport = transport
        self.connectionMade()

    def connectionMade(self) -> None:
        """The connection is there."""

    def dataReceived(self, data: bytes) -> None:
        """Some bytes have come."""

    def connectionLost(self, reason: Failure) -> None:
        """The connection has ended; `reason.value` is ConnectionDone or ConnectionLost."""


class Factory:
    """Makes protocols, and keeps what they share. `protocol` is a class, or anything called without arguments."""

    protocol: Any = None

    @classmethod
    def forProtocol(cls, protocol: Any, *args: Any, **kw: Any) -> Self:
        """A factory of such protocols."""
        factory = cls(*args, **kw)
        factory.protocol = protocol
        return factory

    def startFactory(self) -> None:
        """It is about to be used."""

    def stopFactory(self) -> None:
        """It is no longer used."""

    def buildProtocol(self, addr: Address) -> Any:
        """A protocol for a connection with `addr`; None refuses it."""
        assert self.protocol is not None, "a factory needs a protocol: Factory.forProtocol(YourProtocol)"
        protocol = self.protocol()
        protocol.factory = self
        return protocol


class ServerFactory(Factory):
    """A factory for `listenTCP`."""


class ClientFactory(Factory):
    """A factory for `connectTCP`."""

    def startedConnecting(self, connector: Connector) -> None:
        """An attempt has begun."""

    def clientConnectionFailed(self, connector: Connector, reason: Failure) -> None:
        """It has failed; `connector.connect()` tries again."""

    def clientConnectionLost(self, connector: Connector, reason: Failure) -> None:
        """The connection has ended; `connector.connect()` makes another."""


class LineReceiver(Protocol):
    """Cuts what comes into lines, or hands it on raw: `setRawMode`, `setLineMode`."""

    delimiter = b"\r\n"
    MAX_LENGTH = 16384
    line_mode = True
    _buffer: bytearray | None = None
    _searched = 0  # so much of it has no delimiter
    _searched_for = b""
    _busy = False

    def dataReceived(self, data: bytes) -> None:
        """Collects `data`, and hands on what is complete."""
        if self._buffer is None:
            self._buffer = bytearray()
        buffer = self._buffer
        buffer += data
        if self._busy:
            return  # setLineMode(rest) in a callback: the loop below takes it
        self._busy = True
        try:
            while True:
                if not buffer or self.transport.disconnecting:
                    break
                if not self.line_mode:
                    self.rawDataReceived(self._take(len(buffer)))
                    continue
                end = self._find(buffer)
                if end < 0 and len(buffer) <= self.MAX_LENGTH + len(self.delimiter) - 1:
                    return
                if end < 0 or end > self.MAX_LENGTH:
                    self.lineLengthExceeded(self._take(len(buffer)))
                else:
                    line = self._take(end)
                    del buffer[: len(self.delimiter)]
                    self.lineReceived(line)
        finally:
            self._busy = False

    def _take(self, count: int) -> bytes:
        assert self._buffer is not None
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]  # which moves nothing
        self._searched = 0
        return taken

    def _find(self, buffer: bytearray) -> int:
        """Where the delimiter is, or -1. What was searched before is not searched again."""
        start = max(0, self._searched - len(self.delimiter) + 1) if self._searched_for == self.delimiter else 0
        self._searched = len(buffer)
        self._searched_for = self.delimiter
        return buffer.find(self.delimiter, start)

    def lineReceived(self, line: bytes) -> None:
        """A line has come; without its delimiter."""

    def rawDataReceived(self, data: bytes) -> None:
        """Bytes have come in raw mode."""

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line is longer than MAX_LENGTH: by default that ends the connection."""
        self.transport.loseConnection()

    def setRawMode(self) -> None:
        """From now on no lines."""
        self.line_mode = False

    def setLineMode(self, extra: bytes = b"") -> None:
        """Lines again, beginning with `extra`."""
        self.line_mode = True
        if extra:
            self.dataReceived(extra)

    def sendLine(self, line: bytes) -> None:
        """Send a line, to which the delimiter is added."""
        self.transport.writeSequence((line, self.delimiter))


class ProcessProtocol:
    """What hears of a child process: override what you want to hear of."""

    transport: ProcessTransport

    def makeConnection(self, process: ProcessTransport) -> None:
        """The child runs: keeps `process` as `transport`, and calls `connectionMade`."""
        self.transport = process
        self.connectionMade()

    def connectionMade(self) -> None:
        """The child runs."""

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """It has written; by default handed to `outReceived` or `errReceived`."""
        if childFD == 1:
            self.outReceived(data)
        elif childFD == 2:
            self.errReceived(data)

    def outReceived(self, data: bytes) -> None:
        """It has written to its standard output."""

    def errReceived(self, data: bytes) -> None:
        """It has written to its standard error."""

    def childConnectionLost(self, childFD: int) -> None:
        """One of its pipes has been closed; by default handed to one of the three that follow."""
        (self.inConnectionLost, self.outConnectionLost, self.errConnectionLost)[childFD]()

    def inConnectionLost(self) -> None:
        """Its standard input has been closed."""

    def outConnectionLost(self) -> None:
        """Its standard output has been closed."""

    def errConnectionLost(self) -> None:
        """Its standard error has been closed."""

    def processExited(self, reason: Failure) -> None:
        """It has ended; output may still come."""

    def processEnded(self, reason: Failure) -> None:
        """It has ended and everything has been told; `reason.value` is ProcessDone, ProcessTerminated or SpawnError."""
