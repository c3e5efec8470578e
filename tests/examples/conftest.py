"""What the tests of the programs for readers share: a way to start one as a reader does, and to talk to it.

Each program runs as a real process with every warning an error. Nothing here waits for time: a test reads the line
that says what has happened; DEADLINE only keeps a program that hangs from hanging the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
DOCS = ROOT / "docs"

DEADLINE = 60
"""Seconds after which a program is taken to hang, and killed."""

PYTHON = [sys.executable, "-W", "error"]


@dataclass
class Outcome:
    """How a program ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The output, line by line; asserts that all went well and nothing was complained about."""
        assert (self.code, self.err) == (0, "")
        return self.out.splitlines()


@dataclass
class Program:
    """A program that runs."""

    process: subprocess.Popen[str]

    def line(self, holding: str = "") -> str:
        """Wait for a line of output with `holding` in it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if holding in line:
                return line.rstrip("\n")
        raise AssertionError(f"no line with {holding!r}; {self.process.communicate(timeout=DEADLINE)}")

    def say(self, *lines: str) -> None:
        """Type lines."""
        assert self.process.stdin is not None
        for line in lines:
            self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self, signal: int | None = None) -> Outcome:
        """Wait for its end, after `signal` if there is one. The output is what no one has read yet."""
        if signal is not None:
            self.process.send_signal(signal)
        out, err = self.process.communicate(timeout=DEADLINE)
        return Outcome(self.process.returncode, out, err)


Start = Callable[..., Program]


@contextmanager
def _starter(home: Path) -> Iterator[Start]:
    left_out = ("FATE_STAGE", "PYTHONASYNCIODEBUG", "PYTHONDEVMODE")
    env = {name: value for name, value in os.environ.items() if name not in left_out}
    env |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    with ExitStack() as stack:

        def start(*words: str | Path, python: list[str] = PYTHON, cwd: Path = home) -> Program:
            process = subprocess.Popen(
                [*python, *map(str, words)],
                cwd=cwd,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)  # does nothing to one that has ended
            hangs = Timer(DEADLINE, process.kill)
            hangs.daemon = True
            hangs.start()
            stack.callback(hangs.cancel)
            return Program(process)

        yield start


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a Python program: `start(path, *arguments)`. What still runs at the end of the test is killed."""
    with _starter(tmp_path) as starter:
        yield starter


@pytest.fixture(scope="module")
def start_early(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Like `start`, for programs that one module's tests want to run side by side."""
    with _starter(tmp_path_factory.mktemp("programs")) as starter:
        yield starter
