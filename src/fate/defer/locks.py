"""Locks and queues whose waiting is a Deferred: DeferredLock, DeferredSemaphore, DeferredQueue.

They belong to one thread, as Deferreds do. Waiters are served first come, first served; one that is cancelled is taken
from the line.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import GenericAlias, TracebackType
from typing import Any, ParamSpec

from fate.defer.deferred import Deferred
from fate.defer.errors import QueueOverflow, QueueUnderflow
from fate.defer.inline import maybeDeferred, succeed
from fate.defer.lines import Pending, Waiting

P = ParamSpec("P")


class _ConcurrencyPrimitive(ABC):
    """What DeferredLock and DeferredSemaphore share: `run`, and `async with`."""

    def __init__(self) -> None:
        self.waiting = Waiting()

    @abstractmethod
    def acquire(self) -> Any:
        """A Deferred of this object, fired when it is the caller's."""

    @abstractmethod
    def release(self) -> None:
        """Give it back; whoever waits first has it now."""

    def _cancelAcquire(self, d: Any) -> None:
        self.waiting.remove(d)

    def _releaseAndReturn(self, result: Any) -> Any:
        self.release()
        return result

    def run(self, f: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Acquire, call `f`, release when what it returned (a value, a Deferred, a coroutine) is there.

        Returns a Deferred of the result of `f`.
        """

        def call(_: Any) -> Any:
            return maybeDeferred(f, *args, **kwargs).addBoth(self._releaseAndReturn)

        return self.acquire().addCallback(call)

    def __aenter__(self) -> Any:
        return self.acquire()

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Any:
        self.release()
        return succeed(False)


class DeferredLock(_ConcurrencyPrimitive):
    """A lock. `locked` says whether somebody has it."""

    locked = False

    def acquire(self) -> Any:
        """A Deferred of the lock, fired when it is the caller's."""
        deferred = Deferred(self._cancelAcquire)
        if self.locked:
            self.waiting.append(deferred)
        else:
            self.locked = True
            deferred.callback(self)
        return deferred

    def release(self) -> None:
        """Give it back; whoever waits first has it now. Raises AssertionError if nobody has it."""
        if not self.locked:
            raise AssertionError("Tried to release an unlocked lock")
        self.locked = False
        if self.waiting:
            self.locked = True
            self.waiting.pop(0).callback(self)


class DeferredSemaphore(_ConcurrencyPrimitive):
    """A semaphore. `limit` is how many may have it at once, `tokens` how many more could have it now."""

    def __init__(self, tokens: int) -> None:
        """tokens: how many may have it at once. Raises ValueError if that is less than 1."""
        super().__init__()
        if tokens < 1:
            raise ValueError("DeferredSemaphore requires tokens >= 1")
        self.tokens = tokens
        self.limit = tokens

    def acquire(self) -> Any:
        """A Deferred of the semaphore, fired when one of its tokens is the caller's."""
        deferred = Deferred(self._cancelAcquire)
        if not self.tokens:
            self.waiting.append(deferred)
        else:
            self.tokens -= 1
            deferred.callback(self)
        return deferred

    def release(self) -> None:
        """Give a token back; whoever waits first has it now. Raises AssertionError if all tokens are here."""
        if self.tokens >= self.limit:
            raise AssertionError("Someone released me too many times: too many tokens!")
        self.tokens += 1
        if self.waiting:
            self.tokens -= 1
            self.waiting.pop(0).callback(self)


class DeferredQueue:
    """A queue: `put` objects, `get` Deferreds of them.

    size: how many objects it holds at most, backlog: how many may wait for one; None for any number.
    """

    def __init__(self, size: int | None = None, backlog: int | None = None) -> None:
        self.waiting = Waiting()
        self.pending = Pending()
        self.size = size
        self.backlog = backlog

    def __class_getitem__(cls, item: Any) -> GenericAlias:
        return GenericAlias(cls, item)

    def _cancelGet(self, d: Any) -> None:
        self.waiting.remove(d)

    def put(self, obj: Any) -> None:
        """Add an object, or give it to whoever waits first. Raises QueueOverflow if the queue is full."""
        if self.waiting:
            self.waiting.pop(0).callback(obj)
        elif self.size is None or len(self.pending) < self.size:
            self.pending.append(obj)
        else:
            raise QueueOverflow(f"the queue holds {self.size} objects, and that is its size")

    def get(self) -> Any:
        """A Deferred of the next object. Raises QueueUnderflow if as many wait as may."""
        if self.pending:
            return succeed(self.pending.pop(0))
        if self.backlog is None or len(self.waiting) < self.backlog:
            deferred = Deferred(self._cancelGet)
            self.waiting.append(deferred)
            return deferred
        raise QueueUnderflow(f"{self.backlog} wait for the queue's next object, and that is its backlog")
