"""What looks at every callback that runs in a universe: promises that must hold, and cancellation as a fault.

A task is cancelled at an await in one of two ways. *Pending*: what it awaits is not done yet. *Hand-off*: it is done,
and the task has not run since; that is where most programs lose something. Both are what any other callback of a real
program could do at that moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fate.core.handle import Handle
from fate.sim.errors import BrokenPromiseError, of_the_library
from fate.sim.faults import HAND_OFF, PENDING, Faults
from fate.sim.story import coroutine_name, place_of, stack_of

if TYPE_CHECKING:
    from fate.sim.hosts import Host


class Watcher:
    """An instrument of one host's loop (see `fate.core.engine.Instrument`).

    promises: functions that must go on giving something true, each with what it promises.
    faults: cancels tasks if "cancel" is among its kinds.
    """

    def __init__(self, host: Host, promises: list[tuple[Callable[[], Any], str]], faults: Faults | None) -> None:
        self.host = host
        self.promises = promises
        self.faults = faults if faults is not None and "cancel" in faults.kinds else None
        self.history = host.world.kernel.history
        self._labels: dict[Any, str] = {}
        self._names: dict[str, int] = {}
        self._doomed: dict[Any, Any] = {}  # tasks to be cancelled when they are about to go on

    def made(self, task: Any) -> None:
        """A task was made: it may be one to cancel."""
        if self.faults is None or task.get_name() == "main":
            return
        coroutine = task.get_coro()
        name = getattr(coroutine, "__qualname__", "task").rpartition("<locals>.")[2]
        code = getattr(coroutine, "cr_code", None)
        if code is not None and code.co_name.startswith("_") and of_the_library(code.co_filename):
            return  # asyncio's own, which no program can reach
        if self.faults.tasks is not None and name not in self.faults.tasks and task.get_name() not in self.faults.tasks:
            return
        count = self._names[name] = self._names.get(name, 0) + 1
        self._labels[task] = f"cancel {name}" if count == 1 else f"cancel {name}#{count}"
        task.add_done_callback(self._forget)

    def _forget(self, task: Any) -> None:
        self._labels.pop(task, None)
        self._doomed.pop(task, None)

    def disarm(self) -> None:
        """The program has ended: cancel nothing any more."""
        self.faults = self.history = None
        self._labels.clear()
        self._doomed.clear()

    def before(self, handle: Handle) -> None:
        """Note in the history what runs, and cancel at the hand-off what was chosen for it."""
        if self.history is not None:
            self.history.append(self._event(handle))
        if self._doomed:
            task = getattr(handle._callback, "__self__", None)
            if isinstance(task, asyncio.Task) and self._doomed.pop(task, None) is not None:
                task.cancel()

    def after(self, handle: Handle) -> None:
        """Look at the promises, and decide whether the task that has stopped at an await shall be cancelled there."""
        for promise, what in self.promises:
            if not promise():
                error = BrokenPromiseError(f"promised was: {what}")
                error.promise = what
                raise error
        if self._labels:
            task = getattr(handle._callback, "__self__", None)
            if isinstance(task, asyncio.Task) and task in self._labels and not task.done():
                self._decide(task)

    def _event(self, handle: Handle) -> tuple[Any, ...]:
        task = getattr(handle._callback, "__self__", None)
        now, name = self.host.world.kernel.now, self.host.name
        if isinstance(task, asyncio.Task):
            return now, "run", name, task.get_name(), coroutine_name(task), stack_of(task), handle.id, handle.cause
        function = getattr(handle._callback, "func", handle._callback)
        what = getattr(function, "__qualname__", None) or type(function).__name__
        return now, "run", name, "", what, "", handle.id, handle.cause

    def _decide(self, task: Any) -> None:
        assert self.faults is not None
        kernel = self.host.world.kernel
        decisions = kernel.decisions
        value = decisions.decide(self._labels[task], 3, self.faults.kinds["cancel"], kernel.now)
        if not value:
            return
        decisions.note(place_of(task))
        if value == PENDING:
            self.host.loop.call_soon(self._cancel_pending, task, task._fut_waiter)
        elif value == HAND_OFF:
            self._doomed[task] = True

    def _cancel_pending(self, task: Any, waiter: Any) -> None:
        if not task.done() and task._fut_waiter is waiter and (waiter is None or not waiter.done()):
            task.cancel()
