"""Timed calls: what `callLater` returns. Each is one timer of the loop, and tells times of day."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fate.reactor.errors import AlreadyCalled, AlreadyCancelled, DelayError

if TYPE_CHECKING:
    from fate.reactor.core import Reactor


def check_delay(seconds: float) -> None:
    """Raise DelayError unless `seconds` is a finite number, and not negative."""
    check_number(seconds)
    if seconds < 0:
        raise DelayError(f"a delay cannot be negative: {seconds!r}")


def check_number(seconds: float) -> None:
    """Raise DelayError unless `seconds` is a finite number."""
    try:
        finite = math.isfinite(seconds)
    except (TypeError, OverflowError):
        finite = False
    if not finite:
        raise DelayError(f"a delay is a finite number of seconds, not {seconds!r}")


class DelayedCall:
    """A call that is to come, has come, or has been cancelled."""

    def __init__(
        self, reactor: Reactor, delay: float, func: Callable[..., object], args: tuple[Any, ...], kw: dict[str, Any]
    ) -> None:
        self._reactor = reactor
        self._what: tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]] | None = (func, args, kw)
        self._cancelled = False
        self._time = reactor.seconds() + delay
        self._timer = reactor.loop.call_later(delay, self._call)
        reactor._calls.add(self)

    def _call(self) -> None:
        if self._reactor._open.over:
            return
        assert self._what is not None
        func, args, kw = self._what
        self._end()
        func(*args, **kw)

    def _end(self) -> None:
        self._what = None
        self._reactor._calls.discard(self)

    def _check_active(self) -> None:
        if self._cancelled:
            raise AlreadyCancelled("this call has been cancelled")
        if self._what is None:
            raise AlreadyCalled("this call has been made")

    def active(self) -> bool:
        """Whether it is still to come."""
        return self._what is not None

    def getTime(self) -> float:
        """When it is due, in seconds on `reactor.seconds()`'s clock."""
        return self._time

    def cancel(self) -> None:
        """Take it back. Raises AlreadyCalled, AlreadyCancelled."""
        self._check_active()
        self._cancelled = True
        self._timer.cancel()
        self._end()

    def reset(self, seconds: float) -> None:
        """Have it called so many seconds from now instead. Raises AlreadyCalled, AlreadyCancelled, DelayError."""
        self._check_active()
        check_delay(seconds)
        self._time = self._reactor.seconds() + seconds
        self._timer.cancel()
        self._timer = self._reactor.loop.call_later(seconds, self._call)

    def delay(self, seconds: float) -> None:
        """Have it called so many seconds later than it is due, or earlier if negative, but not before now.

        Raises AlreadyCalled, AlreadyCancelled, DelayError.
        """
        self._check_active()
        check_number(seconds)
        self._time += seconds
        when = self._timer.when() + seconds
        self._timer.cancel()
        self._timer = self._reactor.loop.call_at(when, self._call)
