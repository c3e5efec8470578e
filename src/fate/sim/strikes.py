"""What faults have done to the tasks of a run: who was cancelled, who was told of it, and which waits were long.

Collected while a program runs, read when it has failed: `excuses` asks whether an error could be a fault's own. What
is kept of a task keeps nothing alive that would not be: references to tasks are weak, and the frame of one that has
ended is cleared.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from fate.sim.states import NEVER
from fate.sim.story import places

if TYPE_CHECKING:
    from fate.sim.hosts import Host

LONG_NS = 1_000_000_000  # where a task stands is looked at for waits of a second and more
MOST_LINKS = 8  # from a task to whoever hears of its end
TAG = "_fate_wait"  # where a task keeps its latest wait, and an exception the wait that it ended


class Wait(NamedTuple):
    """How one wait of a task ended.

    ns: how long it was. alone: nothing else was on its way when it ended: without the timer it had lasted for ever.
    turn: the task waited for its turn (for a lock, or a place in a pool), which only another task can give it.
    """

    ns: int
    alone: bool
    turn: bool


class Strikes:
    """What has struck in one universe."""

    def __init__(self) -> None:
        self.names: list[str] = []  # of the coroutines that were cancelled
        self.lasting: set[str] = set()  # names of coroutines whose tasks last until the program cancels them
        self.stalled_until = -1
        self.told_main = False  # the program has ended because it awaited one that was cancelled
        self._struck: list[weakref.ref[Any]] = []  # tasks, and who waits for them: tasks, gather, shield
        self.frames: list[FrameType] = []  # of those tasks' coroutines
        self._running: dict[int, FrameType] = {}
        self._ends: list[tuple[int, Wait]] = []

    def cancelled(self, task: Any, name: str) -> None:
        """A fault is about to cancel `task`, whose coroutine is called `name`."""
        self.names.append(name)
        self._struck.append(weakref.ref(task))
        frame = getattr(task.get_coro(), "cr_frame", None)
        if frame is not None:
            self.frames.append(frame)
            self._running[id(task)] = frame
        self._follow(task)

    def over(self, task: Any) -> None:
        """`task`, which may be one that was cancelled, has ended: hold nothing that it held."""
        frame = self._running.pop(id(task), None)
        if frame is not None:
            with contextlib.suppress(RuntimeError):
                frame.clear()

    def _follow(self, future: Any, depth: int = 0) -> None:
        for callback, *_ in getattr(future, "_callbacks", None) or ():
            self._tell(callback, depth)

    def _tell(self, callback: Any, depth: int = 0) -> None:
        for each in _futures_of(callback):
            if depth < MOST_LINKS and not self.concern(each):
                self._struck.append(weakref.ref(each))
                self._follow(each, depth + 1)

    def pass_on(self, host: Host, task: Any) -> None:
        """`task` has ended as cancelled, for it awaited one that was: whoever awaits it hears of that too."""
        self._struck.append(weakref.ref(task))
        for handle in host.loop._queue[host.loop._head :]:  # whoever it tells of its end
            if handle is not None and handle._args and handle._args[0] is task:
                self._tell(handle._callback)
        if host.main is None and task.get_name() == "main":
            self.told_main = True

    def concern(self, future: Any) -> bool:
        """Whether a task or a future is one that was cancelled, or hears of it."""
        return any(each() is future for each in self._struck)

    def waited(self, host: Host, task: Any, since: int) -> None:
        """`task`, which has waited since `since`, is about to go on."""
        kernel = host.world.kernel
        ns = kernel.now - since
        waiter = task._fut_waiter
        broken_off = waiter is not None and waiter.cancelled()
        if ns < LONG_NS:
            wait = Wait(ns, False, False)
        else:
            alone = kernel.now != self.stalled_until and is_alone(host)  # after a stall much comes in one turn
            wait = Wait(ns, alone, broken_off and waits_for_its_turn(task))
        if broken_off:
            ends = self._ends
            if ends and ends[-1][0] != kernel.now:
                ends.clear()
            ends.append((kernel.now, wait))
        task._fate_wait = wait

    def ended(self, host: Host, error: BaseException, task: Any) -> None:
        """`task` has ended with `error`: keep with that which wait it ended."""
        if hasattr(error, TAG):
            return  # of a task that it awaited
        now = host.world.kernel.now
        here = [wait for when, wait in self._ends if when == now]
        wait = max(here, key=lambda each: each.ns) if here else getattr(task, TAG, None)
        if wait is not None:
            with contextlib.suppress(AttributeError, TypeError):
                setattr(error, TAG, wait)


def is_alone(host: Host) -> bool:
    """Whether nothing is on its way, no timer runs and nobody else can go on: but for whoever goes on now."""
    kernel = host.world.kernel
    if kernel.next_event() != NEVER:
        return False
    waits = kernel.waits
    if waits is not None and waits.next_wake() != NEVER:
        return False
    main = host.universe.main.loop
    return not any(loop._timers.count or len(loop._queue) > loop._head for loop in (host.loop, main))


def waits_for_its_turn(task: Any) -> bool:
    """Whether a task stands in an `acquire` that waits for nothing but another task."""
    found = places(task.get_coro())
    if not found:
        return False
    innermost = found[-1][0]
    waits = innermost.co_filename.endswith(("asyncio/locks.py", "asyncio/queues.py")) or innermost.co_name == "acquire"
    return waits and any(code.co_name.startswith("acquire") for code, _ in found)


def _futures_of(callback: Any) -> Iterator[Any]:
    held = [getattr(callback, "__self__", None), *(getattr(callback, "args", None) or ())]
    for cell in getattr(callback, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # empty
            held.append(cell.cell_contents)
    yield from (each for each in held if isinstance(each, asyncio.Future))
