"""What is between two machines: how long things take, and what of them is lost, doubled, split or broken.

A `Link` goes one way. Each thing that may go wrong on it is a decision with a label of its own ("latency client->db"),
so that it can be forced or taken away alone. TCP's promises are kept: whatever happens, bytes arrive in order, once.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

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
        self.faults = faults
        self.way = way = f"{source}->{target}"
        self.cut = False
        self.extra = 0  # nanoseconds that everything takes longer: a slow link
        self.latency = LOOPBACK_NS if source == target else LATENCY_NS
        self._held: list[tuple[Stream, int, bytes]] = []  # what TCP sends again when the link is there again
        self._starts: list[tuple[Stream, Callable[[Any], object], Any]] = []
        self._labels = {
            kind: f"{kind} {way}"
            for kind in ("latency", "split", "reset", "loss", "duplicate", "reorder", "refuse", "partition")
        }
        self._labels["crash"] = f"crash {source}"

    def _decide(self, kind: str, bound: int) -> int:
        faults = self.faults
        if faults is None:
            return 0
        probability = faults.probability(kind)
        if probability < 0.0:
            return 0
        return self.kernel.decisions.decide(self._labels[kind], bound, probability, self.kernel.now)

    def _delay(self) -> int:
        """How long one thing takes, in nanoseconds. Delays are decided in steps of 0.1 ms."""
        late = self._decide("latency", self.faults.latency_steps if self.faults is not None else 1)
        return self.latency + self.extra + late * 100_000

    # -- connections ----------------------------------------------------------------------------------------------

    def carry(self, source: Stream, kind: int, data: bytes) -> int:
        """Take a segment, an end, a reset or room to the other end."""
        if not self.cut and kind == DATA and self.faults is not None:
            self._strike()
        if self.cut:
            self._held.append((source, kind, data))
            return 0
        if kind == DATA:
            if self._decide("reset", 2):
                self._break(source)
                return 0
            if len(data) > 1:
                at = self._decide("split", len(data))
                if at:
                    self._send(source, DATA, data[:at])
                    data = data[at:]
        self._send(source, kind, data)
        return 0

    def _send(self, source: Stream, kind: int, data: bytes) -> None:
        when = self.kernel.now + (self._delay() if kind == DATA else self.latency + self.extra)
        if when < source.arrives:
            when = source.arrives
        source.arrives = when
        if source.peer is not None:
            self.kernel.at(when, source.peer.deliver, (kind, data))

    def _break(self, source: Stream) -> None:
        """Reset the connection: both ends are told, each when it arrives there."""
        peer = source.peer
        if peer is not None:
            self._send(source, RESET, b"")
            self.kernel.at(self.kernel.now + self.latency, source.deliver, (RESET, b""))

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

    def _strike(self) -> None:
        """Something may befall the whole way, or the machine at its beginning."""
        now = self.kernel.now
        value = self._decide("partition", 21)
        if value:
            self.strike.cut(self.source, self.target, both=value % 2 == 0)
            self.kernel.at(now + (value + 1) // 2 * 500_000_000, self._mend, value % 2 == 0)
        if self.source != "main":
            seconds = self._decide("crash", 6)
            if seconds:
                self.kernel.at(now, self.strike.crash, self.source)
                self.kernel.at(now + seconds * 1_000_000_000, self.strike.restart, self.source)

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
