"""``python -m benchmarks``: the command line, and nothing else. What happens in which order is in :func:`run`."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import environment, record, rows, runner
from benchmarks.peers import BASELINE, PEERS, PEERS_ENVIRONMENT, Peer, parse_peer
from benchmarks.registry import Group, Row
from benchmarks.report import report
from benchmarks.summary import summarise

QUICK_SCALE, QUICK_REPETITIONS, REPETITIONS = 0.2, 3, 7
REPETITIONS_OF_TURNS = 3
"""Of rows whose processes take turns: many in each repetition."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Fate side by side with its peers, in one run.", allow_abbrev=False
    )
    p.add_argument(
        "--only", metavar="ROW", action="append", help="a row, a group of rows, or the start of their names; repeatable"
    )
    p.add_argument("--peers", metavar="NAMES", help=f"columns, by commas: {', '.join(peer.name for peer in PEERS)}")
    p.add_argument(
        "--peer", metavar="NAME=PYTHON=MODULE:ATTRIBUTE", action="append", default=[], help="one more column"
    )
    p.add_argument(
        "--repetitions",
        metavar="N",
        type=int,
        help=f"default {REPETITIONS}, with --quick or in turns {QUICK_REPETITIONS}",
    )
    p.add_argument("--quick", action="store_true", help="smaller counts: to see that it runs, not to quote")
    p.add_argument(
        "--check-targets", action="store_true", help="say which targets are met; exit status 1 if one is not"
    )
    p.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    p.add_argument("--charts", type=Path, metavar="FOLDER", help="draw the run as SVG files")
    p.add_argument("--no-install", action="store_true", help="take the environments as they are")
    p.add_argument("--list", action="store_true", help="print the rows and end")
    p.add_argument("--from", dest="file", type=Path, metavar="FILE", help="report a kept JSON file instead of running")
    return p


def chosen_rows(only: Sequence[str] | None, quick: bool) -> list[Row]:
    """In the table's order. A name stands for itself, for a group of rows, or else for all rows it begins."""
    if not only:
        return [row for row in rows.ROWS.values() if row.quick or not quick]
    names: set[str] = set()
    for text in only:
        found = (
            {text} & rows.ROWS.keys()
            or {name for name, row in rows.ROWS.items() if row.group == text and (row.quick or not quick)}
            or {name for name in rows.ROWS if name.startswith(text)}
        )
        if not found:
            raise ValueError(f"no row {text!r}; there are {', '.join([*Group, *rows.ROWS])}")
        names |= found
    return [row for name, row in rows.ROWS.items() if name in names]


def chosen_peers(names: str | None, more: Sequence[str]) -> list[Peer]:
    """The baseline is always among them: without it no ratio can be taken."""
    extra = [parse_peer(text) for text in more]
    if names is None:
        return [*PEERS, *extra]
    wanted = {BASELINE, *names.split(",")}
    unknown = wanted - {peer.name for peer in PEERS}
    if unknown:
        raise ValueError(f"no peer {', '.join(sorted(unknown))}; there are {', '.join(peer.name for peer in PEERS)}")
    return [*(peer for peer in PEERS if peer.name in wanted), *extra]


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def draw_charts(kept: Path, folder: Path) -> None:
    """By the environment that has matplotlib."""
    python = environment.environments()[PEERS_ENVIRONMENT].python
    command = [str(python), "-m", "benchmarks.charts", str(kept.resolve()), str(folder.resolve())]
    subprocess.run(command, check=True, cwd=environment.ROOT, stdout=sys.stderr)


def run(options: argparse.Namespace, command: Sequence[str]) -> int:
    table, peers = chosen_rows(options.only, options.quick), chosen_peers(options.peers, options.peer)
    if options.list:
        print("\n".join(f"{row.name:24} {row.title} [{row.unit}]" for row in table))
        return 0
    if options.file:
        cells, described = record.load(options.file)
        table = [row for row in table if row.name in cells]
        known = {peer.name: peer for peer in peers}
        peers = [known.get(name) or Peer(name, kept["title"], kept["factory"]) for name, kept in described.items()]
    else:
        peers = [peer for peer in peers if any(peer.runs(row) for row in table)]
        if not options.no_install:
            environment.prepare(peers)
        described = {peer.name: runner.describe(peer) for peer in peers}
        able = [peer for peer in peers if "problem" not in described[peer.name]]
        scale = QUICK_SCALE if options.quick else 1.0
        cells = {}
        for row in table:
            usual = QUICK_REPETITIONS if options.quick else REPETITIONS
            times = options.repetitions or (REPETITIONS_OF_TURNS if row.of_turn else usual)
            cells[row.name] = runner.measure_row(row, able, times, scale, progress)
        progress("")
    lines = [summarise(row, cells[row.name], peers) for row in table]
    if not options.file:
        file = record.save(cells, lines, peers, described, command, quick=options.quick, baseline=BASELINE)
    print(report(lines, peers, described, markdown=options.markdown, check=options.check_targets))
    if not options.file:
        print(f"benchmarks: kept as results/{file.name}", file=sys.stderr)
    if options.charts:
        draw_charts(options.file or record.RESULTS / "latest.json", options.charts)
    missed = any(verdict.met is False for line in lines for verdict in line.verdicts)
    return 1 if options.check_targets and missed else 0


def main() -> int:
    command = sys.argv[1:]
    try:
        return run(parser().parse_args(command), command)
    except ValueError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
    except subprocess.CalledProcessError as error:
        print(f"benchmarks: failed with status {error.returncode}: {shlex.join(error.cmd)}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
