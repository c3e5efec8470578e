"""Failures that are kept, each in a file of its own, `.fate/<id>.json`, to be tried first next time and replayed.

A kept failure has all that a run needs: the program's name, the rules, the seed and the faults; and what happened in
it, event by event, so that a program that changed since can be told from one that did not.

Whoever unpacks somebody else's project has their `.fate` too. So a file is data and no more: it says which program of
this repository to run, never one elsewhere (`inside`), and it is never an option of a command or a path to write to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import msgspec

from fate.sim.decisions import Decision
from fate.sim.errors import ReplayError
from fate.sim.trial import Rules, Trial, Trouble
from fate.sim.words import plain_data

FOLDER = ".fate"
ID = re.compile("[0-9a-f]{8}")
MOST_EVENTS = 20_000  # so many are kept of a long run: a megabyte or two


Runner = Literal["fate", "pytest"]


class Kept(msgspec.Struct, frozen=True):
    """One failure.

    program: its name. runner: "fate" or "pytest". rules, trial: what to run. trouble: how it failed.
    faults: those that are needed. events: what happened, a line each, up to MOST_EVENTS. stood: where the other tasks
    stood when the last of the faults struck.
    """

    id: str
    program: str
    runner: Runner
    rules: Rules
    trial: Trial
    trouble: Trouble
    faults: tuple[Decision, ...]
    events: tuple[str, ...] = ()
    stood: tuple[str, ...] = ()
    version: Literal[1] = 1


def number_of(program: str, trial: Trial) -> str:
    """The id of a failure: eight hexadecimal digits that follow from what is run."""
    text = repr((program, trial.seed, trial.forced, trial.drawn))
    return blake2b(text.encode(errors="surrogatepass"), digest_size=4).hexdigest()


def lines_of(events: Iterable[tuple[Any, ...]]) -> tuple[str, ...]:
    """Events as they are kept and compared."""
    return tuple(" ".join(map(str, event)) for event, _ in zip(events, range(MOST_EVENTS), strict=False))


def inside(program: str, home: Path) -> bool:
    """Whether a program, by the name it is kept under, is a file of the repository that `home` is in.

    That is the nearest directory above with a `.git`, else `home` itself. Links are followed first.
    """
    above = [home, *home.resolve().parents]
    top = next((path for path in above if (path / ".git").exists()), home).resolve()
    path = Path(program.partition("::")[0])
    try:
        return (home / path).resolve().is_relative_to(top) and (home / path).is_file()
    except (OSError, ValueError, RuntimeError):  # too long, a null byte, links in a circle
        return False


class Store:
    """The kept failures of one directory.

    home: the directory in which `.fate` is.
    """

    def __init__(self, home: Path) -> None:
        self.folder = home / FOLDER

    def put(self, kept: Kept) -> Path:
        """Write one; return where."""
        self.folder.mkdir(exist_ok=True)
        path = self.folder / f"{kept.id}.json"
        try:
            data = msgspec.json.encode(kept)
        except UnicodeEncodeError:  # a lone surrogate
            data = msgspec.json.encode(plain_data(msgspec.to_builtins(kept)))
        path.unlink(missing_ok=True)  # it may be a link to a file of somebody's
        path.write_bytes(data)
        return path

    def keep(self, kept: Kept, replay: str) -> str:
        """Write one; return `replay`, the command that shows it again, or why that cannot be."""
        try:
            self.put(kept)
        except OSError as error:
            return f"not possible, for it cannot be kept: {error}"
        return replay

    def get(self, id: str) -> Kept:
        """Read one. Raises ReplayError if there is none of that id, or it cannot be read."""
        path = self.folder / f"{id}.json"
        if not ID.fullmatch(id) or not path.is_file():
            stems = sorted(path.stem for path in self.folder.glob("*.json"))
            there = ", ".join(stem for stem in stems if ID.fullmatch(stem)) or "none"
            raise ReplayError(f"there is no kept failure {id!r} in {self.folder}; there are: {there}")
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=Kept)
            if kept.id != id:
                raise ReplayError(f"{path} is not what its name says: its id is {kept.id!r}; remove it")
            return kept
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ReplayError(f"{path} cannot be read: {error}; remove it and explore again") from error

    def of(self, program: str) -> list[Kept]:
        """All of one program, latest first; what cannot be read is left out."""
        found = []
        for path in sorted(self.folder.glob("*.json"), key=lambda path: (-path.stat().st_mtime, path.stem)):
            try:
                kept = self.get(path.stem)
            except ReplayError:
                continue
            if kept.program == program:
                found.append(kept)
        return found
