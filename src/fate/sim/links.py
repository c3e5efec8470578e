"""What is between two machines: how long things take, and what of them is lost, doubled, split or broken.

A `Link` goes one way. Each thing that may go wrong on it is a decision with a label of its own ("latency client->db"),
so that it can be forced or taken away alone. TCP's promises are kept: whatever happens, bytes arrive in order, once.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from fate.sim.faults import LATENCY_STEP_NS, LATENCY_STEPS, OFF
from fate.sim.kernel import Kernel
from fate.sim.states import DATA, RESET
from fate.sim.stream import Carrier, Stream

if TYPE_CHECKING:
    from fate.sim.faults import Faults

LOOPBACK_NS = 10_000
LATENCY_NS = 500_000  # between two machines where nothing is wrong


class Strike(Protocol):
    """What a fault does that concerns more than one link."""

    def cut(self, source: str, target: str, both: bool) -> None:
        """Let nothing through any more."""

    def mend(self, source: str, target: str, both: bool) -> None:
        """Let everything through again."""

    def crash(self, name: str) -> None:
        """Crash a host, if it is up."""

    def restart(self, name: str) -> None:
        """Switch a host on again, if it is down."""


class Link(Carrier):
    """One direction between two machines.

    source, target: their names. faults: what may go wrong; None: nothing does. strike: does what concerns more than
    this link.
    """

    def __init__(self, kernel: Kernel, source: str, target: str, faults: Faults | None, strike: Strike) -> None:
        self.kernel = kernel
        self.source = source
        self.target = target
        self.strike = strike
        self.way = way = f"{source}->{target}"
        self.cut = False
        self.extra = 0  # nanoseconds that everything takes longer: a slow link
        self.latency = LOOPBACK_NS if source == target else LATENCY_NS
        self._held: list[tuple[Stream, int, bytes]] = []  # what TCP sends again when the link is there again
        self._starts: list[tuple[Stream, Callable[[Any], object], Any]] = []
        chances = {} if faults is None else faults.kinds
        self._late = float(chances.get("latency", OFF))  # the three that each segment asks for
        self._late_label = f"latency {way}"
        self._split = float(chances.get("split", OFF))
        self._split_label = f"split {way}"
        self._reset = float(chances.get("reset", OFF))
        self._reset_label = f"reset {way}"
        self._chances = chances
        self._strikes = "partition" in chances or ("crash" in chances and source != "main")

    def _decide(self, kind: str, bound: int) -> int:
        chance = self._chances.get(kind)
        if chance is None:
            return 0
        return self.kernel.decisions.decide(f"{kind} {self.way}", bound, chance, self.kernel.now)

    def _delay(self) -> int:
        """How long one thing takes, in nanoseconds."""
        took = self.latency + self.extra
        if self._late >= 0.0:
            kernel = self.kernel
            took += LATENCY_STEP_NS * kernel.decisions.decide(self._late_label, LATENCY_STEPS, self._late, kernel.now)
        return took

    # -- connections ----------------------------------------------------------------------------------------------

    def carry(self, source: Stream, kind: int, data: bytes) -> int:
        """Take a segment, an end, a reset or room to the other end."""
        if kind == DATA and self._strikes and not self.cut:
            self._strike()
        if self.cut:
            self._held.append((source, kind, data))
            return 0
        if kind == DATA:
            kernel = self.kernel
            if self._reset >= 0.0 and kernel.decisions.decide(self._reset_label, 2, self._reset, kernel.now):
                self._break(source)
                return 0
            if self._split >= 0.0 and len(data) > 1:
                at = kernel.decisions.decide(self._split_label, len(data), self._split, kernel.now)
                if at:
                    self._send(source, DATA, data[:at])
                    data = data[at:]
        self._send(source, kind, data)
        return 0

    def _send(self, source: Stream, kind: int, data: bytes) -> int:
        when = self.kernel.now + (self._delay() if kind == DATA else self.latency + self.extra)
        if when < source.arrives:
            when = source.arrives
        source.arrives = when
        if source.peer is not None:
            self.kernel.bring(when, source.peer, (kind, data))
        return 0

    def _break(self, source: Stream) -> int:
        """Reset the connection: both ends are told, each when it arrives there."""
        peer = source.peer
        if peer is not None:
            self._send(source, RESET, b"")
            self.kernel.bring(self.kernel.now + self.latency, source, (RESET, b""))
        return 0

    def start(self, end: Stream, action: Callable[[Any], object], argument: Any) -> None:
        """Take the first packet of a connection."""
        if self.cut:
            self._starts.append((end, action, argument))
            return
        if self._decide("refuse", 2):
            self.kernel.at(self.kernel.now + 2 * self.latency, end.fail, errno.ECONNREFUSED)
            return
        self.answer(end, action, argument)

    def answer(self, end: Stream, action: Callable[[Any], object], argument: Any) -> None:
        """Take an answer to it: before anything else that goes this way on that connection."""
        peer = end.peer
        when = self.kernel.now + self._delay()
        if peer is not None and peer.arrives < when:
            peer.arrives = when
        self.kernel.at(when, action, argument)

    # -- datagrams ------------------------------------------------------------------------------------------------

    def throw(self, action: Callable[[Any], object], argument: Any, data: bytes) -> None:
        """Take a datagram: it may be lost, come twice, or be overtaken."""
        if self.cut or self._decide("loss", 2):
            return
        when = self.kernel.now + self._delay()
        if self._decide("reorder", 2):
            when += 3 * self.latency
        self.kernel.at(when, action, argument)
        if self._decide("duplicate", 2):
            self.kernel.at(when + self.latency, action, argument)

    def _strike(self) -> int:
        """Something may befall the whole way, or the machine at its beginning."""
        now = self.kernel.now
        value = self._decide("partition", 21)
        if value:
            self.strike.cut(self.source, self.target, both=value % 2 == 0)
            self.kernel.at(now + (value + 1) // 2 * 500_000_000, self._mend, value % 2 == 0)
        if "crash" in self._chances and self.source != "main":
            kernel = self.kernel
            seconds = kernel.decisions.decide(f"crash {self.source}", 6, self._chances["crash"], now)
            if seconds:
                kernel.at(now, self.strike.crash, self.source)
                kernel.at(now + seconds * 1_000_000_000, self.strike.restart, self.source)
        return 0

    def _mend(self, both: bool) -> None:
        self.strike.mend(self.source, self.target, both)

    # -- partitions -----------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Let things through again: what TCP had sent meanwhile comes now, in order."""
        self.cut = False
        held, self._held = self._held, []
        for source, kind, data in held:
            self._send(source, kind, data)
        starts, self._starts = self._starts, []
        for end, action, argument in starts:
            self.answer(end, action, argument)
