"""What is written in C, compiled when it is first needed or has changed: the load generator and the ceilings.

Python would be the slower side of every measurement. The programs go to ``results/build``, which is not kept.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from benchmarks.registry import Unavailable

SOURCES = Path(__file__).parent
BUILD = SOURCES.parent / "results" / "build"
FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra")
WITH_TLS = ("-DWITH_TLS", "-lssl", "-lcrypto")


def compiler() -> list[str] | None:
    """The C compiler's command: ``$CC``, else ``cc``; ``None`` without one."""
    command = shlex.split(os.environ.get("CC", "cc"))
    return command if command and shutil.which(command[0]) else None


def build(name: str, *, tls: bool = False) -> Path:
    """The program made from ``load/<name>.c``, with OpenSSL if ``tls``. Raises Unavailable when there is none."""
    return make(SOURCES / f"{name}.c", BUILD / (f"{name}-tls" if tls else name), WITH_TLS if tls else ())


def counted() -> Path:
    """The library made from ``load/counted.c``. Raises Unavailable without valgrind's headers."""
    return make(SOURCES / "counted.c", BUILD / "counted.so", ("-fPIC", "-shared"))


def load_extension(name: str) -> ModuleType:
    """The extension module made from ``load/<name>.c`` for the interpreter that runs this."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    include = sysconfig.get_paths()["include"]
    file = make(SOURCES / f"{name}.c", BUILD / f"{name}{suffix}", ("-fPIC", "-shared", f"-I{include}"))
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make(source: Path, target: Path, flags: Sequence[str]) -> Path:
    if not sys.platform.startswith("linux"):
        raise Unavailable("the load generators need Linux")
    if target.exists() and target.stat().st_mtime > source.stat().st_mtime:
        return target
    command = compiler()
    if command is None:
        raise Unavailable("no C compiler for the load generator")
    BUILD.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f"{target.name}.{os.getpid()}")
    made = subprocess.run(
        [*command, *FLAGS, "-o", str(new), str(source), *flags], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise Unavailable(f"{source.name} does not compile: {made.stderr.strip().splitlines()[0]}")
    new.replace(target)  # at once: another process may be about to run it
    return target
