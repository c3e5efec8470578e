"""Deferreds and asyncio: a Future from a Deferred, a Deferred from a Future or a coroutine, a task that awaits one.

No loop is chosen here: it is the Future's, the caller's, or the one whose task awaits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from functools import partial
from types import GeneratorType
from typing import Any

from fate.defer.debug import DebugInfo
from fate.defer.errors import NotACoroutineError


def is_coroutine(thing: object) -> bool:
    """Whether it is a generator, or a coroutine of any kind."""
    return isinstance(thing, (GeneratorType, Coroutine))


def from_coroutine(coro: Any, starter: Callable[[Any], Any]) -> Any:
    """See `Deferred.fromCoroutine`."""
    if is_coroutine(coro):
        return starter(coro)
    raise NotACoroutineError(f"{coro!r} is not a coroutine")


def as_future(deferred: Any, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Any]:
    """See `Deferred.asFuture`."""
    future: asyncio.Future[Any] = loop.create_future()

    def succeeded(result: Any) -> None:
        if not future.done():
            future.set_result(result)

    def failed(failure: Any) -> None:
        if future.done():
            return
        error = failure.value
        if isinstance(error, StopIteration):  # which no Future takes; what a coroutine that raised it would raise
            error = RuntimeError("a Deferred failed with StopIteration")
            error.__cause__ = failure.value
        future.set_exception(error)

    def done(_: asyncio.Future[Any]) -> None:
        if future.cancelled():
            deferred.cancel()

    deferred.addCallbacks(_InLoop(loop, succeeded), _InLoop(loop, failed))
    future.add_done_callback(done)
    return future


class _InLoop:
    """A callback that a loop calls if it runs in another thread."""

    thread_safe = True

    def __init__(self, loop: asyncio.AbstractEventLoop, f: Callable[[Any], None]) -> None:
        self.loop = loop
        self.f = f

    def __call__(self, result: Any) -> None:
        if asyncio._get_running_loop() is self.loop or not self.loop.is_running():
            self.f(result)
        else:
            self.loop.call_soon_threadsafe(self.f, result)


def from_future(cls: Any, future: Any) -> Any:
    """See `Deferred.fromFuture`."""
    cancelled = object()
    receiver: Any = None  # the Deferred that gets the Future's result; another once the first is cancelled

    def cancel(deferred: Any) -> None:
        future.cancel()
        deferred.callback(cancelled)

    def wait_on(result: Any) -> Any:
        nonlocal receiver
        if result is not cancelled:
            return result
        receiver = cls()
        return receiver

    def done(_: object) -> None:
        nonlocal receiver
        deferred, receiver = receiver, None
        try:
            result = future.result()
        except BaseException as error:
            deferred.errback(error)
        else:
            deferred.callback(result)

    made = receiver = cls(cancel)
    made.addCallback(wait_on)
    future.add_done_callback(done)
    return made


class Fired:
    """What a task is woken with: it asks for `result()`, and what is awaited gives the real one."""

    def result(self) -> None:
        """Nothing to raise."""


_FIRED = Fired()


class AwaitedByTask:
    """An attribute that asyncio's tasks want of what a coroutine yields, which is a Deferred where one is awaited.

    A Deferred has it while a loop runs in this thread. The class has not, for asyncio takes an object for a Future if
    its class has `_asyncio_future_blocking`: `wait_for`, `gather` and `ensure_future` await a Deferred like any other
    awaitable.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, deferred: Any, cls: type) -> Any:
        loop = asyncio._get_running_loop()
        if deferred is None or loop is None:
            raise AttributeError(f"{cls.__name__!r} object has no attribute {self.name!r}")
        if self.name == "_asyncio_future_blocking":
            return True
        if self.name == "get_loop":
            return lambda: loop
        return partial(_add_done_callback, deferred, loop)

    def __set__(self, deferred: Any, value: object) -> None:
        """The task says that it has taken note."""


def _add_done_callback(
    deferred: Any, loop: asyncio.AbstractEventLoop, callback: Callable[[Any], object], *, context: Context | None = None
) -> None:
    deferred.addBoth(_WakesTask(loop, callback, context))


class _WakesTask:
    """The callback of a task that awaits a Deferred: passes the result on."""

    thread_safe = True

    def __init__(
        self, loop: asyncio.AbstractEventLoop, callback: Callable[[Any], object], context: Context | None
    ) -> None:
        self.loop = loop
        self.callback = callback
        self.context = context

    def __call__(self, result: Any) -> Any:
        if asyncio._get_running_loop() is self.loop:
            self.loop.call_soon(self.callback, _FIRED, context=self.context)
        else:  # in another thread, maybe
            with suppress(RuntimeError):  # the loop is closed: the task is gone, and the result is for others
                self.loop.call_soon_threadsafe(self.callback, _FIRED, context=self.context)
        return result


def given_up_by_task(deferred: Any) -> None:
    """`deferred` is about to be cancelled by a task: the CancelledError that comes of it is nobody's to handle.

    It stays the result nevertheless, for another task may await the same Deferred.
    """
    if deferred._debugInfo is None:
        deferred._debugInfo = DebugInfo()
    deferred._debugInfo.given_up = True


def is_awaited_future(thing: object) -> bool:
    """Whether a coroutine awaits `thing`, an asyncio Future."""
    return getattr(thing, "_asyncio_future_blocking", None) is True


def resume_when_done(future: Any, resume: Callable[[Any], object]) -> None:
    """Have `resume(None)` called when an awaited Future is done; the coroutine asks that for the result."""
    future._asyncio_future_blocking = False
    future.add_done_callback(lambda _: resume(None))
