"""Instruments: told of every handle; one that fails is reported and dropped. The recorder is one."""

from __future__ import annotations

import functools
import threading
import time
from typing import Any

import pytest
from support import DEADLINE, turns

from fate import Fate, Handle, Recorder
from fate.errors import WrongThreadError


class Notes:
    """Notes who ran; may fail where it is told to."""

    def __init__(self, fail_in: str = "") -> None:
        self.fail_in = fail_in
        self.notes: list[tuple[str, int]] = []

    def before(self, handle: Handle) -> None:
        self.notes.append(("before", handle.id))
        if self.fail_in == "before":
            raise LookupError("before")

    def after(self, handle: Handle) -> None:
        self.notes.append(("after", handle.id))
        if self.fail_in == "after":
            raise LookupError("after")


def test_an_instrument_is_told_of_every_handle_before_and_after_it_runs(loop: Fate) -> None:
    notes = Notes()
    loop.set_instrument(notes)
    first = loop.call_soon(lambda: notes.notes.append(("first", 0)))
    second = loop.call_later(0, lambda: 1 / 0)
    cancelled = loop.call_soon(print)
    cancelled.cancel()
    loop.set_exception_handler(lambda *args: None)
    turns(loop, 2)
    assert notes.notes == [
        ("before", first.id),
        ("first", 0),
        ("after", first.id),
        ("before", second.id),
        ("after", second.id),
    ]


@pytest.mark.parametrize("where", ["before", "after"])
def test_an_instrument_that_fails_is_reported_once_and_dropped_and_the_loop_turns_on(
    loop: Fate, reports: list, where: str
) -> None:
    notes = Notes(where)
    ran: list[int] = []
    loop.set_instrument(notes)
    for number in range(3):
        loop.call_soon(ran.append, number)
    turns(loop)
    assert ran == [0, 1, 2]
    (report,) = reports
    assert isinstance(report["exception"], LookupError)
    assert "taken away" in report["message"]
    assert len(notes.notes) == (1 if where == "before" else 2)


def test_an_instrument_may_be_taken_away_by_a_callback_and_hears_no_more(loop: Fate) -> None:
    notes = Notes()
    loop.set_instrument(notes)
    handle = loop.call_soon(loop.set_instrument, None)
    loop.call_soon(lambda: None)
    turns(loop)
    assert notes.notes == [("before", handle.id)]


def test_an_instrument_set_by_a_callback_hears_of_the_next_handle_first(loop: Fate) -> None:
    notes = Notes()
    loop.call_soon(loop.set_instrument, notes)
    handle = loop.call_soon(lambda: None)
    turns(loop)
    assert notes.notes == [("before", handle.id), ("after", handle.id)]


def test_an_instrument_goes_on_working_in_debug_mode(loop: Fate) -> None:
    notes = Notes()
    loop.set_instrument(notes)
    loop.set_debug(True)
    handle = loop.call_soon(lambda: None)
    turns(loop)
    loop.set_debug(False)
    again = loop.call_soon(lambda: None)
    turns(loop)
    assert [id for _, id in notes.notes] == [handle.id, handle.id, again.id, again.id]


def test_an_instrument_that_fails_in_debug_mode_is_dropped_too(loop: Fate, reports: list) -> None:
    ran: list[int] = []
    loop.set_debug(True)
    loop.set_instrument(Notes("before"))
    for number in range(3):
        loop.call_soon(ran.append, number)
    turns(loop)
    assert ran == [0, 1, 2]
    assert [type(report["exception"]) for report in reports] == [LookupError]


def test_an_instrument_that_interrupts_stops_the_loop_and_loses_nothing(loop: Fate) -> None:
    class Interrupts(Notes):
        def after(self, handle: Handle) -> None:
            raise KeyboardInterrupt

    ran: list[int] = []
    loop.set_instrument(Interrupts())
    for number in range(3):
        loop.call_soon(ran.append, number)
    with pytest.raises(KeyboardInterrupt):
        turns(loop)
    loop.set_instrument(None)
    turns(loop)
    assert ran == [0, 1, 2]


def test_two_instruments_both_hear_of_every_handle_the_second_inside_the_first(loop: Fate) -> None:
    order: list[str] = []

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        def before(self, handle: Handle) -> None:
            order.append(f"before {self.name}")

        def after(self, handle: Handle) -> None:
            order.append(f"after {self.name}")

    for name in ("one", "two"):
        loop.set_instrument(Named(name))
    loop.call_soon(order.append, "runs")
    turns(loop)
    assert order == ["before one", "before two", "runs", "after two", "after one"]


def test_an_instrument_that_is_set_twice_hears_of_a_handle_once(loop: Fate) -> None:
    notes = Notes()
    loop.set_instrument(notes)
    loop.set_instrument(notes)
    handle = loop.call_soon(lambda: None)
    turns(loop)
    assert notes.notes == [("before", handle.id), ("after", handle.id)]


@pytest.mark.parametrize("where", ["before", "after"])
def test_of_two_instruments_the_one_that_fails_is_taken_away_alone(loop: Fate, reports: list, where: str) -> None:
    failing, well = Notes(where), Notes()
    loop.set_instrument(failing)
    loop.set_instrument(well)
    ids = [loop.call_soon(lambda: None).id for _ in range(2)]
    turns(loop)
    assert well.notes == [(what, id) for id in ids for what in ("before", "after")]
    assert {id for _, id in failing.notes} == {ids[0]}
    (report,) = reports
    assert repr(failing) in report["message"]


def test_one_instrument_is_removed_and_none_removes_all(loop: Fate) -> None:
    one, two = Notes(), Notes()
    loop.set_instrument(one)
    loop.set_instrument(two)
    loop.remove_instrument(one)
    loop.remove_instrument(Notes())  # was never there
    first = loop.call_soon(lambda: None)
    turns(loop)
    loop.set_instrument(None)
    loop.call_soon(lambda: None)
    turns(loop)
    assert one.notes == []
    assert two.notes == [("before", first.id), ("after", first.id)]


@pytest.mark.parametrize("debug", [False, True])
def test_instruments_that_come_and_go_inside_a_callback_hear_as_many_ends_as_beginnings(
    loop: Fate, debug: bool
) -> None:
    first, second, third = Notes(), Notes(), Notes()
    loop.set_debug(debug)
    loop.set_instrument(first)

    def change() -> None:
        loop.set_instrument(second)
        loop.set_instrument(third)
        loop.remove_instrument(third)

    handle, last = loop.call_soon(change), loop.call_soon(lambda: None)
    turns(loop)
    assert first.notes == [(what, id) for id in (handle.id, last.id) for what in ("before", "after")]
    assert second.notes == [("before", last.id), ("after", last.id)]
    assert third.notes == []


def test_two_recorders_keep_the_same(loop: Fate, reports: list) -> None:
    one, two = Recorder(), Recorder(capacity=1)
    loop.set_instrument(one)
    loop.set_instrument(two)
    loop.call_soon(lambda: 1 / 0)
    turns(loop)
    assert [record.id for record in one.records()] == [record.id for record in two.records()]
    assert [record.id for record in reports[0]["causes"]] == [record.id for record in one.records()]


def test_the_recorder_shows_what_runs_now_last(loop: Fate) -> None:
    recorder = Recorder()
    loop.set_instrument(recorder)
    seen: list[Any] = []

    def blocks() -> None:
        time.sleep(0.002)
        seen.extend([recorder.records(), recorder.running()])

    loop.call_soon(lambda: None)
    handle = loop.call_soon(blocks)
    turns(loop)
    records, (running,) = seen
    assert len(records) == 2
    assert (records[-1].id, records[-1].what) == (handle.id, running.what)
    assert running.what.endswith("blocks") and running.end - running.start >= 2_000_000
    assert recorder.running() == [] and len(recorder.records()) == 2


def test_another_thread_sees_what_blocks_the_loop(loop: Fate) -> None:
    recorder = Recorder()
    loop.set_instrument(recorder)
    blocked, asked = threading.Event(), threading.Event()
    seen: list[Any] = []

    def ask() -> None:
        blocked.wait(DEADLINE)
        seen.extend(recorder.running())
        asked.set()

    def blocks() -> None:
        blocked.set()
        asked.wait(DEADLINE)

    thread = threading.Thread(target=ask)
    thread.start()
    loop.call_soon(blocks)
    turns(loop)
    thread.join()
    assert [record.what.rpartition(".")[2] for record in seen] == ["blocks"]


def test_a_recorder_that_was_taken_away_inside_a_callback_does_not_show_it_as_running_for_ever(loop: Fate) -> None:
    recorder = Recorder()
    loop.set_instrument(recorder)
    loop.call_soon(loop.set_instrument, None)
    turns(loop)
    assert recorder.running() == []


def test_the_recorder_keeps_id_cause_start_end_and_what_was_called(loop: Fate) -> None:
    recorder = Recorder()
    loop.set_instrument(recorder)

    def outer() -> None:
        time.sleep(0.002)
        loop.call_soon(inner)

    def inner() -> None:
        pass

    before = time.monotonic_ns()
    handle = loop.call_soon(outer)
    turns(loop, 2)
    first, second = recorder.records()
    assert (first.id, first.cause, second.cause) == (handle.id, 0, handle.id)
    assert before <= first.start < first.end <= second.start <= second.end <= time.monotonic_ns()
    assert first.end - first.start >= 2_000_000
    assert first.what.endswith("outer") and second.what.endswith("inner")


def test_the_recorders_ring_keeps_the_last_and_oldest_first(loop: Fate) -> None:
    recorder = Recorder(capacity=4)
    loop.set_instrument(recorder)
    handles = [loop.call_soon(lambda: None).id for _ in range(11)]
    assert recorder.records() == []
    turns(loop)
    assert [record.id for record in recorder.records()] == handles[-4:]


def test_the_chain_ends_where_the_ring_does(loop: Fate) -> None:
    recorder = Recorder(capacity=3)
    loop.set_instrument(recorder)
    last: list[int] = []

    def again(left: int) -> None:
        last.append(loop._current_id)
        if left:
            loop.call_soon(again, left - 1)

    loop.call_soon(again, 9)
    turns(loop, 10)
    assert [record.id for record in recorder.chain(last[-1])] == last[:-4:-1]
    assert recorder.chain(123456789) == []


def test_the_recorder_names_tasks_by_their_coroutine_and_partials_by_their_function(loop: Fate) -> None:
    recorder = Recorder()
    loop.set_instrument(recorder)

    async def work() -> None:
        pass

    def function(number: int) -> None:
        pass

    class Callable:
        def __call__(self) -> None:
            pass

        def __repr__(self) -> str:
            return "<a callable>"

    loop.call_soon(functools.partial(function, 1))
    loop.call_soon(Callable())
    loop.run_until_complete(work())
    whats = [record.what for record in recorder.records()]
    assert whats[0].endswith("function")
    assert whats[1] == "<a callable>"
    assert whats[2].startswith("task ") and whats[2].endswith("work")


def test_handles_run_inside_another_are_recorded_each_with_its_own_id(loop: Fate) -> None:
    recorder = Recorder()
    loop.set_instrument(recorder)
    fuse = loop.get_fuse()
    fuse.set_handler(lambda: None)

    def outer() -> None:
        fuse.call_handler()

    handle = loop.call_soon(outer)
    turns(loop)
    inner, last = recorder.records()
    assert (last.id, last.cause, last.what.rpartition(".")[2]) == (handle.id, 0, "outer")
    assert inner.cause == handle.id and inner.id != handle.id
    assert last.start <= inner.start <= inner.end <= last.end


def test_a_recorder_of_no_capacity_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one handle, not 0"):
        Recorder(0)


def test_a_recorder_keeps_what_it_needs_of_a_handle_not_the_handle(loop: Fate) -> None:
    recorder = Recorder()
    loop.set_instrument(recorder)
    handle = loop.call_soon(lambda: None)
    turns(loop)
    import weakref

    gone = weakref.ref(handle)
    del handle
    assert gone() is None
    assert len(recorder.records()) == 1


def test_an_instrument_is_refused_from_another_thread_while_the_loop_runs(loop: Fate) -> None:
    async def main() -> None:
        with pytest.raises(WrongThreadError):
            await loop.run_in_executor(None, loop.set_instrument, None)

    loop.run_until_complete(main())
