"""`select.select` and `select.poll` on simulated sockets, and the selectors that stand on them.

Libraries ask so whether a connection of theirs is still there. Real descriptors are refused: nothing here waits for
the real world.
"""

from __future__ import annotations

import select as real
import selectors
from collections.abc import Iterable
from typing import Any, NoReturn

from fate.sim import world
from fate.sim.apart import choose
from fate.sim.errors import unsimulated
from fate.sim.kernel import End
from fate.sim.states import ERROR, HANG_UP, IN, OUT, READ_HANG_UP


def _number(thing: Any) -> int:
    number: int = thing if isinstance(thing, int) else thing.fileno()
    if number < 0:
        raise ValueError(f"file descriptor cannot be a negative integer ({number})")
    return number


def _end(thing: Any) -> End:
    here = world.current
    assert here is not None
    number = _number(thing)
    end = here.kernel.ends.get(number)
    if end is None:
        raise unsimulated(f"waiting for the real descriptor {number}", "make sockets inside the universe")
    return end


def _events(end: End, bits: int) -> int:
    """What of `bits` an end is ready for, with POLLRDHUP if that is among them."""
    return (end.mask() | (READ_HANG_UP if bits & READ_HANG_UP and end.read_ended() else 0)) & bits


def _wait(checks: list[tuple[Any, End, int]], seconds: float | None) -> list[tuple[Any, int]]:
    """What of `checks` is ready, waiting for the first if nothing is."""
    here = world.current
    assert here is not None

    def ready() -> list[tuple[Any, int]]:
        return [(thing, events) for thing, end, bits in checks if (events := _events(end, bits))]

    here.wait_until(ready, seconds)
    return ready()


def select(
    readers: Iterable[Any], writers: Iterable[Any], others: Iterable[Any], seconds: float | None = None
) -> tuple[list[Any], list[Any], list[Any]]:
    """As `select.select`."""
    reading = [(thing, _end(thing), IN | HANG_UP | ERROR) for thing in readers]
    writing = [(thing, _end(thing), OUT | ERROR) for thing in writers]
    found = _wait(reading + writing, seconds)
    there = {id(thing) for thing, _ in found}
    return (
        [thing for thing, end, bits in reading if id(thing) in there and end.mask() & bits],
        [thing for thing, end, bits in writing if id(thing) in there and end.mask() & bits],
        [],
    )


class Poll:
    """As `select.poll()` gives it."""

    def __init__(self) -> None:
        self._wanted: dict[int, tuple[End, int]] = {}

    def register(self, thing: Any, mask: int = real.POLLIN | real.POLLPRI | real.POLLOUT) -> None:
        """As `select.poll().register`."""
        number = _number(thing)
        self._wanted[number] = (_end(number), mask)

    def modify(self, thing: Any, mask: int) -> None:
        """As `select.poll().modify`."""
        number = _number(thing)
        if number not in self._wanted:
            raise FileNotFoundError(2, "No such file or directory")
        self.register(number, mask)

    def unregister(self, thing: Any) -> None:
        """As `select.poll().unregister`."""
        del self._wanted[_number(thing)]

    def poll(self, milliseconds: float | None = None) -> list[tuple[int, int]]:
        """As `select.poll().poll`."""
        checks = [
            (number, end, mask & (IN | OUT | READ_HANG_UP) | ERROR | HANG_UP)
            for number, (end, mask) in self._wanted.items()
        ]
        forever = milliseconds is None or milliseconds < 0
        return _wait(checks, None if forever else milliseconds / 1000)  # type: ignore[operator]


def _refuse(*args: Any) -> NoReturn:
    raise unsimulated("waiting with an event loop or a selector that was made outside", "make it inside the universe")


BUILTINS: list[tuple[Any, Any]] = [
    (kind.poll, _refuse) for kind in (getattr(real, "epoll", None), type(real.poll())) if kind is not None
]
"""Methods that wait for the real world: (the builtin, what a thread of a universe gets)."""
METHODS: list[tuple[type, str, Any]] = [
    (kind, "select", choose(kind.select, _refuse))
    for name in ("EpollSelector", "PollSelector", "DevpollSelector", "KqueueSelector")
    if (kind := getattr(selectors, name, None)) is not None and "select" in vars(kind)
]
"""The same of Python's classes: the class, the method, and what is there in a universe."""


def replacements() -> list[tuple[Any, Any]]:
    """Objects that are replaced in every module: (the real one, the universe's)."""
    pairs: list[tuple[Any, Any]] = [(real.select, select), (real.poll, Poll)]
    for name in ("EpollSelector", "PollSelector", "DevpollSelector", "KqueueSelector"):
        if hasattr(selectors, name):
            pairs.append((getattr(selectors, name), selectors.SelectSelector))
    return pairs
