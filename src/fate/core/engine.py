# cython: wraparound=False, nonecheck=False
"""The engine: what happens, and in which order.

A *turn* is one pass: poll the world, take the timers that are due, then run every callback that is ready, first in,
first out. What those callbacks schedule runs in the next turn. While callbacks keep scheduling callbacks the engine
skips the poll and the timers for up to FAST_TURNS turns, fewer when the callbacks are slow (`_look`).

The engine knows handles, timers and a `Poll`; it knows no socket, no asyncio and no Twisted. What it asks of the
loop that is built on it are the methods at its end. Everything runs in one thread, except `call_soon_threadsafe`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import Context
from math import ceil
from threading import get_ident
from time import sleep
from typing import TYPE_CHECKING, Any, Protocol

from fate._native import (
    SharedContext,
    bind,
    can_share,
    clock_ns,
    compiled,
    copy_context,
    copy_of,
    pop_last,
    run_in_context,
    track,
)
from fate.core.handle import (
    HANDLES,  # noqa: F401 (used in the .pxd)
    LASTING,
    ONCE,
    READY,
    SHARING,
    SOURCE,
    Handle,
    Owner,
    SafeHandle,
    TimerHandle,
)
from fate.core.timers import Timers

FAST_TURNS = 16  # at most so many turns in a row without a poll
BUSY_TURNS = 1  # the next turns without a poll, after one that brought something: what follows may bring more
FAST_NS = 50_000  # aim to poll about so often while busy, in nanoseconds
COMPILED = compiled()
SHARES = can_share()  # whether handles may share a context
WAITS = sys.version_info >= (3, 14)  # who takes back a callback in another thread waits while that runs, as in asyncio
GLANCE = 0.0002  # how often it looks then, in seconds
OWED_MOST = 64 * 1024  # what is put off to the turn's end is done earlier when it weighs so much
WARY_NS = 200_000_000  # when nothing has come for so long, in nanoseconds, it is time to look whether anything can
COMPACT = 1024  # forget the consumed part of the queue when it is so long


class Instrument(Protocol):
    """Somebody who watches the engine work. If it raises, it is reported and taken away; the loop turns on."""

    def before(self, handle: Handle) -> None:
        """`handle` is about to run."""

    def after(self, handle: Handle) -> None:
        """`handle` has run."""


class Poll:
    """How the engine waits for the world. `fate.net.poll` has the real ones.

    watched: how many descriptors are watched, where that is counted.
    """

    if TYPE_CHECKING:
        watched: int
        _serves: Any  # a weak reference to the loop that it waits for, or None

    def poll(self, timeout_ns: int, ready: list[Handle]) -> int:
        """Wait up to `timeout_ns` (0: do not wait; negative: for ever), append the handles of what came to `ready`."""
        raise NotImplementedError

    def events(self, fd: int) -> int:
        """What came last for `fd`, as epoll's bits; 0 if nothing did."""
        raise NotImplementedError

    def set_reader(self, fd: int, handle: Handle | None) -> Handle | None:
        """Have `handle` queued whenever `fd` is readable; None: nobody. Returns the one before, not cancelled."""
        raise NotImplementedError

    def set_writer(self, fd: int, handle: Handle | None) -> Handle | None:
        """Have `handle` queued whenever `fd` is writable; None: nobody. Returns the one before, not cancelled."""
        raise NotImplementedError

    def add_reader(self, fd: int, handle: Handle) -> None:
        """Have `handle` queued whenever `fd` is readable; the one it replaces is cancelled."""
        before = self.set_reader(fd, handle)
        if before is not None:
            before.cancel()

    def add_writer(self, fd: int, handle: Handle) -> None:
        """Have `handle` queued whenever `fd` is writable; the one it replaces is cancelled."""
        before = self.set_writer(fd, handle)
        if before is not None:
            before.cancel()

    def remove_reader(self, fd: int) -> bool:
        """Let go of `fd`'s reader, and cancel it; say whether there was one."""
        before = self.set_reader(fd, None)
        if before is None:
            return False
        before.cancel()
        return True

    def remove_writer(self, fd: int) -> bool:
        """Let go of `fd`'s writer, and cancel it; say whether there was one."""
        before = self.set_writer(fd, None)
        if before is None:
            return False
        before.cancel()
        return True

    def drop_reader(self, fd: int, handle: Handle) -> None:
        """Let go of `fd`'s reader if that is `handle`, which is not cancelled: the number may be another's by now."""
        before = self.set_reader(fd, None)
        if before is not None and before is not handle:
            self.set_reader(fd, before)

    def drop_writer(self, fd: int, handle: Handle) -> None:
        """Let go of `fd`'s writer if that is `handle`, which is not cancelled: the number may be another's by now."""
        before = self.set_writer(fd, None)
        if before is not None and before is not handle:
            self.set_writer(fd, before)

    def set_source(self, fd: int, source: Handle) -> None:
        """As `set_reader`, for one that needs to be told once only of all that has come.

        `source._index` is not 0 if that may be more than a read takes that gets less than it asked for.
        """
        self.add_reader(fd, source)

    def select(self, timeout: float | None = None) -> list[Any]:
        """For programs that turn a loop by hand, as nest_asyncio does: wait up to `timeout` seconds, None for ever.

        Unlike a selector's it returns an empty list: the handles of what came are in the loop's queue already.
        """
        loop = None if self._serves is None else self._serves()
        if loop is not None:
            loop.poll_once(timeout)
        return []

    def remind(self) -> None:
        """Tell of all again that sources were told of once: an exception may have kept them from reading."""


if not COMPILED:
    Poll.watched = 0
    Poll._serves = None


class Engine(Owner):
    """The turn, the queue of ready handles, and the timers. `Fate` is built on it."""

    if TYPE_CHECKING:
        _closed: bool
        _debug: bool
        _stopping: bool
        _thread_id: int | None
        _wary: bool
        _told: bool
        _make: Callable[[Callable[..., object], tuple[Any, ...], Context | None], Handle]
        _run_next: Callable[[list[Any], int, SharedContext], Handle | None]
        _nth: Callable[[list[Any], int], Handle]
        _renumber: Callable[[list[Any], int], None]

    def __cinit__(self, *arguments: Any, **options: Any) -> None:
        self._closed = True  # until it is made: a subclass may forget to, and there is nothing to work with

    def __init__(self, poll: Poll, clock: Callable[[], int] | None = None) -> None:
        """
        poll: waits for the world.
        clock: gives the time in integer nanoseconds; by default `time.monotonic`'s.
        """
        self._poll = poll
        self._clock = self._given_clock = clock
        self._own_time: Callable[[], float] | None = None
        self._unsettled: list[Handle] = []  # who waits for the turn to end
        self._settled = 0  # so many of them are done with: while it is at them, it may come to them again
        self._owed = 0  # what they weigh
        self._queue: list[Any] = []  # append is atomic: other threads push here too
        self._head = 0  # the queue before this index has been consumed
        self._timers = Timers(self._now())
        self._last_id = 0
        self._current_id = 0
        self._shared = SharedContext()
        self._instrument: Instrument | None = None
        self._run_by: Callable[[Handle], BaseException | None] | None = None  # if an instrument watches, see `run_by`
        self._asleep = False
        self._turning = False
        self._fast_turns = 0
        self._fast_limit = FAST_TURNS
        self._polled_at = 0
        self._closed = False
        self._debug = False
        self._stopping = False
        self._thread_id = None
        self._wary = False  # `_nothing_comes` is to be called
        self._told = False  # it was, and nothing has come since

    # -- time ---------------------------------------------------------------------------------------------------

    def _now(self) -> float:
        if self._own_time is not None:
            return self._own_time()
        if self._clock is not None:
            return self._clock() / 1e9
        return clock_ns() / 1e9

    def time(self) -> float:
        """The time on the engine's clock, in seconds. It never goes back."""
        return self._now()

    def keep_time_by(self, time: Callable[[], float] | None) -> None:
        """Have `time`, which gives seconds, tell when timers are due; None: the engine's clock again.

        Every turn looks at it then: whoever moves it may count turns.
        """
        self._own_time = time
        self._clock = self._given_clock if time is None else lambda: ceil(time() * 1e9)
        self._fast_turns = 0

    # -- scheduling ---------------------------------------------------------------------------------------------

    # The makers of handles repeat each other, and `_turn` repeats `_run`: uncompiled, a call costs as much as
    # what it does. `_make`, `_run_next`, `_renumber`: only the compiled build has them, in the `.pxd`.

    def _push(self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None) -> Handle:
        if COMPILED:
            handle = self._make(callback, args, context)
        else:
            handle = Handle.__new__(Handle)
            handle._callback = callback
            handle._args = args
            handle._snapshot = copy_context() if context is None else context
            handle._loop = self
            handle._cancelled = False
            handle._kind = ONCE
        self._last_id = handle.id = self._last_id + 1
        handle.cause = self._current_id
        if COMPILED and self._thread_id is None:  # nobody knows when it will run
            track(handle)
        self._queue.append(handle); return handle  # noqa: E702  # fmt: skip  # one line: see "Interrupts" in design.md

    def _push_timer(
        self, when: float, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> TimerHandle:
        timer = TimerHandle.__new__(TimerHandle)
        timer._callback = callback
        timer._args = args
        if context is None and SHARES:
            timer._snapshot = self._shared.snapshot()
            timer._kind = SHARING
        else:
            timer._snapshot = copy_context() if context is None else context
            timer._kind = ONCE
        timer._loop = self
        timer._cancelled = False
        self._last_id = timer.id = self._last_id + 1
        timer.cause = self._current_id
        timer._when = when
        self._timers.add(timer)
        return timer

    def _push_safely(self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None) -> Handle:
        """As `_push`, for a handle that is another thread's as well."""
        if not WAITS:
            return self._push(callback, args, context)
        handle = SafeHandle.__new__(SafeHandle)
        handle._callback = callback
        handle._args = args
        if context is None and SHARES:
            handle._snapshot = self._shared.snapshot()
            handle._kind = SHARING
        else:
            handle._snapshot = copy_context() if context is None else context
            handle._kind = ONCE
        handle._loop = self
        handle._cancelled = False
        self._last_id = handle.id = self._last_id + 1
        handle.cause = self._current_id
        if COMPILED and self._thread_id is None:
            track(handle)
        self._queue.append(handle); return handle  # noqa: E702  # fmt: skip

    def _wait_for(self, handle: Handle) -> int:
        while self._current_id == handle.id and handle._loop is self:
            if self._thread_id is None or self._thread_id == get_ident():
                return 1
            sleep(GLANCE)
        return 0

    def _forget_timer(self, timer: TimerHandle) -> int:
        self._timers.remove(timer)
        return 0

    def _context_of(self, handle: Handle) -> Context:
        if handle._kind == SHARING:
            current = self._shared.current() if handle.id == self._current_id else None
            if current is None:
                return self._own_context(handle)
            handle._kind = ONCE
            handle._snapshot = current
        context: Context = handle._snapshot
        return context

    def _own_context(self, handle: Handle) -> Context:
        """Have `handle`, which does not run, share its context with nobody."""
        if handle._kind == SHARING:
            handle._kind = ONCE
            handle._snapshot = copy_of(handle._snapshot)
        context: Context = handle._snapshot
        return context

    def _file_again(self, timer: TimerHandle) -> int:
        if timer._slot != READY:
            self._timers.remove(timer)
        elif timer._kind != LASTING:
            self._context_of(timer)
            timer._kind = LASTING  # it is running now: the engine shall not empty it
        self._timers.add(timer)
        return 0

    def prepare(self, handle: Handle) -> int:
        """Make `handle`, of a kind of its maker's own, one of this engine's: give it a context, an id and a cause.

        For its maker to put among the timers or into the queue; `_callback` and `_args` are its affair as well.
        """
        if handle is None:
            raise TypeError("a handle is wanted, not None")
        if SHARES:
            handle._snapshot = self._shared.snapshot()
            handle._kind = SHARING
        else:
            handle._snapshot = copy_context()
            handle._kind = ONCE
        handle._loop = self
        handle._cancelled = False
        self._last_id += 1
        handle.id = self._last_id
        handle.cause = self._current_id
        return 0

    def prepare_source(self, source: Handle) -> bool:
        """As `prepare`, for a handle that will be fired again and again. Returns whether its context is its own.

        If not, it must replace it by a copy before it runs in it.
        """
        self.prepare(source)
        owns = source._kind == ONCE
        source._kind = SOURCE
        return owns

    def make_handle(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None = None
    ) -> Handle:
        """A lasting handle that is scheduled nowhere yet: for a poll to queue, again and again.

        context: the one to run in each time; by default a copy of the present one.
        """
        handle = Handle.__new__(Handle)
        handle._callback = callback
        handle._args = args
        handle._snapshot = copy_context() if context is None else context
        handle._loop = self
        handle._cancelled = False
        handle._kind = LASTING
        handle.id = handle.cause = 0  # it gets them each time it is queued
        track(handle)
        return handle

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Handle:
        """Call `callback(*args)` in the next turn, after all that was scheduled before.

        context: the `contextvars.Context` to run it in; by default a copy of the present one.
        Raises RuntimeError if the loop is closed.
        """
        if self._closed or self._debug:
            self._check_call(callback, "call_soon", True)
            handle = self._push(callback, args, context)
            self._note_created(handle)
            return handle
        if COMPILED:
            return self._push(callback, args, context)
        handle = Handle.__new__(Handle)
        handle._callback = callback
        handle._args = args
        handle._snapshot = copy_context() if context is None else context
        handle._loop = self
        handle._cancelled = False
        handle._kind = ONCE
        self._last_id = handle.id = self._last_id + 1
        handle.cause = self._current_id
        self._queue.append(handle); return handle  # noqa: E702  # fmt: skip

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        """Like `call_soon`, from any thread or signal handler; wakes the loop if it waits."""
        if self._closed or self._debug:
            self._check_call(callback, "call_soon_threadsafe", False)
            handle = self._push_safely(callback, args, context)
            self._note_created(handle)
        else:
            handle = self._push_safely(callback, args, context)
        if self._thread_id != get_ident():
            handle.cause = 0  # whatever runs there now has not caused it
        if self._asleep:
            try:
                self._asleep = False  # before it wakes, for then it may sleep again
                self._wake()
            except BaseException:  # a signal's handler: the loop shall not sleep on
                self._wake()
                raise
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        """Call `callback(*args)` once, `delay` seconds from now; never early. Zero or less means the next turn."""
        if delay is None:
            raise TypeError("delay must not be None")
        if delay <= 0.0:
            self._fast_turns = 0  # the next turn looks at the timers
        if self._closed or self._debug:
            self._check_call(callback, "call_later", True)
            timer = self._push_timer(self.time() + delay, callback, args, context)
            self._note_created(timer)
            return timer
        now = clock_ns() / 1e9 if self._clock is None else self._now()
        return self._push_timer(now + delay, callback, args, context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        """Call `callback(*args)` once, at `when` seconds on `time()`'s clock; never early."""
        if when is None:
            raise TypeError("when cannot be None")
        if self._closed or self._debug:
            self._check_call(callback, "call_at", True)
            timer = self._push_timer(when, callback, args, context)
            self._note_created(timer)
            return timer
        return self._push_timer(when, callback, args, context)

    # -- turning ------------------------------------------------------------------------------------------------

    def _look(self) -> int:
        """Poll the world, for no longer than until the next deadline, and take what is ready and what is due."""
        queue = self._queue
        timeout = -1
        now = 0
        if len(queue) > self._head or self._stopping:
            timeout = 0
            now = clock_ns() if self._clock is None else self._clock()
            elapsed = now - self._polled_at
            if elapsed > 2 * FAST_NS:
                self._fast_limit >>= 1
            elif elapsed < FAST_NS and self._fast_limit < FAST_TURNS:
                self._fast_limit = 2 * self._fast_limit + 1 if self._fast_limit < FAST_TURNS // 2 else FAST_TURNS
        elif self._timers.count:
            now = clock_ns() if self._clock is None else self._clock()
            wait = self._timers.deadline() - (now / 1e9 if self._own_time is None else self._now())
            if wait <= 0.0:
                timeout = 0
            elif wait < 86400.0:
                timeout = int(wait * 1e9) + 1
            else:
                timeout = 86400_000_000_000
        first = len(queue)
        if timeout == 0:
            count = self._poll.poll(0, queue)
        else:
            self._shared.forget()  # while nothing happens, it keeps nothing alive
            self._asleep = True
            if len(queue) > self._head:  # another thread was faster
                timeout = 0
            try:
                count = self._wait_warily(queue) if timeout < 0 and self._wary else self._poll.poll(timeout, queue)
            finally:
                self._asleep = False
            now = self._clock() if self._clock is not None else clock_ns()
        self._polled_at = now
        if len(queue) > first:
            self._number(first)
        if self._own_time is not None:  # whoever moves it looks when what is due comes
            self._fast_turns = 0
            self._timers.collect(self._now(), queue)
        else:
            if count and self._fast_limit > BUSY_TURNS:
                self._fast_limit = BUSY_TURNS
            self._fast_turns = self._fast_limit
            if self._timers.count:
                self._timers.collect(now / 1e9, queue)
        return 0

    def _wait_warily(self, queue: list[Any]) -> int:
        """Wait for ever; if no descriptor is watched and nothing comes for a while, have that told first."""
        if self._told or self._poll.watched > 1:  # one is what wakes the poll
            self._told = False
            return self._poll.poll(-1, queue)
        count = self._poll.poll(WARY_NS, queue)
        if count == 0 and len(queue) == self._head:
            self._told = True
            self._nothing_comes()
        return count

    def turn(self) -> None:
        """One pass: poll, due timers, and every callback that is ready by then.

        While callbacks keep the queue from running empty, most turns do without the poll and the timers.
        """
        try:
            self._turn()
        except BaseException:
            self._poll.remind()
            raise

    def full_turn(self) -> None:
        """One pass that polls and looks for due timers, also when there is work without."""
        self._fast_turns = 0
        self.turn()

    def run_turns(self) -> None:
        """Turn until `_stopping` is set, once at least."""
        self._fast_turns = 0  # a run begins with a look at the world
        current = self._current_id
        try:
            while True:
                self._turn()
                if self._stopping:
                    break
        except BaseException:  # a signal's handler may have raised it anywhere
            self._poll.remind()
            raise
        finally:
            self._current_id = current
            self._shared.forget()
            for index in range(self._head, len(self._queue)):  # they wait for a run that may never come
                track(self._queue[index])

    def poll_once(self, timeout: float | None) -> None:
        """Wait up to `timeout` seconds, None for ever, and queue what comes; for those who turn the loop by hand."""
        if self._unsettled:
            self._settle()
        queue = self._queue
        first = len(queue)
        nanoseconds = -1 if timeout is None else ceil(min(max(timeout, 0.0), 86400.0) * 1e9)
        self._asleep = nanoseconds != 0
        try:
            self._poll.poll(nanoseconds if first == self._head else 0, queue)
        finally:
            self._asleep = False
        self._number(first)

    def _number(self, first: int) -> int:
        """What a poll appended from `first` on comes many times: a new id for each."""
        queue = self._queue
        if COMPILED:
            self._renumber(queue, first)
            return 0
        for index in range(first, len(queue)):
            handle = queue[index]
            if handle is not None and handle._kind >= LASTING:  # else a thread pushed it, or a signal's handler took it
                self._last_id += 1
                handle.id = self._last_id
                handle.cause = 0
        return 0

    def take_first(self) -> Handle | None:
        """Take the handle that is the next to run out of the queue, for those who run it by hand; None: there is none.

        A cancelled one is given too, as asyncio's queue does.
        """
        queue = self._queue
        while self._head < len(queue):
            handle: Handle | None = queue[self._head]
            queue[self._head] = None
            self._head += 1
            if handle is not None:
                track(handle)  # nobody knows what becomes of it
                return handle
        return None

    def put(self, handle: Handle, first: bool = False) -> None:
        """Put a handle of this engine into the queue again, at its end or as the next to run; not among the timers.

        Nothing is done for one that was cancelled or has run.
        """
        if handle._cancelled or (handle._args is None and handle._kind != SOURCE):
            return
        if isinstance(handle, TimerHandle) and handle._slot != READY:
            self._timers.remove(handle)
        if not first:
            self._queue.append(handle)
        elif self._head:
            self._queue[self._head - 1] = handle
            self._head -= 1
        else:
            self._queue.insert(0, handle)

    def _reset(self) -> int:
        """Before a run inside no other: an exception may have ended the one before anywhere."""
        self._turning = False
        self._current_id = 0
        return 0

    def run_handle(self, handle: Handle) -> None:
        """Run one handle now, as a turn would: in its context, its errors reported."""
        if handle is None:
            raise TypeError("a handle is wanted, not None")
        self._run(handle, [None], 0)

    def run_early(self, handles: list[Handle]) -> None:
        """Run handles that are in the queue, in this order, now and not when their turn comes.

        Those that have not begun when an exception comes stay where they are.
        """
        queue = self._queue
        place = self._head
        for handle in handles:
            if place >= len(queue) or place < self._head:
                place = self._head  # a handler has turned the loop
            while place < len(queue) and queue[place] is not handle:
                place += 1
            if place < len(queue):
                self._run(handle, queue, place)
                handle.cancel()

    def _turn(self) -> int:
        queue = self._queue
        if self._fast_turns > 0 and len(queue) > self._head:
            self._fast_turns -= 1
        else:
            self._look()
        nested = self._turning  # a callback that turns the loop itself
        current = self._current_id
        self._turning = True
        end = len(queue)
        outer = shared = self._shared
        if nested:
            self._shared = shared = SharedContext()
        fast = COMPILED  # uncompiled, a local variable is the cheapest to read
        error = None
        # A turn inside this one goes on in the same queue, from `_head`, which is therefore asked for again after each
        # callback. It shortens nothing: only the outermost turn does, at its end.
        head = self._head
        try:
            while True:  # not `while head < end`: see tests/interrupts/test_interrupts.py
                if head >= end:
                    break
                if fast and self._instrument is None:
                    self._head = head + 1
                    handle = self._run_next(queue, head, shared)
                    if handle is not None and handle._callback is handle._args is None and handle._kind != SOURCE:
                        handle = None  # it has run already: somebody queued it twice
                else:
                    handle = queue[head] if head < len(queue) else None
                    self._head = head + 1
                    if handle is not None and handle._callback is handle._args is None and handle._kind != SOURCE:
                        queue[head] = handle = None
                if handle is not None and not handle._cancelled:  # None: it has run, maybe in a nested turn
                    self._current_id = handle.id
                    if self._instrument is not None:
                        error = self._run_watched(handle, self._instrument, queue, head)
                    elif handle._kind == SOURCE:
                        if not fast:  # else it has been taken out
                            queue[head] = None
                        error = handle._fire()
                    elif not fast:
                        try:
                            queue[head] = None; handle._snapshot.run(handle._callback, *handle._args)  # noqa: E702  # fmt: skip
                        except BaseException as failure:  # as in `run_in_context`
                            if queue[head] is handle:  # a signal's handler raised it, before the callback began
                                raise
                            error = failure
                    elif handle._kind == SHARING:
                        error = shared.run(handle._snapshot, handle._callback, handle._args)
                    else:
                        error = run_in_context(handle._snapshot, handle._callback, handle._args)
                    if error is not None:
                        self._fail(handle, error, shared)
                        error = None
                    if self._owed >= OWED_MOST:
                        self._settle()
                    if handle._kind < LASTING:
                        handle._loop = handle._callback = handle._args = handle._snapshot = None
                head = self._head
        finally:
            if self._head == head + 1 and head < len(queue) and queue[head] is not None:
                self._head = head  # an exception came before it began: it is the next to run
            try:
                if self._unsettled:
                    self._settle()
            finally:
                self._shared = outer
                self._turning = nested
                self._current_id = current
                shared.leave()
        handle = None  # keep nothing of it alive until the next turn ends
        if not nested and self._head >= COMPACT:
            del queue[: self._head]; self._head = 0  # noqa: E702  # fmt: skip  # what other threads append stays
        return 0

    def _fail(self, handle: Handle, error: BaseException, shared: SharedContext) -> int:
        """`handle` has run and raised `error`."""
        try:
            if handle._kind == SHARING:  # what is asked of it from now on is the context that it ran in
                handle._snapshot = shared.current()
                handle._kind = ONCE
            shared.leave()
            self._callback_failed(handle, error)
        finally:
            if handle._kind < LASTING:
                handle._empty()
        return 0

    def _run(self, handle: Handle, queue: list[Any], place: int) -> int:
        """Run `handle` by hand. It may be in the queue or among the timers as well, and be run again from there.

        queue, place: what becomes None as it begins.
        """
        current = self._current_id
        self._current_id = handle.id
        try:
            if self._instrument is None:
                error = self._run_plainly(handle, queue, place)
            else:
                error = self._run_watched(handle, self._instrument, queue, place)
            if error is not None:
                self._callback_failed(handle, error)
        finally:
            if self._unsettled and not self._turning:
                self._settle()
            self._current_id = current
        return 0

    def fire(self, source: Handle) -> None:
        """Have a handle that does its own work do it; raises what it raises."""
        error = source._fire()
        if error is not None:
            raise error

    def run_by(self, run: Callable[[Handle], BaseException | None] | None) -> None:
        """While an instrument watches, have `run` run every handle and return what came out of it; None: the engine."""
        self._run_by = run

    def _run_plainly(self, handle: Handle, queue: list[Any], place: int) -> BaseException | None:
        """Run `handle`, which leaves its place in the queue as it begins."""
        if not COMPILED and handle._args is not None and self._run_by is None:
            try:
                queue[place] = None; handle._snapshot.run(handle._callback, *handle._args)  # noqa: E702  # fmt: skip
            except BaseException as failure:
                if queue[place] is handle:  # as in `_turn`
                    raise
                return failure
            return None
        queue[place] = None
        if self._run_by is not None:
            return self._run_by(handle)
        if handle._kind == SOURCE:
            return handle._fire()
        if handle._args is None:
            return None  # it has run
        return run_in_context(self._own_context(handle), handle._callback, handle._args)

    def queue_source(self, source: Handle) -> int:
        """Fire `source` in the next turn again: more has come than it took."""
        self._last_id += 1
        source.id = self._last_id
        source.cause = 0
        self._queue.append(source)
        return 0

    def settle_later(self, handle: Handle) -> int:
        """Have `handle._settle` called once, when this turn ends.

        Earlier, when a callback has returned and what is put off weighs OWED_MOST; whoever puts it off adds that.
        """
        self._unsettled.append(handle)
        return 0

    def hurry(self) -> int:
        """Do what is put off when the handle that runs now has returned."""
        self._owed = OWED_MOST
        return 0

    def settle(self) -> None:
        """Do now what is put off to the turn's end."""
        current = self._current_id
        if current and self._unsettled:  # 0: nothing runs, or it is being done
            try:
                self._settle()
            finally:
                self._current_id = current

    def _settle(self) -> int:
        self._current_id = 0
        self._owed = 0
        unsettled = self._unsettled
        try:
            while True:
                if self._settled >= len(unsettled):  # it may get longer, and what is done may come here again
                    break
                if COMPILED:
                    handle = self._nth(unsettled, self._settled)
                    self._settled += 1
                    handle._settle()
                else:
                    self._settle_one(unsettled[self._settled])
        finally:
            if self._settled == len(unsettled) == 1:
                pop_last(unsettled); self._settled = 0  # noqa: E702  # fmt: skip  # an eighth of what the next takes
            else:
                del unsettled[: self._settled]; self._settled = 0  # noqa: E702  # fmt: skip
        return 0

    def _settle_one(self, handle: Handle) -> None:
        """Uncompiled: a signal's handler may raise in the midst of it, and then it is done again."""
        try:
            self._settled += 1
            handle._settle()
        except BaseException:
            self._unsettled.append(handle)
            raise

    def _run_watched(
        self, handle: Handle, instrument: Instrument, queue: list[Any], place: int
    ) -> BaseException | None:
        """Run `handle` between the instrument's two calls; an instrument that fails is taken away, not the handle.

        It leaves the queue where it begins.
        """
        try:
            instrument.before(handle)
        except Exception as failure:
            self._instrument_failed(instrument, failure)
        error = self._run_plainly(handle, queue, place)
        if self._instrument is instrument or self._is_watched_by(instrument):
            try:
                instrument.after(handle)
            except Exception as failure:
                self._instrument_failed(instrument, failure)
        return error

    def set_instrument(self, instrument: Instrument | None) -> None:
        """Have `instrument` told of every handle before and after it runs; None: nobody."""
        self._instrument = instrument

    def scheduled(self) -> list[Handle]:
        """The handles that will run unless they are cancelled: the ready ones in their order, then the timers."""
        ready = self._queue[self._head :]
        return [handle for handle in [*ready, *self._timers.pending()] if handle is not None and not handle._cancelled]

    def get_debug(self) -> bool:
        """Whether debug mode is on."""
        return bool(self._debug)

    def is_running(self) -> bool:
        """Whether it turns just now."""
        return self._thread_id is not None

    def is_closed(self) -> bool:
        """Whether it is closed."""
        return bool(self._closed)

    def is_turning(self) -> bool:
        """Whether a turn is going on: one of a run, or one that somebody makes by hand."""
        if COMPILED or not self._turning:
            return bool(self._turning)
        frame: Any = sys._getframe()  # a signal's handler may have ended a turn in its last lines
        while frame is not None and not (frame.f_code is TURN and frame.f_locals.get("self") is self):
            frame = frame.f_back
        return frame is not None

    def in_own_thread(self) -> bool:
        """Whether the caller is in the thread that runs this engine."""
        return self._thread_id == get_ident()

    def _forget_all(self) -> None:
        """Drop everything that is scheduled."""
        if self._turning:
            self._queue[:] = [None] * len(self._queue)
        else:
            del self._queue[:]
            self._head = 0
        self._timers.clear()

    # -- asked of the loop that is built on the engine ------------------------------------------------------------

    def _check_call(self, callback: Callable[..., object], method: str, same_thread: bool) -> None:
        """Raise if the loop is closed, or (in debug mode) the callback or the thread is wrong."""

    def _note_created(self, handle: Handle) -> None:
        """In debug mode: a handle was made by the caller's caller."""

    def _callback_failed(self, handle: Handle, error: BaseException) -> None:
        """A callback raised `error`. Report it, or raise it to stop the loop."""
        raise error

    def _instrument_failed(self, instrument: Instrument, error: Exception) -> None:
        """An instrument raised `error`: report it and take it away."""
        self._instrument = None

    def _is_watched_by(self, instrument: Instrument) -> bool:
        """Whether `instrument` is still told of handles, beside others by now."""
        return False

    def _nothing_comes(self) -> None:
        """It waits with no timer set and no descriptor watched, and nothing has come for a while."""

    def _wake(self) -> None:
        """Make a waiting poll return; may be called from any thread."""
        raise NotImplementedError


if not COMPILED:
    Engine._closed = True  # as `__cinit__`, which only compiled code has

TIME: Any = Engine.time
TURN: Any = getattr(getattr(Engine, "_turn", None), "__code__", None)  # what runs a turn, uncompiled


class Time:
    """A loop's `time`: a method that a program may replace on one loop, as tests do. Timers go by what it put there."""

    def __get__(self, engine: Any, owner: Any) -> Any:
        return TIME if engine is None else self._of(engine)

    def _of(self, engine: Any) -> Any:
        loop = engine
        own = loop._own_time
        return bind(TIME, loop) if own is None else own

    def __set__(self, engine: Any, time: Callable[[], float]) -> None:
        engine.keep_time_by(time)

    def __delete__(self, engine: Any) -> None:
        if engine._own_time is None:
            raise AttributeError("time was not replaced on this loop")
        engine.keep_time_by(None)
