"""Datagrams: the transport that `create_datagram_endpoint` gives, over UDP and Unix sockets.

`DatagramTransport` is asyncio's own transport, so what is rare (buffering, flow control, closing, errors) is the
standard library's code and keeps its contracts. What is hot is `Datagrams`, compiled: it takes the datagrams that are
there, a bounded number, and sends at once what can be sent at once. Descriptors are watched by the loop; the system
calls are in `_socket_calls`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import weakref
from asyncio import constants, futures, log
from asyncio.selector_events import (  # type: ignore[attr-defined]
    _SelectorDatagramTransport,
    _SelectorTransport,
)
from errno import EAGAIN, EBADF
from typing import TYPE_CHECKING, Any

from fate._native import compiled
from fate.net._calls import fd_of, give_back
from fate.net._socket_calls import receive_datagrams, send_datagram
from fate.net.poll import number_now

COMPILED = compiled()
SENDS_EMPTY = sys.version_info >= (3, 13)  # before, asyncio left an empty datagram out
MOST = 16  # so many are told of before others have their turn
SERVED = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


class Datagrams:
    """The hot half of a datagram transport: receives for its protocol, and sends when nothing is in the way."""

    __slots__ = (
        "_address", "_batch", "_buffer", "_connected", "_error", "_family", "_internet", "_most", "_next",
        "_sock", "_transport", "closing", "paused", "protocol",
    )  # fmt: skip

    if TYPE_CHECKING:
        _transport: weakref.ref[DatagramTransport]

    def __init__(self, transport: DatagramTransport, sock: socket.socket, connected: bool, address: Any) -> None:
        self._transport = weakref.ref(transport)  # which refers to this object
        self._sock = sock
        self._family = int(sock.family)
        self._internet = sock.family != socket.AF_UNIX
        self._connected = connected
        self._address = address
        self._buffer = transport._buffer
        self._batch: list[Any] = []  # data and address of datagrams that came and were not told of yet
        self._next = 0  # which of them is told of next
        self._error = 0  # the errno of what came after them
        self._most = 1  # so many are taken at once: as many as there were lately
        self.protocol: Any = transport.get_protocol()
        self.paused = False
        self.closing = False

    def waiting(self) -> bool:
        """Whether datagrams were received that nobody was told of."""
        return self._next < len(self._batch) or self._error != 0

    def receive(self, transport: DatagramTransport) -> None:
        """Tell the protocol of the datagrams that are there: the descriptor is readable.

        transport: who calls keeps it alive for as long as it receives.
        """
        batch = self._batch
        if self.closing or self.paused:
            return
        if not self.waiting():
            if self._next:
                batch.clear()
                self._next = 0
            fd = fd_of(self._sock)  # asked each time: a socket that the program has closed gives its number to others
            error = receive_datagrams(self._sock, fd, self._internet, self._most, batch)
            if error:
                if fd < 0:
                    transport._look_at_number()
                self._most = max(1, len(batch) // 2)
                if error != EAGAIN:
                    self._error = error
            elif self._most < MOST:
                self._most *= 2
        # The protocol may do anything in between: close, pause, set another protocol, turn the loop.
        while self._next < len(batch):
            index = self._next
            self._next = index + 2
            data = batch[index]
            address = batch[index + 1]
            batch[index] = batch[index + 1] = None
            try:
                self.protocol.datagram_received(data, address)
            except BaseException:
                if self.waiting():
                    transport._receive_soon()
                raise
            if COMPILED:
                give_back(data)
            if self.closing or self.paused:
                return
        if self._error:
            error = self._error
            self._error = 0
            self.protocol.error_received(OSError(error, os.strerror(error)))

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send the data, to the address if the transport was made without one. Buffers what cannot be sent at once."""
        if (
            isinstance(data, (bytes, bytearray, memoryview))
            and len(data) != 0
            and not self.closing
            and len(self._buffer) == 0
            and (addr is None or self._address is None or addr == self._address)
        ):
            if self._connected:
                addr = None
            elif addr is None:
                addr = self._address
            if self._connected or addr is not None:
                error = send_datagram(self._sock, fd_of(self._sock), self._family, data, addr)
                if error == 0:
                    return
                if error > 0:
                    self.protocol.error_received(OSError(error, os.strerror(error)))
                    return
        transport = self._transport()
        if transport is not None:
            DatagramTransport.sendto(transport, data, addr)

    def end(self) -> None:
        """Let go of everything: the connection is lost."""
        self.protocol = None
        self._batch = []
        self._next = 0


class Pair:
    """A socket whose peer has no name (`socketpair`): what is sent to nobody is that peer's, where asyncio's fails."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def sendto(self, data: Any, addr: Any) -> int:
        return self._sock.send(data) if addr is None else self._sock.sendto(data, addr)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class DatagramTransport(_SelectorDatagramTransport, asyncio.DatagramTransport):  # type: ignore[misc]
    """asyncio's datagram transport, receiving and sending by `Datagrams`."""

    _hot: Datagrams | None = None
    _number = -1
    _paused = False

    def __init__(
        self, loop: Any, sock: socket.socket, protocol: Any, address: Any = None, waiter: Any = None, extra: Any = None
    ) -> None:
        _SelectorTransport.__init__(self, loop, sock, protocol, extra)
        if self._extra["peername"] == "":
            self._sock = Pair(sock)
        self._address = address
        self._buffer_size = 0
        self._hot = hot = Datagrams(self, sock, bool(self._extra["peername"]), address or None)
        self.__dict__["sendto"] = hot.sendto  # in place of the method, which would cost a Python call more
        loop.call_soon(protocol.connection_made, self)
        # Reading begins when connection_made() has been called, and the waiter wakes after that.
        loop.call_soon(self._begin_reading)
        if waiter is not None:
            loop.call_soon(futures._set_result_unless_cancelled, waiter, None)  # type: ignore[attr-defined]

    @property
    def _sock_fd(self) -> int:
        """The descriptor, where asyncio's keeps a number: -1 if the socket was closed behind the transport's back."""
        if self._sock is None or self._loop is None:
            return self._number
        return number_now(self._loop._poll, self._sock, self._number)

    @_sock_fd.setter
    def _sock_fd(self, number: int) -> None:
        self._number = number

    def _look_at_number(self) -> bool:
        """Whether the number is its own. If not, nothing waits for it any more."""
        return self._sock is not None and self._sock_fd >= 0

    def _begin_reading(self) -> None:
        if self._loop is not None:
            self._add_reader(self._sock_fd, self._read_ready)

    def _add_reader(self, fd: int, callback: Any) -> None:
        if self._hot is None or not self.is_reading():
            return
        if fd < 0:
            self._protocol.error_received(OSError(EBADF, os.strerror(EBADF)))
        else:
            self._loop._add_reader(fd, self._hot.receive, self)

    def _receive_soon(self) -> None:
        """Have the datagrams that are here already told of in the next turn."""
        if self._loop is not None and self._hot is not None:
            self._loop.call_soon(self._hot.receive, self)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        _SelectorTransport.set_protocol(self, protocol)
        if self._hot is not None:
            self._hot.protocol = protocol

    # Before 3.11.4 asyncio's transports of datagrams could not be paused at all: these lean on none of theirs.

    def is_reading(self) -> bool:
        return not self._paused and not self.is_closing()

    def pause_reading(self) -> None:
        if self.is_reading() and self._loop is not None:
            self._paused = True
            self._loop._remove_reader(self._sock_fd)
            if self._loop.get_debug():
                log.logger.debug("%r pauses reading", self)
        if self._hot is not None:
            self._hot.paused = self._paused

    def resume_reading(self) -> None:
        if self._paused and not self._closing and self._loop is not None:
            self._paused = False
            self._add_reader(self._sock_fd, self._read_ready)
            if self._loop.get_debug():
                log.logger.debug("%r resumes reading", self)
        if self._hot is not None:
            self._hot.paused = self._paused
            if self._hot.waiting():
                self._receive_soon()

    def close(self) -> None:
        if self._hot is not None:
            self._hot.closing = True
        if self._buffer and not self._look_at_number():  # it can never leave
            self._buffer.clear()
            self._buffer_size = 0
        _SelectorTransport.close(self)

    def _force_close(self, exc: BaseException | None) -> None:
        if self._hot is not None:
            self._hot.closing = True
        _SelectorTransport._force_close(self, exc)

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        try:
            _SelectorTransport._call_connection_lost(self, exc)
        finally:
            if self._hot is not None:
                self._hot.end()
                self._hot = None

    def sendto(self, data: bytes | bytearray | memoryview, addr: Any = None) -> None:
        """Send the data, to the address if the transport was made without one. Buffers what cannot be sent at once.

        After the transport was closed and its connection lost, what is sent is dropped, with a warning after a few.
        """
        if self._sock is not None:
            if SENDS_EMPTY or not isinstance(data, (bytes, bytearray, memoryview)) or len(data):
                _SelectorDatagramTransport.sendto(self, data, addr)
            return
        # asyncio's own would raise an AttributeError here.
        if self._conn_lost >= constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES:
            log.logger.warning("socket.send() raised exception.")
        self._conn_lost += 1

    def _sendto_ready(self) -> None:
        _SelectorDatagramTransport._sendto_ready(self)
        if not self._buffer and self._sock is not None:
            self._buffer_size = 0  # Python 3.13.0 counts a header for each datagram, and forgets to take it off again
            self._maybe_resume_protocol()
