"""The demonstration: it goes well, it looks well, and it says so when something does not."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import DEADLINE, EXAMPLES, PYTHON, Program, Start

DEMO = EXAMPLES / "demo.py"


@contextmanager
def on_a_terminal() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The demonstration in front of a person, and the person's screen."""
    screen, inside = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"}
    with subprocess.Popen([*PYTHON, str(DEMO), "--people", "2"], stdout=inside, stderr=inside, env=env) as demo:
        os.close(inside)
        try:
            yield demo, screen
        finally:
            demo.kill()
            os.close(screen)


@pytest.fixture(scope="module")
def both(start_early: Start) -> Iterator[tuple[Program, subprocess.Popen[bytes], int]]:
    """Twice the demonstration, side by side: in a pipe, and on a terminal."""
    with on_a_terminal() as (demo, screen):
        yield start_early(DEMO), demo, screen


def test_all_goes_well_and_a_pipe_gets_no_colours(both: tuple[Program, subprocess.Popen[bytes], int]) -> None:
    lines = both[0].end().lines
    assert lines[-1].startswith("All went well. ")
    assert sum("boom!" in line.lower() for line in lines) == 2
    assert any(re.search(r"fate replay [0-9a-f]{8}( |$)", line) for line in lines)
    assert any(re.search(r"200 people, 1,000 lines said, 200,000 delivered in [\d.]+ s", line) for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_a_terminal_gets_colours(both: tuple[Program, subprocess.Popen[bytes], int]) -> None:
    _, demo, screen = both
    seen = b""
    try:
        while read := os.read(screen, 4096):
            seen += read
    except OSError:
        pass  # the demonstration has ended
    assert demo.wait(DEADLINE) == 0
    assert b"\x1b[32mAll went well.\x1b[0m" in seen


def test_what_does_not_go_well_shows_in_the_exit_code(start: Start, tmp_path: Path) -> None:
    shutil.copy(DEMO, tmp_path)
    (tmp_path / "mad_hatter.py").write_text("print('fizz')\n")
    (tmp_path / "gunpowder_plot.py").write_text("raise SystemExit(1)\n")
    (tmp_path / "chat.py").write_text("raise SystemExit(1)\n")
    outcome = start(tmp_path / "demo.py").end()
    assert (outcome.code, outcome.err) == (1, "")
    assert outcome.out.count("NOT WELL") == 4
    assert outcome.out.splitlines()[-1] == "Something went wrong, see above."
