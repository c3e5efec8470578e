"""What must come of what the torture does: the model that the loop is compared with.

Every stream of bytes is the beginning of a pattern of its own, so that a byte too many, too few, or of another stream
is seen at once. Nothing here calls the loop.
"""

from __future__ import annotations

import functools
import random
from collections import deque
from typing import Any

LONGEST = 1 << 20  # bytes that one stream carries at most


class Difference(Exception):
    """The loop did something else than the model says."""


class Thrown(Exception):
    """What a protocol or a callback raises on purpose."""


@functools.cache
def pattern(number: int) -> bytes:
    """The bytes that stream `number` carries."""
    return random.Random(number).randbytes(LONGEST)


class Flow:
    """One direction of a connection: what was sent, and how much of it has come."""

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self.sent = 0
        self.came = 0
        self.ended = False
        self.whole = True  # all that was sent must come
        self.sure = True  # what comes must be what was sent

    def next(self, size: int) -> bytes:
        """The next bytes to send; call `sends` when they were taken."""
        return pattern(self.number)[self.sent : self.sent + size]

    def sends(self, size: int) -> None:
        self.sent += size

    def comes(self, data: bytes) -> None:
        """`data` arrived."""
        if not self.sure:
            return
        end = self.came + len(data)
        if data != pattern(self.number)[self.came : end]:
            raise Difference(f"{self.name}: {len(data)} bytes that were not sent: {data[:24]!r} at {self.came}")
        if self.ended:
            raise Difference(f"{self.name}: bytes after the end")
        self.came = end

    def ends(self) -> None:
        """The end arrived: again, if reading is paused and resumed after it."""
        self.ended = True

    def loses(self) -> None:
        """From now on bytes may get lost; those that come are still the right ones."""
        self.whole = False

    def blurs(self) -> None:
        """Nobody can say what comes from now on."""
        self.sure = self.whole = False

    def lacks(self) -> bool:
        return self.whole and self.came < self.sent


class Call:
    """One `call_soon`, or one timer."""

    def __init__(self, number: int, when: float | None = None, made: float = 0.0) -> None:
        self.number = number
        self.when = when
        self.made = made
        self.ran = 0
        self.by_hand = 0  # so many times somebody ran its handle
        self.cancelled = False
        self.maybe = False  # it may be that it does not run
        self.handle: Any = None

    def due(self) -> bool:
        return not self.ran and not self.cancelled and not self.maybe


class Schedule:
    """What is scheduled on one loop: each runs once, ready ones in the order they were made in, timers in time."""

    def __init__(self) -> None:
        self.made = 0
        self.ready: deque[Call] = deque()
        self.timers: dict[int, Call] = {}

    def soon(self) -> Call:
        self.made += 1
        call = Call(self.made)
        self.ready.append(call)
        return call

    def timer(self, when: float, now: float) -> Call:
        self.made += 1
        call = self.timers[self.made] = Call(self.made, when, now)
        return call

    def runs(self, call: Call, now: float) -> None:
        if call.cancelled:
            raise Difference(f"callback {call.number} ran, though it was cancelled")
        call.ran += 1
        if call.ran > 1 + call.by_hand:
            raise Difference(f"callback {call.number} ran {call.ran} times")
        if call.by_hand or call.maybe:
            self.timers.pop(call.number, None)
            return
        if call.when is None:
            while self.ready and not self.ready[0].due() and self.ready[0] is not call:
                self.ready.popleft()
            if not self.ready or self.ready[0] is not call:
                first = self.ready[0].number if self.ready else None
                raise Difference(f"callback {call.number} ran before {first}, which was scheduled earlier")
            self.ready.popleft()
            return
        del self.timers[call.number]
        if call.when > now:
            raise Difference(f"a timer fired {call.when - now} s early")
        for other in self.timers.values():
            if other.due() and not other.by_hand and other.when < call.when and other.made < call.when:
                raise Difference(f"timer {call.number} fired before {other.number}, which is due earlier")

    def left(self) -> list[Call]:
        """Those that should have run and did not."""
        return [call for call in [*self.ready, *self.timers.values()] if call.due()]
