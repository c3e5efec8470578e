"""Charts of a kept run, as SVG: ``python -m benchmarks.charts results/latest.json FOLDER``.

Drawn with matplotlib, so it runs in the environment of the peers. Each chart compares what a row costs: a dot a loop,
as far to the right as it is cheaper than the baseline, Fate's in colour, what cannot be beaten as a tick. Says nothing
that the table does not say.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from benchmarks import record, rows
from benchmarks.peers import BASELINE, PEERS, SUBJECT, Peer
from benchmarks.registry import Group
from benchmarks.summary import Line, summarise

INK, GREY, FAINT, ACCENT = "#24292f", "#57606a", "#d8dee4", "#c2410c"
DARK = {INK: "#e6edf3", GREY: "#9198a1", FAINT: "#3d444d"}  # on dark pages
CEILINGS = {"c": INK, "floor": "#d946ef"}
COLOURS = ("#4c78a8", "#72b7b2", "#54a24b", "#b279a2", "#eeca3b", "#9d755d", "#79706e", "#1f9e89", "#7b6fd0", "#bab0ac")
MARKERS = "osD^vPX<>h"
ROW_HEIGHT, WIDTH = 0.42, 9.6
LEAST = 0.15
"""The smallest ratio that has a place of its own: one loop far behind would squeeze all others together."""
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)

STYLE = {
    "svg.fonttype": "none",  # text stays text: it can be searched, and takes the reader's font
    "svg.hashsalt": "fate",
    "font.family": "sans-serif",
    "font.sans-serif": ["Inter", "Helvetica Neue", "Arial", "DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


@dataclass(frozen=True)
class Chart:
    """Which rows are drawn together, and beside whom: ``against`` is whom the ratios are taken to."""

    name: str
    title: str
    groups: frozenset[Group]
    against: str = BASELINE
    trimmed: bool = False

    def has(self, line: Line) -> bool:
        return line.row.group in self.groups and line.row.title.endswith("*") == self.trimmed and line.row.relative


CHARTS = (
    Chart("loop", "Callbacks, timers, tasks, memory", frozenset({Group.MICRO, Group.MEMORY, Group.START})),
    Chart("network", "Bytes in and out", frozenset({Group.NETWORK})),
    Chart("network-trimmed", "Bytes in and out, without glibc's artefact", frozenset({Group.NETWORK}), trimmed=True),
    Chart("deferreds", "Deferreds", frozenset({Group.DEFERRED}), against="twisted"),
    Chart("reactor", "Twisted programs", frozenset({Group.REACTOR}), against="twisted-epoll"),
)


def look_of(peer: Peer) -> dict[str, object]:
    """How the peer's dots look, the same in every chart."""
    if peer.name == SUBJECT:
        return {"color": ACCENT, "marker": "o", "s": 95, "zorder": 5}
    if peer.ceiling:
        return {"color": CEILINGS[peer.name], "marker": "|", "s": 190, "linewidths": 2.4, "zorder": 3}
    number = [other.name for other in PEERS].index(peer.name)
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)], "s": 34, "zorder": 4}


def draw(chart: Chart, lines: Sequence[Line], peers: Sequence[Peer], words: str, folder: Path) -> Path:
    height = 1.5 + ROW_HEIGHT * len(lines)
    figure, axes = plt.subplots(figsize=(WIDTH, height))
    drawn = []
    for peer in peers:
        dots = [
            (max(LEAST, line.figures[peer.name].ratio or 0), len(lines) - 1 - place)
            for place, line in enumerate(lines)
            if peer.name in line.figures and line.figures[peer.name].ratio is not None
        ]
        if dots:
            axes.scatter(*zip(*dots, strict=True), label=peer.title, **look_of(peer))
            drawn.append(peer)
    axes.axvline(1, color=INK, linewidth=1, zorder=2)
    axes.hlines(range(len(lines)), *axes.get_xlim(), color=FAINT, linewidth=0.8, zorder=1)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xticks([tick for tick in TICKS if low <= tick <= high])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(lines)), [line.row.title.removesuffix(" *") for line in reversed(lines)])
    axes.tick_params(length=0)
    axes.set_ylim(-0.6, len(lines) - 0.4)
    for side in axes.spines.values():
        side.set_visible(False)
    ratios = [figure.ratio for line in lines for figure in line.figures.values() if figure.ratio is not None]
    if min(ratios) < LEAST:
        words += f" At the left edge: {LEAST:g}x or less."
    against = next(peer.title for peer in PEERS if peer.name == chart.against)
    axes.set_xlabel(f"times as cheap as {against}, which is the line at 1x: further right is better", labelpad=8)
    figure.suptitle(chart.title, x=0.01, y=1 - 0.12 / height, ha="left", va="top", fontsize=14, fontweight="bold")
    figure.text(0.01, 0.01, words, fontsize=7.5, color=GREY)
    columns = min(7, len(drawn))
    place = (0.0, 1 - 0.42 / height)
    figure.legend(loc="upper left", bbox_to_anchor=place, ncols=columns, frameon=False, fontsize=8.5, columnspacing=1.2)
    top = 0.3 + 0.2 * -(-len(drawn) // columns)
    figure.tight_layout(rect=(0, 0.25 / height, 1, 1 - top / height))
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{chart.name}.svg"
    figure.savefig(file, metadata={"Date": None, "Creator": None}, transparent=True)
    plt.close(figure)
    file.write_text(on_any_page(file.read_text()))
    return file


def on_any_page(svg: str) -> str:
    """The same drawing with light ink where the reader's pages are dark."""
    rules = "".join(
        f'[style*="{what}: {ink}"] {{ {what}: {light} !important }} '
        for ink, light in DARK.items()
        for what in ("fill", "stroke")
    )
    head, rest = svg.split("<defs>", 1)
    return f"{head}<style>@media (prefers-color-scheme: dark) {{ {rules}}}</style>\n <defs>{rest}"


def draw_all(kept: Path, folder: Path) -> Iterable[Path]:
    """The charts for which the run has rows."""
    cells, described = record.load(kept)
    known = {peer.name: peer for peer in PEERS}
    peers = [known[name] for name in described if name in known]
    machine = record.machine_of(kept)
    lines = [summarise(rows.ROWS[name], found, peers) for name, found in cells.items()]
    with plt.rc_context(STYLE):
        for chart in CHARTS:
            chosen = [line for line in lines if chart.has(line) and SUBJECT in line.figures]
            if chosen:
                yield draw(chart, chosen, peers, machine, folder)


if __name__ == "__main__":
    for file in draw_all(Path(sys.argv[1]), Path(sys.argv[2])):
        print(file)
