"""Timers: near and far, in one tick, cancelled, on a clock that stands still."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.growth.operations.common import ORDERS, nothing, ordered, turns
from benchmarks.growth.registry import operation
from benchmarks.registry import Unavailable
from fate import Fate


class Clock:
    """A clock that moves when it is moved."""

    def __init__(self, loop: Fate) -> None:
        self.now = 1000.0
        loop.time = lambda: self.now  # type: ignore[method-assign]


@operation("call_later, all due at once")
def timers_due(loop: Fate, n: int) -> Iterator[None]:
    clock = Clock(loop)
    yield
    for _ in range(n):
        loop.call_later(1.0, nothing)
    clock.now += 2.0
    turns(loop)
    yield


@operation("call_later over a second, one after the other")
def timers_over_a_second(loop: Fate, n: int) -> Iterator[None]:
    clock = Clock(loop)
    yield
    for place in ordered(range(n), ORDERS[2]):
        loop.call_later(place / n, nothing)
    for _ in range(1000):
        clock.now += 0.001
        turns(loop)
    yield


@operation("call_later over a year, one after the other")
def timers_over_a_year(loop: Fate, n: int) -> Iterator[None]:
    clock = Clock(loop)
    yield
    for place in ordered(range(n), ORDERS[2]):
        loop.call_later(place * 3e7 / n, nothing)
    for _ in range(1000):
        clock.now += 3e4
        turns(loop)
    yield


def cancelled(name: str, title: str, delay: Any) -> None:
    for order in ORDERS:

        def work(loop: Fate, n: int, order: str = order) -> Iterator[None]:
            yield
            timers = [loop.call_later(delay(place, n), nothing) for place in range(n)]
            for timer in ordered(timers, order):
                timer.cancel()
            yield

        work.__name__ = f"timers_{name}_cancelled_{order.replace(' ', '_')}"
        operation(f"timers {title} made, and cancelled, {order}")(work)

        def frozen(loop: Fate, n: int, order: str = order) -> Iterator[None]:
            """One a turn: each turn looks for what is due."""
            Clock(loop)
            timers = [loop.call_later(delay(place, n), nothing) for place in range(n)]
            left = ordered(timers, order)

            def cancel() -> None:
                if left:
                    left.pop().cancel()
                    loop.call_soon(cancel)
                else:
                    loop.stop()

            yield
            loop.call_soon(cancel)
            loop.run_forever()
            yield

        frozen.__name__ = f"timers_{name}_frozen_{order.replace(' ', '_')}"
        operation(f"timers {title} on a clock that stands still, one cancelled a turn, {order}")(frozen)


@operation("timers in one tick of a clock that stands still, one more a turn, each later")
def timers_added_frozen(loop: Fate, n: int) -> Iterator[None]:
    clock = Clock(loop)
    left = n

    def add() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_at(clock.now + 1e-4 - left * 1e-4 / n, nothing)
            loop.call_soon(add)
        else:
            loop.stop()

    yield
    loop.call_soon(add)
    loop.run_forever()
    yield


@operation("timers in one tick of a clock that stands still, another nearer one made and cancelled each turn")
def timers_among_frozen(loop: Fate, n: int) -> Iterator[None]:
    Clock(loop)
    left = n
    for place in range(n):
        loop.call_later((1 + place / n) * 1e-4, nothing)

    def again() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_later(left / n * 1e-4, nothing).cancel()
            loop.call_soon(again)
        else:
            loop.stop()

    yield
    loop.call_soon(again)
    loop.run_forever()
    yield


@operation("timers of Twisted's reactor made, and cancelled newest first")
def twisted_timers_cancelled(loop: Fate, n: int) -> Iterator[None]:
    reactor = twisted_reactor(loop)
    yield
    calls = [reactor.callLater(60, nothing) for _ in range(n)]
    for call in reversed(calls):
        call.cancel()
    yield


@operation("timers of Twisted's reactor without delay")
def twisted_timers_at_once(loop: Fate, n: int) -> Iterator[None]:
    reactor = twisted_reactor(loop)
    yield
    for _ in range(n):
        reactor.callLater(0, nothing)
    turns(loop, 3)
    yield


@operation("timers of Twisted's reactor moved")
def twisted_timers_moved(loop: Fate, n: int) -> Iterator[None]:
    reactor = twisted_reactor(loop)
    calls = [reactor.callLater(60 + place, nothing) for place in range(n)]
    yield
    for call in calls:
        call.reset(5)
    yield
    for call in calls:
        call.cancel()


def twisted_reactor(loop: Fate) -> Any:
    try:
        from fate.tx.reactor import FateReactor
    except ImportError as error:
        raise Unavailable("Twisted is not installed") from error
    return FateReactor(loop)


cancelled("far", "of a minute", lambda place, n: 60.0)
cancelled("near", "in one tick", lambda place, n: place / n * 1e-4)
cancelled("spread", "over an hour", lambda place, n: place / n * 3600)
