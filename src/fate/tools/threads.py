"""Functions that take long, called where they block nobody: in a thread, in a process, in any Executor.

The calls are the executors' own; what lives here is the way back: what the function returns or raises comes to the
loop's thread and fires a Deferred there.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from fate.loop import Fate
from fate.tools.ground import cancelled_class, checked_callable, current_fate, deferred_class
from fate.tools.processes import Processes

_threads: ThreadPoolExecutor | None = None
_processes: Executor | None = None


def in_thread(f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call `f(*args, **kwargs)` in a thread of a pool that all loops share.

    Returns a Deferred, which can be awaited, of what it returns or raises. Cancelling that takes the call back if it
    has not begun; one that has begun goes on to its end, and nobody hears of it. Raises TypeError, NoFateError.
    """
    global _threads
    if _threads is None:
        _threads = ThreadPoolExecutor(thread_name_prefix="fate.tools")
    return in_executor(_threads, f, *args, **kwargs)


def in_process(f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call `f(*args, **kwargs)` in another process, so that it has a processor to itself.

    The processes, at most one for each processor, are started when they are needed and stay to the program's end. They
    begin afresh and import what they need: so `f`, its arguments and its result have to be picklable, and the program
    that is started must do its work under `if __name__ == "__main__":`.

    Returns a Deferred as `in_thread` does. It fails with BrokenProcessPool if its process dies; the others go on. For
    processes of another kind make an Executor and use `in_executor`.
    """
    global _processes
    checked_callable("what is to be called in a process", f)
    if _processes is None:
        _processes = Processes()
    return in_executor(_processes, f, *args, **kwargs)


def in_executor(executor: Executor, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call `f(*args, **kwargs)` in any `concurrent.futures.Executor`: threads, processes, a cluster's workers.

    Returns a Deferred as `in_thread` does; it fails too if the executor takes no calls any more.
    """
    checked_callable("what is to be called in an executor", f)
    loop = current_fate()
    try:
        future = executor.submit(f, *args, **kwargs)
    except RuntimeError as error:  # it is shut down, or broken
        deferred = deferred_class(loop)()
        deferred.errback(error)
        return deferred
    deferred = deferred_class(loop)(lambda deferred: future.cancel())
    future.add_done_callback(partial(_hand_over, loop, deferred))
    return deferred


def _hand_over(loop: Fate, deferred: Any, future: Future[Any]) -> None:
    """In whichever thread the future is done: tell the loop."""
    try:
        loop.call_soon_threadsafe(_deliver, loop, deferred, future)
    except RuntimeError:
        pass  # the loop was closed meanwhile: nobody waits


def _deliver(loop: Fate, deferred: Any, future: Future[Any]) -> None:
    if deferred.called:  # cancelled
        return
    if future.cancelled():
        deferred.errback(cancelled_class(loop)())
        return
    error = future.exception()
    if error is not None:
        deferred.errback(error)
    else:
        deferred.callback(future.result())
