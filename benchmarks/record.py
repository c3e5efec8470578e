"""A run on disk, ``results/<time>.json`` and ``results/latest.json``: every raw value, and what it was measured on.

Enough to report it again. No host name: a file may be passed on.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.peers import Peer
from benchmarks.registry import ROWS
from benchmarks.runner import Cell, Cells
from benchmarks.summary import Line

RESULTS = Path(__file__).parent / "results"
COLLECTOR = "micro: Python's defaults, everything alive frozen before each sample; network: Python's defaults"


def machine() -> dict[str, Any]:
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    return {
        "cpu": name,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()),
        "load_average": os.getloadavg()[0],
    }


def save(
    cells: Mapping[str, Cells],
    lines: Sequence[Line],
    peers: Sequence[Peer],
    described: Mapping[str, Mapping[str, Any]],
    command: Sequence[str],
    **run: Any,
) -> Path:
    """Write the run; returns the file."""
    now = datetime.now(UTC)
    content = {
        "date": now.isoformat(timespec="seconds"),
        "command": ["python", "-m", "benchmarks", *command],
        "machine": machine(),
        "garbage_collector": COLLECTOR,
        **run,
        "peers": {peer.name: {"title": peer.title, "factory": peer.factory, **described[peer.name]} for peer in peers},
        "rows": {
            line.row.name: {
                "title": line.row.title,
                "unit": line.row.unit,
                "figures": {name: asdict(figure) for name, figure in line.figures.items()},
                "targets": [asdict(verdict) for verdict in line.verdicts],
                "raw": {name: asdict(cell) for name, cell in cells[line.row.name].items()},
            }
            for line in lines
        },
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    (RESULTS / "latest.json").write_text(text)
    file = RESULTS / f"{now:%Y-%m-%d-%H%M%S}.json"
    file.write_text(text)
    return file


def load(file: Path) -> tuple[dict[str, Cells], dict[str, dict[str, Any]]]:
    """Raw values by row and peer, and the description of each peer. Rows that are no more are left out."""
    content = json.loads(file.read_text())
    cells = {
        name: {peer: Cell(**cell) for peer, cell in kept["raw"].items()}
        for name, kept in content["rows"].items()
        if name in ROWS
    }
    return cells, content["peers"]


def machine_of(file: Path) -> str:
    """What a kept run was measured on, in one line."""
    content = json.loads(file.read_text())
    machine, pythons = content["machine"], {peer.get("python") for peer in content["peers"].values()} - {None}
    versions = ", ".join(f"CPython {version}" for version in sorted(pythons))
    noted = " Quick run, not to be quoted." if content.get("quick") else ""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, {versions}, {content['date'][:10]}. "
        f"Medians of paired runs.{noted}"
    )
