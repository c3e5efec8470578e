"""One version explored: `fate explore` with its defaults, in an empty folder, and what its report says.

The judgement is strict: in a version that has the bug, the report must be of that bug, at most 15 lines long, and its
replay must fail again; in one that has not, nothing may be reported.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bugs.known import Bug, Version

MOST_LINES = 15
PATIENCE = 900.0  # seconds
FOUND = re.compile(r"^Found in (\d+) runs?(?:, ([^;]*))?;", re.MULTILINE)
RUNS = re.compile(r"\(([\d,]+) runs in [\d.]+ s")
REPLAY = re.compile(r"^Replay it: fate replay (\w+)$", re.MULTILINE)


@dataclass(frozen=True)
class Hunt:
    """What came of one version.

    found: the bug was reported. runs: that it took, or that found nothing. phase: of the search, in words. seconds: of
    real time, shrinking included. report: as it was printed. problem: what is not as it must be; "" if all is.
    """

    bug: str
    title: str
    source: str
    version: str
    buggy: bool
    found: bool = False
    phase: str = ""
    runs: int = 0
    seconds: float = 0.0
    report: str = ""
    problem: str = ""

    @property
    def first_line(self) -> str:
        """What the report begins with."""
        return self.report.splitlines()[0] if self.found and self.report else ""


def hunt(bug: Bug, version: Version, python: Path) -> Hunt:
    """Explore the scenario of a bug with one version of what it is in."""
    with tempfile.TemporaryDirectory(prefix="fate-bugs-") as folder:
        shutil.copy2(bug.file, folder)
        began = time.perf_counter()
        code, out, err = _fate(python, ["explore", f"{bug.file.name}::main"], folder)
        seconds = time.perf_counter() - began
        replay = REPLAY.search(out)
        again = _fate(python, ["replay", replay[1]], folder)[0] == 1 if replay else False
    return judge(bug, version, code, out, err, again, seconds)


def _fate(python: Path, words: Sequence[str], folder: str) -> tuple[int, str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(
            [python, "-m", "fate", *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return -1, "", f"fate {' '.join(words)} did not end within {PATIENCE:.0f} s"
    return done.returncode, done.stdout, done.stderr


def judge(bug: Bug, version: Version, code: int, out: str, err: str, again: bool, seconds: float) -> Hunt:
    """What one exploration means. code, out, err: as it ended. again: whether the replay failed too."""
    told, counted = FOUND.search(out), RUNS.search(out + err)
    report = out.strip() if code == 1 else ""
    found = bool(told and re.search(bug.sign, report))
    return Hunt(
        bug.name,
        bug.title,
        bug.source,
        version.name,
        version.buggy,
        found=found,
        phase=(told[2] or "") if told else "",
        runs=int(counted[1].replace(",", "")) if counted else 0,
        seconds=seconds,
        report=report,
        problem=_problem(version.buggy, found, code, report, err, again),
    )


def _problem(buggy: bool, found: bool, code: int, report: str, err: str, again: bool) -> str:
    if code not in (0, 1):
        return f"fate explore ended with {code}: {err.strip().splitlines()[-1] if err.strip() else 'no reason given'}"
    if not buggy:
        return f"reported, and should not be: {report.splitlines()[0]}" if report else ""
    if not found:
        return f"something else was reported: {report.splitlines()[0]}" if report else "not found"
    if len(report.splitlines()) > MOST_LINES:
        return f"the report has {len(report.splitlines())} lines"
    return "" if again else "the replay did not fail"
