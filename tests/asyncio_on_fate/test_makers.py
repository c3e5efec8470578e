"""Futures and tasks that Fate makes itself are those that asyncio would have made."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from fate import Fate

VARIABLE: ContextVar[int] = ContextVar("VARIABLE", default=0)


async def value() -> int:
    return VARIABLE.get()


def test_a_future_is_asyncios_and_of_this_loop(loop: Fate) -> None:
    futures = [loop.create_future() for _ in range(3)]
    assert {type(future) for future in futures} == {asyncio.Future}
    assert all(future.get_loop() is loop for future in futures)
    with pytest.raises(TypeError):
        loop.create_future(1)  # type: ignore[call-arg]


def test_a_task_is_asyncios_and_of_this_loop(loop: Fate) -> None:
    task = loop.create_task(value())
    assert type(task) is asyncio.Task
    assert task.get_loop() is loop
    assert task.get_name().startswith("Task-")
    assert loop.run_until_complete(task) == 0


def test_a_task_with_a_name_and_a_context(loop: Fate) -> None:
    context = copy_context()
    context.run(VARIABLE.set, 3)
    task = loop.create_task(value(), name="counts", context=context)
    assert task.get_name() == "counts"
    assert loop.run_until_complete(task) == 3


def test_a_task_factory_is_asked(loop: Fate) -> None:
    asked: list[Any] = []

    def factory(of: Any, coro: Any, **options: Any) -> Any:
        asked.append(of)
        return asyncio.Task(coro, loop=of, **options)

    loop.set_task_factory(factory)
    assert loop.run_until_complete(loop.create_task(value())) == 0
    loop.set_task_factory(None)
    assert loop.run_until_complete(loop.create_task(value())) == 0
    assert asked == [loop]


def test_a_task_factory_is_told_of_nothing_that_was_not_asked_for(loop: Fate) -> None:
    def factory(of: Any, coro: Any) -> Any:
        return asyncio.Task(coro, loop=of)

    async def main() -> int:
        return await loop.create_task(value()) + await asyncio.create_task(value())

    loop.set_task_factory(factory)  # type: ignore[arg-type]
    assert loop.run_until_complete(loop.create_task(main())) == 0


def test_a_class_that_a_program_puts_in_the_place_of_asyncios_tasks_is_used(
    loop: Fate, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Task(asyncio.Task):  # type: ignore[type-arg]
        pass

    monkeypatch.setattr(asyncio.tasks, "Task", Task)
    task = loop.create_task(value())
    assert type(task) is Task
    assert loop.run_until_complete(task) == 0


def test_what_is_no_coroutine_and_what_no_task_takes_is_refused(loop: Fate) -> None:
    with pytest.raises(TypeError, match="coroutine was expected"):
        loop.create_task(3)  # type: ignore[arg-type]
    coroutine = value()
    with pytest.raises(TypeError):
        loop.create_task(coroutine, colour="red")  # type: ignore[call-arg]
    coroutine.close()


def test_a_closed_loop_makes_no_task() -> None:
    loop = Fate()
    loop.close()
    coroutine = value()
    with pytest.raises(RuntimeError, match="closed"):
        loop.create_task(coroutine)
    coroutine.close()


def test_in_debug_mode_a_task_knows_who_made_it(loop: Fate) -> None:
    loop.set_debug(True)
    task = loop.create_task(value())
    (*_, last) = task._source_traceback  # type: ignore[attr-defined]
    assert last.filename == __file__
    loop.run_until_complete(task)
