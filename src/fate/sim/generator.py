"""The hidden generator of the module `random`: its state kept, and put back.

`random.getstate()` makes a tuple of 625 integers, which takes longer than all else that a small universe does at its
beginning. CPython keeps them in a row behind the object's head, so they are copied as they are there. Whether they are
is seen at the first use; where they are not, Python's own methods serve.
"""

from __future__ import annotations

import _random
import ctypes
import random
import struct
import sys
from typing import Any

WORDS = 624
SIZE = (1 + WORDS) * 4  # the position in the row, and the row: of 32 bits each
HEAD = object.__basicsize__

_generator: Any = getattr(random.random, "__self__")  # noqa: B009  # which stubs do not know
_row_is_known: list[bool] = []


def keep() -> Any:
    """The state, for `put_back`."""
    if _has_row():
        return ctypes.string_at(id(_generator) + HEAD, SIZE), _generator.gauss_next
    return random.getstate()


def put_back(kept: Any) -> None:
    """Have the generator go on from what `keep` gave."""
    if len(kept) == 2:
        row, _generator.gauss_next = kept
        ctypes.memmove(id(_generator) + HEAD, row, SIZE)
    else:
        random.setstate(kept)


def _has_row() -> bool:
    if not _row_is_known:
        _row_is_known.append(_look())
    return _row_is_known[0]


def _look() -> bool:
    if sys.implementation.name != "cpython" or _random.Random.__basicsize__ < HEAD + SIZE:
        return False
    position, *row = struct.unpack(f"={1 + WORDS}I", ctypes.string_at(id(_generator) + HEAD, SIZE))
    return bool((*row, position) == random.getstate()[1])
