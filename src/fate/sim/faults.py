"""Which faults a universe may have, how likely each is, and each in words.

A fault is a decision that differs from the benign default, 0. `Faults` says which kinds of decisions are taken at all
and how likely each is to be one; what such a decision then does lives where it is taken: `links`, `kernel`, `hosts`,
`names`, `threads`, `cancel`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fate.sim.decisions import Decision, Decisions
from fate.sim.errors import ScenarioError

RELAXED = "relaxed"  # never among "all": asyncio promises that it cannot happen

# kind: (how likely by default, what its value means in words)
KINDS: dict[str, tuple[float, str]] = {
    "order": (0.2, "what was ready at the same time on {where} came in order {value}"),
    "latency": (0.1, "the {nth} message {way} came {late} late"),
    "split": (0.1, "the {nth} message {way} came in two parts, the first of {value} bytes"),
    "reset": (0.01, "the connection was reset at the {nth} message {way}"),
    "refuse": (0.05, "the {nth} connection {way} was refused"),
    "loss": (0.05, "the {nth} datagram {way} was lost"),
    "duplicate": (0.05, "the {nth} datagram {way} came twice"),
    "reorder": (0.05, "the {nth} datagram {way} was overtaken"),
    "partition": (0.01, "the network {way} was cut {sides} at the {nth} message for {cut}"),
    "dns": (0.05, "the {nth} look-up of {where} {dns}"),
    "clock": (0.05, "the clock of {where} was {clock} at its {nth} look"),
    "job": (0.1, "the {nth} executor job of {where} began {late} late"),
    "crash": (0.01, "host {where} crashed at its {nth} message and came back after {value} s"),
    "cancel": (0.02, "task {where} was cancelled at {note}, {way_to_cancel} (its {nth} await)"),
    "stall": (0.005, "{where} stood still for {stall} after {note}"),
    "timer": (0.05, "the {nth} timer of {where} was set {late} late"),
    RELAXED: (0.1, "the {nth} callback of {where} that had to wait changed places with one {value} before it"),
}
NETWORK = frozenset({"latency", "split", "reset", "refuse", "loss", "duplicate", "reorder", "partition", "crash"})
LATENCY_STEPS = 1000  # 100 ms at most, in steps of 0.1 ms
LATENCY_STEP_NS = 100_000
STALL_STEPS = 1001  # 1 s at most, in steps of 1 ms
STALL_STEP_NS = 1_000_000
PENDING, HAND_OFF = 1, 2
UNBEGUN = ", unbegun"  # follows the name of a task in the decision whether it is cancelled before its first step
OFF = -1.0


class Faults:
    """Which faults may happen, and how likely each is at each opportunity.

    kinds: probabilities by name; a kind that is not named is off: its decisions are not even taken. 0.0: its decisions
        are taken and recorded, and are faults only where they are forced. The names are those of `KINDS`.
    tasks: which tasks "cancel" concerns: names of tasks or of their coroutine functions; None: all that the program has
        made, but for each host's main task.
    spared: tasks that it does not concern, by the same names.
    Raises ScenarioError for a name that is none or a probability that is not between 0 and 1.
    """

    def __init__(
        self,
        kinds: Mapping[str, float] | Iterable[str],
        tasks: Iterable[str] | None = None,
        spared: Iterable[str] = (),
    ) -> None:
        if isinstance(kinds, str):
            kinds = [kinds]
        if not isinstance(kinds, Mapping):
            kinds = {kind: KINDS[kind][0] if kind in KINDS else 0.0 for kind in kinds}
        for kind, probability in kinds.items():
            if kind not in KINDS:
                raise ScenarioError(f"there is no fault {kind!r}; there are: {', '.join(KINDS)}")
            if not isinstance(probability, (int, float)) or not 0 <= probability <= 1:
                raise ScenarioError(f"the probability of {kind!r} must be between 0 and 1, not {probability!r}")
        self.kinds = dict(kinds)
        self.tasks = None if tasks is None else frozenset([tasks] if isinstance(tasks, str) else tasks)
        self.spared = frozenset([spared] if isinstance(spared, str) else spared)
        self.network = not NETWORK.isdisjoint(self.kinds)

    @classmethod
    def all(cls, tasks: Iterable[str] | None = None) -> Faults:
        """Every kind that can happen, each as likely as by default."""
        return cls([kind for kind in KINDS if kind != RELAXED], tasks)

    @classmethod
    def make(cls, given: Any) -> Faults | None:
        """What a program gave as its faults: None, "all", names, probabilities by name, or a Faults."""
        if given is None or isinstance(given, Faults):
            return given
        if given == "all":
            return cls.all()
        if isinstance(given, (str, Mapping)) or (isinstance(given, Iterable) and not isinstance(given, bytes)):
            return cls(given)
        raise ScenarioError(f"faults are None, 'all', names, probabilities by name, or a Faults, not {given!r}")

    def probability(self, kind: str) -> float:
        """How likely one is; OFF if they are not even decided."""
        return float(self.kinds.get(kind, OFF))

    def swarm(self, seed: int) -> Faults:
        """These faults with each kind switched off, rare, or frequent, as `seed` says.

        Runs that have few kinds at once find more than runs that have all (Groce et al., Swarm Testing, 2012).
        """
        chance = Decisions(seed)
        scales = (0.0, 0.0, 0.3, 1.0, 4.0)
        kinds = {
            kind: min(0.5, p * scales[chance.bits(f"swarm {kind}") % len(scales)]) for kind, p in self.kinds.items()
        }
        return Faults(kinds, self.tasks, self.spared)

    def __repr__(self) -> str:
        return f"Faults({self.kinds!r})" if self.tasks is None else f"Faults({self.kinds!r}, {sorted(self.tasks)!r})"


def describe(decision: Decision) -> str:
    """A decision in words, as a report tells of it."""
    kind, _, where = decision.label.partition(" ")
    if kind not in KINDS:
        return f"{decision.label}, the {ordinal(decision.n + 1)} time: {decision.value}"
    if decision.value == 0:
        return f"{kind} {where}, the {ordinal(decision.n + 1)} time: nothing out of the ordinary"
    source, arrow, target = where.partition("->")
    value = decision.value
    if where.endswith(UNBEGUN):
        return f"task {where.removesuffix(UNBEGUN)} was cancelled before its first step{decision.note}"
    return KINDS[kind][1].format(
        where=where,
        way=f"from {source} to {target}" if arrow else where,
        nth=ordinal(decision.n + 1),
        value=value,
        note=decision.note or "an await",
        stall=duration(value * STALL_STEP_NS),
        late=duration(value * LATENCY_STEP_NS),
        sides="both ways" if value % 2 == 0 else "one way",
        cut=duration((value + 1) // 2 * 500_000_000),
        dns="failed" if value == 1 else f"took {duration((value - 1) * 500_000_000)}",
        clock="set back" if value % 2 == 0 else "set forward",
        way_to_cancel="pending" if value == PENDING else "hand-off",
    )


def delay_of(decision: Decision) -> int:
    """How much later a fault has made things, in nanoseconds; one that only loses something: 0."""
    kind, value = decision.label.partition(" ")[0], decision.value
    if kind in ("latency", "job", "timer"):
        return value * LATENCY_STEP_NS
    if kind == "stall":
        return value * STALL_STEP_NS
    if kind == "partition":
        return (value + 1) // 2 * 500_000_000
    if kind == "dns":
        return (value - 1) * 500_000_000
    if kind == "crash":
        return value * 1_000_000_000
    return 0


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th..."""
    tail = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{tail}"


def duration(ns: int) -> str:
    """Nanoseconds in words."""
    for seconds, unit in ((86_400, "days"), (3600, "hours")):
        if ns >= 2_000_000_000 * seconds:
            return f"{ns / 1e9 / seconds:.4g} {unit}"
    if ns >= 1_000_000_000:
        return f"{ns / 1e9:g} s"
    if ns >= 1_000_000:
        return f"{ns / 1e6:g} ms"
    return f"{ns / 1e3:g} µs"
