"""Load generators in C, compiled when they are first needed or have changed.

Python would be the slower side of every measurement. The programs go to ``results/build``, which is not kept.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.registry import Unavailable

SOURCES = Path(__file__).parent
BUILD = SOURCES.parent / "results" / "build"
FLAGS = ["-O2", "-std=gnu11", "-Wall", "-Wextra"]


def compiler() -> list[str] | None:
    """The C compiler's command: ``$CC``, else ``cc``; ``None`` without one."""
    command = shlex.split(os.environ.get("CC", "cc"))
    return command if command and shutil.which(command[0]) else None


def build(name: str) -> Path:
    """The program made from ``load/<name>.c``. Raises Unavailable without Linux, compiler or success."""
    if not sys.platform.startswith("linux"):
        raise Unavailable("the load generators need Linux")
    source, program = SOURCES / f"{name}.c", BUILD / name
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return program
    command = compiler()
    if command is None:
        raise Unavailable("no C compiler for the load generator")
    BUILD.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        [*command, *FLAGS, "-o", str(program), str(source)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise Unavailable(f"the load generator does not compile: {made.stderr.strip().splitlines()[0]}")
    return program
