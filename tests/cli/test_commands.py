"""The `fate` command itself: its help pages, its version, what it says to a command line it cannot follow."""

from __future__ import annotations

import sys
from importlib import import_module

import click
import pytest

from fate.cli import COMMANDS
from fate.cli.run import split, start
from fate.cli.stage import environment
from fate.errors import ProgramError

from .conftest import PYTHON, Workshop


def test_help_lists_each_command_with_a_line(workshop: Workshop) -> None:
    done = workshop.fate("--help")
    assert done.code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in done.out


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_page_of_help(workshop: Workshop, name: str) -> None:
    done = workshop.fate(name, "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: fate {name}")
    assert max(map(len, done.out.splitlines())) <= 100


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_a_click_command_of_its_name(name: str) -> None:
    command = import_module(COMMANDS[name]).command
    assert isinstance(command, click.Command)
    assert command.name == name


def test_the_version_is_one_line(workshop: Workshop) -> None:
    done = workshop.fate("--version")
    assert done.code == 0
    assert done.out.startswith("fate ")
    assert done.out.count("\n") == 1


def test_the_installed_script_does_what_the_module_does(workshop: Workshop) -> None:
    assert workshop.execute([*PYTHON, *workshop.script(), "--help"]) == workshop.fate("--help")


def test_an_unknown_command_is_refused(workshop: Workshop) -> None:
    done = workshop.fate("rnu", "program.py")
    assert done.code == 2
    assert "No such command 'rnu'" in done.err


REFUSED = {
    "no program": ([], "which program?"),
    "only options": (["-u"], "which program?"),
    "two dashes": (["--"], "which program?"),
    "no module": (["-m"], "-m needs the name of a module"),
    "no code": (["-u", "-c"], "-c needs code"),
    "no value": (["-W"], "-W needs a value"),
    "an unknown letter": (["-z", "program.py"], "there is no option -z"),
    "an unknown word": (["--loud", "program.py"], "there is no option --loud"),
    "isolated": (["-I", "program.py"], "Leave -I out"),
    "no environment": (["-uE", "program.py"], "Leave -E out"),
    "no site": (["-S", "-m", "program"], "Leave -S out"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_line_that_cannot_be_run_is_refused_with_a_reason(workshop: Workshop, kind: str) -> None:
    line, reason = REFUSED[kind]
    done = workshop.run(*line)
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("fate: ")
    assert reason in done.err
    assert done.err.count("\n") == 1


def test_isolation_of_the_python_that_runs_fate_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "-I", "-m", "fate", "run", "program.py"])
    with pytest.raises(ProgramError, match="Leave -I out"):
        start(["program.py"])


def test_a_fate_that_pythonpath_cannot_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fate.cli.stage.__file__", "/with:colon/fate/cli/stage/__init__.py")
    with pytest.raises(ProgramError, match="PYTHONPATH cannot hold"):
        environment({})


SPLITS = [
    ("program.py -u", [], ["program.py", "-u"]),
    ("-u - -x", [("-u",)], ["-", "-x"]),
    ("-- -x", [], ["--", "-x"]),
    ("-m module -m", [], ["-m", "module", "-m"]),
    ("-mmodule a", [], ["-m", "module", "a"]),
    ("-um module", [("-u",)], ["-m", "module"]),
    (
        "-OOWerror -W ignore -Xdev -X utf8 a b",
        [("-O",), ("-O",), ("-W", "error"), ("-W", "ignore"), ("-X", "dev"), ("-X", "utf8")],
        ["a", "b"],
    ),
    ("-Wm::E a", [("-W", "m::E")], ["a"]),
    ("--check-hash-based-pycs never a", [("--check-hash-based-pycs", "never")], ["a"]),
    ("-u", [("-u",)], []),
    ("", [], []),
]  # fmt: skip


@pytest.mark.parametrize(("line", "options", "program"), SPLITS)
def test_a_line_is_split_where_python_splits_it(line: str, options: list[tuple[str, ...]], program: list[str]) -> None:
    assert split(line.split()) == (options, program)
