"""Hosts: the computers of a universe, each with addresses, a clock, tasks and an event loop of its own.

One host, "main", runs the program that was given to the universe, and its loop is the one that lets time pass. The
others are turned while it waits. A host can crash (nothing of it runs again), start again, and be paused.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio import events, tasks
from collections.abc import Callable, Coroutine
from threading import get_ident
from typing import TYPE_CHECKING, Any

from fate.sim.errors import HostError, StuckError
from fate.sim.kernel import NEVER, Poll, Waits
from fate.sim.loop import UniverseFate
from fate.sim.watcher import Watcher
from fate.sim.world import BOOT_NS, World

if TYPE_CHECKING:
    from fate.sim.universe import Universe

SETTLE = 16  # so many rounds for what is still there at the end
BURST = 16  # so many turns of one host before the next gets its own


class Host:
    """One computer of a universe. Made by `Universe.host`.

    name: as other hosts resolve it. up: it has not crashed. paused: it stands still, as a machine that swaps does.
    """

    def __init__(self, universe: Universe[Any], world: World, name: str, main: Callable[[], Any] | None) -> None:
        self.universe = universe
        self.world = world
        self.name = name
        self.main = main
        self.machine = world.network.add(name)
        self.boot_ns = BOOT_NS * len(world.network.machines)
        self.skew_ns = 0
        self.up = True
        self.paused = False
        self.on_task: Callable[[Any], None] | None = None
        self.task: Any = None
        self.watcher: Watcher | None = None
        self.booted = False
        self._clock_label = "clock " + name

    def boot(self) -> None:
        """Switch it on: a fresh loop, and the host's own program on it."""
        self.booted = self.up = True
        self.poll = Poll(self.world.kernel, self.name, self.main is not None, self.boot_ns)
        self.loop = UniverseFate(self, self.poll)
        self.watcher = None
        faults = self.universe.faults
        if self.universe.promises or (faults is not None and "cancel" in faults.kinds):
            self.watch()

    def watch(self) -> None:
        """Have the loop looked at after every callback."""
        self.watcher = Watcher(self, self.universe.promises, self.universe.faults)
        self.on_task = self.watcher.made
        self.loop.set_instrument(self.watcher)

    def look_at_clock(self) -> int:
        """How far the wall clock is off, in nanoseconds; it may jump at each look."""
        faults = self.universe.faults
        if faults is not None and "clock" in faults.kinds:
            kernel = self.world.kernel
            jump = kernel.decisions.decide(self._clock_label, 13, faults.kinds["clock"], kernel.now)
            if jump:  # 1: forward by 0.1 s, 2: back by 0.1 s, 3 and 4: by 1 s, and so on to 10,000 s
                step = 10 ** ((jump - 1) // 2) * 100_000_000
                self.skew_ns += step if jump % 2 else -step
        return self.skew_ns

    def _ask(self, name: str) -> int:
        """How long the look-up of `name` takes, in nanoseconds; raises if it fails."""
        faults = self.universe.faults
        if faults is None or "dns" not in faults.kinds:
            return 0
        kernel = self.world.kernel
        value = kernel.decisions.decide("dns " + name, 12, faults.kinds["dns"], kernel.now)
        if value == 1:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return (value - 1) * 500_000_000 if value else 0

    def ask_names(self, name: str) -> None:
        """A blocking look-up of `name`: it may be slow, or fail."""
        ns = self._ask(name)
        if ns:
            self.world.sleep(ns)

    async def ask_names_later(self, name: str) -> None:
        """A look-up of `name` in the loop: it may be slow, or fail."""
        ns = self._ask(name)
        if ns:
            await asyncio.sleep(ns / 1e9)

    def pending(self) -> list[Any]:
        """The tasks that have not ended, in the order in which they were made."""
        left = [task for task in tasks.all_tasks(self.loop) if not task.done()]
        return sorted(left, key=hash)  # they hash by number

    def connections(self) -> list[Any]:
        """The transports that nobody has closed."""
        return [transport for transport in self.loop._transports.values() if not transport.is_closing()]

    def settle(self) -> None:
        """Let what is on its way arrive: the other end of what the program has just closed."""
        for count in range(SETTLE):
            if not self.pending() and not self.connections():
                break
            self.loop.run_until_complete(asyncio.sleep(0.02 if count else 1e-9))

    def end(self) -> None:
        """Cancel every task, close every connection, run the loop until all have ended, and close it."""
        if not self.booted:
            return
        loop = self.loop
        try:
            for _ in range(SETTLE):
                left = self.pending()
                for task in left:
                    task.cancel()
                for transport in self.connections():
                    transport.abort()
                if left:
                    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
                elif loop._transports:
                    loop.run_until_complete(asyncio.sleep(0))
                else:
                    break
            if loop._asyncgens:
                loop.run_until_complete(loop.shutdown_asyncgens())
        except StuckError:
            pass  # one that will not be cancelled
        finally:
            loop.close()

    def __repr__(self) -> str:
        state = "up" if self.up else "down"
        return f"<Host {self.name!r} at {self.machine.ipv4}, {'paused' if self.paused else state}>"


__all__ = ["BURST", "NEVER", "Coroutine", "Host", "HostError", "Waits", "events", "get_ident"]
