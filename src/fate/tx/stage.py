"""Which reactor a program gets that `fate run` started: what to put in the place of one that is about to be installed.

A program names a reactor because it wants a good one for sockets, timers and children, or asyncio beside Twisted. A
FateReactor is all of these, so it takes the place of Twisted's epoll, poll, select, kqueue and asyncio reactors, as
uvloop's policy gets Fates. Reactors that turn the loop of a graphical toolkit stay, and so does an asyncio reactor on a
loop of the program's own making: without its loop the program could not be what it is.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fate.loop import Fate
from fate.tx.reactor import FateReactor

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
    if GENERAL.get(cls.__module__) != cls.__name__:
        return reactor
    loop = getattr(reactor, "_asyncioEventloop", None)
    if loop is not None and not isinstance(loop, Fate):
        return reactor
    give_up(reactor)
    cast = FateReactor(loop)
    if asyncio._get_running_loop() is None:
        asyncio.set_event_loop(cast.loop)
    return cast


def give_up(reactor: Any) -> None:
    """Close the descriptors of a reactor that has never run."""
    for reader in list(reactor._internalReaders):
        reactor.removeReader(reader)
        reader.connectionLost(None)
    reactor._internalReaders.clear()
    poller: Any = getattr(reactor, "_poller", None) or getattr(reactor, "_kq", None)
    if hasattr(poller, "close"):
        poller.close()
