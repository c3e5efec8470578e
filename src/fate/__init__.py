"""Fate, an event framework for Python.

The map: `core` decides what happens and in which order; `net` waits for descriptors and carries bytes; `loop` joins
them with asyncio into `Fate`; `sources` is what fuses can wait for; `policy` makes Fate asyncio's default; `defer` has
Deferreds; `tx` puts Twisted on Fate, `reactor` does without Twisted; `tools` has pages, commands, lines and threads;
`errors` is the tree of errors; `cli` is the command `fate`. This module holds the public names and nothing else; each
is imported when it is first asked for, so that `import fate` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fate import defer as defer
    from fate import errors as errors
    from fate import reactor as reactor
    from fate import tools as tools
    from fate.core.fuse import Fuse
    from fate.core.handle import Handle, TimerHandle
    from fate.core.record import Record, Recorder
    from fate.defer import Deferred
    from fate.errors import FateError
    from fate.loop import Fate, new_event_loop, run
    from fate.net.packet import Packet, PacketFuse
    from fate.policy import EventLoopPolicy, install

    compiled: bool

__version__ = "0.1.0"

__all__ = [
    "Deferred",
    "EventLoopPolicy",
    "Fate",
    "FateError",
    "Fuse",
    "Handle",
    "Packet",
    "PacketFuse",
    "Record",
    "Recorder",
    "TimerHandle",
    "__version__",
    "compiled",
    "defer",
    "errors",
    "install",
    "new_event_loop",
    "reactor",
    "run",
    "tools",
]

_HOMES = {
    "Deferred": "fate.defer",
    "EventLoopPolicy": "fate.policy",  # not before it is asked for: Python 3.14 deprecates policies
    "Fate": "fate.loop",
    "FateError": "fate.errors",
    "Fuse": "fate.core.fuse",
    "Handle": "fate.core.handle",
    "Packet": "fate.net.packet",
    "PacketFuse": "fate.net.packet",
    "Record": "fate.core.record",
    "Recorder": "fate.core.record",
    "TimerHandle": "fate.core.handle",
    "install": "fate.policy",
    "new_event_loop": "fate.loop",
    "run": "fate.loop",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name == "compiled":
        value = import_module("fate._native").compiled()
    elif name in ("defer", "errors", "reactor", "tools"):
        return import_module(f"fate.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
