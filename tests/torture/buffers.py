"""Odd buffers: what programs hand to a transport besides bytes, and what a `get_buffer` may return."""

from __future__ import annotations

import array
import mmap
import sys
from typing import Any


class Long(bytes):
    """Bytes that say they are longer than they are."""

    def __len__(self) -> int:
        return 1_000_000


class Short(bytes):
    """Bytes that say they are shorter than they are."""

    def __len__(self) -> int:
        return 3


class Other(bytes):
    """Bytes that turn into others."""

    def __bytes__(self) -> bytes:
        return b"somebody else's bytes"


class Failing(bytes):
    """Bytes that fail when they are asked."""

    def __len__(self) -> int:
        raise ValueError("no length")


class Growing(bytearray):
    """A bytearray that says it is longer than it is."""

    def __len__(self) -> int:
        return 1_000_000


class Exporting:
    """An object with a buffer of its own, since Python 3.12."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(self.data)


class Swapping(bytes):
    """Bytes whose buffer is another one, since Python 3.12."""

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(b"x")


def released(data: bytes) -> memoryview:
    view = memoryview(data)
    view.release()
    return view


def mapped(data: bytes) -> mmap.mmap:
    made = mmap.mmap(-1, max(1, len(data)))
    made.write(data)
    return made


def wide(data: bytes) -> Any:
    """A view of items of four bytes, where the length allows it."""
    return memoryview(array.array("I", data)) if len(data) % 4 == 0 else memoryview(data)


def strided(data: bytes) -> memoryview:
    spread = bytearray(2 * len(data))
    spread[::2] = data
    return memoryview(spread)[::2]


def nested(data: bytes) -> memoryview:
    rows = len(data) // 2
    return memoryview(data).cast("B", (rows, 2)) if len(data) % 2 == 0 and rows else memoryview(data)


# Name, how it is made of bytes, and whether its bytes are surely those (if it is taken at all).
SENT: list[tuple[Any, bool]] = [
    (bytes, True),
    (bytes, True),
    (bytearray, True),
    (memoryview, True),
    (wide, True),
    (strided, True),
    (nested, True),
    (released, True),
    (Long, True),
    (Short, True),
    (Other, True),
    (Failing, True),
    (Growing, True),
    (lambda data: array.array("B", data), True),
    (mapped, True),
    (Exporting, True),
    (Swapping, sys.version_info < (3, 12)),
    (lambda data: data.decode("latin-1"), True),
    (lambda data: None, True),
    (lambda data: 7, True),
]


def _filled(kind: str) -> Any:
    if kind == "usual":
        return bytearray(64 * 1024)
    if kind == "one":
        return bytearray(1)
    if kind == "wide":
        return memoryview(array.array("I", bytes(4096)))
    if kind == "growing":
        return Growing(10)
    if kind == "mapped":
        return mmap.mmap(-1, 4096)
    if kind == "array":
        return array.array("B", bytes(100))
    if kind == "strided":
        return memoryview(bytearray(100))[::2]
    if kind == "constant":
        return bytes(100)
    if kind == "released":
        return released(bytearray(100))
    if kind == "empty":
        return bytearray()
    if kind == "number":
        return 4096
    if kind == "none":
        return None
    if kind == "exporting":
        return Exporting(bytearray(100))
    return memoryview(bytearray(1 << 17))[7:]


FILLED = [
    "usual", "usual", "usual", "one", "wide", "growing", "mapped", "array", "strided", "constant", "released", "empty",
    "number", "none", "exporting", "large",
]  # fmt: skip


def room(kind: int) -> Any:
    """What a `get_buffer` gives."""
    return _filled(FILLED[kind % len(FILLED)])


def content(buffer: Any, count: int) -> bytes:
    """The first `count` bytes of what was filled."""
    if isinstance(buffer, Exporting):
        buffer = buffer.data
    with memoryview(buffer) as view:
        return bytes(view.cast("B")[:count]) if view.c_contiguous else bytes(view)[:count]
