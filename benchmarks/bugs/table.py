"""Hunts as a table, as Markdown, and as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence

from benchmarks.bugs.hunt import Hunt

HEADS = ("bug", "version", "has it", "found", "which search", "runs", "seconds", "the report begins")


def row(hunt: Hunt) -> tuple[str, ...]:
    """One hunt as words."""
    return (
        f"{hunt.title} ({hunt.source})",
        hunt.version,
        "yes" if hunt.buggy else "no",
        "yes" if hunt.found else "no",
        hunt.phase if hunt.found else "all",
        f"{hunt.runs:,}",
        f"{hunt.seconds:.1f}",
        hunt.problem or hunt.first_line,
    )


def text(hunts: Iterable[Hunt]) -> str:
    """For a terminal."""
    rows = [HEADS, *map(row, hunts)]
    widths = [max(len(line[column]) for line in rows) for column in range(len(HEADS))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in rows)


def markdown(hunts: Iterable[Hunt]) -> str:
    """For a README."""
    lines = [HEADS, ("---",) * 5 + ("--:",) * 2 + ("---",), *(_cells(hunt) for hunt in hunts)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(hunt: Hunt) -> Sequence[str]:
    *cells, said = row(hunt)
    said = said.replace("|", "\\|")
    return [*cells, f"`{said}`" if hunt.first_line and not hunt.problem else said]


def as_json(hunts: Iterable[Hunt]) -> str:
    """All that is known."""
    return json.dumps([dataclasses.asdict(hunt) for hunt in hunts], indent=1)
