"""What a `StreamReader` holds, and how bytes are put in and taken out. Who reads them, and how, is in `readers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any


class Done:
    """An awaitable that is over at once."""

    def __await__(self) -> Any:
        return iter(())


class Inbox:
    """The state of an `asyncio.StreamReader`, under the same names.

    A compiled method gains nothing while it has to look up each attribute of a Python object; these it has at hand.
    """

    if TYPE_CHECKING:
        _buffer: bytearray
        _eof: bool
        _waiter: Any
        _exception: Any
        _transport: Any
        _paused: bool
        _limit: int

    def __init__(self, reader: Any) -> None:
        """Take over from `reader`."""
        self._create_future = reader._loop.create_future
        self._limit = reader._limit
        self._buffer = reader._buffer
        self._eof = reader._eof
        self._waiter = reader._waiter
        self._exception = reader._exception
        self._transport = reader._transport
        self._paused = reader._paused

    def feed(self, data: Any) -> None:
        """As `StreamReader.feed_data`. Raises AssertionError after the end."""
        if self._eof:
            raise AssertionError("feed_data after feed_eof")
        if not data:
            return
        self._buffer += data
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.cancelled():
                waiter.set_result(None)
        if len(self._buffer) > 2 * self._limit and not self._paused and self._transport is not None:
            try:
                self._transport.pause_reading()
            except NotImplementedError:
                self._transport = None  # it cannot, and is not asked again
            else:
                self._paused = True

    def has(self, size: int) -> bool:
        """Whether a read of `size` bytes need not wait. Raises what the connection ended with."""
        if self._exception is not None:
            raise self._exception
        return len(self._buffer) >= size or self._eof

    def expect(self, func_name: str) -> Any:
        """A future that is done when more has come. Who waits for it calls `expected` afterwards."""
        if self._waiter is not None:
            raise RuntimeError(f"{func_name}() called while another coroutine is already waiting for incoming data")
        if self._eof:
            raise AssertionError("_wait_for_data after EOF")
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        waiter = self._waiter = self._create_future()
        return waiter

    def expected(self) -> None:
        """Nobody waits any more."""
        self._waiter = None

    def take(self, most: int) -> bytes:
        """Take up to `most` bytes out; read on, if that made room."""
        buffer = self._buffer
        if len(buffer) <= most:
            data = bytes(buffer)
            buffer.clear()
        else:
            data = bytes(buffer[:most])
            del buffer[:most]
        if self._paused and len(buffer) <= self._limit:
            self._paused = False
            self._transport.resume_reading()
        return data
