"""Timed calls: Twisted's rules, on the engine's timers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.base import DelayedCall as TwistedsDelayedCall
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall
from zope.interface.verify import verifyObject

from fate import Fate
from fate.tx import FateReactor

Run = Callable[..., None]


def test_calls_come_in_the_order_of_their_times(reactor: FateReactor, run: Run) -> None:
    came: list[str] = []
    reactor.callLater(0.03, came.append, "third")
    reactor.callLater(0.01, came.append, "second")
    reactor.callLater(0, came.append, "first")
    reactor.callLater(0.04, reactor.stop)
    run()
    assert came == ["first", "second", "third"]


def test_calls_without_delay_come_in_the_order_they_were_made(reactor: FateReactor, run: Run) -> None:
    came: list[int] = []
    for number in range(100):
        reactor.callLater(0, came.append, number)
    reactor.callLater(0, reactor.stop)
    run()
    assert came == list(range(100))


@pytest.mark.parametrize("crowd", [1, 40])
def test_a_call_that_is_overdue_comes_before_one_without_delay(reactor: FateReactor, run: Run, crowd: int) -> None:
    came: list[str] = []

    def first() -> None:
        for _ in range(crowd):
            reactor.callLater(0.0001, came.append, "overdue")
        due = time.monotonic() + 0.01
        while time.monotonic() < due:
            pass
        reactor.callLater(0, came.append, "now")
        reactor.callLater(0, reactor.stop)

    run(first)
    assert came == ["overdue"] * crowd + ["now"]


def test_arguments_by_name_and_by_place_arrive(reactor: FateReactor, run: Run) -> None:
    came: list[Any] = []

    def call(*args: int, **kw: int) -> None:
        came.append((args, kw))
        reactor.stop()

    reactor.callLater(0, call, 1, 2, three=3)
    run()
    assert came == [((1, 2), {"three": 3})]


def test_a_call_is_never_early_by_any_clock(reactor: FateReactor, run: Run) -> None:
    early: list[float] = []
    left = 30

    def check(since: float, by: float) -> None:
        nonlocal left
        if reactor.seconds() - since < 0.002 or time.monotonic() - by < 0.002:
            early.append(since)
        left -= 1
        if left:
            again()
        else:
            reactor.stop()

    def again() -> None:
        reactor.callLater(0.002, check, reactor.seconds(), time.monotonic())

    run(again)
    assert early == []


def test_it_is_what_twisted_says_a_delayed_call_is(reactor: FateReactor) -> None:
    call = reactor.callLater(3, lambda: None)
    verifyObject(IDelayedCall, call)
    assert call.active()
    assert call.getTime() == pytest.approx(time.time() + 3, abs=1)
    assert (call.called, call.cancelled) == (0, 0)


def test_a_negative_delay_is_refused_as_twisted_refuses_it(reactor: FateReactor) -> None:
    with pytest.raises(AssertionError, match="not greater than or equal to 0"):
        reactor.callLater(-1, lambda: None)


@pytest.mark.parametrize("delay", [0, 5])
def test_a_cancelled_call_does_not_come_and_lets_go_of_what_it_held(reactor: FateReactor, delay: float) -> None:
    call = reactor.callLater(delay, pytest.fail, "called")
    call.cancel()
    assert not call.active()
    assert call.cancelled == 1
    assert (call.func, call.args, call.kw) == (None, None, None)
    reactor.iterate()
    for misuse in (call.cancel, lambda: call.reset(1), lambda: call.delay(1)):
        with pytest.raises(AlreadyCancelled):
            misuse()


@pytest.mark.parametrize("delay", [0, 0.001])
def test_a_call_that_has_come_cannot_be_cancelled_not_even_by_itself(
    reactor: FateReactor, run: Run, delay: float
) -> None:
    raised: list[type] = []

    def itself() -> None:
        with pytest.raises(AlreadyCalled) as info:
            call.cancel()
        raised.append(info.type)
        reactor.stop()

    call = reactor.callLater(delay, itself)
    run()
    assert raised == [AlreadyCalled]
    for misuse in (call.cancel, lambda: call.reset(1), lambda: call.delay(1)):
        with pytest.raises(AlreadyCalled):
            misuse()
    assert (call.active(), call.called, call.func) == (False, 1, None)


def test_reset_moves_a_call_to_later_and_to_sooner(reactor: FateReactor, run: Run) -> None:
    came: list[str] = []
    later = reactor.callLater(0.001, came.append, "later")
    sooner = reactor.callLater(60, came.append, "sooner")
    later.reset(0.03)
    sooner.reset(0.01)
    reactor.callLater(0.06, reactor.stop)
    run()
    assert came == ["sooner", "later"]


def test_delay_moves_a_call_by_its_own_time(reactor: FateReactor, run: Run) -> None:
    came: list[str] = []
    later = reactor.callLater(0.001, came.append, "later")
    sooner = reactor.callLater(60, came.append, "sooner")
    due = later.getTime()
    later.delay(0.04)
    sooner.delay(-59.98)
    assert later.getTime() == due + 0.04
    reactor.callLater(0.07, reactor.stop)
    run()
    assert came == ["sooner", "later"]


@pytest.mark.parametrize("delay", [0, 0.0005])
def test_a_call_moved_when_its_turn_has_almost_come_comes_once_and_then(
    reactor: FateReactor, run: Run, delay: float
) -> None:
    came: list[float] = []

    def postpone() -> None:
        assert call.active()
        call.reset(0.02)

    def come() -> None:
        came.append(time.monotonic() - start)
        reactor.callLater(0.01, reactor.stop)

    start = time.monotonic()
    reactor.callLater(delay, postpone)  # both are in the queue then
    call = reactor.callLater(delay, come)
    run()
    assert len(came) == 1
    assert came[0] >= 0.02


def test_a_call_moved_when_its_turn_has_almost_come_can_still_be_cancelled(reactor: FateReactor) -> None:
    call = reactor.callLater(0, pytest.fail, "called")
    call.reset(0.001)
    reactor.iterate()
    assert call in reactor.getDelayedCalls()
    call.cancel()
    assert reactor.getDelayedCalls() == []


def test_all_that_are_to_come_are_listed_and_no_others(reactor: FateReactor) -> None:
    calls = [reactor.callLater(delay, lambda: None) for delay in (0, 0.5, 5, 2**130)]
    reactor.callLater(1, lambda: None).cancel()
    reactor.loop.call_later(1, lambda: None)  # asyncio's own
    assert set(map(id, reactor.getDelayedCalls())) == set(map(id, calls))
    reactor.iterate()
    assert set(map(id, reactor.getDelayedCalls())) == set(map(id, calls[1:]))


def test_an_error_is_logged_and_the_reactor_goes_on(reactor: FateReactor, run: Run, logged: list[Any]) -> None:
    class Oops(BaseException):
        pass

    def fail() -> None:
        raise Oops

    reactor.callLater(0, fail)
    reactor.callLater(0, reactor.stop)
    run()
    assert [type(error) for error in logged] == [Oops]


def test_it_tells_what_it_will_call(reactor: FateReactor) -> None:
    call = reactor.callLater(5, print, "x", end="y")
    assert "print('x', end='y')" in repr(call)
    assert "called=0 cancelled=0" in repr(call)
    call.cancel()
    assert "cancelled=1" in repr(call)


def test_with_twisteds_debugging_it_knows_who_made_it(
    reactor: FateReactor, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TwistedsDelayedCall, "debug", True)
    call = reactor.callLater(5, lambda: None)
    assert "test_with_twisteds_debugging" in repr(call)
    call.cancel()


def test_the_times_it_tells_are_those_of_the_reactors_clock(reactor: FateReactor) -> None:
    reactor.seconds = lambda: 100.0  # type: ignore[method-assign]
    call = reactor.callLater(5, lambda: None)
    assert call.getTime() == 105.0
    call.reset(7)
    assert call.getTime() == 107.0


def test_a_closed_loop_and_another_thread_in_debug_mode_are_refused(reactor: FateReactor) -> None:
    from fate.errors import LoopClosedError

    loop = Fate()
    other = FateReactor(loop)
    loop.close()
    with pytest.raises(LoopClosedError):
        other.callLater(1, lambda: None)
