"""Every error that Fate raises itself, as one tree.

    FateError
    ├── LoopError (RuntimeError)          the loop was asked for something it cannot do now
    │   ├── LoopClosedError               it has been closed
    │   ├── LoopRunningError              it runs already, or another loop runs in this thread
    │   └── WrongThreadError              it belongs to another thread
    ├── FuseError                         a fuse was used wrongly
    │   ├── FuseTimeError (ValueError)    its delay is negative, or its time not a finite number
    │   ├── FuseHandlerError (TypeError)  its handler cannot be called, or there is none
    │   ├── FuseOverError (RuntimeError)  it has burned, failed or been cancelled already
    │   └── ForeignFuseError (ValueError) it belongs to another Fate
    ├── SourceError (OSError)             what a fuse or a loop waits for cannot be had
    │   ├── AddressInUseError             somebody else listens there
    │   └── OutOfDescriptorsError         the process or the system has no descriptor left
    ├── DeferredError                     a Deferred was used wrongly or given up; `fate.defer` has the kinds
    └── ProgramError                      `fate run` cannot start the program

`fate.reactor.errors` and `fate.tx.errors` have those of the reactors, in the same tree.

Each is also the built-in error that asyncio or the operating system would raise in its place, so that programs
written for those catch it. A message says what, where, why, and what to do.
"""

from __future__ import annotations

import errno


class FateError(Exception):
    """The root of all errors that Fate raises itself."""


class LoopError(FateError, RuntimeError):
    """The loop was asked for something it cannot do now. Its kinds tell why."""


class LoopClosedError(LoopError):
    """The loop has been closed, and a closed loop does not open again: make another."""


class LoopRunningError(LoopError):
    """The loop runs already, or another loop runs in this thread: await instead of running a second time."""


class WrongThreadError(LoopError):
    """The loop runs in another thread: hand the call to it with `fate.call_soon_threadsafe`."""


class FuseError(FateError):
    """A fuse was used wrongly. Its kinds tell how."""


class FuseTimeError(FuseError, ValueError):
    """A fuse's delay is negative, or its time is not a finite number."""


class FuseHandlerError(FuseError, TypeError):
    """A handler is not a plain function or other callable, or there is none to call."""


class FuseOverError(FuseError, RuntimeError):
    """A fuse has burned, failed or been cancelled already: it is a one-shot event, get another."""


class ForeignFuseError(FuseError, ValueError):
    """A fuse was combined with one of another Fate, or awaited where another loop runs."""


class SourceError(FateError, OSError):
    """What a fuse or a loop waits for cannot be had.

    `errno` is the operating system's number for the reason, 0 where the reason is not the operating system's.
    """

    def __str__(self) -> str:
        return str(self.strerror)  # it tells the reason in words; "[Errno 0]" before it would tell nothing


class AddressInUseError(SourceError):
    """Somebody else listens at the address (EADDRINUSE)."""


class OutOfDescriptorsError(SourceError):
    """The process (EMFILE) or the system (ENFILE) has no file descriptor left; `fate doctor` shows the limits."""


class DeferredError(FateError):
    """A Deferred was used wrongly, or given up. `fate.defer` has the kinds, under Twisted's names."""


class ProgramError(FateError):
    """`fate run` cannot start the program. The command line says why and ends with the exit code 2."""


def source_error(error: OSError, what: str) -> SourceError:
    """The typed form of `error`, which happened while Fate wanted to do `what` ("listen at ('127.0.0.1', 80)")."""
    number = error.errno if error.errno is not None else 0
    reason = error.strerror or str(error)
    if number == errno.EADDRINUSE:
        return AddressInUseError(number, f"cannot {what}: {reason}; choose another port, or 0 for any free one")
    if number in (errno.EMFILE, errno.ENFILE):
        return OutOfDescriptorsError(
            number, f"cannot {what}: {reason}; close what is not needed, or raise the limit (ulimit -n)"
        )
    return SourceError(number, f"cannot {what}: {reason}")
