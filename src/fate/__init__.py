"""Fate, an event framework for Python.

The map: `core` decides what happens and in which order; `net` waits for descriptors and carries bytes; `loop` joins
them with asyncio into `Fate`; `sources` is what fuses can wait for; `policy`
makes Fate asyncio's default; `errors` is the tree of errors; `cli` is the
command `fate`. This module holds the public names and nothing else.
"""

from __future__ import annotations

from typing import Any

from fate import errors
from fate._native import COMPILED as compiled
from fate.core.fuse import Fuse
from fate.core.handle import Handle, TimerHandle
from fate.core.record import Record, Recorder
from fate.errors import FateError
from fate.loop import Fate, new_event_loop, run

__version__ = "0.1.0"

__all__ = [
    "EventLoopPolicy",
    "Fate",
    "FateError",
    "Fuse",
    "Handle",
    "Record",
    "Recorder",
    "TimerHandle",
    "__version__",
    "compiled",
    "errors",
    "install",
    "new_event_loop",
    "run",
]


def install() -> None:
    """Make Fate the loop that `asyncio.run`, `asyncio.new_event_loop` and their kin use from now on."""
    from fate.policy import install

    install()


def __getattr__(name: str) -> Any:
    if name == "EventLoopPolicy":  # not before it is asked for: Python 3.14 deprecates policies
        from fate.policy import EventLoopPolicy

        return EventLoopPolicy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
