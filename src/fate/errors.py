"""Every error that Fate raises itself, as one tree.

    FateError
    ├── LoopError (RuntimeError)          the loop was asked for something it cannot do now
    │   ├── LoopClosedError               it has been closed
    │   ├── LoopRunningError              it runs already, or another loop runs in this thread
    │   ├── LoopOptionError (ValueError)  it cannot be made so
    │   ├── WrongThreadError              it belongs to another thread
    │   └── NoFateError                   a tool was called where no Fate runs
    ├── FuseError                         a fuse was used wrongly
    │   ├── FuseTimeError (ValueError)    its delay is negative, or its time not a finite number
    │   ├── FuseHandlerError (TypeError)  its handler cannot be called, or there is none
    │   ├── FuseOverError (RuntimeError)  it has burned, failed or been cancelled already
    │   └── ForeignFuseError (ValueError) it belongs to another Fate
    ├── SourceError (OSError)             what a fuse or a loop waits for cannot be had
    │   ├── AddressInUseError             somebody else listens there
    │   └── OutOfDescriptorsError         the process or the system has no descriptor left
    ├── DeferredError                     a Deferred was used wrongly or given up; `fate.defer` has the kinds
    ├── PageError                         a page cannot be had
    │   ├── PageURLError (ValueError)     its URL is wrong
    │   ├── PageHostError (OSError)       there is no such host
    │   ├── PageConnectionError (ConnectionError) there is no connection, or it broke
    │   │   ├── PageRefusedError (ConnectionRefusedError) nobody listens there
    │   │   ├── PageTLSError              the server is not who it should be, or speaks no TLS
    │   │   └── PageBrokenError           the answer ends half-way, lies about its length, or is no HTTP
    │   ├── PageTimeoutError (TimeoutError) it did not come in time
    │   ├── PageSizeError                 it is larger than was allowed
    │   └── PageStatusError               the server answered, but with an error or one redirect too many
    ├── CommandError                      a command did not do what was asked
    │   ├── CommandStartError (OSError)   there is no such command, or it cannot be started
    │   ├── CommandTimeoutError (TimeoutError) it did not end in time
    │   ├── CommandSizeError              it printed more than was allowed
    │   └── CommandFailedError            it ended with an exit code other than 0, and `check` was asked for
    ├── LineTooLongError (ValueError)     a line is longer than was allowed
    ├── MissingExtraError (ImportError)   something has to be installed first; the message says what
    └── ProgramError                      `fate run` cannot start the program

`fate.reactor.errors` and `fate.tx.errors` have those of the reactors, in the same tree.

Each is also the built-in error that asyncio or the operating system would raise in its place, so that programs
written for those catch it. A message says what, where, why, and what to do.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any


class FateError(Exception):
    """The root of all errors that Fate raises itself."""


class LoopError(FateError, RuntimeError):
    """The loop was asked for something it cannot do now. Its kinds tell why."""


class LoopClosedError(LoopError):
    """The loop has been closed, and a closed loop does not open again: make another."""


class LoopRunningError(LoopError):
    """The loop runs already, or another loop runs in this thread: await instead of running a second time."""


class LoopOptionError(LoopError, ValueError):
    """A loop cannot be made with such an option."""


class WrongThreadError(LoopError):
    """The loop runs in another thread: hand the call to it with `fate.call_soon_threadsafe`."""


class NoFateError(LoopError):
    """A tool was called where no Fate runs, and no reactor of Fate's is there that will."""


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


class PageError(FateError):
    """A page cannot be had. `url` says which."""

    def __init__(self, message: str = "", *, url: str = "") -> None:
        super().__init__(message)
        self.url = url


class PageURLError(PageError, ValueError):
    """The URL is wrong, or one that the server redirects to."""


class PageHostError(PageError, OSError):
    """There is no such host, or nobody could be asked about it."""


class PageConnectionError(PageError, ConnectionError):
    """There is no connection to the server, or it broke. Its kinds tell how; this one is for all other reasons."""


class PageRefusedError(PageConnectionError, ConnectionRefusedError):
    """Nobody listens at that port."""


class PageTLSError(PageConnectionError):
    """The server's certificate is not to be trusted, or it speaks no TLS."""


class PageBrokenError(PageConnectionError):
    """The server closed before its answer was complete, lied about its length, or spoke no HTTP."""


class PageTimeoutError(PageError, TimeoutError):
    """The page did not come in time."""


class PageSizeError(PageError):
    """The page is larger than `max_size`."""


class PageStatusError(PageError):
    """The server answered with an error, or redirected once more than was allowed.

    status: HTTP's number, such as 404. page: what came with it, a `fate.tools.Page`.
    """

    def __init__(self, message: str = "", *, url: str = "", status: int = 0, page: Any = None) -> None:
        super().__init__(message, url=url)
        self.status = status
        self.page = page


class CommandError(FateError):
    """A command did not do what was asked.

    command: its words. output: what it printed, a `fate.tools.Output`; None if it never ran.
    """

    def __init__(self, message: str = "", *, command: Sequence[Any] = (), output: Any = None) -> None:
        super().__init__(message)
        self.command = command
        self.output = output


class CommandStartError(CommandError, OSError):
    """There is no such command, or it cannot be started. `errno` is the operating system's number, or None."""

    def __init__(self, message: str = "", *, command: Sequence[Any] = (), errno: int | None = None) -> None:
        super().__init__(message, command=command)
        self.errno = errno


class CommandTimeoutError(CommandError, TimeoutError):
    """The command did not end in time, and was killed with all that it had started. `output` is what came by then."""


class CommandSizeError(CommandError):
    """The command printed more than `max_size`, and was killed."""


class CommandFailedError(CommandError):
    """The command ended with an exit code other than 0, or was killed: `output.code`."""


class LineTooLongError(FateError, ValueError):
    """A line is longer than `max_line`."""


class MissingExtraError(FateError, ImportError):
    """Something that Fate does not install by itself is needed. The message has the command that installs it."""


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
