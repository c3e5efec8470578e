"""The benchmark that doubles the work: each operation runs, and what is square is told from what is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.growth import measure
from benchmarks.growth.measure import Growth, Point
from benchmarks.growth.operations import OPERATIONS
from benchmarks.growth.registry import Operation
from benchmarks.registry import Unavailable
from fate import Fate


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_runs(name: str) -> None:
    try:
        assert measure.sample(OPERATIONS[name], 16, settled=False) > 0
    except Unavailable as reason:
        pytest.skip(str(reason))


def linear(loop: Fate, n: int) -> Iterator[None]:
    yield
    sum(place & 3 for place in range(50 * n))
    yield


def square(loop: Fate, n: int) -> Iterator[None]:
    yield
    sum(place & 3 for place in range(n * n))
    yield


def test_what_is_square_is_told_from_what_is_linear() -> None:
    assert not measure.measure(Operation("linear", "", linear, 100_000), 1600, samples=1).grows
    assert measure.measure(Operation("square", "", square, 100_000), 1600, samples=1).grows


def test_the_verdict_is_that_of_the_last_two_doublings() -> None:
    def growth(*ns: float) -> Growth:
        return Growth(tuple(Point(100 << place, cost) for place, cost in enumerate(ns)))

    assert growth(1, 10, 100, 200, 400).grows is False
    assert growth(100, 200, 400, 1200, 4000).grows is True
    assert growth(1, 2, 4).a_doubling == 2.0


def test_an_operation_makes_no_more_than_it_can() -> None:
    few = Operation("few", "", linear, 160)
    assert measure.measure(few, 100_000, samples=1).last.n == 160
