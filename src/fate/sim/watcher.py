"""What looks at every callback that runs in a universe: promises that must hold, and faults of the program's own tasks.

A task is cancelled at an await in one of two ways. *Pending*: what it awaits is not done yet. *Hand-off*: it is done,
and the task has not run since; that is where most programs lose something. Or before its first step: then nothing of
it runs, no `finally` either. All are what any other callback of a real program could do at that moment. A *stall* is a
step that takes long: what computes, a garbage collection, a machine that swaps.

Only tasks that the program has made or been given are cancelled: those inside its libraries no program can reach.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from fate.core.handle import Handle
from fate.sim.errors import BrokenPromiseError, of_the_library
from fate.sim.excuses import is_of_struck
from fate.sim.faults import HAND_OFF, OFF, PENDING, STALL_STEP_NS, STALL_STEPS, UNBEGUN, Faults
from fate.sim.story import coroutine_name, place_of, stack_of
from fate.sim.strikes import Strikes

if TYPE_CHECKING:
    from fate.sim.hosts import Host

MOST_STOOD = 3  # so many other tasks are told of when a fault strikes
MOST_YIELDS = 4  # polls in a row that found nothing, with some 16 turns each: whoever yields after these, spins

MOST_EVENTS = 500_000  # of a history: who never ends must not fill the memory


class Watcher:
    """An instrument of one host's loop (see `fate.core.engine.Instrument`).

    promises: functions that must go on giving something true, each with what it promises.
    faults: cancels tasks and stalls, if these are among its kinds.
    """

    def __init__(self, host: Host, promises: list[tuple[Callable[[], Any], str]], faults: Faults | None) -> None:
        self.host = host
        self.promises = promises
        self.any_faults = faults is not None
        self.faults = faults if faults is not None and "cancel" in faults.kinds else None
        self.stall = OFF if faults is None else faults.probability("stall")
        self.history = host.world.kernel.history
        self._labels: dict[Any, str] = {}
        self._names: dict[str, int] = {}
        self._new: dict[Any, Any] = {}  # tasks that have not run yet
        self._told = False  # the task that runs now has awaited one that was cancelled
        self._doomed: dict[Any, int] = {}  # tasks to be cancelled when they are about to go on, and by which decision

    def made(self, task: Any) -> None:
        """A task was made: it may be one to cancel. Before Python 3.12, its name comes later."""
        if self.faults is not None:
            self._new[task] = True

    def _meet(self, task: Any) -> None:
        """A task is about to run for the first time."""
        if self.faults is None or task.get_name() == "main":
            return
        name = coroutine_name(task)
        names = name, task.get_name()
        if self.faults.tasks is not None:
            if not _named(names, self.faults.tasks) or _is_asyncios_own(task):
                return
        elif not is_the_programs(task):
            return
        if self.faults.spared and _named(names, self.faults.spared):
            return
        count = self._names[name] = self._names.get(name, 0) + 1
        label = f"cancel {name}" if count == 1 else f"cancel {name}#{count}"
        self._labels[task] = label
        task.add_done_callback(self._forget)
        maker = _maker(task)
        if maker and not _is_installed(maker) and _is_unbegun(task.get_coro()):
            kernel = self.host.world.kernel
            if kernel.decisions.decide(label + UNBEGUN, 2, self.faults.kinds["cancel"], kernel.now):
                kernel.decisions.note(_own_name(task))
                self._strike(task, kernel.decisions.latest())

    def _forget(self, task: Any) -> None:
        label = self._labels.pop(task, None)
        self._doomed.pop(task, None)
        if label is None:
            return
        self.host.universe.strikes.over(task)
        if task.cancelled():
            self.host.universe.strikes.lasting.add(coroutine_name(task))

    def disarm(self) -> None:
        """The program has ended: no fault strikes any more."""
        self.host.universe.strikes.lasting.update(coroutine_name(task) for task in self._labels)
        self.faults = self.history = None
        self.any_faults = False
        self.stall = OFF
        self._labels.clear()
        self._new.clear()
        self._doomed.clear()

    def before(self, handle: Handle) -> None:
        """Note in the history what runs, and cancel at the hand-off what was chosen for it."""
        if self.history is not None and len(self.history) < MOST_EVENTS and handle._callback != self._forget:
            self.history.append(self._event(handle))
        if self.any_faults:
            task = getattr(handle._callback, "__self__", None)
            if isinstance(task, asyncio.Task):
                since = getattr(task, "_fate_since", None)
                if since is not None and since != self.host.world.kernel.now:
                    self.host.universe.strikes.waited(self.host, task, since)
                strikes = self.host.universe.strikes
                self._told = bool(strikes.names) and _tells_of(task._fut_waiter, strikes)  # type: ignore[attr-defined]
                if self._new and self._new.pop(task, False):
                    self._meet(task)
                if self._doomed and task in self._doomed:
                    self._strike(task, self._doomed.pop(task))

    def after(self, handle: Handle) -> None:
        """Look at the promises, and decide which faults befall the host or the task that has run."""
        for promise, what in self.promises:
            if not promise():
                error = BrokenPromiseError(f"promised was: {what}")
                error.promise = what
                raise error
        if self.any_faults:
            task: Any = getattr(handle._callback, "__self__", None)
            if not isinstance(task, asyncio.Task):
                task = None
            elif not task.done():
                task._fate_since = self.host.world.kernel.now  # type: ignore[attr-defined]
                if task in self._labels and not self._spins(task):
                    self._decide(task)
            elif task.cancelled():
                strikes = self.host.universe.strikes
                if strikes.names and (self._told or (not strikes.concern(task) and _has_heard(task, strikes))):
                    strikes.pass_on(self.host, task)
            elif task._exception is not None:
                self.host.universe.strikes.ended(self.host, task._exception, task)
            if self.stall >= 0.0 and self.host.loop._timers.count and not self._spins(task):
                self._stall(handle, task)

    def _spins(self, task: Any) -> bool:
        """Whether what has run only yields, over and over: faults of each of its thousands of turns say nothing new."""
        return self.host.world.kernel.idle_polls > MOST_YIELDS and (task is None or task._fut_waiter is None)

    def _event(self, handle: Handle) -> tuple[Any, ...]:
        task = getattr(handle._callback, "__self__", None)
        now, name = self.host.world.kernel.now, self.host.name
        if isinstance(task, asyncio.Task):
            return now, "run", name, task.get_name(), coroutine_name(task), stack_of(task), handle.id, handle.cause
        return now, "run", name, "", _function(handle), "", handle.id, handle.cause

    def _decide(self, task: Any) -> None:
        assert self.faults is not None
        kernel = self.host.world.kernel
        decisions = kernel.decisions
        value = decisions.decide(self._labels[task], 3, self.faults.kinds["cancel"], kernel.now)
        if not value:
            return
        decisions.note(place_of(task) + _own_name(task))
        if value == PENDING:
            self.host.loop.call_soon(self._cancel_pending, task, task._fut_waiter, decisions.latest())
        elif value == HAND_OFF:
            self._doomed[task] = decisions.latest()

    def _cancel_pending(self, task: Any, waiter: Any, decision: int) -> None:
        if not task.done() and task._fut_waiter is waiter and (waiter is None or not waiter.done()):
            self._strike(task, decision)

    def _strike(self, task: Any, decision: int) -> None:
        self._tell(task, decision)
        self.host.universe.strikes.cancelled(task, coroutine_name(task))
        task.cancel()

    def _stall(self, handle: Handle, task: Any) -> None:
        """The step that has just run may have taken long. Without a timer nothing could be the other way round."""
        kernel = self.host.world.kernel
        value = kernel.decisions.decide(f"stall {self.host.name}", STALL_STEPS, self.stall, kernel.now)
        if value:
            kernel.decisions.note(_function(handle) if task is None else _step_of(task))
            self._tell(task, kernel.decisions.latest())
            self.host.world.sleep(value * STALL_STEP_NS)
            self.host.universe.strikes.stalled_until = kernel.now

    def _tell(self, task: Any, decision: int) -> None:
        """A fault strikes now: put it into the history, with where the other tasks stand."""
        kernel = self.host.world.kernel
        label, n = kernel.decisions.strikes_at(decision, kernel.now)
        if self.history is not None:
            self.history.append((kernel.now, "fault", label, n, *self._stood(task)))

    def _stood(self, task: Any) -> list[str]:
        others = [each for each in self.host.pending() if each is not task]
        stood = [f"{each.get_name()} at {place_of(each)}" for each in others[:MOST_STOOD]]
        return [*stood, f"{len(others) - MOST_STOOD} more"] if len(others) > MOST_STOOD else stood


def _tells_of(waiter: Any, strikes: Strikes) -> bool:
    """Whether a future that a task has awaited raises the cancellation of another."""
    if waiter is None or not strikes.concern(waiter) or not waiter.done():
        return False
    return waiter.cancelled() or isinstance(waiter._exception, asyncio.CancelledError)


def _has_heard(task: Any, strikes: Strikes) -> bool:
    """Whether a task that has ended as cancelled awaited one that was, and was over by then."""
    if task.get_name() == "main":
        return False  # `Excuses` looks at its error
    try:
        task.exception()
    except asyncio.CancelledError as error:
        return is_of_struck(error, strikes)
    return False


def is_the_programs(task: Any) -> bool:
    """Whether a program could cancel a task: it made it itself, or gave the coroutine to a library that did."""
    if _is_asyncios_own(task):
        return False
    code = getattr(task.get_coro(), "cr_code", None)
    if code is not None and not _is_installed(code.co_filename):
        return True
    maker = _maker(task)
    return bool(maker) and not _is_installed(maker)


def _is_asyncios_own(task: Any) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and code.co_name.startswith("_") and of_the_library(code.co_filename)


def _is_unbegun(coroutine: Any) -> bool:
    return getattr(coroutine, "cr_frame", None) is not None and not (coroutine.cr_suspended or coroutine.cr_running)


def _is_installed(file: str) -> bool:
    return of_the_library(file) or "site-packages" in file or "dist-packages" in file


def _maker(task: Any) -> str:
    """The file of the program, or of a package, that has made a task; "": the loop itself has, for a connection."""
    made = getattr(task, "_fate_made", None)
    return "" if made is None else str(made[0].co_filename)


def _own_name(task: Any) -> str:
    """The name that the program has given a task, as it follows where that is; "": none."""
    name: str = task.get_name()
    return "" if name.startswith("Task-") else f" (it is called {name})"


def _named(names: Iterable[str], wanted: Iterable[str]) -> bool:
    return any(fnmatchcase(name, each) for each in wanted for name in names)


def _function(handle: Handle) -> str:
    function = getattr(handle._callback, "func", handle._callback)
    return getattr(function, "__qualname__", None) or type(function).__name__


def _step_of(task: Any) -> str:
    where = "has ended" if task.done() else f"had come to {place_of(task)}"
    return f"task {task.get_name()} {where}"
