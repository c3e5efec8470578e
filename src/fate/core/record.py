"""The recorder: which handle ran when, and which handle caused it.

An instrument (see `engine.Instrument`) that keeps the last handles in a ring: id, cause, start and end in
nanoseconds, and what was called. With it, the loop's exception handler gets the chain of causes of a failure.
What is made of the records (timelines, pictures, questions to a running program) lives elsewhere.
"""

from __future__ import annotations

from typing import NamedTuple

from fate._native import clock_ns
from fate.core.handle import Handle


class Record(NamedTuple):
    """One callback that ran.

    id, cause: its number, and the number of the callback that scheduled it; cause 0 means the world outside.
    start, end: when it ran, in nanoseconds on `time.monotonic_ns()`'s clock; of one that runs still, the end is now.
    what: the function's name, or "task" and the coroutine's.
    """

    id: int
    cause: int
    start: int
    end: int
    what: str


class Recorder:
    """An instrument that keeps which callbacks ran last, when, and what caused them.

    capacity: how many to keep; the oldest makes room.
    Switch it on with `fate.set_instrument(recorder)`. The loop's exception handler then gets the chain of causes of a
    failure, as `context["causes"]`, a list of `Record`. Any thread may ask it, also while a callback blocks the loop.
    """

    def __init__(self, capacity: int = 4096) -> None:
        if capacity < 1:
            raise ValueError(f"a recorder keeps at least one handle, not {capacity}")
        self.capacity = capacity
        self._ring: list[tuple[int, int, int, int, object] | None] = [None] * capacity
        self._next = 0
        self._running: list[tuple[int, int, int, object]] = []  # innermost last: a handle may run another

    def before(self, handle: Handle) -> None:
        """Note what is about to run."""
        what = handle if handle._callback is None else handle._callback  # what has none does its own work
        self._running.append((handle.id, handle.cause, clock_ns(), what))

    def after(self, handle: Handle) -> None:
        """Keep it."""
        id, cause, start, what = self._running.pop()
        self._ring[self._next % self.capacity] = (id, cause, start, clock_ns(), what)
        self._next += 1

    def running(self) -> list[Record]:
        """What runs now, innermost last; more than one where a callback runs another."""
        now = clock_ns()
        return [Record(id, cause, start, now, _name(what)) for id, cause, start, what in list(self._running)]

    def records(self) -> list[Record]:
        """What was kept, oldest first, and then what runs now."""
        first = self._next % self.capacity
        kept = self._ring[first:] + self._ring[:first]
        return [Record(*entry[:4], _name(entry[4])) for entry in kept if entry is not None] + self.running()

    def chain(self, id: int) -> list[Record]:
        """The handle `id`, what caused it, what caused that, and so on, as far back as was kept."""
        known = {record.id: record for record in self.records()}
        chain: list[Record] = []
        while id in known:
            chain.append(known.pop(id))
            id = chain[-1].cause
        return chain

    def taken_away(self) -> None:
        """The loop tells it nothing any more, not even how what runs now ends."""
        self._running.clear()


def _name(callback: object) -> str:
    """What was called, in a few words: the coroutine of a task's step, or the function's qualified name."""
    owner = getattr(callback, "__self__", None)
    get_coro = getattr(owner, "get_coro", None)
    coroutine = get_coro() if get_coro is not None else None
    if coroutine is not None:
        return f"task {getattr(coroutine, '__qualname__', coroutine)!s}"
    function = getattr(callback, "func", callback)
    return str(getattr(function, "__qualname__", None) or repr(function))
