"""Which reactor a program gets that `fate run` started: what to put in the place of one that is about to be installed.

A program names a reactor because it wants a good one for sockets, timers and children, or asyncio beside Twisted. A
FateReactor is all of these, so it takes the place of Twisted's epoll, poll, select, kqueue and asyncio reactors, as
uvloop's policy gets Fates. Reactors that turn the loop of a graphical toolkit stay, and so does an asyncio reactor on a
loop of the program's own making: without its loop the program could not be what it is.

Programs check whether they got the reactor that they asked for: Scrapy compares the class of the installed reactor with
the one that it looks up by name. So the name of the class that was replaced refers to a FateReactor from then on.
"""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType
from typing import Any

from fate import singletons
from fate.loop import Fate
from fate.tx.reactor import NAME, FateReactor

__all__ = ["recast"]

GENERAL = {
    "twisted.internet.epollreactor": "EPollReactor",
    "twisted.internet.pollreactor": "PollReactor",
    "twisted.internet.selectreactor": "SelectReactor",
    "twisted.internet.kqreactor": "KQueueReactor",
    "twisted.internet.asyncioreactor": "AsyncioSelectorReactor",
}
"""The reactors whose place a FateReactor takes: module and class."""


def recast(reactor: Any) -> Any:
    """The reactor to install in the place of `reactor`, which has just been made and is given up; or itself."""
    cls = type(reactor)
    if NAME in sys.modules or GENERAL.get(cls.__module__) != cls.__name__:
        return reactor  # if there is a reactor already, Twisted will say so
    loop = getattr(reactor, "_asyncioEventloop", None)
    if loop is not None and not isinstance(loop, Fate):
        return reactor
    give_up(reactor)
    cast: FateReactor = stand_in(cls)(loop)
    singletons.add(cast)
    if asyncio._get_running_loop() is None:
        asyncio.set_event_loop(cast.loop)
    return cast


def stand_in(replaced: type) -> type[FateReactor]:
    """The class of the reactor that takes the place of one of the class `replaced`, which it also takes, by name."""

    class CastReactor(FateReactor):
        def __new__(cls, eventloop: Any = None) -> Any:
            if eventloop is None or isinstance(eventloop, Fate):
                return super().__new__(cls)
            return replaced(eventloop)

        def __init__(self, eventloop: Fate | None = None) -> None:
            super().__init__(eventloop)

    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(CastReactor, name, getattr(FateReactor, name))
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType) and vars(module).get(replaced.__name__) is replaced:
            setattr(module, replaced.__name__, CastReactor)
    return CastReactor


def give_up(reactor: Any) -> None:
    """Close the descriptors of a reactor that has never run."""
    for reader in list(reactor._internalReaders):
        reactor.removeReader(reader)
        reader.connectionLost(None)
    reactor._internalReaders.clear()
    poller: Any = getattr(reactor, "_poller", None) or getattr(reactor, "_kq", None)
    if hasattr(poller, "close"):
        poller.close()
