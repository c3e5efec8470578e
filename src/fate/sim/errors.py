"""Every error that the simulator raises itself. All are `FateError`s.

    FateError
    └── UniverseError                          a universe was used wrongly, or found something
        ├── NestedUniverseError (RuntimeError) a universe was started inside a universe
        ├── ScenarioError (TypeError)          what shall run is not an async function, or a seed not an integer
        ├── ReplayError (LookupError)          there is no kept failure of that number, or it cannot be read
        ├── HostError (ValueError)             a host has that name already, or there is none of that name
        ├── UnsimulatedError (RuntimeError)    a call that universes do not simulate
        ├── StuckError (RuntimeError)          nothing can ever happen any more
        ├── HangError (RuntimeError)           virtual time or the number of turns ran out
        ├── BlockedThreadError (RuntimeError)  a thread never gives the others their turn, or blocks the loop
        ├── FailedRunError (AssertionError)    a test's universe failed without an exception: something was left behind
        └── BrokenPromiseError (AssertionError) what `universe.always` was promised is no longer true

What the simulated network says to a program are the operating system's own errors, not these.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import FrameType

from fate.errors import FateError

HERE = str(Path(__file__).parent.parent)  # all of Fate
LIBRARY = str(Path(os.__file__).parent)


class UniverseError(FateError):
    """The root of the simulator's errors."""


class NestedUniverseError(UniverseError, RuntimeError):
    """A universe was started inside a universe: only one thread of one process can be in one at a time."""


class ScenarioError(UniverseError, TypeError):
    """What shall run is not an async function, or a seed, a fault or a limit is of the wrong kind."""


class ReplayError(UniverseError, LookupError):
    """There is no kept failure of that number, or what is kept cannot be read."""


class HostError(UniverseError, ValueError):
    """A host has that name already, or there is no host of that name, or it is down."""


class UnsimulatedError(UniverseError, RuntimeError):
    """A call that universes do not simulate. It was not made: nothing of the real world was touched.

    It is no OSError: a program that handles those would go on in silence.
    """


class StuckError(UniverseError, RuntimeError):
    """Nothing can ever happen any more: everybody waits, and nothing is on its way."""


class HangError(UniverseError, RuntimeError):
    """The program did not end in the virtual time, or in the number of turns, that it was given."""


class BlockedThreadError(UniverseError, RuntimeError):
    """A thread does not give the others their turn: it computes for ever, or waits for the real world."""


class FailedRunError(UniverseError, AssertionError):
    """A test's universe failed without an exception of the test's: something was left behind, or reported."""


class BrokenPromiseError(UniverseError, AssertionError):
    """What `universe.always` was told to watch is no longer true. promise: that, in words."""

    promise = ""


def unsimulated(call: str, instead: str) -> UnsimulatedError:
    """The error that refuses `call`.

    call: as the program wrote it, such as "os.fork()". instead: what to do, one sentence without a full stop.
    """
    return UnsimulatedError(f"{call} is not simulated in a universe (called at {caller()}); {instead}")


def caller() -> str:
    """Where the program is, as "file.py:12": the innermost line that is neither Fate's nor the library's."""
    frame: FrameType | None = sys._getframe(1)
    fallback = ""
    while frame is not None:
        name = frame.f_code.co_filename
        where = f"{name}:{frame.f_lineno}"
        if not of_the_library(name):
            return where
        if not name.startswith((HERE, "<frozen")):
            fallback = fallback or where
        frame = frame.f_back
    return fallback or "an unknown line"


def outside(frame: FrameType | None) -> FrameType | None:
    """The innermost frame from `frame` on that is not Fate's."""
    while frame is not None and frame.f_code.co_filename.startswith(HERE):
        frame = frame.f_back
    return frame


def of_the_library(name: str) -> bool:
    """Whether a file is the standard library's, or Fate's."""
    return name.startswith((HERE, "<frozen")) or (name.startswith(LIBRARY) and "site-packages" not in name)
