"""`loop.sock_*`, which receive and send on a socket of the program's own.

A call of `sock_recv` makes a `Receiving`: an object that a task runs, or a coroutine awaits, as if it were a coroutine,
for it has all that one has. It tries at once; when that would block it waits, and tries again when the descriptor is
ready. So what a cancelled call was about to receive stays in the socket. It is its own handle, as a stream is: the
poll queues it, and what it does then is to wake the task.

Between two waits of one socket to read the poll goes on watching it, which spares two system calls a wait. And where a
try at once was in vain, the next few are left out: what has come meanwhile the poll will tell.

Sockets that are not exactly `socket.socket`, polls other than epoll, and loops in debug mode are left to asyncio's own
coroutines; so are `sock_connect` and `sock_sendfile`, which are not hot.
"""

from __future__ import annotations

import socket
import sys
import warnings
from asyncio import SelectorEventLoop
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from fate._native import compiled
from fate.core.engine import Engine
from fate.core.handle import SOURCE, Handle
from fate.net._calls import fd_of
from fate.net._socket_calls import fillable, receive, receive_into
from fate.net._socket_calls import send as send_out
from fate.net.poll import EpollPoll

SOCKET = socket.socket  # as it was: programs put other classes in its place (and if it was no such class, none serves)
INTERNET = (socket.AF_INET, socket.AF_INET6)
LARGEST = 64 * 1024  # no datagram of UDP's is longer
BLOCKED = (BlockingIOError, InterruptedError)
COMPILED = compiled()
ASYNCIO: Any = SelectorEventLoop
if TYPE_CHECKING:
    _have_steps: Callable[[type], object]


class Wait(Handle):
    """A coroutine that waits for a socket to be readable, for what a subclass does then."""

    if TYPE_CHECKING:
        _kind: int
        _engine: Any  # the loop; None when it is over
        _waiter: Any

    def _prepare(self, loop: Engine, sock: Any) -> int:
        """
        loop: a Fate that polls natively.
        sock: a `socket.socket`, non-blocking.
        """
        self._callback = self._args = self._snapshot = None
        self._cancelled = False
        self._kind = SOURCE
        self.id = self.cause = 0
        self._engine = self._loop = loop
        self._waiter = None
        self._socket = sock
        self._fd = -1
        self._begun = False
        self._watched = False
        self._full = False  # all came that was asked for: there may be more
        return 0

    # -- what the poll and the engine do with it ------------------------------------------------------------------

    def cancel(self) -> None:
        """Be told no longer: another handle has taken its place with the poll."""
        self._cancelled = True

    def _fire(self) -> BaseException | None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
        return None

    # -- what a coroutine is --------------------------------------------------------------------------------------

    def __await__(self) -> Wait:
        return self

    def __iter__(self) -> Wait:
        return self

    def __next__(self) -> Any:
        result = self._step()
        if self._engine is not None:
            return result  # a future
        if result is None:
            raise StopIteration
        raise StopIteration(result)

    def send(self, value: Any) -> Any:
        """Go on, as `await` does."""
        if value is not None and not self._begun:
            raise TypeError("can't send non-None value to a just-started coroutine")
        return self.__next__()

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> NoReturn:
        """Wait no longer, and raise that."""
        if self._engine is None:
            raise self._reused()
        self._end(False)
        error = kind if value is None else value
        if isinstance(error, type):
            error = error()
        elif not isinstance(error, BaseException):
            error = kind(error)
        raise error if traceback is None else error.with_traceback(traceback)

    def close(self) -> None:
        """Wait no longer."""
        self._end(False)

    @property
    def waits_for(self) -> Any:
        """The future that it waits for; None if it does not. (Who finds a `cr_await` expects a frame as well.)"""
        return self._waiter

    def __getattr__(self, name: str) -> Any:
        if name == "__name__":  # which a compiled class cannot define
            return self._name()
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"<coroutine {self._name()} fd={fd_of(self._socket)}>"

    def __del__(self) -> None:
        if not self._begun and self._engine is not None:
            warnings.warn(f"coroutine '{self._name()}' was never awaited", RuntimeWarning, stacklevel=2, source=self)

    # -- how it goes on -------------------------------------------------------------------------------------------

    def _name(self) -> str:
        raise NotImplementedError

    def _try(self) -> Any:
        """What is wanted, or None if that would block."""
        raise NotImplementedError

    def _step(self) -> Any:
        """Go on until there is a future to wait for, or until it is over: then the result."""
        engine = self._engine
        if engine is None:
            raise self._reused()
        result = None
        try:
            if self._watched:
                if self._waiter is not None and not self._waiter.done():  # another task awaits this very object
                    return self._wait_too()
                result = self._try()
            else:
                self._begun = True
                self._fd = fd_of(self._socket)
                tried = self._may_try()
                if tried:
                    result = self._try()
                if result is None:
                    self._watch(tried)
                    self._watched = True
        except BaseException:
            self._end(False)
            raise
        if result is not None:
            self._end(True)
            return self._result(result)
        waiter = engine.create_future()
        waiter._asyncio_future_blocking = True  # as a future says that it is awaited
        self._waiter = waiter
        return waiter

    def _wait_too(self) -> Any:
        """The future that is waited for already, as a coroutine that waits for one gives it again."""
        waiter = self._waiter
        if waiter._asyncio_future_blocking:
            raise RuntimeError("await wasn't used with future")
        waiter._asyncio_future_blocking = True
        return waiter

    def _reused(self) -> RuntimeError:
        return RuntimeError(f"cannot reuse already awaited coroutine '{self._name()}'")

    def _result(self, tried: Any) -> Any:
        """What the coroutine returns when a try has given `tried`."""
        return tried

    def _end(self, keep: bool) -> int:
        """Wait no longer. keep: the socket is likely to be waited for again soon."""
        engine = self._engine
        if self._watched and engine is not None and not engine._closed:
            self._unwatch(keep)
        self._begun = True
        self._engine = self._loop = self._waiter = None
        self._cancelled = True
        return 0

    def _may_try(self) -> bool:
        """Whether it is worth a try before the poll says so."""
        poll: EpollPoll = self._engine._poll
        return not poll.in_vain(self._socket, self._fd)

    def _watch(self, tried: bool) -> int:
        engine = self._engine
        poll: EpollPoll = engine._poll
        if not poll.wait_again(self._socket, self._fd, self, tried):
            engine._ensure_fd_no_transport(self._fd)
            check_open(engine)
            poll.wait_to_read(self._socket, self._fd, self, tried)
        return 0

    def _unwatch(self, keep: bool) -> int:
        poll: EpollPoll = self._engine._poll
        poll.end_reading(self._fd, self, keep, self._full)
        return 0


class Receiving(Wait):
    """`sock_recv`: up to `size` bytes, at least 1."""

    if TYPE_CHECKING:
        _size: int

    def _name(self) -> str:
        return "sock_recv"

    def _try(self) -> Any:
        data = receive(self._socket, fd_of(self._socket), self._size)
        self._full = data is not None and len(data) == self._size
        return data


class Filling(Wait):
    """`sock_recv_into`: bytes into a buffer; their number."""

    if TYPE_CHECKING:
        _buffer: Any

    def _name(self) -> str:
        return "sock_recv_into"

    def _try(self) -> Any:
        count = receive_into(self._socket, fd_of(self._socket), self._buffer)
        return None if count < 0 else count

    def _may_try(self) -> bool:
        return not fillable(self._buffer) or Wait._may_try(self)  # else a try would do more than to receive nothing


class Calling(Wait):
    """What `call(*args)`, which receives, returns: something else than None."""

    if TYPE_CHECKING:
        _called: str
        _call: Callable[..., Any]
        _arguments: tuple[Any, ...]
        _receives: bool  # something, if there is anything: nothing else comes of a call before that

    def _name(self) -> str:
        return self._called

    def _try(self) -> Any:
        try:
            return self._call(*self._arguments)
        except BLOCKED:
            return None

    def _may_try(self) -> bool:
        return not self._receives or Wait._may_try(self)

    def _watch(self, tried: bool) -> int:
        return Wait._watch(self, tried and self._receives)


class WaitToSend(Wait):
    """A coroutine that waits for a socket to be writable. Most are, most of the time: nothing is kept or left out."""

    def _may_try(self) -> bool:
        return True

    def _watch(self, tried: bool) -> int:
        engine = self._engine
        engine._ensure_fd_no_transport(self._fd)
        check_open(engine)
        engine._poll.add_writer(self._fd, self)
        return 0

    def _unwatch(self, keep: bool) -> int:
        self._engine._poll.drop_writer(self._fd, self)
        return 0


class Sending(WaitToSend):
    """`sock_sendall`: all of `data`."""

    if TYPE_CHECKING:
        _data: Any
        _done: int

    def _name(self) -> str:
        return "sock_sendall"

    def _try(self) -> Any:
        data = self._data
        sent = send_out(self._socket, fd_of(self._socket), data, self._done)
        if sent > 0:
            self._done += sent
        size = len(data) if type(data) is bytes else memoryview(data).nbytes
        return True if self._done >= size else None

    def _result(self, tried: Any) -> Any:
        return None

    def _watch(self, tried: bool) -> int:
        if type(self._data) is not bytes:
            self._data = memoryview(self._data)  # its owner cannot make it shorter meanwhile
        return WaitToSend._watch(self, tried)

    def _end(self, keep: bool) -> int:
        self._data = None
        return Wait._end(self, keep)


class SendingTo(WaitToSend):
    """`sock_sendto`: one datagram."""

    if TYPE_CHECKING:
        _data: Any
        _address: Any

    def _name(self) -> str:
        return "sock_sendto"

    def _try(self) -> Any:
        try:
            return self._socket.sendto(self._data, self._address)
        except BLOCKED:
            return None


def check_open(engine: Any) -> None:
    """Raises RuntimeError if the loop is closed."""
    if engine._closed:
        engine._check_closed()


if COMPILED:  # what is raised in a compiled `__next__` gets a traceback, which StopIteration has no use for
    for _cls in (Receiving, Filling, Calling, Sending, SendingTo):
        _have_steps(_cls)  # noqa: F821 (in the .pxd)
    del _cls


def _receiving(loop: Any, sock: Any, size: int) -> Receiving:
    wait = Receiving.__new__(Receiving)
    wait._prepare(loop, sock)
    wait._size = size
    return wait


def _filling(loop: Any, sock: Any, buffer: Any) -> Filling:
    wait = Filling.__new__(Filling)
    wait._prepare(loop, sock)
    wait._buffer = buffer
    return wait


def _calling(loop: Any, sock: Any, call: Any, args: tuple[Any, ...], name: str, receives: bool = False) -> Calling:
    wait = Calling.__new__(Calling)
    wait._prepare(loop, sock)
    wait._receives = receives
    wait._called = name
    wait._call = call
    wait._arguments = args
    return wait


def _sending(loop: Any, sock: Any, data: Any) -> Sending:
    wait = Sending.__new__(Sending)
    wait._prepare(loop, sock)
    wait._data = data
    wait._done = 0
    return wait


def _sending_to(loop: Any, sock: Any, data: Any, address: Any) -> SendingTo:
    wait = SendingTo.__new__(SendingTo)
    wait._prepare(loop, sock)
    wait._data = data
    wait._address = address
    return wait


def _serves(loop: Engine, sock: Any) -> bool:
    return type(sock) is SOCKET and type(loop._poll) is EpollPoll and not loop._debug


class SocketCalls(Engine):
    """What `Fate` has in place of asyncio's `sock_*`."""

    def sock_recv(self, sock: Any, n: int) -> Any:
        if not _serves(self, sock) or type(n) is not int or not 0 < n <= sys.maxsize:
            return ASYNCIO.sock_recv(self, sock, n)
        return _receiving(self, sock, n)

    def sock_recv_into(self, sock: Any, buf: Any) -> Any:
        if not _serves(self, sock):
            return ASYNCIO.sock_recv_into(self, sock, buf)
        return _filling(self, sock, buf)

    def sock_recvfrom(self, sock: Any, bufsize: int) -> Any:
        if not _serves(self, sock):
            return ASYNCIO.sock_recvfrom(self, sock, bufsize)
        if type(bufsize) is int and bufsize > LARGEST and sock.family in INTERNET and sock.type == socket.SOCK_DGRAM:
            bufsize = LARGEST
        receives = type(bufsize) is int and bufsize > 0
        return _calling(self, sock, sock.recvfrom, (bufsize,), "sock_recvfrom", receives)

    def sock_recvfrom_into(self, sock: Any, buf: Any, nbytes: int = 0) -> Any:
        if not _serves(self, sock):
            return ASYNCIO.sock_recvfrom_into(self, sock, buf, nbytes)
        receives = type(nbytes) is int and nbytes == 0 and fillable(buf)
        return _calling(self, sock, sock.recvfrom_into, (buf, nbytes), "sock_recvfrom_into", receives)

    def sock_accept(self, sock: Any) -> Any:
        if not _serves(self, sock):
            return ASYNCIO.sock_accept(self, sock)
        return _calling(self, sock, _accept, (sock,), "sock_accept")

    def sock_sendall(self, sock: Any, data: Any) -> Any:
        if not _serves(self, sock):
            return ASYNCIO.sock_sendall(self, sock, data)
        return _sending(self, sock, data)

    def sock_sendto(self, sock: Any, data: Any, address: Any) -> Any:
        if not _serves(self, sock):
            return ASYNCIO.sock_sendto(self, sock, data, address)
        return _sending_to(self, sock, data, address)


def _accept(sock: Any) -> tuple[socket.socket, Any]:
    connection, address = sock.accept()
    connection.setblocking(False)
    return connection, address
