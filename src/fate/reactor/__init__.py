"""A reactor as Twisted's programs know it, without Twisted: `from fate import reactor, defer`.

This module is the reactor: `reactor.callLater(...)`, `reactor.run()`. There is one in a process. Its loop, a Fate, is
made when something of the reactor is first used, not by the import. Protocols and factories to go with it are here too.

The map: `core` is the reactor; `calls` its timed calls, `triggers` its system events; `protocols` what programs derive
from; `tcp` and `processes` what carries bytes to them, on asyncio's transports; `errors` the reasons they are told.
For everything else that Twisted has, run Twisted itself: `fate.tx`, or `fate run`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fate import singletons

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

    _it = Reactor()
    addSystemEventTrigger = _it.addSystemEventTrigger
    callFromThread = _it.callFromThread
    callInThread = _it.callInThread
    callLater = _it.callLater
    callWhenRunning = _it.callWhenRunning
    connectTCP = _it.connectTCP
    deferToThread = _it.deferToThread
    fireSystemEvent = _it.fireSystemEvent
    getDelayedCalls = _it.getDelayedCalls
    listenTCP = _it.listenTCP
    loop = _it.loop
    removeSystemEventTrigger = _it.removeSystemEventTrigger
    run = _it.run
    running = _it.running
    seconds = _it.seconds
    spawnProcess = _it.spawnProcess
    stop = _it.stop

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

__all__ = [
    "Address",
    "ClientFactory",
    "Connector",
    "DelayedCall",
    "Factory",
    "LineReceiver",
    "Port",
    "ProcessProtocol",
    "ProcessTransport",
    "Protocol",
    "Reactor",
    "ServerFactory",
    "Transport",
    "addSystemEventTrigger",
    "callFromThread",
    "callInThread",
    "callLater",
    "callWhenRunning",
    "connectTCP",
    "deferToThread",
    "errors",
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

_OF_THE_REACTOR = frozenset(__all__) - _HOMES.keys() - {"errors"}

_reactor: Reactor | None = None


def __getattr__(name: str) -> Any:
    global _reactor
    if name in _HOMES:
        value = globals()[name] = getattr(import_module(f"fate.reactor.{_HOMES[name]}"), name)
        return value
    if name == "errors":
        return import_module("fate.reactor.errors")
    if name not in _OF_THE_REACTOR:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if _reactor is None:
        from fate.reactor.core import Reactor

        _reactor = Reactor()
        singletons.add(_reactor)
    return getattr(_reactor, name)


def __dir__() -> list[str]:
    return __all__
