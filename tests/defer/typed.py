"""Programs that mypy checks in strict mode (`make check`); nobody runs them."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, assert_type

from fate import Deferred
from fate.defer import (
    DeferredList,
    DeferredLock,
    DeferredQueue,
    Failure,
    ensureDeferred,
    fromAwaitable,
    gatherResults,
    inlineCallbacks,
    maybeDeferred,
    race,
    succeed,
)


def text(number: int) -> str:
    return str(number)


def later(number: int) -> Deferred[str]:
    return succeed(str(number))


def add(number: int, other: int, *, times: int = 1) -> float:
    return (number + other) * times / 2


def recover(failure: Failure) -> None:
    failure.trap(ValueError)


def reraise(failure: Failure) -> Failure:
    return failure


async def coroutine(number: int) -> bytes:
    return b"x" * await succeed(number)


@inlineCallbacks
def generator(number: int) -> Generator[Deferred[Any], Any, list[int]]:
    result = yield succeed(number)
    return [result]


async def awaiting() -> None:
    assert_type(await succeed(1), int)
    assert_type(await generator(1), list[int])


def callbacks(d: Deferred[int]) -> None:
    assert_type(d.addCallback(text), Deferred[str])
    assert_type(d.addCallback(later), Deferred[str])
    assert_type(d.addCallback(add, 1, times=2), Deferred[float])
    assert_type(d.addErrback(recover), Deferred[int | None])
    assert_type(d.addErrback(reraise), Deferred[int])
    assert_type(d.addCallbacks(text, recover), Deferred[str | None])
    assert_type(d.asFuture(asyncio.new_event_loop()), asyncio.Future[int])
    d.callback(1)
    d.errback(ValueError())


def makers() -> None:
    assert_type(gatherResults([succeed(1), succeed(2)]), Deferred[list[int]])
    assert_type(race([succeed(1)]), Deferred[tuple[int, int]])
    assert_type(maybeDeferred(text, 1), Deferred[str])
    assert_type(maybeDeferred(later, 1), Deferred[str])
    assert_type(maybeDeferred(coroutine, 1), Deferred[bytes])
    assert_type(ensureDeferred(coroutine(1)), Deferred[bytes])
    assert_type(Deferred.fromCoroutine(coroutine(1)), Deferred[bytes])
    assert_type(fromAwaitable(coroutine(1)), Deferred[bytes])
    assert_type(generator(1), Deferred[list[int]])
    assert_type(DeferredLock().run(text, 1), Deferred[str])
    assert_type(DeferredLock().run(later, 1), Deferred[str])
    queue: DeferredQueue[int] = DeferredQueue()
    assert_type(queue.get(), Deferred[int])
    assert_type(DeferredList([succeed(1), succeed("x")]).called, bool)


def wrong(d: Deferred[int], s: Deferred[str]) -> None:
    d.callback("x")  # type: ignore[arg-type]
    d.addCallback(add)  # type: ignore[call-overload]
    s.addCallback(text)  # type: ignore[call-overload]
    d.addErrback(text)  # type: ignore[call-overload]
    d = s  # type: ignore[assignment]
