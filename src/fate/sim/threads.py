"""Threads in lockstep: real threads of which one runs at a time, in an order that is decided and never left to chance.

The thread that runs the loop is the scheduler. Another thread of the universe runs when that one waits (polls, sleeps,
takes a lock), until it waits itself; then it hands back. Waiting is: a condition and a deadline in virtual time. So
conditions, queues and futures are Python's own, on the locks of `locks`, which wait that way. Threads that began
outside are not concerned.
"""

from __future__ import annotations

import _queue
import _thread
import concurrent.futures.thread as pool
import ctypes
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fate.sim import _swap, world
from fate.sim.clocks import real
from fate.sim.errors import BlockedThreadError, outside, unsimulated
from fate.sim.locks import Lock, real_lock
from fate.sim.states import NEVER

if TYPE_CHECKING:
    from fate.sim.hosts import Host

PATIENCE = 8.0  # seconds of real time that a thread may run before it counts as one that never yields
PATIENCE_AT_THE_END = 1.0  # the same, when it has been told to end
_real_start = _thread.start_new_thread
_real_joinable: Any = getattr(_thread, "start_joinable_thread", None)
real_join = threading.Thread.join


class Worker:
    """One thread of a universe besides the one that runs the loop."""

    def __init__(self, here: world.World, host: Host, function: Callable[..., Any]) -> None:
        self.world = here
        self.host = host
        self.thread = getattr(function, "__self__", None)
        self.gate = real_lock()
        self.gate.acquire()
        self.check: Callable[[], Any] | None = None
        self.deadline = 0
        self.done = False
        self.kill = False
        self.lost = False  # it never gave its turn back, and is waited for no more
        self.ident = 0

    def report(self, thread: threading.Thread) -> None:
        """What it was to do has raised, in place of `threading.excepthook`: the loop's exception handler is told."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, SystemExit) and not self.kill:  # nor does threading tell of that
            loop, message = self.host.loop, f"Exception in thread {thread.name}"
            loop.call_soon_threadsafe(loop.call_exception_handler, {"message": message, "exception": error})

    def ready(self) -> bool:
        """Whether it can go on."""
        return self.deadline <= self.world.kernel.now or (self.check is not None and bool(self.check()))

    def wait(self, check: Callable[[], Any] | None, deadline: int) -> bool:
        """Called in the thread itself: wait for `check()` or until `deadline`; say whether `check()` is true."""
        if self.kill:  # it has been told, and waits again: an executor's thread, for the next job
            raise SystemExit
        if check is not None and check():
            return True
        self.check, self.deadline = check, deadline
        self.world.all_threads().baton.release()
        real(self.gate.acquire)
        if self.kill:
            raise SystemExit
        return check is not None and bool(check())


class Threads:
    """The threads of one universe."""

    def __init__(self, here: world.World) -> None:
        self.world = here
        self.workers: list[Worker] = []
        self.crashed: list[Worker] = []  # of hosts that are no more: they never run again
        self.current: Worker | None = None
        self.baton = real_lock()  # the scheduler waits for it while a worker runs
        self.baton.acquire()

    def start(self, function: Callable[..., Any], call: Callable[[], Any], begin: Callable[[Any], Any]) -> Any:
        """Make a thread that does `call`, which is `function` with its arguments; it runs when the present one waits.

        begin: makes the real thread; what it returns is returned.
        """
        worker = Worker(self.world, self.world.host, function)
        if isinstance(worker.thread, threading.Thread):
            worker.thread._invoke_excepthook = worker.report  # type: ignore[attr-defined]

        def run() -> None:
            worker.gate.acquire()
            _swap.set_inside(True)
            try:
                if not worker.kill:
                    worker.ident = _thread.get_ident()
                    call()
            except SystemExit:
                pass
            finally:
                worker.done = True
                _swap.set_inside(False)
                if not worker.lost:
                    self.baton.release()

        started = begin(run)
        self.workers.append(worker)
        self.world.need_others()
        return started

    def run_ready(self) -> bool:
        """Let every worker that can go on do so, one after the other; say whether there was one."""
        ready = [worker for worker in self.workers if not worker.host.paused and worker.ready()]
        kernel = self.world.kernel
        if len(ready) > 1 and kernel.order > 0.0:
            first = kernel.decisions.decide("order threads", len(ready), kernel.order, kernel.now)
            ready = ready[first:] + ready[:first]
        for worker in ready:
            if worker in self.workers and worker.ready():
                self.resume(worker)
        return bool(ready)

    def crash(self, host: Host) -> None:
        """Have no thread of `host` run again. They are ended with the universe."""
        self.crashed += [worker for worker in self.workers if worker.host is host]
        self.workers = [worker for worker in self.workers if worker.host is not host]

    def resume(self, worker: Worker) -> None:
        """Let one worker run until it waits or ends."""
        before = self.current, self.world.host
        self.current, self.world.host = worker, worker.host
        place = worker.host.loop.place.enter()
        worker.gate.release()
        where = "" if real(self.baton.acquire, timeout=PATIENCE) else self._interrupt(worker)
        self.current, self.world.host = before
        place.enter()
        if worker.done:
            if worker in self.workers:  # else its host crashed
                self.workers.remove(worker)
            if isinstance(worker.thread, threading.Thread):
                real(real_join, worker.thread, PATIENCE)  # so that is_alive() says the same in every run
        if where:
            raise BlockedThreadError(
                f"a thread has run for {PATIENCE:g} s of real time and gives nobody else a turn: {where}"
            )

    def _interrupt(self, worker: Worker) -> str:
        """End one that never yields, lest the process waits for it when it ends; say where it was."""
        frame = outside(sys._current_frames().get(worker.ident))
        where = "".join(traceback.format_stack(frame)[-1:]).strip() if frame is not None else "an unknown place"
        worker.kill = True
        silent, pool._base.LOGGER.disabled = pool._base.LOGGER.disabled, True  # type: ignore[attr-defined]
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(worker.ident), ctypes.py_object(SystemExit))
        if not real(self.baton.acquire, timeout=PATIENCE_AT_THE_END):  # it is in a system call of the real world
            worker.lost = True
            self.workers.remove(worker)
            self.baton = real_lock()
            self.baton.acquire()
        pool._base.LOGGER.disabled = silent  # type: ignore[attr-defined]
        return where

    def next_wake(self) -> int:
        """When the first deadline of a worker is."""
        return min([worker.deadline for worker in self.workers if not worker.host.paused], default=NEVER)

    def end(self) -> None:
        """End those that are still there: whatever they wait for raises SystemExit."""
        for _ in range(100):
            if not self.run_ready():
                break
        self.workers += self.crashed
        silent, pool._base.LOGGER.disabled = pool._base.LOGGER.disabled, True  # type: ignore[attr-defined]
        try:
            for worker in list(self.workers):
                worker.kill = True
                self.resume(worker)
        finally:
            pool._base.LOGGER.disabled = silent  # type: ignore[attr-defined]

    def of(self, thread: threading.Thread) -> Worker | None:
        """The worker of a `threading.Thread` that has not ended."""
        for worker in self.workers:
            if worker.thread is thread:
                return worker
        return None


def start_new_thread(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> int:
    """`_thread.start_new_thread` in a universe."""
    here = world.current
    assert here is not None
    ident: int = here.all_threads().start(
        function, lambda: function(*args, **(kwargs or {})), lambda run: _real_start(run, ())
    )
    return ident


def start_joinable_thread(function: Callable[[], Any], *args: Any, **kwargs: Any) -> Any:
    """`_thread.start_joinable_thread`, which Python has since 3.13, in a universe."""
    here = world.current
    assert here is not None
    return here.all_threads().start(function, function, lambda run: _real_joinable(run, *args, **kwargs))


def join(self: threading.Thread, timeout: float | None = None) -> None:
    """`threading.Thread.join`: in a universe, virtual time passes meanwhile."""
    here = world.current
    if here is not None and _swap.get_inside():
        worker = None if here.threads is None else here.threads.of(self)
        if worker is not None:
            deadline = NEVER if timeout is None else here.kernel.now + int(timeout * 1e9)
            here.wait(lambda: worker.done, deadline)
            if not worker.done:
                return
        elif self.is_alive() and timeout != 0:
            raise unsimulated(f"join() of {self!r}, which began outside", "start it inside")
    real(real_join, self, timeout)


def replacements() -> list[tuple[Any, Any]]:
    """Objects that are replaced in every module: (the real one, the universe's)."""
    pairs: list[tuple[Any, Any]] = [] if _real_joinable is None else [(_real_joinable, start_joinable_thread)]
    return [
        *pairs,
        (_thread.allocate_lock, Lock),
        (threading.Lock, Lock),  # the same until 3.12, a class since
        (_thread.start_new_thread, start_new_thread),
        (threading.RLock, threading._RLock),
        (_queue.SimpleQueue, queue._PySimpleQueue),  # type: ignore[attr-defined]
    ]
