"""What compound fuses are made of, and how they hear of it.

`a | b | c` is made of `a | b` and `c`. Were each compound to follow all of its parts by itself, the work would grow
with the square of their number. So what `a | b` follows is a `Parts` of its own, which `a | b | c` follows in turn,
also when nobody has `a | b` any more. A part tells one Parts, which tells those made of it; each counts what is left.

Fuses refer to the Parts that follow them, and these to their compounds weakly, unless somebody waits for the compound.
A Parts that has neither a compound nor others made of it follows nothing.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fate.core.fuse import Compound, Fuse

IDLE = "idle"  # it follows nothing
FOLLOWING = "following"
ENDING = "ending"  # it is telling those made of it
OVER = "over"


class Parts:
    """The parts of one compound, in order: fuses, and the Parts of compounds of its kind.

    harmless: the state in which a part may end without ending the compound before all others have too.
    """

    __slots__ = (
        "_compound", "_decided_at", "_decider", "_harmless", "_kept", "_left", "_links", "_made_of", "_state", "_users",
    )  # fmt: skip

    def __init__(self, made_of: list[Fuse | Parts], harmless: str) -> None:
        self._harmless = harmless
        self._decider: Fuse | None = None  # the part that ended it alone
        self._decided_at = -1  # when so many fuses had ended, that was the first in order to do so
        self._made_of = made_of
        self._state = IDLE
        self._left = 0  # how many of what it is made of have not ended harmlessly
        self._links: list[tuple[Fuse, Callable[[], object]]] = []
        self._users: dict[Parts, int] = {}  # those made of it, and how often
        self._compound: weakref.ref[Compound] | None = None
        self._kept: Compound | None = None  # while somebody waits for it

    def __iter__(self) -> Iterator[Fuse]:
        """The fuses, in order."""
        stack = [iter(self._made_of)]
        while stack:
            for part in stack[-1]:
                if isinstance(part, Parts):
                    stack.append(iter(part._made_of))
                    break
                yield part
            else:
                stack.pop()

    # -- following ------------------------------------------------------------------------------------------------

    def follow(self, compound: Compound) -> None:
        """Tell `compound` when it is over; at once, if it is. Once for each Parts."""
        self._compound = weakref.ref(compound)
        self._made_of = [each for part in self._made_of for each in self._followed(part)]
        self._state = FOLLOWING
        self._left = len(self._made_of)
        for part in self._made_of:
            if isinstance(part, Parts):
                self._follow_parts(part, compound)
            else:
                self._follow_fuse(part)
            if self._state != FOLLOWING:
                self._decided_at = compound._fate._fuses_ended
                break

    def _followed(self, part: Fuse | Parts) -> list[Fuse | Parts]:
        """What to follow instead of `part`: its own parts, if it follows them no longer."""
        return list(part) if isinstance(part, Parts) and part._state == IDLE else [part]

    def _follow_parts(self, part: Parts, compound: Compound) -> None:
        if part._state == FOLLOWING:
            part._users[self] = part._users.get(self, 0) + 1
        elif part._decider is None:
            self._one_less()
        else:
            self._follow_fuse(part._first_decider(part._decider, compound._fate._fuses_ended))

    def _follow_fuse(self, part: Fuse) -> None:
        counted = False

        def told() -> None:  # perhaps twice, if an interrupt came
            nonlocal counted
            if self._state not in (FOLLOWING, ENDING):
                return
            if part._state != self._harmless:
                self._over(part)
            else:
                if not counted:
                    self._left -= 1; counted = True  # noqa: E702  # fmt: skip  # nothing comes between them
                if not self._left:
                    self._over(None)

        self._links.append((part, told))
        part._watch(told)

    def _first_decider(self, decider: Fuse, ended: int) -> Fuse:
        """The first part in order that ends a compound made now. ended: how many fuses have ended so far.

        Looked for only if another may have ended since `decider` did: it may stand before it.
        """
        if self._decided_at != ended:
            self._decided_at = ended
            deciders = (part for part in self if part.is_over() and part._state != self._harmless)
            self._decider = decider = next(deciders, decider)
        return decider

    def keep(self, compound: Compound | None) -> None:
        """Keep the compound alive for as long as any part is; None: no longer."""
        self._kept = compound

    def leave(self) -> None:
        """The compound needs to hear of nothing any more."""
        self._kept = self._compound = None
        _release([self])

    def _let_go(self) -> list[Parts]:
        """Follow nothing any more. Returns those that were followed."""
        links, self._links = self._links, []
        for fuse, told in links:
            fuse._unwatch(told)
        return [part for part in self._made_of if isinstance(part, Parts) and part._users.pop(self, 0)]

    # -- the end --------------------------------------------------------------------------------------------------

    def _one_less(self) -> None:
        self._left -= 1
        if not self._left:
            self._over(None)

    def _over(self, decider: Fuse | None) -> None:
        """All have ended harmlessly, or `decider` ends it, and so those made of it; one after the other, not nested.

        An interrupt may cut it short anywhere; it is called again then, and does the rest.
        """
        ending = [self]
        reached = {self}
        for parts in ending:
            parts._decider = decider
            parts._state = ENDING
            compound = parts._kept
            if compound is None and parts._compound is not None:
                compound = parts._compound()
            _release(parts._let_go())
            if compound is not None and not compound.is_over():
                compound._parts_over(decider)
            for user in parts._users:
                user._left -= parts._users[user]; parts._users[user] = 0  # noqa: E702  # fmt: skip
                if (
                    user._state in (FOLLOWING, ENDING)
                    and user not in reached
                    and (decider is not None or not user._left)
                ):
                    reached.add(user)
                    ending.append(user)
        for parts in ending:
            parts._state = OVER
            parts._kept = parts._compound = None
            parts._users = {}


def _release(unused: list[Parts]) -> None:
    """Those of them that nobody needs any more follow nothing, and so on."""
    for parts in unused:
        if parts._state == FOLLOWING and parts._compound is None and not parts._users:
            parts._state = IDLE
            unused.extend(parts._let_go())
