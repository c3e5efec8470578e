"""Handlers: how they are set, added, removed and called, and what the article says of them."""

from __future__ import annotations

import contextvars

import pytest
from support import Log, VirtualFate, turns

from fate import Fate
from fate.errors import FuseHandlerError


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
