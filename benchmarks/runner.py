"""The turns: within each repetition every loop is measured once, in a fresh process, so that what drifts over the
run (clock, heat, neighbours) meets all of them alike. Collects raw values; what they mean is ``summary``'s.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.bench import two_cores
from benchmarks.environment import ROOT, interpreter
from benchmarks.peers import Peer
from benchmarks.registry import Row

CHILD_TIMEOUT = 120.0
"""Seconds after which one measurement counts as hung."""

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
    """One row on one loop: a value a repetition (``None`` where it failed), or why there is none."""

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


def measure_once(row: Row, peer: Peer, scale: float, cell: Cell) -> None:
    core, load_core = two_cores()
    command = [str(interpreter(peer)), "-m", "benchmarks.child", row.name, peer.factory, f"--scale={scale}"]
    if core is not None:
        command.append(f"--core={core}")
    if load_core is not None:
        command.append(f"--load-core={load_core}")
    try:
        result = run_child(command, row.variables)
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
        for peer in turn:
            cell = cells[peer.name]
            if cell.problem and (not cell.values or cell.values.count(None) > 1):
                continue
            progress(f"{row.title}: {peer.title}, {repetition + 1} of {repetitions}")
            measure_once(row, peer, scale, cell)
    return cells
