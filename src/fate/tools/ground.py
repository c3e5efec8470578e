"""What the tools stand on: the loop that they use, and the Deferreds that they return.

The loop is the Fate that runs in this thread. If none runs, it is that of the reactor that the program has imported,
which will run later: Twisted's on Fate, else `fate.reactor`. Neither is imported here: only what is there is looked at.

The Deferred is Fate's. Where Twisted runs on this Fate with Deferreds of its own, it is one of those, so that Twisted's
code takes it for what it is; it can be awaited by asyncio's tasks all the same.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from fate.defer import CancelledError, Deferred
from fate.defer.futures import AwaitedByTask
from fate.errors import LoopClosedError, NoFateError, WrongThreadError
from fate.loop import Fate

REACTORS = ("twisted.internet.reactor", "fate.reactor")  # the modules whose `loop` may be a Fate, the first one first

_twisteds: dict[type, type] = {}  # Twisted's class of Deferreds, and what is made of it here


def current_fate() -> Fate:
    """The Fate to use.

    Raises NoFateError if there is none, WrongThreadError if it runs in another thread, LoopClosedError if it is closed.
    """
    running = asyncio._get_running_loop()
    if isinstance(running, Fate):
        return running
    if running is not None:
        raise NoFateError(
            f"the loop that runs here is no Fate but a {type(running).__name__}: start the program with"
            " fate.run(main()) or with the command `fate run`"
        )
    for name in REACTORS:
        loop = getattr(sys.modules.get(name), "loop", None)
        if isinstance(loop, Fate):
            if loop.is_running():
                raise WrongThreadError("the reactor runs in another thread: hand the call to it by callFromThread")
            if loop.is_closed():
                raise LoopClosedError("the reactor has run and is over: call the tools before or while it runs")
            return loop
    raise NoFateError(
        "no Fate runs in this thread: call this from a coroutine or a handler that runs on one, or, if the program"
        " has a reactor, after `from fate import reactor` or fate.tx.install()"
    )


def deferred_class(loop: Fate) -> Any:
    """The class of Deferreds for users of `loop`: Fate's, or one of Twisted's where Twisted runs on it."""
    twisted = getattr(sys.modules.get("twisted.internet.defer"), "Deferred", Deferred)
    if twisted is Deferred or getattr(sys.modules.get(REACTORS[0]), "loop", None) is not loop:
        return Deferred
    if twisted not in _twisteds:
        _twisteds[twisted] = _for_tasks_too(twisted)
    return _twisteds[twisted]


def _for_tasks_too(twisted: Any) -> type:
    """A class of Twisted's Deferreds that asyncio's tasks can await."""

    class DeferredForBoth(twisted):  # type: ignore[misc]  # the class is whatever Twisted has
        _asyncio_future_blocking = AwaitedByTask("_asyncio_future_blocking")
        get_loop = AwaitedByTask("get_loop")
        add_done_callback = AwaitedByTask("add_done_callback")

        def cancel(self, msg: Any = Deferred) -> None:
            """Give it up. `msg` is given by asyncio, whose task will say itself that it was cancelled."""
            super().cancel()
            if msg is not Deferred:
                self.addErrback(partial(_forget, sys.modules["twisted.internet.defer"].CancelledError))

    return DeferredForBoth


def cancelled_class(loop: Fate) -> type[Exception]:
    """The error of the Deferreds of `deferred_class` that are cancelled."""
    if issubclass(deferred_class(loop), Deferred):
        return CancelledError
    error: type[Exception] = sys.modules["twisted.internet.defer"].CancelledError
    return error


def _forget(cancelled: type[Exception], failure: Any) -> Any:
    return None if failure.check(cancelled) else failure


def deferred_of(loop: Fate, coro: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine as a task of `loop`; the Deferred of what it returns.

    Cancelling the Deferred cancels the task, and the Deferred fires when that has cleaned up. If the loop comes to its
    end and cancels the task, nobody is told of an error that nobody has made.
    """
    cls = deferred_class(loop)
    cancelled = cancelled_class(loop)
    task = loop.create_task(coro)
    loop._held.add(task)  # a program may drop the Deferred and wait for its callback
    over = object()
    given_up = False
    receiver: Any = None  # what the result goes to: a second Deferred once the first has been cancelled

    def cancel(deferred: Any) -> None:
        nonlocal given_up
        given_up = True
        task.cancel()
        deferred.callback(over)

    def wait_for_the_end(result: Any) -> Any:
        nonlocal receiver
        if result is over:
            receiver = cls()
            return receiver
        return result

    def done(task: asyncio.Task[Any]) -> None:
        loop._held.discard(task)
        if task.cancelled():
            if not receiver.called:
                receiver.errback(cancelled())
                if not given_up:  # when those have seen it that wait
                    loop.call_soon(made.addErrback, partial(_forget, cancelled))
            return
        error = task.exception()
        if receiver.called:  # cancelled twice: nobody waits any more
            return
        if error is not None:
            receiver.errback(error)
        else:
            receiver.callback(task.result())

    made = receiver = cls(cancel)
    made.addCallback(wait_for_the_end)
    task.add_done_callback(done)
    return made


def fired(loop: Fate, result: Any) -> Any:
    """A Deferred that has its result already."""
    deferred = deferred_class(loop)()
    deferred.callback(result)
    return deferred


async def settled(result: Any) -> None:
    """Wait for what a handler returned, if that can be awaited: a Deferred of either kind, a coroutine, a fuse."""
    if not inspect.isawaitable(result):
        return
    if hasattr(result, "asFuture") and not isinstance(result, Deferred):  # Twisted's, which tasks cannot await
        result = result.asFuture(asyncio.get_running_loop())
    await result


class Turns:
    """Lets the loop turn for a coroutine that has much at hand and need never wait: a flood must hold nobody up.

    It goes on for so many steps, or so long, and then is to `await asyncio.sleep(0)`.
    """

    STEPS = 64
    SECONDS = 0.001

    def __init__(self, loop: Fate) -> None:
        self._loop = loop
        self.begin()

    def begin(self) -> None:
        """The loop has just turned."""
        self._steps = 0
        self._end = self._loop.time() + self.SECONDS

    def many(self) -> bool:
        """Whether it has gone so many steps; to be asked at each, unless `over` is."""
        self._steps += 1
        return self._steps >= self.STEPS

    def over(self) -> bool:
        """Whether it is time to let the loop turn; to be asked at each step."""
        self._steps = steps = self._steps + 1
        return steps >= self.STEPS or (
            steps & 7 == 0 and self._loop.time() >= self._end
        )  # a look at it costs something

    async def turn(self) -> None:
        """Let it turn."""
        await asyncio.sleep(0)
        self.begin()


def checked_callable(what: str, f: object) -> Callable[..., Any]:
    """`f`, if it can be called. Raises TypeError."""
    if not callable(f):
        raise TypeError(f"{what} cannot be called: {f!r}")
    return f
