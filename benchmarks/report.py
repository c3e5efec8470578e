"""The tables: plain text for a terminal, Markdown for the README. Says nothing the summary does not hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.peers import BASELINE, BUILDS, NOTES, SUBJECT, Peer
from benchmarks.registry import Group
from benchmarks.summary import NOISY, Figure, Line, Verdict

LEGEND = (
    f"Cost, lower is better; in brackets how many times as cheap as {BASELINE} (Deferreds: as Twisted), above 1 is "
    "cheaper. "
    "Medians of paired runs, in fresh processes.",
    "±: the median lies within that, with 95 % confidence.",
    f"~ noisy: it may lie in a span of more than {NOISY:.0%}.",
)

ARTEFACT = (
    "*: in a process that freed one block of 8 MB first, so that glibc keeps large buffers instead of mapping anew."
)
TOO_NOISY = 0.2
"""A run in which a larger share of the figures is noisy is not to be quoted."""

SECTIONS = (
    frozenset({Group.MICRO, Group.MEMORY, Group.START}),
    frozenset({Group.NETWORK}),
    frozenset({Group.DEFERRED, Group.STORY}),
    frozenset({Group.REACTOR}),
)
"""Groups of rows that share a table; each table has the columns that have something to say in it."""


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


def throughput_table(lines: Sequence[Line], peers: Sequence[Peer]) -> list[list[str]]:
    """Requests a second, in thousands. The client is the busier side in most rows, so the cost says more."""
    body = [
        [
            line.row.title,
            "k/s",
            *(
                number(figure.throughput / 1000) if figure is not None and figure.throughput else ""
                for figure in (line.figures.get(peer.name) for peer in peers)
            ),
            "",
        ]
        for line in lines
        if any(figure.throughput for figure in line.figures.values())
    ]
    return [["requests a second", "unit", *(peer.title for peer in peers), ""], *body]


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
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *body]).replace(" * |", " \\* |")


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


def noise(lines: Iterable[Line]) -> list[str]:
    figures = [figure for line in lines for figure in line.figures.values() if figure.median is not None]
    noisy = sum(figure.noisy for figure in figures)
    if noisy <= TOO_NOISY * len(figures):
        return []
    return [
        f"TOO NOISY TO QUOTE: {noisy} of {len(figures)} figures are not known within {NOISY:.0%}. A quieter machine?"
    ]


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
    tables = []
    for section in SECTIONS:
        inside = [line for line in lines if line.row.group in section]
        columns = [peer for peer in shown if any(peer.name in line.figures for line in inside)]
        if inside:
            cells = table(inside, columns, check=check, with_spread=not markdown)
            tables.append(as_markdown(cells) if markdown else as_text(cells))
            cells = throughput_table(inside, columns)
            if len(cells) > 1:
                tables.append(as_markdown(cells) if markdown else as_text(cells))
    legend = LEGEND[:1] + LEGEND[2:] if markdown else LEGEND
    notes = [*legend, *(NOTES[peer.name] for peer in shown if peer.name in NOTES)]
    if any(line.row.title.endswith("*") for line in lines):
        notes.append(ARTEFACT.replace("*", "\\*") if markdown else ARTEFACT)
    notes += [f"{line.row.title}: asked by {', '.join(line.clients)}." for line in lines if line.clients]
    parts = [*tables, ("\n\n" if markdown else "\n").join(notes)]
    parts.append("\n".join([*problems(lines, peers, described), *noise(lines)]))
    if check:
        parts.append("\n".join(verdict_lines(lines)))
    return "\n\n".join(part for part in parts if part)
