"""The order of callbacks: first in, first out; what a callback schedules runs in the next turn; errors keep it so."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import time
from typing import Any

import pytest
from support import VirtualFate, turns

from fate import Fate


def test_callbacks_run_in_the_order_in_which_they_were_scheduled(loop: Fate) -> None:
    ran: list[int] = []
    for number in range(5000):
        loop.call_soon(ran.append, number)
    turns(loop)
    assert ran == list(range(5000))


@pytest.mark.skipif(sys.version_info < (3, 14), reason="asyncio's handles do not wait before")
@pytest.mark.parametrize("look", ["cancel", "cancelled"])
def test_another_thread_that_takes_a_callback_back_waits_while_it_runs(loop: Fate, look: str) -> None:
    begun, finished = threading.Event(), threading.Event()
    seen: list[bool] = []

    def callback() -> None:
        begun.set()
        time.sleep(0.05)  # for the other thread to come and find it running
        finished.set()

    def other() -> None:
        handle = loop.call_soon_threadsafe(callback)
        assert isinstance(handle, asyncio.Handle)
        begun.wait()
        getattr(handle, look)()
        seen.append(finished.is_set())
        seen.append(handle.cancelled())
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=other)
    thread.start()
    loop.run_forever()
    thread.join()
    assert seen == [True, look == "cancel"]


@pytest.mark.skipif(sys.version_info < (3, 14), reason="asyncio's handles do not wait before")
def test_a_callback_that_takes_itself_back_runs_to_its_end_and_others_wait_for_that(loop: Fate) -> None:
    begun, finished = threading.Event(), threading.Event()
    handles: list[Any] = []
    seen: list[bool] = []

    def callback() -> None:
        handles[0].cancel()
        begun.set()
        time.sleep(0.05)
        finished.set()

    def other() -> None:
        begun.wait()
        seen.append(handles[0].cancelled() and finished.is_set())
        loop.call_soon_threadsafe(loop.stop)

    handles.append(loop.call_soon_threadsafe(callback))
    thread = threading.Thread(target=other)
    thread.start()
    loop.run_forever()
    thread.join()
    assert seen == [True]


def test_threadsafe_and_plain_calls_share_one_queue(loop: Fate) -> None:
    ran: list[int] = []
    for number in range(10):
        (loop.call_soon if number % 2 else loop.call_soon_threadsafe)(ran.append, number)
    turns(loop)
    assert ran == list(range(10))


def test_what_a_callback_schedules_runs_in_the_next_turn(loop: Fate) -> None:
    ran: list[str] = []

    def first() -> None:
        ran.append("first")
        loop.call_soon(third)

    def third() -> None:
        ran.append("third")
        loop.call_soon(ran.append, "fourth")

    loop.call_soon(first)
    loop.call_soon(ran.append, "second")
    turns(loop)
    assert ran == ["first", "second"]
    turns(loop)
    assert ran == ["first", "second", "third"]
    turns(loop)
    assert ran == ["first", "second", "third", "fourth"]


def test_stop_lets_the_present_turn_end(loop: Fate) -> None:
    ran: list[str] = []
    loop.call_soon(loop.stop)
    loop.call_soon(ran.append, "same turn")
    loop.call_soon(lambda: loop.call_soon(ran.append, "next run"))
    loop.run_forever()
    assert ran == ["same turn"]
    turns(loop)
    assert ran == ["same turn", "next run"]


def test_stop_before_run_forever_makes_one_turn(loop: Fate) -> None:
    ran: list[str] = []
    loop.call_soon(ran.append, "ready")
    loop.stop()
    loop.run_forever()
    assert ran == ["ready"]


def test_due_timers_come_before_what_their_turn_schedules_and_after_what_was_ready(virtual: VirtualFate) -> None:
    ran: list[str] = []
    virtual.call_later(0, ran.append, "timer")
    virtual.call_soon(lambda: (ran.append("soon"), virtual.call_soon(ran.append, "next")))
    turns(virtual, 2)
    assert ran == ["soon", "timer", "next"]


def test_timers_fire_in_order_of_time_and_equal_times_in_order_of_creation(virtual: VirtualFate) -> None:
    ran: list[str] = []
    for name, when in [("c", 2.0), ("a", 1.0), ("b", 1.0), ("e", 3.0), ("d", 2.0000000005)]:
        virtual.call_at(when, ran.append, name)
    virtual.call_at(4.0, virtual.stop)
    virtual.run_forever()
    assert "".join(ran) == "abcde"


def test_a_timer_fires_at_its_nanosecond_and_never_early(virtual: VirtualFate) -> None:
    late: list[float] = []
    for number in range(1, 200):
        when = number * 0.0123456789
        virtual.call_at(when, lambda when=when: late.append(virtual.time() - when))
    virtual.call_at(10.0, virtual.stop)
    virtual.run_forever()
    assert len(late) == 199
    assert min(late) >= 0.0
    assert max(late) < 10e-9


def test_a_timer_is_never_early_on_the_real_clock(loop: Fate) -> None:
    early: list[float] = []
    for microseconds in range(0, 20000, 170):
        when = loop.time() + microseconds / 1e6
        loop.call_at(when, lambda when=when: early.append(loop.time() - when))
    loop.call_later(0.025, loop.stop)
    loop.run_forever()
    assert len(early) == len(range(0, 20000, 170))
    assert min(early) >= 0.0


def test_a_timer_that_was_due_long_ago_fires_in_the_next_turn(virtual: VirtualFate) -> None:
    virtual.clock.now = 1000.0
    ran: list[str] = []
    virtual.call_at(1.0, ran.append, "long ago")
    virtual.call_later(-5, ran.append, "negative")
    virtual.call_at(float("-inf"), ran.append, "always")
    turns(virtual)
    assert sorted(ran) == ["always", "long ago", "negative"]


def test_what_waits_in_the_queue_when_a_run_ends_is_run_by_the_next(loop: Fate) -> None:
    ran: list[int] = []
    for number in range(3000):  # longer than the part of the queue that is forgotten at a time
        loop.call_soon(ran.append, number)
        if number == 1500:
            loop.call_soon(loop.call_soon, ran.append, "later")
    turns(loop)
    turns(loop)
    assert ran == [*range(3000), "later"]


@pytest.mark.parametrize("stopper", [KeyboardInterrupt, SystemExit])
def test_interrupts_propagate_and_the_rest_of_the_queue_survives_for_the_next_run(
    loop: Fate, reports: list, stopper: type[BaseException]
) -> None:
    ran: list[str] = []

    def interrupt() -> None:
        raise stopper("now")

    loop.call_soon(ran.append, "before")
    loop.call_soon(interrupt)
    loop.call_soon(ran.append, "after")
    loop.call_soon(loop.stop)
    with pytest.raises(stopper, match="now"):
        loop.run_forever()
    assert ran == ["before"]
    assert not loop.is_running()
    loop.run_forever()
    assert ran == ["before", "after"]
    assert reports == []


def test_an_interrupt_in_a_turn_of_timers_loses_none_of_them(virtual: VirtualFate) -> None:
    ran: list[int] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    for number in range(10):
        virtual.call_at(1.0, interrupt if number == 4 else lambda number=number: ran.append(number))
    virtual.call_at(2.0, virtual.stop)
    with pytest.raises(KeyboardInterrupt):
        virtual.run_forever()
    assert ran == [0, 1, 2, 3]
    virtual.run_forever()
    assert ran == [0, 1, 2, 3, 5, 6, 7, 8, 9]


def test_an_error_is_reported_once_with_its_callback_and_handle_and_the_loop_turns_on(
    loop: Fate, reports: list
) -> None:
    ran: list[str] = []

    def fail(argument: str) -> None:
        raise ValueError(argument)

    handle = loop.call_soon(fail, "it broke")
    loop.call_soon(ran.append, "after")
    turns(loop, 3)
    assert ran == ["after"]
    (report,) = reports
    assert isinstance(report["exception"], ValueError)
    assert report["handle"] is handle
    assert report["message"].startswith("Exception in callback ")
    assert ".fail(" in report["message"]  # with its arguments up to 3.12, later in debug mode only
    assert __file__ in report["message"]


def test_the_traceback_of_an_error_begins_in_the_users_code(loop: Fate, reports: list) -> None:
    def fail() -> None:
        raise ValueError

    loop.call_soon(fail)
    turns(loop)
    frames = []
    traceback = reports[0]["exception"].__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    assert frames[-1] == "fail"


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, GeneratorExit, BaseException])
def test_any_other_error_is_reported_and_stops_nothing(loop: Fate, reports: list, error: type[BaseException]) -> None:
    def fail() -> None:
        raise error

    loop.call_soon(fail)
    turns(loop, 2)
    assert [type(report["exception"]) for report in reports] == [error]


def test_an_exception_handler_that_fails_does_not_stop_the_loop(loop: Fate, caplog: pytest.LogCaptureFixture) -> None:
    def bad_handler(loop: asyncio.AbstractEventLoop, context: dict) -> None:
        raise LookupError("in the handler")

    ran: list[str] = []
    loop.set_exception_handler(bad_handler)
    loop.call_soon(lambda: 1 / 0)
    loop.call_soon(ran.append, "after")
    turns(loop)
    assert ran == ["after"]
    assert "Unhandled error in exception handler" in caplog.text


def test_a_callback_gets_exactly_its_arguments(loop: Fate) -> None:
    got: list[tuple[object, ...]] = []
    loop.call_soon(lambda *args: got.append(args))
    loop.call_soon(lambda *args: got.append(args), 1)
    loop.call_later(0, lambda *args: got.append(args), *range(20))
    turns(loop)
    assert got == [(), (1,), tuple(range(20))]


@pytest.mark.parametrize("callback", [None, 5, "text"])
def test_something_not_callable_is_reported_when_its_turn_comes(loop: Fate, reports: list, callback: object) -> None:
    loop.call_soon(callback)  # type: ignore[arg-type]
    turns(loop)
    assert [type(report["exception"]) for report in reports] == [TypeError]


def test_call_later_and_call_at_refuse_none(loop: Fate) -> None:
    with pytest.raises(TypeError, match="delay must not be None"):
        loop.call_later(None, print)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="when cannot be None"):
        loop.call_at(None, print)  # type: ignore[arg-type]


@pytest.mark.parametrize("delay", ["1", object(), 1j])
def test_call_later_refuses_what_is_not_a_number(loop: Fate, delay: object) -> None:
    with pytest.raises(TypeError):
        loop.call_later(delay, print)  # type: ignore[arg-type]


def test_a_context_that_is_none_means_a_copy_of_the_present_one(loop: Fate) -> None:
    variable = contextvars.ContextVar("variable", default=0)
    seen: list[int] = []
    variable.set(1)
    loop.call_soon(lambda: seen.append(variable.get()), context=None)
    variable.set(2)
    turns(loop)
    assert seen == [1]
