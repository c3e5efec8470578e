"""What an operation is, and the list of them. Nothing is run here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fate import Fate

Work = Callable[[Fate, int], Iterator[None]]


@dataclass(frozen=True)
class Operation:
    """Something done n times.

    ``work(loop, n)`` prepares, yields, does what is measured, yields, and tidies up. ``most``: the largest n that makes
    sense, for what needs a descriptor each, say.
    """

    name: str
    title: str
    work: Work
    most: int


MOST = 100_000
OPERATIONS: dict[str, Operation] = {}


def operation(title: str, most: int = MOST) -> Callable[[Work], Work]:
    """Register the decorated generator under its name, with dashes."""

    def register(work: Work) -> Work:
        name = work.__name__.replace("_", "-")
        if name in OPERATIONS:
            raise ValueError(f"two operations are named {name!r}")
        OPERATIONS[name] = Operation(name, title, work, most)
        return work

    return register
