"""Who is measured: one line a loop, in the order of the columns.

A peer is an interpreter and a loop factory, so a column may as well be another environment or another
Python. Versions are pinned here and nowhere else. What is measured lives in ``rows``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.registry import Group, Row, Target, Times

BASELINE = "uvloop"
SUBJECT = "fate"
"""The peer that the targets of the rows speak of."""

PEERS_ENVIRONMENT = "peers"
UNCOMPILED_ENVIRONMENT = "uncompiled"


LOOP_GROUPS = frozenset(Group) - {Group.DEFERRED, Group.STORY, Group.REACTOR}
"""The rows that an event loop can be measured in."""


@dataclass(frozen=True)
class Peer:
    """One column.

    ``factory`` is ``module:attribute``, called without arguments for a new loop (Twisted's names its Deferreds).
    ``requirement`` is what the package index is asked for (nothing for the standard library and for Fate, which comes
    from the checkout).
    ``environment`` names one of ours, or is the path of an interpreter. ``groups`` limits the rows.
    ``only`` limits them further, to those whose names begin so. A ``ceiling`` is what could be reached
    at best, and no competitor.
    """

    name: str
    title: str
    factory: str
    requirement: str | None = None
    environment: str = PEERS_ENVIRONMENT
    groups: frozenset[Group] = LOOP_GROUPS
    only: tuple[str, ...] = ()
    ceiling: bool = False

    @property
    def module(self) -> str:
        return self.factory.partition(":")[0]

    def runs(self, row: Row) -> bool:
        return row.group in self.groups and (not self.only or row.name.startswith(self.only))


_MICRO = frozenset({Group.MICRO})
_NETWORK = frozenset({Group.NETWORK})
_DEFERRED = frozenset({Group.DEFERRED})
_ECHO = ("protocol-", "pipeline", "one-connection")
"""The rows of those for which only an echo server was written."""

PEERS = (
    Peer("uvloop", "uvloop", "uvloop:new_event_loop", "uvloop==0.23.0"),
    Peer("asyncio", "asyncio", "asyncio:new_event_loop"),
    Peer("rloop", "rloop", "rloop:new_event_loop", "rloop==0.5.0"),
    Peer("rsloop", "rsloop", "rsloop:new_event_loop", "rsloop==0.1.66"),
    Peer("blazio", "blazio", "blazio:new_event_loop", "blazio==0.1.0"),
    Peer("talyn", "talyn", "talyn:Loop", "talyn==0.10.4"),
    Peer(
        "aiofastnet",
        "aiofastnet",
        "benchmarks.foreign.aiofastnet_loop:new_event_loop",
        "aiofastnet==1.2.0",
        groups=_NETWORK,
        only=("tls",),
    ),
    Peer(
        "twisted-server",
        "Twisted",
        "benchmarks.foreign.twisted_server:serve",
        "twisted==26.10.0",
        groups=_NETWORK,
        only=_ECHO,
    ),
    Peer("trio", "Trio", "benchmarks.foreign.trio_server:serve", "trio==0.35.0", groups=_NETWORK, only=_ECHO),
    Peer("gevent", "gevent", "benchmarks.foreign.gevent_server:serve", "gevent==26.9.0", groups=_NETWORK, only=_ECHO),
    Peer("twisted", "Twisted", "twisted.internet.defer:Deferred", "twisted==26.10.0", groups=_DEFERRED),
    Peer(
        "twisted-epoll",
        "Twisted, epoll",
        "twisted.internet.epollreactor:EPollReactor",
        "twisted==26.10.0",
        groups=frozenset({Group.REACTOR}),
    ),
    Peer("fate", "Fate", "fate:new_event_loop", groups=frozenset(Group)),
    Peer(
        "fate-pure",
        "Fate, uncompiled",
        "fate:new_event_loop",
        environment=UNCOMPILED_ENVIRONMENT,
        groups=_MICRO | _DEFERRED,
    ),
    Peer(
        "floor",
        "C + Python",
        "benchmarks.foreign.floor:serve",
        groups=_NETWORK,
        only=(*_ECHO, "unix"),
        ceiling=True,
    ),
    Peer(
        "c",
        "C",
        "benchmarks.foreign.c_server:serve",
        groups=_NETWORK,
        only=(*_ECHO, "udp", "unix", "tls"),
        ceiling=True,
    ),
)

FATE = frozenset({"fate", "fate-pure"})
COMPETITORS = tuple(peer.name for peer in PEERS if not peer.ceiling and peer.name not in FATE)

HELPERS = ("trustme==1.2.1", "uvicorn==0.54.0", "httptools==0.9.0", "aiohttp==3.14.5", "matplotlib==3.11.2")
"""What rows and charts need beside the peers."""

NOTES = {
    "aiofastnet": "aiofastnet: its TLS on uvloop.",
    "floor": "C + Python: a C loop that calls a Python protocol. A ceiling, not a competitor.",
    "c": "C: an epoll server; TLS with OpenSSL. A ceiling, not a competitor.",
}

BUILDS = {"fate": True, "fate-pure": False}
"""What ``fate.compiled`` has to say in each column of Fate's."""

UNCOMPILED_TARGET = Times(1.0, "asyncio")
UNCOMPILED_DEFERRED_TARGET = Times(1.0, "twisted")


def targets_of(row: Row, peer: Peer) -> tuple[Target, ...]:
    """The targets ``peer`` has in ``row``: the row's own for Fate, one for all rows for its uncompiled build."""
    if peer.name == SUBJECT:
        return row.targets
    if peer.name == "fate-pure":
        return (UNCOMPILED_DEFERRED_TARGET if row.group is Group.DEFERRED else UNCOMPILED_TARGET,)
    return ()


def requirements(peers: Iterable[Peer] = PEERS) -> list[str]:
    return sorted({peer.requirement for peer in peers if peer.requirement} | set(HELPERS))


def parse_peer(text: str) -> Peer:
    """A column from the command line: ``NAME=PYTHON=MODULE:ATTRIBUTE``."""
    try:
        name, python, factory = text.split("=")
        module, attribute = factory.split(":")
    except ValueError:
        raise ValueError(f"{text!r}: a peer is NAME=PYTHON=MODULE:ATTRIBUTE") from None
    if not (name and module and attribute and Path(python).exists()):
        raise ValueError(f"{text!r}: a peer needs a name, an interpreter that exists and a loop factory")
    return Peer(name, name, factory, environment=python)
