"""Hypothesis draws the sequences: a state machine with one rule for each action, one for each place, and one for each
group of actions, which does a burst of a few of them: drawing costs hypothesis more than what is drawn costs the loop,
and what belongs together is more likely to meet.

Each step is written into a file that is mapped into memory, before it is done: what a process did that crashed can be
read there.
"""

from __future__ import annotations

import mmap
import os
import random
import struct
from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

import fate
from tests.torture.actions import ACTIONS
from tests.torture.world import PLACES, World

ROOM = 1 << 20
HEAD = struct.Struct("<QQQ")  # examples, steps, bytes of text
NUMBERS = st.integers(0, 255)
BURST = 24  # steps
TYPED = {"run_handle", "prepare", "blank_objects"}  # give what is no handle: uncompiled, any error says so
MAKERS = ["connect", "make_transport", "add_reader"]  # of what the others are done to

Step = tuple[str, int, int]


class Diary:
    """What is done, for whoever looks when the process is gone."""

    def __init__(self, path: str) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            os.ftruncate(fd, ROOM)
            self.map = mmap.mmap(fd, ROOM)
        finally:
            os.close(fd)
        self.examples = self.steps = 0
        self.end = HEAD.size

    def begin(self) -> None:
        """A new example."""
        self.examples += 1
        self.end = HEAD.size
        self._head()

    def note(self, step: Step) -> None:
        """What is done next."""
        self.steps += 1
        line = "{} {} {}\n".format(*step).encode()
        if self.end + len(line) < ROOM:
            self.map[self.end : self.end + len(line)] = line
            self.end += len(line)
        self._head()

    def _head(self) -> None:
        self.map[: HEAD.size] = HEAD.pack(self.examples, self.steps, self.end)


def read(path: str) -> tuple[int, int, list[Step]]:
    """Examples, steps, and the steps of the last example."""
    with open(path, "rb") as file:
        examples, steps, end = HEAD.unpack(file.read(HEAD.size))
        text = file.read(max(0, end - HEAD.size)).decode()
    return examples, steps, parse(text)


def parse(text: str) -> list[Step]:
    """Steps from lines."""
    found = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, first, second = line.split()
            found.append((name, int(first), int(second)))
    return found


def names(without: Iterable[str], only: Iterable[str]) -> list[str]:
    """The actions of the groups that are wanted."""
    left_out, wanted = set(without), set(only)
    known = {group for _, group in ACTIONS.values()}
    for group in (left_out | wanted) - known:
        raise SystemExit(f"there is no group {group!r}: {', '.join(sorted(known))}")
    return [
        name
        for name, (_, group) in ACTIONS.items()
        if (fate.compiled or name not in TYPED)
        and group not in left_out
        and (not wanted or group in wanted | {"turns", "memory"})
    ]


def machine(actions: list[str], diary: Diary, failed: Callable[[BaseException], None]) -> type[RuleBasedStateMachine]:
    """A state machine of those actions. `failed` gets what is wrong, at once, and does not return."""

    class Torture(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            diary.begin()
            self.world = World()

        def step(self, name: str, first: int, second: int) -> None:
            diary.note((name, first, second))
            try:
                self.world.do(name, first, second)
                self.world.check()
            except Exception as error:
                failed(error)

        def teardown(self) -> None:
            try:
                diary.note(("finish", 0, 0))
                self.world.finish()
            except Exception as error:
                failed(error)

    def add(called: str, function: Any, **how: Any) -> None:
        function.__name__ = function.__qualname__ = called
        setattr(Torture, called, rule(**how)(function))

    def now(name: str) -> Any:
        def do(self: Torture, first: int, second: int) -> None:
            self.step(name, first, second)

        return do

    def later(place: str) -> Any:
        def do(self: Torture, name: str, first: int, second: int) -> None:
            self.step(f"{place}@{name}", first, second)

        return do

    groups: dict[str, list[str]] = {}
    for name in actions:
        groups.setdefault(ACTIONS[name][1], []).append(name)

    def burst(group: str) -> Any:
        def do(self: Torture, number: int) -> None:
            draw = random.Random(number)
            some = groups[group]
            chosen = draw.sample(some, min(5, len(some))) + [name for name in MAKERS if name in actions]
            for other in ("streams", draw.choice(list(groups))):
                some = groups.get(other, actions)
                chosen += draw.sample(some, min(3, len(some)))
            for _ in range(BURST):
                name = draw.choice(chosen)
                if draw.random() < 0.2:
                    name = f"{draw.choice(PLACES)}@{name}"
                self.step(name, draw.randrange(256), draw.randrange(256))

        return do

    for group in groups:
        for index in range(3):  # or they would be rare among so many rules
            add(f"burst_of_{group}_{index}", burst(group), number=st.integers(0, 2**32))
    for name in actions:
        add(name, now(name), first=NUMBERS, second=NUMBERS)
    for index, place in enumerate(PLACES):
        add(f"at_{place}_{index}", later(place), name=st.sampled_from(actions), first=NUMBERS, second=NUMBERS)
    return Torture


def torture(actions: list[str], diary: Diary, failed: Callable[[BaseException], None], number: int, examples: int,
            steps: int) -> None:  # fmt: skip
    """Run so many examples of the machine; the same number gives the same ones."""
    how = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    cls = seed(number)(machine(actions, diary, failed))
    run_state_machine_as_test(cls, settings=how)


def play(steps: list[Step], failed: Callable[[BaseException], None], diary: Diary | None = None) -> None:
    """Do the steps of one example."""
    world = World()
    try:
        for name, first, second in steps:
            if diary is not None:
                diary.note((name, first, second))
            if name != "finish":
                world.do(name, first, second)
                world.check()
        world.finish()
    except Exception as error:
        failed(error)
