"""A short soak of a server on Fate: nothing lost, nothing leaked, no crash. ``make soak`` is the long one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("soak.py")
SECONDS, CONNECTIONS = 15, 500

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it counts what /proc tells")


def run(tmp_path: Path, *arguments: str) -> tuple[int, dict[str, list[str]], str]:
    kept = tmp_path / "soak.json"
    command = [sys.executable, str(PROGRAM), f"--connections={CONNECTIONS}", f"--json={kept}", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, json.loads(kept.read_text()), done.stdout


@linux
@pytest.mark.timeout(300)
def test_a_server_on_fate_survives_storms_faults_and_scarcity(tmp_path: Path) -> None:
    status, found, output = run(tmp_path, f"--seconds={SECONDS}")
    assert found["wrong"] == []
    assert status == 0, output


@linux
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("Leaking", "descriptors"),
        ("Corrupting", "came back"),
        ("Swallowing", "reported"),
        ("Hoarding", "memory"),
    ],
)
def test_a_soak_notices_what_a_broken_loop_does(tmp_path: Path, fault: str, complaint: str) -> None:
    status, found, output = run(tmp_path, "--seconds=4", "--patience=1", f"--loop=broken:{fault}")
    assert any(complaint in words for words in found["wrong"]), found
    assert status == 1, output
