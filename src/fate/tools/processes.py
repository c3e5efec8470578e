"""An Executor of processes of which each may die without taking the others with it.

`ProcessPoolExecutor` starts its workers one by one as calls come in, while the others are at work. If one of those
dies just then, the thread that cleans up and the thread that starts the next worker meet: the first falls over
a dictionary that the second changes, and the new worker finds its queue gone. So here each worker has a pool to itself,
which starts a process once, before it has anything that could break. What a dying worker takes along is then
its own call, and not those of the others.

The pools' work (pickling, tracebacks from afar, the end of the program) is the standard library's.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from functools import partial
from typing import Any, NamedTuple


class _Call(NamedTuple):
    future: Future[Any]
    f: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Processes(Executor):
    """Calls functions in processes, each a fresh interpreter, at most `limit` at a time (by default one a processor).

    A process is started when there is a call and none is idle. One that dies fails its call with BrokenProcessPool and
    is replaced when it is needed. A call can be cancelled until a process has it; those that have none yet when the
    program ends are dropped.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit or os.cpu_count() or 1
        # For those below; never held while a pool is called, which has a lock as well.
        self._lock = threading.Lock()
        self._idle: list[ProcessPoolExecutor] = []
        self._count = 0  # pools there are
        self._waiting: deque[_Call] = deque()

    def submit(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have `f(*args, **kwargs)` called; returns the Future of what it returns or raises."""
        call = _Call(Future(), f, args, kwargs)
        with self._lock:
            self._waiting.append(call)
        self._give()
        return call.future

    def _give(self) -> None:
        """Hand calls that wait to processes, in order, as long as there are both."""
        while True:
            with self._lock:
                if not self._waiting or not (self._idle or self._count < self._limit):
                    return
                call = self._waiting.popleft()
                if not call.future.set_running_or_notify_cancel():
                    continue
                pool = self._idle.pop() if self._idle else None
                self._count += pool is None
            try:
                if pool is None:
                    pool = _fresh()
                try:
                    done = pool.submit(call.f, *call.args, **call.kwargs)
                except BrokenExecutor:  # its process died while it was idle
                    pool = _fresh()
                    done = pool.submit(call.f, *call.args, **call.kwargs)
            except Exception as error:  # there is no room for a process, or the program is ending
                with self._lock:
                    self._count -= 1
                call.future.set_exception(error)
            else:
                done.add_done_callback(partial(self._returned, pool, call.future))

    def _returned(self, pool: ProcessPoolExecutor, future: Future[Any], done: Future[Any]) -> None:
        """In a thread of `pool`."""
        with self._lock:
            if isinstance(done.exception(), BrokenExecutor):
                self._count -= 1
                _let_go(pool)
            else:
                self._idle.append(pool)
        _pass_on(future, done)
        self._give()


_kept: list[ProcessPoolExecutor] = []


def _let_go(pool: ProcessPoolExecutor) -> None:
    """Have a broken pool go when its thread has ended, which holds the pool's lock now.

    If the last reference went in that thread, it would wait for its own lock for ever (CPython 3.12).
    """
    try:
        threading.Thread(target=pool.shutdown, name="fate.tools", daemon=True).start()
    except RuntimeError:  # the program is ending, or has no room for a thread
        _kept.append(pool)


def _fresh() -> ProcessPoolExecutor:
    # Forking a program with threads and an epoll set may hang the child; so a fresh interpreter.
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


def _pass_on(future: Future[Any], done: Future[Any]) -> None:
    error = done.exception()
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(done.result())
