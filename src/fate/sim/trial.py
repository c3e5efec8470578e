"""One try of a program in one universe: what to try, what came of it, and whether that is a failure.

`Trial` and `Outcome` are plain data: they travel to other processes and into files. `run` does one; the search over
many is `explore`'s.

A fault's own error is no failure: if that is all that a program ends with, it was told of the fault and said so, and
nobody made a mistake. `excuses` has the rules; `strict` switches them off.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import msgspec

from fate.sim.decisions import Decision
from fate.sim.errors import HERE, of_the_library
from fate.sim.excuses import Excuses
from fate.sim.failures import Failure
from fate.sim.faults import Faults
from fate.sim.programs import Runnable
from fate.sim.silence import silent
from fate.sim.universe import DAY, Result, Universe

Forced = tuple[str, int, int]  # label, n, value
MOST_STEPS = (
    2_000_000  # so often time passes in a run of which nothing is known: a dozen seconds of nothing but waiting
)


class Rules(msgspec.Struct, frozen=True):
    """What holds for every try of a program.

    kinds: the faults that may happen, and how likely each is at each opportunity. tasks: which tasks are cancelled;
        None: all that the program has made, but each host's main task. spared: those that are not. limit: seconds of
        virtual time. allow: kinds of failures that are none, or KIND:NAME.
    strict: a fault's own error is a failure too.
    """

    kinds: dict[str, float]
    tasks: tuple[str, ...] | None = None
    limit: float = 30 * DAY
    allow: tuple[str, ...] = ()
    strict: bool = False
    spared: tuple[str, ...] = ()

    @classmethod
    def make(cls, faults: Any = "all", limit: float = 30 * DAY, allow: Any = (), strict: bool = False) -> Rules:
        """Rules from what a person gave. Raises ScenarioError for what is none."""
        made = Faults.make(faults)
        Universe(0, made, limit=limit, allow=allow)  # which looks at all of it
        allowed = (allow,) if isinstance(allow, str) else tuple(sorted(allow))
        if made is None:
            return cls({}, None, limit, allowed, strict)
        tasks = None if made.tasks is None else tuple(sorted(made.tasks))
        return cls(dict(made.kinds), tasks, limit, allowed, strict, tuple(sorted(made.spared)))

    def faults(self) -> Faults | None:
        """The faults as universes take them."""
        return Faults(self.kinds, self.tasks, self.spared) if self.kinds else None


class Usual(msgspec.Struct, frozen=True):
    """How a program runs without faults: what a time-out is held against.

    seconds: how long, in virtual time. lasting: coroutines whose tasks last until they are cancelled.
    """

    seconds: float
    lasting: tuple[str, ...] = ()


class Trial(msgspec.Struct, frozen=True):
    """What to try.

    seed: the universe's. forced: decisions whose value is given. drawn: draw the others; else all are benign.
    origin: how it came about: "no faults", "one fault", "seed", "kept" or "shrinking".
    steps: the run hangs if time passes more often than this. usual: the run without faults; None: not known.
    """

    seed: int = 0
    forced: tuple[Forced, ...] = ()
    drawn: bool = False
    origin: str = "no faults"
    steps: int = MOST_STEPS
    usual: Usual | None = None


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
    """What came of one try.

    decisions: all, if they were asked for; else those that are not benign. steps: how often time passed. excused: the
    types of the errors that would be failures if they were not a fault's own. usual: how this run was, if all of its
    decisions were asked for.
    """

    trial: Trial
    trouble: Trouble | None
    decisions: tuple[Decision, ...]
    steps: int = 0
    excused: tuple[str, ...] = ()
    usual: Usual | None = None

    def faults(self) -> list[Decision]:
        """The decisions that differed from the benign default."""
        return [decision for decision in self.decisions if decision.value]


class Attempt(NamedTuple):
    """One run, with all that came of it.

    failure: the first thing that is one by the rules. excused: errors that are a fault's own. lasting: see `Usual`.
    """

    result: Result[Any]
    failure: Failure | None
    excused: list[BaseException]
    lasting: tuple[str, ...]


def attempt(program: Runnable, rules: Rules, trial: Trial, history: bool = False) -> tuple[Result[Any], Failure | None]:
    """Run it once; return all that came of it, and the first thing that is a failure by the rules."""
    return attempt_all(program, rules, trial, history)[:2]


def attempt_all(program: Runnable, rules: Rules, trial: Trial, history: bool = False) -> Attempt:
    """Run it once; return all that came of it, and what that means by the rules."""
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
    universe.judged = not rules.strict
    main = program.load()
    result = universe.attempt(main)
    failure, excused = None, []
    happened = result.faults() if result.failures and not rules.strict else []
    if happened:
        usual = trial.usual
        excuses = Excuses(
            happened,
            universe.strikes,
            () if usual is None else usual.lasting,
            None if usual is None else int(usual.seconds * 1e9),
            universe.world.has_network,
        )
    for each in result.failures:
        if not happened or not excuses.cover(each.error):
            failure = each
            break
        assert each.error is not None
        excused.append(each.error)
    return Attempt(result, failure, excused, tuple(sorted(universe.strikes.lasting)))


def run(program: Runnable, rules: Rules, trial: Trial, everything: bool = False) -> Outcome:
    """Run it once, in silence. everything: have all decisions in the outcome."""
    with silent():
        result, failure, excused, lasting = attempt_all(program, rules, trial)
    decisions = tuple(result.decisions if everything else result.faults()) if failure or everything else ()
    return Outcome(
        trial,
        trouble_of(failure) if failure else None,
        decisions,
        result.steps,
        tuple(sorted({name for error in excused for name in types_of(error)})),
        Usual(result.seconds, lasting) if everything else None,
    )


def run_all(program: Runnable, rules: Rules, trials: list[Trial], on: bool = False) -> list[Outcome]:
    """Run several, up to the first that fails; on: all."""
    outcomes = []
    for trial in trials:
        outcomes.append(run(program, rules, trial))
        if outcomes[-1].trouble is not None and not on:
            break
    return outcomes


def types_of(error: BaseException) -> Iterator[str]:
    """The type of an error; of a group, those of what is in it."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from types_of(each)
    else:
        yield type(error).__name__


def trouble_of(failure: Failure) -> Trouble:
    """A failure as plain data."""
    error = failure.error
    name = "" if error is None else type(error).__name__
    return Trouble(failure.kind, failure.message, failure.host, failure.when, place_of_error(error), name)


def place_of_error(error: BaseException | None) -> str:
    """The innermost line of the program's own that an error came through, "bank.py:41 in transfer"; or "".

    If a package raised it, also which of its functions the program had called: ", calling Pool.acquire".
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is None:
        return ""
    steps = [
        (step.tb_frame.f_code, step.tb_lineno)
        for step in _steps(error.__traceback__)
        if not step.tb_frame.f_code.co_filename.startswith((HERE, "<"))
        and not step.tb_frame.f_code.co_name.startswith("fate.")  # compiled
        and not of_the_library(step.tb_frame.f_code.co_filename)
    ]
    if not steps:
        return ""
    own = [number for number, (code, _) in enumerate(steps) if "site-packages" not in code.co_filename]
    last = own[-1] if own else len(steps) - 1
    code, line = steps[last]
    called = f", calling {steps[last + 1][0].co_qualname}" if last + 1 < len(steps) else ""
    return f"{Path(code.co_filename).name}:{line} in {code.co_name}{called}"


def _steps(step: TracebackType | None) -> Iterator[TracebackType]:
    while step is not None:
        yield step
        step = step.tb_next
