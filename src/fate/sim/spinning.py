"""Programs that wait by turning: `while not done: await asyncio.sleep(0)`, and their kin.

Such a loop takes thousands of turns for a moment of virtual time. What runs is looked at now and then: where nothing in
it has changed, nothing will before something else happens, so time may pass in greater steps.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterable, Iterator
from types import BuiltinFunctionType, CoroutineType, FrameType, FunctionType, GeneratorType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from fate.sim.states import NEVER
from fate.sim.story import coroutine_name, place_of

if TYPE_CHECKING:
    from fate.sim.hosts import Host

MOST = 200  # of what one thing refers to
PLAIN = (int, float, str, bytes, bool, type(None))
NO_STATE = (type, ModuleType, FunctionType, BuiltinFunctionType)
RUNNING = (CoroutineType, GeneratorType, FrameType)  # looked at by themselves; frames are made when asked for


def ready(hosts: Iterable[Host]) -> Iterator[Any]:
    """The handles that will run in the next turn of their hosts."""
    for host in hosts:
        if host.booted and host.up:
            loop = host.loop
            yield from (handle for handle in loop._queue[loop._head :] if handle is not None and not handle._cancelled)


def state_of(handles: Iterable[Any]) -> tuple[Any, ...]:
    """What those that will run next stand at, and what they see: equal where nothing has changed."""
    found: list[Any] = []
    for handle in handles:
        owner = getattr(handle._callback, "__self__", None)
        if not isinstance(owner, asyncio.Task):
            found += map(_of, (handle._callback, *handle._args))
            continue
        part: Any = owner.get_coro()
        while isinstance(part, CoroutineType):
            found.append((id(part.cr_code), part.cr_frame.f_lasti if part.cr_frame is not None else -1))
            found += [_of(thing) for thing in gc.get_referents(part) if not isinstance(thing, RUNNING)]
            part = part.cr_await
    return tuple(found)


def _of(thing: Any, deep: bool = True) -> Any:
    if isinstance(thing, PLAIN):
        return thing
    if not deep or isinstance(thing, NO_STATE):
        return id(thing)
    if isinstance(thing, MethodType):
        return id(thing.__func__), _of(thing.__self__)
    parts = gc.get_referents(thing)
    return id(thing), len(parts), *(_of(part, False) for part in parts[:MOST])


def until(hosts: Iterable[Host]) -> int:
    """When the first timer of these hosts is due, in nanoseconds of the universe."""
    when = NEVER
    for host in hosts:
        if host.booted and host.up and host.loop._timers.count:
            when = min(when, int(host.loop._timers.deadline() * 1e9) - host.boot_ns)
    return when


def in_words(hosts: Iterable[Host]) -> str:
    """Who spins, and where; "" if nobody does."""
    for handle in ready(hosts):
        owner = getattr(handle._callback, "__self__", None)
        if isinstance(owner, asyncio.Task):
            return f"task {owner.get_name()} spins at {place_of(owner)} in {coroutine_name(owner)}"
        name = getattr(handle._callback, "__qualname__", None) or type(handle._callback).__name__
        return f"callback {name} calls itself again and again"
    return ""
