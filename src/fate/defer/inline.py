"""inlineCallbacks and its kin: functions that read from top to bottom and wait for Deferreds.

Nothing here is compiled: what programs decorate stays a plain function. What runs the generators is `stepper`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from functools import wraps
from types import CoroutineType, GeneratorType
from typing import Any, ParamSpec

from fate.defer.deferred import Deferred, failure_class, failure_of, fired_deferred, new_deferred
from fate.defer.errors import NotACoroutineError, TimeoutError
from fate.defer.misuse import ReturnValue, deprecated
from fate.defer.stepper import start

P = ParamSpec("P")


def inlineCallbacks(f: Callable[P, Generator[Any, Any, Any]]) -> Callable[P, Any]:
    """Decorate a generator function: it returns a Deferred of what the generator returns.

    The generator yields Deferreds, and gets their results, or their errors as exceptions, where it yielded. It may
    yield coroutines and generators as well; anything else comes back as it is. Cancelling the Deferred cancels the one
    that the generator waits for. Calling the function raises TypeError if `f` makes no generator.
    """

    @wraps(f)
    def run(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            generator = f(*args, **kwargs)
        except ReturnValue:
            raise TypeError(
                f"inlineCallbacks requires {f!r} to produce a generator; instead caught returnValue being used in a "
                "non-generator"
            ) from None
        if not isinstance(generator, GeneratorType):
            raise TypeError(f"inlineCallbacks requires {f!r} to produce a generator; instead got {generator!r}")
        return start(generator)

    return run


def ensureDeferred(coro: Any) -> Any:
    """A Deferred of what a coroutine returns; a Deferred is returned as it is.

    Raises NotACoroutineError for anything else.
    """
    if isinstance(coro, Deferred):
        return coro
    try:
        return Deferred.fromCoroutine(coro)
    except NotACoroutineError:
        raise NotACoroutineError(f"{coro!r} is not a coroutine or a Deferred") from None


def fromAwaitable(awaitable: Awaitable[Any]) -> Any:
    """A Deferred of what `await awaitable` gives: a fuse, an asyncio Future, anything that can be awaited.

    Where that waits for asyncio, a loop must be running.
    """

    async def wait() -> Any:
        return await awaitable

    return start(wait())


def succeed(result: Any) -> Any:
    """A Deferred that has been fired with `result`."""
    return fired_deferred(result)


def fail(result: Any = None) -> Any:
    """A Deferred that has failed with `result`: a Failure, an exception, or by default the one being handled."""
    deferred = new_deferred(None)
    deferred.errback(result)
    return deferred


def execute(callable: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Any:
    """Call it; a Deferred that has been fired with what it returned, or has failed with what it raised."""
    try:
        result = callable(*args, **kwargs)
    except BaseException:  # whatever it raises is its result
        return fail()
    return fired_deferred(result)


def maybeDeferred(f: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Any:
    """Call `f`; a Deferred of what it returned, be that a value, a Failure, a coroutine or a Deferred."""
    try:
        result = f(*args, **kwargs)
    except BaseException as error:  # whatever it raises is its result
        return fail(failure_of(error))
    if isinstance(result, Deferred):
        return result
    if isinstance(result, failure_class()):
        return fail(result)
    if type(result) is CoroutineType:
        return start(result)
    return fired_deferred(result)


def timeout(deferred: Any) -> None:
    """Deprecated, as in Twisted: have it fail with TimeoutError. Use `addTimeout`."""
    deprecated("timeout", "17.1.0", "twisted.internet.defer.Deferred.addTimeout")
    deferred.errback(failure_of(TimeoutError("Callback timed out")))
