"""The hunt for known bugs: what is explored, and how what comes of it is judged. Nothing is installed here."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

import pytest

from benchmarks.bugs import table
from benchmarks.bugs.__main__ import main
from benchmarks.bugs.hunt import Hunt, hunt, judge
from benchmarks.bugs.known import BUGS, Bug, Version, chosen
from benchmarks.bugs.places import NoPythonError, find_python, fits

OLD, NEW = Version("shop 1.0", True), Version("shop 1.1", False)
BUG = Bug("shop", "nobody waits for the last", "shop #1", "AssertionError: sold twice", (OLD, NEW))
REPORT = """\
shop.py::main failed: AssertionError: sold twice
  at shop.py:7 in main, 1 s after the beginning (an exception that nobody caught)
It needs no fault.
Found in 23 runs, one fault at a time; fails every time.
Replay it: fate replay 0123abcd
"""


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_scenario_knows_nothing_of_fate_and_has_versions_with_the_bug_and_without(bug: Bug) -> None:
    tree = ast.parse(bug.file.read_text())
    assert any(isinstance(node, ast.AsyncFunctionDef) and node.name == "main" for node in tree.body)
    assert not re.search(r"fate\.|import fate|inject|hand-off|pending\b(?!_limit)", bug.file.read_text())
    assert {version.buggy for version in bug.versions} == {True, False}
    for version in bug.versions:
        assert all("==" in requirement for requirement in version.requirements)


def test_every_version_has_an_environment_of_its_own() -> None:
    folders = {version.folder: version for bug in BUGS for version in bug.versions}
    assert all(folders[version.folder].requirements == version.requirements for bug in BUGS for version in bug.versions)


def judged(version: Version, code: int = 1, out: str = REPORT, err: str = "", again: bool = True) -> Hunt:
    return judge(BUG, version, code, out, err, again, 1.5)


def test_what_is_found_is_told_with_its_search_and_its_runs() -> None:
    found = judged(OLD, err="(24 runs in 0.1 s, 240 a second)")
    assert (found.found, found.phase, found.runs, found.problem) == (True, "one fault at a time", 24, "")
    assert found.first_line == "shop.py::main failed: AssertionError: sold twice"


def test_nothing_in_a_fixed_version_is_as_it_must_be() -> None:
    none = judged(NEW, 0, "shop.py::main: no failure (1,017 runs in 0.7 s, 1,482 a second)\n")
    assert (none.found, none.runs, none.problem) == (False, 1017, "")


@pytest.mark.parametrize(
    ("version", "how", "problem"),
    [
        (OLD, {"code": 0, "out": "shop.py::main: no failure (9 runs in 1 s, 9 a second)"}, "not found"),
        (OLD, {"out": REPORT.replace("sold twice", "not sold")}, "something else was reported: shop.py::main failed"),
        (OLD, {"out": "shop.py::main failed once, and not again: sold twice"}, "something else was reported"),
        (OLD, {"out": REPORT.replace("It needs", "more\n" * 11 + "It needs")}, "the report has 16 lines"),
        (OLD, {"again": False}, "the replay did not fail"),
        (
            OLD,
            {"code": 2, "out": "", "err": "fate: there is no file"},
            "fate explore ended with 2: fate: there is no file",
        ),
        (OLD, {"code": -11, "out": ""}, "fate explore ended with -11: no reason given"),
        (NEW, {}, "reported, and should not be: shop.py::main failed: AssertionError: sold twice"),
    ],
)
def test_what_is_not_as_it_must_be_is_named(version: Version, how: dict[str, object], problem: str) -> None:
    assert judged(version, **how).problem.startswith(problem)  # type: ignore[arg-type]


def test_a_scenario_is_explored_and_replayed_as_anybody_would(tmp_path: Path) -> None:
    class Local(Bug):
        file = tmp_path / "shop.py"  # type: ignore[assignment]

    source = (
        "import asyncio\n\n"
        "async def main():\n"
        "    jobs = [asyncio.create_task(asyncio.sleep(1)) for _ in range(2)]\n"
        "    done = await asyncio.gather(*jobs, return_exceptions=True)\n"
        "    assert done == [None, None], 'sold twice'\n"
    )
    bug = Local("shop", "a title", "shop #1", "AssertionError: sold twice", (OLD, NEW))
    bug.file.write_text(source)
    found = hunt(bug, OLD, Path(sys.executable))
    assert (found.found, found.phase, found.problem) == (True, "one fault at a time", ""), found
    bug.file.write_text(source.replace("assert done == [None, None]", "assert done"))
    none = hunt(bug, NEW, Path(sys.executable))
    assert (none.found, none.problem) == (False, "") and none.runs > 1000


def test_the_tables_have_a_line_a_version() -> None:
    hunts = [judged(OLD), judged(NEW, 0, "no failure (9 runs in 0.1 s, 9 a second)")]
    assert [line.split("  ")[0] for line in table.text(hunts).splitlines()[1:]] == [f"{BUG.title} (shop #1)"] * 2
    assert (
        table.markdown(hunts)
        .splitlines()[2]
        .endswith("| yes | yes | one fault at a time | 0 | 1.5 | `shop.py::main failed: AssertionError: sold twice` |")
    )
    assert [each["found"] for each in json.loads(table.as_json(hunts))] == [True, False]


def test_bugs_are_chosen_by_the_start_of_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert [bug.name for bug in chosen(["anyio"])] == ["anyio_lock", "anyio_limiter"]
    assert chosen([]) == list(BUGS)
    assert main(["--only", "nothing"]) == 2
    assert "no bug 'nothing'; there are redis_cancelled" in capsys.readouterr().err


def test_an_interpreter_is_the_one_that_is_wanted_or_there_is_none() -> None:
    here = ".".join(map(str, sys.version_info[:3]))
    assert find_python(here) == Path(sys.executable)
    assert fits("3.11", "3.11.7") and fits("3.11.7", "3.11.7") and not fits("3.1", "3.11.7")
    with pytest.raises(NoPythonError, match=r"no CPython 2\.4\.9 on PATH"):
        find_python("2.4.9")
