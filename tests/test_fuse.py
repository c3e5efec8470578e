"""Fuses: handlers, times, the article's API line by line, and awaiting. What fuses wait for is in test_sources.py."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from support import VirtualFate, run_until, turns

from fate import Fate, Fuse
from fate.errors import FuseHandlerError, FuseOverError, FuseTimeError


class Log(list[Any]):
    """A list, and callbacks that write into it."""

    def note(self, *what: Any) -> Callable[[], None]:
        return lambda: self.append(what[0] if len(what) == 1 else what)


@pytest.fixture
def log() -> Log:
    return Log()


# -- the article ----------------------------------------------------------------------------------------------------


def test_a_fuse_burns_that_long_from_now_and_calls_its_handler_once(virtual: VirtualFate, log: Log) -> None:
    virtual.clock.now = 100.0
    fuse = virtual.get_fuse(2.5)
    fuse.set_handler(lambda: log.append(virtual.time()))
    virtual.call_later(10, virtual.shutdown)
    virtual.run()
    assert log == [pytest.approx(102.5, abs=1e-8)]
    assert log[0] >= 102.5


def test_the_articles_program_runs(virtual: VirtualFate, log: Log) -> None:
    """Two fuses, one of which makes another; the last shuts the Fate down."""

    def first() -> None:
        log.append(("first", round(virtual.time(), 6)))
        second = virtual.get_fuse(1)
        second.set_handler(last)

    def last() -> None:
        log.append(("last", round(virtual.time(), 6)))
        virtual.shutdown()

    virtual.get_fuse(2).set_handler(first)
    virtual.get_fuse(1).set_handler(log.note("before"))
    virtual.run()
    assert log == ["before", ("first", 2.0), ("last", 3.0)]


def test_the_last_set_handler_wins(virtual: VirtualFate, log: Log) -> None:
    fuse = virtual.get_fuse(1)
    fuse.set_handler(log.note("first"))
    fuse.add_handler(log.note("added"))
    fuse.set_handler(log.note("last"))
    virtual.call_later(2, virtual.stop)
    virtual.run_forever()
    assert log == ["last"]


def test_the_last_set_handler_wins_until_the_moment_of_the_call(loop: Fate, log: Log) -> None:
    fuse = loop.get_fuse()
    fuse.set_handler(log.note("first"))
    fuse.burn()
    fuse.set_handler(log.note("last"))
    turns(loop, 4)
    assert log == ["last"]


def test_handlers_get_the_arguments_given_with_them(loop: Fate, log: Log) -> None:
    fuse = loop.get_fuse()
    fuse.set_handler(lambda *args: log.append(args), 1, 2)
    fuse.add_handler(lambda *args: log.append(args))
    fuse.burn("a value")
    turns(loop, 3)
    assert log == [(1, 2), ()]


def test_every_added_handler_is_called_in_order(loop: Fate, log: Log) -> None:
    fuse = loop.get_fuse()
    for number in range(5):
        fuse.add_handler(log.note(number))
    fuse.burn()
    turns(loop, 3)
    assert log == [0, 1, 2, 3, 4]


def test_each_handler_has_its_own_errors_reported_once_and_the_others_are_called(
    loop: Fate, log: Log, reports: list
) -> None:
    def fail(text: str) -> None:
        raise ValueError(text)

    fuse = loop.get_fuse()
    fuse.add_handler(fail, "one")
    fuse.add_handler(log.note("between"))
    fuse.add_handler(fail, "two")
    fuse.add_handler(log.note("last"))
    fuse.burn()
    turns(loop, 4)
    assert log == ["between", "last"]
    assert [str(report["exception"]) for report in reports] == ["one", "two"]
    assert fuse.error is None


def test_handlers_are_called_in_the_next_turn(loop: Fate, log: Log) -> None:
    fuse = loop.get_fuse()
    fuse.set_handler(log.note("handler"))

    def burn() -> None:
        fuse.burn()
        loop.call_soon(after)
        log.append("burned")

    def after() -> None:
        log.append("next turn")
        loop.call_soon(log.append, "turn after")

    loop.call_soon(burn)
    turns(loop, 3)
    assert log.index("burned") < log.index("handler") < log.index("turn after")


def test_remove_handler_takes_a_handler_away_each_time_it_was_added_and_tells_how_often(loop: Fate, log: Log) -> None:
    one, other = log.note("one"), log.note("other")
    fuse = loop.get_fuse()
    for handler in (one, other, one):
        fuse.add_handler(handler)
    assert fuse.remove_handler(one) == 2
    assert fuse.remove_handler(one) == 0
    assert fuse.has_handler()
    fuse.burn()
    turns(loop, 3)
    assert log == ["other"]


def test_a_bound_method_can_be_removed(loop: Fate, log: Log) -> None:
    fuse = loop.get_fuse()
    fuse.add_handler(log.append, 1)
    assert fuse.remove_handler(log.append) == 1
    assert not fuse.has_handler()


def test_a_handler_removed_after_burning_and_before_the_call_is_not_called(loop: Fate, log: Log) -> None:
    fuse = loop.get_fuse()
    handler = log.note("never")
    fuse.add_handler(handler)
    fuse.burn()
    assert fuse.remove_handler(handler) == 1
    turns(loop, 3)
    assert log == []
    assert fuse in loop.fuses


def test_has_handler_until_it_has_been_called(loop: Fate, log: Log) -> None:
    fuse = loop.get_fuse()
    assert not fuse.has_handler()
    fuse.set_handler(lambda: log.append(fuse.has_handler()))
    assert fuse.has_handler()
    fuse.burn()
    assert fuse.has_handler()
    turns(loop, 3)
    assert log == [False]
    assert not fuse.has_handler()


def test_is_burned_when_its_time_has_come_also_before_the_loop_noticed(virtual: VirtualFate) -> None:
    fuse = virtual.get_fuse(1)
    assert not fuse.is_burned()
    virtual.clock.now = 0.999
    assert not fuse.is_burned()
    virtual.clock.now = 1.0
    assert fuse.is_burned()
    assert not fuse.is_over()
    turns(virtual)
    assert fuse.is_burned() and fuse.is_over()


def test_is_burned_by_hand_and_not_when_failed_or_cancelled(loop: Fate) -> None:
    burned, failed, cancelled = loop.get_fuse(), loop.get_fuse(), loop.get_fuse()
    assert not burned.is_burned()
    burned.burn()
    failed.fail(ValueError())
    cancelled.cancel()
    assert [fuse.is_burned() for fuse in (burned, failed, cancelled)] == [True, False, False]
    assert [fuse.is_over() for fuse in (burned, failed, cancelled)] == [True, True, True]
    assert [fuse.cancelled() for fuse in (burned, failed, cancelled)] == [False, False, True]
    assert isinstance(failed.error, ValueError)


def test_a_cancelled_time_fuse_never_looks_burned(virtual: VirtualFate) -> None:
    fuse = virtual.get_fuse(1)
    fuse.cancel()
    virtual.clock.now = 2.0
    assert not fuse.is_burned()


def test_call_handler_calls_now_burned_or_not_and_the_fuse_is_over(virtual: VirtualFate, log: Log) -> None:
    fuse = virtual.get_fuse(5)
    fuse.add_handler(log.note(1))
    fuse.add_handler(log.note(2))
    fuse.call_handler()
    assert log == [1, 2]
    assert fuse.is_burned() and not fuse.has_handler()
    assert fuse not in virtual.fuses
    virtual.call_later(10, virtual.stop)
    virtual.run_forever()
    assert log == [1, 2]


def test_call_handler_without_a_handler_is_an_error_that_says_what_to_do(loop: Fate) -> None:
    fuse = loop.get_fuse()
    with pytest.raises(FuseHandlerError, match=r"has no handler.*set_handler\(\) or add_handler\(\)"):
        fuse.call_handler()
    fuse.set_handler(int)
    fuse.call_handler()
    with pytest.raises(FuseHandlerError, match="has no handler"):
        fuse.call_handler()


def test_errors_of_call_handler_are_reported_not_raised(loop: Fate, reports: list, log: Log) -> None:
    fuse = loop.get_fuse()
    fuse.add_handler(lambda: 1 / 0)
    fuse.add_handler(log.note("second"))
    fuse.call_handler()
    assert log == ["second"]
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]


def test_call_handler_between_burning_and_the_next_turn_calls_once(loop: Fate, log: Log) -> None:
    fuse = loop.get_fuse()
    fuse.set_handler(log.note("called"))
    fuse.burn()
    fuse.call_handler()
    turns(loop, 3)
    assert log == ["called"]


def test_a_handler_that_stops_the_loop_by_an_interrupt_does_not_lose_the_other_handlers(loop: Fate, log: Log) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    fuse = loop.get_fuse()
    fuse.add_handler(log.note("first"))
    fuse.add_handler(interrupt)
    fuse.add_handler(log.note("last"))
    fuse.burn()
    with pytest.raises(KeyboardInterrupt):
        turns(loop, 3)
    turns(loop, 3)
    assert log == ["first", "last"]


def test_call_handler_with_an_interrupt_does_not_lose_the_other_handlers(loop: Fate, log: Log) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    fuse = loop.get_fuse()
    fuse.add_handler(interrupt)
    fuse.add_handler(log.note("last"))
    with pytest.raises(KeyboardInterrupt):
        fuse.call_handler()
    turns(loop, 2)
    assert log == ["last"]


def test_handlers_run_in_the_context_they_were_set_in(loop: Fate, log: Log) -> None:
    variable = contextvars.ContextVar("variable", default="default")
    fuse = loop.get_fuse()
    variable.set("one")
    fuse.add_handler(lambda: log.append(variable.get()))
    variable.set("two")
    fuse.add_handler(lambda: log.append(variable.get()))
    variable.set("three")
    fuse.burn()
    turns(loop, 3)
    assert log == ["one", "two"]


# -- set_time -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("time", [0.5, 3.0])
def test_set_time_moves_a_fuse_earlier_or_later(virtual: VirtualFate, log: Log, time: float) -> None:
    fuse = virtual.get_fuse(1)
    fuse.set_handler(lambda: log.append(virtual.time()))
    fuse.set_time(time)
    virtual.call_later(5, virtual.stop)
    virtual.run_forever()
    assert log == [pytest.approx(time, abs=1e-8)]
    assert virtual._timers.count == 0


def test_set_time_gives_a_time_to_a_fuse_that_had_none(virtual: VirtualFate, log: Log) -> None:
    fuse = virtual.get_fuse()
    fuse.set_handler(lambda: log.append(virtual.time()))
    fuse.set_time(2)
    virtual.call_later(5, virtual.stop)
    virtual.run_forever()
    assert log == [pytest.approx(2, abs=1e-8)]


def test_a_time_that_has_passed_means_now(virtual: VirtualFate, log: Log) -> None:
    virtual.clock.now = 10.0
    fuse = virtual.get_fuse(5)
    fuse.set_handler(log.note("called"))
    fuse.set_time(-3.0)
    assert fuse.is_burned()
    turns(virtual, 3)
    assert log == ["called"]
    assert virtual.time() == 10.0


def test_set_time_lights_a_fuse_again_that_burned_by_time_and_had_no_handler(virtual: VirtualFate, log: Log) -> None:
    fuse = virtual.get_fuse(1)
    virtual.call_later(2, virtual.stop)
    virtual.run_forever()
    assert fuse.is_burned()
    fuse.set_time(5)
    assert not fuse.is_burned()
    fuse.set_handler(lambda: log.append(virtual.time()))
    virtual.call_later(10, virtual.stop)
    virtual.run_forever()
    assert log == [pytest.approx(5, abs=1e-8)]


def test_set_time_after_the_handlers_were_called_is_an_error(virtual: VirtualFate) -> None:
    fuse = virtual.get_fuse(1)
    fuse.set_handler(int)
    virtual.call_later(2, virtual.stop)
    virtual.run_forever()
    with pytest.raises(FuseOverError, match=r"is over.*fate.get_fuse\(\)"):
        fuse.set_time(5)


@pytest.mark.parametrize("end", [Fuse.burn, Fuse.cancel, lambda fuse: fuse.fail(ValueError())])
def test_set_time_after_the_end_is_an_error(loop: Fate, end: Callable[[Fuse], object]) -> None:
    fuse = loop.get_fuse()
    end(fuse)
    with pytest.raises(FuseOverError, match="is over"):
        fuse.set_time(loop.time() + 1)
    fuse._error_seen = True


def test_a_wrong_time_changes_nothing(virtual: VirtualFate) -> None:
    fuse = virtual.get_fuse(1)
    for wrong in (float("nan"), float("inf"), float("-inf"), "1", None, True, 1j):
        with pytest.raises(FuseTimeError, match="a fuse's time"):
            fuse.set_time(wrong)  # type: ignore[arg-type]
    virtual.call_later(2, virtual.stop)
    virtual.run_forever()
    assert fuse.is_over()


# -- fate.fuses, check_fuses, waiting for a handler ------------------------------------------------------------------


def test_fuses_are_those_that_have_not_called_their_handler_oldest_first(virtual: VirtualFate) -> None:
    late, early, by_hand = virtual.get_fuse(2), virtual.get_fuse(1), virtual.get_fuse()
    assert virtual.fuses == [late, early, by_hand]
    early.set_handler(int)
    virtual.call_later(1.5, virtual.stop)
    virtual.run_forever()
    assert virtual.fuses == [late, by_hand]
    by_hand.cancel()
    assert virtual.fuses == [late]
    virtual.call_later(1, virtual.stop)
    virtual.run_forever()
    assert late.is_burned()
    assert virtual.fuses == [late]  # it waits for a handler
    late.set_handler(int)
    assert virtual.fuses == [late]
    turns(virtual, 2)
    assert virtual.fuses == []


def test_the_list_of_fuses_is_a_copy(loop: Fate) -> None:
    fuse = loop.get_fuse()
    loop.fuses.clear()
    assert loop.fuses == [fuse]


def test_a_fuse_out_of_everyones_reach_is_forgotten(loop: Fate) -> None:
    loop.get_fuse()
    gc.collect()
    assert loop.fuses == []
    timed = weakref.ref(loop.get_fuse(1000))
    gc.collect()
    assert loop.fuses == [timed()]


@pytest.mark.parametrize("method", ["set_handler", "add_handler"])
def test_a_burned_fuse_without_a_handler_waits_for_one_and_calls_it_in_the_next_turn(
    virtual: VirtualFate, log: Log, method: str
) -> None:
    fuse = virtual.get_fuse(1)
    virtual.call_later(100, virtual.stop)
    virtual.run_forever()
    assert fuse in virtual.fuses
    getattr(fuse, method)(log.note("called"))
    assert log == []
    turns(virtual)
    assert log == ["called"]
    assert fuse not in virtual.fuses


def test_a_handler_added_after_the_others_were_called_is_called_in_the_next_turn(loop: Fate, log: Log) -> None:
    fuse = loop.get_fuse()
    fuse.add_handler(log.note("first"))
    fuse.burn()
    turns(loop, 2)
    fuse.add_handler(log.note("late"))
    turns(loop, 2)
    assert log == ["first", "late"]


def test_check_fuses_calls_what_is_due_oldest_first_without_running_and_without_waiting(
    virtual: VirtualFate, log: Log
) -> None:
    for name, delay in [("a", 2), ("b", 1), ("c", 5)]:
        virtual.get_fuse(delay).set_handler(log.note(name))
    no_handler = virtual.get_fuse(1)
    by_hand = virtual.get_fuse()
    by_hand.set_handler(log.note("by hand"))
    virtual.check_fuses()
    assert log == []
    virtual.clock.now = 3.0
    by_hand.burn()
    virtual.check_fuses()
    assert log == ["a", "b", "by hand"]
    virtual.check_fuses()
    assert log == ["a", "b", "by hand"]
    assert no_handler.is_burned()
    assert virtual.time() == 3.0
    turns(virtual, 3)
    assert log == ["a", "b", "by hand"]


def test_check_fuses_reports_errors_and_calls_the_rest(virtual: VirtualFate, log: Log, reports: list) -> None:
    virtual.get_fuse(1).set_handler(lambda: 1 / 0)
    virtual.get_fuse(1).set_handler(log.note("second"))
    virtual.clock.now = 1.0
    virtual.check_fuses()
    assert log == ["second"]
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]


def test_check_fuses_in_a_loop_of_ones_own_is_enough_to_live_on(loop: Fate, log: Log) -> None:
    loop.get_fuse(0.002).set_handler(log.note("called"))
    end = loop.time() + 10
    while not log and loop.time() < end:
        loop.check_fuses()
    assert log == ["called"]


def test_check_fuses_calls_the_handler_of_a_fuse_that_somebody_also_awaits(loop: Fate, log: Log) -> None:
    fuse = loop.get_fuse()
    fuse.add_handler(log.note("handler"))

    async def main() -> None:
        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        fuse.burn(5)
        loop.check_fuses()
        assert log == ["handler"]
        assert await task == 5

    async def wait() -> object:
        return await fuse

    loop.run_until_complete(main())
    assert log == ["handler"]


# -- run and shutdown -----------------------------------------------------------------------------------------------


def test_run_returns_at_once_when_shutdown_came_before_and_only_that_time(virtual: VirtualFate, log: Log) -> None:
    virtual.get_fuse(1).set_handler(lambda: (log.append("called"), virtual.shutdown()))
    virtual.shutdown()
    virtual.run()
    assert log == []
    virtual.run()
    assert log == ["called"]


def test_shutdown_from_a_handler_lets_the_present_turn_end(loop: Fate, log: Log) -> None:
    loop.call_soon(loop.shutdown)
    loop.call_soon(loop.shutdown)  # a second time does no harm
    loop.call_soon(log.append, "same turn")
    loop.run()
    assert log == ["same turn"]
    loop.call_soon(log.append, "second run")
    loop.call_soon(loop.shutdown)
    loop.run()
    assert log == ["same turn", "second run"]


def test_shutdown_from_another_thread_wakes_the_loop(loop: Fate) -> None:
    thread = threading.Timer(0.005, loop.shutdown)
    thread.start()
    loop.run()
    thread.join()
    assert not loop.is_running()


def test_a_run_that_ended_needs_no_close_to_be_quiet() -> None:
    loop = Fate()
    loop.call_soon(loop.shutdown)
    loop.run()
    gone = weakref.ref(loop)
    del loop
    gc.collect()  # a ResourceWarning would be an error here
    assert gone() is None


# -- awaiting -------------------------------------------------------------------------------------------------------


def test_awaiting_gives_the_value(loop: Fate) -> None:
    async def main() -> object:
        fuse = loop.get_fuse()
        loop.call_soon(fuse.burn, "value")
        return await fuse

    assert loop.run_until_complete(main()) == "value"


def test_awaiting_a_fuse_that_has_burned_gives_the_value_at_once_and_again(loop: Fate) -> None:
    async def main() -> list[object]:
        fuse = loop.get_fuse()
        fuse.burn("value")
        return [await fuse, await fuse]

    assert loop.run_until_complete(main()) == ["value", "value"]


def test_awaiting_a_time_fuse_waits_until_then(virtual: VirtualFate) -> None:
    async def main() -> tuple[object, float]:
        return await virtual.get_fuse(3), virtual.time()

    value, when = virtual.run_until_complete(main())
    assert value is None
    assert when == pytest.approx(3, abs=1e-8)


@pytest.mark.parametrize("before", [True, False])
def test_awaiting_raises_the_error_of_a_fuse_that_fails(loop: Fate, reports: list, before: bool) -> None:
    error = LookupError("why")

    async def main() -> None:
        fuse = loop.get_fuse()
        if before:
            fuse.fail(error)
        else:
            loop.call_soon(fuse.fail, error)
        with pytest.raises(LookupError) as caught:
            await fuse
        assert caught.value is error

    loop.run_until_complete(main())
    gc.collect()
    assert reports == []


@pytest.mark.parametrize("before", [True, False])
def test_awaiting_a_cancelled_fuse_raises_cancelled_error(loop: Fate, before: bool) -> None:
    async def main() -> None:
        fuse = loop.get_fuse()
        if before:
            fuse.cancel()
        else:
            loop.call_soon(fuse.cancel)
        with pytest.raises(asyncio.CancelledError):
            await fuse

    loop.run_until_complete(main())


def test_two_awaiters_and_a_handler_all_hear(loop: Fate, log: Log) -> None:
    async def wait(fuse: Fuse) -> object:
        return await fuse

    async def main() -> list[object]:
        fuse = loop.get_fuse()
        fuse.add_handler(log.note("handler"))
        tasks = [loop.create_task(wait(fuse)) for _ in range(2)]
        await asyncio.sleep(0)
        fuse.burn(7)
        return await asyncio.gather(*tasks)

    assert loop.run_until_complete(main()) == [7, 7]
    turns(loop, 2)
    assert log == ["handler"]


def test_cancelling_one_awaiter_leaves_the_fuse_and_the_other(loop: Fate) -> None:
    async def wait(fuse: Fuse) -> object:
        return await fuse

    async def main() -> object:
        fuse = loop.get_fuse()
        one, other = loop.create_task(wait(fuse)), loop.create_task(wait(fuse))
        await asyncio.sleep(0)
        one.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one
        assert not fuse.is_over()
        fuse.burn("still")
        return await other

    assert loop.run_until_complete(main()) == "still"


def test_wait_for_that_times_out_leaves_nothing_behind(virtual: VirtualFate) -> None:
    async def wait(fuse: Fuse) -> object:
        return await fuse

    async def main() -> None:
        fuse = virtual.get_fuse()
        for _ in range(50):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait(fuse), 1)
        assert fuse._watchers == []
        assert not fuse.is_over()

    virtual.run_until_complete(main())
    assert virtual._timers.count == 0


def test_an_awaited_fuse_that_burned_does_not_wait_for_a_handler(loop: Fate) -> None:
    async def main() -> None:
        fuse = loop.get_fuse()
        loop.call_soon(fuse.burn)
        await fuse
        assert loop.fuses == []

    loop.run_until_complete(main())


def test_awaiting_in_a_task_group_and_gather_works(virtual: VirtualFate) -> None:
    async def wait(seconds: float) -> float:
        await virtual.get_fuse(seconds)
        return seconds

    async def main() -> list[float]:
        return await asyncio.gather(*(wait(seconds) for seconds in (3, 1, 2)))

    assert virtual.run_until_complete(main()) == [3, 1, 2]
    assert virtual.time() == pytest.approx(3, abs=1e-7)


# -- burn, fail, cancel ---------------------------------------------------------------------------------------------


def test_value_is_none_until_it_burns_and_then_what_it_burned_with(loop: Fate) -> None:
    fuse = loop.get_fuse()
    assert fuse.value is None
    fuse.burn([1])
    assert fuse.value == [1]
    assert fuse.error is None


def test_value_of_a_failed_fuse_raises_its_error(loop: Fate) -> None:
    fuse = loop.get_fuse()
    fuse.fail(LookupError("why"))
    with pytest.raises(LookupError, match="why"):
        _ = fuse.value
    assert isinstance(fuse.error, LookupError)


@pytest.mark.parametrize("end", [Fuse.burn, Fuse.cancel, lambda fuse: fuse.fail(ValueError())])
@pytest.mark.parametrize("again", [Fuse.burn, lambda fuse: fuse.fail(ValueError())])
def test_burning_or_failing_a_second_time_is_an_error(
    loop: Fate, end: Callable[[Fuse], object], again: Callable[[Fuse], object]
) -> None:
    fuse = loop.get_fuse()
    end(fuse)
    with pytest.raises(FuseOverError, match=r"second time.*fate.get_fuse\(\)"):
        again(fuse)
    fuse._error_seen = True


@pytest.mark.parametrize("end", [Fuse.burn, Fuse.cancel, lambda fuse: fuse.fail(ValueError())])
def test_cancelling_a_second_time_says_false_and_changes_nothing(loop: Fate, end: Callable[[Fuse], object]) -> None:
    fuse = loop.get_fuse()
    end(fuse)
    before = (fuse.is_burned(), fuse.cancelled(), fuse.error)
    assert fuse.cancel() is False
    assert (fuse.is_burned(), fuse.cancelled(), fuse.error) == before


def test_cancel_says_true_and_no_handler_is_called(virtual: VirtualFate, log: Log) -> None:
    fuse = virtual.get_fuse(1)
    fuse.set_handler(log.note("never"))
    assert fuse.cancel() is True
    assert not fuse.has_handler()
    assert virtual._timers.count == 0
    virtual.call_later(2, virtual.stop)
    virtual.run_forever()
    assert log == []


def test_a_fuse_burned_by_hand_before_its_time_burns_once(virtual: VirtualFate, log: Log) -> None:
    fuse = virtual.get_fuse(1)
    fuse.set_handler(log.note("called"))
    fuse.burn("early")
    virtual.call_later(2, virtual.stop)
    virtual.run_forever()
    assert log == ["called"]
    assert fuse.value == "early"


def test_a_failed_fuse_calls_no_handler(loop: Fate, log: Log) -> None:
    fuse = loop.get_fuse()
    fuse.set_handler(log.note("never"))
    fuse.fail(ValueError())
    turns(loop, 3)
    assert log == []
    assert isinstance(fuse.error, ValueError)


def test_fail_takes_an_exception_or_its_class_and_nothing_else(loop: Fate) -> None:
    fuse = loop.get_fuse()
    with pytest.raises(TypeError, match="takes an exception, not 'oops'"):
        fuse.fail("oops")  # type: ignore[arg-type]
    assert not fuse.is_over()
    fuse.fail(LookupError)  # type: ignore[arg-type]
    assert isinstance(fuse.error, LookupError)


def test_a_failure_that_nobody_looked_at_is_reported_once(loop: Fate, reports: list) -> None:
    loop.get_fuse().fail(LookupError("why"))
    gc.collect()
    (report,) = reports
    assert str(report["exception"]) == "why"
    assert "nobody looked at its error" in report["message"]


@pytest.mark.parametrize("look", [lambda fuse: fuse.error, lambda fuse: pytest.raises(ValueError, lambda: fuse.value)])
def test_a_failure_that_somebody_looked_at_is_not_reported(loop: Fate, reports: list, look: Callable) -> None:
    fuse = loop.get_fuse()
    fuse.fail(ValueError())
    look(fuse)
    del fuse
    gc.collect()
    assert reports == []


def test_burning_from_another_thread_by_call_soon_threadsafe(loop: Fate) -> None:
    fuse = loop.get_fuse()
    thread = threading.Timer(0.003, loop.call_soon_threadsafe, (fuse.burn, "from afar"))
    thread.start()
    run_until(loop, fuse.is_burned)
    thread.join()
    assert fuse.value == "from afar"


def test_closing_the_loop_cancels_its_fuses() -> None:
    loop = Fate()
    fuses = [loop.get_fuse(), loop.get_fuse(10)]
    loop.close()
    assert all(fuse.cancelled() for fuse in fuses)
    assert loop.fuses == []


def test_a_fuse_tells_its_state_its_time_and_its_handlers(virtual: VirtualFate) -> None:
    fuse = virtual.get_fuse(1.5)
    fuse.set_handler(int)
    assert repr(fuse) == "<Fuse burning time=1.500000 handlers=1>"
    fuse.cancel()
    assert repr(fuse) == "<Fuse cancelled>"


# -- | and & --------------------------------------------------------------------------------------------------------


def test_any_burns_with_the_first_and_its_value_is_that_fuse(virtual: VirtualFate) -> None:
    late, early = virtual.get_fuse(2), virtual.get_fuse(1)

    async def main() -> object:
        return await (late | early)

    assert virtual.run_until_complete(main()) is early
    assert virtual.time() == pytest.approx(1, abs=1e-8)
    assert not late.is_over()


def test_all_burns_with_the_last_and_its_value_is_the_tuple_of_theirs(virtual: VirtualFate) -> None:
    one, other = virtual.get_fuse(), virtual.get_fuse(1)

    async def main() -> object:
        virtual.call_later(3, one.burn, "one")
        return await (one & other)

    assert virtual.run_until_complete(main()) == ("one", None)
    assert virtual.time() == pytest.approx(3, abs=1e-8)


def test_three_of_a_kind_are_flattened(loop: Fate) -> None:
    a, b, c = (loop.get_fuse() for _ in range(3))
    anyone, everyone = a | b | c, a & b & c
    assert anyone.parts == (a, b, c)  # type: ignore[attr-defined]
    assert everyone.parts == (a, b, c)  # type: ignore[attr-defined]
    b.burn(2)
    assert anyone.value is b
    a.burn(1)
    c.burn(3)
    assert everyone.value == (1, 2, 3)


def test_any_and_all_nest(loop: Fate) -> None:
    a, b, c = (loop.get_fuse() for _ in range(3))
    either = a & b | c
    assert not either.is_burned()
    a.burn(1)
    assert not either.is_burned()
    b.burn(2)
    assert either.is_burned()
    assert either.value.value == (1, 2)
    both = a & (b | c)
    assert both.value == (1, b)


def test_compounds_of_fuses_that_have_burned_are_burned_at_once(loop: Fate, log: Log) -> None:
    a, b = loop.get_fuse(), loop.get_fuse()
    a.burn("a")
    anyone = b | a
    assert anyone.value is a
    b.burn("b")
    everyone = a & b
    assert everyone.value == ("a", "b")
    everyone.set_handler(log.note("handler"))
    turns(loop, 3)
    assert log == ["handler"]


def test_compounds_look_burned_when_their_parts_times_have_come(virtual: VirtualFate) -> None:
    one, other = virtual.get_fuse(1), virtual.get_fuse(2)
    anyone, everyone = one | other, one & other
    virtual.clock.now = 1.0
    assert anyone.is_burned() and not everyone.is_burned()
    virtual.clock.now = 2.0
    assert everyone.is_burned()


@pytest.mark.parametrize("combine", [lambda a, b: a | b, lambda a, b: a & b])
def test_the_failure_of_a_part_is_the_failure_of_the_whole_and_reported_for_neither(
    loop: Fate, reports: list, combine: Callable[[Fuse, Fuse], Fuse]
) -> None:
    a, b = loop.get_fuse(), loop.get_fuse()
    whole = combine(a, b)
    a.fail(LookupError("why"))
    assert isinstance(whole.error, LookupError)
    del a, b, whole
    gc.collect()
    assert reports == []


def test_the_failure_of_a_compound_that_nobody_looked_at_is_reported_once(loop: Fate, reports: list) -> None:
    a, b = loop.get_fuse(), loop.get_fuse()
    whole = a & b
    a.fail(LookupError("why"))
    del a, b, whole
    gc.collect()
    assert [str(report["exception"]) for report in reports] == ["why"]


def test_cancelling_a_part_cancels_all_at_once_and_any_when_none_is_left(loop: Fate) -> None:
    a, b = loop.get_fuse(), loop.get_fuse()
    anyone, everyone = a | b, a & b
    a.cancel()
    assert everyone.cancelled()
    assert not anyone.is_over()
    b.cancel()
    assert anyone.cancelled()


def test_any_goes_on_with_the_rest_when_a_part_is_cancelled(loop: Fate) -> None:
    a, b = loop.get_fuse(), loop.get_fuse()
    anyone = a | b
    a.cancel()
    b.burn()
    assert anyone.value is b


@pytest.mark.parametrize("combine", [lambda a, b: a | b, lambda a, b: a & b])
def test_cancelling_the_whole_leaves_the_parts_alone_and_lets_go_of_them(
    loop: Fate, combine: Callable[[Fuse, Fuse], Fuse]
) -> None:
    a, b = loop.get_fuse(), loop.get_fuse()
    whole = combine(a, b)
    assert whole.cancel() is True
    assert not a.is_over() and not b.is_over()
    assert a._watchers == [] and b._watchers == []
    a.burn()


def test_a_compound_calls_its_handlers_and_the_parts_call_theirs(loop: Fate, log: Log) -> None:
    a, b = loop.get_fuse(), loop.get_fuse()
    a.set_handler(log.note("a"))
    (a | b).set_handler(log.note("any"))
    both = a & b
    both.set_handler(log.note("all"))
    a.burn()
    turns(loop, 3)
    assert sorted(log) == ["a", "any"]
    b.burn()
    turns(loop, 3)
    assert sorted(log) == ["a", "all", "any"]


@pytest.mark.parametrize("other", [None, 1, "fuse", object()])
def test_fuses_combine_with_fuses_only(loop: Fate, other: object) -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = loop.get_fuse() | other
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = loop.get_fuse() & other


def test_the_same_fuse_twice_is_no_problem(loop: Fate) -> None:
    fuse = loop.get_fuse()
    both, either = fuse & fuse, fuse | fuse
    fuse.burn(1)
    assert both.value == (1, 1)
    assert either.value is fuse


def test_a_time_limit_by_any(virtual: VirtualFate) -> None:
    async def main() -> bool:
        answer, limit = virtual.get_fuse(), virtual.get_fuse(5)
        return await (answer | limit) is limit

    assert virtual.run_until_complete(main())
