"""The turns: within each repetition every loop is measured once, in a fresh process, so that what drifts over the
run (clock, heat, neighbours) meets all of them alike. Of a row with servers all of a repetition's processes are there
at the same time, and take many short turns. Collects raw values; what they mean is ``summary``'s.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.bench import two_cores
from benchmarks.environment import ROOT, interpreter
from benchmarks.peers import Peer
from benchmarks.registry import Row

CHILD_TIMEOUT = 120.0
"""Seconds after which one measurement counts as hung."""
START_TIMEOUT, TURN_TIMEOUT = 60.0, 20.0
"""The same for the first turn of a process, and for each that follows."""
TURNS, QUICK_TURNS = 20, 10
"""So many turns has each process in a repetition."""

DESCRIBE = """
import json, importlib, importlib.metadata as metadata, platform
module = importlib.import_module({module!r})
try:
    version = metadata.version({distribution!r})
except metadata.PackageNotFoundError:
    version = None
print(json.dumps(dict(python=platform.python_version(), version=version, compiled=getattr(module, "compiled", None))))
"""


@dataclass
class Cell:
    """One row on one loop: a value a repetition or turn (``None`` where it failed), or why there is none."""

    values: list[float | None] = field(default_factory=list)
    details: list[dict[str, Any]] = field(default_factory=list)
    problem: str | None = None


Cells = dict[str, Cell]
"""By the peer's name."""


def child_environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours without what would change Python's behaviour, with the benchmarks importable."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return clean | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"} | dict(variables or {})


def run_child(command: Sequence[str], variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The JSON object ``command`` prints last. Raises RuntimeError with the reason when there is none.

    The child has a session of its own: see :func:`benchmarks.bench.take_precedence`.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=CHILD_TIMEOUT,
            env=child_environment(variables),
            cwd=ROOT,
            start_new_session=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(str(error)) from error
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip() or f"exit status {done.returncode}, nothing printed").splitlines()[-1]
        raise RuntimeError(last)
    result: dict[str, Any] = json.loads(lines[-1])
    return result


def describe(peer: Peer) -> dict[str, Any]:
    """Versions of a column, or ``{"problem": why it cannot be loaded}``."""
    if not interpreter(peer).exists():
        return {"problem": f"the environment {peer.environment!r} has not been made"}
    distribution = peer.requirement.partition("==")[0] if peer.requirement else "fate-loop"
    code = DESCRIBE.format(module=peer.module, distribution=distribution if peer.module != "asyncio" else "")
    try:
        return run_child([str(interpreter(peer)), "-c", code.replace("metadata.version('')", "None")])
    except RuntimeError as error:
        return {"problem": str(error)}


def child_command(row: Row, peer: Peer, scale: float) -> list[str]:
    core, load_core = two_cores()
    command = [str(interpreter(peer)), "-m", "benchmarks.child", row.name, peer.factory, f"--scale={scale}"]
    if core is not None:
        command.append(f"--core={core}")
    if load_core is not None:
        command.append(f"--load-core={load_core}")
    return command


class Standing:
    """One loop's process of a row whose processes take turns."""

    def __init__(self, row: Row, peer: Peer, scale: float) -> None:
        assert row.of_turn is not None
        self.of_turn = row.of_turn
        self.ours, theirs = socket.socketpair()
        self.ours.settimeout(START_TIMEOUT)
        self.answers = self.ours.makefile()
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed by `end`
        with theirs:
            self.process = subprocess.Popen(
                [*child_command(row, peer, scale), f"--turns={theirs.fileno()}"],
                stdout=self.log,
                stderr=subprocess.STDOUT,
                env=child_environment(row.variables),
                cwd=ROOT,
                start_new_session=True,
                pass_fds=(theirs.fileno(),),
            )

    def turn(self, cell: Cell) -> None:
        """Have it asked once."""
        try:
            self.ours.sendall(b"\n")
            answer = self.answers.readline()
        except OSError as error:
            answer = ""
            cell.problem = f"failed: {error}"
        self.ours.settimeout(TURN_TIMEOUT)
        if answer:
            found = json.loads(answer)
            cell.values.append(self.of_turn(found))
            cell.details.append(found)
            return
        last = self.end()
        if last.startswith("{"):
            cell.problem = json.loads(last).get("unavailable") or cell.problem or "failed: it ended before its time"
        else:
            cell.problem = f"failed: {last}" if last else cell.problem

    def end(self) -> str:
        """End the process; the last line it wrote."""
        self.answers.close()
        self.ours.close()
        try:
            self.process.wait(TURN_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with self.log:
            self.log.seek(0)
            return (self.log.read().strip().splitlines() or [""])[-1]


def measure_turns(row: Row, turn: Sequence[Peer], cells: Cells, turns: int, scale: float) -> None:
    """All peers side by side, once each, then again; each round begins with another of them."""
    standing = {peer.name: Standing(row, peer, scale) for peer in turn}
    known = max(len(cell.values) for cell in cells.values())
    for number in range(turns):
        order = [*standing]
        for name in order[number % len(order) :] + order[: number % len(order)] if order else ():
            standing[name].turn(cells[name])
            if cells[name].problem:
                del standing[name]
    for process in standing.values():
        process.end()
    for cell in cells.values():
        if not (cell.problem and not cell.values):
            cell.values += [None] * (known + turns - len(cell.values))


def measure_once(row: Row, peer: Peer, scale: float, cell: Cell) -> None:
    try:
        result = run_child(child_command(row, peer, scale), row.variables)
    except RuntimeError as error:
        cell.problem = f"failed: {error}"
        cell.values.append(None)
        return
    if "unavailable" in result:
        cell.problem = result["unavailable"]
        return
    cell.values.append(result["value"])
    if result["details"]:
        cell.details.append(result["details"])


def measure_row(
    row: Row, peers: Iterable[Peer], repetitions: int, scale: float, progress: Callable[[str], None]
) -> Cells:
    """Every peer once, then again. One that has failed twice, or cannot do the row, is not tried further."""
    turn = [peer for peer in peers if peer.runs(row)]
    cells = {peer.name: Cell() for peer in turn}
    for repetition in range(repetitions):
        if row.of_turn is not None:
            progress(f"{row.title}: {repetition + 1} of {repetitions}")
            able = [peer for peer in turn if not cells[peer.name].problem]
            measure_turns(row, able, cells, TURNS if scale == 1 else QUICK_TURNS, scale)
            continue
        for peer in turn:
            cell = cells[peer.name]
            if cell.problem and (not cell.values or cell.values.count(None) > 1):
                continue
            progress(f"{row.title}: {peer.title}, {repetition + 1} of {repetitions}")
            measure_once(row, peer, scale, cell)
    return cells
