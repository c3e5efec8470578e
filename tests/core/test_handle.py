"""A handle: what it calls, its id and cause, taking it back, and letting go."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref

import pytest
from support import VirtualFate, turns

from fate import Fate, Handle, TimerHandle


def test_call_soon_gives_a_handle_and_call_later_a_timer_handle_with_its_time(virtual: VirtualFate) -> None:
    assert type(virtual.call_soon(print)) is Handle
    timer = virtual.call_later(2.5, print)
    assert type(timer) is TimerHandle
    assert isinstance(timer, Handle)
    assert timer.when() == 2.5
    virtual._forget_all()


def test_ids_count_up_from_one(loop: Fate) -> None:
    first = Fate()
    start = first.call_soon(print).id
    assert start >= 1
    assert [first.call_soon(print).id, first.call_later(1, print).id, first.call_at(1, print).id] == [
        start + 1,
        start + 2,
        start + 3,
    ]
    first.close()


def test_a_cancelled_handle_does_not_run_and_says_so(virtual: VirtualFate) -> None:
    ran: list[str] = []
    soon = virtual.call_soon(ran.append, "soon")
    later = virtual.call_later(1, ran.append, "later")
    assert not soon.cancelled() and not later.cancelled()
    soon.cancel()
    later.cancel()
    assert soon.cancelled() is True and later.cancelled() is True
    virtual.call_later(2, virtual.stop)
    virtual.run_forever()
    assert ran == []


def test_cancelling_twice_or_after_it_ran_does_nothing(virtual: VirtualFate) -> None:
    ran: list[str] = []
    soon = virtual.call_soon(ran.append, "soon")
    later = virtual.call_later(0, ran.append, "later")
    turns(virtual, 2)
    for handle in (soon, later):
        handle.cancel()
        handle.cancel()
    turns(virtual, 2)
    assert ran == ["soon", "later"]


def test_a_handle_may_cancel_one_of_the_same_turn_before_its_time_comes(loop: Fate) -> None:
    ran: list[str] = []
    handles: list[Handle] = []
    loop.call_soon(lambda: handles[0].cancel())
    handles.append(loop.call_soon(ran.append, "second"))
    loop.call_soon(ran.append, "third")
    turns(loop)
    assert ran == ["third"]


def test_a_timer_may_cancel_another_that_is_due_at_the_same_time(virtual: VirtualFate) -> None:
    ran: list[str] = []
    handles: list[TimerHandle] = []
    virtual.call_at(1.0, lambda: handles[0].cancel())
    handles.append(virtual.call_at(1.0, ran.append, "second"))
    virtual.call_at(1.0, ran.append, "third")
    virtual.call_at(2.0, virtual.stop)
    virtual.run_forever()
    assert ran == ["third"]


def test_a_handle_may_cancel_itself_while_it_runs(loop: Fate) -> None:
    ran: list[str] = []
    handles: list[Handle] = []

    def callback() -> None:
        handles[0].cancel()
        ran.append("to the end")

    handles.append(loop.call_soon(callback))
    turns(loop)
    assert ran == ["to the end"]
    assert handles[0].cancelled()


def test_a_timer_handle_that_fails_after_cancelling_itself_is_reported(virtual: VirtualFate, reports: list) -> None:
    handles: list[TimerHandle] = []

    def callback() -> None:
        handles[0].cancel()
        raise ValueError("after all")

    handles.append(virtual.call_later(1, callback))
    virtual.call_later(2, virtual.stop)
    virtual.run_forever()
    assert [str(context["exception"]) for context in reports] == ["after all"]


@pytest.mark.parametrize("method", ["call_soon", "call_later", "call_soon_threadsafe"])
def test_a_handle_that_has_run_keeps_nothing_alive(loop: Fate, method: str) -> None:
    class Thing:
        def __call__(self, other: object) -> None:
            pass

    callback, argument = Thing(), Thing()
    gone = [weakref.ref(callback), weakref.ref(argument)]
    kept = (
        loop.call_later(0, callback, argument) if method == "call_later" else getattr(loop, method)(callback, argument)
    )
    del callback, argument
    gc.disable()  # it goes at once, not when the collector comes
    try:
        assert all(ref() is not None for ref in gone)
        turns(loop, 2)
        assert [ref() for ref in gone] == [None, None]
    finally:
        gc.enable()
    assert kept.get_context() is None


@pytest.mark.parametrize("delay", [None, 3600.0, float("inf")])
def test_a_cancelled_handle_keeps_nothing_alive(loop: Fate, delay: float | None) -> None:
    class Thing:
        def __call__(self) -> None:
            pass

    callback = Thing()
    gone = weakref.ref(callback)
    handle = loop.call_soon(callback) if delay is None else loop.call_later(delay, callback)
    del callback
    gc.disable()
    try:
        assert gone() is not None
        handle.cancel()
        assert gone() is None
    finally:
        gc.enable()


def test_a_context_is_given_to_the_callback_and_told_by_the_handle(loop: Fate) -> None:
    variable = contextvars.ContextVar("variable", default="default")
    seen: list[str] = []
    context = contextvars.copy_context()
    context.run(variable.set, "given")
    handle = loop.call_soon(lambda: seen.append(variable.get()), context=context)
    assert handle.get_context() is context
    token = variable.set("at the call")
    loop.call_soon(lambda: seen.append(variable.get()))
    loop.call_later(0, lambda: seen.append(variable.get()))
    variable.reset(token)
    turns(loop, 2)
    assert seen == ["given", "at the call", "at the call"]


@pytest.mark.parametrize("method", ["call_soon", "call_later"])
def test_a_callback_keeps_its_context_when_a_value_that_dies_as_it_is_scheduled_schedules_too(
    loop: Fate, method: str
) -> None:
    variable: contextvars.ContextVar[object] = contextvars.ContextVar("variable")
    seen: list[object] = []
    other = contextvars.copy_context()
    other.run(variable.set, "other")

    def schedule() -> None:
        if method == "call_soon":
            loop.call_soon(lambda: seen.append(variable.get()))
        else:
            loop.call_later(0, lambda: seen.append(variable.get()))

    class Mortal:
        def __del__(self) -> None:
            other.run(schedule)

    def mine() -> None:
        variable.set(Mortal())
        loop.call_soon(print).cancel()
        variable.set("mine")
        schedule()

    contextvars.copy_context().run(mine)
    turns(loop, 2)
    assert sorted(map(str, seen)) == ["mine", "other"]


def test_what_a_callback_sets_in_its_context_stays_there(loop: Fate) -> None:
    variable = contextvars.ContextVar("variable", default="outside")
    context = contextvars.copy_context()
    loop.call_soon(variable.set, "inside", context=context)
    turns(loop)
    assert variable.get() == "outside"
    assert context[variable] == "inside"


def test_a_context_that_is_entered_already_is_an_error_of_that_callback_alone(loop: Fate, reports: list) -> None:
    ran: list[str] = []
    context = contextvars.copy_context()

    def enter() -> None:
        loop.call_soon(ran.append, "never", context=context)
        loop.call_soon(ran.append, "next")
        turns_inside()

    def turns_inside() -> None:
        loop.turn()

    context.run(enter)
    assert ran == ["next"]
    assert [type(report["exception"]) for report in reports] == [RuntimeError]


def test_timer_handles_sort_by_time_and_then_by_creation(loop: Fate) -> None:
    late, early, twin = loop.call_at(2, print), loop.call_at(1, print), loop.call_at(1, print)
    assert sorted([late, twin, early]) == [early, twin, late]
    assert early < twin and not twin < early
    loop._forget_all()


def test_run_runs_a_handle_by_hand_and_reports_its_error(loop: Fate, reports: list) -> None:
    ran: list[str] = []
    loop.call_soon(ran.append, "by hand")._run()
    assert ran == ["by hand"]
    loop.call_soon(lambda: 1 / 0)._run()
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]
    loop._forget_all()


def test_a_handle_tells_what_it_calls_where_and_when_and_then_that_it_is_over(virtual: VirtualFate) -> None:
    def greet(name: str) -> None:
        pass

    soon = virtual.call_soon(greet, "Alice")
    later = virtual.call_at(2.5, greet, "Bob")
    assert "greet(" in repr(soon)
    assert __file__ in repr(soon)
    assert "when=2.5" in repr(later)
    turns(virtual)
    assert repr(soon) == f"<Handle {soon.id} finished>"
    later.cancel()
    assert repr(later) == f"<TimerHandle {later.id} cancelled>"


def test_handles_have_the_underscored_names_that_other_peoples_code_reads(loop: Fate) -> None:
    def callback(number: int) -> None:
        pass

    handle = loop.call_later(10, callback, 1)
    assert handle._callback is callback
    assert handle._args == (1,)
    assert handle._loop is loop
    assert not handle._cancelled
    assert handle._scheduled
    assert handle._source_traceback is None
    handle.cancel()
    assert handle._cancelled
    assert not handle._scheduled


def test_a_timer_is_no_longer_scheduled_when_it_has_run(virtual: VirtualFate) -> None:
    timer = virtual.call_later(0, lambda: None)
    assert timer._scheduled
    turns(virtual)
    assert not timer._scheduled


def test_every_public_method_of_asyncios_handles_is_there() -> None:
    for ours, theirs in ((Handle, asyncio.Handle), (TimerHandle, asyncio.TimerHandle)):
        assert {name for name in dir(theirs) if not name.startswith("_")} <= set(dir(ours))


def test_handles_can_be_kept_in_sets_and_dicts() -> None:
    loop = Fate()
    try:
        soon, later, other = loop.call_soon(print), loop.call_later(60, print), loop.call_later(60, print)
        assert len({soon, later, other, later}) == 3
        assert {later: 1}[later] == 1
        assert later != other
    finally:
        loop.close()
