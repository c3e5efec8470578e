"""Shrinking: the fewest and mildest faults with which a run still fails.

First faults are taken away until none can go: in halves, quarters and so on (ddmin: Zeller and Hildebrandt,
Simplifying and Isolating Failure-Inducing Input, 2002). Then each that stays is made milder, by bisection. Chance is
a function here, so taking one fault away moves no other; what the program then does may still differ.

Nothing of universes is known here: faults are values by key, and `fails` tries some.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


class Shrinker:
    """Tries ever fewer faults.

    fails: tells whether the run still fails, in the same way, with just these faults. tries: how often it was asked.
    """

    def __init__(self, fails: Callable[[Mapping[K, int]], bool]) -> None:
        self._fails: Callable[..., bool] = fails
        self._known: dict[frozenset[object], bool] = {}
        self.tries = 0

    def shrink(self, faults: Mapping[K, int]) -> dict[K, int]:
        """The faults that are needed, each as mild as can be. `faults` must fail."""
        left = dict(faults)
        while True:
            fewer = self._remove(left)
            milder = self._soften(fewer)
            if milder == left:
                return left
            left = milder

    def _fail(self, faults: Mapping[K, int]) -> bool:
        key = frozenset(faults.items())
        known = self._known.get(key)
        if known is None:
            self.tries += 1
            known = self._known[key] = self._fails(faults)
        return known

    def _remove(self, faults: dict[K, int]) -> dict[K, int]:
        if self._fail({}):
            return {}
        parts = 2
        while len(faults) > 1:
            keys = list(faults)
            size = -(-len(keys) // parts)
            chunks = [set(keys[start : start + size]) for start in range(0, len(keys), size)]
            for chunk in chunks:
                only = {key: value for key, value in faults.items() if key in chunk}
                without = {key: value for key, value in faults.items() if key not in chunk}
                if self._fail(only):
                    faults, parts = only, 2
                    break
                if len(chunks) > 2 and self._fail(without):
                    faults, parts = without, max(parts - 1, 2)
                    break
            else:
                if size == 1:
                    break
                parts = min(parts * 2, len(keys))
        return faults

    def _soften(self, faults: dict[K, int]) -> dict[K, int]:
        for key, value in list(faults.items()):
            passes, low = 0, value
            if value > 1 and self._fail({**faults, key: 1}):
                low = 1
            while low - passes > 1:
                middle = (passes + low) // 2
                if self._fail({**faults, key: middle}):
                    low = middle
                else:
                    passes = middle
            faults = {**faults, key: low}
        return faults
