"""From raw values to what is reported: medians, ratios taken inside a repetition or turn, how sure they are, targets.

Works on plain data, so that a kept JSON file can be reported again. Knows no process and no table.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from benchmarks.peers import BASELINE, COMPETITORS, Peer, targets_of
from benchmarks.registry import AsCheapAsAny, AtMost, Row, Target
from benchmarks.runner import Cell, Cells

NOISY = 0.10
"""A figure whose median is not known better than within this share of it is marked noisy."""


@dataclass(frozen=True)
class Verdict:
    """A target: what was asked, what came out, and whether that will do (``None``: could not be told)."""

    peer: str
    asked: str
    found: float | None
    met: bool | None
    noisy: bool = False


@dataclass(frozen=True)
class Figure:
    """One cell: the median, its ratio to the baseline, how well that is known, and requests a second."""

    median: float | None
    ratio: float | None = None
    spread: float | None = None
    noisy: bool = False
    problem: str | None = None
    throughput: float | None = None


@dataclass(frozen=True)
class Line:
    """One row of the table, by the peer's name; ``clients`` are the programs that asked, if it was not ours."""

    row: Row
    figures: dict[str, Figure] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    clients: tuple[str, ...] = ()


def uncertainty(values: Sequence[float]) -> float:
    """The width of the interval in which the median lies with 95 % confidence, whatever the values' distribution.

    Between the extremes when there are fewer than six values. Source: the sign test, inverted.
    """
    ordered = sorted(values)
    beyond = max(0, math.floor((len(ordered) - 1.96 * math.sqrt(len(ordered))) / 2))
    return ordered[-1 - beyond] - ordered[beyond]


def paired_ratios(base: Sequence[float | None], values: Sequence[float | None]) -> list[float]:
    """The base's cost over the loop's in each repetition where both were measured: above 1 is cheaper."""
    return [b / v for b, v in zip(base, values, strict=False) if b is not None and v is not None and b > 0 < v]


def summarise(row: Row, cells: Cells, peers: Iterable[Peer], baseline: str = BASELINE) -> Line:
    figures = {
        name: replace(figure(row, cells, name, row.baseline or baseline), throughput=throughput(cells[name]))
        for name in cells
    }
    verdicts = tuple(
        verdict(row, cells, peer, target) for peer in peers if peer.name in cells for target in targets_of(row, peer)
    )
    clients = sorted({details["client"] for cell in cells.values() for details in cell.details if "client" in details})
    return Line(row, figures, verdicts, tuple(clients))


def throughput(cell: Cell) -> float | None:
    counted = [kept["requests_per_second"] for kept in cell.details if "requests_per_second" in kept]
    return statistics.median(counted) if counted else None


def figure(row: Row, cells: Cells, name: str, baseline: str) -> Figure:
    cell = cells[name]
    values = [value for value in cell.values if value is not None]
    if not values:
        return Figure(None, problem=cell.problem)
    median = statistics.median(values)
    ratios = paired_ratios(cells[baseline].values, cell.values) if row.relative and baseline in cells else []
    if ratios and name != baseline:
        ratio = statistics.median(ratios)
        spread = uncertainty(ratios) / ratio
        return Figure(median, ratio, spread, spread > NOISY and uncertainty(values) > row.resolution, cell.problem)
    span = uncertainty(values)
    spread = span / max(abs(median), row.resolution, 1e-9)
    return Figure(median, None, spread, spread > NOISY and span > row.resolution, cell.problem)


def verdict(row: Row, cells: Cells, peer: Peer, target: Target) -> Verdict:
    if isinstance(target, AsCheapAsAny):
        return verdict_of_all(row, cells, peer)
    against = None if isinstance(target, AtMost) else target.against
    if against is not None and against not in cells:
        return Verdict(peer.name, str(target), None, None)
    own = figure(row, cells, peer.name, against or "")
    if isinstance(target, AtMost):
        met = None if own.median is None else round(own.median) <= target.limit
        return Verdict(peer.name, str(target), own.median, met, own.noisy)
    met = None if own.ratio is None else own.ratio >= target.ratio
    return Verdict(peer.name, str(target), own.ratio, met, own.noisy)


def verdict_of_all(row: Row, cells: Cells, peer: Peer) -> Verdict:
    """Against the peer that comes nearest, or is ahead by most."""
    figures = {name: figure(row, cells, peer.name, name) for name in COMPETITORS if name in cells}
    ratios = {name: found for name, found in figures.items() if found.ratio is not None}
    if not ratios:
        return Verdict(peer.name, "first", None, None)
    nearest = min(ratios, key=lambda name: ratios[name].ratio or 0)
    found = ratios[nearest]
    return Verdict(peer.name, f"first; next {nearest}", found.ratio, (found.ratio or 0) >= 1, found.noisy)
