"""What asyncio's loops begin with, for loops that are made by the thousand.

asyncio's constructors take as long as a small universe runs. All that they set is the same for every loop, so it is
asked for once, of whatever Python this is: what never changes becomes the class's own, and a container is made when it
is first asked for, as most never are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

UNUSED = frozenset({"_ready", "_scheduled", "_signal_handlers"})  # Fate has its own: nothing is ever put into these


class _Blank(asyncio.SelectorEventLoop):
    """A loop that has only been constructed."""

    def _make_self_pipe(self) -> None:
        pass

    def __del__(self) -> None:
        pass


class Fresh:
    """An attribute of a loop that is made when it is first asked for; `loop.made` has the names of those that were.

    name: the attribute. make: makes its value.
    """

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        self.name = name
        self.make = make

    def __get__(self, loop: Any, owner: type) -> Any:
        if loop is None:
            return self
        value = self.make()
        setattr(loop, self.name, value)
        loop.made |= {self.name}
        return value


def give(cls: Any) -> None:
    """Give `cls`, a Fate, what asyncio's constructors would set on each, as attributes of its own."""
    cls.made = frozenset()
    for name, value in vars(_Blank(object())).items():  # type: ignore[arg-type]  # a selector that nobody asks
        if hasattr(cls, name):
            continue  # of the engine's: its constructor sets it
        if name in UNUSED or value is None or isinstance(value, (int, float)):
            setattr(cls, name, value)
        else:
            setattr(cls, name, Fresh(name, type(value)))
