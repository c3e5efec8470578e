"""Executors that were made outside of a universe, such as one that a library makes when it is imported.

Their threads are of the real world, and so is their queue. In a universe another executor of the same kind stands in
for each, with threads of the universe; it is made when the first job comes, and forgotten with the universe.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fate.sim import _swap, world

_init, _submit, _shutdown = ThreadPoolExecutor.__init__, ThreadPoolExecutor.submit, ThreadPoolExecutor.shutdown


def _stand_in(executor: ThreadPoolExecutor) -> ThreadPoolExecutor:
    """What stands in for `executor` in this thread: itself, where it was made inside, and in the real world."""
    here = world.current
    if here is None or not _swap.get_inside() or executor.__dict__.get("_fate_world") is here:
        return executor
    found = here.executors.get(id(executor))
    if found is None:
        twin = object.__new__(type(executor))
        fresh = {
            "_work_queue": queue.SimpleQueue(),
            "_idle_semaphore": threading.Semaphore(0),
            "_threads": set(),
            "_shutdown_lock": threading.Lock(),
        }
        twin.__dict__.update(executor.__dict__ | fresh)
        found = here.executors[id(executor)] = executor, twin
    return found[1]


def begin(self: ThreadPoolExecutor, *args: Any, **kwargs: Any) -> None:
    """`ThreadPoolExecutor.__init__`: one that is made in a universe is of it."""
    _init(self, *args, **kwargs)
    if _swap.get_inside():
        self.__dict__["_fate_world"] = world.current


def submit(self: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """`ThreadPoolExecutor.submit`."""
    return _submit(_stand_in(self), function, *args, **kwargs)


def shutdown(self: ThreadPoolExecutor, wait: bool = True, *, cancel_futures: bool = False) -> None:
    """`ThreadPoolExecutor.shutdown`."""
    _shutdown(_stand_in(self), wait, cancel_futures=cancel_futures)


METHODS: list[tuple[type, str, Any]] = [
    (ThreadPoolExecutor, "__init__", begin),
    (ThreadPoolExecutor, "submit", submit),
    (ThreadPoolExecutor, "shutdown", shutdown),
]
