"""One try of a program in one universe: what to try, what came of it, and whether that is a failure.

`Trial` and `Outcome` are plain data: they travel to other processes and into files. `run` does one; the search over
many is `explore`'s.

A fault's own error is no failure. A connection that was reset raises ConnectionResetError, a late answer TimeoutError,
a task that was cancelled CancelledError, and libraries have errors of their own for that: if that is all that a program
ends with, it was told of the fault and said so, and nobody made a mistake. `excused` has the rules; `strict` switches
them off.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import socket
import traceback
from pathlib import Path
from typing import Any

import msgspec

from fate.sim.decisions import Decision
from fate.sim.errors import HERE, of_the_library
from fate.sim.failures import Failure
from fate.sim.faults import Faults
from fate.sim.programs import Runnable
from fate.sim.universe import DAY, Result, Universe

Forced = tuple[str, int, int]  # label, n, value
MOST_STEPS = (
    2_000_000  # so often time passes in a run of which nothing is known: a dozen seconds of nothing but waiting
)

HARMLESS = frozenset({"order", "split", "duplicate"})  # no connection breaks or is late by these
WORLDLY = (ConnectionError, TimeoutError, socket.gaierror, EOFError)  # what a program is told of a broken or slow world
FOREIGN = re.compile("Connect|Timeout")  # the same by name, where a library's own errors are no kin of Python's


class Rules(msgspec.Struct, frozen=True):
    """What holds for every try of a program.

    kinds: the faults that may happen, and how likely each is at each opportunity. tasks: which tasks are cancelled;
        None: all but each host's main task. limit: seconds of virtual time. allow: kinds of failures that are none, or
        KIND:NAME.
    strict: a fault's own error is a failure too.
    """

    kinds: dict[str, float]
    tasks: tuple[str, ...] | None = None
    limit: float = 30 * DAY
    allow: tuple[str, ...] = ()
    strict: bool = False

    @classmethod
    def make(cls, faults: Any = "all", limit: float = 30 * DAY, allow: Any = (), strict: bool = False) -> Rules:
        """Rules from what a person gave. Raises ScenarioError for what is none."""
        made = Faults.make(faults)
        Universe(0, made, limit=limit, allow=allow)  # which looks at all of it
        allowed = (allow,) if isinstance(allow, str) else tuple(sorted(allow))
        if made is None:
            return cls({}, None, limit, allowed, strict)
        tasks = None if made.tasks is None else tuple(sorted(made.tasks))
        return cls(dict(made.kinds), tasks, limit, allowed, strict)

    def faults(self) -> Faults | None:
        """The faults as universes take them."""
        return Faults(self.kinds, self.tasks) if self.kinds else None


class Trial(msgspec.Struct, frozen=True):
    """What to try.

    seed: the universe's. forced: decisions whose value is given. drawn: draw the others; else all are benign.
    origin: how it came about: "no faults", "one fault", "seed", "kept" or "shrinking".
    steps: the run hangs if time passes more often than this.
    """

    seed: int = 0
    forced: tuple[Forced, ...] = ()
    drawn: bool = False
    origin: str = "no faults"
    steps: int = MOST_STEPS


class Trouble(msgspec.Struct, frozen=True):
    """A failure as plain data.

    kind, message, host, when: as `Failure` has them. where: the program's own line, "bank.py:41 in transfer", or "".
    error: the exception's type, or "".
    """

    kind: str
    message: str
    host: str
    when: int
    where: str = ""
    error: str = ""

    def like(self, other: Trouble | None) -> bool:
        """Whether both are the same failure, as far as can be told: of one kind, by one error, at one line."""
        if other is None:
            return False
        return (self.kind, self.error, self.where) == (other.kind, other.error, other.where)


class Outcome(msgspec.Struct, frozen=True):
    """What came of one try. decisions: all, if they were asked for; else those that are not benign. steps: how often
    time passed."""

    trial: Trial
    trouble: Trouble | None
    decisions: tuple[Decision, ...]
    steps: int = 0

    def faults(self) -> list[Decision]:
        """The decisions that differed from the benign default."""
        return [decision for decision in self.decisions if decision.value]


def attempt(program: Runnable, rules: Rules, trial: Trial, history: bool = False) -> tuple[Result[Any], Failure | None]:
    """Run it once; return all that came of it, and the first thing that is a failure by the rules."""
    faults = rules.faults()
    if trial.drawn and faults is not None:
        faults = faults.swarm(trial.seed)
    universe: Universe[Any] = Universe(
        trial.seed,
        faults,
        overrides={(label, n): value for label, n, value in trial.forced},
        drawn=trial.drawn,
        history=history,
        limit=rules.limit,
        steps=trial.steps,
        allow=rules.allow,
    )
    main = program.load()
    result = universe.attempt(main)
    kinds = frozenset(decision.label.partition(" ")[0] for decision in result.faults())
    return result, next((each for each in result.failures if rules.strict or not excused(each.error, kinds)), None)


def run(program: Runnable, rules: Rules, trial: Trial, everything: bool = False) -> Outcome:
    """Run it once, in silence. everything: have all decisions in the outcome."""
    with contextlib.redirect_stdout(io.StringIO()):
        result, failure = attempt(program, rules, trial)
    decisions = tuple(result.decisions if everything else result.faults()) if failure or everything else ()
    return Outcome(trial, trouble_of(failure) if failure else None, decisions, result.steps)


def run_all(program: Runnable, rules: Rules, trials: list[Trial], everything: bool = False) -> list[Outcome]:
    """Run several, up to the first that fails."""
    outcomes = []
    for trial in trials:
        outcomes.append(run(program, rules, trial, everything))
        if outcomes[-1].trouble is not None:
            break
    return outcomes


def excused(error: BaseException | None, kinds: frozenset[str]) -> bool:
    """Whether `error` says no more than that a fault of these kinds happened."""
    if error is None:
        return False
    if isinstance(error, BaseExceptionGroup):
        return all(excused(each, kinds) for each in error.exceptions)
    if isinstance(error, AssertionError):
        return False
    if isinstance(error, asyncio.CancelledError):
        return "cancel" in kinds
    if isinstance(error, WORLDLY) or any(FOREIGN.search(base.__name__) for base in type(error).__mro__):
        return not kinds <= HARMLESS
    reasons = getattr(error, "reasons", None)  # twisted.web's, each a Failure
    if isinstance(reasons, list) and reasons:
        return all(excused(getattr(reason, "value", None), kinds) for reason in reasons)
    return error.__cause__ is not None and excused(error.__cause__, kinds)


def trouble_of(failure: Failure) -> Trouble:
    """A failure as plain data."""
    error = failure.error
    name = "" if error is None else type(error).__name__
    return Trouble(failure.kind, failure.message, failure.host, failure.when, place_of_error(error), name)


def place_of_error(error: BaseException | None) -> str:
    """The innermost line of the program's own that an error came through, "bank.py:41 in transfer"; or ""."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is None:
        return ""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((HERE, "<"))
        and not frame.name.startswith("fate.")  # compiled
        and not of_the_library(frame.filename)
    ]
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    return f"{Path(own[-1].filename).name}:{own[-1].lineno} in {own[-1].name}" if own else ""
