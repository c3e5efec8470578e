"""Locks and queues on which threads wait in virtual time: those of a universe, and those that were there before it.

What a program makes inside is `Lock`, and Python's own conditions, queues and executors on top of it. Locks, queues
and whatever holds a lock that were made when a module was imported are Python's builtin objects; of those the methods
that wait are swapped, so they wait in the same way. Threads of the real world are not concerned.
"""

from __future__ import annotations

import _queue
import _thread
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fate.sim import _swap, world
from fate.sim.clocks import real
from fate.sim.states import NEVER

if TYPE_CHECKING:
    from fate.sim.world import World

GRACE = 0.05  # seconds of real time for a thread of the real world to release a lock
SLICE = 0.001
REENTRANT = type(threading.RLock())
real_lock = _thread.allocate_lock
_sleep = time.sleep
_acquire = _thread.LockType.acquire
_acquire_again, _release_again = REENTRANT.acquire, REENTRANT.release
_restore = REENTRANT._acquire_restore  # type: ignore[attr-defined]
_get = _queue.SimpleQueue.get


class Lock:
    """`threading.Lock` in a universe."""

    def __init__(self) -> None:
        self._real = real_lock()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As `threading.Lock.acquire`."""
        if self._real.acquire(False):
            return True
        if not blocking:
            return False
        here = world.current
        if here is None or not _swap.get_inside():
            return self._real.acquire(True, timeout)
        return _wait(here, lambda: not self._real.locked(), lambda: self._real.acquire(False), timeout)

    def release(self) -> None:
        """As `threading.Lock.release`."""
        self._real.release()

    def locked(self) -> bool:
        """As `threading.Lock.locked`."""
        return self._real.locked()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self._real.release()

    def _at_fork_reinit(self) -> None:
        self._real = real_lock()

    def __repr__(self) -> str:
        return f"<{'locked' if self.locked() else 'unlocked'} universe lock at {id(self):#x}>"


def _wait(here: World, free: Callable[[], Any], take: Callable[[], Any], timeout: float) -> bool:
    """Wait until something is free, up to `timeout` seconds (-1: any time), and take it; say whether that was so.

    Who holds it may be of the real world, which does not stand still in virtual time: it gets a moment of real time.
    """
    if here.has_strangers():
        for _ in range(round(GRACE / SLICE)):
            real(_sleep, SLICE)
            if take():
                return True
    deadline = NEVER if timeout < 0 else here.kernel.now + int(timeout * 1e9)
    while here.wait(free, deadline):
        if take():  # else another one was faster
            return True
    return bool(take())


# -- the builtin ones -------------------------------------------------------------------------------------------------


def _check(blocking: bool, timeout: float) -> None:
    if not blocking and timeout != -1:
        raise ValueError("can't specify a timeout for a non-blocking call")
    if timeout < 0 and timeout != -1:
        raise ValueError("timeout value must be a non-negative number")
    if timeout > threading.TIMEOUT_MAX:
        raise OverflowError("timeout value is too large")


def acquire(lock: Any, blocking: bool = True, timeout: float = -1) -> bool:
    """`acquire` of a builtin lock."""
    _check(blocking, timeout)
    if real(_acquire, lock, False):
        return True
    here = world.current
    return bool(blocking) and here is not None and _wait(
        here, lambda: not lock.locked(), lambda: real(_acquire, lock, False), timeout
    )  # fmt: skip


def acquire_again(lock: Any, blocking: bool = True, timeout: float = -1) -> bool:
    """`acquire` of a builtin lock that its owner may take again, `threading.RLock`."""
    _check(blocking, timeout)
    if real(_acquire_again, lock, False):
        return True
    here = world.current
    return bool(blocking) and here is not None and _wait(
        here, lambda: not _is_owned(lock), lambda: real(_acquire_again, lock, False), timeout
    )  # fmt: skip


def _is_owned(lock: Any) -> bool:
    return repr(lock).startswith("<locked")  # it has no method that says so before Python 3.14


def restore(lock: Any, state: Any) -> None:
    """What `threading.Condition.wait` does in its end to an RLock: take it as often as it was taken."""
    acquire_again(lock)
    real(_release_again, lock)
    real(_restore, lock, state)


def get(queue: Any, block: bool = True, timeout: float | None = None) -> Any:
    """`queue.SimpleQueue.get`."""
    if block and timeout is not None and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")
    if block and queue.empty():
        here = world.current
        assert here is not None
        here.wait(lambda: not queue.empty(), NEVER if timeout is None else here.kernel.now + int(timeout * 1e9))
    if queue.empty():
        raise _queue.Empty
    return real(_get, queue, False)


BUILTINS: list[tuple[Any, Any]] = [
    (_acquire, acquire),
    (_thread.LockType.acquire_lock, acquire),
    (_thread.LockType.__enter__, acquire),
    (_acquire_again, acquire_again),
    (REENTRANT.__enter__, acquire_again),
    (_restore, restore),
    (_get, get),
]
"""Methods that wait: (the builtin, what a thread of a universe gets)."""
