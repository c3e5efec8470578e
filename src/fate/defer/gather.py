# cython: nonecheck=False
"""Several Deferreds as one: DeferredList and gatherResults. `race`, the first of several, is in `racing`.

Each member of a list is waited for by a `Child`, which knows its place; the list is fired by the last of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fate._native import recycle
from fate.defer import report
from fate.defer.deferred import ABSENT, Continuation, Deferred, failure_of, is_failure
from fate.defer.errors import FirstError

SUCCESS = True
FAILURE = False


class Child(Continuation):
    """Waits for one member of a DeferredList."""

    __slots__ = ("group", "index")

    if TYPE_CHECKING:
        group: DeferredList
        index: int

    def resume(self, result: Any) -> Any:
        """The member has `result`, and keeps it unless the list consumes errors."""
        return self.group._finished(self, result)


class DeferredList(Deferred):
    """Is fired with a list of (success, result), one for each of several Deferreds, when all of them have been."""

    __slots__ = (
        "_deferredList", "_values_only", "consumeErrors", "finishedCount", "fireOnOneCallback", "fireOnOneErrback",
        "resultList",
    )  # fmt: skip

    _state = (
        *Deferred._state, "_deferredList", "_values_only", "consumeErrors", "finishedCount", "fireOnOneCallback",
        "fireOnOneErrback", "resultList",
    )  # fmt: skip

    if TYPE_CHECKING:
        _deferredList: list[Any]
        _values_only: bool
        consumeErrors: bool
        finishedCount: int
        fireOnOneCallback: bool
        fireOnOneErrback: bool
        resultList: list[Any]

    def __init__(
        self,
        deferredList: Iterable[Any],
        fireOnOneCallback: bool = False,
        fireOnOneErrback: bool = False,
        consumeErrors: bool = False,
    ) -> None:
        """
        deferredList: the Deferreds. What is added to them before this counts, what is added after does not.
        fireOnOneCallback: be fired with (result, index) by the first that has a result that is no Failure.
        fireOnOneErrback: fail with FirstError by the first that fails.
        consumeErrors: members that fail have None as their result from then on.
        """
        self._prepare(None)
        self._deferredList = list(deferredList)
        self.fireOnOneCallback = fireOnOneCallback
        self.fireOnOneErrback = fireOnOneErrback
        self.consumeErrors = consumeErrors
        self._values_only = False
        self._gather()

    def _gather(self) -> int:
        self.resultList = [None] * len(self._deferredList)
        self.finishedCount = 0
        if not self._deferredList and not self.fireOnOneCallback:
            self.callback([])
        for index, deferred in enumerate(self._deferredList):
            child = Child.__new__(Child)
            child.follow = None
            child.group = self
            child.index = index
            if isinstance(deferred, Deferred):
                member = deferred
                member._append(child)
                if member.called:
                    member._run()
            else:
                deferred.addBoth(child)
        return 0

    def _finished(self, child: Child, result: Any) -> Any:
        failed = is_failure(result)
        self.resultList[child.index] = result if self._values_only else (not failed, result)
        self.finishedCount += 1
        if not self.called:
            fired = False
            if not failed and self.fireOnOneCallback:
                fired = self._fire((result, child.index)) != 0
            elif failed and self.fireOnOneErrback:
                fired = self._fire(failure_of(FirstError(result, child.index))) != 0
            elif self.finishedCount == len(self.resultList):
                fired = self._fire(self.resultList) != 0
            if fired:
                child.follow = self
        return None if failed and self.consumeErrors else result

    def cancel(self, msg: Any = ABSENT) -> None:
        """Cancel every member, unless this has been fired."""
        if msg is not ABSENT:
            Deferred.cancel(self, msg)
        elif not self.called:
            for deferred in self._deferredList:
                try:
                    deferred.cancel()
                except BaseException as error:  # the others are to be cancelled all the same
                    report.reporter().log(failure_of(error), "Exception raised from user supplied canceller")


def gatherResults(deferredList: Iterable[Any], consumeErrors: bool = False) -> Any:
    """A Deferred of the list of the results of several Deferreds; it fails with FirstError when the first fails.

    consumeErrors: members that fail have None as their result from then on. Cancelling it cancels all of them.
    """
    group = DeferredList.__new__(DeferredList)
    group._prepare(None)
    group._deferredList = list(deferredList)
    group.fireOnOneCallback = False
    group.fireOnOneErrback = True
    group.consumeErrors = consumeErrors
    group._values_only = True
    group._gather()
    return group


recycle(Child, True, 1024)
