"""A reactor as Twisted's programs know it, without Twisted: `from fate import reactor, defer`.

This module is the reactor: `reactor.callLater(...)`, `reactor.run()`. There is one in a process. Its loop, a Fate, is made
when something of the reactor is first used, not by the import. Protocols and factories to go with it are here too.

The map: `core` is the reactor; `calls` its timed calls, `triggers` its system events; `protocols` what programs derive
from; `tcp` and `processes` what carries bytes to them, on asyncio's transports; `errors` the reasons that they are told.
For everything else that Twisted has, run Twisted itself: `fate.tx`, or `fate run`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fate.reactor import errors as errors
    from fate.reactor.calls import DelayedCall
    from fate.reactor.core import Reactor
    from fate.reactor.processes import ProcessTransport
    from fate.reactor.protocols import (
        ClientFactory,
        Factory,
        LineReceiver,
        ProcessProtocol,
        Protocol,
        ServerFactory,
    )
    from fate.reactor.tcp import Address, Connector, Port, Transport

_HOMES = {
    "Address": "tcp",
    "ClientFactory": "protocols",
    "Connector": "tcp",
    "DelayedCall": "calls",
    "Factory": "protocols",
    "LineReceiver": "protocols",
    "Port": "tcp",
    "ProcessProtocol": "protocols",
    "ProcessTransport": "processes",
    "Protocol": "protocols",
    "Reactor": "core",
    "ServerFactory": "protocols",
    "Transport": "tcp",
}

_METHODS = [
    "addSystemEventTrigger",
    "callFromThread",
    "callInThread",
    "callLater",
    "callWhenRunning",
    "connectTCP",
    "deferToThread",
    "fireSystemEvent",
    "getDelayedCalls",
    "listenTCP",
    "loop",
    "removeSystemEventTrigger",
    "run",
    "running",
    "seconds",
    "spawnProcess",
    "stop",
]

__all__ = [*_HOMES, *_METHODS, "errors"]

_reactor: Reactor | None = None


def __getattr__(name: str) -> Any:
    global _reactor
    if name in _HOMES:
        value = globals()[name] = getattr(import_module(f"fate.reactor.{_HOMES[name]}"), name)
        return value
    if name == "errors":
        return import_module("fate.reactor.errors")
    if name not in _METHODS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if _reactor is None:
        from fate.reactor.core import Reactor

        _reactor = Reactor()
    return getattr(_reactor, name)


def __dir__() -> list[str]:
    return __all__
