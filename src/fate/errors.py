"""Every error that Fate raises itself, as one tree.

    FateError
    ├── LoopError (RuntimeError)          the loop was asked for something it cannot do now
    │   ├── LoopClosedError               it has been closed
    │   ├── LoopRunningError              it runs already, or another loop runs in this thread
    │   └── WrongThreadError              it belongs to another thread
    ├── FuseError                         a fuse was used wrongly
    │   ├── FuseTimeError (ValueError)    its time is negative, NaN, infinite, or it has none
    │   ├── FuseHandlerError (TypeError)  its handler cannot be called, or there is none
    │   ├── FuseOverError (RuntimeError)  it has burned, failed or been cancelled already
    │   └── ForeignFuseError (ValueError) it belongs to another Fate
    ├── SourceError (OSError)             what a fuse or a loop waits for cannot be had
    │   ├── AddressInUseError             somebody else listens there
    │   └── OutOfDescriptorsError         the process or the system has no descriptor left
    └── ProgramError                      `fate run` cannot start the program

Each is also the built-in error that asyncio or the operating system would raise in its place, so that programs
written for those catch it. A message says what, where, why, and what to do.
"""

from __future__ import annotations

import errno


class FateError(Exception):
    """The root of all errors that Fate raises itself."""


class LoopError(FateError, RuntimeError):
    """The loop was asked for something it cannot do now."""


class LoopClosedError(LoopError):
    """The loop has been closed."""


class LoopRunningError(LoopError):
    """The loop runs already, or another loop runs in this thread."""


class WrongThreadError(LoopError):
    """The loop belongs to another thread."""


class FuseError(FateError):
    """A fuse was used wrongly."""


class FuseTimeError(FuseError, ValueError):
    """A fuse's time is negative, NaN or infinite, or the fuse has none."""


class FuseHandlerError(FuseError, TypeError):
    """A fuse's handler cannot be called, or there is none."""


class FuseOverError(FuseError, RuntimeError):
    """A fuse has burned, failed or been cancelled already."""


class ForeignFuseError(FuseError, ValueError):
    """A fuse belongs to another Fate."""


class SourceError(FateError, OSError):
    """What a fuse or a loop waits for cannot be had. `errno` is the operating system's."""


class AddressInUseError(SourceError):
    """Somebody else listens at the address."""


class OutOfDescriptorsError(SourceError):
    """The process (EMFILE) or the system (ENFILE) has no descriptor left."""


class ProgramError(FateError):
    """`fate run` cannot start the program."""


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
