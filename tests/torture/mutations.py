"""Each fault of memory that was mended, put back: does the torture find it? ``python -m tests.torture.mutations``.

A copy of the sources gets the fault, is compiled, and is tortured until something is found that looks like it. Prints
a table: the fault, after how many seconds it was found, with which seed. The status is 0 if each was found within a
minute. `--source FOLDER` tortures sources that have all the faults anyway, and puts nothing back.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT = 60.0  # seconds


@dataclass
class Mutation:
    """A fault, and how it shows."""

    name: str
    only: str  # the groups of actions that it takes: others may find another fault first
    looks: str  # what is in the report, a regular expression
    replaces: list[tuple[str, str, str]] = field(default_factory=list)  # file, what is there, what was there


MUTATIONS = [
    Mutation(
        "a stream that is lost stays in the table of transports, which borrows it",
        "streams,sendfile,readers",
        r"crash|_ensure_fd_no_transport",
        [
            ("net/_calls.pyx", "def __dealloc__(self):\n        self._rise()", "def __dealloc__(self):\n        pass"),
            (
                "net/stream.py",
                "            self._rise()\n            self._lost = True\n",
                "            self._lost = True\n",
            ),
        ],
    ),
    Mutation(
        "a factory closes the socket that it gets: the table is written at -1",
        "streams,factories",
        r"crash",
        [
            ("net/stream.py", "if sock.fileno() < 0:\n", "if sock is None:\n"),
            (
                "net/stream.py",
                "            if fd >= 0:\n                table",
                "            if fd >= -1:\n                table",
            ),
            ("net/_calls.pyx", "if table is None or fd < 0:", "if table is None:"),
        ],
    ),
    Mutation(
        "a datagram transport keeps the number of a socket that was closed",
        "streams,datagrams,reuse",
        r"not sent|bytes came|datagram of box|datagram.* raised",
        [
            (
                "net/datagram.py",
                "return number_now(self._loop._poll, self._sock, self._number)",
                "return self._number",
            ),
            ("net/datagram.py", "fd = fd_of(self._sock)  #", "fd = transport._number  #"),
            (
                "net/datagram.py",
                "send_datagram(self._sock, fd_of(self._sock),",
                "send_datagram(self._sock, self._transport()._number,",
            ),
        ],
    ),
    Mutation(
        "a wrapped socket's memory is read as a descriptor",
        "streams,wrappers",
        r"descriptor 0|bytes came|not sent|crash",
        [
            ("net/connections.py", "return cls is PYTHONS or (", "return cls is socket.socket or ("),
            ("net/_calls.pyx", "if FAST and fate_is_socket(sock) else", "if FAST else"),
        ],
    ),
    Mutation(
        "a nested run takes handles from the queue that another turn counts on",
        "calls,runs",
        r"crash",
        [
            (
                "core/handle.pxd",
                "if ((size_t)head >= (size_t)PyList_GET_SIZE(queue)) return",
                "if (0) return",
            ),
            ("core/engine.py", "if not nested and self._head >= COMPACT:", "if self._head >= COMPACT:"),
        ],
    ),
    Mutation(
        "bytes that say they are longer, or shorter, than they are",
        "streams,buffers",
        r"IndexError|bytes came|not sent",
        [
            ("net/stream.py", "            data = memoryview(data)  # what", "            # what"),
            (
                "net/stream.py",
                "            size = data.nbytes\n",
                "            size = len(data) if type(data) is not memoryview else data.nbytes\n",
            ),
        ],
    ),
]


def mutated(folder: Path, mutation: Mutation) -> Path:
    """Sources with the fault, compiled."""
    for name in ("src", "setup.py", "pyproject.toml", "README.md", "LICENSE", "build/cython"):
        whence = ROOT / name
        if name.startswith("build") and not whence.exists():
            continue  # all is compiled anew
        if whence.is_dir():
            shutil.copytree(whence, folder / name)
        else:
            shutil.copy(whence, folder / name)
    for name, old, new in mutation.replaces:
        path = folder / "src" / "fate" / name
        text = path.read_text()
        if text.count(old) != 1:
            raise SystemExit(f"{mutation.name}: {name} has {text.count(old)} times what was to be replaced: {old!r}")
        path.write_text(text.replace(old, new))
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=folder,
        env={**os.environ, "FATE_REQUIRE_EXT": "1"},
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return folder / "src"


def find(source: Path, mutation: Mutation, seed: int, limit: float) -> tuple[bool, str]:
    """Torture the sources: whether it was found, and how."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.torture", f"--seconds={limit}", f"--seed={seed}", "--shorten=0"]
        + [f"--only={mutation.only}", f"--until={mutation.looks}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(source), "PYTHONMALLOC": "debug"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if " after " in line]
    last = lines[-1] if lines else ""
    return re.search(mutation.looks, last) is not None, last or done.stdout[-200:]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.mutations", description=__doc__)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=LIMIT)
    parser.add_argument("--only", default="", help="a part of a name: only those")
    given = parser.parse_args()
    missed = 0
    for mutation in MUTATIONS:
        if given.only not in mutation.name:
            continue
        if not mutation.replaces and given.source is None:
            print(f"not mended yet, so not put back: {mutation.name}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            source = given.source or mutated(Path(folder), mutation)
            began = time.monotonic()
            found, how = find(source.resolve(), mutation, given.seed, given.limit)
            took = time.monotonic() - began
        missed += not found
        print(f"{'found' if found else 'MISSED'} in {took:5.1f} s: {mutation.name}\n    {how}", flush=True)
    raise SystemExit(missed != 0)


if __name__ == "__main__":
    main()
