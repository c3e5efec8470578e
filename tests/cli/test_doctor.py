"""`fate doctor` tells the facts, judges them, and says what to do."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import pytest

from fate.cli.doctor import ENOUGH_FILES, RULES, Finding, Limit, Report, examine

from .conftest import FATE, Workshop


def _report(workshop: Workshop, *before: str, shell: str = "") -> tuple[int, Report]:
    words = [sys.executable, *before, *FATE[1:], "doctor", "--json"]
    if shell:
        words = ["sh", "-c", f'{shell}; exec "$@"', "sh", *words]
    done = workshop.execute(words)
    assert done.err == ""
    return done.code, msgspec.json.decode(done.out, type=Report)


def _judged(**changes: Any) -> list[Finding]:
    well = {
        "failure": None,
        "compiled": True,
        "modules": {"fate.core.engine": True},
        "limits": {"open files": Limit(ENOUGH_FILES, ENOUGH_FILES)},
        "debug": None,
    }
    report = msgspec.structs.replace(examine(), **(well | changes))
    return [finding for rule in RULES for finding in rule(report)]


def test_the_doctor_tells_what_there_is(workshop: Workshop) -> None:
    code, report = _report(workshop)
    assert code == 0
    assert not report.broken
    assert report.executable == sys.executable
    assert report.poll not in ("none", "unknown")
    assert report.failure is None
    assert report.versions["click"]
    assert report.versions["msgspec"]
    assert set(report.limits) == {"open files", "processes and threads"}


def test_a_person_reads_it_in_a_few_lines(workshop: Workshop) -> None:
    done = workshop.fate("doctor")
    assert done.code == 0
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines[:6]] == ["fate", "python", "system", "poll", "beside", "limits"]
    assert len(lines) <= 10


@pytest.mark.parametrize("name", ["fate.py", "fate/__init__.py"])
def test_a_file_that_hides_the_package_is_advice(workshop: Workshop, name: str) -> None:
    path = workshop.write(name, "")
    done = workshop.execute([sys.executable, *workshop.script(), "doctor"])
    assert done.code == 0 and f"advice    {path} hides this package" in done.out


def test_too_few_open_files_are_advice(workshop: Workshop) -> None:
    code, report = _report(workshop, shell="ulimit -S -n 256")
    assert code == 0
    assert report.limits["open files"].soft == 256
    (finding,) = (finding for finding in report.findings if "256" in finding.what)
    assert finding.level == "advice"
    assert "ulimit -n 4096" in finding.do


def test_a_hard_limit_that_is_too_low_is_for_the_system_to_raise() -> None:
    (finding,) = _judged(limits={"open files": Limit(512, 1024)})
    assert "hard limit of 1024" in finding.do


def test_debug_mode_is_advice_whoever_switches_it_on(workshop: Workshop) -> None:
    code, report = _report(workshop, "-X", "dev")
    assert (code, report.debug) == (0, "python -X dev")
    workshop.env["PYTHONASYNCIODEBUG"] = "1"
    code, report = _report(workshop)
    assert (code, report.debug) == (0, "PYTHONASYNCIODEBUG")
    assert any("debug mode" in finding.what for finding in report.findings)


def test_a_fate_that_cannot_run_is_broken(workshop: Workshop) -> None:
    # Enough descriptors to import everything, too few for a loop with its poll and its pairs of sockets.
    code, report = _report(workshop, shell="ulimit -n 6")
    assert code == 1
    assert report.broken
    assert report.poll == "none"
    assert "open files" in str(report.failure)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"compiled": False, "modules": {"fate.core.engine": False}}, "Fate is not compiled"),
        ({"modules": {"fate.core.engine": True, "fate.net.poll": False}}, "compiled in part; not so: fate.net.poll"),
    ],
)
def test_what_is_not_compiled_is_advice(changes: dict[str, Any], says: str) -> None:
    (finding,) = _judged(**changes)
    assert finding.level == "advice"
    assert says in finding.what
    assert "pip install" in finding.do


def test_why_compiling_failed_is_told_once_with_what_it_costs() -> None:
    why = "Python's headers are missing (Python.h of 3.11)"
    (finding,) = _judged(compiled=False, modules={"fate.core.engine": False}, not_compiled=why)
    assert why in finding.what
    assert "times as long" in finding.what
    assert "FATE_REQUIRE_EXT=1" in finding.do


def test_an_untested_python_is_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fate.cli.doctor.TESTED", ((3, 1),))
    (finding,) = _judged()
    assert finding.level == "advice"
    assert "3.1" in finding.do


def test_all_is_well_where_nothing_is_to_be_said() -> None:
    assert _judged() == []
