"""The article's two programs, as they stand: they take their own time, so they take it side by side."""

from __future__ import annotations

import time

import pytest

from .conftest import EXAMPLES, Outcome, Program, Start


class Timed:
    """A program, and when it began."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.began = time.monotonic()

    def end(self) -> tuple[Outcome, float]:
        return self.program.end(), time.monotonic() - self.began


@pytest.fixture(scope="module")
def article(start_early: Start) -> dict[str, Timed]:
    return {name: Timed(start_early(EXAMPLES / f"{name}.py")) for name in ("mad_hatter", "gunpowder_plot")}


def test_the_firecracker_explodes_in_bens_hands_and_the_universe_ends(article: dict[str, Timed]) -> None:
    outcome, took = article["mad_hatter"].end()
    assert outcome.lines == ["BOOM! Firecracker exploded in the unlucky hands of Ben Eills"]
    assert took >= 2.5  # the shortest fuse, and the two seconds to the end


def test_the_plot_burns_from_fuse_to_fuse_to_the_barrel(article: dict[str, Timed]) -> None:
    outcome, took = article["gunpowder_plot"].end()
    assert outcome.lines == ["...igniting next fuse in chain..."] * 8 + ["Boom! The Houses of Parliament explode!"]
    assert took >= 2.4
