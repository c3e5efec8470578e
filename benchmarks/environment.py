"""The virtual environments of the benchmarks, and the interpreter of each peer.

``.venv-bench`` holds the pinned peers and Fate compiled, ``.venv-bench-uncompiled`` Fate without compiling. Fate is
installed from a copy of the checkout, never linked to it: what is measured is what a user installs, and nothing
a working tree has lying about (built modules, stale build folders) gets in. It is installed again when a source
has changed. What is installed is remembered in a stamp inside each environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import compiler
from benchmarks.peers import PEERS_ENVIRONMENT, UNCOMPILED_ENVIRONMENT, Peer, requirements

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in", "src")
BUILT = shutil.ignore_patterns("*.so", "*.c", "*.pyd", "*.html", "__pycache__", "*.egg-info")


@dataclass(frozen=True)
class Environment:
    """A folder, what is installed from the index, and the variables Fate is built with."""

    folder: Path
    requirements: tuple[str, ...]
    variables: tuple[tuple[str, str], ...]

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def stamp(self) -> Path:
        return self.folder / "installed.json"


def environments() -> dict[str, Environment]:
    """By name. Without a compiler the peers' environment holds whatever build of Fate can be made."""
    compiled = (("FATE_REQUIRE_EXT", "1"),) if compiler() else ()
    return {
        PEERS_ENVIRONMENT: Environment(ROOT / ".venv-bench", tuple(requirements()), compiled),
        UNCOMPILED_ENVIRONMENT: Environment(ROOT / ".venv-bench-uncompiled", (), (("FATE_PURE", "1"),)),
    }


def interpreter(peer: Peer) -> Path:
    known = environments().get(peer.environment)
    return known.python if known else Path(peer.environment)


def prepare(peers: Iterable[Peer]) -> None:
    """Make and update the environments that ``peers`` need. Raises CalledProcessError when pip fails."""
    needed = {peer.environment for peer in peers}
    for name, environment in environments().items():
        if name in needed:
            update(environment)


def update(environment: Environment) -> None:
    wanted = {"python": sys.version, "requirements": list(environment.requirements), "fate": digest(environment)}
    present = json.loads(environment.stamp.read_text()) if environment.stamp.exists() else {}
    if present == wanted:
        return
    if present.get("python") != sys.version:
        say(f"making {environment.folder.name}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment.folder)], check=True)
    environment.stamp.unlink(missing_ok=True)
    if present.get("python") != sys.version or present.get("requirements") != wanted["requirements"]:
        install_requirements(environment)
    say(f"installing Fate in {environment.folder.name}")
    with tempfile.TemporaryDirectory(prefix="fate-bench-") as folder:
        copy_sources(Path(folder))
        pip_install(environment, "--force-reinstall", "--no-deps", folder)
        pip_install(environment, folder)
    environment.stamp.write_text(json.dumps(wanted, indent=1))


def install_requirements(environment: Environment) -> None:
    """All at once, or else one by one: a peer without a build for this Python is left out, and named."""
    if not environment.requirements:
        return
    say(f"installing {', '.join(environment.requirements)}")
    with suppress(subprocess.CalledProcessError):
        pip_install(environment, *environment.requirements, "--only-binary=:all:", quiet=True)
        return
    for requirement in environment.requirements:
        try:
            pip_install(environment, requirement, quiet=True)
        except subprocess.CalledProcessError as error:
            words = [line for line in error.stderr.splitlines() if line.startswith("ERROR") or "error:" in line]
            say(f"cannot install {requirement}: {words[-1].strip() if words else error}")


def pip_install(environment: Environment, *arguments: str, quiet: bool = False) -> None:
    command = [str(environment.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    variables = os.environ | dict(environment.variables)
    subprocess.run(command, check=True, env=variables, stderr=subprocess.PIPE if quiet else None, text=True)


def copy_sources(target: Path) -> None:
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=BUILT)
        elif source.exists():
            shutil.copy2(source, target / name)


def digest(environment: Environment) -> str:
    """Of everything Fate is built from, and how."""
    total = hashlib.sha256(repr(environment.variables).encode())
    for file in source_files():
        total.update(f"{file.relative_to(ROOT)}\0".encode())
        total.update(file.read_bytes())
    return total.hexdigest()


def source_files() -> Iterator[Path]:
    for name in SOURCES:
        source = ROOT / name
        if source.is_file():
            yield source
        for folder, folders, files in os.walk(source):
            folders[:] = sorted(set(folders) - BUILT(folder, folders))
            yield from (Path(folder, file) for file in sorted(set(files) - BUILT(folder, files)))


def say(text: str) -> None:
    print(f"benchmarks: {text}", file=sys.stderr, flush=True)
