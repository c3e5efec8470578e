"""A virtual environment for each version, `.venv-bugs/NAME`, with Fate from this checkout and the pinned library.

Fate is built once for each Python, from a copy of the sources, and installed as the wheel that comes out. What is
installed is remembered in a stamp inside each environment. Which bugs there are is not known here.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bugs.known import Version
from benchmarks.environment import ROOT, copy_sources, say, source_files

HOME = ROOT / ".venv-bugs"
ASK = "import sys; print('.'.join(map(str, sys.version_info[:3])))"


class NoPythonError(Exception):
    """There is no interpreter of the version that is wanted."""


def fits(wanted: str, version: str) -> bool:
    """Whether an interpreter of `version` ("3.11.7") is what is `wanted`: just that, or any of "3.11"."""
    return version == wanted or version.startswith(wanted + ".")


def find_python(wanted: str) -> Path:
    """An interpreter of that version: this one, or one on PATH or of pyenv's. Raises NoPythonError if there is none."""
    for path in _candidates(".".join(wanted.split(".")[:2])):
        asked = subprocess.run([path, "-c", ASK], capture_output=True, text=True)
        if asked.returncode == 0 and fits(wanted, asked.stdout.strip()):
            return path
    raise NoPythonError(f"no CPython {wanted} on PATH or under pyenv (pyenv install {wanted})")


def _candidates(minor: str) -> Iterator[Path]:
    yield Path(sys.executable)
    on_path = shutil.which(f"python{minor}")
    if on_path:
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob(f"versions/{minor}*/bin/python"), reverse=True)


def prepare(version: Version) -> Path:
    """Make or update the environment of a version; return its interpreter.

    Raises NoPythonError, and CalledProcessError when pip fails.
    """
    base = find_python(version.python)
    folder = HOME / version.folder
    python = folder / "bin" / "python"
    stamp = folder / "installed.json"
    wanted = {"python": str(base), "requirements": list(version.requirements), "fate": _digest()}
    if stamp.exists() and json.loads(stamp.read_text()) == wanted:
        return python
    say(f"making {folder.relative_to(ROOT)}")
    subprocess.run([base, "-m", "venv", "--clear", folder], check=True)
    _pip(python, "install", str(_wheel(base)), *version.requirements)
    stamp.write_text(json.dumps(wanted, indent=1))
    return python


def _wheel(base: Path) -> Path:
    """Fate built for an interpreter from the present sources; built once."""
    tag = hashlib.sha256(str(base).encode()).hexdigest()[:8]
    folder = HOME / "wheels" / f"{_digest()[:16]}-{tag}"
    if not list(folder.glob("*.whl")):
        say(f"building Fate for {base}")
        with tempfile.TemporaryDirectory(prefix="fate-bugs-") as copy:
            copy_sources(Path(copy))
            _pip(base, "wheel", "--no-deps", "--wheel-dir", str(folder), copy)
    return next(folder.glob("*.whl"))


@functools.cache  # one run measures one Fate
def _digest() -> str:
    """Of everything Fate is built from."""
    total = hashlib.sha256(os.environ.get("FATE_PURE", "").encode())
    for file in source_files():
        total.update(f"{file.relative_to(ROOT)}\0".encode())
        total.update(file.read_bytes())
    return total.hexdigest()


def _pip(python: Path, *arguments: str) -> None:
    subprocess.run([python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], check=True)
