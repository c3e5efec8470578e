"""Whether anything can still happen on a loop that waits, and in words what it waits for if nothing can.

Told wrongly it would do more harm than good. So whatever might make something happen counts as if it would: any
watched descriptor, any other thread (those that Python does not know of too), any handler of a signal.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path
from typing import Any

MOST_NAMED = 3


def last_words(loop: Any) -> str | None:
    """Says that nothing can happen any more on `loop`, which waits and has no timer; None if something can."""
    if len(loop._selector.get_map()) > 1 or _threads() > 1 or _hears_signals():  # one is what wakes the loop itself
        return None
    tasks = [_task(task) for task in asyncio.all_tasks(loop)]
    fuses = [f"{fuse!r}" for fuse in loop.fuses]
    waits = "; ".join(filter(None, [_some("task", tasks), _some("fuse", fuses)])) or "it only waits for shutdown()"
    return (
        "Nothing can happen here any more, and the loop goes on waiting: there is no timer, descriptor, other thread or"
        f" handler of a signal left to call anything; {waits}. Ctrl-C ends it."
    )


def _threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:  # not Linux
        return threading.active_count()


def _hears_signals() -> bool:
    """Whether the program has a handler for any signal. Python's own and asyncio's for Ctrl-C are none."""
    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        if not callable(handler) or handler is signal.default_int_handler:
            continue
        if getattr(getattr(handler, "func", None), "__module__", "") != asyncio.Runner.__module__:
            return True
    return False


def _task(task: asyncio.Task[Any]) -> str:
    name = getattr(task.get_coro(), "__qualname__", "")
    frames = task.get_stack(limit=1)
    where = f" at {Path(frames[0].f_code.co_filename).name}:{frames[0].f_lineno}" if frames else ""
    return f"{task.get_name()} ({name}{where})"


def _some(what: str, names: list[str]) -> str:
    if not names:
        return ""
    named = ", ".join(sorted(names)[:MOST_NAMED])
    more = ", ..." if len(names) > MOST_NAMED else ""
    return f"{len(names)} {what} waits: {named}" if len(names) == 1 else f"{len(names)} {what}s wait: {named}{more}"
