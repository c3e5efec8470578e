"""Tasks in words: what each waits for, and where.

Read off the coroutines themselves, so it costs nothing until somebody asks.
"""

from __future__ import annotations

from pathlib import Path
from types import CodeType
from typing import Any

from fate.sim.errors import of_the_library


def places(coroutine: Any) -> list[tuple[CodeType, int]]:
    """Where a suspended coroutine stands, outermost first: the code and the line of each await."""
    found: list[tuple[CodeType, int]] = []
    while coroutine is not None and len(found) < 100:
        for kind in ("cr", "gi", "ag"):
            frame = getattr(coroutine, kind + "_frame", None)
            if frame is not None:
                found.append((frame.f_code, frame.f_lineno))
                coroutine = getattr(coroutine, kind + ("_yieldfrom" if kind == "gi" else "_await"), None)
                break
        else:
            break
    return found


def place_of(task: Any) -> str:
    """Where a task of the program waits, as "bank.py:41": its innermost line outside the standard library."""
    found = places(task.get_coro())
    own = [place for place in found if not of_the_library(place[0].co_filename)] or found[:1]
    if not own:
        return "its start"
    return f"{Path(own[-1][0].co_filename).name}:{own[-1][1]}"


def stack_of(task: Any) -> str:
    """The program's own lines that a task stands in, outermost first: "bank.py:20 > bank.py:41"; "" at its start."""
    own = [place for place in places(task.get_coro()) if not of_the_library(place[0].co_filename)]
    return " > ".join(f"{Path(code.co_filename).name}:{line}" for code, line in own)


def coroutine_name(task: Any) -> str:
    """The name of a task's coroutine function, without where it was defined."""
    name: str = getattr(task.get_coro(), "__qualname__", "task")
    return name.rpartition("<locals>.")[2]


def describe_task(task: Any) -> str:
    """One line: the task, where it is, and what it waits for."""
    coroutine = task.get_coro()
    name = getattr(coroutine, "__qualname__", repr(coroutine))
    found = places(coroutine)
    waiter = getattr(task, "_fut_waiter", None)
    what = ""
    if len(found) > 1:
        what = f", in {found[-1][0].co_qualname}()"
    if waiter is not None:
        what += f", for {_what(waiter)}"
    return f"task {task.get_name()} ({name}) at {place_of(task)}{what}"


def _what(waiter: Any) -> str:
    get_name = getattr(waiter, "get_name", None)
    if get_name is not None:
        return f"task {get_name()}"
    return "a future that nobody has set" if type(waiter).__name__ == "Future" else f"a {type(waiter).__name__}"
