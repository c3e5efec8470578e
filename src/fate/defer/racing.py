"""race: the first result of several Deferreds, the others cancelled. Not compiled: it is used seldom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fate.defer.deferred import Deferred, failure_of
from fate.defer.errors import FailureGroup


def race(ds: Sequence[Any]) -> Any:
    """A Deferred of (index, result) of the first of `ds` that has a result; the others are cancelled then.

    If all fail, it fails with FailureGroup. Cancelling it cancels all of them.
    """
    racers = list(ds)
    failures: dict[int, Any] = {}
    won = False

    def cancel(_: Any) -> None:
        for racer in racers:
            racer.cancel()

    def succeeded(result: Any, index: int) -> None:
        nonlocal won
        if won:
            return
        won = True
        for other, racer in enumerate(racers):
            if other != index:
                racer.cancel()
        final.callback((index, result))

    def failed(failure: Any, index: int) -> None:
        failures[index] = failure
        if len(failures) == len(racers):
            final.errback(failure_of(FailureGroup([failures[index] for index in range(len(racers))])))

    final = Deferred(cancel)
    for index, racer in enumerate(racers):
        racer.addCallbacks(succeeded, failed, callbackArgs=(index,), errbackArgs=(index,))
    return final
