"""CPython's tests in universes: `cpython.py --loop universe_loop:make` finds here what makes the loops under test.

Each test runs in a universe of its own, from its `setUp` on, so the sockets, threads and clocks that it uses are
simulated; every loop that it asks for is one of the universe's main host.
"""

from __future__ import annotations

import unittest
from collections.abc import Callable
from typing import Any

from fate.sim import world
from fate.sim.kernel import Poll
from fate.sim.loop import UniverseFate
from fate.sim.universe import Universe


class Around(Universe[None]):
    """A universe in which something runs that is no coroutine, and makes its loops itself."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__()
        self._call = call

    def _live(self, main: Any, result: Any) -> None:
        self._call()
        if self.main.loop.is_closed():
            make()  # for the universe to end with
        for host in self.hosts.values():
            host.disarm()


async def nothing() -> None:
    """What a universe must be given."""


def make() -> UniverseFate:
    """One more loop of the main host."""
    assert world.current is not None, "a loop of a universe is asked for outside of a test"
    host = world.current.universe.main
    if not host.loop.is_closed():
        host.loop.close()
    host.poll = Poll(host.world.kernel, host.name, False, host.boot_ns)
    host.loop = UniverseFate(host, host.poll)
    return host.loop


def around(run: Callable[..., Any]) -> Callable[..., Any]:
    """`TestCase.run`, in a universe."""

    def run_in_universe(test: unittest.TestCase, result: Any = None) -> None:
        outcome = Around(lambda: run(test, result)).attempt(nothing)
        if outcome.error is not None:
            raise outcome.error

    return run_in_universe
