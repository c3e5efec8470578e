# cython: nonecheck=False
"""The timers: a hierarchical wheel (Varghese and Lauck, 1987; the same shape as in tokio's and Linux's).

Time is cut into ticks of about half a millisecond. A timer due in this tick or earlier is *near*; any other lies in
one of 64 slots of one of seven levels, by the highest base-64 digit in which its tick differs from the present one,
so a slot of level n spans 64**n ticks. Adding and removing take constant time, and `remove` frees at once. When time
reaches a coarse slot, its timers are filed again, closer. Near timers are a heap by their exact time, so a timer
fires neither early nor out of order: the ticks only bound how much there is to sort, unless a clock stands still. Each
fires at its own nanosecond, but those of a crowded tick (over 30,000 timers a second) share one wake-up at its end.

Here lives order in time. What a timer calls, and the clock, live in `handle` and `engine`.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from fate._native import compiled, pop_last
from fate.core.handle import TimerHandle

COMPILED = compiled()
SLOTS = 64
LEVELS = 7  # 64**7 ticks: 73 years; what is later waits in the last slot
TICKS_PER_SECOND = 1e9 / 2**19
NEAR = SLOTS * LEVELS  # the slot number of near timers
READY = -1
ONE = 1  # 64 bits wide when compiled
LAST_TICK = (ONE << 6 * LEVELS) - 1
END = LAST_TICK / TICKS_PER_SECOND  # in seconds
BY_ID = attrgetter("id")
BY_TIME = attrgetter("_when")
CROWD = 16  # more timers than this in one slot are not searched for the first


def _tick_of(when: float) -> int:
    if not when > 0.0:  # also NaN: asyncio fires such a timer at once
        return 0
    if when >= END:
        return LAST_TICK
    return int(when * TICKS_PER_SECOND)


class Level:
    """The 64 slots of one level, and which of them hold timers, as a bit set."""

    __slots__ = ("occupied", "shift", "slots")

    if TYPE_CHECKING:
        slots: Any  # a list of lists; None

    def __init__(self, number: int) -> None:
        self.shift = 6 * number
        self.occupied = 0
        self.slots = None  # made when the first timer comes, as each list in it is: most never are


class Timers:
    """The pending timers of one engine. `count` is how many there are."""

    if TYPE_CHECKING:
        count: int

    def __init__(self, now: float) -> None:
        self.count = 0
        self._tick = _tick_of(now)
        self._levels = [Level(number) for number in range(LEVELS)]
        self._moving: list[TimerHandle] | None = None  # taken from their slot, and not yet filed again
        self._near: list[TimerHandle] = []  # a heap: the one at n comes before those at 2n + 1 and 2n + 2
        self._heaped = True  # False: as they came, while many are moved or after an exception

    def add(self, handle: TimerHandle) -> int:
        """Take in a handle whose `_when` is set."""
        self.count += 1  # first of all: should an exception come before it is filed, one too many does no harm
        if 0.0 < handle._when < END:
            tick = int(handle._when * TICKS_PER_SECOND)
        else:
            if handle._when != handle._when:
                handle._when = float("-inf")  # NaN: asyncio fires such a timer at once, and order needs a number
            tick = _tick_of(handle._when)
        if tick <= self._tick:
            near = self._near
            handle._slot = NEAR
            handle._index = len(near)
            if self._heaped:
                self._heaped = False
                near.append(handle)
                self._rise(handle, handle._index)
                self._heaped = True
            else:
                near.append(handle)
            return 0
        difference = tick ^ self._tick
        level = 0 if difference < 64 else 1 if difference < 4096 else 2  # most timers; a loop costs as much as the rest
        difference >>= 18
        while difference:
            difference >>= 6
            level += 1
        lane = self._levels[level]
        index = (tick >> lane.shift) & 63
        lists = lane.slots
        if lists is None:
            lists = lane.slots = [None] * SLOTS
        slots = lists[index]
        if slots is None:
            slots = lists[index] = []
        handle._slot = level * 64 + index
        handle._index = len(slots)
        lane.occupied |= ONE << index
        slots.append(handle)
        return 0

    def remove(self, handle: TimerHandle) -> int:
        """Let go of a handle that is here; its place is free at once."""
        number = handle._slot
        index = handle._index
        if number == NEAR:
            slots = self._near
        else:
            lane = self._levels[number >> 6]
            slots = lane.slots[number & 63]
        if slots is None or index >= len(slots) or slots[index] is not handle:
            index = self._place_of(handle, slots)
            if index < 0:
                handle._slot = READY  # it is being moved: `_move` leaves it out
                return 0
        last = slots[-1] if not COMPILED else pop_last(slots)
        if last is not handle:
            heaped = self._heaped
            if number == NEAR:
                self._heaped = False
            slots[index] = last
            if not COMPILED:
                slots.pop()  # after it: should an exception come between, one too many does no harm
            last._index = index
            if number == NEAR:
                self._sink(last, index)
                self._rise(last, last._index)
                self._heaped = heaped
        else:
            if not COMPILED:
                slots.pop()
            if not slots and number != NEAR:
                lane.occupied &= ~(ONE << (number & 63))
        handle._slot = READY
        self.count -= 1
        return 0

    def _place_of(self, handle: TimerHandle, slots: Any) -> int:
        """The index of `handle` in a list, -1 if it is not there. Its own index is right unless an exception came
        between two steps, or the collector runs something while timers are being moved."""
        if slots is not None:
            for index in range(len(slots)):
                if slots[index] is handle:
                    return index
        return -1

    def collect(self, now: float, ready: list[TimerHandle]) -> int:
        """Move every timer due at `now` to the end of `ready`, earliest first; return how many."""
        target = _tick_of(now)
        if target > self._tick:
            self._advance(target)
        near = self._near
        before = self.count
        if not self._heaped:
            self._collect_many(now, ready)
            return before - self.count
        singly = CROWD + (len(near) >> 5)  # when so many are due, most of the others are: sorting them is cheaper
        while near:
            handle = near[0]
            if handle._when > now:
                break
            if singly == 0:
                self._collect_many(now, ready)
                break
            singly -= 1
            size = len(near) - 1
            self._heaped = False
            last = near[size]
            near[0], near[size] = last, handle
            handle._slot = READY
            if COMPILED:
                ready.append(pop_last(near))
            else:
                ready.append(handle)
                near.pop()  # after it: an exception between them has it queued twice, and it runs once
            self.count -= 1
            if size:
                self._sink(last, 0)
            self._heaped = True
        return before - self.count

    def _collect_many(self, now: float, ready: list[TimerHandle]) -> int:
        near = self._near
        self._order()
        self._heaped = False
        due = 0
        for handle in near:
            if handle._when > now:
                break
            due += 1
        first = len(ready)
        ready += near[:due]; del near[:due]  # noqa: E702  # fmt: skip  # no exception comes in between
        self.count -= due
        for index in range(first, first + due):
            handle = ready[index]
            handle._slot = READY
        for index in range(len(near)):
            handle = near[index]
            handle._index = index
        self._heaped = True  # what is sorted is a heap
        return 0

    def _advance(self, target: int) -> int:
        """Make `target` the present tick: timers of passed slots become near, coarse ones move closer."""
        try:
            self._move(target)
        except BaseException:  # no memory, or uncompiled a signal's handler
            self._file_anew()
            raise
        return 0

    def _file_anew(self) -> int:
        """File every timer again: moving them has been cut short."""
        found = {id(handle): handle for handle in [*self.pending(), *(self._moving or ())] if handle._slot != READY}
        self.clear()
        self._moving = None
        for handle in found.values():
            self.add(handle)
        return 0

    def _move(self, target: int) -> int:
        difference = (target ^ self._tick) >> 6
        top = 0
        while difference:
            difference >>= 6
            top += 1
        self._tick = target
        for number in range(top + 1):
            lane = self._levels[number]
            mask = lane.occupied
            if number == top:
                digit = (target >> lane.shift) & 63
                if digit != 63:
                    mask &= (ONE << (digit + 1)) - 1
            if not mask:
                continue
            lane.occupied &= ~mask
            lists = lane.slots
            for digit in range(64):
                if mask >> digit & 1:
                    slots = self._moving = lists[digit]
                    lists[digit] = None
                    if len(slots) > len(self._near):
                        self._heaped = False  # to sort them once is cheaper than to have each rise
                    for handle in slots:
                        if handle._slot != READY:  # it was cancelled meanwhile, by what the collector ran
                            self.add(handle)
                        self.count -= 1
                    self._moving = None
        return 0

    def _rise(self, handle: TimerHandle, index: int) -> int:
        """Have `handle`, which is in the heap at `index`, go up to where it belongs; the caller sees to `_heaped`."""
        near = self._near
        while index > 0:
            above = (index - 1) >> 1
            other = near[above]
            if not handle._before(other):
                break
            near[index], near[above] = other, handle
            other._index = index
            index = above
        handle._index = index
        return 0

    def _sink(self, handle: TimerHandle, index: int) -> int:
        """Have `handle`, which is in the heap at `index`, go down to where it belongs, as `_rise`."""
        near = self._near
        size = len(near)
        below = 2 * index + 1
        while below < size:
            other = near[below]
            if below + 1 < size:
                right = near[below + 1]
                if right._before(other):
                    other = right
                    below += 1
            if not other._before(handle):
                break
            near[index], near[below] = other, handle
            other._index = index
            index = below
            below = 2 * index + 1
        handle._index = index
        return 0

    def _order(self) -> int:
        """Make a heap of the near timers again: many came at once, or an exception while they were put in order."""
        near = self._near
        near.sort(key=BY_ID)  # both sorts are stable: of equal times, the first made fires first
        near.sort(key=BY_TIME)
        for index, handle in enumerate(near):
            handle._index = index
        self._heaped = True
        return 0

    def deadline(self) -> float:
        """When to look again, in seconds: when the next timer is due, or for a crowd, when it is worth a look.

        That is the end of a crowded tick, or the start of a crowded coarse slot, whose timers are filed again then.
        Meaningless if `count` is 0.
        """
        if self._near:
            if len(self._near) > CROWD and 0 < self._tick < LAST_TICK:
                return (self._tick + 1) / TICKS_PER_SECOND
            if not self._heaped:
                self._order()
            handle = self._near[0]
            return handle._when
        for number in range(LEVELS):
            lane = self._levels[number]
            if lane.occupied:
                index = 0
                while not lane.occupied >> index & 1:
                    index += 1
                slots = lane.slots[index]
                if slots is None or not slots:  # an exception came before its timer was filed
                    lane.occupied &= ~(ONE << index)
                    return 0.0 if self.pending() else float("inf")
                if len(slots) > CROWD:
                    shift = lane.shift
                    start = ((self._tick >> (shift + 6)) << 6 | index) << shift
                    return (start + 1 if number == 0 else start) / TICKS_PER_SECOND
                handle = slots[0]
                earliest: float = handle._when
                for handle in slots:
                    if handle._when < earliest:
                        earliest = handle._when
                return earliest
        return float("inf")

    def pending(self) -> list[TimerHandle]:
        """All timers, in no order."""
        return [handle for slots in self._all() for handle in slots]

    def _all(self) -> list[list[TimerHandle]]:
        """The lists that hold timers."""
        lists = [slots for lane in self._levels if lane.slots is not None for slots in lane.slots if slots]
        return [self._near, *lists]

    def clear(self) -> None:
        """Let go of all timers."""
        for slots in self._all() if self.count else ():
            for handle in slots:
                handle._slot = READY
            slots.clear()
        for lane in self._levels:
            lane.occupied = 0
        self._heaped = True
        self.count = 0
