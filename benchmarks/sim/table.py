"""The rows, what Fate has to reach in each, and the table of one run. Nothing is measured here."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.sim.simulators import SIMULATORS, Simulator

SUBJECT = "fate"
Figures = Mapping[str, Mapping[str, Sequence[float]]]
"""Row: simulator: a figure for each repetition."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    size: what the child is given. times: how many times as fast as the fastest rival Fate shall be. least: so many a
    second at least. sockets: rivals are those that simulate TCP.
    """

    name: str
    title: str
    size: int
    times: float
    least: float = 0
    sockets: bool = False

    def rivals(self) -> list[str]:
        """Whom Fate is compared with: those who explore."""
        return [s.name for s in SIMULATORS.values() if s.requirement and s.explores and (s.tcp or not self.sockets)]

    @property
    def goal(self) -> str:
        """In words."""
        best = f"{self.times:g} times the best that explores"
        return f"{self.least:,.0f}, and {best}" if self.least else best


ROWS = {
    row.name: row
    for row in (
        Row("ping-pong", "messages/s, ping-pong over TCP, streams", 5_000, 3, sockets=True),
        Row("sleeps", "callbacks/s, sleep(0)", 30_000, 3, 1_000_000),
        Row("tiny", "tiny simulations/s", 100, 2, 15_000),
    )
}
HISTORIES = "distinct histories of one seed in {} processes"
NOTES = (
    "Medians of paired runs, each in a fresh process, by its CPU time. In brackets: Fate's figure divided by the "
    "simulator's in the same repetition.",
    "Fate: time, network and chance are simulated, no fault is drawn. Fate, drawn: order, latencies, split segments, "
    "clocks, names and jobs are drawn from the seed, as simloop, simloom and detangle always do.",
    "seedloop: messages between its own endpoints, not TCP; it does not explore orders.",
)


def reached(row: Row, figures: Figures) -> float | None:
    """Fate's figure as a multiple of the fastest rival's, the median over repetitions; None: nothing to compare."""
    of = figures.get(row.name, {})
    rivals = [of[name] for name in row.rivals() if of.get(name)]
    if not rivals or not of.get(SUBJECT):
        return None
    return statistics.median(own / max(others) for own, *others in zip(of[SUBJECT], *rivals, strict=True))


def met(row: Row, figures: Figures) -> bool | None:
    """Whether Fate reaches the row's goal; None: it cannot be told."""
    times = reached(row, figures)
    if times is None:
        return None
    return times >= row.times and statistics.median(figures[row.name][SUBJECT]) >= row.least


def table(
    figures: Figures, histories: Mapping[str, int], processes: int, columns: Sequence[Simulator]
) -> list[list[str]]:
    """The header, and a line for each row."""
    lines = [["", *(column.title for column in columns), "goal", "reached"]]
    for row in ROWS.values():
        of = figures.get(row.name, {})
        cells = [_cell(of, column) for column in columns]
        times, well = reached(row, figures), met(row, figures)
        told = "" if times is None else f"{times:.1f} times{'' if well else ', MISSED'}"
        lines.append([row.title, *cells, row.goal, told])
    if histories:
        counts = [str(histories.get(column.name, "-")) for column in columns]
        told = "" if SUBJECT not in histories else "yes" if histories[SUBJECT] == 1 else "MISSED"
        lines.append([HISTORIES.format(processes), *counts, "1", told])
    return lines


def _cell(of: Mapping[str, Sequence[float]], column: Simulator) -> str:
    values = of.get(column.name)
    if not values:
        return "-"
    text = f"{statistics.median(values):,.0f}"
    if column.requirement and of.get(SUBJECT):
        ratio = statistics.median(own / other for own, other in zip(of[SUBJECT], values, strict=True))
        text += f" ({ratio:.1f})"
    return text


def plain(lines: Sequence[Sequence[str]]) -> str:
    """For a terminal."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """For the README."""
    head, *body = lines
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *body])
