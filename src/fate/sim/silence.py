"""What the runs of a search write: kept away from the terminal, for a search has a thousand runs.

The end of what the last run has written can be had, to be shown once for a run that failed. Handlers of the module
logging that write to the terminal are silenced with it.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

MOST = 64 * 1024  # bytes that are kept
loud = False  # nothing is silenced


class _Kept(io.RawIOBase):
    """Keeps the end of what is written to it."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += data
        if len(self.data) > 2 * MOST:
            del self.data[:-MOST]
        return len(data)


_kept = _Kept()
_stream: list[io.TextIOWrapper] = []


def _open() -> io.TextIOWrapper:
    if not _stream or _stream[0].closed or _stream[0].buffer.closed:
        global _kept
        _kept = _Kept()
        buffer: Any = io.BufferedWriter(_kept)
        _stream[:] = [io.TextIOWrapper(buffer, encoding="utf-8", errors="backslashreplace", write_through=True)]
    return _stream[0]


def written() -> str:
    """The end of what the last run has written."""
    if _stream:
        with suppress(ValueError):
            _stream[0].flush()
    return bytes(_kept.data[-MOST:]).decode(errors="replace")


@contextmanager
def silent() -> Iterator[None]:
    """Keep what is written meanwhile, to standard output, standard error and by logging, for `written`."""
    if loud:
        yield
        return
    stream = _open()
    stream.flush()
    _kept.data.clear()
    before = sys.stdout, sys.stderr
    terminals = (*before, sys.__stdout__, sys.__stderr__)
    changed = []
    for found in logging._handlerList[:]:  # type: ignore[attr-defined]
        handler = found() if callable(found) else found
        ours = handler.__dict__.get("stream") if isinstance(handler, logging.StreamHandler) else None
        if ours is not None and any(ours is each for each in terminals):
            changed.append((handler, ours))
            handler.stream = stream
    sys.stdout = sys.stderr = stream
    try:
        yield
    finally:
        if sys.stdout is stream:
            sys.stdout = before[0]
        if sys.stderr is stream:
            sys.stderr = before[1]
        for handler, ours in changed:
            if handler.stream is stream:
                handler.stream = ours
