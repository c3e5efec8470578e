"""Many fuses, handlers and waiters: what is done with them costs in proportion to their number."""

from __future__ import annotations

import asyncio
import operator
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from typing import Any

import pytest
from growth import in_proportion
from support import Log, turns

from fate import Fate, Fuse

COMBINE = pytest.mark.parametrize("combine", [operator.or_, operator.and_])
ORDER = pytest.mark.parametrize("order", [lambda fuses: fuses, lambda fuses: fuses[::-1]], ids=["oldest", "newest"])
Combine = Callable[[Any, Any], Any]
Order = Callable[[list[Any]], list[Any]]
MANY = 200
A_STEP = 60  # calls of functions, generators' steps included, that one operation of a few takes at most


@contextmanager
def steps() -> Iterator[list[int]]:
    """Counts the calls of Python functions, and what generators are resumed."""
    count = [0]

    def tell(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            count[0] += 1

    sys.setprofile(tell)
    try:
        yield count
    finally:
        sys.setprofile(None)


def made(loop: Fate, count: int = MANY) -> list[Fuse]:
    return [loop.get_fuse() for _ in range(count)]


@COMBINE
@pytest.mark.parametrize("from_the_left", [True, False])
def test_a_compound_of_many_is_made_in_so_many_steps(loop: Fate, combine: Combine, from_the_left: bool) -> None:
    fuses = made(loop)
    with steps() as count:
        whole = reduce(combine if from_the_left else lambda all_before, fuse: combine(fuse, all_before), fuses)
    assert whole.parts == tuple(fuses if from_the_left else fuses[::-1])
    assert count[0] < MANY * A_STEP


@COMBINE
@ORDER
@pytest.mark.parametrize("end", [Fuse.burn, Fuse.cancel])
def test_the_parts_of_a_compound_of_many_end_in_so_many_steps(
    loop: Fate, combine: Combine, order: Order, end: Callable[[Fuse], object]
) -> None:
    fuses = made(loop)
    whole = reduce(combine, fuses)
    with steps() as count:
        for fuse in order(fuses):
            end(fuse)
    assert whole.is_over()
    assert count[0] < MANY * A_STEP


@COMBINE
@pytest.mark.parametrize("burned", [range(MANY), range(MANY // 2, MANY)], ids=["all", "half"])
def test_a_compound_of_many_that_have_burned_is_made_in_so_many_steps(
    loop: Fate, combine: Combine, burned: range
) -> None:
    fuses = made(loop)
    for place in burned:
        fuses[place].burn(place)
    with steps() as count:
        whole = reduce(combine, fuses)
    assert count[0] < MANY * A_STEP
    if combine is operator.or_:
        assert whole.value is fuses[burned[0]]
    elif len(burned) == MANY:
        assert whole.value == tuple(range(MANY))


@COMBINE
def test_a_compound_of_many_and_one_more_again_and_again_is_made_in_so_many_steps(loop: Fate, combine: Combine) -> None:
    fuses = made(loop)
    whole = reduce(combine, fuses)
    with steps() as count:
        for fuse in made(loop):
            combine(whole, fuse)
    assert count[0] < MANY * A_STEP


@COMBINE
def test_each_step_of_a_compound_may_be_waited_for(loop: Fate, combine: Combine, log: Log) -> None:
    fuses = made(loop, 5)
    whole = fuses[0]
    for place, fuse in enumerate(fuses[1:]):
        whole = combine(whole, fuse)
        whole.add_handler(log.note(place))
    del whole
    for fuse in fuses:
        fuse.burn()
        turns(loop, 3)
    assert log == [0, 1, 2, 3]


@ORDER
def test_handlers_are_removed_without_a_look_at_all_others(loop: Fate, order: Order) -> None:
    class Handler:
        compared = 0

        def __call__(self) -> None: ...

        def __eq__(self, other: object) -> bool:
            Handler.compared += 1
            return self is other

        def __hash__(self) -> int:
            return id(self)

    fuse = loop.get_fuse()
    handlers = [Handler() for _ in range(MANY)]
    for handler in handlers:
        fuse.add_handler(handler)
    for handler in order(handlers):
        assert fuse.remove_handler(handler) == 1
    assert not fuse.has_handler()
    assert Handler.compared < MANY


def test_a_handler_without_a_hash_is_removed_too(loop: Fate, log: Log) -> None:
    class Handler(list[int]):
        def __call__(self) -> None:
            log.append(list(self))

    fuse = loop.get_fuse()
    for number in (1, 2, 1):
        fuse.add_handler(Handler([number]))
    fuse.add_handler(log.note("last"))
    assert fuse.remove_handler(Handler([1])) == 2
    assert fuse.remove_handler(Handler([1])) == 0
    fuse.add_handler(Handler([1]))
    assert fuse.remove_handler(Handler([1])) == 1
    fuse.burn()
    turns(loop, 3)
    assert log == [[2], "last"]


async def wait(fuse: Fuse) -> object:
    return await fuse


@ORDER
def test_many_tasks_that_await_one_fuse_are_cancelled_in_proportion(loop: Fate, order: Order) -> None:
    def make(count: int) -> Callable[[], None]:
        fuse = loop.get_fuse()
        tasks = [loop.create_task(wait(fuse)) for _ in range(count)]
        turns(loop)

        def cancel() -> None:
            for task in order(tasks):
                task.cancel()
            turns(loop, 3)
            assert not fuse._watchers

        return cancel

    assert in_proportion(make, 500)


@COMBINE
@ORDER
def test_many_tasks_that_await_one_fuse_and_another_are_told_or_cancelled_in_proportion(
    loop: Fate, combine: Combine, order: Order
) -> None:
    def make(count: int) -> Callable[[], None]:
        stop = loop.get_fuse()
        others = made(loop, count)
        tasks = [loop.create_task(wait(combine(stop, other))) for other in others]
        turns(loop)

        def end() -> None:
            for task in order(tasks)[: count // 2]:
                task.cancel()
            for other in order(others)[count // 2 :]:
                other.burn()
            turns(loop, 3)
            stop.burn()
            turns(loop, 3)
            assert all(task.done() for task in tasks)

        return end

    assert in_proportion(make, 500)


def test_many_fuses_wait_for_one_socket_in_so_many_steps(loop: Fate) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with steps() as count:
            fuses = [loop.get_fuse(readable=ours) for _ in range(MANY)]
            for fuse in fuses[::2]:
                fuse.cancel()
        assert count[0] < MANY * A_STEP
        theirs.send(b"x")

        async def main() -> None:
            await asyncio.gather(*map(wait, fuses[1::2]))

        loop.run_until_complete(main())


def test_compounds_nested_both_ways_are_dropped_in_proportion(loop: Fate) -> None:
    x, y = loop.get_fuse(), loop.get_fuse()

    def make(count: int) -> Callable[[], None]:
        def nest() -> None:
            outer = loop.get_fuse()
            for _ in range(count):
                outer = (outer & y) | x

        return nest

    assert in_proportion(make, 300)
