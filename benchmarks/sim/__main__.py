"""``python -m benchmarks.sim``, or ``make bench-sim``: Fate's universes beside other simulators, in one run.

The simulators and Fate live in ``.venv-bench-sim``, made of the Python that runs this; they ask for 3.12 or later. In
each repetition every simulator is measured once in each row, in turn, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.environment import ROOT, Environment, say, update
from benchmarks.load import compiler
from benchmarks.record import RESULTS, machine
from benchmarks.sim.simulators import SIMULATORS, Simulator
from benchmarks.sim.table import NOTES, ROWS, markdown, met, plain, table

CHILD = Path(__file__).with_name("child.py")
TIMEOUT = 120.0  # seconds after which a measurement counts as hung
REPETITIONS, PROCESSES = 5, 20
OLDEST = (3, 12)


def environment() -> Environment:
    """Where the simulators are."""
    wanted = tuple(sorted(s.requirement for s in SIMULATORS.values() if s.requirement))
    return Environment(ROOT / ".venv-bench-sim", wanted, (("FATE_REQUIRE_EXT", "1"),) if compiler() else ())


def child(python: Path, simulator: Simulator, row: str, size: int, **started: Any) -> Any:
    """What one measurement gave. Raises CalledProcessError or TimeoutExpired."""
    before = started.pop("before", ())
    variables = started.pop("variables", {})
    command = [*before, str(python), str(CHILD), simulator.name, row, str(size)]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
        timeout=TIMEOUT,
        check=True,
        capture_output=True,
        text=True,
        **started,
    )
    return json.loads(done.stdout)


def rates(
    python: Path, columns: Sequence[Simulator], rows: Sequence[str], repetitions: int
) -> dict[str, dict[str, Any]]:
    """The figures of each row. A simulator that fails once in a row is left out of it, and named."""
    figures: dict[str, dict[str, Any]] = {name: {column.name: [] for column in columns} for name in rows}
    for repetition in range(repetitions):
        say(f"repetition {repetition + 1} of {repetitions}")
        for name in rows:
            for column in columns:
                if column.name not in figures[name]:
                    continue
                try:
                    figures[name][column.name].append(child(python, column, name, ROWS[name].size))
                except (subprocess.SubprocessError, ValueError) as error:
                    del figures[name][column.name]
                    say(f"{column.title} cannot do {name}: {last_line(error)}")
    return figures


def last_line(error: Exception) -> str:
    """What a failed child said last."""
    lines = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
    return str(lines[-1]) if lines else type(error).__name__


def histories(python: Path, column: Simulator, processes: int) -> list[dict[str, str]]:
    """What one seed gave in so many processes, each with another environment, folder, hash seed and address space."""
    told = []
    fixed_addresses = shutil.which("setarch")
    for number in range(processes):
        with tempfile.TemporaryDirectory(prefix="x" * number) as folder:
            variables = {
                "PADDING": "x" * (number * 211),
                "PYTHONHASHSEED": "random" if number % 3 == 0 else str(number),
            }
            before = [fixed_addresses, "-R"] if fixed_addresses and number % 4 == 3 else []
            told.append(child(python, column, "histories", 1, cwd=folder, variables=variables, before=before))
    return told


def differing(told: Sequence[dict[str, str]]) -> list[str]:
    """What was not the same in all processes."""
    return [name for name in told[0] if len({history[name] for history in told}) > 1]


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m benchmarks.sim", description=__doc__, allow_abbrev=False)
    p.add_argument("--only", metavar="ROW", action="append", choices=[*ROWS, "histories"], help="repeatable")
    p.add_argument("--simulators", metavar="NAMES", help=f"columns, by commas: {', '.join(SIMULATORS)}")
    p.add_argument("--repetitions", type=int, default=REPETITIONS, help=f"default {REPETITIONS}")
    p.add_argument("--processes", type=int, default=PROCESSES, help=f"of the histories; default {PROCESSES}")
    p.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    p.add_argument("--json", type=Path, metavar="FILE", help="write the run to this file too")
    p.add_argument("--check-targets", action="store_true", help="exit status 1 if a goal is missed")
    p.add_argument("--no-install", action="store_true", help="take the environment as it is")
    return p


def main() -> int:
    options = parser().parse_args()
    if sys.version_info < OLDEST:
        print(
            "The other simulators ask for Python 3.12 or later: make bench-sim SIM_PYTHON=python3.12", file=sys.stderr
        )
        return 2
    names = options.simulators.split(",") if options.simulators else list(SIMULATORS)
    unknown = [name for name in names if name not in SIMULATORS]
    if unknown:
        print(f"There is no simulator {unknown[0]!r}; there are: {', '.join(SIMULATORS)}", file=sys.stderr)
        return 2
    columns = [SIMULATORS[name] for name in names]
    home = environment()
    if not options.no_install:
        update(home)
    rows = [name for name in ROWS if not options.only or name in options.only]
    figures = rates(home.python, columns, rows, options.repetitions)
    counts, parts = {}, {}
    if not options.only or "histories" in options.only:
        for column in columns:
            say(f"{options.processes} processes of {column.title}")
            try:
                told = histories(home.python, column, options.processes)
            except (subprocess.SubprocessError, ValueError) as error:
                say(f"{column.title} cannot do histories: {last_line(error)}")
                continue
            counts[column.name] = len({json.dumps(history, sort_keys=True) for history in told})
            parts[column.name] = differing(told)
    lines = table(figures, counts, options.processes, columns)
    print(markdown(lines) if options.markdown else plain(lines))
    print()
    for note in NOTES:
        print(note)
    for name, differ in parts.items():
        if differ:
            print(f"{SIMULATORS[name].title}: not the same in all processes: {', '.join(differ)}.")
    content = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "python": sys.version.split()[0],
        "requirements": home.requirements,
        "repetitions": options.repetitions,
        "figures": figures,
        "distinct histories": counts,
        "what differed": parts,
        "table": lines,
    }
    RESULTS.mkdir(exist_ok=True)
    for file in [RESULTS / "sim.json", *([options.json] if options.json else [])]:
        file.write_text(json.dumps(content, indent=1))
    missed = [row.title for row in ROWS.values() if met(row, figures) is False]
    if counts.get("fate", 1) != 1:
        missed.append("distinct histories")
    return int(bool(options.check_targets and missed))


if __name__ == "__main__":
    sys.exit(main())
