# cython: binding=True
"""Timed calls as Twisted has them, as timers of the engine.

`callLater` is a method of the reactor, written here because it is hot. A `DelayedCall` is the engine's timer and
Twisted's `IDelayedCall` in one object. It is due by the engine's clock, which never goes back; the times that it tells
are those of `reactor.seconds()`, the time of day. At any moment a call that is to come lies in one place: among the
engine's timers, or, when it is due, in its queue. One that is moved while it waits in the queue stays there, and
goes back to the timers when its turn comes.
"""

from __future__ import annotations

from collections.abc import Callable
from traceback import format_stack
from typing import TYPE_CHECKING, Any

from twisted.internet.base import DelayedCall as Twisted
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python import runtime
from twisted.python.reflect import safe_repr
from zope.interface import classImplements

from fate._native import clock_ns, recycle
from fate.core.engine import Engine
from fate.core.handle import READY, TimerHandle

SOON = 0.0006  # a crowd of timers is due at most one tick of the timers before `deadline()`, in seconds
ROUNDING = 1e-6  # what the time of day, a float of 2**31 seconds, may lose: a call is not early by any clock

TIME_OF_DAY = runtime.seconds

log = Logger("twisted.internet.base")


class DelayedCall(TimerHandle):
    """A call that `callLater` has scheduled."""

    __slots__ = ("_moved", "_time", "args", "called", "creator", "func", "kw", "seconds")

    if TYPE_CHECKING:
        _moved: bool  # it was given another time while it was in the queue
        _time: Any  # None: not asked for yet
        seconds: Callable[[], Any]
        func: Any
        args: Any
        kw: Any
        called: int
        creator: Any

    @property
    def time(self) -> Any:
        """When it is due, on `reactor.seconds()`'s clock, which is asked only now: it costs as much as all else."""
        if self._time is None:
            now = clock_ns() / 1e9 if self._loop is None else self._loop._now()
            self._time = self.seconds() + (self._when - now)
        return self._time

    @property
    def cancelled(self) -> int:  # type: ignore[override]  # Twisted's is no method
        return 1 if self._cancelled else 0

    def getTime(self) -> Any:
        """When it is due, on `reactor.seconds()`'s clock."""
        return self.time

    def active(self) -> bool:
        """Whether it is still to come."""
        return not (self._cancelled or self.called)

    def cancel(self) -> None:
        """Take it back.

        Raises AlreadyCancelled, AlreadyCalled.
        """
        self._check_active()
        self._cancelled = True
        if self._slot != READY and self._loop is not None:
            self._loop._forget_timer(self)
        self._empty()
        self.func = self.args = self.kw = None

    def reset(self, secondsFromNow: float) -> None:
        """Have it called so many seconds from now instead.

        Raises AlreadyCancelled, AlreadyCalled.
        """
        self._check_active()
        self._time = self.seconds() + secondsFromNow
        if self._loop is not None:
            self._move(self._loop._now() + secondsFromNow + ROUNDING)

    def delay(self, secondsLater: float) -> None:
        """Have it called so many seconds later than it is due; a negative number: earlier.

        Raises AlreadyCancelled, AlreadyCalled.
        """
        self._check_active()
        self._time = self.time + secondsLater
        self._move(self._when + secondsLater)

    def _check_active(self) -> int:
        if self._cancelled:
            raise AlreadyCancelled
        if self.called:
            raise AlreadyCalled
        return 0

    def _move(self, when: float) -> int:
        self._when = when
        if self._slot == READY:
            self._moved = True
        elif self._loop is not None:
            self._loop._file_again(self)
        return 0

    def __call__(self) -> None:
        """Its turn has come."""
        if self._moved:
            self._moved = False
            if self._loop is not None:
                self._loop._file_again(self)
            return
        self.called = 1
        func = self.func
        args = self.args
        kw = self.kw
        self.func = self.args = self.kw = None
        try:
            if kw:
                func(*args, **kw)
            else:
                func(*args)
        except BaseException:  # as Twisted's reactors: nothing that a call raises stops the reactor
            report(self.creator)
        self._empty()

    def __repr__(self) -> str:
        parts = [f"<DelayedCall {id(self):#x} [{self.time - self.seconds()}s]"]
        parts.append(f" called={self.called} cancelled={self.cancelled}")
        if self.func is not None:
            name = getattr(self.func, "__qualname__", None) or getattr(self.func, "__name__", None)
            values = [safe_repr(value) for value in self.args or ()]
            values += [f"{key}={safe_repr(value)}" for key, value in (self.kw or {}).items()]
            parts.append(f" {name or safe_repr(self.func)}({', '.join(values)})")
        if self.creator is not None:
            parts.append("\n\ntraceback at creation: \n\n" + "    ".join(self.creator))
        return "".join(parts) + ">"


def report(creator: list[str] | None) -> None:
    """Log the exception that is being handled, raised by a timed call; creator: the stack of who made it, if known."""
    if creator is None:
        log.failure("while handling timed call")
        return
    stack = "".join(creator).rstrip().replace("\n", "\n C:")
    log.failure("while handling timed call\n C: from a DelayedCall created here:\n C:{stack}\n", stack=stack)


def schedule(
    engine: Engine, seconds: Callable[[], Any], delay: float, func: Any, args: tuple[Any, ...], kw: dict[str, Any]
) -> DelayedCall:
    """Schedule a call on `engine`; seconds: the clock of the times that it tells; the rest as in `callLater`."""
    call = DelayedCall.__new__(DelayedCall)
    call.seconds = seconds
    call._time = None if seconds is TIME_OF_DAY else seconds() + delay
    call.func = func
    call.args = args
    call.kw = kw if kw else None
    call.called = 0
    call.creator = None
    call._moved = False
    call._callback = call
    call._args = ()
    engine.prepare(call)
    if Twisted.debug:
        call.creator = format_stack()[:-2]
    now = engine._now()
    if delay == 0.0:
        call._when = now
        timers = engine._timers
        if timers.count == 0 or timers.deadline() - SOON > now:  # nothing else is due: no need to sort it in
            call._slot = READY
            engine._queue.append(call)
            return call
    else:
        call._when = now + delay + ROUNDING
    engine._timers.add(call)
    return call


def callLater(self: Any, delay: float, callable: Callable[..., Any], *args: object, **kw: object) -> DelayedCall:
    """Call `callable(*args, **kw)` once, `delay` seconds from now, never early; returns its `IDelayedCall`.

    Raises AssertionError, as Twisted does, for a negative delay; LoopClosedError; in asyncio's debug mode,
    WrongThreadError.
    """
    wait = float(delay)
    if not wait >= 0.0:
        raise AssertionError(f"{delay} is not greater than or equal to 0 seconds")
    engine = self.loop
    check(engine, callable)
    return schedule(engine, self.seconds, wait, callable, args, kw)


def check(engine: Engine, func: Any) -> int:
    """Raise if `engine` is closed, or in debug mode the callable or the thread is wrong."""
    if engine._closed or engine._debug:
        engine._check_call(func, "callLater", True)
    return 0


classImplements(DelayedCall, IDelayedCall)
recycle(DelayedCall, True, 256)
