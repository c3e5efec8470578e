"""What counts as a failure of a run, and how a program says that it does not.

A failure is of a kind, and has names: of the task that was left behind, of the exception's type, and so on. `Allowed`
reads what a program allows: "leftover", all of a kind, or "leftover:worker", one by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from fate.sim.errors import ScenarioError
from fate.sim.words import words_of

KINDS = {
    "exception": "the names of the exception's type and of those that it is a kind of",
    "promise": "what was promised, in words",
    "stuck": "",
    "hang": "",
    "report": "as of an exception, or the message",
    "leftover": "of a task or its function, of a callback, of a signal; connection, socket, unclosed, reader, timer...",
}
"""Each kind, and what its failures can be allowed by; "": by nothing but their kind."""


@dataclass
class Failure:
    """One thing that went wrong.

    kind: one of `KINDS`. message: what, in words. error: the exception, where there is one. host: where it was.
    when: virtual nanoseconds since the universe began. names: what it can be allowed by.
    """

    kind: str
    message: str
    error: BaseException | None = None
    host: str = "main"
    when: int = 0
    names: tuple[str, ...] = ()


class Allowed:
    """Failures that are none here.

    entries: each a kind, or KIND:NAME, such as "leftover:worker" or "exception:TimeoutError". In a name `*` stands for
        anything.
    Raises ScenarioError for a kind that is none, or has no names.
    """

    def __init__(self, entries: Any) -> None:
        if isinstance(entries, str):
            entries = [entries]
        if not isinstance(entries, Iterable) or not all(isinstance(entry, str) for entry in entries):
            raise ScenarioError(f"what is allowed is text, such as 'leftover' or 'leftover:NAME', not {entries!r}")
        self._entries = [entry.partition(":") for entry in entries]
        for kind, colon, name in self._entries:
            if kind not in KINDS:
                raise ScenarioError(f"there is no failure {kind!r}; there are: {', '.join(KINDS)}")
            if colon and not name:
                raise ScenarioError(f"after '{kind}:' comes a name; without one, it is just {kind!r}")
            if name and not KINDS[kind]:
                raise ScenarioError(f"a failure of the kind {kind!r} has no name: allow {kind!r}, not '{kind}:{name}'")

    def covers(self, failure: Failure) -> bool:
        """Whether a failure is none."""
        return self.named(failure.kind, failure.names) or self._each(failure)

    def named(self, kind: str, names: Iterable[str]) -> bool:
        """Whether what is of this kind and has one of these names is no failure."""
        return any(
            kind == entry and (not name or any(fnmatchcase(each, name) for each in names))
            for entry, _, name in self._entries
        )

    def _each(self, failure: Failure) -> bool:
        """Whether a failure is a group of exceptions that all are allowed."""
        return isinstance(failure.error, BaseExceptionGroup) and all(
            self.covers(Failure(failure.kind, "", each, names=names_of(each))) for each in failure.error.exceptions
        )


NOTHING = Allowed(())
MOST_TOLD = 3  # exceptions of a group


def told(error: BaseException) -> str:
    """An exception in words; of a group, also what is in it."""
    words = f"{type(error).__name__}: {words_of(error)}"
    if isinstance(error, BaseExceptionGroup):
        words += ": " + "; ".join(told(each) for each in error.exceptions[:MOST_TOLD])
    return words


def names_of(error: BaseException | None) -> tuple[str, ...]:
    """What an exception can be allowed by."""
    bases = type(error).__mro__ if error is not None else ()
    return tuple(base.__name__ for base in bases if base not in (object, BaseException, Exception))
