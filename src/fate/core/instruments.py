"""Several instruments on one engine, which itself knows one: each is told of every handle, and fails for itself.

What an instrument is stands in `engine.Instrument`; what the recorder keeps, in `record`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fate.core.engine import Instrument
    from fate.core.handle import Handle


class Instruments:
    """Instruments that are told as one: `before` in their order, `after` in the opposite one.

    members: the instruments. Replace it when one comes or goes: a handle that runs just then is told to the end to
        those who heard of its beginning and are still there.
    failed: called with an instrument that raised, and the error; it takes the instrument out.
    """

    def __init__(self, members: Sequence[Instrument], failed: Callable[[Instrument, Exception], None]) -> None:
        self.members = members
        self._failed = failed
        self._told: list[Sequence[Instrument]] = []  # innermost last: a handle may run another

    def before(self, handle: Handle) -> None:
        """`handle` is about to run."""
        self._told.append(self.members)
        try:
            for instrument in self.members:
                try:
                    instrument.before(handle)
                except Exception as error:
                    self._failed(instrument, error)
        except BaseException:  # an interrupt: the handle will not run
            self._told.pop()
            raise

    def after(self, handle: Handle) -> None:
        """`handle` has run."""
        for instrument in reversed(self._told.pop()):
            if any(instrument is member for member in self.members):
                try:
                    instrument.after(handle)
                except Exception as error:
                    self._failed(instrument, error)
