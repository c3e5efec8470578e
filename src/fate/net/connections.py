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
import sys
import weakref
from asyncio import base_events, constants, trsock
from asyncio.selector_events import _SelectorSocketTransport  # type: ignore[attr-defined]
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, cast

from fate.net._calls import Table, accept, unpack
from fate.net.addresses import FAMILIES
from fate.net.pieces import plain
from fate.net.stream import Stream
from fate.net.tls import TLSProtocol

SOCKET = _socket.socket
PYTHONS = socket.socket if issubclass(socket.socket, SOCKET) else SOCKET
WAITS_FOR_CLIENTS = sys.version_info >= (3, 12)  # `Server.wait_closed`
ONE_CONTEXT = sys.version_info >= (3, 15)  # for all callbacks of a connection
Base: Any = base_events.Server
EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class SelectorStream(_SelectorSocketTransport):  # type: ignore[misc]
    """The standard library's stream transport, reading less at a time.

    Its own 256 KiB would be allocated by mmap, faulted in and given back by munmap for every message, with glibc's
    defaults: three times the cost of the message itself.
    """

    max_size = 64 * 1024

    if TYPE_CHECKING:
        _buffer: Any
        _conn_lost: int
        _empty_waiter: Any
        _loop: Any
        _server: Any
        _sock: Any
        _sock_fd: int

    def __init__(self, loop: Any, sock: Any, protocol: Any, *how: Any, **options: Any) -> None:
        protocol.connection_made  # noqa: B018 (if it has none, nobody has been told of this transport yet)
        super().__init__(loop, sock, protocol, *how, **options)

    def __del__(self) -> None:
        if self._sock is not None:
            super().__del__()
            if sys.version_info < (3, 13) and self._server is not None:
                self._server._detach()  # else the server waits for it for ever
            # A hook for warnings may keep it: then it is one that has ended, for its number is another's soon.
            self._closing = True
            self._conn_lost = 1

    def write(self, data: Any) -> None:
        """As asyncio's, which believes what bytes of a program's own class say of their length."""
        super().write(plain(data))

    def writelines(self, list_of_data: Any) -> None:
        """As `write`, of each."""
        pieces = [plain(data) for data in list_of_data]
        if self._conn_lost:
            self.write(b"".join(pieces))  # asyncio's own fails where there is no loop to wait in any more
        else:
            super().writelines(pieces)

    # For `sendfile`, as in `Stream`. A cancelled call leaves a waiter that is done, which asyncio would resolve again.

    def _make_empty_waiter(self) -> Any:
        return asyncio.shield(super()._make_empty_waiter())

    def _make_room_waiter(self) -> Any:
        self._empty_waiter = waiter = self._loop.create_future()
        self._loop._add_writer(self._sock_fd, self._has_room)
        return asyncio.shield(waiter)

    def _has_room(self) -> None:
        self._loop._remove_writer(self._sock_fd)
        self._empty_waiter.set_result(None)

    def _reset_empty_waiter(self) -> None:
        super()._reset_empty_waiter()
        if self._sock is not None and not self._buffer:
            self._loop._remove_writer(self._sock_fd)

    def _call_connection_lost(self, exc: Any) -> None:
        self._conn_lost += 1  # or `abort` fails afterwards, where `close` has waited for what was to be sent
        waiter = self._empty_waiter
        if waiter is not None:
            self._loop._remove_writer(self._sock_fd)
            if waiter.done():
                self._empty_waiter = None
        try:
            super()._call_connection_lost(exc)
        finally:
            if waiter is not None and waiter.done() and not waiter.cancelled():
                waiter.exception()  # a call that was cancelled meanwhile does not ask for it, and nobody else need


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

    # Since Python 3.15 all callbacks of a connection run in one context: a copy of that of who connects, or of the
    # server's for each client. There asyncio hands it from one of these methods to the next.

    def _make_socket_transport(
        self,
        sock: Any,
        protocol: Any,
        waiter: Any = None,
        *,
        extra: Any = None,
        server: Any = None,
        context: Any = None,
    ) -> Any:
        self._ensure_fd_no_transport(sock)
        if self._native and _isplain(sock):
            return Stream(self, sock, protocol, waiter, extra, server, None, context)
        return SelectorStream(self, sock, protocol, waiter, extra, server, **_where_given(context))

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
        context: Any = None,
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
        self._make_socket_transport(rawsock, secure, extra=extra, server=server, **_where_given(context))
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

        What a `StreamReader` behind `protocol` holds already, and nobody has read, belongs to TLS: a ClientHello that
        came together with the line before it; and nothing that came in the clear is read as if it had come by TLS.
        The arguments are asyncio's. Raises TypeError for a transport or a context that cannot do it, and whatever the
        handshake raises.
        """
        if not isinstance(sslcontext, ssl.SSLContext):
            raise TypeError(f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}")
        if not getattr(transport, "_start_tls_compatible", False):
            raise TypeError(f"transport {transport!r} is not supported by start_tls()")
        waiter: Any = self.create_future()
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
        secure.take_over(protocol)
        made = self.call_soon(secure.connection_made, transport)
        resumed = self.call_soon(transport.resume_reading)
        try:
            await waiter
        except BaseException:
            transport.close()
            made.cancel()
            resumed.cancel()
            raise
        finally:
            waiter = None  # its error would keep it, by this frame in the traceback
        return secure._app_transport

    # -- connecting ----------------------------------------------------------------------------------------------
    # Who gave a descriptor away, or never had it, cannot close it: whatever fails before there is a transport does.

    async def _create_connection_transport(
        self,
        sock: Any,
        protocol_factory: Any,
        ssl: Any,
        server_hostname: str | None,
        server_side: bool = False,
        ssl_handshake_timeout: Any = None,
        ssl_shutdown_timeout: Any = None,
        context: Any = None,
    ) -> Any:
        waiter: Any = self.create_future()
        try:
            sock.setblocking(False)
            if ONE_CONTEXT and context is None:
                context = copy_context()
            protocol = protocol_factory()
            if ssl:
                transport = self._make_ssl_transport(
                    sock,
                    protocol,
                    None if isinstance(ssl, bool) else ssl,
                    waiter,
                    server_side=server_side,
                    server_hostname=server_hostname,
                    ssl_handshake_timeout=ssl_handshake_timeout,
                    ssl_shutdown_timeout=ssl_shutdown_timeout,
                    **_where_given(context),
                )
            else:
                transport = self._make_socket_transport(sock, protocol, waiter, **_where_given(context))
        except BaseException:
            sock.close()
            raise
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        finally:
            waiter = None  # its error would keep it, by this frame in the traceback
        return transport, protocol

    async def create_datagram_endpoint(self, protocol_factory: Any, *arguments: Any, **options: Any) -> Any:
        """As asyncio's."""
        late = LateProtocol(protocol_factory)
        create: Any = super().create_datagram_endpoint  # type: ignore[misc]
        transport, _ = await create(late, *arguments, **options)
        return transport, late.protocol

    async def connect_read_pipe(self, protocol_factory: Any, pipe: Any) -> Any:
        """As asyncio's."""
        connect: Any = super().connect_read_pipe  # type: ignore[misc]
        return await connect(_closing(pipe, protocol_factory), pipe)

    async def connect_write_pipe(self, protocol_factory: Any, pipe: Any) -> Any:
        """As asyncio's."""
        connect: Any = super().connect_write_pipe  # type: ignore[misc]
        return await connect(_closing(pipe, protocol_factory), pipe)

    # -- accepting -----------------------------------------------------------------------------------------------

    async def create_server(self, *arguments: Any, **options: Any) -> Any:
        """As asyncio's."""
        create: Any = super().create_server  # type: ignore[misc]
        return Server.adopt(await create(*arguments, **options))

    async def create_unix_server(self, *arguments: Any, **options: Any) -> Any:
        """As asyncio's."""
        create: Any = super().create_unix_server  # type: ignore[misc]
        return Server.adopt(await create(*arguments, **options))

    def _start_serving(
        self, protocol_factory: Any, sock: Any, sslcontext: Any = None, server: Any = None, *how: Any, **options: Any
    ) -> None:
        if sock.fileno() == -1:
            return  # the server was closed while it waited for descriptors
        if self._native and type(getattr(server, "_clients", None)) is weakref.WeakSet and not server._clients:
            server._clients = Clients(server, self._streams)
        start: Any = super()._start_serving  # type: ignore[misc]
        start(protocol_factory, sock, sslcontext, server, *how, **options)

    def _accept_connection(
        self,
        protocol_factory: Any,
        sock: Any,
        sslcontext: Any = None,
        server: Any = None,
        backlog: int = 100,
        ssl_handshake_timeout: Any = constants.SSL_HANDSHAKE_TIMEOUT,
        ssl_shutdown_timeout: Any = constants.SSL_SHUTDOWN_TIMEOUT,
        context: Any = None,
    ) -> None:
        """A listening socket is readable: take the connections that wait there, as many as can wait at most."""
        how = (ssl_handshake_timeout, ssl_shutdown_timeout)
        given = _where_given(context)
        family = sock.family
        if not self._native or family not in FAMILIES or not _isplain(sock):
            accept_one_by_one: Any = super()._accept_connection  # type: ignore[misc]
            accept_one_by_one(protocol_factory, sock, sslcontext, server, backlog, *how, **given)
            return
        listening = sock.fileno()
        kind, proto = sock.type | socket.SOCK_NONBLOCK, sock.proto  # each is an enumeration, and dear to ask for
        for _ in range(backlog + 1):  # the kernel lets one more wait
            try:
                taken = accept(sock, listening)
            except ConnectionAbortedError:
                continue  # that one has gone, the next waits
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                # The kernel goes on saying that somebody waits: look again in a while.
                self._remove_reader(listening)  # the handler may close the server, and the number be another's then
                self.call_later(
                    constants.ACCEPT_RETRY_DELAY,
                    self._start_serving,
                    protocol_factory,
                    sock,
                    sslcontext,
                    server,
                    backlog,
                    *how,
                    *given.values(),
                )
                self.call_exception_handler(
                    {
                        "message": "socket.accept() out of system resource",
                        "exception": error,
                        "socket": trsock.TransportSocket(sock),
                    }
                )
                return
            if taken is None:
                return
            fd, peer = taken
            mine = None if context is None else context.copy()
            try:
                connection = socket.socket(family, kind, proto, fileno=fd)
            except BaseException:
                os.close(fd)
                raise
            if sslcontext:
                extra = {"peername": unpack(peer)}
                self.create_task(
                    self._accept_connection2(
                        protocol_factory, connection, extra, sslcontext, server, *how, **_where_given(mine)
                    ),
                    context=mine,
                )
            else:
                self.call_soon(self._serve, protocol_factory, connection, peer, server, mine, context=mine)

    def _serve(self, protocol_factory: Any, connection: Any, peer: Any, server: Any, context: Any) -> None:
        """Make the protocol and the transport of a connection that was accepted."""
        protocol = None
        try:
            if server is not None and server._sockets is None:  # the connection came too late
                connection.close()
                return
            protocol = protocol_factory()
            if server is not None and server._sockets is None:  # the factory has closed it
                connection.close()
                return
            if type(connection) is PYTHONS or _isplain(connection):
                Stream(self, connection, protocol, None, None, server, peer, context)
            else:  # a program has put a class of its own in the place of `socket.socket`
                extra = {"peername": unpack(peer)}
                self._make_socket_transport(connection, protocol, extra=extra, server=server, **_where_given(context))
        except BaseException as error:
            self._not_served(connection, protocol, error)

    async def _accept_connection2(
        self,
        protocol_factory: Any,
        conn: Any,
        extra: Any,
        sslcontext: Any = None,
        server: Any = None,
        ssl_handshake_timeout: Any = constants.SSL_HANDSHAKE_TIMEOUT,
        ssl_shutdown_timeout: Any = constants.SSL_SHUTDOWN_TIMEOUT,
        context: Any = None,
    ) -> None:
        """`_serve`, with TLS, or with asyncio's transports."""
        given = _where_given(context)
        protocol = transport = None
        waiter: Any = self.create_future()
        try:
            if _is_closed(server):
                conn.close()
                return
            protocol = protocol_factory()
            if _is_closed(server):  # by the factory
                conn.close()
                return
            if sslcontext:
                transport = self._make_ssl_transport(
                    conn,
                    protocol,
                    sslcontext,
                    waiter,
                    server_side=True,
                    extra=extra,
                    server=server,
                    ssl_handshake_timeout=ssl_handshake_timeout,
                    ssl_shutdown_timeout=ssl_shutdown_timeout,
                    **given,
                )
            else:
                transport = self._make_socket_transport(conn, protocol, waiter, extra=extra, server=server, **given)
        except BaseException as error:
            self._not_served(conn, protocol, error)
            return
        try:
            await waiter
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # mostly a handshake's, which port scanners bring about: only debug mode tells
            transport.close()
            if self._debug:
                self._report_accepting(error, protocol=protocol, transport=transport)
        finally:
            waiter = None  # its error would keep it, by this frame in the traceback

    def _not_served(self, connection: Any, protocol: Any, error: BaseException) -> None:
        """A connection that was accepted got no transport."""
        connection.close()
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            raise error
        self._report_accepting(error, **({} if protocol is None else {"protocol": protocol}))

    def _report_accepting(self, error: BaseException, **what: Any) -> None:
        message = "Error on transport creation for incoming connection"
        self.call_exception_handler({"message": message, "exception": error, **what})


class Server(Base):  # type: ignore[misc]
    """asyncio's, as the newest Python has it."""

    _serving_forever_fut: Any

    @classmethod
    def adopt(cls, server: Any) -> Any:
        """Make one of what asyncio made."""
        if type(server) is Base:
            server.__class__ = cls
        return server

    async def serve_forever(self) -> None:
        """Serve until this is cancelled or the server closed.

        Then the clients' connections are closed too, and waited for. Python 3.11 waits for none, so there they stay.
        """
        if self._serving_forever_fut is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        if self._sockets is None:
            raise RuntimeError(f"server {self!r} is closed")
        self._start_serving()
        self._serving_forever_fut = self._loop.create_future()
        try:
            await self._serving_forever_fut
        except asyncio.CancelledError:
            self.close()
            if WAITS_FOR_CLIENTS:
                for transport in [*self._loop._transports.values()]:
                    if getattr(transport, "_server", None) is self:  # a program may put anything there
                        transport.close()
                with suppress(asyncio.CancelledError):  # a second time: it is over anyway
                    await self.wait_closed()
            raise
        finally:
            self._serving_forever_fut = None


class LateProtocol:
    """In place of a protocol until there is a socket for it: its factory may fail, and that socket is to be closed."""

    def __init__(self, factory: Any) -> None:
        self._factory = factory
        self.protocol: Any = None

    def __call__(self) -> LateProtocol:
        return self

    def make(self) -> Any:
        """The protocol."""
        self.protocol = self._factory()
        return self.protocol


def _closing(pipe: Any, protocol_factory: Any) -> Any:
    """The factory; if it fails the pipe is closed."""

    def make() -> Any:
        try:
            return protocol_factory()
        except BaseException:
            pipe.close()
            raise

    return make


def _where_given(context: Any) -> dict[str, Any]:
    """The argument `context`, where asyncio hands one on: a program's own methods in these places may know of none."""
    return {} if context is None else {"context": context}


def _is_closed(server: Any) -> bool:
    """Whether a connection comes too late for its server."""
    return server is not None and server._sockets is None


def _isplain(sock: Any) -> bool:
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
