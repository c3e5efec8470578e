"""What a row is, and the list of them.

A row is a function from a :class:`~benchmarks.bench.Bench` to a number (or a :class:`Measured`, to keep details
beside it), registered by :func:`row`. Its targets stand in the decorator and nowhere else. Nothing is run here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.bench import Bench


class Group(StrEnum):
    """Kinds of rows; a peer may be measured in some of them only."""

    MICRO = "micro"
    MEMORY = "memory"
    START = "start"
    NETWORK = "network"
    DEFERRED = "deferred"
    STORY = "story"
    REACTOR = "reactor"


class Unavailable(Exception):
    """The row cannot be measured here, and why (no compiler, one core, not Linux)."""


@dataclass(frozen=True)
class Measured:
    """One measurement: the value in the row's unit, and what else is worth keeping in the JSON."""

    value: float
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Times:
    """At least ``ratio`` times as cheap as peer ``against``, measured in the same repetition."""

    ratio: float
    against: str = "uvloop"

    def __str__(self) -> str:
        return f"{self.ratio:g}x {self.against}"


@dataclass(frozen=True)
class AtMost:
    """At most ``limit`` in the row's unit, after rounding to a whole unit."""

    limit: int

    def __str__(self) -> str:
        return f"at most {self.limit}"


@dataclass(frozen=True)
class AsCheapAsAny:
    """Not dearer than any peer measured in the row, each within its repetitions."""

    def __str__(self) -> str:
        return "first"


Target = Times | AtMost | AsCheapAsAny
Measure = Callable[["Bench"], "float | Measured"]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    ``relative`` says whether ratios between loops mean anything; ``resolution`` is the spread, in the row's
    unit, below which a row is never called noisy; ``variables`` go into the environment of its processes;
    ``baseline`` is the peer to take ratios to, if not the table's; ``quick`` whether the quick mode has the row.
    ``of_turn``: its processes are there at the same time and take turns, and this makes the value of what the load
    generator found.
    """

    name: str
    title: str
    unit: str
    group: Group
    measure: Measure
    targets: tuple[Target, ...] = ()
    relative: bool = True
    resolution: float = 0.0
    variables: Mapping[str, str] = field(default_factory=dict)
    baseline: str | None = None
    quick: bool = True
    of_turn: Callable[[Mapping[str, Any]], float] | None = None


ROWS: dict[str, Row] = {}


def add(new: Row) -> None:
    """Put a row at the end of the table."""
    if new.name in ROWS:
        raise ValueError(f"two rows are named {new.name!r}")
    ROWS[new.name] = new


def row(
    title: str,
    unit: str,
    group: Group,
    *targets: Target,
    relative: bool = True,
    resolution: float = 0.0,
    variables: Mapping[str, str] | None = None,
    baseline: str | None = None,
) -> Callable[[Measure], Measure]:
    """Register the decorated function as a row named like it, with dashes."""

    def register(measure: Measure) -> Measure:
        name = measure.__name__.replace("_", "-")
        add(Row(name, title, unit, group, measure, targets, relative, resolution, variables or {}, baseline))
        return measure

    return register
