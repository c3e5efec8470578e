"""The article's Fate: `fuses`, `check_fuses`, `run`, `shutdown`; and fuses that wait for a handler."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest
from support import Log, VirtualFate, turns

from fate import Fate


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
