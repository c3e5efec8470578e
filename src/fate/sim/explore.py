"""Search: run a program with no fault, with each single fault, and with many; find runs that fail, each in its own way.

In this order: failures that were kept from before; one run without faults, which tells where faults could be; every
one of those, once each; then seeds, each with a random mixture of faults (swarm). Any `concurrent.futures.Executor`
carries the runs. Outcomes are looked at in the order of the trials, whatever order they come in: what is found does
not depend on how many workers there are. How few faults are needed is `shrink`'s question; telling it, `report`'s.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from itertools import chain, islice
from typing import Any

import msgspec

from fate.sim.decisions import Decision
from fate.sim.errors import BlockedThreadError, ScenarioError
from fate.sim.faults import HAND_OFF, PENDING
from fate.sim.keep import Kept, Runner, lines_of, number_of
from fate.sim.programs import Runnable
from fate.sim.shrink import Shrinker
from fate.sim.silence import silent
from fate.sim.trial import MOST_STEPS, Outcome, Rules, Trial, Usual, attempt, run, run_all, trouble_of

BATCH = 8  # trials that travel together to a worker
AHEAD = 3  # batches that wait for each worker
LATER = {"timer": 1, "stall": 2, "clock": 3}
STEPS, TIMES = 100_000, 1000  # a run hangs if time passes so often, and that many times as often as without faults
CUT = 50  # once one has hung, others get that part of its steps: each that hangs would take as long again


class Search:
    """One search for a run that fails.

    program: what is run. rules: what holds for every run. seeds: those of the random runs.
    kept: trials to begin with. singles: try each single fault. executor: carries the runs; None: this process does.
    workers: how many runs the executor has at once. seconds: of real time, after which no more runs begin; None: all.
    on_progress: called with the number of runs so far, and how many there will be (None: not known yet).
    Raises ScenarioError for a seed that is not an integer.
    """

    def __init__(
        self,
        program: Runnable,
        rules: Rules,
        seeds: Iterable[int] = range(1000),
        *,
        kept: Iterable[Trial] = (),
        singles: bool = True,
        executor: Executor | None = None,
        workers: int = 1,
        seconds: float | None = None,
        on_progress: Callable[[int, int | None], object] | None = None,
    ) -> None:
        self.program = program
        self.rules = rules
        self.seeds = list(seeds)
        for seed in self.seeds:
            if not isinstance(seed, int) or isinstance(seed, bool):
                raise ScenarioError(f"a seed is an integer, not {seed!r}")
        self.kept = list(kept)
        self.singles = singles
        self.executor = executor
        self.workers = max(1, workers)
        self.on_progress = on_progress
        self.runs = 0
        self.total: int | None = None
        self.steps = MOST_STEPS
        self.usual: Usual | None = None
        self.excused: Counter[str] = Counter()
        self.ends = None if seconds is None else time.monotonic() + seconds
        self.out_of_time = False
        self.cut = False  # a run has hung: others that hang are cut short
        self.last: int | None = None  # of the runs, once something has failed
        self.last_alone: int | None = None  # of those with a single fault; None: not known yet

    def find(self) -> Outcome | None:
        """Run until one fails; return what came of it, None if none did."""
        return next(self.failing(False), None)

    def failing(self, on: bool = True) -> Iterator[Outcome]:
        """Run all, and give what came of those that fail, in their order.

        on: False: whoever asks stops at the first. A program that fails without a fault is not run with any.
        """
        for outcome in self._outcomes(iter(self.kept), on):
            if outcome.trouble is not None:
                yield outcome
        benign = self._benign()
        if benign.trouble is not None:
            yield benign
            return
        alone = list(single_faults(benign.decisions)) if self.singles and self.rules.kinds else []
        self.last_alone = self.runs + len(alone)
        self.total = self.last_alone + len(self.seeds)
        self.steps = STEPS + TIMES * benign.steps
        self.usual = benign.usual
        for outcome in self._outcomes(self._bounded(chain(alone, self.random())), on):
            if outcome.trouble is not None:
                yield msgspec.structs.replace(outcome, trial=msgspec.structs.replace(outcome.trial, steps=self.steps))

    def go_on(self, found: Outcome, seconds: float, runs: int) -> None:
        """`found` has failed: try the single faults that are left, and so many runs at least, but no longer."""
        self.cut = is_hang(found)
        self.ends = time.monotonic() + seconds if self.ends is None else self.ends
        self.last = self.runs + runs

    def random(self) -> Iterator[Trial]:
        """The random trials, one a seed."""
        return (Trial(seed, drawn=True, origin="seed") for seed in self.seeds)

    def _bounded(self, trials: Iterable[Trial]) -> Iterator[Trial]:
        """The same, to be held against the run without faults: none may take a thousand times as long."""
        for trial in trials:
            if self.ends is not None and time.monotonic() >= self.ends:
                self.out_of_time = True
                return
            steps = self.steps // CUT if self.cut else self.steps
            yield msgspec.structs.replace(trial, steps=steps, usual=self.usual)

    def _benign(self) -> Outcome:
        trial = Trial()
        if self.executor is None:
            outcome = run(self.program, self.rules, trial, True)
        else:
            outcome = self.executor.submit(run, self.program, self.rules, trial, True).result()
        self._count(outcome)
        return outcome

    def _outcomes(self, trials: Iterator[Trial], on: bool) -> Iterator[Outcome]:
        if self.executor is None:
            for trial in trials:
                outcome = run(self.program, self.rules, trial)
                self._count(outcome)
                yield outcome
                if self._is_enough():
                    return
            return
        waiting: deque[Future[list[Outcome]]] = deque()
        try:
            while True:
                self._submit(self.executor, waiting, trials, on)
                if not waiting:
                    return
                for outcome in waiting.popleft().result():
                    self._count(outcome)
                    yield outcome
                    if self._is_enough():
                        return
        finally:
            for future in waiting:
                future.cancel()

    def _submit(
        self, executor: Executor, waiting: deque[Future[list[Outcome]]], trials: Iterator[Trial], on: bool
    ) -> None:
        while len(waiting) < self.workers * AHEAD and (batch := list(islice(trials, BATCH))):
            waiting.append(executor.submit(run_all, self.program, self.rules, batch, on))

    def _is_enough(self) -> bool:
        return self.last is not None and self.last_alone is not None and self.runs >= max(self.last, self.last_alone)

    def _count(self, outcome: Outcome) -> None:
        self.runs += 1
        if outcome.trouble is None:
            self.excused.update(outcome.excused)
        if self.on_progress is not None:
            self.on_progress(self.runs, self.total)


def single_faults(decisions: Iterable[Decision]) -> Iterator[Trial]:
    """A trial for each single fault that could have happened where these benign decisions were taken.

    What a program's surroundings do comes first; then what may befall any program, and last a clock that jumps: of
    several faults that a failure can come from, the one that says most about the program is told.
    """
    for decision in sorted(decisions, key=lambda each: LATER.get(each.label.partition(" ")[0], 0)):
        for value in _values(decision):
            yield Trial(forced=((decision.label, decision.n, value),), origin="one fault")


def _values(decision: Decision) -> list[int]:
    """The values of a decision to try alone: from the mildest to the worst, not all of them."""
    kind, last = decision.label.partition(" ")[0], decision.bound - 1
    if last < 1:
        return []
    if kind == "cancel":
        return [PENDING, HAND_OFF][:last]
    if kind in ("latency", "job", "timer", "stall"):
        return sorted({max(1, last // 10), last})
    if kind == "split":
        return sorted({1, last})
    if kind == "partition":  # 1 s one way, both ways, and the longest both ways
        return sorted({min(value, last) for value in (3, 4, last)})
    if kind in ("order", "dns", "clock", "crash"):
        return sorted({1, min(2, last), last})
    return [1]


def is_hang(found: Outcome) -> bool:
    """Whether a run failed by not ending."""
    return found.trouble is not None and found.trouble.kind == "hang"


def shrink(program: Runnable, rules: Rules, found: Outcome, steps: int = 0) -> Outcome | None:
    """The same failure with the fewest and mildest faults; None if the run does not fail a second time.

    steps: a run hangs if time passes more often; 0: than `found` was given.
    """
    trouble = found.trouble
    assert trouble is not None
    seen: dict[frozenset[tuple[tuple[str, int], int]], Outcome] = {}

    def fails(faults: Mapping[tuple[str, int], int]) -> bool:
        before = seen.get(frozenset(faults.items()))
        if before is not None:  # a run may take as long as it hangs
            return trouble.like(before.trouble)
        forced = tuple((label, n, value) for (label, n), value in faults.items())
        trial = msgspec.structs.replace(
            found.trial, forced=forced, drawn=False, origin="shrinking", steps=steps or found.trial.steps
        )
        outcome = run(program, rules, trial)
        seen[frozenset(faults.items())] = outcome
        return trouble.like(outcome.trouble)

    faults = {decision.key: decision.value for decision in found.faults()}
    if not fails(faults):
        return None
    least = Shrinker(fails).shrink(faults)
    return seen[frozenset(least.items())]


def histories(program: Runnable, rules: Rules, trial: Trial, count: int) -> list[list[tuple[Any, ...]]]:
    """The events of a trial, run as often as is asked for."""
    found = []
    for _ in range(count):
        with silent():
            found.append(attempt(program, rules, trial, history=True)[0].events)
    return found


def keep(program: Runnable, rules: Rules, found: Outcome, runner: Runner) -> Kept | None:
    """A failure that was found, shrunk and ready to be kept; None if it does not come a second time.

    One that blocked the loop is kept as it is: each further run would take as long again.
    """
    if found.trouble is not None and found.trouble.error == BlockedThreadError.__name__:
        id, trial = number_of(program.name, found.trial), msgspec.structs.replace(found.trial, origin="kept")
        return Kept(id, program.name, runner, rules, trial, found.trouble, tuple(found.faults()))
    steps = found.trial.steps
    for most in (steps // CUT, steps) if is_hang(found) else (steps,):
        least = shrink(program, rules, found, most)
        if least is None or least.trouble is None:
            return None
        trial = msgspec.structs.replace(least.trial, origin="kept", steps=steps)
        with silent():
            result, failure = attempt(program, rules, trial, history=True)
        trouble = None if failure is None else trouble_of(failure)  # it knows more: who made what is left
        if least.trouble.like(trouble):
            break  # else it was slow, and did not hang
    assert least is not None
    assert least.trouble is not None
    if trouble is None or not trouble.like(least.trouble):
        trouble = least.trouble
    events = result.events
    id = number_of(program.name, trial)
    stood = [tuple(event[4:]) for event in events if event[1] == "fault"]
    return Kept(
        id,
        program.name,
        runner,
        rules,
        trial,
        trouble,
        least.decisions,
        lines_of(events),
        stood=stood[-1] if stood else (),
    )
