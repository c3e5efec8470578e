"""What the tests of the command line share: a directory to write programs in, and both ways to run them.

Everything runs as real processes. Plain Python is the yardstick: `Workshop.same` runs a command line with `python`
and with `fate run` and asserts that exit code, output and error output are equal.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

PYTHON = [sys.executable]
FATE = [sys.executable, "-m", "fate"]

DEADLINE = 30
"""Seconds after which a process that hangs fails its test."""


@dataclass
class Outcome:
    """How a process ended: exit code (negative for a signal), output, error output."""

    code: int
    out: str
    err: str

    def without_addresses(self) -> Outcome:
        """Returns the same with the places of objects in memory left out."""
        return Outcome(self.code, *(re.sub(r"\b0x[0-9a-f]{6,}", "0x", text) for text in (self.out, self.err)))


@dataclass
class Program:
    """A running program, talked to line by line."""

    process: subprocess.Popen[str]

    def line(self, stream: IO[str] | None = None, holding: str = "") -> str:
        """Waits for a line (of the output, or of `stream`) with `holding` in it."""
        source = stream or self.process.stdout
        assert source is not None
        for line in source:
            if holding in line:
                return line.rstrip("\n")
        raise AssertionError(f"no line with {holding!r}; the program ended with {self.process.wait(DEADLINE)}")

    def end(self, signal: int) -> Outcome:
        """Sends a signal and waits for the end."""
        self.process.send_signal(signal)
        out, err = self.process.communicate(timeout=DEADLINE)
        return Outcome(self.process.returncode, out, err)


@dataclass
class Workshop:
    """A directory with programs, which is also the current directory of those that run."""

    home: Path
    env: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, source: str | bytes) -> Path:
        """Writes a file of the program; text is dedented."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source if isinstance(source, bytes) else textwrap.dedent(source).encode())
        return path

    def execute(self, words: list[str], stdin: str = "") -> Outcome:
        """Runs a command line to its end."""
        done = subprocess.run(
            words,
            check=False,
            cwd=self.home,
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def python(self, *line: str, stdin: str = "") -> Outcome:
        """Runs `python line...`."""
        return self.execute([*PYTHON, *line], stdin)

    def fate(self, *words: str, stdin: str = "") -> Outcome:
        """Runs `fate words...`."""
        return self.execute([*FATE, *words], stdin)

    def run(self, *line: str, stdin: str = "") -> Outcome:
        """Runs `fate run line...`."""
        return self.fate("run", *line, stdin=stdin)

    def script(self) -> list[str]:
        """Writes what the installed `fate` command is, and returns how to run it."""
        return [str(self.write("bin/fate", "import sys\nfrom fate.cli import main\nsys.exit(main())\n"))]

    def same(self, *line: str, stdin: str = "") -> Outcome:
        """Runs `line` both ways and asserts that nothing tells one from the other."""
        plain, staged = self.python(*line, stdin=stdin), self.run(*line, stdin=stdin)
        assert staged.without_addresses() == plain.without_addresses()
        return staged

    @contextmanager
    def started(self, *words: str) -> Iterator[Program]:
        """Starts a command line and ends it with the block, if it still runs then."""
        process = subprocess.Popen(
            words, cwd=self.home, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        with process:
            try:
                yield Program(process)
            finally:
                if process.poll() is None:
                    process.kill()

    def seen(self, text: str) -> str:
        """Returns a traceback as far as it is the program's: its own frames, no carets, no numbers of handles.

        Which frames of the event loop are in a traceback, and at which expression of a line a signal arrives, is
        not the program's affair; that a handle tells its number and its cause is Fate's.
        """
        kept, foreign = [], False
        for line in text.splitlines():
            if line.lstrip(" |").startswith('File "'):
                foreign = str(self.home) not in line
            elif not line.lstrip(" |+-") or not line.lstrip(" |").startswith(("^", "~")):
                indented = line.replace("|", " ").startswith("    ")
                foreign = foreign and indented
            else:
                continue
            if not foreign:
                kept.append(line)
        return re.sub(r"Handle \d+ by \d+ ", "Handle ", "\n".join(kept))


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    env = {name: value for name, value in os.environ.items() if name not in ("FATE_STAGE", "PYTHONASYNCIODEBUG")}
    # Asyncio's own tracebacks and warnings, not those of the machine the tests run on.
    return Workshop(tmp_path.resolve(), env | {"PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "100"})
