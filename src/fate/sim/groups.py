"""The failures of one search, grouped: those of one error at one line are one, whatever brings them about.

The first of each group is shrunk and kept; of the others only the faults' kinds are counted. Who runs the search and
who prints is not known here.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Executor

from fate.sim.explore import keep
from fate.sim.keep import Kept, Runner
from fate.sim.programs import Runnable
from fate.sim.trial import Outcome, Rules

MOST_GROUPS = 6  # so many are shrunk


class Group:
    """Failures with one error at one line.

    found: the first, as it was found. kept: that, shrunk; None: it did not come a second time. runs: how many there
    were. faults: how many of those had one fault, by its kind.
    """

    def __init__(self, found: Outcome, kept: Kept | None) -> None:
        self.found = found
        self.kept = kept
        self.runs = 0
        self.faults: Counter[str] = Counter()

    def add(self, outcome: Outcome) -> None:
        """Count one."""
        self.runs += 1
        faults = outcome.faults()
        if len(faults) == 1:
            self.faults[faults[0].label.partition(" ")[0]] += 1

    def others(self) -> dict[str, int]:
        """The kinds of single faults that it came from, but for those of the one that is kept."""
        own = {fault.label.partition(" ")[0] for fault in self.kept.faults} if self.kept is not None else set()
        return {kind: count for kind, count in self.faults.items() if kind not in own}


class Groups:
    """Takes failures as they are found. executor: runs what it takes to shrink one; None: this process does."""

    def __init__(self, program: Runnable, rules: Rules, runner: Runner, executor: Executor | None = None) -> None:
        self.program = program
        self.rules = rules
        self.runner = runner
        self.executor = executor
        self.groups: dict[tuple[str, str, str], Group] = {}
        self.more = 0  # runs that failed in yet other ways

    def take(self, outcome: Outcome) -> Group | None:
        """Put a failure into its group; return that if it is new."""
        trouble = outcome.trouble
        assert trouble is not None
        key = trouble.kind, trouble.error, trouble.where
        group = self.groups.get(key)
        if group is not None:
            group.add(outcome)
            return None
        if len(self.groups) >= MOST_GROUPS:
            self.more += 1
            return None
        group = self.groups[key] = Group(outcome, self._shrunk(outcome))
        group.add(outcome)
        return group

    def _shrunk(self, outcome: Outcome) -> Kept | None:
        if self.executor is None:
            return keep(self.program, self.rules, outcome, self.runner)
        # not here: while the executor works, this process has threads of its own, and no universe should run in it
        return self.executor.submit(keep, self.program, self.rules, outcome, self.runner).result()
