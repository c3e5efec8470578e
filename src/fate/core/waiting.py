"""What waits to run, in the shape in which asyncio's loops have it: `loop._ready` and `loop._scheduled`.

asyncio's are a deque and a heap, which programs read, and those that turn a loop by hand (nest_asyncio) take from. The
engine has neither; these show what it has when they are asked, and what is put in or taken out goes there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fate.core.engine import Engine
from fate.core.handle import READY, Handle, TimerHandle


class Ready:
    """The handles that are ready to run, as a deque; cancelled ones too, as in asyncio's.

    queue: puts a handle that is not Fate's into the engine's queue.
    """

    __slots__ = ("_engine", "_queue")

    def __init__(self, engine: Engine, queue: Callable[[Any], object]) -> None:
        self._engine = engine
        self._queue = queue

    def _all(self) -> list[Handle]:
        engine = self._engine
        return [handle for handle in engine._queue[engine._head :] if handle is not None]

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[Handle]:
        return iter(self._all())

    def __reversed__(self) -> Iterator[Handle]:
        return reversed(self._all())

    def __contains__(self, handle: object) -> bool:
        return any(one is handle for one in self._all())

    def __getitem__(self, index: int) -> Handle:
        return self._all()[index]

    def __repr__(self) -> str:
        return f"deque({self._all()!r})"

    def append(self, handle: Any) -> None:
        """Have `handle` run last; a timer does not wait for its time then."""
        if isinstance(handle, Handle):
            self._engine.put(handle)
        else:
            self._queue(handle)

    def extend(self, handles: Iterable[Any]) -> None:
        """Append them all."""
        for handle in handles:
            self.append(handle)

    def appendleft(self, handle: Handle) -> None:
        """Have `handle` run next."""
        self._engine.put(handle, True)

    def extendleft(self, handles: Iterable[Any]) -> None:
        """Have each run before those before it."""
        for handle in handles:
            self.appendleft(handle)

    def pop(self) -> Handle:
        """Take the last one. Raises IndexError if there is none."""
        handles = self._all()
        if not handles:
            raise IndexError("pop from an empty deque")
        self.remove(handles[-1])
        return handles[-1]

    def popleft(self) -> Handle:
        """Take the handle that is the next to run, and have its taker run it. Raises IndexError if there is none."""
        handle: Handle | None = self._engine.take_first()
        if handle is None:
            raise IndexError("pop from an empty deque")
        return handle

    def remove(self, handle: Handle) -> None:
        """Take `handle` out. Raises ValueError if it is not there."""
        queue = self._engine._queue
        for index in range(self._engine._head, len(queue)):
            if queue[index] is handle:
                queue[index] = None
                return
        raise ValueError(f"{handle!r} is not ready")

    def clear(self) -> None:
        """Take all of them out."""
        while self._engine.take_first() is not None:
            pass


class Scheduled(list[TimerHandle]):
    """The timers that wait for their time, as a heap: earliest first.

    It is made anew whenever it is looked at, so what `heapq` takes from it stays among the timers until it is put into
    `_ready`, or cancelled.
    """

    __slots__ = ("_engine",)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._renew()

    def _renew(self) -> None:
        super().__setitem__(
            slice(None), sorted(timer for timer in self._engine._timers.pending() if timer._slot != READY)
        )

    def __len__(self) -> int:
        self._renew()
        return super().__len__()

    def __bool__(self) -> bool:
        return len(self) > 0

    def __iter__(self) -> Iterator[TimerHandle]:
        self._renew()
        return super().__iter__()

    def __getitem__(self, index: Any) -> Any:
        self._renew()
        return super().__getitem__(index)
