"""Questions while work goes on: from a real terminal, from a pipe, from a file; and what happens when they end."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

from .conftest import DEADLINE, EXAMPLES, PYTHON, Start

PROGRAM = EXAMPLES / "ask_while_working.py"


class Terminal:
    """A pseudo-terminal with the program in it: what a person types, and what the person sees."""

    def __init__(self) -> None:
        self.screen, inside = pty.openpty()
        self.process = subprocess.Popen(
            [*PYTHON, str(PROGRAM)], stdin=inside, stdout=inside, stderr=inside, start_new_session=True
        )
        os.close(inside)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.screen, text.encode())

    def see(self, pattern: str) -> re.Match[str]:
        """Wait until `pattern` is on the screen, and forget everything up to there."""
        while not (found := re.search(pattern, self.seen)):
            try:
                read = os.read(self.screen, 4096)
            except OSError:  # the program has ended
                read = b""
            assert read, f"no {pattern!r} in {self.seen!r}"
            self.seen += read.decode()
        self.seen = self.seen[found.end() :]
        return found


@contextmanager
def terminal() -> Iterator[Terminal]:
    it = Terminal()
    hangs = Timer(DEADLINE, it.process.kill)
    hangs.start()
    try:
        yield it
    finally:
        hangs.cancel()
        if it.process.poll() is None:
            it.process.kill()
        it.process.wait()
        os.close(it.screen)


def primes(found: re.Match[str]) -> int:
    return int(found[1].replace(",", ""))


SO_FAR = r"([\d,]+) primes so far"


def test_on_a_terminal_it_answers_and_works_on() -> None:
    with terminal() as person:
        person.see("Looking for primes")
        person.type("\n")
        first = primes(person.see(SO_FAR))
        person.type("9409\n")
        person.see("9,409 is not prime|9,409 is too large for now")
        person.type("\n")
        second = primes(person.see(SO_FAR))
        assert second > first  # it has worked while it answered
        person.type("stop\n")
        assert primes(person.see("In the end: " + SO_FAR)) >= second
        assert person.process.wait(DEADLINE) == 0


def test_control_d_on_a_terminal_ends_it() -> None:
    with terminal() as person:
        person.see("Looking for primes")
        person.type("\x04")
        person.see("In the end")
        assert person.process.wait(DEADLINE) == 0


def test_control_c_ends_it_without_a_traceback() -> None:
    with terminal() as person:
        person.type("\n")
        person.see(SO_FAR)
        person.process.send_signal(signal.SIGINT)
        person.see("Stopped")
        assert "Traceback" not in person.seen
        assert person.process.wait(DEADLINE) == 1


def test_a_pipe_may_ask_too_and_its_end_is_the_end(start: Start) -> None:
    program = start(PROGRAM)
    program.say("", "97", "91")
    assert program.line("so far")
    while "too large" in (answer := program.line("97 ")):
        program.say("97")
    assert answer == "97 is prime."
    program.process.stdin.write("4")  # type: ignore[union-attr]  # no line ending: asked all the same
    assert program.end().lines[-2:][0] == "4 is not prime."


def test_a_file_may_ask_too(tmp_path: Path) -> None:
    questions = tmp_path / "questions"
    questions.write_text("2\nhow?\nstop\nnever read\n")
    with questions.open() as asked:
        done = subprocess.run(
            [sys.executable, str(PROGRAM)], stdin=asked, capture_output=True, text=True, timeout=DEADLINE, check=True
        )
    assert done.stdout.splitlines()[1:-1] == [
        "2 is prime.",
        "Return alone: how far is it? A number: is it prime? stop: enough.",
    ]


def test_without_any_input_it_ends_at_once() -> None:
    done = subprocess.run(
        [*PYTHON, str(PROGRAM)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "In the end" in done.stdout
