"""Stream transports: TCP and Unix sockets, with asyncio's contract to the letter.

A `Stream` is its own handle: the poll queues it when its socket is readable, and the engine fires it, with no callback
in between. What is written is kept until the turn ends and leaves by one system call (a cork); more than WARM bytes
leave when the callback that wrote returns, more than CORK, or than the high-water mark, at once. What the kernel
does not take waits for the socket to be writable, and counts for flow control; so does what is corked.

The system calls are in `_calls`; who makes streams, and accepts them, in `connections`.
"""

from __future__ import annotations

import os
import socket
import sys
import warnings
from asyncio import base_events, constants, protocols, selector_events, trsock
from asyncio.log import logger
from errno import EBADF
from typing import TYPE_CHECKING, Any, cast

from fate._native import compiled, copy_of
from fate.core.handle import Handle
from fate.net._calls import (
    Seated,
    enter,
    fd_of,
    give_back,
    leave,
    name_of,
    no_delay,
    peer_of,
    receive,
    receive_into,
    send,
    send_pieces,
    unpack,
)
from fate.net.addresses import FAMILIES
from fate.net.pieces import Pieces
from fate.net.readers import quicken

COMPILED = compiled()
CORK = 64 * 1024  # bytes that may wait for the end of a callback
CALL = 1024  # what a send weighs beside its bytes, for how many wait for the end of a turn
WARM = 4 * 1024  # so many bytes wait for the end of the callback only: the cache would lose them
SMALL = 64 * 1024  # bytes that a read takes at most, through the buffer that all share
LARGE = 120 * 1024  # and where much comes; 128 KiB and more would be mapped and unmapped for each read, by glibc
MUCH = 4 * 1024  # a read of so many bytes makes the next one a large one
PATIENCE: int = constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES
INTERNET = (socket.AF_INET, socket.AF_INET6)
TCP = (socket.IPPROTO_TCP, 0)  # what a stream socket of theirs is, unless it says otherwise
BUFFERED: Any = protocols.BufferedProtocol
CONTRACT: Any = selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
ATTACH_NAMES_IT = "transport" in base_events.Server._attach.__code__.co_varnames  # type: ignore[attr-defined]


class Stream(Seated):
    """A connected stream socket's transport. Made by the loop; programs use it as an `asyncio.Transport`.

    `isinstance(stream, asyncio.Transport)` holds, by its `__class__`: a compiled class cannot inherit a Python one.
    """

    _start_tls_compatible = True
    _sendfile_compatible = constants._SendfileMode.TRY_NATIVE

    if TYPE_CHECKING:
        _engine: Any  # the loop; None when the connection is lost, as is the protocol
        _protocol: Any
        _first: Any  # bytes, or None: what is to be sent, from _offset on, if that is one piece
        _pieces: Any  # Pieces, if there were ever several

    def __init__(
        self,
        loop: Any,
        sock: Any,
        protocol: Any,
        waiter: Any = None,
        extra: dict[str, Any] | None = None,
        server: Any = None,
        peer: Any = None,
        context: Any = None,
    ) -> None:
        """
        loop: a Fate that polls natively.
        sock: a connected stream socket, non-blocking; it becomes the transport's.
        waiter: a future to resolve when the protocol's `connection_made` has been called.
        extra: for `get_extra_info`.
        server: the `asyncio.Server` that accepted the connection.
        peer: the peer's address, as `accept` of `_calls` gives it, if it is known.
        context: the one that all the protocol's methods are called in, as asyncio has it since Python 3.15; None: each
            in a copy of the one in which what it tells of was begun.
        """
        if self._sock_fd >= 0:
            raise RuntimeError("A transport is made once: make another")
        if sock.fileno() < 0:
            raise ValueError(
                f"Invalid file descriptor: {sock.fileno()} (the socket was closed before it had a transport)"
            )
        made = protocol.connection_made  # if it has none, nobody has been told of this transport yet
        self._callback = self._args = None
        self._snapshot = context
        self._has_one_context = context is not None
        self._cancelled = False
        self._kind = 0
        self.id = self.cause = self._index = 0
        self._engine = self._loop = loop
        self._socket = sock
        self._info = extra
        self._told = False  # _info is complete
        self._name = None
        self._server = None
        self._first = None
        self._pieces = None
        self._offset = 0
        self._size = 0
        self._high_water = 64 * 1024
        self._low_water = 16 * 1024
        self._want = SMALL
        self._writer: Handle | None = None
        self._empty_waiter = None
        self._conn_lost = 0
        self._closing = False
        self._paused = False
        self._eof = False
        self._protocol_paused = False
        self._watched = False
        self._corked = False
        self._owns_context = False
        self._missed = False
        if not COMPILED:
            self._held: Any = None  # what has been received and not handed over
            self._sent = -1  # what the last send took, until that is accounted for
        self._lost = False
        self._take_place()
        if peer is None and (extra is None or "peername" not in extra):
            if sock.family in FAMILIES:
                peer = peer_of(sock, fd_of(sock))
            else:
                self._tell()
        self._peer = peer
        self.set_protocol(protocol)
        if server is not None:
            if ATTACH_NAMES_IT:
                server._attach(self)
            else:
                server._attach()
            self._server = server
        loop._poll.let_go(self._sock_fd)
        self._edge = sock.proto in TCP and sock.family in INTERNET
        if sock.proto == socket.IPPROTO_TCP:
            no_delay(sock, fd_of(sock))
        if context is None:
            loop.call_soon(made, self)
            loop.call_soon(self._begin)
        else:
            loop.call_soon(made, self, context=context)
            loop.call_soon(self._begin, context=context)
        if waiter is not None:
            loop.call_soon(_resolve, waiter)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return CONTRACT

    def __repr__(self) -> str:
        parts = ["Stream"]
        if self._lost:
            parts.append("closed")
        elif self._closing:
            parts.append("closing")
        parts.append(f"fd={self._sock_fd}")
        if self._engine is not None and not self._engine._closed:
            parts.append(f"read={'polling' if self._watched else 'idle'}")
            parts.append(f"write=<{'idle' if self._writer is None else 'polling'}, bufsize={self._size}>")
        return f"<{' '.join(parts)}>"

    def __del__(self) -> None:
        if self._sock_fd < 0 or self._lost:
            return
        try:
            words = "" if sys.is_finalizing() else f"unclosed transport {self!r}"
        except Exception:  # the interpreter ends, and has taken away what this module's names stood for
            words = ""
        self._rise()
        # A hook for warnings may keep it: then it is one that has ended, for its number is another's soon.
        self._lost = self._closing = True
        self._conn_lost += 1
        self._protocol = self._engine = self._loop = self._snapshot = None
        server = self._server
        self._server = None
        if not words:  # 3.13 cannot show a warning any more when it ends, and says that instead
            try:
                self._socket.close()
            except Exception:
                pass
            return
        self._socket.close()
        try:
            warnings.warn(words, ResourceWarning, stacklevel=1, source=self)
        finally:
            if server is not None:  # asyncio's waits for it for ever before 3.13
                if ATTACH_NAMES_IT:
                    server._detach(self)
                else:
                    server._detach()

    # -- what a handle does --------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Stop being told of what comes. For the poll; programs `close()` or `pause_reading()`."""
        self._watched = False

    def _fire(self) -> BaseException | None:
        """Read, in the context in which reading began. Returns what came out of it, if that stops the loop."""
        if not self._watched:
            return None  # that was stopped while this was in the queue
        if not self._owns_context:
            self._owns_context = True
            self._snapshot = copy_of(self._snapshot)
        error: BaseException | None = None
        context = self._snapshot
        entered = False
        try:
            if COMPILED:
                enter(context)
                entered = True
                self._read()
                entered = False
                leave(context)
            else:
                error = context.run(self._read_guarded)
        except BaseException as failure:  # the engine decides what becomes of it
            if entered:
                error = self._read_failed(failure)
                leave(context)
            elif isinstance(failure, RuntimeError):  # `data_received`, which turns the loop, has not returned
                self._missed = True
                return None
            else:
                error = failure
        if not COMPILED and self._held is not None:  # a signal's handler raised before it was handed over
            self._missed = True
        if self._missed:  # and it was told once only
            self._missed = False
            if self._watched:
                self._engine.queue_source(self)
        return error

    def _read_guarded(self) -> BaseException | None:
        try:
            self._read()
        except BaseException as failure:
            return self._read_failed(failure)
        return None

    def _read_failed(self, failure: BaseException) -> BaseException | None:
        """`data_received` raised: the connection ends and the loop goes on, as in asyncio. Returns what stops it."""
        if isinstance(failure, (SystemExit, KeyboardInterrupt)):
            return failure
        try:
            self._fatal_error(failure, "Fatal error: protocol.data_received() call failed.")
        except BaseException as error:
            return error
        return None

    def _settle(self) -> int:
        """Send what was written during this turn."""
        self._corked = False
        if self._size and self._writer is None:
            self._flush()
        return 0

    # -- reading -------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Start to read, unless the protocol has paused or closed meanwhile."""
        if not self._closing and not self._paused:
            self._watch()

    def _watch(self) -> int:
        engine = self._engine
        if fd_of(self._socket) < 0:  # closed behind our back: the number may be another's
            self._fatal_error(_os_error(EBADF), "Fatal read error on socket transport")
            return 0
        if self._has_one_context:
            context = self._snapshot
            engine.prepare_source(self)
            self._snapshot = context
            self._owns_context = True
        else:
            self._owns_context = engine.prepare_source(self)
        if self._edge:
            engine._poll.set_source(self._sock_fd, self)
        else:
            engine._poll.add_reader(self._sock_fd, self)
        self._watched = True
        return 0

    def _unwatch(self) -> int:
        if self._watched:
            self._watched = False
            if not self._engine._closed:
                self._engine._poll.drop_reader(self._sock_fd, self)
        return 0

    def _read(self) -> int:
        """Take what has come and hand it to the protocol, whose errors come out."""
        if self._buffered:
            return self._read_into()
        if not COMPILED:
            return self._read_by_steps()
        found: Any = receive(fd_of(self._socket), self._want)
        if type(found) is not bytes:
            if found is not None:
                self._fatal_error(found, "Fatal read error on socket transport")
            return 0
        data = found
        found = None  # or it would keep it
        count = len(data)
        if count == 0:
            return self._read_end()
        if self._edge and (count == self._want or self._index):
            self._engine.queue_source(self)  # there may be more
        self._want = LARGE if count >= MUCH else SMALL
        self._protocol.data_received(data)
        if COMPILED:
            give_back(data)
        return 0

    def _read_by_steps(self) -> int:
        """As `_read`, uncompiled, where an exception may come between two lines: what has come is held until then."""
        if self._held is None:
            self._held = receive(fd_of(self._socket), self._want)
        found = self._held
        if type(found) is not bytes:
            self._held = None
            if found is not None:
                self._fatal_error(found, "Fatal read error on socket transport")
            return 0
        count = len(found)
        if count == 0:
            self._held = None
            return self._read_end()
        if self._edge and (count == self._want or self._index):
            self._engine.queue_source(self)  # there may be more
        self._want = LARGE if count >= MUCH else SMALL
        receiver = self._protocol.data_received
        self._held = None; receiver(found)  # noqa: E702  # fmt: skip
        return 0

    def _read_into(self) -> int:
        try:
            buffer = self._protocol.get_buffer(-1)
            if not len(buffer):
                raise RuntimeError("get_buffer() returned an empty buffer")
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal error: protocol.get_buffer() call failed.")
            return 0
        if self._lost:  # get_buffer has turned the loop itself
            return 0
        try:
            count = receive_into(fd_of(self._socket), buffer)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal read error on socket transport")
            return 0
        if count < 0:
            return 0
        if count == 0:
            return self._read_end()
        if self._edge and (
            count >= len(buffer)
            or self._index
            or (type(buffer) is not bytearray and type(buffer) is not memoryview)  # it may say it is longer than it is
        ):
            self._engine.queue_source(self)
        try:
            self._protocol.buffer_updated(count)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal error: protocol.buffer_updated() call failed.")
        return 0

    def _read_end(self) -> int:
        if self._engine._debug:
            logger.debug("%r received EOF", self)
        try:
            keep_open = self._protocol.eof_received()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal error: protocol.eof_received() call failed.")
            return 0
        if keep_open:
            self._unwatch()  # it can still be written to
        else:
            self.close()
        return 0

    def is_reading(self) -> bool:
        """Whether what comes is handed to the protocol."""
        return not self._closing and not self._paused

    def pause_reading(self) -> None:
        """Hand nothing to the protocol until `resume_reading()`."""
        if self._closing or self._paused:
            return
        self._paused = True
        self._unwatch()
        if self._engine._debug:
            logger.debug("%r pauses reading", self)

    def resume_reading(self) -> None:
        """Go on reading after `pause_reading()`."""
        if self._closing or not self._paused:
            return
        self._paused = False
        self._watch()
        if self._engine._debug:
            logger.debug("%r resumes reading", self)

    # -- writing -------------------------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        """Send `data`, bytes-like: at the end of the turn, or before that if it is much, and as the peer takes it.

        Raises TypeError for anything else, RuntimeError after `write_eof()` or while a file is being sent.
        """
        if type(data) is bytes:
            plain = data
            size = len(plain)
        elif type(data) is bytearray:
            size = len(data)
        elif isinstance(data, (bytes, bytearray, memoryview)):
            data = memoryview(data)  # what the kernel is given, whatever a class of the program's own says of itself
            size = data.nbytes
            if not data.c_contiguous:
                data = data.tobytes()  # the kernel takes no other
        else:
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._empty_waiter is not None:
            raise RuntimeError("unable to write; sendfile is in progress")
        if size == 0:
            return
        if self._conn_lost:
            self._write_to_nobody()
            return
        engine = self._engine
        if self._writer is None:
            total = self._size + size
            if total > CORK or total > self._high_water or engine._current_id == 0:
                if self._size:
                    self._keep(data, size)
                    self._flush()
                else:
                    self._send(data, size)
                return
            if not self._corked:
                self._corked = True
                engine.settle_later(self)
                engine._owed += CALL
            if size < WARM:
                engine._owed += size
            else:
                engine.hurry()
            self._keep(data, size)
        else:
            self._keep(data, size)
            self._maybe_pause_protocol()

    def _take_place(self) -> None:
        """Be the one that the loop knows by this descriptor, unless the connection is lost."""
        if self._engine is not None:
            fd = fd_of(self._socket)
            if fd >= 0:
                table = self._engine._streams
                self._sit(table, fd)

    def _leave_place(self) -> None:
        self._rise()

    def _write_to_nobody(self) -> int:
        if self._conn_lost >= PATIENCE:
            logger.warning("socket.send() raised exception.")
        self._conn_lost += 1
        return 0

    def _keep(self, data: Any, size: int) -> int:
        """Put `data` behind what is to be sent; a copy, if its owner could change it."""
        piece = data if type(data) is bytes else bytes(data)
        if self._size == 0:
            self._first = piece
            self._offset = 0
        else:
            pieces = self._pieces
            if pieces is None:
                self._pieces = pieces = Pieces()
            if self._first is not None:
                pieces.add(self._first)
                pieces.offset = self._offset
                self._first = None
            pieces.add(piece)
        self._size += size
        return 0

    def _send(self, data: Any, size: int) -> int:
        """Send `data`, with nothing before it; keep what the kernel does not take."""
        try:
            sent = send(fd_of(self._socket), data, 0)
            if sent < 0:
                raise _os_error(-sent)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal write error on socket transport")
            return 0
        if sent == size:
            return 0
        self._first = data if type(data) is bytes else bytes(data)
        self._offset = sent
        self._size = size - sent
        self._wait()
        self._maybe_pause_protocol()
        return 0

    def _flush(self) -> int:
        """Send what is kept, of which nothing has been tried; wait with what the kernel does not take."""
        number = self._push_out()
        if number:
            self._drop()
            self._fail(_os_error(number), "Fatal write error on socket transport", self._snapshot)
            return 0
        if self._size:
            self._wait()
            self._maybe_pause_protocol()
        return 0

    def _push_out(self) -> int:
        """Send as much of what is kept as the kernel takes. Returns the number of the error, 0 for none."""
        if not COMPILED:
            return self._push_out_by_steps()
        size = self._size
        first = self._first
        pieces = self._pieces
        if first is not None:
            sent = send(fd_of(self._socket), first, self._offset)
        else:
            sent = send_pieces(fd_of(self._socket), pieces.waiting, pieces.head, pieces.offset)
        if sent == size:
            self._size = 0
            self._first = None
            if first is None:
                pieces.clear()
            elif COMPILED:
                give_back(first)
        elif sent < 0:
            return -sent
        elif sent > 0:
            self._size = size - sent
            if first is not None:
                self._offset += sent
            else:
                pieces.take(sent)
        return 0

    def _push_out_by_steps(self) -> int:
        """As `_push_out`, uncompiled, where an exception may come between any two lines."""
        first, pieces = self._first, self._pieces
        if self._sent < 0 and self._size:
            if first is not None:
                self._sent = send(fd_of(self._socket), first, self._offset)
            else:
                self._sent = send_pieces(fd_of(self._socket), pieces.waiting, pieces.head, pieces.offset)
            if self._sent < 0:
                number, self._sent = -self._sent, -1
                return number
        sent, size = self._sent, self._size - self._sent
        if sent <= 0:
            self._sent = -1
        elif first is None:
            head, place = pieces.head, pieces.offset + sent
            while head < len(pieces.waiting) and place >= len(pieces.waiting[head]):
                place -= len(pieces.waiting[head])
                head += 1
            pieces.head, pieces.offset, self._size, self._sent = head, place, size, -1
            pieces.tidy()
        elif size:
            self._offset, self._size, self._sent = self._offset + sent, size, -1
        else:
            self._first, self._size, self._sent = None, 0, -1
        return 0

    def _drop(self) -> int:
        self._first = self._pieces = None
        self._size = 0
        if not COMPILED:
            self._sent = -1
        if self._writer is not None:
            self._unwait()
        return 0

    def _uncork(self) -> int:
        """Send what is corked now: something follows that must come after it."""
        if self._size and self._writer is None:
            self._flush()
        return 0

    def _wait(self) -> int:
        engine = self._engine
        self._writer = engine.make_handle(self._write_ready, (), self._snapshot if self._has_one_context else None)
        engine._poll.add_writer(self._sock_fd, self._writer)
        return 0

    def _unwait(self) -> int:
        writer = self._writer
        self._writer = None
        if writer is not None:
            if not self._engine._closed:
                self._engine._poll.drop_writer(self._sock_fd, writer)
            writer.cancel()
        return 0

    def _write_ready(self) -> None:
        if self._conn_lost or self._writer is None:
            return
        waiter = self._empty_waiter
        number = self._push_out() if self._size else 0  # nothing is kept while a file is sent
        if number:
            error = _os_error(number)
            self._drop()
            self._fatal_error(error, "Fatal write error on socket transport")
            if waiter is not None and not waiter.done():
                waiter.set_exception(error)
            return
        if not self._size:
            self._unwait()
        self._maybe_resume_protocol()  # which may write
        self._uncork()
        if self._size or self._conn_lost:
            return
        waiter = self._empty_waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self._closing:
            self._call_connection_lost(None)
        elif self._eof:
            self._socket.shutdown(socket.SHUT_WR)

    def writelines(self, list_of_data: Any) -> None:
        """Send the bytes-like objects of an iterable, one after the other."""
        if self._eof:
            raise RuntimeError("Cannot call writelines() after write_eof()")
        if self._empty_waiter is not None:
            raise RuntimeError("unable to writelines; sendfile is in progress")
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """Close the writing side when all is sent; what comes is still read."""
        self._uncork()
        if self._closing or self._eof:
            return
        self._eof = True
        if not self._size:
            self._socket.shutdown(socket.SHUT_WR)

    def can_write_eof(self) -> bool:
        """It can."""
        return True

    # -- flow control --------------------------------------------------------------------------------------------

    def get_write_buffer_size(self) -> int:
        """How many bytes wait to be sent, in the cork or for the peer."""
        return self._size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The low-water and the high-water mark, in bytes."""
        return self._low_water, self._high_water

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks at which the protocol's `pause_writing` and `resume_writing` are called, in bytes.

        Raises ValueError unless high >= low >= 0.
        """
        if high is None:
            high = 64 * 1024 if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._uncork()
        self._high_water = high
        self._low_water = low
        self._maybe_pause_protocol()

    def _maybe_pause_protocol(self) -> None:
        if self._size <= self._high_water or self._protocol_paused:
            return
        self._protocol_paused = True
        try:
            self._protocol.pause_writing()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._report("protocol.pause_writing() failed", error)

    def _maybe_resume_protocol(self) -> None:
        if not self._protocol_paused or self._size > self._low_water:
            return
        self._protocol_paused = False
        try:
            self._protocol.resume_writing()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._report("protocol.resume_writing() failed", error)

    def _make_empty_waiter(self) -> Any:
        """For `sendfile`: a future that is done when all that was written is sent."""
        if self._empty_waiter is not None:
            raise RuntimeError("Empty waiter is already set")
        self._uncork()
        self._empty_waiter = waiter = self._engine.create_future()
        if not self._size:
            waiter.set_result(None)
        return waiter

    def _make_room_waiter(self) -> Any:
        """For `sendfile`, while it sends: a future that is done when the kernel takes more."""
        self._empty_waiter = waiter = self._engine.create_future()
        self._wait()
        return waiter

    def _reset_empty_waiter(self) -> None:
        self._empty_waiter = None
        if self._writer is not None and not self._size:
            self._unwait()

    # -- the end -------------------------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        """Whether it is closed or will be."""
        return bool(self._closing)

    def close(self) -> None:
        """Close the connection when all that was written is sent. Nothing more is read."""
        self._uncork()
        if self._closing:
            return
        self._closing = True
        self._unwatch()
        if not self._size:
            if self._writer is not None:  # a file is being sent
                self._unwait()
            self._conn_lost += 1
            context = self._snapshot if self._has_one_context else None
            self._engine.call_soon(self._call_connection_lost, None, context=context)
        elif fd_of(self._socket) < 0:  # closed behind our back: it will never be writable
            self._give_up(_os_error(EBADF), None)

    def abort(self) -> None:
        """Close the connection now: what waits for the peer is lost."""
        self._force_close(None)

    def _force_close(self, exc: Any) -> None:
        self._uncork()
        self._give_up(exc, None)

    def _give_up(self, error: Any, context: Any) -> int:
        if self._conn_lost:
            return 0
        if self._size or self._writer is not None:
            self._drop()
        if not self._closing:
            self._closing = True
            self._unwatch()
        self._conn_lost += 1
        if self._has_one_context:
            self._engine.call_soon(self._call_connection_lost, error, context=self._snapshot)
        elif context is None:
            self._engine.call_soon(self._call_connection_lost, error)
        else:
            self._engine.call_soon(self._call_connection_lost, error, context=copy_of(context))
        return 0

    def _report(self, message: str, error: BaseException) -> None:
        self._engine.call_exception_handler(
            {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
        )

    def _fatal_error(self, exc: BaseException, message: str = "Fatal error on transport") -> None:
        """Report `exc`, unless it is the peer's or the network's, and end the connection."""
        self._uncork()
        self._fail(exc, message, None)

    def _fail(self, error: BaseException, message: str, context: Any) -> int:
        if not isinstance(error, OSError):
            self._report(message, error)
        elif self._engine._debug:
            logger.debug("%r: %s", self, message, exc_info=error)
        return self._give_up(error, context)

    def _call_connection_lost(self, exc: Any) -> None:
        if self._lost:
            return
        self._conn_lost += 1
        try:
            self._protocol.connection_lost(exc)
        finally:
            if not self._told:
                self._name = name_of(self._socket, fd_of(self._socket))
            self._rise()
            self._lost = True
            self._socket.close()
            self._protocol = self._engine = self._loop = self._snapshot = None
            server = self._server
            if server is not None:
                self._server = None
                if ATTACH_NAMES_IT:
                    server._detach(self)
                else:
                    server._detach()
        waiter = self._empty_waiter
        if waiter is not None and not waiter.done():
            error = ConnectionError("the connection ended while a file was being sent")
            error.__cause__ = exc
            waiter.set_exception(error)

    # -- what it is ----------------------------------------------------------------------------------------------

    def set_protocol(self, protocol: Any) -> None:
        """Have `protocol` called from now on."""
        quicken(protocol)
        self._buffered = isinstance(protocol, BUFFERED) and not getattr(protocol, "_takes_bytes", False)
        self._protocol = protocol

    def get_protocol(self) -> Any:
        """The protocol that is called now."""
        return self._protocol

    @property
    def _sock(self) -> Any:
        self._uncork()
        return None if self._lost else self._socket

    @property
    def _buffer(self) -> list[bytes]:
        """What waits to be sent, for those who look into asyncio's transports."""
        if self._first is not None:
            return [self._first[self._offset :]]
        return self._pieces.rest() if self._size else []

    @property
    def _extra(self) -> dict[str, Any]:
        if not self._told:
            self._tell()
        return cast("dict[str, Any]", self._info)

    def _tell(self) -> int:
        """Make `_info` what asyncio's transports have in `_extra`."""
        info = self._info
        if info is None:
            info = self._info = {}
        info["socket"] = trsock.TransportSocket(self._socket)
        if self._lost:
            info["sockname"] = unpack(self._name)
        else:
            try:
                info["sockname"] = self._socket.getsockname()
            except OSError:
                info["sockname"] = None
        if "peername" not in info:
            if self._socket.family in FAMILIES:
                info["peername"] = unpack(self._peer)
            else:
                try:
                    info["peername"] = self._socket.getpeername()
                except OSError:
                    info["peername"] = None
        self._told = True
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What asyncio's transports tell: "socket", "sockname", "peername", and what the transport was made with."""
        if name == "socket":
            self._uncork()  # whoever gets it may write to it
        return self._extra.get(name, default)


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _resolve(waiter: Any) -> None:
    if not waiter.cancelled():
        waiter.set_result(None)
