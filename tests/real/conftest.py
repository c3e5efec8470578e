"""Programs of the kind that people run, on Twisted's own reactor and on Fate in every way that there is to get there.

What plain Python makes of a program is the yardstick: each way to Fate has to print the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from cli.conftest import FATE, PYTHON, Outcome, Workshop, workshop

from .crawled import served

__all__ = ["workshop"]

PROGRAMS = Path(__file__).parent / "programs"
INSTALL = [*PYTHON, str(PROGRAMS / "install.py")]

WAYS = {
    "fate run": [*FATE, "run"],
    "install with Deferreds": [*INSTALL, "--deferreds"],
}
"""The ways to Fate: what stands before the program."""

STANDS_ON = {
    "fate run": "FateReactor twisted.internet.defer",
    "install with Deferreds": "FateReactor fate.defer.deferred",
}
"""The first line that each of the programs prints on that way: its reactor's class, its Deferred's module."""


def said(outcome: Outcome) -> tuple[int, list[str], list[str]]:
    """Exit code, output but for the first line, and errors but for the frames of their tracebacks."""
    errors = [line for line in outcome.err.splitlines() if not line.startswith(" ")]
    return outcome.code, outcome.out.splitlines()[1:], errors


@pytest.fixture(scope="session")
def plainly(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Outcome]:
    """How a program ends in plain Python; run once."""
    home = tmp_path_factory.mktemp("plain")

    @cache
    def run(name: str) -> Outcome:
        return Workshop(home).execute([*PYTHON, str(PROGRAMS / name)])

    return run


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """The address of the site that is crawled."""
    with served() as address:
        yield address
