"""Pipes: the transports that `connect_read_pipe` and `connect_write_pipe` give, a child's standard streams among them.

They are asyncio's own, so what is rare (what waits to be written, closing, errors) is the standard library's code and
keeps its contracts. What is hot is compiled: `PipeReader` takes what has come, `PipeWriter` writes at once what can be
written at once. Character devices (a terminal) are left to asyncio whole: others who share one often make it block
again, and a blocked read of ours would hold up the other threads too.
"""

from __future__ import annotations

import os
import stat
from asyncio.log import logger
from asyncio.unix_events import _UnixReadPipeTransport, _UnixWritePipeTransport  # type: ignore[attr-defined]
from errno import EBADF
from io import FileIO
from typing import Any

from fate._native import compiled
from fate.net._calls import give_back, read_pipe, write_pieces, write_pipe
from fate.net.pieces import Pieces, plain
from fate.net.poll import EpollPoll, number_now

COMPILED = compiled()
READ = 64 * 1024  # bytes that a read takes at most: what a pipe holds


class PipeReader:
    """The hot half of a `ReadPipe`."""

    __slots__ = ("_file", "protocol")

    def __init__(self, file: Any, protocol: Any) -> None:
        self._file = file
        self.protocol = protocol

    def receive(self, transport: ReadPipe) -> None:
        """Hand what has come to the protocol: the descriptor is readable.

        transport: who calls keeps it alive for as long as it reads.
        """
        found = read_pipe(self._file, READ)
        if type(found) is not bytes:
            if found is not None:
                transport._fatal_error(found, "Fatal read error on pipe transport")
            return
        if len(found) == 0:
            transport._ended()
            return
        self.protocol.data_received(found)
        if COMPILED:
            give_back(found)


class PipeWriter:
    """The hot half of a `WritePipe`, and its buffer: what the pipe has not taken yet."""

    __slots__ = ("_file", "_pieces", "_size", "closing")

    def __init__(self, file: Any) -> None:
        self._file = file
        self._pieces = Pieces()
        self._size = 0
        self.closing = False

    def __len__(self) -> int:
        return self._size

    def __iadd__(self, data: Any) -> PipeWriter:
        self.keep(bytes(data), 0)
        return self

    def clear(self) -> None:
        """Let go of what waits."""
        self._pieces.clear()
        self._size = 0

    def keep(self, data: bytes, offset: int) -> None:
        """Have the data wait, from `offset` on, which is 0 unless nothing waits yet."""
        if offset:
            self._pieces.offset = offset
        self._pieces.add(data)
        self._size += len(data) - offset

    def write(self, transport: WritePipe, data: Any) -> bool:
        """Write the data at once, or behind what waits; what the pipe does not take waits.

        Returns False if that is asyncio's affair: what is not bytes, or nothing, or comes too late.
        """
        if type(data) is not bytes or len(data) == 0 or self.closing:
            return False
        if self._size:
            self.keep(data, 0)
            transport._maybe_pause_protocol()
            return True
        sent = write_pipe(self._file, data)
        if sent < 0:
            transport._failed(-sent)
        elif sent < len(data):
            self.keep(data, sent)
            transport._wait()
        return True

    def flush(self) -> int:
        """Write what waits, as much as the pipe takes. Returns the number of the error, 0 for none."""
        pieces = self._pieces
        while self._size:
            sent = write_pieces(self._file, pieces.waiting, pieces.head, pieces.offset)
            if sent < 0:
                return -sent
            self._size -= sent
            pieces.take(sent)
            if sent == 0 or pieces.offset:
                break  # the pipe is full
        return 0


def _serves(loop: Any, fd: int) -> bool:
    return type(loop._poll) is EpollPoll and not stat.S_ISCHR(os.fstat(fd).st_mode)


def _raw(pipe: Any) -> Any:
    """The file beneath a buffered one, whose descriptor is cheaper to ask for: it is asked each time, since a file that
    the program has closed gives its number to others."""
    raw = getattr(pipe, "raw", None)
    return raw if type(raw) is FileIO else pipe


def _closed() -> OSError:
    return OSError(EBADF, os.strerror(EBADF))


class Numbered:
    """A pipe's transport that knows whether the number that asyncio's keeps is still its own, and is lost once."""

    _number: Any = None
    _over = False

    @property
    def _fileno(self: Any) -> Any:
        """The descriptor: -1 if the file was closed behind the transport's back, and then nobody waits for it."""
        if self._pipe is None or self._loop is None or self._number is None:
            return self._number
        return number_now(self._loop._poll, self._pipe, self._number)

    @_fileno.setter
    def _fileno(self, number: Any) -> None:
        self._number = number

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        """Once: asyncio's has it called again by an `abort` in the same turn as `close`, or as another `abort`."""
        if not self._over:
            self._over = True
            super()._call_connection_lost(exc)  # type: ignore[misc]


class ReadPipe(Numbered, _UnixReadPipeTransport):  # type: ignore[misc]
    """asyncio's, read by a `PipeReader`."""

    max_size = READ  # a larger buffer would be mapped and unmapped for each read
    _hot: PipeReader | None = None
    _paused: bool

    def __init__(self, loop: Any, pipe: Any, protocol: Any, waiter: Any = None, extra: Any = None) -> None:
        fd = pipe.fileno()
        if _serves(loop, fd):
            self._hot = PipeReader(_raw(pipe), protocol)
        super().__init__(loop, pipe, protocol, waiter, extra)

    def _add_reader(self, fd: int, callback: Any) -> None:
        if self._loop is None or not self.is_reading():
            return
        fd = self._fileno
        if fd < 0:
            self._fatal_error(_closed(), "Fatal read error on pipe transport")
        elif self._hot is not None:
            self._loop._add_reader(fd, self._hot.receive, self)
        else:
            self._loop._add_reader(fd, callback)

    def is_reading(self) -> bool:  # which asyncio's have since 3.11.3
        return not self._paused and not self._closing

    def _read_ready(self) -> None:
        """Asyncio before 3.11.3 has this called, whether reading is paused or not."""
        if self._loop is None or not self.is_reading():
            if self._loop is not None:
                self._loop._remove_reader(self._fileno)
        elif self._hot is not None:
            self._hot.receive(self)
        else:
            super()._read_ready()

    def resume_reading(self) -> None:
        if self._closing or not self._paused:
            return
        self._paused = False
        self._add_reader(self._fileno, self._read_ready)
        if self._loop.get_debug():
            logger.debug("%r resumes reading", self)

    def set_protocol(self, protocol: Any) -> None:
        super().set_protocol(protocol)
        if self._hot is not None:
            self._hot.protocol = protocol

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        try:
            super()._call_connection_lost(exc)
        finally:
            if self._hot is not None:
                self._hot.protocol = None

    def _ended(self) -> None:
        """There is nothing more to read."""
        if self._loop.get_debug():
            logger.info("%r was closed by peer", self)
        self._closing = True
        self._loop._remove_reader(self._fileno)
        self._loop.call_soon(self._protocol.eof_received)
        self._loop.call_soon(self._call_connection_lost, None)


class WritePipe(Numbered, _UnixWritePipeTransport):  # type: ignore[misc]
    """asyncio's, written to by a `PipeWriter`."""

    _hot: PipeWriter | None = None

    def __init__(self, loop: Any, pipe: Any, protocol: Any, waiter: Any = None, extra: Any = None) -> None:
        super().__init__(loop, pipe, protocol, waiter, extra)
        if _serves(loop, self._fileno):
            self._hot = self._buffer = PipeWriter(_raw(pipe))

    def write(self, data: Any) -> None:
        """Write the data, bytes-like, at once if nothing is in the way; what the pipe does not take waits."""
        if type(data) is not bytes:
            data = plain(data)
        hot = self._hot
        if hot is None or not hot.write(self, data):
            super().write(data)

    def _wait(self) -> None:
        self._loop._add_writer(self._fileno, self._write_ready)
        self._maybe_pause_protocol()

    def _failed(self, number: int) -> None:
        self._conn_lost += 1
        self._fatal_error(OSError(number, os.strerror(number)), "Fatal write error on pipe transport")

    def _write_ready(self) -> None:
        hot = self._hot
        if hot is None:
            super()._write_ready()
            return
        number = hot.flush()
        if number:
            self._failed(number)  # which lets go of what waits
            return
        if not len(hot):
            self._loop._remove_writer(self._fileno)
        self._maybe_resume_protocol()  # which may write
        if self._closing and not len(hot):
            self._loop._remove_reader(self._fileno)
            self._call_connection_lost(None)

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        if self._loop is not None:
            self._loop._remove_reader(self._fileno)  # it comes with the first turn: after `close`, if that was before
        super()._call_connection_lost(exc)

    def write_eof(self) -> None:
        if self._hot is not None:
            self._hot.closing = True
        super().write_eof()
        if self._buffer and self._pipe is not None and self._fileno < 0:  # it can never leave
            self._close(_closed())

    def _close(self, exc: BaseException | None = None) -> None:
        if self._pipe is None:
            return  # asyncio's `abort` fails when the connection is lost already
        if self._hot is not None:
            self._hot.closing = True
        super()._close(exc)
