"""What a crashed host leaves behind never runs again, not even as it is collected.

A suspended coroutine that nobody refers to any more is closed by Python, which runs its `finally` blocks: at some
moment after the crash, perhaps in another universe. A machine that has lost its power does no such thing. So the
coroutines and generators of a dead task are marked as completed: Python then frees what they hold, and runs nothing.
The mark is one byte, which is looked for once, and written by ctypes; where it cannot be found, `lay_to_rest` says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Generator
from types import AsyncGeneratorType, CoroutineType, GeneratorType, MethodType
from typing import Any

COMPLETED = 1  # FRAME_COMPLETED in CPython's internal/pycore_frame.h, 3.11 to 3.13
CLEARED = 4  # FRAME_CLEARED
SUSPENDABLE = (CoroutineType, GeneratorType, AsyncGeneratorType)
DEEP = 6  # from a coroutine through the methods and context managers that its frame holds to their generators

_place: list[int | None] = []


def lay_to_rest(suspended: Any) -> bool:
    """Have a suspended coroutine, what it awaits, and the context managers that it is in never run again.

    Returns whether that can be had of this Python.
    """
    if not _place:
        _place.append(_find())
    at = _place[0]
    if at is None:
        return False
    met: set[int] = set()
    left = [(suspended, 0)]
    while left:
        thing, depth = left.pop()
        if id(thing) in met:
            continue
        met.add(id(thing))
        if isinstance(thing, SUSPENDABLE):
            state = ctypes.c_int8.from_address(id(thing) + at)
            if state.value >= 0:
                continue  # it runs, or has ended
            state.value = COMPLETED
            depth = 0
        if depth < DEEP:
            left += [(each, depth + 1) for each in _held(thing) if _leads_on(each)]
    return True


def _held(thing: Any) -> list[Any]:
    if isinstance(thing, (contextlib.ExitStack, contextlib.AsyncExitStack)):
        return [leave for _, leave in thing._exit_callbacks]  # type: ignore[union-attr]
    return gc.get_referents(thing)


def _leads_on(thing: Any) -> bool:
    """Whether something that a frame holds may hold a generator of its own."""
    if isinstance(thing, MethodType):
        return _leads_on(thing.__self__)
    return isinstance(
        thing,
        (
            *SUSPENDABLE,
            contextlib._GeneratorContextManagerBase,
            contextlib.ExitStack,
            contextlib.AsyncExitStack,
        ),
    ) or type(thing).__name__ in ("coroutine_wrapper", "async_generator_asend", "async_generator_athrow")


def _find() -> int | None:
    """Where in a generator its state is: the one byte that is less than 0 until it has ended, and then CLEARED."""

    def steps() -> Generator[None, None, None]:
        yield
        yield

    created, suspended, ended = steps(), steps(), steps()
    next(suspended)
    list(ended)
    found = []
    for at in range(object.__basicsize__, GeneratorType.__basicsize__):
        new, waiting, over = (ctypes.c_int8.from_address(id(each) + at).value for each in (created, suspended, ended))
        if new < waiting < 0 and over == CLEARED:
            found.append(at)
    return found[0] if len(found) == 1 else None
