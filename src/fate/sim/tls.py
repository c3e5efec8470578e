"""TLS on blocking sockets: `SSLContext.wrap_socket` in a universe, as programs in threads use it.

`ssl.SSLSocket` is Python's own, on a simulated socket. What it talks to, OpenSSL's layer on a descriptor, is here the
same layer on two buffers in memory (as asyncio uses it), which `Layer` fills from the socket and empties into it.
"""

from __future__ import annotations

import ssl
import weakref
from collections.abc import Callable
from typing import Any

from fate.sim import _swap, world
from fate.sim.errors import unsimulated
from fate.sim.sockets import SimSocket

HEADER = 5  # bytes of a record of TLS, the last two of which tell how many follow

_create = ssl.SSLSocket.__dict__["_create"]
_wrap_socket = ssl.SSLContext._wrap_socket  # type: ignore[attr-defined]
_armed: list[bool] = []  # whether this universe has asked for it
_classes: dict[type, type] = {}


class Layer:
    """What an `ssl.SSLSocket` has in place of `_ssl._SSLSocket`."""

    def __init__(self, context: Any, sock: SimSocket, server_side: bool, server_hostname: Any, **options: Any) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._inner = context._wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname, **options
        )
        self._owner = weakref.ref(sock)
        self._unsent = b""
        self._header = b""
        self._rest = 0  # bytes of the present record that have not come

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def context(self) -> Any:
        """The context, which a server may change when it knows the name that it was called by."""
        return self._inner.context

    @context.setter
    def context(self, context: Any) -> None:
        self._inner.context = context

    @property
    def session(self) -> Any:
        """The session, which a client may set to resume it."""
        return self._inner.session

    @session.setter
    def session(self, session: Any) -> None:
        self._inner.session = session

    def do_handshake(self) -> None:
        """Shake hands."""
        self._do(self._inner.do_handshake)

    def read(self, *args: Any) -> Any:
        """Up to so many bytes, or into a buffer."""
        return self._do(self._inner.read, *args)

    def write(self, data: Any) -> int:
        """Send bytes; return how many were taken."""
        self._flush()
        if self._unsent:
            raise ssl.SSLWantWriteError(ssl.SSL_ERROR_WANT_WRITE, "The operation did not complete (write)")
        size: int = self._do(self._inner.write, data)
        return size

    def shutdown(self) -> Any:
        """Say farewell, and wait for the other side's; return the socket."""
        self._do(self._inner.shutdown)
        return self._owner()

    def _do(self, call: Callable[..., Any], *args: Any) -> Any:
        while True:
            try:
                return call(*args)
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            finally:
                self._flush()

    def _sock(self) -> SimSocket:
        sock = self._owner()
        assert sock is not None
        return sock

    def _fill(self) -> None:
        """Take what comes next, and nothing behind the present record: after a farewell, that is not TLS."""
        try:
            data = SimSocket.recv(self._sock(), self._rest or HEADER - len(self._header))
        except BlockingIOError:
            text = "The operation did not complete (read)"
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, text) from None
        except TimeoutError:
            raise TimeoutError("The read operation timed out") from None
        if not data:
            self._incoming.write_eof()
            return
        self._incoming.write(data)
        if self._rest:
            self._rest -= len(data)
            return
        self._header += data
        if len(self._header) == HEADER:
            self._rest, self._header = int.from_bytes(self._header[3:], "big"), b""

    def _flush(self) -> None:
        data = self._unsent + self._outgoing.read()
        try:
            while True:
                if not data:
                    break
                data = data[SimSocket.send(self._sock(), data) :]
        except BlockingIOError:
            pass  # with what comes next
        except TimeoutError:
            raise TimeoutError("The write operation timed out") from None
        finally:
            self._unsent = data


def create(cls: type, sock: Any, *args: Any, **options: Any) -> Any:
    """`ssl.SSLSocket._create`, in a universe."""
    here = world.current
    if here is None or not _swap.get_inside():
        return _create.__func__(cls, sock, *args, **options)
    if sock.fileno() >= 0 and sock.fileno() not in here.kernel.ends:  # it may be anything that wraps a socket
        raise unsimulated("SSLContext.wrap_socket() of a socket of the real world", "make it inside the universe")
    if not _armed:
        _armed.append(True)
        ssl.SSLContext._wrap_socket = _wrap  # type: ignore[attr-defined]
    ours = _classes.get(cls)
    if ours is None:
        ours = _classes[cls] = type(cls.__name__, (cls, SimSocket), {"__module__": cls.__module__})
    return _create.__func__(ours, sock, *args, **options)


def _wrap(context: Any, sock: Any, server_side: bool, server_hostname: Any = None, **options: Any) -> Any:
    if SimSocket in type(sock).__mro__:
        return Layer(context, sock, server_side, server_hostname, **options)
    return _wrap_socket(context, sock, server_side, server_hostname, **options)


def take_away() -> None:
    """Have everything as it was."""
    if _armed:
        _armed.clear()
        del ssl.SSLContext._wrap_socket  # type: ignore[attr-defined]
