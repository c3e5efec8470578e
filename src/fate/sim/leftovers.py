"""What a program leaves behind when it ends: tasks, connections and handlers, each in words and by name.

Left behind is what still waits or is still open, and what was dropped without being closed. What listens is not: a
server ends with its program. Neither are timers of libraries, nor handlers of `signal.signal`.
"""

from __future__ import annotations

import signal
from asyncio import format_helpers
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from fate.core.handle import TimerHandle
from fate.sim.datagram import Datagram
from fate.sim.errors import of_the_library
from fate.sim.states import CONNECTED, LISTENING
from fate.sim.story import coroutine_name, describe_task

if TYPE_CHECKING:
    from fate.sim.hosts import Host
    from fate.sim.world import World


class Leftover(NamedTuple):
    """One thing that was left behind. names: what it can be allowed by."""

    text: str
    names: tuple[str, ...]


def of_host(host: Host) -> Iterator[Leftover]:
    """What the program of a host has left behind."""
    loop = host.loop
    for task in host.pending():
        if task is not host.task:
            yield of_task(task)
    for transport in host.connections():
        yield Leftover(f"connection {transport!r}", ("connection",))
    yield from handlers(host)
    for number, handler in loop.signals.items():
        name = next((each.name for each in signal.Signals if each == number), str(number))
        yield Leftover(f"handler of signal {name}: {_source(*handler)}", (name, "signal", *_names(handler[0])))
    if loop._timers.count:
        for handle in loop.scheduled():
            if isinstance(handle, TimerHandle) and _is_of_the_program(handle._callback):
                yield Leftover(f"timer {_source(handle._callback, handle._args)}", ("timer", *_names(handle._callback)))
    for number, end in host.world.kernel.ends.items():
        told = number in loop._transports or number in host.poll.watches  # with its transport, or its reader
        if end.host is host.machine and not told and _is_connected(end):
            yield Leftover(f"socket {number}{_ways(end)}", ("socket",))


def of_task(task: Any) -> Leftover:
    """A task that has not ended."""
    names = task.get_name(), coroutine_name(task), getattr(task.get_coro(), "__qualname__", "")
    return Leftover(describe_task(task), names)


def _ways(end: Any) -> str:
    return f" from {end.local} to {end.remote}" if end.remote else f" of {end.local or 'a pair'}"


def _is_connected(end: Any) -> bool:
    return bool(end.connected if isinstance(end, Datagram) else end.state == CONNECTED)


def handlers(host: Host) -> Iterator[Leftover]:
    """What still waits for a descriptor, but for transports and for what listens."""
    for number, watch in host.poll.watches.items():
        if number in host.loop._transports or getattr(watch.end, "state", None) == LISTENING:
            continue
        for kind, handle in (("reader", watch.reader), ("writer", watch.writer)):
            if handle is not None:
                yield Leftover(f"{kind} {_source(handle._callback, handle._args)}", (kind, *_names(handle._callback)))


def dropped(world: World) -> Iterator[Leftover]:
    """What was dropped in this universe without being closed."""
    for text in world.dropped:
        yield Leftover(text, ("unclosed",))


def _source(callback: Any, args: Any) -> str:
    try:
        text: str = format_helpers._format_callback_source(callback, args)
    except Exception:  # the repr of an argument raises
        text = format_helpers._format_callback_source(callback, ())
    return text


def _function(callback: Any) -> Any:
    while hasattr(callback, "func"):
        callback = callback.func
    return getattr(callback, "__func__", callback)


def _names(callback: Any) -> tuple[str, ...]:
    function = _function(callback)
    return tuple(name for name in (getattr(function, "__name__", ""), getattr(function, "__qualname__", "")) if name)


def _is_of_the_program(callback: Any) -> bool:
    code = getattr(_function(callback), "__code__", None)
    return code is not None and not of_the_library(code.co_filename) and "site-packages" not in code.co_filename
