"""TLS: the standard library's SSLProtocol, with what each message passes through done anew, and compiled.

Handshake, shutdown, flow control and errors stay the standard library's. What is different:

- no buffer a connection. asyncio keeps 256 KiB for each, and allocates as much for each read, which glibc maps, faults
  in and unmaps: dearer than the cipher. Here bytes come as the stream has them, and a read asks for what there is;
- no exception a message. asyncio reads until OpenSSL raises SSLWantReadError; here the BIO is asked if it is empty, and
  no more often than need be;
- what a callback writes is encrypted at once and leaves with the stream's cork.

`fate.net.connections` makes these; the carrier is a `Stream`, or any other transport.
"""

from __future__ import annotations

import asyncio
import copy
import traceback
from asyncio import constants, sslproto
from asyncio.log import logger
from typing import TYPE_CHECKING, Any

from fate.net.pieces import plain
from fate.net.readers import quicken

State: Any = sslproto.SSLProtocolState
WRAPPED: Any = State.WRAPPED
FLUSHING: Any = State.FLUSHING
ENDED: Any = (State.FLUSHING, State.SHUTDOWN, State.UNWRAPPED)
AGAIN: Any = sslproto.SSLAgainErrors
Transport: Any = sslproto._SSLProtocolTransport  # untyped, as the next
Protocol: Any = sslproto.SSLProtocol
PATIENCE: Any = constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES
RECORD = 16 * 1024  # bytes that a TLS record carries at most


class Core:
    """The part of an SSLProtocol that each message passes through, and what of its state that needs.

    `TLSProtocol` inherits it before asyncio's class, whose methods find that state here; compiled, it is a C struct.
    """

    if TYPE_CHECKING:
        _app_protocol: Any
        _app_protocol_is_buffer: bool
        _app_reading_paused: bool
        _app_writing_paused: bool
        _came: int  # so many bytes at least are in _incoming
        _conn_lost: int
        _drained: bool  # something from _outgoing has been sent since it was set to False
        _incoming: Any
        _incoming_high_water: int
        _outgoing: Any
        _outgoing_high_water: int
        _ssl_reading_paused: bool
        _ssl_writing_paused: bool
        _state: Any
        _tls: Any
        _transport: Any
        _write_backlog: Any
        _write_buffer_size: int
        # Methods, bound once: of _incoming, of _tls, of _tls, of _outgoing.
        _feed: Any
        _read: Any
        _write: Any
        _drain: Any

    # -- from the peer -------------------------------------------------------------------------------------------

    def data_received(self, data: Any) -> None:
        """Take what the peer sent: decrypt it and hand it on, or go on with the handshake or the shutdown."""
        whole: Any = self  # asyncio's part of it
        self._feed(data)
        self._came = len(data)
        state = self._state
        if state is WRAPPED:
            self._do_read()
        elif state is State.DO_HANDSHAKE:
            whole._do_handshake()
        elif state is FLUSHING:
            whole._do_flush()
        elif state is State.SHUTDOWN:
            whole._do_shutdown()

    def _do_read(self) -> None:
        whole: Any = self  # asyncio's part of it
        if self._state is not WRAPPED and self._state is not FLUSHING:
            return
        empty = self._drained = False
        try:
            if not self._app_reading_paused:
                if self._app_protocol_is_buffer:
                    whole._do_read__buffered()
                else:
                    empty = self._decrypt()
                if self._write_buffer_size:
                    self._do_write()
                elif not (
                    self._drained  # the callback's own write took along what reading had to say
                    and self._state is WRAPPED
                    and not self._app_writing_paused
                    and self._outgoing_high_water > 0
                ):
                    self._process_outgoing()
            if self._ssl_reading_paused or (not empty and self._incoming.pending >= self._incoming_high_water):
                Protocol._control_ssl_reading(self)
        except Exception as error:
            whole._fatal_error(error, "Fatal error on SSL protocol")

    def _decrypt(self) -> bool:
        """Hand on what can be decrypted. Returns whether nothing is left for certain."""
        whole: Any = self  # asyncio's part of it
        data = pieces = None
        closed = ended = empty = False
        room = self._came
        self._came = 0
        try:
            while True:
                if room == 0:
                    room = self._incoming.pending
                if room == 0:
                    if ended:  # OpenSSL has all that came, and nothing of a record: it would say so by an exception
                        empty = True
                        break
                    room = self._tls.pending()
                    if room == 0:
                        break
                if room > RECORD:
                    room = RECORD
                piece = self._read(room)
                if not piece:
                    closed = True  # close_notify
                    break
                ended = len(piece) < room  # else there may be more of the record
                room = 0
                if data is None:
                    data = piece
                elif pieces is None:
                    pieces = [data, piece]
                else:
                    pieces.append(piece)
        except AGAIN:
            pass  # the rest of the record is to come
        if data is not None:
            self._app_protocol.data_received(data if pieces is None else b"".join(pieces))
        if closed:
            whole._call_eof_received()
            whole._start_shutdown()
        return empty

    # -- to the peer ---------------------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        """Send `data`, bytes-like: the transport's `write`. Raises TypeError for anything else."""
        if type(data) is not bytes:
            data = _counted_in_bytes(data)
        if len(data):
            self._write_one(data)

    def _write_appdata(self, list_of_data: Any) -> None:
        for data in [_counted_in_bytes(data) for data in list_of_data]:  # all of it, or none
            self._take(data)
        self._encrypt()

    def _write_one(self, data: Any) -> int:
        """`_write_appdata` of one buffer that is not empty."""
        whole: Any = self  # asyncio's part of it
        if self._state is WRAPPED and not self._write_buffer_size:
            try:
                size = len(data)
                count = self._write(data)
                if count < size:
                    self._write_backlog.append(bytes(data[count:]))
                    self._write_buffer_size += size - count
                self._push(self._outgoing.pending if self._ssl_writing_paused else 1)  # it is not empty
            except AGAIN:
                self._take(data)
            except Exception as error:
                whole._fatal_error(error, "Fatal error on SSL protocol")
        else:
            self._take(data)
            self._encrypt()
        return 0

    def _take(self, data: Any) -> int:
        """Put `data` behind what is to be encrypted; a copy, if its owner could change it."""
        if self._state in ENDED:
            return 0
        piece = data if type(data) is bytes else bytes(data)
        size = len(piece)
        if size:
            self._write_backlog.append(piece)
            self._write_buffer_size += size
        return 0

    def _encrypt(self) -> int:
        whole: Any = self  # asyncio's part of it
        if self._state in ENDED:
            if self._conn_lost >= PATIENCE:
                logger.warning("SSL connection is closed")
            self._conn_lost += 1
        elif self._state is WRAPPED:
            try:
                self._do_write()
            except Exception as error:
                whole._fatal_error(error, "Fatal error on SSL protocol")
        return 0

    def _do_write(self) -> None:
        backlog = self._write_backlog
        try:
            while backlog:
                data = backlog[0]
                size = len(data)
                count = self._write(data)
                self._write_buffer_size -= count
                if count < size:
                    backlog[0] = data[count:]
                else:
                    backlog.popleft()
        except AGAIN:
            pass
        self._process_outgoing()

    def _process_outgoing(self) -> None:
        self._push(self._outgoing.pending)

    def _push(self, size: int) -> int:
        """Give the carrier what is encrypted, `size` bytes or, if it may be written to now, any number but 0."""
        whole: Any = self  # asyncio's part of it
        if size and not self._ssl_writing_paused:
            self._transport.write(self._drain())
            self._drained = True
            size = 0
        size += self._write_buffer_size
        if self._app_writing_paused or size >= self._outgoing_high_water:
            whole._control_app_writing()
        return 0


class TLSProtocol(Core, Protocol):  # type: ignore[misc]
    """asyncio's SSLProtocol, which takes bytes as they come (`data_received`) where its transport is a `Stream`."""

    max_size = 0  # what asyncio's __init__ allocates
    _takes_bytes = True

    if TYPE_CHECKING:
        _app_transport: Any
        _app_transport_created: bool
        _loop: Any
        _set_state: Any
        _wakeup_waiter: Any
        _ssl_buffer: bytearray
        _sslcontext: Any
        _sslobj: Any
        _extra: dict[str, Any]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """The arguments are those of asyncio's SSLProtocol."""
        Protocol.__init__(self, *arguments, **options)
        self._tls = self._sslobj._sslobj  # the SSLObject is Python around it
        self._came = 0
        self._drained = False
        self._feed, self._drain = self._incoming.write, self._outgoing.read
        self._read, self._write = self._tls.read, self._tls.write
        self._is_shut = False
        self._has_failed = False  # the handshake

    def _set_app_protocol(self, app_protocol: Any) -> None:
        quicken(app_protocol)
        Protocol._set_app_protocol(self, app_protocol)
        if self._app_protocol_is_buffer:
            get_buffer = app_protocol.get_buffer
            # asyncio slices the buffer and reads into the slice, which of a bytearray is a copy
            self._app_protocol_get_buffer = lambda size: memoryview(get_buffer(size)).cast("B")

    def take_over(self, app_protocol: Any) -> None:
        """Go on where `app_protocol` has been read in the clear: what its reader holds is of the peer's TLS."""
        if not isinstance(app_protocol, asyncio.StreamReaderProtocol):
            return
        app_protocol._over_ssl = True  # type: ignore[attr-defined]  # its end may come before asyncio says so
        reader: Any = app_protocol._stream_reader  # type: ignore[attr-defined]
        if reader is None or reader._transport is None:  # it has read nothing, and is to be given its transport yet
            return
        self._incoming.write(reader._buffer)
        reader._buffer.clear()
        reader._paused = False
        reader._transport = self._app_transport  # which it pauses and resumes from now on

    def _on_handshake_complete(self, handshake_exc: Any) -> None:
        self._has_failed = handshake_exc is not None
        Protocol._on_handshake_complete(self, handshake_exc)
        if isinstance(handshake_exc, BaseException):  # its traceback has the frame of that call, and this the error
            traceback.clear_frames(handshake_exc.__traceback__)

    def connection_lost(self, exc: Any) -> None:
        """The carrier has ended; the program's protocol is told if it knows of a connection."""
        if self._state is State.DO_HANDSHAKE:
            if exc is None:
                self._wakeup_waiter(ConnectionAbortedError("the connection was closed during the TLS handshake"))
            self._set_state(State.UNWRAPPED)  # asyncio would not tell a protocol whose connection is older than TLS
        elif exc is not None and self._has_failed:
            exc = _without_traceback(exc)  # which leads to whoever keeps this for the protocol
        Protocol.connection_lost(self, exc)

    def _control_app_writing(self) -> None:
        if self._app_protocol is not None:  # as it is before the connection is lost
            Protocol._control_app_writing(self)

    def _get_app_transport(self) -> Any:
        if self._app_transport is None:
            if self._app_transport_created:
                raise RuntimeError("Creating _SSLProtocolTransport twice")
            self._app_transport = SSLTransport(self._loop, self)
            self._app_transport.__dict__["write"] = self.write  # in place of the method, which would cost a Python call
            self._app_transport_created = True
        return self._app_transport

    def _on_shutdown_complete(self, shutdown_exc: Any) -> None:
        self._is_shut = True
        Protocol._on_shutdown_complete(self, shutdown_exc)

    def _do_shutdown(self) -> None:
        if self._tls is not None:
            Protocol._do_shutdown(self)

    def _abort(self, exc: BaseException | None = None) -> None:
        """End at once; with an error too, which TLS inside TLS gives, and asyncio's takes since 3.13."""
        self._set_state(State.UNWRAPPED)
        if self._transport is not None:
            self._transport._force_close(exc)

    def forget(self) -> None:
        """Let go of the TLS context, if both sides have ended: whoever keeps the transport need not keep it alive."""
        if self._is_shut:
            self._sslcontext = self._sslobj = self._tls = self._read = self._write = None
            self._extra.pop("sslcontext", None)
            self._extra.pop("ssl_object", None)

    def get_buffer(self, n: int) -> memoryview:
        """A buffer for a transport that wants one."""
        if not self._ssl_buffer:
            self._ssl_buffer = bytearray(4 * RECORD)
            self._ssl_buffer_view = memoryview(self._ssl_buffer)
        view: memoryview = self._ssl_buffer_view
        return view

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` have come into that buffer."""
        self.data_received(self._ssl_buffer_view[:nbytes])


class SSLTransport(Transport):  # type: ignore[misc]
    """What a program sees of a TLS connection: asyncio's own, with a shorter way for `write`.

    Its name has "SSL" in it, by which some programs know such transports.
    """

    def write(self, data: Any) -> None:
        """Send `data`, bytes-like. Raises TypeError for anything else."""
        self._ssl_protocol.write(data)

    def close(self) -> None:
        """Send what was written, then end the connection. Again: keep of it no more than other calls need."""
        if not self._closed:
            Transport.close(self)
        else:
            self._ssl_protocol.forget()  # asyncio forgets the protocol, and no other call works then


def _without_traceback(error: BaseException) -> BaseException:
    """The same error again, or the very one if it cannot be made twice."""
    try:
        return copy.copy(error)
    except Exception:  # an error of the program's own, with an odd constructor
        return error


def _counted_in_bytes(data: Any) -> Any:
    """`data`, whose length is its number of bytes. Raises TypeError for what is not bytes-like."""
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"data: expecting a bytes-like instance, got {type(data).__name__}")
    return plain(data)
