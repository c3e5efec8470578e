"""`Deferred.addTimeout`: a Deferred that is cancelled when its time is over. The clock is the caller's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fate.defer.errors import CancelledError, TimeoutError


def _cancelledToTimedOutError(value: Any, timeout: float) -> Any:
    """A Failure of CancelledError becomes TimeoutError, another is raised, all else is returned."""
    if hasattr(value, "trap"):
        value.trap(CancelledError)
        raise TimeoutError(timeout, "Deferred")
    return value


def add_timeout(deferred: Any, seconds: float, clock: Any, translate: Callable[[Any, float], Any] | None) -> Any:
    """See `Deferred.addTimeout`."""
    is_over = False

    def time_is_over() -> None:
        nonlocal is_over
        is_over = True
        deferred.cancel()

    timer = clock.callLater(seconds, time_is_over)

    def translated(result: Any) -> Any:
        return (translate or _cancelledToTimedOutError)(result, seconds) if is_over else result

    def stop(result: Any) -> Any:
        if timer.active():
            timer.cancel()
        return result

    return deferred.addBoth(translated).addBoth(stop)
