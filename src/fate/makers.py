# cython: nonecheck=False
"""Futures and tasks, which asyncio programs make by the thousand: the same ones, made at less cost.

`Makers` is the engine with `create_future` and `create_task`. What they make are asyncio's own; asyncio's methods make
a dict of arguments, and run a frame, for each. Whatever is not plain goes the way of asyncio's methods.
"""

from __future__ import annotations

from asyncio import Future, SelectorEventLoop, staggered, tasks
from collections.abc import Callable
from types import CodeType
from typing import Any

from fate._native import call_with, compiled
from fate.core.engine import Engine, Poll

COMPILED = compiled()
TASKS: Any = vars(tasks)  # where asyncio's loops find `Task` each time: programs put others there
# The code of the tasks in which asyncio tries several addresses of a host ("happy eyeballs"). Python before 3.12.8 and
# 3.13.1 counts on it that they begin later, and fails where a task factory makes them eager.
RACER: Any = next(
    (
        code
        for code in staggered.staggered_race.__code__.co_consts
        if isinstance(code, CodeType) and code.co_name == "run_one_coro" and "ok_to_start" not in code.co_varnames
    ),
    object(),
)


class Makers(Engine):
    """An engine that makes futures and tasks."""

    def __init__(self, poll: Poll, clock: Callable[[], int] | None = None) -> None:
        Engine.__init__(self, poll, clock)
        self._for_me: Any = {"loop": self}

    def create_future(self) -> Any:
        """An `asyncio.Future` of this loop."""
        if self._closed:
            return SelectorEventLoop.create_future(self)  # type: ignore[arg-type]
        return call_with(Future, (), self._for_me)

    def create_task(self, coro: Any, *, name: Any = None, context: Any = None, **options: Any) -> Any:
        """An `asyncio.Task` that runs `coro` from the next turn on.

        name: what it is called; context: the `contextvars.Context` it runs in, by default a copy of the present one;
        options: what a task factory takes besides, where asyncio passes it on.
        A task factory is told of what is given only. Raises RuntimeError if the loop is closed.
        """
        plain = name is None and context is None and not options
        if plain and not self._closed and not self._debug and self._task_factory is None:  # type: ignore[attr-defined]
            return call_with(TASKS["Task"], (coro,), self._for_me)
        if plain and not self._closed and getattr(coro, "cr_code", None) is RACER:
            return call_with(TASKS["Task"], (coro,), self._for_me)
        if name is not None:
            options["name"] = name
        if context is not None:
            options["context"] = context
        task = SelectorEventLoop.create_task(self, coro, **options)  # type: ignore[arg-type]
        if not COMPILED and getattr(task, "_source_traceback", None):
            del task._source_traceback[-1]  # type: ignore[attr-defined]  # this method's own frame
        return task

    def _forget_all(self) -> None:
        Engine._forget_all(self)
        if self._closed:
            self._for_me = None  # so that it is freed at once, and not by the collector
