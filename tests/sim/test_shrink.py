"""Shrinking: the fewest and mildest faults, whatever fails."""

from __future__ import annotations

import time
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from fate.sim.shrink import Shrinker


def test_one_of_a_thousand_stays_and_gets_as_mild_as_it_can():
    def fails(faults: Mapping[int, int]) -> bool:
        return faults.get(617, 0) >= 41

    shrinker = Shrinker(fails)
    began = time.perf_counter()
    assert shrinker.shrink(dict.fromkeys(range(1000), 900)) == {617: 41}
    assert shrinker.tries < 100 and time.perf_counter() - began < 10


def test_what_needs_no_fault_gets_none():
    assert Shrinker(lambda faults: True).shrink({1: 5, 2: 7}) == {}


@given(st.dictionaries(st.integers(0, 40), st.integers(1, 50), min_size=1), st.data())
def test_what_is_left_is_needed_and_no_milder_would_do(faults, data):
    needed = data.draw(st.lists(st.sampled_from(sorted(faults)), min_size=1, unique=True))
    at_least = {key: data.draw(st.integers(1, faults[key])) for key in needed}

    def fails(tried: Mapping[int, int]) -> bool:
        return all(tried.get(key, 0) >= value for key, value in at_least.items())

    assert Shrinker(fails).shrink(faults) == at_least


def test_no_combination_is_tried_twice():
    tried = []

    def fails(faults: Mapping[int, int]) -> bool:
        tried.append(frozenset(faults.items()))
        return {3, 9} <= set(faults)

    assert Shrinker(fails).shrink(dict.fromkeys(range(20), 1)) == {3: 1, 9: 1}
    assert len(tried) == len(set(tried))
