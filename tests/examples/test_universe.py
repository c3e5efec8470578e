"""The programs in examples/universe: the race of each is found, shrunk and replayed, and the fixed one has none."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from .conftest import DOCS, EXAMPLES, Start

RACES = {
    "lost_update": ("two clients added 1 each, and the number is 1", "ms late"),
    "lease": ("2 workers hold the lease", "ms late"),
    "payment": ("the customer bought for 10 and paid 20", "ms late"),
    "job_queue": ("nobody does the job", "ms late"),
    "cancelled_command": ("bob got apples", "was cancelled at cancelled_command.py"),
}


@pytest.mark.parametrize("name", RACES)
@pytest.mark.parametrize("faults", ["all", "latency,cancel"])
def test_the_race_is_found_shrunk_and_replayed(start: Start, name: str, faults: str) -> None:
    what, fault = RACES[name]
    program = f"{EXAMPLES / 'universe' / name}.py::main"
    found = start("-m", "fate", "explore", program, "--first", "--faults", faults).end()
    assert found.code == 1 and what in found.out and len(found.out.splitlines()) <= 15
    assert "It needs this fault:" in found.out
    assert faults == "all" or fault in found.out
    again = re.search(r"fate (replay \w+ .*)$", found.out)  # it is not of the folder that this runs in: named again
    assert again is not None
    replay = start("-m", "fate", *shlex.split(again[1])).end()
    assert replay.code == 1 and what in replay.out and "FAULT" in replay.out and "has changed" not in replay.out


@pytest.mark.parametrize("name", RACES)
def test_nothing_is_found_in_the_fixed_program(start: Start, name: str) -> None:
    done = start("-m", "fate", "explore", f"{EXAMPLES / 'universe' / name}.py::fixed", "--seeds", "300").end()
    assert done.code == 0 and ": no failure (" in done.out


def test_the_tutorial_finds_its_race_and_mends_it(start: Start, tmp_path: Path) -> None:
    page = (DOCS / "tutorial" / "universe.md").read_text()
    says = re.findall(r"^```sh\nfate (.*?)\n```\n\n```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    mended = re.search(r"^```py\n(if line.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert mended is not None and len(says) == 2
    source = (DOCS / "tutorial" / "tickets.py").read_text()
    condition = mended[1].splitlines()[0]
    for code, (line, prints) in zip((1, 0), says, strict=True):
        (tmp_path / "tickets.py").write_text(source if code else source.replace('if line == b"book\\n":', condition))
        done = start("-m", "fate", *line.split()).end()
        assert done.code == code
        assert re.fullmatch(".*".join(re.escape(part) for part in prints.split("...")), done.out, re.DOTALL), done.out
