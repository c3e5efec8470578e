"""What several operations need."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from fate import Fate

T = TypeVar("T")
ORDERS = ("oldest first", "newest first", "in any order")


def nothing() -> None:
    """A callback."""


def turns(loop: Fate, count: int = 1) -> None:
    for _ in range(count):
        loop.stop()
        loop.run_forever()


def ordered(things: Sequence[T], order: str) -> list[T]:
    """In one of ORDERS; any order is the same each time."""
    if order == "newest first":
        return list(reversed(things))
    mixed = list(things)
    if order == "in any order":
        random.Random(1865).shuffle(mixed)
    return mixed
