"""Things of which a process has one, and of which each host of a universe must have one too: the reactors.

Programs keep such a thing under a name (`from twisted.internet import reactor`), so it stays the same object. What
changes is its state: each *place* has another. The real world is a place, and so is every host of a universe, from its
boot to its crash. Who simulates hosts says which place the program is in now; who has such a thing hands it in. So
neither knows of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from fate.loop import Fate


class Singleton(Protocol):
    """Something of which a place has one. All of its state is in its `__dict__`."""

    __dict__: dict[str, Any]

    def begin(self, loop: Fate | None) -> None:
        """It is new in a place; `__dict__` is empty. loop: the one that runs there; None in the real world."""


class Place:
    """Where each thing has a state of its own.

    loop: the Fate that runs there, on a simulated kernel; None: the real world.
    turn_while: turns that loop, which runs already, as long as a function says so: for a reactor's `run()`.
    """

    def __init__(
        self, loop: Fate | None = None, turn_while: Callable[[Callable[[], bool]], None] | None = None
    ) -> None:
        self.loop = loop
        self.turn_while = turn_while
        self.states: dict[int, dict[str, Any]] = {}

    def enter(self) -> Place:
        """Have everything as it is here; return the place that was left."""
        global _here
        left, _here = _here, self
        if left is not self:
            for thing in _things:
                left.states[id(thing)] = thing.__dict__
                state = self.states.get(id(thing))
                if state is None:
                    self.states[id(thing)] = thing.__dict__ = {}
                    thing.begin(self.loop)
                else:
                    thing.__dict__ = state
        return left

    def part(self) -> None:
        """It is no more: let go of what refers back."""
        self.loop = self.turn_while = None
        self.states.clear()


REAL = Place()
_here = REAL
_things: list[Singleton] = []


def add(thing: Singleton) -> None:
    """Let `thing`, which is as it shall be here, begin anew in every other place. It lives as long as the process."""
    _things.append(thing)
    _here.states[id(thing)] = thing.__dict__


def here() -> Place:
    """Where the program is, as far as this thread is concerned."""
    return _here if _here is REAL or concerns() else REAL


def concerns() -> bool:
    """Whether the present thread is where the program is. Who simulates hosts puts a better answer in its place."""
    return True
