"""An exception between any two steps of a run loses nothing, and leaves nothing of the run behind.

`injector.py` beside this file is the tool; by hand it does ten thousand.
"""

from __future__ import annotations

import ast
import asyncio
import gc
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import fate
from fate import Fate
from interrupts.injector import KINDS, at_line, by_timer, inject

pytestmark = pytest.mark.filterwarnings(  # what was cut short was perhaps not closed
    "ignore::ResourceWarning", "ignore::RuntimeWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True)
def swept() -> Iterator[None]:
    """What a test leaves is collected before the next one, which it is none of."""
    yield
    for _ in range(3):
        gc.collect()


@pytest.mark.skipif(fate.compiled, reason="compiled code has no lines to raise at")
@pytest.mark.parametrize("kind", list(KINDS))
def test_raised_at_a_line_of_fates_it_loses_nothing(kind: str) -> None:
    chance = random.Random(kind)
    for number in chance.sample(range(1, 2000 if kind == "world" else 150), 8):
        place, wrong = at_line(KINDS[kind], number)
        assert not wrong, place


@pytest.mark.parametrize("kind", ["world", "buffered", "article", "fate.run", "run_until_complete"])
def test_raised_by_a_timer_it_loses_nothing(kind: str) -> None:
    if not fate.compiled and kind != "run_until_complete":
        pytest.skip("uncompiled, lines are what is held to it")
    chance = random.Random(kind)
    came = 0
    for _ in range(10):
        place, wrong = by_timer(KINDS[kind], chance.uniform(2e-6, 5e-4))
        assert not wrong
        came += bool(place)
    assert came


def test_runs_that_are_interrupted_again_and_again_leave_no_running_loop() -> None:
    def strike(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    loop = Fate()
    chance = random.Random(1)
    old = signal.signal(signal.SIGALRM, strike)
    left = 0
    try:
        for _ in range(150):
            try:
                try:
                    signal.setitimer(signal.ITIMER_REAL, chance.uniform(2e-6, 2e-4))
                    while True:
                        loop.call_soon(loop.stop)
                        loop.run_forever()
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                pass
            left += asyncio._get_running_loop() is not None or loop.is_running()
            asyncio._set_running_loop(None)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert left == 0
    loop.call_soon(loop.stop)  # and what was left in the queue, which may be another `stop`
    loop.run_forever()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_a_future_of_an_interrupted_run_does_not_stop_a_later_one() -> None:
    loop = Fate()
    first = loop.create_future()

    def interrupt() -> None:
        first.set_result(1)  # whose end would stop the run, in the next turn
        raise KeyboardInterrupt

    loop.call_soon(interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(first)
    assert loop.run_until_complete(asyncio.sleep(0.001, 2)) == 2
    loop.close()


def test_the_tool_finds_what_is_lost() -> None:
    class Forgetful(KINDS["world"]):  # type: ignore[misc, name-defined]
        def check(self) -> list[str]:
            self.ends[0].got += b"a byte that nobody sent"
            self.wanted["what never came"] += 1
            return super().check()

    _, wrong = inject(1, kinds={"forgetful": Forgetful}, chance=random.Random(1))
    told = " ".join(wrong)
    assert "bytes of" in told and "what never came" in told


def _in_try(tree: ast.AST) -> Iterator[ast.While]:
    """Each `while CONDITION` in a `try` that means to see every exception."""
    for place in ast.walk(tree):
        if isinstance(place, ast.Try) and (
            place.finalbody or ast.unparse(place.handlers[-1]).startswith("except Base")
        ):
            inside: list[ast.AST] = list(place.body)
            while inside:
                part = inside.pop()
                if isinstance(part, ast.While) and not isinstance(part.test, ast.Constant):
                    yield part
                if not isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                    inside += ast.iter_child_nodes(part)


def test_no_loop_jumps_back_outside_of_the_try_around_it() -> None:
    """On Python 3.12 and 3.13 the last jump of `while CONDITION` is outside of it: what a signal's handler raises there
    passes `except` and `finally` by. That of `while True` is inside, and so is a call of a function that loops."""
    for source in sorted(Path(fate.__file__).parent.rglob("*.py")):
        for loop in _in_try(ast.parse(source.read_text())):
            pytest.fail(f"{source.name}:{loop.lineno}: write `while True`, and `break` where the condition ends")
