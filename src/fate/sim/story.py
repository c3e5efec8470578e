"""Tasks in words: what each waits for, where, who holds that, and where the task was made.

Read off the coroutines themselves, so it costs nothing until somebody asks.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterable
from pathlib import Path
from types import CodeType, CoroutineType, FrameType, MethodType
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
    """Where a task of the program waits: its innermost line outside the standard library, as "bank.py:41".

    If that line is an installed package's, the program's own that led there comes first, with what of the package it
    called: "bank.py:41, in Client.get (client.py:7)".
    """
    found = places(task.get_coro())
    own = [place for place in found if not of_the_library(place[0].co_filename)] or found[:1]
    if not own:
        return "its start"
    innermost = _line(own[-1])
    mine = [place for place in own if "site-packages" not in place[0].co_filename]
    if not mine or mine[-1] is own[-1]:
        return innermost
    called = own[own.index(mine[-1]) + 1][0].co_qualname
    return f"{_line(mine[-1])}, in {called} ({innermost})"


def _line(place: tuple[CodeType, int]) -> str:
    return f"{Path(place[0].co_filename).name}:{place[1]}"


def stack_of(task: Any) -> str:
    """The program's own lines that a task stands in, outermost first: "bank.py:20 > bank.py:41"; "" at its start."""
    own = [place for place in places(task.get_coro()) if not of_the_library(place[0].co_filename)]
    return " > ".join(_line(place) for place in own)


def coroutine_name(task: Any) -> str:
    """The name of a task's coroutine function, without where it was defined."""
    name: str = getattr(task.get_coro(), "__qualname__", "task")
    return name.rpartition("<locals>.")[2]


def describe_task(task: Any, others: Iterable[Any] = ()) -> str:
    """One line: the task, where it is, what it waits for, who of `others` holds that, and where the task was made."""
    coroutine = task.get_coro()
    name = coroutine_name(task)
    found = places(coroutine)
    what = ""
    if len(found) > 1:
        what = f", in {found[-1][0].co_qualname}()"
    waiter = getattr(task, "_fut_waiter", None)
    if waiter is not None:
        what += f", for {_what(waiter, others)}"
    what += "".join(f", held by task {each.get_name()} at {place_of(each)}" for each in _holders(task, others))
    made = getattr(task, "_fate_made", None)
    if made is not None:
        code, at = made
        line = next((line for start, end, line in code.co_lines() if start <= at < end), code.co_firstlineno)
        what += f"; made at {Path(code.co_filename).name}:{line}"
    return f"task {task.get_name()}{f' ({name})' if name != task.get_name() else ''} at {place_of(task)}{what}"


def describe_tasks(tasks: list[Any]) -> str:
    """A line a task, as it follows a sentence."""
    return "".join(f"\n  {describe_task(task, tasks)}" for task in tasks)


def note_maker(task: Any) -> None:
    """Remember on a task which line of the program has made it."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        name = code.co_filename
        known = _libraries.get(name)
        if known is None:
            known = _libraries[name] = of_the_library(name)
        if not known:
            task._fate_made = code, frame.f_lasti  # which line that is takes a while to tell
            return
        if name == UNIVERSE:  # whoever has started the universe has made none of its tasks
            return
        frame = frame.f_back


UNIVERSE = str(Path(__file__).with_name("universe.py"))
_libraries: dict[str, bool] = {}  # whether a file is the library's


def _what(waiter: Any, others: Iterable[Any]) -> str:
    if isinstance(waiter, asyncio.Task):
        return f"task {waiter.get_name()}"
    children = getattr(waiter, "_children", None)
    if children:  # of asyncio.gather
        left = [child for child in children if not child.done()]
        named = [child.get_name() for child in left if isinstance(child, asyncio.Task)]
        return f"task{'s' * (len(named) > 1)} {', '.join(named)}" if len(named) == len(left) else f"{len(left)} futures"
    return "a future that nobody has set" if isinstance(waiter, asyncio.Future) else f"a {type(waiter).__name__}"


def _holders(task: Any, others: Iterable[Any]) -> list[Any]:
    """The tasks that are inside an `async with` of the very lock that `task` waits for."""
    wanted = [getattr(part.cr_frame, "f_locals", {}).get("self") for part in _chain(task)][-1:]
    if not wanted or not isinstance(wanted[0], asyncio.locks._ContextManagerMixin):
        return []
    return [each for each in others if each is not task and _is_in(each, wanted[0])]


def _is_in(task: Any, lock: Any) -> bool:
    """Whether a task's coroutines have yet to leave `lock`: their frames hold its bound `__aexit__`."""
    held = (thing for part in _chain(task) for thing in gc.get_referents(part) if isinstance(thing, MethodType))
    return any(method.__self__ is lock and method.__name__ == "__aexit__" for method in held)


def _chain(task: Any) -> list[Any]:
    """The coroutines that a task is in, outermost first."""
    found, part = [], task.get_coro()
    while isinstance(part, CoroutineType):
        found.append(part)
        part = part.cr_await
    return found
