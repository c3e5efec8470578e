"""Each callback has a context of its own, or none of them can tell that it has not."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from contextvars import ContextVar, Token, copy_context
from typing import Any

import pytest

import fate._native
from fate import Fate
from fate.core.engine import Engine
from fate.core.handle import Handle, TimerHandle

VARIABLE: ContextVar[int] = ContextVar("VARIABLE", default=0)


def drain(loop: Fate) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_what_a_callback_sets_the_next_ones_do_not_see(loop: Fate) -> None:
    seen: list[int] = []

    def change(value: int) -> None:
        seen.append(VARIABLE.get())
        VARIABLE.set(value)

    for value in range(1, 5):
        loop.call_soon(change, value)
        loop.call_soon(lambda: seen.append(VARIABLE.get()))
        loop.call_later(0, change, -value)
    drain(loop)
    drain(loop)
    assert seen == [0] * 12


def test_what_a_callback_sets_its_own_callbacks_see(loop: Fate) -> None:
    seen: list[tuple[int, int]] = []

    def change(value: int) -> None:
        VARIABLE.set(value)
        loop.call_soon(lambda: seen.append((value, VARIABLE.get())))
        loop.call_later(0, lambda: seen.append((value, VARIABLE.get())))

    for value in range(1, 5):
        loop.call_soon(change, value)
    drain(loop)
    drain(loop)
    assert sorted(seen) == sorted([(value, value) for value in range(1, 5)] * 2)


def test_a_token_is_good_in_its_own_callback_only(loop: Fate) -> None:
    tokens: list[Token[int]] = []
    failures: list[str] = []

    def change() -> None:
        tokens.append(VARIABLE.set(1))
        VARIABLE.set(0)

    def reset() -> None:
        try:
            VARIABLE.reset(tokens[0])
        except ValueError as error:
            failures.append(str(error))

    loop.call_soon(change)
    loop.call_soon(reset)
    drain(loop)
    assert ["different Context" in failure for failure in failures] == [True]


def test_a_variable_that_is_put_back_in_its_own_callback(loop: Fate) -> None:
    seen: list[int] = []

    def there_and_back() -> None:
        token = VARIABLE.set(1)
        seen.append(VARIABLE.get())
        VARIABLE.reset(token)

    for _ in range(3):
        loop.call_soon(there_and_back)
        loop.call_soon(lambda: seen.append(VARIABLE.get()))
    drain(loop)
    assert seen == [1, 0] * 3


@pytest.mark.parametrize("kind", ["call_soon", "call_later"])
def test_the_context_that_a_running_handle_tells_is_the_one_it_runs_in(loop: Fate, kind: str) -> None:
    found: list[Any] = []
    handles: list[Handle] = []

    def look(index: int) -> None:
        context = handles[index].get_context()
        assert context is not None
        VARIABLE.set(index + 1)
        found.append((context.get(VARIABLE), context is handles[index].get_context()))
        with pytest.raises(RuntimeError, match="already entered"):
            context.run(print)

    schedule: Callable[..., Handle] = loop.call_soon if kind == "call_soon" else lambda *args: loop.call_later(0, *args)
    handles.extend(schedule(look, index) for index in range(3))
    drain(loop)
    drain(loop)
    assert found == [(1, True), (2, True), (3, True)]


def test_a_context_asked_for_beforehand_is_the_one_it_runs_in(loop: Fate) -> None:
    handles = [loop.call_soon(VARIABLE.set, value) for value in (1, 2)]
    contexts = [handle.get_context() for handle in handles]
    drain(loop)
    assert [context and context.get(VARIABLE) for context in contexts] == [1, 2]


def test_contexts_that_are_kept(loop: Fate) -> None:
    kept: list[Any] = []

    def keep(value: int) -> None:
        VARIABLE.set(value)
        kept.append(copy_context())

    for value in (1, 2, 3):
        loop.call_soon(keep, value)
    drain(loop)
    assert [context[VARIABLE] for context in kept] == [1, 2, 3]


def test_callbacks_that_raise_leave_no_context_behind(loop: Fate) -> None:
    reported: list[Any] = []
    seen: list[int] = []
    loop.set_exception_handler(lambda _, details: reported.append((details["message"], VARIABLE.get())))

    def fail() -> None:
        VARIABLE.set(7)
        raise ValueError

    for _ in range(2):
        loop.call_soon(fail)
        loop.call_soon(lambda: seen.append(VARIABLE.get()))
    drain(loop)
    # What is reported is handled in the context of the callback that raised, as in asyncio, since Python 3.12.
    handled_in = 7 if sys.version_info >= (3, 12) else 0
    assert (len(reported), {value for _, value in reported}, seen) == (2, {handled_in}, [0, 0])
    assert VARIABLE.get() == 0


def test_a_callback_that_raised_is_reported_with_the_context_that_it_ran_in(loop: Fate) -> None:
    seen: list[Any] = []
    loop.set_exception_handler(lambda _, details: seen.append(details["handle"].get_context()[VARIABLE]))

    def fail(value: int) -> None:
        VARIABLE.set(value)
        raise ValueError

    for value in (1, 2, 3):
        loop.call_soon(fail, value)
        loop.call_later(0, fail, value + 3)
    drain(loop)
    drain(loop)
    assert seen == [1, 2, 3, 4, 5, 6]


def test_an_exit_from_a_callback_leaves_no_context_behind(loop: Fate) -> None:
    def leave() -> None:
        VARIABLE.set(7)
        raise SystemExit(3)

    loop.call_soon(lambda: None)
    loop.call_soon(leave)
    with pytest.raises(SystemExit):
        loop.run_forever()
    assert VARIABLE.get() == 0
    drain(loop)
    assert VARIABLE.get() == 0


def test_a_callback_that_turns_the_loop_itself(loop: Fate) -> None:
    seen: list[int] = []

    def turn() -> None:
        VARIABLE.set(1)
        loop.call_soon(lambda: seen.append(VARIABLE.get()))
        loop.full_turn()
        seen.append(VARIABLE.get())

    def change() -> None:
        seen.append(VARIABLE.get())
        VARIABLE.set(2)

    loop.call_soon(lambda: None)
    loop.call_soon(turn)
    loop.call_soon(change)
    drain(loop)
    assert sorted(seen) == [0, 1, 1]


def test_a_handle_that_somebody_keeps_stays_what_it_was(loop: Fate) -> None:
    kept = [loop.call_soon(list) for _ in range(3)]
    watched = loop.call_soon(list)
    gone: list[Any] = []
    reference = weakref.ref(watched, gone.append)
    ids = [handle.id for handle in kept]
    del watched
    drain(loop)
    assert (reference(), len(gone)) == (None, 1)
    more = [loop.call_soon(list) for _ in range(5)]
    assert [handle.id for handle in kept] == ids
    assert {id(handle) for handle in kept}.isdisjoint(id(handle) for handle in more)
    assert [repr(handle) for handle in kept] == [f"<Handle {number} finished>" for number in ids]
    assert all(handle.get_context() is None for handle in kept)
    drain(loop)


def test_a_callback_may_cancel_its_own_handle(loop: Fate) -> None:
    class Callback:
        def __call__(self) -> None:
            handles.pop().cancel()
            done.append(len(str(self)) > 0)

    done: list[bool] = []
    handles = [loop.call_soon(Callback())]
    drain(loop)
    assert done == [True]


def test_what_is_freed_with_a_handle_may_schedule_the_next(loop: Fate) -> None:
    seen: list[int] = []

    class Last:
        def __init__(self, left: int) -> None:
            self.left = left

        def __del__(self) -> None:
            if self.left:
                loop.call_soon(use, Last(self.left - 1))

    def use(last: Last) -> None:
        seen.append(last.left)

    loop.call_soon(use, Last(20))
    for _ in range(25):
        drain(loop)
    assert seen == list(range(20, -1, -1))


def test_handles_that_have_run_leave_nothing_behind(loop: Fate) -> None:
    def memory() -> int:
        for _ in range(20):
            for _ in range(1000):
                loop.call_soon(list)
            drain(loop)
        gc.collect()
        return sys.getallocatedblocks()

    memory()
    before = memory()
    assert memory() - before < 1000


def test_methods_that_are_the_loops_own(loop: Fate) -> None:
    class Mine(Fate):
        pass

    mine = Mine()
    assert isinstance(mine.call_soon(print), Handle)
    assert isinstance(mine.call_later(1, print), TimerHandle)
    mine.close()
    for name in ("call_soon", "call_soon_threadsafe", "call_later", "call_at"):
        assert getattr(Fate, name).__doc__ == getattr(Engine, name).__doc__
    if fate._native.compiled():
        assert Fate.call_soon.__objclass__ is Fate  # type: ignore[attr-defined]
        with pytest.raises(TypeError, match="no such method"):
            fate._native.own(Engine, Fate.close)
        with pytest.raises(TypeError, match="no such method"):
            fate._native.own(dict, Engine.call_soon)
