"""The system calls, as the uncompiled build makes them.

The same names with the same meaning as `_native.pyx`, which replaces this module when Fate is compiled:
the monotonic clock in nanoseconds, a call inside a context, and epoll. Nothing else lives here.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from contextvars import Context, copy_context
from time import monotonic_ns as clock_ns
from typing import Any

__all__ = ["Epoll", "can_share", "clock_ns", "compiled", "copy_context", "recycle", "run_in_context", "shares", "track"]


def compiled() -> bool:
    """Whether this is the compiled build."""
    return False


def run_in_context(
    context: Context, callback: Callable[..., object], args: tuple[Any, ...], copy: bool
) -> BaseException | None:
    """Call `callback(*args)` inside `context`, or a copy of it; return None, or the exception that it raised."""
    try:
        context.run(callback, *args)
    except BaseException as error:  # the engine decides what becomes of it
        return error
    return None


def can_share() -> bool:
    """Whether `shares` can tell."""
    return False


def shares(snapshot: Context | None) -> bool:
    """Whether `snapshot` still says what the current context does. Only the compiled build can tell."""
    return False


def recycle(cls: type, tracked: bool, limit: int) -> None:
    """The compiled build keeps dead handles for new ones, and the garbage collector's eyes off the ready ones."""


def track(made: object) -> None:
    """The compiled build has the garbage collector look at `made` after all."""


class Epoll:
    """One epoll descriptor, level-triggered; `wait` fills a buffer that `fd(i)` and `events(i)` read."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._buffer: list[tuple[int, int]] = []

    def fileno(self) -> int:
        return self._epoll.fileno()

    def register(self, fd: int, events: int) -> int:
        self._epoll.register(fd, events)
        return 0

    def modify(self, fd: int, events: int) -> int:
        self._epoll.modify(fd, events)
        return 0

    def unregister(self, fd: int) -> int:
        self._epoll.unregister(fd)
        return 0

    def wait(self, timeout_ns: int) -> int:
        """Wait for events: 0 polls, negative waits for ever. Returns how many came."""
        self._buffer = self._epoll.poll(timeout_ns / 1e9 if timeout_ns >= 0 else -1, 256)
        return len(self._buffer)

    def fd(self, index: int) -> int:
        return self._buffer[index][0]

    def events(self, index: int) -> int:
        return self._buffer[index][1]

    def close(self) -> None:
        self._epoll.close()
