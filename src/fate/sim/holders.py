"""Who holds an end of the simulated network: the descriptors of one, and what happens when the last is closed.

Several descriptors may be of one end (`dup`, `fileno=`), as several may be of one open file.
"""

from __future__ import annotations

import os
import socket as real
import struct

from fate.sim import clocks, world
from fate.sim.datagram import Datagram
from fate.sim.kernel import End
from fate.sim.states import CLOSED, CONNECTED
from fate.sim.stream import Stream

_dup = os.dup


class Shared:
    """How many descriptors an end has; it is closed with the last."""

    def __init__(self) -> None:
        self.count = 1


def duplicate(fd: int) -> int:
    """`os.dup`: one more descriptor of the same end, if it is a socket's."""
    number: int = clocks.real(_dup, fd)
    here = world.current
    end = here.kernel.ends.get(fd) if here is not None else None
    if here is not None and end is not None:
        here.kernel.ends[number] = end
        here.shared[end].count += 1
    return number


def let_go(here: world.World, number: int) -> None:
    """A descriptor is closed; with the last one, its end."""
    end = here.kernel.ends.pop(number, None)
    if end is None:
        return
    for watch in [watch for watch in end.watches if watch.fd == number]:
        watch.poll.forget(watch)
    shared = here.shared[end]
    shared.count -= 1
    if shared.count == 0:
        release(here, end, isinstance(end, Stream) and not end.is_unix and end.state == CONNECTED and _lingers_not(end))


def _lingers_not(end: End) -> bool:
    on, seconds = struct.unpack("ii", end.options.get((real.SOL_SOCKET, real.SO_LINGER), bytes(8)))
    return bool(on) and seconds == 0


def release(here: world.World, end: End, abort: bool) -> None:
    """The last descriptor of `end` is gone."""
    here.shared.pop(end, None)
    if isinstance(end, Stream):
        if end.listener is None:
            end.host.unbind(end)
        if end.state != CLOSED:
            end.close(abort)
    elif isinstance(end, Datagram):
        end.host.unbind(end)
        end.close()


def abandon(here: world.World, end: End, silently: bool) -> None:
    """The host of `end` has crashed. silently: nobody is told."""
    here.shared.pop(end, None)
    for watch in list(end.watches):
        watch.poll.forget(watch)
    if isinstance(end, Stream):
        end.host.unbind(end)
        if silently:
            for waiting in end.queue or ():
                waiting.state = CLOSED
            end.state = CLOSED
        elif end.state != CLOSED:
            end.close(False)
    elif isinstance(end, Datagram):
        end.host.unbind(end)
        end.close()
