"""System events: what a program wants done when the reactor starts and stops, in three phases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fate.defer import Deferred, DeferredList

PHASES = ("before", "during", "after")

Trigger = tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]
TriggerID = tuple[str, str, Trigger]


class Triggers:
    """The triggers of all events of one reactor.

    report: is told of an exception that a trigger raised; the other triggers are called all the same.
    soon: calls a function soon, as the reactor's loop does. What it raises then is not the error of a Deferred that was
        waited for: a SystemExit ends the program, as it does everywhere in this reactor.
    """

    def __init__(self, report: Callable[[BaseException], None], soon: Callable[[Callable[[], None]], object]) -> None:
        self._report = report
        self._soon = soon
        self._events: dict[str, dict[str, list[Trigger]]] = {}

    def add(self, phase: str, event: str, func: Callable[..., object], args: Any, kw: Any) -> TriggerID:
        """Have `func` called in that phase of the event. Raises ValueError for a phase that does not exist."""
        if phase not in PHASES:
            raise ValueError(f"no phase {phase!r}: there are 'before', 'during' and 'after'")
        if not callable(func):
            raise TypeError(f"{func!r} is not callable")
        trigger = (func, args, kw)
        self._events.setdefault(event, {phase: [] for phase in PHASES})[phase].append(trigger)
        return event, phase, trigger

    def remove(self, trigger: TriggerID) -> None:
        """Take one back. Raises ValueError if it was removed or has been called."""
        try:
            event, phase, what = trigger
            self._events[event][phase].remove(what)
        except (TypeError, KeyError, ValueError):
            raise ValueError(f"{trigger!r} is no trigger that is still to be called") from None

    def fire(self, event: str, done: Callable[[], object] | None = None) -> None:
        """Call the triggers, those of the phase `before` first; a Deferred that one returns is waited for.

        done: called when all have been.
        """
        waited = [result for result in self._call(event, "before") if isinstance(result, Deferred)]

        def rest() -> None:
            try:
                self._call(event, "during")
                self._call(event, "after")
            finally:
                if done is not None:
                    done()

        if waited:
            DeferredList(waited, consumeErrors=True).addCallback(lambda _: self._soon(rest))
        else:
            rest()

    def _call(self, event: str, phase: str) -> list[object]:
        results: list[object] = []
        triggers = self._events.get(event, {}).get(phase, [])
        while triggers:
            func, args, kw = triggers.pop(0)
            try:
                results.append(func(*args, **kw))
            except Exception as error:
                self._report(error)
        return results
