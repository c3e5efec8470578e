"""Fuses made of others: `a | b` and `a & b`."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import pytest
from support import Log, VirtualFate, turns

from fate import Fate, Fuse


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
    assert not a._watchers and not b._watchers
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


def test_fuses_of_fuses_may_be_nested_deeply(loop: Fate) -> None:
    x, y = loop.get_fuse(), loop.get_fuse()
    outer = x & y
    for _ in range(3000):
        outer = (outer & y) | x
    y.burn()
    x.burn()
    assert outer.is_over()
    loop.run_until_complete(asyncio.wait_for(outer, 10))
