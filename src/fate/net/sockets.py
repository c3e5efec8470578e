"""`loop.sock_*`: the coroutines that receive and send on a socket of the program's own.

Each tries at once. When that would block it waits, and tries again when the descriptor is ready: so what a cancelled
call was about to receive stays in the socket. Between two waits of one socket the poll goes on watching it, which
spares two system calls a wait. Sockets that are not exactly `socket.socket`, and polls other than epoll, are left to
asyncio's own coroutines; so are `sock_connect` and `sock_sendfile`, which are not hot.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio import SelectorEventLoop
from contextvars import Context
from typing import TYPE_CHECKING, Any

from fate.net._socket_calls import receive, receive_into, send
from fate.net.poll import EpollPoll

if TYPE_CHECKING:
    from collections.abc import Callable

SOCKET = socket.socket  # as it was: programs put other classes in its place
INTERNET = (socket.AF_INET, socket.AF_INET6)
LARGEST = 64 * 1024  # no datagram of UDP's is longer
BLOCKED = (BlockingIOError, InterruptedError)
NOTHING = Context()  # what a wake-up runs in: the task that it wakes has a context of its own


class Reading:
    """A wait for a socket to be readable, by one coroutine: `await future()` as often as it takes, then `end()`."""

    __slots__ = ("fd", "handle", "keep", "loop", "poll", "waiter")

    if TYPE_CHECKING:
        waiter: asyncio.Future[None] | None

    def __init__(self, loop: Any, sock: Any) -> None:
        self.fd = fd = sock.fileno()
        self.loop = loop
        self.poll = loop._poll
        self.keep = False
        self.waiter = None
        loop._ensure_fd_no_transport(fd)
        self.handle = NOTHING.run(loop.make_handle, self.wake, ())
        self.poll.wait_to_read(sock, fd, self.handle)

    def wake(self) -> None:
        """The socket is readable."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def future(self) -> asyncio.Future[None]:
        """Done when the socket is readable."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        self.waiter = waiter
        return waiter

    def end(self) -> None:
        """Wait no longer."""
        self.waiter = None
        if not self.loop.is_closed():
            self.poll.end_reading(self.fd, self.handle, self.keep)
        self.handle.cancel()  # which refers to this object


class Writing(Reading):
    """A wait for a socket to be writable. Most sockets are, most of the time, so nothing is kept."""

    __slots__ = ()

    def __init__(self, loop: Any, sock: Any) -> None:
        self.fd = fd = sock.fileno()
        self.loop = loop
        self.poll = loop._poll
        self.waiter = None
        loop._ensure_fd_no_transport(fd)
        self.handle = NOTHING.run(loop._add_writer, fd, self.wake)

    def end(self) -> None:
        """Wait no longer."""
        self.waiter = None
        if not self.handle.cancelled():  # else another has taken its place
            self.loop._remove_writer(self.fd)


class SocketCalls(SelectorEventLoop):
    """What `Fate` has in place of asyncio's `sock_*`."""

    if TYPE_CHECKING:
        _poll: Any
        _debug: bool
        _ensure_fd_no_transport: Any
        make_handle: Any

    def _serves(self, sock: Any) -> bool:
        """Whether the calls here may take `sock`, rather than asyncio's. Raises ValueError as those do."""
        if type(sock) is not SOCKET or type(self._poll) is not EpollPoll:
            return False
        if self._debug and sock.gettimeout() != 0:
            raise ValueError("the socket must be non-blocking")
        return True

    async def sock_recv(self, sock: Any, n: int) -> bytes:
        if not self._serves(sock) or type(n) is not int or n <= 0:
            return await SelectorEventLoop.sock_recv(self, sock, n)
        data = receive(sock, sock.fileno(), n)
        if data is None:
            wait = Reading(self, sock)
            try:
                while data is None:
                    await wait.future()
                    data = receive(sock, sock.fileno(), n)
                wait.keep = True
            finally:
                wait.end()
        return data

    async def sock_recv_into(self, sock: Any, buf: Any) -> int:
        if not self._serves(sock):
            return await SelectorEventLoop.sock_recv_into(self, sock, buf)
        count = receive_into(sock, sock.fileno(), buf)
        if count < 0:
            wait = Reading(self, sock)
            try:
                while count < 0:
                    await wait.future()
                    count = receive_into(sock, sock.fileno(), buf)
                wait.keep = True
            finally:
                wait.end()
        return count

    async def sock_recvfrom(self, sock: Any, bufsize: int) -> tuple[bytes, Any]:
        if not self._serves(sock):
            return await SelectorEventLoop.sock_recvfrom(self, sock, bufsize)
        if type(bufsize) is int and bufsize > LARGEST and sock.family in INTERNET and sock.type == socket.SOCK_DGRAM:
            bufsize = LARGEST
        received: tuple[bytes, Any] = await self._read(sock, sock.recvfrom, bufsize)
        return received

    async def sock_recvfrom_into(self, sock: Any, buf: Any, nbytes: int = 0) -> tuple[int, Any]:
        if not self._serves(sock):
            return await SelectorEventLoop.sock_recvfrom_into(self, sock, buf, nbytes)
        received: tuple[int, Any] = await self._read(sock, sock.recvfrom_into, buf, nbytes or len(buf))
        return received

    async def sock_accept(self, sock: Any) -> tuple[socket.socket, Any]:
        if not self._serves(sock):
            return await SelectorEventLoop.sock_accept(self, sock)
        connection, address = await self._read(sock, sock.accept)
        connection.setblocking(False)
        return connection, address

    async def _read(self, sock: Any, call: Callable[..., Any], *args: Any) -> Any:
        """`call(*args)` when it does not block."""
        try:
            return call(*args)
        except BLOCKED:
            pass
        wait = Reading(self, sock)
        try:
            while True:
                await wait.future()
                try:
                    result = call(*args)
                except BLOCKED:
                    continue
                wait.keep = True
                return result
        finally:
            wait.end()

    async def sock_sendall(self, sock: Any, data: Any) -> None:
        if not self._serves(sock):
            return await SelectorEventLoop.sock_sendall(self, sock, data)
        sent = send(sock, sock.fileno(), data, 0)
        size = len(data) if type(data) is bytes else memoryview(data).nbytes
        if sent < size:
            done = max(sent, 0)
            wait = Writing(self, sock)
            try:
                while done < size:
                    await wait.future()
                    sent = send(sock, sock.fileno(), data, done)
                    if sent > 0:
                        done += sent
            finally:
                wait.end()
        return None

    async def sock_sendto(self, sock: Any, data: Any, address: Any) -> int:
        if not self._serves(sock):
            return await SelectorEventLoop.sock_sendto(self, sock, data, address)
        sent: int = await self._write(sock, sock.sendto, data, address)
        return sent

    async def _write(self, sock: Any, call: Callable[..., Any], *args: Any) -> Any:
        """`call(*args)` when it does not block."""
        try:
            return call(*args)
        except BLOCKED:
            pass
        wait = Writing(self, sock)
        try:
            while True:
                await wait.future()
                try:
                    return call(*args)
                except BLOCKED:
                    continue
        finally:
            wait.end()
