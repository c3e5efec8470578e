"""What a reactor refuses, and the reasons that protocols are told.

    FateError
    ├── ReactorError (RuntimeError)
    │   ├── ReactorAlreadyRunning, ReactorNotRunning, ReactorNotRestartable
    ├── CallError (ValueError)             a timed call that is over
    │   ├── AlreadyCalled, AlreadyCancelled
    ├── DelayError (ValueError)            a time that cannot be
    ├── CannotListenError (OSError)        nobody can listen there
    ├── ConnectError                       a connection was not made
    │   ├── UserError                      the program took it back
    │   └── ConnectTimeoutError
    ├── ConnectionClosed                   the reason of an end
    │   ├── ConnectionDone                 a clean one
    │   └── ConnectionLost
    │       └── ConnectionAborted          by `abortConnection`
    └── ProcessError
        ├── ProcessDone, ProcessTerminated how a child ended
        ├── ProcessExitedAlready           no signal reaches it
        └── SpawnError                     there is no such child

The names are those of ``twisted.internet.error``.
"""

from __future__ import annotations

from fate.errors import FateError


class ReactorError(FateError, RuntimeError):
    """The reactor was asked for something it cannot do now."""


class ReactorAlreadyRunning(ReactorError):
    """It runs."""


class ReactorNotRunning(ReactorError):
    """It does not run."""


class ReactorNotRestartable(ReactorError):
    """It has run, and was stopped: a reactor runs once."""


class CallError(FateError, ValueError):
    """A timed call was used when it was over."""


class AlreadyCalled(CallError):
    """It has been called."""


class AlreadyCancelled(CallError):
    """It has been cancelled."""


class DelayError(FateError, ValueError):
    """A delay is negative, or no finite number."""


class CannotListenError(FateError, OSError):
    """Nobody can listen there. `errno` is the operating system's."""


class ConnectError(FateError):
    """A connection was not made; the cause is the operating system's error."""


class UserError(ConnectError):
    """The program took the attempt back."""


class ConnectTimeoutError(ConnectError, TimeoutError):
    """Nobody answered in time."""


class ConnectionClosed(FateError):
    """A connection has ended."""


class ConnectionDone(ConnectionClosed):
    """It was closed in good order."""


class ConnectionLost(ConnectionClosed):
    """It broke."""


class ConnectionAborted(ConnectionLost):
    """It was aborted by `abortConnection`."""


class ProcessError(FateError):
    """About a child process."""


class ProcessDone(ProcessError):
    """It ended with exit code 0."""

    exitCode = 0
    signal = None


class ProcessTerminated(ProcessError):
    """It ended with another exit code, or by a signal: `exitCode` and `signal`, the other being None."""

    def __init__(self, exit_code: int | None, signal: int | None) -> None:
        how = f"by signal {signal}" if signal is not None else f"with exit code {exit_code}"
        super().__init__(f"the process ended {how}")
        self.exitCode = exit_code
        self.signal = signal


class ProcessExitedAlready(ProcessError):
    """It has ended: no signal reaches it."""


class SpawnError(ProcessError, OSError):
    """The child could not be started. `errno` is the operating system's."""
