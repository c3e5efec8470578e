"""The classes of Deferreds there are, as the list that Twisted keeps of them. Fate itself has no need of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

from fate.defer.deferred import Deferred


class Subclasses(Sequence[type]):
    """Deferred and all that is derived from it: always the present ones."""

    def _now(self) -> list[type]:
        found: list[type] = [Deferred]
        for cls in found:  # which grows
            derived: list[type] = cls.__subclasses__()
            found.extend(each for each in derived if each not in found)
        return found

    @overload
    def __getitem__(self, index: int) -> type: ...
    @overload
    def __getitem__(self, index: slice) -> list[type]: ...
    def __getitem__(self, index: Any) -> Any:
        return self._now()[index]

    def __len__(self) -> int:
        return len(self._now())

    def __contains__(self, cls: object) -> bool:
        return isinstance(cls, type) and issubclass(cls, Deferred)

    def append(self, cls: type) -> None:
        """A class is here from its making on."""

    def pop(self, index: int = -1) -> type:
        """A class is here as long as it lives."""
        return self._now()[index]


DEFERRED_SUBCLASSES = Subclasses()
