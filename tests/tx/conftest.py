"""Fixtures of the tests of Twisted on Fate: a reactor on a Fate of its own, and what Twisted logged as an error.

The reactor is not the global one; what only works with that is tested in processes of their own.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.error import ReactorNotRunning
from twisted.python import log

from fate import Fate
from fate.tx import FateReactor

LIMIT = 20.0
"""Seconds after which a reactor that nobody stopped has failed."""


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """The failures that Twisted's log was told of."""
    failures: list[Any] = []

    def observe(event: dict[str, Any]) -> None:
        if event.get("isError") and "failure" in event:
            failures.append(event["failure"].value)

    log.addObserver(observe)
    yield failures
    log.removeObserver(observe)


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Give the process its signal handlers back: importing or starting Twisted's reactors may leave theirs."""
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGCHLD]
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def reactor() -> Iterator[FateReactor]:
    """A reactor; everything that it watches is closed afterwards."""
    made = FateReactor(Fate())
    yield made
    made.disconnectAll()
    if made.threadpool is not None:
        made._stopThreadPool()
    made.loop.close()


@pytest.fixture
def run(reactor: FateReactor) -> Callable[..., None]:
    """Runs the reactor, after a first callback if one is given, until something stops it."""

    def run(first: Callable[[], object] | None = None) -> None:
        late: list[bool] = []

        def expire() -> None:
            late.append(True)
            try:
                reactor.stop()
            except ReactorNotRunning:
                reactor.crash()

        if first is not None:
            reactor.callWhenRunning(first)
        guard = reactor.callLater(LIMIT, expire)
        reactor.run(installSignalHandlers=False)
        assert not late, "nobody stopped the reactor"
        guard.cancel()

    return run
