"""Chance as a function: every draw is f(seed, label, count), and the decisions that were taken so.

A *decision* is named by its label ("latency client->db") and by how often that label was asked before; its value is an
integer, and 0 is always the benign one: nothing out of the ordinary. So taking one decision away moves no other, and
a run is replayed by the decisions that are not 0. Plain chance (what `random` and `os.urandom` give the program) comes
from the same function but is no decision: nobody shrinks it.

No clock, no network and no program are known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

MASK = 0xFFFFFFFFFFFFFFFF
WORD = 0xFFFFFFFFFFFFFFFF  # the same, and no C integer: for seeds of any size
GOLDEN = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio: Weyl's sequence, as in SplitMix64
UNIT = 1.0 / 2**53
FIRST = 0xBF58476D1CE4E5B9
SECOND = 0x94D049BB133111EB

_labels: dict[str, int] = {}  # label: its hash; the same in every universe
LABELS = 4096  # so many are remembered
FIELDS, VALUE, WHEN = 6, 2, 4  # of a `Decision`, and which of them are the value and the time


class Decision(NamedTuple):
    """One draw of chance.

    label, n: its name: what was asked, and how often that had been asked before.
    value: what was decided; 0 is benign, and a smaller value is milder.
    bound: values are below it.
    when: virtual nanoseconds since the universe began, when it was taken; of a task's cancellation, when that struck.
    note: what it concerned, in words, where the label does not say ("bank.py:41"); else "".
    """

    label: str
    n: int
    value: int
    bound: int
    when: int
    note: str

    @property
    def key(self) -> tuple[str, int]:
        """Its name: what `overrides` are keyed by."""
        return self.label, self.n


def mix(state: int) -> int:
    """64 bits well mixed (SplitMix64's finaliser: Steele, Lea and Flood, 2014)."""
    state = state & MASK
    state = ((state ^ (state >> 30)) * FIRST) & MASK
    state = ((state ^ (state >> 27)) * SECOND) & MASK
    return state ^ (state >> 31)


def hash_of(label: str) -> int:
    """64 bits that stand for `label`, the same in every process."""
    known = _labels.get(label)
    if known is None:
        if len(_labels) >= LABELS:
            _labels.clear()
        known = int.from_bytes(blake2b(label.encode(errors="surrogatepass"), digest_size=8).digest(), "little")
        _labels[label] = known
    return known


class Draws:
    """The draws of one label: where it starts, and how many were taken."""

    __slots__ = ("base", "count")

    def __init__(self, base: int) -> None:
        self.base = base
        self.count = 0


class Decisions:
    """The decisions of one universe: drawn from a seed, forced, or benign.

    seed: any integer.
    overrides: values that are forced, by (label, n).
    drawn: False: every decision that is not forced is benign.
    """

    def __init__(self, seed: int, overrides: Mapping[tuple[str, int], int] | None = None, drawn: bool = True) -> None:
        self.seed = seed
        self.base = mix((mix(seed & WORD) + mix((seed >> 64 & WORD) ^ GOLDEN)) & MASK)
        self.overrides = dict(overrides) if overrides else None
        self.drawn = drawn
        self._taken: list[Any] = []  # the fields of one `Decision` after the other: tuples would cost the collector
        self._streams: dict[str, Draws] = {}

    def bits(self, label: str) -> int:
        """The next 64 bits of the label's plain chance; nothing is recorded."""
        stream = self._streams.get(label)
        if stream is None:
            stream = self._streams[label] = Draws(mix(self.base ^ hash_of(label)))
        stream.count += 1
        return mix((stream.base + stream.count * GOLDEN) & MASK)

    def decide(self, label: str, bound: int, probability: float, when: int) -> int:
        """Take the next decision of `label`: a value below `bound`, which is 0 but for `probability`.

        when: the present virtual time in nanoseconds, for the record.
        """
        stream = self._streams.get(label)
        if stream is None:
            stream = self._streams[label] = Draws(mix(self.base ^ hash_of(label)))
        n = stream.count
        stream.count = n + 1
        value = 0
        forced = None if self.overrides is None else self.overrides.get((label, n))
        if forced is not None:
            value = min(forced, bound - 1)
        elif self.drawn and bound > 1 and probability > 0.0:
            drawn = mix((stream.base + stream.count * GOLDEN) & MASK)
            if (drawn >> 11) * UNIT < probability:
                value = 1 + int(mix((drawn + GOLDEN) & MASK) % (bound - 1))
        taken = self._taken
        taken.append(label)
        taken.append(n)
        taken.append(value)
        taken.append(bound)
        taken.append(when)
        taken.append("")
        return value

    def note(self, note: str) -> None:
        """Say what the latest decision concerns, see `Decision`."""
        self._taken[-1] = note

    def latest(self) -> int:
        """The place of the latest decision among all, for `strikes_at`."""
        return len(self._taken) // FIELDS - 1

    def strikes_at(self, place: int, when: int) -> tuple[str, int]:
        """A decision has its effect only now: say so in the record; return its name."""
        start = place * FIELDS
        self._taken[start + WHEN] = when
        return self._taken[start], self._taken[start + 1]

    def decisions(self) -> list[Decision]:
        """All that were taken, in their order."""
        return self._made(False)

    def faults(self) -> list[Decision]:
        """Those that differ from the benign default, in their order."""
        return self._made(True)

    def _made(self, only_faults: bool) -> list[Decision]:
        taken = self._taken
        return [
            tuple.__new__(Decision, taken[start : start + FIELDS])
            for start in range(0, len(taken), FIELDS)
            if not only_faults or taken[start + VALUE]
        ]
