"""How a Fate makes connections: its own stream transports where it polls natively, asyncio's elsewhere.

`Connections` overrides what asyncio's selector loop makes transports and accepts connections with. How a name is
looked up and a socket connected, and what a server is, stays the standard library's. The transports are in `stream`,
TLS in `tls`.
"""

from __future__ import annotations

import _socket
import asyncio
import errno
import os
import socket
import ssl
import weakref
from asyncio import constants, trsock
from asyncio.selector_events import _SelectorSocketTransport  # type: ignore[attr-defined]
from collections.abc import Callable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, cast

from fate.net._calls import Table, accept, unpack
from fate.net.addresses import FAMILIES
from fate.net.stream import Stream
from fate.net.tls import TLSProtocol

SOCKET = _socket.socket
PYTHONS = socket.socket if issubclass(socket.socket, SOCKET) else SOCKET
EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class SelectorStream(_SelectorSocketTransport):  # type: ignore[misc]
    """The standard library's stream transport, reading less at a time.

    Its own 256 KiB would be allocated by mmap, faulted in and given back by munmap for every message, with glibc's
    defaults: three times the cost of the message itself.
    """

    max_size = 64 * 1024


class Transports(MutableMapping[int, Any]):
    """asyncio's `loop._transports`: which transport uses which descriptor, Fate's own and the standard library's."""

    def __init__(self, streams: Table) -> None:
        self._streams = streams
        self._others: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()

    def __getitem__(self, fd: int) -> Any:
        stream = self._streams.get(fd)
        return self._others[fd] if stream is None else stream

    def __setitem__(self, fd: int, transport: Any) -> None:
        if type(transport) is Stream:
            transport._take_place()  # its own, if it still has one: a number outlives what it stood for
        else:
            self._others[fd] = transport

    def __delitem__(self, fd: int) -> None:
        stream = self._streams.get(fd)
        if stream is None:
            del self._others[fd]
        else:
            stream._leave_place()

    def __iter__(self) -> Iterator[int]:
        return iter([*self._streams.descriptors(), *self._others])

    def __len__(self) -> int:
        return len(self._streams.descriptors()) + len(self._others)


class Clients:
    """asyncio's `Server._clients` (since CPython 3.13): a server's transports, none of which it keeps alive.

    A weak reference and its place in a set take 190 bytes a connection. The loop knows its streams already, and each
    of them its server.
    """

    def __init__(self, server: Any, streams: Table) -> None:
        self._server = weakref.ref(server)
        self._streams = streams
        self._count = 0  # of streams, each of which is added and discarded once
        self._others: weakref.WeakSet[Any] = weakref.WeakSet()

    def add(self, transport: Any) -> None:
        """`transport` is the server's."""
        if type(transport) is Stream:
            self._count += 1
        else:
            self._others.add(transport)

    def discard(self, transport: Any) -> None:
        """`transport` has ended."""
        if type(transport) is Stream:
            self._count -= 1
        else:
            self._others.discard(transport)

    def __len__(self) -> int:
        return self._count + len(self._others)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.copy())

    def copy(self) -> list[Any]:
        """All of them."""
        server = self._server()
        streams = map(self._streams.get, self._streams.descriptors())
        return [*(stream for stream in streams if stream._server is server), *self._others]


class Connections:
    """What asyncio's selector loop makes transports with, for streams."""

    _streams: Table
    _native = False

    if TYPE_CHECKING:
        _debug: bool
        _transports: Any
        _ensure_fd_no_transport: Callable[[Any], None]
        _accept_connection2: Callable[..., Any]
        _remove_reader: Callable[[Any], bool]
        call_exception_handler: Callable[[dict[str, Any]], None]
        call_later: Callable[..., Any]
        call_soon: Callable[..., Any]
        create_task: Callable[..., Any]
        create_future: Callable[[], asyncio.Future[Any]]

    def _carry_streams(self) -> None:
        """From now on stream sockets get Fate's own transports."""
        self._native = True
        self._streams = Table()
        self._transports = Transports(self._streams)

    def _make_socket_transport(
        self, sock: Any, protocol: Any, waiter: Any = None, *, extra: Any = None, server: Any = None
    ) -> Any:
        self._ensure_fd_no_transport(sock)
        if self._native and _is_plain(sock):
            return Stream(self, sock, protocol, waiter, extra, server)
        return SelectorStream(self, sock, protocol, waiter, extra, server)

    def _make_ssl_transport(
        self,
        rawsock: Any,
        protocol: Any,
        sslcontext: Any,
        waiter: Any = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: Any = None,
        server: Any = None,
        ssl_handshake_timeout: Any = None,
        ssl_shutdown_timeout: Any = None,
    ) -> Any:
        secure = TLSProtocol(
            cast(asyncio.AbstractEventLoop, self),
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        self._make_socket_transport(rawsock, secure, extra=extra, server=server)
        return secure._app_transport

    async def start_tls(
        self,
        transport: Any,
        protocol: Any,
        sslcontext: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: Any = None,
        ssl_shutdown_timeout: Any = None,
    ) -> Any:
        """Go on with TLS on a connection that has none: give the transport that `protocol` should use from now on.

        The arguments are asyncio's. Raises TypeError for a transport or a context that cannot do it, and whatever the
        handshake raises.
        """
        if not isinstance(sslcontext, ssl.SSLContext):
            raise TypeError(f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}")
        if not getattr(transport, "_start_tls_compatible", False):
            raise TypeError(f"transport {transport!r} is not supported by start_tls()")
        waiter = self.create_future()
        secure = TLSProtocol(
            cast(asyncio.AbstractEventLoop, self),
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            call_connection_made=False,
        )
        transport.pause_reading()  # nothing may reach the protocol before its connection_made
        transport.set_protocol(secure)
        made = self.call_soon(secure.connection_made, transport)
        resumed = self.call_soon(transport.resume_reading)
        try:
            await waiter
        except BaseException:
            transport.close()
            made.cancel()
            resumed.cancel()
            raise
        return secure._app_transport

    # -- accepting -----------------------------------------------------------------------------------------------

    def _start_serving(
        self, protocol_factory: Any, sock: Any, sslcontext: Any = None, server: Any = None, *how: Any
    ) -> None:
        if self._native and type(getattr(server, "_clients", None)) is weakref.WeakSet and not server._clients:
            server._clients = Clients(server, self._streams)
        start: Any = super()._start_serving  # type: ignore[misc]
        start(protocol_factory, sock, sslcontext, server, *how)

    def _accept_connection(
        self,
        protocol_factory: Any,
        sock: Any,
        sslcontext: Any = None,
        server: Any = None,
        backlog: int = 100,
        *how: Any,
    ) -> None:
        """A listening socket is readable: take the connections that wait there, `backlog` at most."""
        if not self._native or sock.family not in FAMILIES or not _is_plain(sock):
            accept_one_by_one: Any = super()._accept_connection  # type: ignore[misc]
            accept_one_by_one(protocol_factory, sock, sslcontext, server, backlog, *how)
            return
        listening = sock.fileno()
        for _ in range(backlog):
            try:
                taken = accept(sock, listening)
            except ConnectionAbortedError:
                return
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                # The kernel goes on saying that somebody waits: look again in a while.
                self.call_exception_handler(
                    {
                        "message": "socket.accept() out of system resource",
                        "exception": error,
                        "socket": trsock.TransportSocket(sock),
                    }
                )
                self._remove_reader(listening)
                self.call_later(
                    constants.ACCEPT_RETRY_DELAY,
                    self._start_serving,
                    protocol_factory,
                    sock,
                    sslcontext,
                    server,
                    backlog,
                    *how,
                )
                return
            if taken is None:
                return
            fd, peer = taken
            try:
                connection = socket.socket(sock.family, sock.type | socket.SOCK_NONBLOCK, sock.proto, fileno=fd)
            except BaseException:
                os.close(fd)
                raise
            if sslcontext:
                extra = {"peername": unpack(peer)}
                self.create_task(
                    self._accept_connection2(protocol_factory, connection, extra, sslcontext, server, *how)
                )
            else:
                self.call_soon(self._serve, protocol_factory, connection, peer, server)

    def _serve(self, protocol_factory: Any, connection: Any, peer: Any, server: Any) -> None:
        """Make the protocol and the transport of a connection that was accepted."""
        protocol = None
        try:
            protocol = protocol_factory()
            if _is_plain(connection):
                Stream(self, connection, protocol, None, None, server, peer)
            else:  # a program has put a class of its own in the place of `socket.socket`
                self._make_socket_transport(connection, protocol, extra={"peername": unpack(peer)}, server=server)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # as in asyncio, where only debug mode tells of it
            connection.close()
            if self._debug:
                context = {
                    "message": "Error on transport creation for incoming connection",
                    "exception": error,
                }
                if protocol is not None:
                    context["protocol"] = protocol
                self.call_exception_handler(context)


def _is_plain(sock: Any) -> bool:
    """Whether `sock` is the system's and sends and receives as those do, not in a way of its own.

    What `socket.socket` names is not asked: programs put other classes there.
    """
    cls = type(sock)
    return cls is PYTHONS or (
        issubclass(cls, SOCKET)
        and cls.recv is SOCKET.recv
        and cls.recv_into is SOCKET.recv_into
        and cls.send is SOCKET.send
        and cls.fileno is SOCKET.fileno
    )
