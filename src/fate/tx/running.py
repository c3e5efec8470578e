"""A Twisted program as something to await: `await fate.tx.run(main)`, in a loop that runs already.

In a program of asyncio's the reactor can run once, as all of Twisted's; on each host of a universe it is a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from inspect import iscoroutine
from typing import Any

from twisted.internet import defer

from fate.tx.errors import ReactorInstalledError
from fate.tx.reactor import install_reactor

__all__ = ["run"]


async def run(main: Callable[..., Any], *args: Any) -> Any:
    """Start the reactor, call `main(reactor, *args)`, wait for what it returns, and stop the reactor in good order.

    main: gives a Deferred, or is an `async def` that awaits Deferreds, as for `twisted.internet.task.react`; one that
        gives anything else is over when somebody has called `reactor.stop()`.
    Returns what the Deferred fires with; None if the reactor was stopped before. Raises what the Deferred fails with;
    ReactorInstalledError if the reactor stands on another loop than the running one; Twisted's ReactorNotRestartable.
    """
    loop = asyncio.get_running_loop()
    reactor = install_reactor()
    if reactor.loop is not loop:
        raise ReactorInstalledError(
            f"the reactor stands on another loop than the one that runs: {reactor.loop!r}; call fate.tx.install() while"
            " this loop runs, or leave it to fate.tx.run()"
        )
    over: asyncio.Future[None] = loop.create_future()
    reactor.guest = True
    reactor.addSystemEventTrigger("after", "shutdown", over.set_result, None)
    reactor.startRunning(installSignalHandlers=False)
    result: asyncio.Future[Any] = over
    try:
        given = main(reactor, *args)
        if iscoroutine(given):
            given = defer.Deferred.fromCoroutine(given)
        if isinstance(given, defer.Deferred):
            result = given.asFuture(loop)
        await asyncio.wait([over, result], return_when=asyncio.FIRST_COMPLETED)
        return result.result() if result.done() else None
    finally:
        if not result.done() and result is not over:
            result.cancel()
        if not over.done():
            if not reactor._stopped:
                reactor.stop()
            await over
