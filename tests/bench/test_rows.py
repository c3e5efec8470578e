"""Rows are measured: a server answers every request of the load generator, on asyncio's loop and on Fate's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.jobs import Job, bind, load_options
from benchmarks.load import build
from benchmarks.peers import parse_peer
from benchmarks.registry import AsCheapAsAny, Group
from benchmarks.rows import ROWS
from benchmarks.runner import QUICK_TURNS, measure_row

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("cc") is None, reason="the load generator is C for Linux"
)


def measure(row: str, factory: str) -> dict[str, object]:
    """On one core, if need be: what is measured then means nothing, but it is measured."""
    cores = sorted(os.sched_getaffinity(0))
    command = [sys.executable, "-m", "benchmarks.child", row, factory, "--scale=0.02", f"--core={cores[0]}"]
    done = subprocess.run(
        [*command, f"--load-core={cores[-1]}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        start_new_session=True,  # the child raises the priority of its session
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize(
    ("row", "factory"),
    [
        ("protocol-100k-trimmed", "fate:new_event_loop"),
        ("udp", "fate:new_event_loop"),
        ("unix", "fate:new_event_loop"),
        ("pipeline", "benchmarks.foreign.c_server:serve"),
    ],
)
def test_every_request_is_answered(row: str, factory: str) -> None:
    result = measure(row, factory)
    details = result["details"]
    assert isinstance(details, dict)
    assert details["requests"] > 0
    assert isinstance(result["value"], float)
    assert result["value"] > 0


@pytest.mark.parametrize("row", ["buffered", "streams", "sock", "latency-p99", "subprocess-spawn", "connection-bytes"])
def test_every_style_of_server_is_measured(row: str) -> None:
    value = measure(row, "fate:new_event_loop")["value"]
    assert isinstance(value, float)
    assert value > 0


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="the load generator wants a core of its own")
def test_servers_take_turns_and_one_that_fails_holds_nobody_up() -> None:
    factories = {"good": "fate:new_event_loop", "stock": "asyncio:new_event_loop", "bad": "no_such_module:loop"}
    peers = [parse_peer(f"{name}={sys.executable}={factory}") for name, factory in factories.items()]
    cells = measure_row(ROWS["protocol-10"], peers, 2, 0.02, lambda text: None)
    for name in ("good", "stock"):
        assert len(cells[name].values) == 2 * QUICK_TURNS
        assert all(value is not None and value > 0 for value in cells[name].values)
    assert cells["bad"].problem is not None
    assert "no_such_module" in cells["bad"].problem
    assert not any(cells["bad"].values)


def test_the_load_generator_notices_a_wrong_echo() -> None:
    job = Job(connections=1, size=64)
    with bind(job) as sock:
        options = [*load_options(job, sock), "--seconds=1"]
        with subprocess.Popen([str(build("echo")), *options], stderr=subprocess.PIPE, text=True) as load:
            sock.setblocking(True)
            peer, _ = sock.accept()
            with peer:
                data = bytearray(peer.recv(64, 0x100))  # MSG_WAITALL
                data[40] ^= 1
                peer.sendall(data)
                _, errors = load.communicate(timeout=30)
    assert load.returncode == 1
    assert "is not what was sent" in errors


def test_every_network_row_asks_fate_to_be_first() -> None:
    network = [row for row in ROWS.values() if row.group is Group.NETWORK]
    assert len(network) > 30
    assert all(AsCheapAsAny() in row.targets for row in network)
