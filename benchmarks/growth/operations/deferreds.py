"""Deferreds, and what stands on them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from benchmarks.growth.operations.common import ORDERS, ordered
from benchmarks.growth.registry import operation
from fate import Fate
from fate.defer import (
    Deferred,
    DeferredList,
    DeferredLock,
    DeferredQueue,
    DeferredSemaphore,
    gatherResults,
    inlineCallbacks,
    race,
    succeed,
)


def same(result: Any) -> Any:
    return result


def ignore(failure: Any) -> None:
    return None


@operation("callbacks of one Deferred added, and called")
def deferred_callbacks(loop: Fate, n: int) -> Iterator[None]:
    yield
    deferred = Deferred()
    for _ in range(n):
        deferred.addBoth(same)
    deferred.callback(1)
    yield


@operation("callbacks added to a Deferred that has fired")
def deferred_fired_callbacks(loop: Fate, n: int) -> Iterator[None]:
    yield
    deferred = succeed(1)
    for _ in range(n):
        deferred.addBoth(same)
    yield


def chained(cancel: bool) -> Any:
    def work(loop: Fate, n: int) -> Iterator[None]:
        yield
        chain = [Deferred() for _ in range(n)]
        for one, following in pairwise(chain):
            following.addErrback(ignore)
            one.addCallback(lambda _, following=following: following)
        if cancel:
            for deferred in reversed(chain):
                deferred.callback(None)
        else:
            for deferred in chain:
                deferred.callback(None)
        yield

    work.__name__ = "deferred_chain_" + ("from_its_end" if cancel else "from_its_start")
    return operation(f"Deferreds that wait for one another, fired {work.__name__[15:].replace('_', ' ')}")(work)


@operation("a chain of Deferreds cancelled at its start")
def deferred_chain_cancelled(loop: Fate, n: int) -> Iterator[None]:
    chain = [Deferred() for _ in range(n)]
    yield
    for one, following in pairwise(chain):
        one.addCallback(lambda _, following=following: following)
        one.callback(None)
    chain[0].cancel()
    chain[0].addErrback(ignore)
    yield


@operation("chainDeferred, one after the other")
def deferred_chain_of_chain_deferred(loop: Fate, n: int) -> Iterator[None]:
    yield
    chain = [Deferred() for _ in range(n)]
    for one, following in pairwise(chain):
        one.chainDeferred(following)
    chain[0].callback(1)
    yield


@operation("Deferreds that all wait for one")
def deferreds_on_one(loop: Fate, n: int) -> Iterator[None]:
    yield
    source = Deferred()
    waiting = [Deferred() for _ in range(n)]
    for deferred in waiting:
        source.chainDeferred(deferred)
        deferred.addErrback(ignore)
    source.callback(1)
    yield


def gathered(gather: Any, name: str) -> None:
    for order in ORDERS:

        def work(loop: Fate, n: int, order: str = order) -> Iterator[None]:
            yield
            members = [Deferred() for _ in range(n)]
            whole = gather(members)
            for member in ordered(members, order):
                member.callback(1)
            whole.addErrback(ignore)
            yield

        work.__name__ = f"{name}_{order.replace(' ', '_')}"
        operation(f"{gather.__name__} whose members fire, {order}")(work)

    def cancelled(loop: Fate, n: int) -> Iterator[None]:
        members = [Deferred() for _ in range(n)]
        yield
        whole = gather(members)
        whole.cancel()
        whole.addErrback(ignore)
        for member in members:
            member.addErrback(ignore)
        yield

    cancelled.__name__ = f"{name}_cancelled"
    operation(f"{gather.__name__} cancelled")(cancelled)


def in_line(name: str, make: Any, take: Any, give: Any) -> None:
    """A lock, a semaphore, a queue with many who wait."""

    def served(loop: Fate, n: int) -> Iterator[None]:
        yield
        thing = make()
        for _ in range(n):
            take(thing)
        for _ in range(n):
            give(thing)
        yield

    served.__name__ = f"{name}_served"
    operation(f"{make.__name__}: all who wait are served")(served)
    for order in ORDERS:

        def cancelled(loop: Fate, n: int, order: str = order) -> Iterator[None]:
            thing = make()
            if name != "queue":
                take(thing)
            waiting = [take(thing) for _ in range(n)]
            yield
            for deferred in ordered(waiting, order):
                deferred.addErrback(ignore)
                deferred.cancel()
            assert not thing.waiting
            yield

        cancelled.__name__ = f"{name}_cancelled_{order.replace(' ', '_')}"
        operation(f"{make.__name__}: those who wait are cancelled, {order}")(cancelled)


@operation("DeferredQueue: all is put, then got")
def queue_pending(loop: Fate, n: int) -> Iterator[None]:
    yield
    queue = DeferredQueue()
    for place in range(n):
        queue.put(place)
    for _ in range(n):
        queue.get()
    yield


@operation("steps of one inlineCallbacks over Deferreds that have fired")
def inline_steps(loop: Fate, n: int) -> Iterator[None]:
    @inlineCallbacks
    def steps() -> Any:
        for _ in range(n):
            yield succeed(1)

    yield
    steps()
    yield


@operation("inlineCallbacks, each waits for the one before; the first is fired")
def inline_nested(loop: Fate, n: int) -> Iterator[None]:
    @inlineCallbacks
    def wait(deferred: Any) -> Any:
        return (yield deferred)

    first = deferred = Deferred()
    for _ in range(n):
        deferred = wait(deferred)
    yield
    first.callback(1)
    yield


@operation("inlineCallbacks, each waits for the one before; the last is cancelled")
def inline_cancelled(loop: Fate, n: int) -> Iterator[None]:
    @inlineCallbacks
    def wait(deferred: Any) -> Any:
        return (yield deferred)

    deferred = Deferred()
    for _ in range(n):
        deferred = wait(deferred)
    yield
    deferred.cancel()
    deferred.addErrback(ignore)
    yield


@operation("a Deferred and tasks that await it; it fires")
def deferred_awaited(loop: Fate, n: int) -> Iterator[None]:
    deferred = Deferred()

    async def wait() -> None:
        await deferred

    async def main() -> None:
        tasks = [loop.create_task(wait()) for _ in range(n)]
        loop.call_soon(deferred.callback, None)
        for task in tasks:
            await task

    yield
    loop.run_until_complete(main())
    yield


@operation("tasks that await one Deferred's futures cancelled, newest first")
def deferred_futures(loop: Fate, n: int) -> Iterator[None]:
    deferreds = [Deferred() for _ in range(n)]

    async def main() -> None:
        futures = [deferred.asFuture(loop) for deferred in deferreds]
        for future in reversed(futures):
            future.cancel()

    yield
    loop.run_until_complete(main())
    yield


chained(True)
chained(False)
gathered(DeferredList, "deferredlist")
gathered(gatherResults, "gather")
gathered(race, "race")
in_line("lock", DeferredLock, lambda lock: lock.acquire(), lambda lock: lock.release())


def semaphore_of_one() -> DeferredSemaphore:
    return DeferredSemaphore(1)


in_line("semaphore", semaphore_of_one, lambda lock: lock.acquire(), lambda lock: lock.release())
in_line("queue", DeferredQueue, lambda queue: queue.get(), lambda queue: queue.put(1))
