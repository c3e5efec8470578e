"""asyncio's streams, with what each message passes through compiled.

`asyncio.open_connection` and `start_server` make a `StreamReader` and a `StreamReaderProtocol`. When one of Fate's
transports gets such a protocol, `quicken` gives the two the classes below: subclasses of asyncio's, in which the state
of the reader is in an `Inbox`. Subclasses, and classes that somebody has patched, stay as they are. Lines and
separators are read by asyncio's code. This module is not compiled: its coroutines are Python's, so that a traceback
and `inspect` see what they always saw.
"""

from __future__ import annotations

import asyncio
from asyncio import exceptions
from typing import Any

from fate.net.inbox import Done, Inbox

Protocol: Any = asyncio.StreamReaderProtocol  # much of it is unknown to type stubs
STATE = ("_buffer", "_eof", "_waiter", "_exception", "_transport", "_paused")
REPLACED = (
    (asyncio.StreamReader, "feed_data"),
    (asyncio.StreamReader, "_wait_for_data"),
    (asyncio.StreamReader, "read"),
    (asyncio.StreamReader, "readexactly"),
    (asyncio.StreamReaderProtocol, "data_received"),
    (asyncio.StreamReaderProtocol, "_drain_helper"),
)
ORIGINALS = [getattr(owner, name) for owner, name in REPLACED]
DONE = Done()


def _in_inbox(name: str) -> Any:
    return property(lambda self: getattr(self._inbox, name), lambda self, value: setattr(self._inbox, name, value))


class StreamReader(asyncio.StreamReader):
    """asyncio's, for one reader at a time as there. Each has `feed_data` of its inbox: a call of Python's less."""

    _inbox: Inbox
    _buffer, _eof, _waiter, _exception, _transport, _paused = map(_in_inbox, STATE)

    def exception(self) -> Any:
        """As asyncio's."""
        return self._inbox._exception

    async def _wait_for_data(self, func_name: str) -> None:
        inbox = self._inbox
        waiter = inbox.expect(func_name)
        try:
            await waiter
        finally:
            inbox.expected()

    async def read(self, n: int = -1) -> bytes:
        """As asyncio's."""
        if n < 0:
            return await super().read(n)
        inbox = self._inbox
        if not inbox.has(1) and n:
            waiter = inbox.expect("read")
            try:
                await waiter
            finally:
                inbox.expected()
        return inbox.take(n)

    async def readexactly(self, n: int) -> bytes:
        """As asyncio's."""
        if n < 0:
            raise ValueError("readexactly size can not be less than zero")
        inbox = self._inbox
        if not inbox.has(n):
            while len(inbox._buffer) < n and not inbox._eof:
                waiter = inbox.expect("readexactly")
                try:
                    await waiter
                finally:
                    inbox.expected()
        if len(inbox._buffer) < n:
            incomplete = bytes(inbox._buffer)
            inbox._buffer.clear()
            raise exceptions.IncompleteReadError(incomplete, n)
        return inbox.take(n)


class StreamReaderProtocol(Protocol):  # type: ignore[misc]
    """asyncio's."""

    def data_received(self, data: bytes) -> None:
        """As asyncio's: what nobody can read is dropped."""
        reference = self._stream_reader_wr
        reader = None if reference is None else reference()
        if reader is not None:
            reader.feed_data(data)

    def _drain_helper(self) -> Any:
        if self._paused or self._connection_lost:
            return super()._drain_helper()
        return DONE


def quicken(protocol: Any) -> None:
    """Give `protocol`, and the reader behind it, the classes above, if they are asyncio's own."""
    kind: Any = type(protocol)
    if kind is not Protocol:
        return
    reader: Any = protocol._stream_reader
    if (
        type(reader) is not asyncio.StreamReader
        or "feed_data" in reader.__dict__
        or [getattr(owner, name) for owner, name in REPLACED] != ORIGINALS
    ):
        return
    inbox = Inbox(reader)
    for name in STATE:
        del reader.__dict__[name]
    reader.__class__ = StreamReader
    reader.__dict__["_inbox"] = inbox
    reader.__dict__["feed_data"] = inbox.feed
    protocol.__class__ = StreamReaderProtocol
