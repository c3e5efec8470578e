"""The hidden generator of the module `random`: begun anew in a universe, and put back after it.

Most small universes draw nothing from it, and to seed it and keep its state would take longer than all else that they
do at their beginning. So that is done at the first draw: the builtin methods that draw are replaced until then.

The state is copied as it lies in memory, 624 words behind the object's head, where that is so: `random.getstate()`
makes a tuple of integers of it. Where it is not, Python's own methods serve.
"""

from __future__ import annotations

import _random
import ctypes
import random
import struct
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from fate.sim import _swap

WORDS = 624
SIZE = (1 + WORDS) * 4  # the position in the row, and the row: of 32 bits each
HEAD = object.__basicsize__
DRAWS: tuple[Any, ...] = (
    _random.Random.random,
    _random.Random.getrandbits,
    _random.Random.getstate,
    _random.Random.setstate,
)


class Generator:
    """The one of the module `random`."""

    def __init__(self) -> None:
        self.real: Any = getattr(random.random, "__self__")  # noqa: B009  # which type stubs do not know
        self.row_is_known: bool | None = None
        self._seed: int | None = None  # of a universe that has not drawn yet
        self._kept: Any = None
        self._gauss: float | None = None  # `random.gauss` draws two and keeps one
        self._slots: tuple[int, int] | None = None  # of the methods that are replaced until the first draw
        self.other = random.Random()  # what threads that are in no universe draw from meanwhile

    def prepare(self) -> None:
        """Have the methods that draw replaced, if they can be, whenever all is swapped."""
        first = _swap.prepared()
        if all(
            _swap.prepare(method, partial(self._draw, method), True, False, *self.apart(method)) for method in DRAWS
        ):
            self._slots = first, len(DRAWS)

    def apart(self, method: Any) -> tuple[Any, ...]:
        """What threads that are in no universe get of `method`, as `_swap.prepare` takes it."""
        return (self.real, partial(self._elsewhere, method)) if hasattr(_random.Random, method.__name__) else ()

    def arm(self, seed: int) -> None:
        """From now on it draws what `seed` says."""
        self._seed, self._kept = seed, None
        self._gauss, self.real.gauss_next = self.real.gauss_next, None
        if self._slots is None:
            self.begin()

    def begin(self) -> None:
        """Now it is used."""
        seed = self._seed
        if seed is None:
            return
        self._seed = None
        if self._slots is not None:
            _swap.rest(*self._slots)
        self._kept = self._keep()
        random.seed(seed)

    def disarm(self) -> None:
        """Have it as it was before `arm`."""
        if self._seed is None:
            self._put_back(self._kept)
        self._seed = self._kept = None
        self.real.gauss_next = self._gauss

    def _draw(self, method: Callable[..., Any], generator: Any, *args: Any) -> Any:
        """The first draw, of any generator: `method` is the real one again from here on."""
        self.begin()
        return method(generator, *args)

    def _elsewhere(self, method: Callable[..., Any], _generator: Any, *args: Any) -> Any:
        """A draw by a thread that is in no universe."""
        return method(self.other, *args)

    def _keep(self) -> Any:
        if self.row_is_known is None:
            self.row_is_known = self._look()
        return ctypes.string_at(id(self.real) + HEAD, SIZE) if self.row_is_known else random.getstate()

    def _put_back(self, kept: Any) -> None:
        if isinstance(kept, bytes):
            ctypes.memmove(id(self.real) + HEAD, kept, SIZE)
        else:
            random.setstate(kept)

    def _look(self) -> bool:
        if sys.implementation.name != "cpython" or _random.Random.__basicsize__ < HEAD + SIZE:
            return False
        position, *row = struct.unpack(f"={1 + WORDS}I", ctypes.string_at(id(self.real) + HEAD, SIZE))
        return bool((*row, position) == random.getstate()[1])


GENERATOR = Generator()
