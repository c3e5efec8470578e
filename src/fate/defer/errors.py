"""The errors of `fate.defer`, under the names that Twisted gave them.

All of them are errors of `fate.errors.FateError` as well. Nothing else lives here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fate.errors import DeferredError


class AlreadyCalledError(DeferredError):
    """A Deferred was fired a second time. `made_by` says where it was made, if that is known."""

    made_by = ""

    def __str__(self) -> str:
        maker = f", which was made by {self.made_by}," if self.made_by else ""
        return (
            super().__str__() or f"this Deferred{maker} has been fired already; fate.defer.setStory(True) tells by whom"
        )


class CallbackError(DeferredError, TypeError):
    """What was added to a Deferred cannot be called."""


class CancelledError(DeferredError):
    """A Deferred was cancelled."""


class TimeoutError(DeferredError):
    """A Deferred timed out."""


class NotACoroutineError(DeferredError, TypeError):
    """Something else was given where a coroutine is needed."""


class NoCurrentExceptionError(DeferredError):
    """A Failure of the current exception was asked for, and there is none."""


class QueueOverflow(DeferredError):
    """A DeferredQueue holds as many objects as it may."""


class QueueUnderflow(DeferredError):
    """As many wait for a DeferredQueue's objects as may."""


class WaitsForItselfError(DeferredError, RecursionError):
    """A Deferred was cancelled that waits for itself through others, in a circle."""


class AlreadyTryingToLockError(DeferredError):
    """`deferUntilLocked` was called while an earlier call waits."""


class FirstError(DeferredError):
    """The first failure among the Deferreds of a DeferredList with `fireOnOneErrback`.

    subFailure: that Failure. index: which Deferred it was.
    """

    def __init__(self, failure: Any, index: int) -> None:
        super().__init__(failure, index)
        self.subFailure = failure
        self.index = index

    def __repr__(self) -> str:
        return f"FirstError[#{self.index}, {self.subFailure.value!r}]"

    def __str__(self) -> str:
        return f"FirstError[#{self.index}, {self.subFailure}]"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FirstError):
            return NotImplemented
        return bool(self.index == other.index and self.subFailure == other.subFailure)

    def __hash__(self) -> int:
        return hash((self.index, self.subFailure))


class FailureGroup(DeferredError):
    """Every one of the raced Deferreds failed; `failures` are theirs, in order."""

    def __init__(self, failures: Sequence[Any]) -> None:
        super().__init__()
        self.failures = failures
