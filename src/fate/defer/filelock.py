"""A lock between processes whose waiting is a Deferred: DeferredFilesystemLock.

The lock is a symbolic link that names its owner's process id, as Twisted's `twisted.python.lockfile` makes them, so
that both understand each other's. A lock whose owner is gone is taken over.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

from fate.defer.deferred import Deferred, failure_of
from fate.defer.errors import AlreadyTryingToLockError, CancelledError, TimeoutError
from fate.defer.inline import fail


class FilesystemLock:
    """A lock named by a path.

    locked: whether this object has it. clean: whether its last owner released it, known once `lock` has returned True.
    """

    clean: bool | None = None
    locked = False

    def __init__(self, name: str) -> None:
        self.name = name

    def lock(self) -> bool:
        """Try to get the lock; whether that worked. Raises OSError if the path cannot be a lock."""
        clean = True
        while True:
            try:
                os.symlink(str(os.getpid()), self.name)
            except FileExistsError:
                try:
                    owner = int(os.readlink(self.name))
                    os.kill(owner, 0)
                except FileNotFoundError:
                    continue  # it has just been released
                except ProcessLookupError:
                    with suppress(FileNotFoundError):  # somebody else takes it over as well
                        os.unlink(self.name)
                        clean = False
                    continue
                except PermissionError:
                    return False  # the owner is another user's process
                return False
            self.locked = True
            self.clean = clean
            return True

    def unlock(self) -> None:
        """Give the lock back. Raises ValueError if it is another process's, OSError if there is none."""
        if int(os.readlink(self.name)) != os.getpid():
            raise ValueError(f"Lock {self.name!r} not owned by this process")
        os.unlink(self.name)
        self.locked = False


class DeferredFilesystemLock(FilesystemLock):
    """A FilesystemLock that can be waited for. `scheduler` has `callLater(seconds, f)`, as reactors have."""

    _interval = 1
    _tryLockCall: Any = None
    _timeoutCall: Any = None

    def __init__(self, name: str, scheduler: Any = None) -> None:
        """
        name: the path. scheduler: retries once a second by it; by default Twisted's reactor if Twisted is in use,
        else Fate's.
        """
        super().__init__(name)
        self._scheduler = _reactor() if scheduler is None else scheduler

    def deferUntilLocked(self, timeout: float | None = None) -> Any:
        """A Deferred, fired with None when the lock is this object's.

        timeout: in seconds; after that it fails with TimeoutError. It fails with AlreadyTryingToLockError if an
        earlier call still waits.
        """
        if self._tryLockCall is not None:
            return fail(AlreadyTryingToLockError("deferUntilLocked isn't safe for concurrent use."))

        def give_up(reason: Any) -> None:
            self._tryLockCall.cancel()
            self._tryLockCall = None
            if self._timeoutCall is not None and self._timeoutCall.active():
                self._timeoutCall.cancel()
                self._timeoutCall = None
            if self.lock():
                deferred.callback(None)
            else:
                deferred.errback(reason)

        def attempt() -> None:
            if self.lock():
                if self._timeoutCall is not None:
                    self._timeoutCall.cancel()
                    self._timeoutCall = None
                self._tryLockCall = None
                deferred.callback(None)
                return
            if timeout is not None and self._timeoutCall is None:
                reason = failure_of(TimeoutError(f"Timed out acquiring lock: {self.name} after {timeout:f}s"))
                self._timeoutCall = self._scheduler.callLater(timeout, give_up, reason)
            self._tryLockCall = self._scheduler.callLater(self._interval, attempt)

        deferred = Deferred(lambda _: give_up(CancelledError()))
        attempt()
        return deferred


def _reactor() -> Any:
    if "twisted.internet.reactor" in sys.modules:
        return sys.modules["twisted.internet.reactor"]
    return import_module("fate").reactor
