"""Lines of those who wait, and of what waits for them: as quick at their beginning as at their end.

Both read as the lists that Twisted has there: their length, their members, `==`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from typing import Any


class Waiting(Sequence[Any]):
    """Who waits, first come, first served. Who gives up is taken out at once, wherever it stands."""

    def __init__(self) -> None:
        self._line: OrderedDict[Any, None] = OrderedDict()

    def append(self, who: Any) -> None:
        """Put `who`, who does not wait here yet, at the end."""
        self._line[who] = None

    def remove(self, who: Any) -> None:
        """Take `who` out. Raises ValueError if it does not wait here."""
        try:
            del self._line[who]
        except KeyError:
            raise ValueError(f"{who!r} does not wait here") from None

    def pop(self, index: int = -1) -> Any:
        """Take one out: the last, or the one at `index`. Raises IndexError if there is none."""
        if index in (0, -1) and self._line:
            return self._line.popitem(last=index == -1)[0]
        who = self[index]
        del self._line[who]
        return who

    def __len__(self) -> int:
        return len(self._line)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._line)

    def __contains__(self, who: object) -> bool:
        return who in self._line

    def __getitem__(self, index: Any) -> Any:
        return list(self._line)[index]

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, (list, Waiting)) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as a list's

    def __repr__(self) -> str:
        return repr(list(self))


class Pending(deque[Any]):
    """What is there to be had, the oldest first."""

    def pop(self, index: int = -1) -> Any:  # a deque's takes no place
        """Take one out: the last, or the one at `index`. Raises IndexError if there is none."""
        if index == -1:
            return super().pop()
        if index == 0:
            return self.popleft()
        taken = self[index]
        del self[index]
        return taken

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index] if isinstance(index, slice) else super().__getitem__(index)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, (list, deque)) else NotImplemented

    __hash__ = None  # as a list's

    def __repr__(self) -> str:
        return repr(list(self))
