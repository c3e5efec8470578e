"""The bugs: where each is told of, which versions have it, and what its report must say. Versions are pinned here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SCENARIOS = Path(__file__).parent / "scenarios"


@dataclass(frozen=True)
class Version:
    """One version in which a bug is or is not.

    name: as the table has it. buggy: whether it has the bug. requirements: what pip is asked for, pinned.
    python: the exact interpreter, or "3.11": any of those.
    """

    name: str
    buggy: bool
    requirements: tuple[str, ...] = ()
    python: str = "3.11"

    @property
    def folder(self) -> str:
        """What its virtual environment is called."""
        return self.name.lower().replace(" ", "-")


@dataclass(frozen=True)
class Bug:
    """One bug.

    name: of its file in `scenarios`. title: in words. source: where it was reported.
    sign: a regular expression that the report of this bug, and of no other, contains.
    """

    name: str
    title: str
    source: str
    sign: str
    versions: tuple[Version, ...]

    @property
    def file(self) -> Path:
        """Its scenario: an async function `main`."""
        return SCENARIOS / f"{self.name}.py"


def _redis(number: str, buggy: bool) -> Version:
    return Version(f"redis-py {number}", buggy, (f"redis=={number}", "async-timeout==4.0.3"))


def _anyio(number: str, buggy: bool) -> Version:
    needs = (f"anyio=={number}", "idna==3.10", "sniffio==1.3.1", "typing-extensions==4.15.0")
    return Version(f"anyio {number}", buggy, needs)


def _aiojobs(number: str, buggy: bool) -> Version:
    return Version(f"aiojobs {number}", buggy, (f"aiojobs=={number}", "async-timeout==4.0.3"))


def _python(number: str, buggy: bool) -> Version:
    return Version(f"CPython {number}", buggy, python=number)


BUGS = (
    Bug(
        "redis_cancelled",
        "a cancelled command leaves its reply for the next caller",
        "redis-py #2665",
        r"AssertionError: visitor:\d is greeted as",
        (_redis("4.5.1", True), _redis("4.5.3", True), _redis("4.5.5", False)),
    ),
    Bug(
        "anyio_lock",
        "a Lock stays with a task that was cancelled as it got it",
        "anyio #398",
        r"StuckError: (?s:.*)Event\.wait",
        (_anyio("3.4.0", True), _anyio("3.5.0", False)),
    ),
    Bug(
        "anyio_limiter",
        "a CapacityLimiter gives more tokens than it has",
        "anyio #1170",
        r"AssertionError: 2 pages at once",
        (_anyio("4.13.0", True), _anyio("4.14.2", False)),
    ),
    Bug(
        "wait_for",
        "wait_for swallows a cancellation",
        "gh-86296",
        r"HangError: (?s:.*)\(work\) at wait_for",
        (_python("3.11.7", True), _python("3.12.1", False)),
    ),
    Bug(
        "task_group",
        "a TaskGroup swallows a cancellation that meets a failure",
        "gh-116720",
        r"HangError: (?s:.*)\(monitor\) at task_group",
        (_python("3.12.1", True), _python("3.13.0", False)),
    ),
    Bug(
        "aiojobs_burst",
        "a burst over pending_limit hangs",
        "aiojobs #98",
        r"StuckError: (?s:.*)Scheduler\.spawn",
        (_aiojobs("1.0.0", True), _aiojobs("1.1.0", False)),
    ),
)


def chosen(only: list[str]) -> list[Bug]:
    """The bugs whose names begin with one of these words, or all. Raises ValueError for a word that fits none."""
    for word in only:
        if not any(bug.name.startswith(word) for bug in BUGS):
            raise ValueError(f"no bug {word!r}; there are {', '.join(bug.name for bug in BUGS)}")
    return [bug for bug in BUGS if not only or bug.name.startswith(tuple(only))]
