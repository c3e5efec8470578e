# cython: nonecheck=False
"""Handles: one scheduled callback each.

A handle knows what it will call, in which context, its own id and the id of the handle that was running when it
was made: its cause. Ids count up from 1 in each engine; cause 0 means the world outside (the program's start,
another thread, a packet). A timer handle also knows its time and its place among the timers.

The attribute names that begin with an underscore are those of `asyncio.Handle`, which other people's code reads.
Whatever schedules or runs handles lives in `engine` and `timers`.
"""

from __future__ import annotations

from contextvars import Context
from typing import TYPE_CHECKING, Any

from fate._native import recycle

# A handle's kind.
ONCE = 0  # it runs once, in a context of its own
SHARING = 1  # it runs once, in a copy of a context that nobody ever runs in, which it shares with others
LASTING = 2  # it is run again and again: a descriptor's reader or writer
SOURCE = 3  # as LASTING, and it does its own work: it is fired, not called

READY = -1  # a timer handle's slot when it is among the ready ones, has run, or was cancelled


_shown_as: Any = None  # by `isinstance`: a handle, and a timer handle


def show_as(handle: type, timer: type, safe: type) -> None:
    """Have `isinstance` take handles, timers and those for other threads for such ones too: a compiled class cannot
    inherit a Python one.

    Subclasses stay what they are.
    """
    global _shown_as
    _shown_as = {Handle: handle, TimerHandle: timer, SafeHandle: safe}


def again(callback: Any) -> Any:
    """Mark a callback of Fate's own that is to be called once more when an interrupt ends it: it goes on from there."""
    callback.again = True
    return callback


class Owner:
    """What a handle needs of the engine that it belongs to."""

    def _forget_timer(self, timer: TimerHandle) -> int:
        """Take `timer` from among the pending ones."""
        raise NotImplementedError

    def _now(self) -> float:
        """The time on the engine's clock, in seconds."""
        raise NotImplementedError

    def _file_again(self, timer: TimerHandle) -> int:
        """Put `timer`, whose time has been changed or which is running, among the pending ones."""
        raise NotImplementedError

    def _describe_handle(self, handle: Handle) -> str:
        """The `repr` of a handle that has not run."""
        raise NotImplementedError

    def _stack_of(self, handle: Handle) -> Any:
        """In debug mode, the stack that made `handle`, a `traceback.StackSummary`; else None."""
        raise NotImplementedError

    def _context_of(self, handle: Handle) -> Context:
        """The context that `handle` will run in."""
        raise NotImplementedError

    def run_handle(self, handle: Handle) -> None:
        """Run one handle now, as a turn would."""
        raise NotImplementedError

    def _wait_for(self, handle: Handle) -> int:
        """Wait until `handle` has run, if it runs in another thread; returns 1 if it runs in this one."""
        raise NotImplementedError


class Handle:
    """One scheduled callback, as returned by `call_soon` and its kin.

    Its `id` counts up from 1 in each Fate; its `cause` is the id of the callback that scheduled it, 0 for the world
    outside.
    """

    __slots__ = (
        "__weakref__", "_args", "_callback", "_cancelled", "_index", "_kind", "_loop", "_snapshot", "cause", "id",
    )  # fmt: skip

    if TYPE_CHECKING:
        _callback: Any  # a callable; these three are None once the handle is empty
        _args: Any  # a tuple
        _snapshot: Any  # a contextvars.Context
        _loop: Owner | None
        _cancelled: bool
        _kind: int  # the engine's affair
        _index: int  # of a source, the poll's affair (`Poll.set_source`); of a timer, its place
        id: int
        cause: int

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        cls = type(self)
        return cls if _shown_as is None else _shown_as.get(cls, cls)

    def cancel(self) -> None:
        """Take the callback back. A second call, or one after it ran, does nothing."""
        if not self._cancelled:
            self._cancelled = True
            self._empty()

    def _empty(self) -> int:
        """Let go of everything: it has run, or will not. An empty handle keeps nothing alive."""
        self._loop = None
        self._callback = None
        self._args = None
        self._snapshot = None
        return 0

    def _fire(self) -> BaseException | None:
        """What a handle does that has no callback: one that is a descriptor's reader. What it raises is returned."""
        raise NotImplementedError

    def _settle(self) -> int:
        """Do what was put off to the end of the turn."""
        raise NotImplementedError

    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled != 0  # a char when compiled

    def get_context(self) -> Context | None:
        """The context that the callback runs in; None when it has run or was cancelled."""
        return None if self._loop is None else self._loop._context_of(self)

    @property
    def _context(self) -> Context | None:
        return self.get_context()

    def _run(self) -> None:
        """Call the callback now, as a turn would. For those who drive handles by hand."""
        if self._loop is not None:
            self._loop.run_handle(self)

    @property
    def _source_traceback(self) -> Any:
        return None if self._loop is None else self._loop._stack_of(self)

    def __repr__(self) -> str:
        if self._loop is not None:
            return self._loop._describe_handle(self)
        return f"<{type(self).__name__} {self.id} {'cancelled' if self._cancelled else 'finished'}>"


class SafeHandle(Handle):
    """A callback that any thread may take back: when `cancel` has returned, it has returned, or will not be called."""

    __slots__ = ()

    def cancel(self) -> None:
        """As `Handle.cancel`; in another thread than the loop's, wait until the callback has returned if it runs."""
        loop = self._loop
        if loop is not None and loop._wait_for(self):
            self._cancelled = True  # and it is empty when it has run
        else:
            Handle.cancel(self)

    def cancelled(self) -> bool:
        """Whether `cancel` was called; in another thread, wait as `cancel` does."""
        loop = self._loop
        if loop is not None:
            loop._wait_for(self)
        return self._cancelled != 0


class TimerHandle(Handle):
    """A callback scheduled for a time on the engine's clock, in seconds."""

    __slots__ = ("_slot", "_when")

    if TYPE_CHECKING:
        _when: float
        _slot: int

    def when(self) -> float:
        """The time it is due, in seconds on `loop.time()`'s clock."""
        return self._when

    @property
    def _scheduled(self) -> bool:
        return self._slot != READY

    def cancel(self) -> None:
        """Take the callback back and free its place among the timers at once."""
        if not self._cancelled:
            self._cancelled = True
            if self._slot != READY and self._loop is not None:
                self._loop._forget_timer(self)
            self._loop = self._callback = self._args = self._snapshot = None

    def __hash__(self) -> int:
        return self.id  # compiled, a class with an order has no hash of its own

    def _before(self, other: TimerHandle) -> bool:
        return self._when < other._when or (self._when == other._when and self.id < other.id)

    def __lt__(self, other: TimerHandle) -> bool:
        """Earlier first; of two at the same time, the one made first."""
        return self._before(other)


HANDLES = recycle(Handle, False, 1024)  # about as many as one turn makes
recycle(TimerHandle, True, 256)
recycle(SafeHandle, False, 256)
