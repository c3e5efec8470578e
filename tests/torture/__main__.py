"""Torture a loop: ``python -m tests.torture --seconds 600``.

Prints how many examples and steps were done, and what was found: crashes (a signal, an abort of the allocator's or of a
sanitizer's), hangs, and differences from the model. Each is cut down to the steps that it takes, which
``--play FILE`` does again. The status is 0 if nothing was found.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.torture.child import WRONG
from tests.torture.machine import Step, read

ROOT = Path(__file__).parents[2]
STUCK = 30.0  # seconds without a step; on a busy machine that may be the others' fault, hence
SPINNING = 15.0  # seconds of processor without a step
PERIOD = 60.0  # seconds that one process lives


class Found:
    """What became of a process that did not end well."""

    def __init__(self, status: int, text: str, steps: list[Step], number: int) -> None:
        self.status = status
        self.text = text
        self.steps = steps
        self.number = number

    @property
    def kind(self) -> str:
        if self.status == WRONG:
            return "difference"
        if self.status == -signal.SIGALRM:
            return "hang"
        return "crash"

    @property
    def line(self) -> str:
        """One line that says it."""
        lines = [line for line in self.text.strip().splitlines() if line.strip()] or ["nothing"]
        if self.kind == "difference":
            return lines[-1].removeprefix("tests.torture.model.Difference: ")[:300]
        ours = [line.strip() for line in lines if line.startswith("  File")]
        ours += ["", "", ""]
        last = self.steps[-1][0] if self.steps else "nothing"
        return f"status {self.status} in {last}: {lines[0][:120]} {ours[0]} {ours[1]}"


class Child:
    """A process that is tortured."""

    def __init__(self, folder: str, arguments: list[str]) -> None:
        self.diary = os.path.join(folder, "diary")
        self.report = os.path.join(folder, "report")
        self.output = os.path.join(folder, "output")
        for path in (self.diary, self.report):
            Path(path).unlink(missing_ok=True)
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.torture.child", f"--diary={self.diary}", f"--report={self.report}"]
                + arguments,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)])),
                },
            )

    def wait(self) -> tuple[int, int, int, str, list[Step]]:
        """Status, examples, steps, what it wrote, and what it did last. A hang has the status -SIGALRM."""
        before, since, worked = -1, time.monotonic(), 0.0
        while True:
            try:
                self.process.wait(0.2)
                break
            except subprocess.TimeoutExpired:
                pass
            now = time.monotonic()
            steps = self.look()[1]
            if steps != before:
                before, since, worked = steps, now, processor(self.process.pid)
            if now - since > STUCK and not 0.05 < processor(self.process.pid) - worked < SPINNING:
                self.process.send_signal(signal.SIGALRM)
                try:
                    self.process.wait(5)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
                self.process.returncode = -signal.SIGALRM
                break
        examples, steps, last = self.look()
        text = ""
        for path in (self.output, self.report):
            if os.path.exists(path):
                text += Path(path).read_text(errors="replace")
        return self.process.returncode, examples, steps, text, last

    def look(self) -> tuple[int, int, list[Step]]:
        try:
            return read(self.diary)
        except (OSError, ValueError):
            return 0, 0, []
        except Exception:
            return 0, 0, []


def cpu() -> float:
    """Seconds of processor that the processes have taken which have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def processor(pid: int) -> float:
    """Seconds of processor that a process has taken."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def play(folder: str, steps: list[Step]) -> tuple[int, str]:
    """Do the steps in a process of their own: its status, and what it wrote."""
    path = os.path.join(folder, "steps")
    Path(path).write_text("".join("{} {} {}\n".format(*step) for step in steps))
    status, _, _, text, _ = Child(folder, [f"--play={path}"]).wait()
    return status, text


def shorten(folder: str, found: Found, seconds: float) -> list[Step]:
    """Leave out what is not needed for the same end."""
    deadline = time.monotonic() + seconds

    def same(steps: list[Step]) -> bool:
        status, _ = play(folder, steps)
        return status == found.status

    steps = [step for step in found.steps if step[0] != "finish"]
    if not same(steps):
        return found.steps
    size = max(1, len(steps) // 2)
    while time.monotonic() < deadline:
        changed = False
        index = 0
        while index < len(steps) and time.monotonic() < deadline:
            fewer = steps[:index] + steps[index + size :]
            if same(fewer):
                steps = fewer
                changed = True
            else:
                index += size
        if size == 1 and not changed:
            break
        size = max(1, size // 2)
    return steps


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batches", type=int, default=0, help="end after so many batches of examples, not by the time")
    parser.add_argument("--steps", type=int, default=16, help="of one example")
    parser.add_argument("--without", default="", help="groups of actions to leave out, with commas between")
    parser.add_argument("--only", default="", help="groups of actions to use, besides turns and memory")
    parser.add_argument("--shorten", type=float, default=20.0, help="seconds to cut down what was found")
    parser.add_argument("--first", action="store_true", help="stop at the first thing that is found")
    parser.add_argument("--until", default="", help="stop at what has this in its report, a regular expression")
    parser.add_argument("--play", default="", help="a file of steps to do again")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.play:
            status, _, _, text, _ = Child(folder, [f"--play={os.path.abspath(given.play)}"]).wait()
            print(text, f"status {status}", sep="\n")
            raise SystemExit(status != 0)
        raise SystemExit(run(folder, given))


def run(folder: str, given: argparse.Namespace) -> int:
    began = time.monotonic()
    spent = cpu()
    examples = steps = 0
    counts = {"crash": 0, "hang": 0, "difference": 0}
    number = given.seed
    while (left := given.seconds - (time.monotonic() - began)) > 0:
        period = left if given.batches else min(PERIOD, left)
        child = Child(
            folder,
            [
                f"--seed={number}",
                f"--seconds={period}",
                f"--steps={given.steps}",
                f"--batches={given.batches}",
                f"--without={given.without}",
                f"--only={given.only}",
            ],
        )
        status, more_examples, more_steps, text, last = child.wait()
        examples += more_examples
        steps += more_steps
        if status != 0:
            found = Found(status, text, last, number)
            counts[found.kind] += 1
            took = time.monotonic() - began
            print(
                f"{found.kind} after {took:.1f} s ({cpu() - spent:.1f} s of processor), seed {number}: {found.line}",
                flush=True,
            )
            short = shorten(folder, found, given.shorten) if given.shorten else last
            for step in short:
                print("    {} {} {}".format(*step), flush=True)
            if given.until and re.search(given.until, f"{found.kind} {found.line} {text}"):
                break
            if given.first:
                print("\n".join(text.strip().splitlines()[:40]))
                break
        number += 1
        if given.batches:
            break
    print(
        f"{examples} examples, {steps} steps in {time.monotonic() - began:.0f} s: {counts['crash']} crashes, "
        f"{counts['hang']} hangs, {counts['difference']} differences"
    )
    return int(any(counts.values()))


if __name__ == "__main__":
    main()
