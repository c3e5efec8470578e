"""Lines of input: from a terminal, a pipe, a socket or a file, read without keeping anybody waiting.

`Splitter` makes lines of bytes and knows no source; `Lines` reads only while somebody waits for a line, so that what
nobody asks for stays in the pipe. Descriptors are left as they are: the terminal is shared with the shell, which a
descriptor that does not block would upset.
"""

from __future__ import annotations

import asyncio
import codecs
import errno
import os
import select
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, overload

from fate.errors import LineTooLongError, SourceError, source_error
from fate.loop import Fate
from fate.tools.ground import Turns, checked_callable, current_fate, deferred_of, fired, settled

CHUNK = 65536  # bytes read at a time: what a pipe holds on Linux
MAX_LINE = 2**20


class Splitter:
    """Makes lines of the bytes that come in, in whichever pieces they come.

    encoding: of the text; one in which the newline is one byte, as in all but UTF-16 and UTF-32. What cannot be decoded
        becomes U+FFFD.
    max_line: bytes. Raises LookupError for an encoding that does not exist, ValueError for one that has wide newlines.
    """

    def __init__(self, encoding: str = "utf-8", max_line: int = MAX_LINE) -> None:
        if codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):
            raise ValueError(f"lines cannot be found in {encoding}: its newlines are several bytes long")
        self.encoding = encoding
        self.max_line = max_line
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that `data` completes, without their ends (\\n or \\r\\n). Raises LineTooLongError after them."""
        *complete, rest = data.split(b"\n")
        for line in complete:
            self._add(line)
            yield self._take()
        self._add(rest)

    def end(self) -> Iterator[str]:
        """The last line, if it has no end."""
        if self._size:
            yield self._take()

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self.max_line:
            raise LineTooLongError(f"a line is longer than {self.max_line:,} bytes, which is what max_line allows")
        self._parts.append(part)

    def _take(self) -> str:
        line = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return line.removesuffix(b"\r").decode(self.encoding, "replace")


class Lines:
    """The lines of a source, to be had by `async for line in ...` or one by one by `next()`."""

    def __init__(self, loop: Fate, source: Any, encoding: str, max_line: int) -> None:
        self._loop = loop
        self._source = source
        self._splitter = Splitter(encoding, max_line)
        self._ready: deque[str] = deque()
        self._found: Iterator[str] = iter(())  # those that follow them
        self._turns = Turns(loop)
        self._error: Exception | None = None
        self._ended = False
        self._always_ready = False  # a regular file
        self._reading: asyncio.Future[bytes] | None = None  # by a thread
        self._turn = asyncio.Lock()  # of those who wait, the first one first
        self._fd = _descriptor(source)

    def next(self) -> Any:
        """A Deferred, which can be awaited, of the next line without its end; of None after the last one.

        It fails with LineTooLongError, or with SourceError if the source cannot be read. Cancelling it loses no line.
        """
        if self._ready and not self._turn.locked() and not self._turns.many():
            return fired(self._loop, self._ready.popleft())
        return deferred_of(self._loop, self._next())

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> str:
        line = await self._next()
        if line is None:
            raise StopAsyncIteration
        return line

    async def _next(self) -> str | None:
        async with self._turn:
            if self._ready and self._turns.over():
                await self._turns.turn()
            while not self._take_out():
                if self._error is not None:
                    raise self._error
                if self._ended:
                    return None
                self._take_in(await self._read())
                self._turns.begin()
            return self._ready.popleft()

    def _take_in(self, data: bytes) -> None:
        if data:
            self._found = self._splitter.feed(data)
        else:
            self._ended = True
            self._found = self._splitter.end()

    def _take_out(self) -> bool:
        """Whether a line is there. A few at a time are made: making all would keep the loop from turning."""
        if not self._ready:
            try:
                self._ready.extend(islice(self._found, Turns.STEPS))
            except LineTooLongError as error:  # after the lines before it
                self._error = error
        return bool(self._ready)

    async def _read(self) -> bytes:
        """Some bytes, or none at the end. Raises SourceError."""
        try:
            while await self._can_wait():
                # Somebody else may have been faster, the shell or another reader: this must never block.
                poll = select.poll()
                poll.register(self._fd, select.POLLIN)
                if poll.poll(0):
                    with suppress(BlockingIOError):
                        return os.read(self._fd, CHUNK)
            # A disk can keep one waiting, so a thread; what it has read when nobody waits any more, the next one gets.
            if self._reading is None:
                self._reading = self._loop.run_in_executor(None, os.read, self._fd, CHUNK)
            data = await asyncio.shield(self._reading)
            self._reading = None
            return data
        except SourceError:
            raise
        except OSError as error:
            raise source_error(error, f"read {self._source!r}") from error

    async def _can_wait(self) -> bool:
        """Wait until there is something to read, or give False for a regular file, for which nobody can wait."""
        if self._always_ready:
            return False
        try:
            fuse = self._loop.get_fuse(readable=self._source)
        except SourceError as error:
            if error.errno != errno.EPERM:
                raise
            self._always_ready = True
            return False
        try:
            await fuse
        finally:
            fuse.cancel()
        return True


def _descriptor(source: Any) -> int:
    """The descriptor of `source`. Raises SourceError."""
    if source is None:
        raise SourceError(0, "cannot read lines: the program has no standard input")
    if hasattr(source, "getpeercert"):
        raise SourceError(0, f"cannot read lines from {source!r}: its bytes are encrypted; use asyncio's streams")
    try:
        fd = source if isinstance(source, int) else source.fileno()
        os.fstat(fd)
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise SourceError(0, f"cannot read lines from {source!r}: it is no descriptor, and has none") from error
    except OSError as error:
        raise source_error(error, f"read lines from {source!r}") from error
    return int(fd)


@overload
def lines(source: Any = None, *, encoding: str = "utf-8", max_line: int = MAX_LINE) -> Lines: ...


@overload
def lines(source: Any, handler: Callable[[str], Any], *, encoding: str = "utf-8", max_line: int = MAX_LINE) -> Any: ...


def lines(
    source: Any = None,
    handler: Callable[[str], Any] | None = None,
    *,
    encoding: str = "utf-8",
    max_line: int = MAX_LINE,
) -> Any:
    """Read lines without blocking the loop.

    source: a terminal, a pipe, a socket, a file, or a descriptor's number; the standard input by default. Nothing else
        may read from it; what Python has read into a buffer already, by `input()` say, is not seen.
    handler: called with each line, without its end. The next one waits until what it returns, if that can be awaited,
        is there.
    encoding: of the text; what cannot be decoded becomes U+FFFD.
    max_line: in bytes; a longer one is an error.

    Returns an asynchronous iterator of the lines: `async for line in lines(sys.stdin)`, and `next()` is a Deferred of
    one. With a handler: a Deferred, which can be awaited, of the number of lines; cancelling it ends the reading, and
    what the handler raises ends it too.

    Raises SourceError for what cannot be read, NoFateError, TypeError for a handler that cannot be called. A line that
    is too long is LineTooLongError, in the loop or in the Deferred.
    """
    loop = current_fate()
    made = Lines(loop, sys.stdin if source is None else source, encoding, max_line)
    if handler is None:
        return made
    return deferred_of(loop, _each(made, checked_callable("the handler of lines", handler)))


async def _each(source: Lines, handler: Callable[[str], Any]) -> int:
    count = 0
    async for line in source:
        result = handler(line)
        if result is not None:
            await settled(result)
        count += 1
    return count
