"""The tables: plain text for a terminal, Markdown for the README. Says nothing the summary does not hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.peers import BASELINE, BUILDS, NOTES, SUBJECT, Peer
from benchmarks.summary import NOISY, Figure, Line, Verdict

LEGEND = (
    f"Cost, lower is better; in brackets how many times as cheap as {BASELINE} (Deferreds: as Twisted), above 1 is "
    "cheaper. "
    "Medians of paired runs, each in a fresh process.",
    "±: half of what the middle half of the repetitions spans.",
    f"~ noisy: the middle half of the repetitions spans more than {NOISY:.0%}.",
)


def number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def cell(figure: Figure | None, with_spread: bool) -> str:
    """``143 (1.36 ±2%)``; the spread is the ratio's where there is one. A cell that could not be measured: ``-``."""
    if figure is None:
        return ""
    if figure.median is None:
        return "-"
    spread = f" ±{figure.spread / 2:.0%}" if with_spread and figure.spread is not None else ""
    figures = number(figure.median) + (f" ({figure.ratio:.2f}{spread})" if figure.ratio is not None else spread)
    return f"~{figures}" if figure.noisy else figures


def verdict_word(verdict: Verdict) -> str:
    if verdict.met is None:
        return "not measured"
    return ("met" if verdict.met else "MISSED") + (", noisy" if verdict.noisy else "")


def targets_cell(line: Line, check: bool) -> str:
    own = [verdict for verdict in line.verdicts if verdict.peer == SUBJECT]
    return "; ".join(f"{v.asked} {verdict_word(v)}" if check else v.asked for v in own)


def table(lines: Sequence[Line], peers: Sequence[Peer], *, check: bool, with_spread: bool) -> list[list[str]]:
    """Header first. A column for each peer, one for Fate's targets."""
    header = ["", "unit", *(peer.title for peer in peers), "target" if check else "Fate's target"]
    body = [
        [
            line.row.title,
            line.row.unit,
            *(cell(line.figures.get(peer.name), with_spread) for peer in peers),
            targets_cell(line, check),
        ]
        for line in lines
    ]
    return [header, *body]


def as_text(cells: Sequence[Sequence[str]]) -> str:
    """Aligned: names to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    last = len(widths) - 1

    def render(row: Sequence[str]) -> str:
        parts = [
            text.ljust(width) if place in (0, 1, last) else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(parts).rstrip()

    header, *body = cells
    return "\n".join([render(header), "  ".join("-" * width for width in widths), *map(render, body)])


def as_markdown(cells: Sequence[Sequence[str]]) -> str:
    header, *body = cells
    last = len(header) - 1
    rule = ["---" if place in (0, 1, last) else "--:" for place in range(len(header))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *body]).replace("asyncio *", "asyncio \\*")


def problems(lines: Iterable[Line], peers: Sequence[Peer], described: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Why a column or a cell is empty, and a Fate that is not the build its column says."""
    found = [f"{peer.title}: {reason}" for peer in peers if (reason := described[peer.name].get("problem"))]
    for name, compiled in BUILDS.items():
        build = described.get(name, {})
        if "compiled" in build and build["compiled"] is not compiled:
            found.append(f"{name}: fate.compiled is {build['compiled']}, so this is not the build its column says")
    by_reason: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        for name, figure in line.figures.items():
            if figure.problem:
                by_reason.setdefault((line.row.title, figure.problem), []).append(name)
    return found + [f"{title} ({', '.join(names)}): {reason}" for (title, reason), names in by_reason.items()]


def verdict_lines(lines: Iterable[Line]) -> list[str]:
    return [
        f"{verdict_word(v):13} {line.row.name} ({v.peer}): asked {v.asked}"
        + (f", found {v.found:.2f}" if v.found is not None else "")
        for line in lines
        for v in line.verdicts
    ]


def report(
    lines: Sequence[Line],
    peers: Sequence[Peer],
    described: Mapping[str, Mapping[str, object]],
    *,
    markdown: bool = False,
    check: bool = False,
) -> str:
    shown = [peer for peer in peers if any(peer.name in line.figures for line in lines)]
    cells = table(lines, shown, check=check, with_spread=not markdown)
    legend = LEGEND[:1] + LEGEND[2:] if markdown else LEGEND
    notes = [*legend, *(NOTES[peer.name] for peer in shown if peer.name in NOTES)]
    parts = [as_markdown(cells) if markdown else as_text(cells), ("\n\n" if markdown else "\n").join(notes)]
    parts.append("\n".join(problems(lines, peers, described)))
    if check:
        parts.append("\n".join(verdict_lines(lines)))
    return "\n\n".join(part for part in parts if part)
