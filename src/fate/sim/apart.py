"""One name, two things: what a thread of a universe gets by it, and what every other thread of the process gets.

A name in a module is the same for all threads. So what is put there in a universe chooses by the thread that asks: a
worker of dask, a thread of pytest's or of the program's own that began outside gets the real thing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from fate.sim import _swap


def choose(real: Callable[..., Any], ours: Callable[..., Any]) -> Any:
    """What to put in the place of `real`: it is `ours` in threads of a universe, and itself in all others."""
    if isinstance(ours, Apart):
        return ours
    if isinstance(real, type):
        bases = (ours,) if isinstance(ours, type) else ()
        kind = Apart if type(ours) is type or not bases else type("Apart", (Apart, type(ours)), {})
        return kind(real.__name__, bases, {"__doc__": real.__doc__}, real=real, ours=ours)

    def chosen(*args: Any, **kwargs: Any) -> Any:
        return (ours if _swap.get_inside() else real)(*args, **kwargs)

    return update_wrapper(chosen, real, ("__name__", "__qualname__", "__doc__"))


class Apart(type):
    """A class that stands for another, and makes objects of that one in threads that are in no universe.

    real: the other. ours: what makes them in a universe; None: this class does.
    """

    _stands_for: tuple[Any, Any]

    def __new__(
        cls, name: str, bases: tuple[type, ...], names: dict[str, Any], real: Any = None, ours: Any = None
    ) -> Any:
        """Make such a class; one that is derived from it stands for nothing."""
        made: Any = super().__new__(cls, name, bases, names)
        made._stands_for = real, ours
        return made

    def __init__(cls, name: str, bases: tuple[type, ...], names: dict[str, Any], **_: Any) -> None:
        super().__init__(name, bases, names)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """An object: of the universe, or of the real world."""
        real, ours = cls._stands_for
        if real is None:
            return super().__call__(*args, **kwargs)
        if not _swap.get_inside():
            return real(*args, **kwargs)
        return super().__call__(*args, **kwargs) if ours is None else ours(*args, **kwargs)

    def __instancecheck__(cls, thing: Any) -> bool:
        """Whether it is of the universe or of the real world: to a program both are of one class."""
        kinds = tuple(kind for kind in cls._stands_for if isinstance(kind, type))
        return super().__instancecheck__(thing) or isinstance(thing, kinds)

    def __subclasscheck__(cls, other: type) -> bool:
        """Whether `other` is derived from either."""
        kinds = tuple(kind for kind in cls._stands_for if isinstance(kind, type))
        return super().__subclasscheck__(other) or issubclass(other, kinds)

    def __getattr__(cls, name: str) -> Any:
        """What a program asks the class for, such as `SemLock.SEM_VALUE_MAX`: the real one has it."""
        real = cls.__dict__.get("_stands_for", (None, None))[0]
        if real is None:
            raise AttributeError(name)
        return getattr(real, name)
