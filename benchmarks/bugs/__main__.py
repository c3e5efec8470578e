"""``python -m benchmarks.bugs``: the command line. What is hunted is `known`'s, how is `hunt`'s."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence

from benchmarks.bugs import table
from benchmarks.bugs.hunt import Hunt, hunt
from benchmarks.bugs.known import Bug, chosen
from benchmarks.bugs.places import NoPythonError, prepare
from benchmarks.environment import say
from benchmarks.record import RESULTS


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.bugs", description="Known bugs, found by fate explore.")
    p.add_argument("--only", metavar="BUG", action="append", default=[], help="the start of a bug's name; repeatable")
    p.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    p.add_argument("--json", action="store_true", help="print all that is known as JSON")
    p.add_argument("--reports", action="store_true", help="print the reports too")
    return p


def hunts(bugs: Sequence[Bug]) -> Iterator[Hunt]:
    """Each version of each bug, explored."""
    for bug in bugs:
        for version in bug.versions:
            known = Hunt(bug.name, bug.title, bug.source, version.name, version.buggy)
            try:
                python = prepare(version)
            except NoPythonError as error:
                yield _failed(known, str(error))
            except subprocess.CalledProcessError as error:
                yield _failed(known, f"cannot be set up: {error}")
            else:
                say(f"exploring {bug.name} with {version.name}")
                yield hunt(bug, version, python)


def _failed(known: Hunt, problem: str) -> Hunt:
    return Hunt(known.bug, known.title, known.source, known.version, known.buggy, problem=problem)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        bugs = chosen(options.only)
    except ValueError as error:
        print(f"bugs: {error}", file=sys.stderr)
        return 2
    done = list(hunts(bugs))
    if options.reports:
        for each in done:
            print(f"{each.report}\n" if each.report else f"{each.bug}, {each.version}: nothing\n")
    print(table.as_json(done) if options.json else (table.markdown if options.markdown else table.text)(done))
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "bugs.json").write_text(table.as_json(done))
    return 1 if any(each.problem for each in done) else 0


if __name__ == "__main__":
    sys.exit(main())
