"""Fuses: one-shot events with any number of handlers.

A fuse burns at a time, by hand, or because of something in the world (whoever made it then calls `burn`). When it
burns, its handlers are called in the next turn, each by a handle of its own, so that an error in one is reported and
keeps no other from running. A burned fuse without a handler waits for one. The idea, and the names `set_handler`,
`has_handler`, `is_burned`, `call_handler` and `set_time`, are Ben Eills's, from "Async Python and Twisted".

What fuses wait for in the world lives in `fate.sources` and `fate.net.packet`.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections import deque
from collections.abc import Callable, Generator, Iterable, MutableMapping
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Protocol

from fate.core.handle import Handle, TimerHandle, again
from fate.core.parts import Parts
from fate.errors import ForeignFuseError, FuseHandlerError, FuseOverError, FuseTimeError

Handler = tuple[Callable[..., object], tuple[Any, ...], Context]

BURNING = "burning"
BURNED = "burned"
FAILED = "failed"
CANCELLED = "cancelled"
UNTOLD = object()  # the value of an AllFuse that nobody has looked at


class Fate(Protocol):
    """What a fuse needs of the loop it belongs to."""

    _endings: deque[Callable[[], object]]  # watchers of ended fuses that are still to be told
    _telling: bool
    _fuses_ended: int  # how many, so far

    @property
    def _fuses(self) -> MutableMapping[Fuse, None]: ...
    def time(self) -> float: ...
    def call_soon(self, callback: Callable[..., object], /, *args: Any, context: Context | None = None) -> Handle: ...
    def call_at(self, when: float, callback: Callable[..., object], /, *args: Any) -> TimerHandle: ...
    def run_early(self, handles: list[Handle], /) -> None: ...
    def in_own_thread(self) -> bool: ...
    def create_future(self) -> Any: ...
    def call_exception_handler(self, context: dict[str, Any]) -> None: ...
    def _check_owner(self, what: str) -> None: ...


class Fuse:
    """A one-shot event: it burns once, and its handlers are called. Made by `fate.get_fuse`, not directly.

    A fuse is over when it has burned, failed or been cancelled. It can be awaited, by any number of tasks
    (`value = await fuse`); a task that is cancelled meanwhile leaves the fuse burning. Fuses of one Fate combine:
    `a | b` burns with the first of them, its value that fuse; `a & b` when all have burned, its value the tuple of
    their values.
    """

    _error_seen = True  # also of one that was never finished
    _made = True  # False while a compound is: it may be over before it can be a part of others
    _numbers: dict[Any, list[int]] | None = None  # of each handler; made when one is to be removed

    def __init__(self, fate: Fate) -> None:
        self._fate = fate
        self._state = BURNING
        self._value: Any = None
        self._error: BaseException | None = None
        self._time: float | None = None
        self._by_time = False
        self._timer: TimerHandle | None = None
        self._handlers: dict[int, Handler] = {}  # by number, in order
        self._added = 0  # the last of these numbers
        self._watchers: dict[Callable[[], object], None] = {}  # told when it is over, whichever way
        self._pending: Handle | None = None  # the delivery that waits for the next turn
        self._release: Callable[[], object] | None = None  # lets go of what it waits for
        self.what = ""  # what it waits for, in words
        fate._fuses[self] = None

    # -- time ---------------------------------------------------------------------------------------------------

    def set_time(self, time: float) -> None:
        """Have it burn at `time` instead, in seconds on `fate.time()`'s clock; a time that has passed means now.

        Raises FuseTimeError if that is not a finite number, FuseOverError if it has called its handlers, failed or
        been cancelled.
        """
        self._fate._check_owner("Fuse.set_time")
        check_seconds(time, "a fuse's time")
        if self._state != BURNING and not self._waits_for_handler():
            raise FuseOverError(f"{self!r} is over: set_time has nothing to change; make another with fate.get_fuse()")
        self._time = time
        self._by_time = False
        self._state = BURNING
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._fate.call_at(time, self._time_up)

    @again
    def _time_up(self) -> None:
        if self._state == BURNING:
            self._by_time = True
            self._finish(BURNED, deliver=True)
        elif self._state == BURNED and self._handlers:  # an interrupt came before they were queued
            self._deliver_soon()

    def _waits_for_handler(self) -> bool:
        return self._by_time and self in self._fate._fuses

    # -- handlers -----------------------------------------------------------------------------------------------

    def set_handler(self, handler: Callable[..., object], *args: Any) -> None:
        """Make `handler(*args)` the sole handler: the last call wins. `add_handler` keeps those that are there.

        Raises FuseHandlerError if `handler` is not callable or is a coroutine function, FuseOverError if the fuse has
        failed or been cancelled and so will call nobody.
        """
        self._check_handler(handler, "set_handler")
        self._forget_handlers()
        self._add(handler, args)

    def add_handler(self, handler: Callable[..., object], *args: Any) -> None:
        """Call `handler(*args)` too when it burns; in the next turn if it has burned already.

        Handlers are called in the order in which they were added, in the context they were added in. Raises what
        `set_handler` raises.
        """
        self._check_handler(handler, "add_handler")
        self._add(handler, args)

    def _add(self, handler: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._added += 1
        self._handlers[self._added] = (handler, args, copy_context())
        if self._numbers is not None:
            self._number(self._added, handler)
        if self._state == BURNED:
            self._deliver_soon()

    def remove_handler(self, handler: Callable[..., object]) -> int:
        """Take `handler` away, each time it was added; return how often that was."""
        self._fate._check_owner("Fuse.remove_handler")
        if self._numbers is None:
            self._numbers = {}
            for number, entry in self._handlers.items():
                self._number(number, entry[0])
        found = self._numbers.pop(handler, []) if _has_hash(handler) else []
        unhashable = self._numbers.get(Unhashable, [])
        found += [number for number in unhashable if self._handlers[number][0] == handler]
        for number in found:
            del self._handlers[number]
        if unhashable:
            self._numbers[Unhashable] = [number for number in unhashable if number in self._handlers]
        return len(found)

    def _number(self, number: int, handler: Callable[..., object]) -> None:
        assert self._numbers is not None
        self._numbers.setdefault(handler if _has_hash(handler) else Unhashable, []).append(number)

    def _forget_handlers(self) -> None:
        self._handlers = {}
        self._numbers = None

    def has_handler(self) -> bool:
        """Whether there is a handler that has not been called yet."""
        return bool(self._handlers)

    def call_handler(self) -> None:
        """Call the handlers now, burned or not; the fuse is over then. You need this only to drive fuses by hand.

        Errors of the handlers go to the loop's exception handler. Raises FuseHandlerError if there is none.
        """
        self._fate._check_owner("Fuse.call_handler")
        if not self._handlers:
            raise FuseHandlerError(f"{self!r} has no handler to call: give it one with set_handler() or add_handler()")
        if self._state == BURNING:
            self._finish(BURNED)
        self._deliver_now()

    # -- the end ------------------------------------------------------------------------------------------------

    @property
    def value(self) -> Any:
        """What it burned with; None before that, and if it was cancelled. A fuse that failed raises its error."""
        if self._error is not None:
            self._error_seen = True
            raise self._error
        return self._result()

    def _result(self) -> Any:
        return self._value

    @property
    def error(self) -> BaseException | None:
        """The error it failed with; None if it has not failed."""
        self._error_seen = True
        return self._error

    def is_burned(self) -> bool:
        """Whether it has burned: it was burned by hand or by what it waited for, or its time has come."""
        if self._state == BURNING and self._time is not None:
            return self._time <= self._fate.time()
        return self._state == BURNED

    def is_over(self) -> bool:
        """Whether nothing more can come of it: it has burned, failed or been cancelled."""
        return self._state != BURNING

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._state == CANCELLED

    def burn(self, value: Any = None) -> None:
        """Burn now, with `value`: the handlers are called in the next turn, whoever awaits it gets the value.

        Raises FuseOverError if it has burned, failed or been cancelled before. From another thread:
        `fate.call_soon_threadsafe(fuse.burn, value)`.
        """
        self._check_burning("burn")
        self._finish(BURNED, value, deliver=True)

    def fail(self, error: BaseException) -> None:
        """End it with `error`: whoever awaits the fuse gets the error, no handler is called.

        error: an exception, or a class of exceptions. One that nobody ever looks at is reported to the loop's
            exception handler.
        Raises FuseOverError as `burn` does, TypeError if `error` is not an exception.
        """
        self._check_burning("fail")
        if isinstance(error, type) and issubclass(error, BaseException):
            error = error()
        if not isinstance(error, BaseException):
            raise TypeError(f"fail() takes an exception, not {error!r}")
        if isinstance(error, StopIteration):
            raise TypeError("fail() cannot take StopIteration: no coroutine can raise it; wrap it in another exception")
        self._finish(FAILED, error=error)

    def cancel(self) -> bool:
        """Put it out: no handler is called, and whoever awaits it gets CancelledError.

        Returns whether there was anything to put out: False if it was over before.
        """
        self._fate._check_owner("Fuse.cancel")
        if self._state != BURNING:
            return False
        self._finish(CANCELLED)
        return True

    def _check_burning(self, method: str) -> None:
        self._fate._check_owner(f"Fuse.{method}")
        if self._state != BURNING:
            raise FuseOverError(
                f"{self!r} is over: it cannot {method} a second time; make another with fate.get_fuse()"
            )

    def _finish(
        self, state: str, value: Any = None, error: BaseException | None = None, *, deliver: bool = False
    ) -> None:
        """End it. Once begun, it comes to its end, also if an interrupt comes meanwhile: whoever waits hears of it.

        deliver: call the handlers in the next turn.
        """
        try:
            self._end(state, value, error, deliver)
        except BaseException:  # a signal's handler may raise between any two steps, so each may be done twice
            self._end(state, value, error, deliver)
            raise

    def _end(self, state: str, value: Any, error: BaseException | None, deliver: bool) -> None:
        if self._made:
            self._fate._fuses_ended += 1
        self._value = value
        if error is not None:
            self._error = error
            self._error_seen = False
        self._state = state
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._release is not None:
            self._release()
            self._release = None
        if state != BURNED:
            self._forget_handlers()
            self._fate._fuses.pop(self, None)
        if self._watchers:
            if not self._handlers:
                self._fate._fuses.pop(self, None)
            self._fate._endings.extend(self._watchers)
            self._watchers = {}
        if self._fate._endings and not self._fate._telling:  # else whoever is telling comes to these too
            self._tell()
        if deliver and self._handlers:
            self._deliver_soon()

    def _tell(self) -> None:
        """Call all watchers, one after the other also where one ends another fuse: fuses may be nested deeply."""
        fate = self._fate
        try:
            try:
                fate._telling = True
                self._tell_on()
            except BaseException:  # an interrupt: the one that it came to is told again, and then the rest
                try:
                    self._tell_on()
                except BaseException:
                    if fate._endings:
                        fate._endings.popleft()  # it cannot be told
                raise
            finally:
                fate._telling = False
        finally:
            fate._telling = False

    def _tell_on(self) -> None:
        endings = self._fate._endings
        while endings:
            endings[0]()
            endings.popleft()

    def _watch(self, watcher: Callable[[], object]) -> None:
        """Call `watcher()` when the fuse is over; now if it is."""
        if self._state == BURNING:
            self._watchers[watcher] = None
        else:
            self._error_seen = True
            self._fate._fuses.pop(self, None)
            watcher()

    def _unwatch(self, watcher: Callable[[], object]) -> None:
        self._watchers.pop(watcher, None)

    # -- delivery -----------------------------------------------------------------------------------------------

    def _deliver_soon(self) -> None:
        if self._pending is None:
            self._pending = self._fate.call_soon(self._deliver)

    @again
    def _deliver(self) -> None:
        self._pending = None
        if self._state == BURNED and self._handlers:
            self._deliver_now()

    def _queue_handlers(self) -> list[Handle]:
        queued: list[Handle] = []
        handlers = self._handlers
        call_soon = self._fate.call_soon
        try:
            try:
                calls = [partial(call_soon, call, *args, context=context) for call, args, context in handlers.values()]
                queued.extend(map(operator.call, calls))  # no interrupt comes between queueing one and counting it
            finally:  # a signal's handler may raise anywhere, so this may be done twice
                self._keep_after(handlers, len(queued))
        finally:
            self._keep_after(handlers, len(queued))
        return queued

    def _keep_after(self, handlers: dict[int, Handler], queued: int) -> None:
        """So many of `handlers` are queued."""
        self._handlers = {} if queued == len(handlers) else dict([*handlers.items()][queued:])
        self._numbers = None
        if not self._handlers:
            self._fate._fuses.pop(self, None)

    def _deliver_now(self) -> None:
        self._fate.run_early(self._queue_handlers())  # queued first: should one stop the loop, the rest are not lost

    # -- awaiting and combining -----------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, Any]:
        if not self._fate.in_own_thread():
            raise ForeignFuseError(
                f"{self!r} belongs to {self._fate!r}, which does not run here: await it in a task of its own loop"
            )
        if self._state == BURNING:
            future = self._fate.create_future()

            def wake() -> None:
                if not future.done():
                    future.set_result(None)

            self._watch(wake)
            try:
                yield from future
            finally:
                self._unwatch(wake)
        else:
            self._fate._fuses.pop(self, None)
        if self._state == CANCELLED:
            future = self._fate.create_future()
            future.cancel(f"{self!r} was cancelled")
            yield from future
        return self.value

    def __or__(self, other: Fuse) -> Fuse:
        return self._combined(AnyFuse, other) if isinstance(other, Fuse) else NotImplemented

    def __and__(self, other: Fuse) -> Fuse:
        return self._combined(AllFuse, other) if isinstance(other, Fuse) else NotImplemented

    def _combined(self, kind: type[Compound], other: Fuse) -> Compound:
        if other._fate is not self._fate:
            raise ForeignFuseError(
                f"{other!r} belongs to another Fate, {other._fate!r}: only fuses of one Fate combine"
            )
        self._fate._check_owner("a compound fuse")
        return kind(self._fate, [self._as_part(kind), other._as_part(kind)])

    def _as_part(self, kind: type[Compound]) -> Fuse | Parts:
        return self

    def _check_handler(self, handler: Callable[..., object], method: str) -> None:
        self._fate._check_owner(f"Fuse.{method}")
        if not callable(handler):
            raise FuseHandlerError(
                f"Fuse.{method}() takes something to call, not {handler!r}: pass the function itself, without ()"
            )
        if inspect.iscoroutinefunction(handler):
            raise FuseHandlerError(
                f"Fuse.{method}() takes a plain function, and {handler!r} is a coroutine function: "
                "await the fuse in a task instead"
            )
        if self._state in (FAILED, CANCELLED):
            raise FuseOverError(f"{self!r} is over: it will call no handler")

    def __repr__(self) -> str:
        name = type(self).__name__
        details = [self._state]
        if self._time is not None and self._state == BURNING:
            details.append(f"time={self._time:.6f}")
        if self.what:
            details.append(self.what)
        if self._handlers:
            details.append(f"handlers={len(self._handlers)}")
        return f"<{name} {' '.join(details)}>"

    def __del__(self) -> None:
        if not self._error_seen:
            self._fate.call_exception_handler(
                {"message": f"{self!r} failed and nobody looked at its error", "exception": self._error}
            )


class Compound(Fuse):
    """A fuse made of others; it follows them, they do not know what it is for. How it does is in `fate.core.parts`.

    They keep it alive only while somebody waits for it: `a | b` inside `a | b | c`, or one that is dropped, is gone
    at once, however long `a` burns.
    """

    _harmless: str  # the state in which a part may end without ending the whole before all others have too
    _made = False
    _tuple: tuple[Fuse, ...] | None = None

    def __init__(self, fate: Fate, made_of: list[Fuse | Parts]) -> None:
        self._parts = Parts(made_of, self._harmless)
        super().__init__(fate)
        self._parts.follow(self)
        self._made = True

    @property
    def parts(self) -> tuple[Fuse, ...]:
        """The fuses that it is made of, in order."""
        if self._tuple is None:
            self._tuple = tuple(self._parts)
        return self._tuple

    def _as_part(self, kind: type[Compound]) -> Fuse | Parts:
        return self._parts if isinstance(self, kind) else self

    def _end(self, state: str, value: Any, error: BaseException | None, deliver: bool) -> None:
        self._parts.leave()
        super()._end(state, value, error, deliver)

    def _keep(self) -> None:
        if self._state == BURNING:
            self._parts.keep(self)

    def _add(self, handler: Callable[..., object], args: tuple[Any, ...]) -> None:
        super()._add(handler, args)
        self._keep()

    def _watch(self, watcher: Callable[[], object]) -> None:
        super()._watch(watcher)
        self._keep()

    def _unwatch(self, watcher: Callable[[], object]) -> None:
        super()._unwatch(watcher)
        if not self._watchers and not self._handlers:
            self._parts.keep(None)

    def _parts_over(self, decider: Fuse | None) -> None:
        """`decider` ends it, or, if that is None, all parts have ended harmlessly."""
        if decider is not None and decider._state == FAILED:
            decider._error_seen = True
            assert decider._error is not None
            self.fail(decider._error)
        else:
            self._end_as(decider)

    def _end_as(self, decider: Fuse | None) -> None:
        raise NotImplementedError

    def __del__(self) -> None:
        self._parts.leave()
        super().__del__()


class AnyFuse(Compound):
    """`a | b`: burns with the first of its parts, and its value is that part. It fails with the first that fails, and
    is cancelled when all of them are."""

    _harmless = CANCELLED

    def is_burned(self) -> bool:
        return self._state == BURNED or (self._state == BURNING and any(part.is_burned() for part in self.parts))

    def _end_as(self, decider: Fuse | None) -> None:
        if decider is None:
            self._finish(CANCELLED)
        else:
            self._finish(BURNED, decider, deliver=True)


class AllFuse(Compound):
    """`a & b`: burns when all of its parts have, and its value is the tuple of their values, in order. It fails or is
    cancelled with the first part that is."""

    _harmless = BURNED

    def is_burned(self) -> bool:
        return self._state == BURNED or (self._state == BURNING and all(part.is_burned() for part in self.parts))

    def _end_as(self, decider: Fuse | None) -> None:
        if decider is None:
            self._finish(BURNED, UNTOLD, deliver=True)
        else:
            self._finish(CANCELLED)

    def _result(self) -> Any:
        if self._value is UNTOLD:
            self._value = tuple(part._result() for part in self.parts)
        return self._value


class Unhashable:
    """Stands for the handlers that have no hash."""


def _has_hash(handler: Callable[..., object]) -> bool:
    try:
        hash(handler)
    except TypeError:
        return False
    return True


def check_seconds(seconds: float, what: str) -> None:
    """Raise FuseTimeError unless `seconds` is a finite number. `what` names it in the message."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise FuseTimeError(f"{what} is a number of seconds, not {seconds!r}")
    try:
        finite = math.isfinite(seconds)
    except OverflowError as error:
        raise FuseTimeError(f"{what} must be finite, and no float holds so large an integer") from error
    if not finite:
        raise FuseTimeError(f"{what} must be finite, not {seconds!r}; a fuse burned by hand is fate.get_fuse()")


def check_due(fuses: Iterable[Fuse]) -> None:
    """Call the handlers of those that have burned, as the article's `check_fuses` does."""
    for fuse in list(fuses):
        if fuse.has_handler() and fuse.is_burned():
            fuse.call_handler()
