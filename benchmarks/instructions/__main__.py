"""``python -m benchmarks.instructions BEFORE AFTER``: two interpreters, each with a Fate, or two folders with a `fate`.

Exit status 1 if a row takes over three hundredths more instructions than before.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import rows
from benchmarks.environment import ROOT
from benchmarks.instructions.echoes import ECHOES
from benchmarks.registry import Group

ALLOWED = 1.03
ONE_PROCESS = (Group.MICRO, Group.DEFERRED)


def known() -> list[str]:
    """The rows that one process can run. A row whose work is waiting is none."""
    own = [name for name, row in rows.ROWS.items() if row.group in ONE_PROCESS and name not in LEFT_OUT]
    return [*own, *ECHOES]


LEFT_OUT = {
    "call-soon-threadsafe",  # how often the other thread wakes the loop is chance
    "timers-over-a-second",  # how often it wakes up depends on the time
    "spawn",  # the child's, and fork's
}


def command(build: str) -> tuple[list[str], dict[str, str]]:
    """How to run Python with this build, and what to add to the environment."""
    place = Path(build)
    if place.is_dir():
        return [sys.executable], {"PYTHONPATH": f"{place.resolve()}{os.pathsep}{ROOT}"}
    return [str(place)], {"PYTHONPATH": str(ROOT)}


def count(build: str, names: list[str]) -> dict[str, float]:
    """Instructions an operation, by row."""
    python, more = command(build)
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                "valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/out",
                *python, "-m", "benchmarks.instructions.child", *names,
            ],
            env=os.environ | {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"} | more,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"instructions: {build}: {done.stderr.strip()[-2000:]}")
        operations = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
        totals: dict[str, int] = {}
        for file in Path(folder).iterdir():
            text = file.read_text()
            named = re.search(r"^desc: Trigger: Client Request: (\S+)", text, re.M)
            total = re.search(r"^(?:totals|summary): (\d+)", text, re.M)
            if named and total:
                totals[named[1]] = min(int(total[1]), totals.get(named[1], sys.maxsize))
    return {row: totals[row] / operations[row] for row in operations if row in totals}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("before", nargs="?", help="an interpreter that has Fate, or a folder to import it from")
    parser.add_argument("after", nargs="?", help="the same")
    parser.add_argument("--only", metavar="ROW", action="append", help="rows whose names begin so; repeatable")
    parser.add_argument("--list", action="store_true", help="print the rows and end")
    options = parser.parse_args()
    names = [name for name in known() if not options.only or name.startswith(tuple(options.only))]
    if options.list:
        print("\n".join(names))
        return 0
    if options.before is None or options.after is None:
        parser.error("two builds are needed: before, after")
    if shutil.which("valgrind") is None:
        raise SystemExit("instructions: valgrind is not here (Debian's package `valgrind`)")
    before, after = count(options.before, names), count(options.after, names)
    dearer = []
    print(f"{'row':32} {'before':>9} {'after':>9}  ratio")
    for name in names:
        if name not in before or name not in after:
            print(f"{name:32} not counted")
            continue
        ratio = after[name] / before[name]
        mark = "  dearer" if ratio > ALLOWED else ""
        print(f"{name:32} {before[name]:9,.0f} {after[name]:9,.0f}  {ratio:.3f}{mark}")
        if ratio > ALLOWED:
            dearer.append(name)
    print(f"{len(dearer)} of {len(names)} rows take over {ALLOWED - 1:.0%} more." if dearer else "No row is dearer.")
    return 1 if dearer else 0


if __name__ == "__main__":
    sys.exit(main())
