"""The universe that this process is in, if it is in one: what sockets, clocks and threads ask.

One thread of one process is in at most one universe. `current` is that universe's `World`; outside, it is None and
everything is the real thing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fate.sim.errors import StuckError, caller
from fate.sim.kernel import End, Kernel
from fate.sim.states import FREE_LOOKS, FREE_TURNS, NEVER, PART_OF_SPIN, SPIN_NS

if TYPE_CHECKING:
    from fate.sim.hosts import Host
    from fate.sim.network import Network
    from fate.sim.threads import Threads

EPOCH_NS = 1_767_225_600_000_000_000  # wall clocks begin at 2026-01-01 00:00:00 UTC
FIRST_PID = 5_000_000  # above it are numbers that no process of Linux can have: nobody else's is ever meant
BOOT_NS = 1_000_000_000_000  # monotonic clocks begin here: no program may rely on zero
LOOKS_OF_A_NAP = 100  # who has read the clock FREE_LOOKS times lets the others go on after so many


class World:
    """What stands around a program in a universe.

    host: the one that runs now.
    """

    dropped: tuple[str, ...] = ()  # what was dropped without being closed, in words
    ident = 0  # of the thread that runs the loop
    naps = 0  # how often in a row somebody let the others go on, by `time.sleep(0)`
    napped_from = 0

    if TYPE_CHECKING:
        host: Host
        threads: Threads | None
        universe: Any

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._network: Network | None = None
        self.threads = None
        self.shared: dict[End, Any] = {}  # how many descriptors each end has
        self.pids = FIRST_PID
        self.paths: list[str] = []  # of Unix sockets: to be removed at the end
        self.executors: dict[int, tuple[Any, Any]] = {}  # made outside, by `id`, and what stands in for each

    @property
    def network(self) -> Network:
        """The network with the main host's machine; made when it is first asked for: many programs have no socket."""
        if self._network is None:
            self._network = self.universe.make_network()
        return self._network

    @property
    def has_network(self) -> bool:
        """Whether the program has asked for a network."""
        return self._network is not None

    def part(self) -> None:
        """The universe has ended: let go of all but the kernel, which sockets that are still there ask."""
        if self._network is not None:
            self._network.part()
        self.kernel.waits = self.universe = None
        self.executors.clear()
        del self.host

    def monotonic_ns(self) -> int:
        """The present host's monotonic clock, in nanoseconds."""
        kernel = self.kernel
        if self.threads is not None and kernel.looks > (LOOKS_OF_A_NAP if self.naps else FREE_LOOKS):
            self._yield()
        return kernel.read_clock() + self.host.boot_ns

    def wall_ns(self) -> int:
        """The present host's wall clock, in nanoseconds since 1970."""
        kernel = self.kernel
        if self.threads is not None and kernel.looks > (LOOKS_OF_A_NAP if self.naps else FREE_LOOKS):
            self._yield()
        return kernel.read_clock() + EPOCH_NS + self.host.look_at_clock()

    def sleep(self, ns: int) -> None:
        """Let the present thread wait, and nothing else."""
        if ns:
            self.naps = 0
            self.wait(None, self.kernel.now + ns)
        else:
            self._yield()

    def _yield(self) -> None:
        """Let everybody else go on. Who does that all the time waits for something: time passes, as on a machine."""
        self.naps += 1
        kernel = self.kernel
        if self.naps > FREE_TURNS:
            self.wait(None, kernel.now + max(SPIN_NS, (kernel.now - self.napped_from) // PART_OF_SPIN))
            return
        self.napped_from = kernel.now
        if self.threads is not None and self.threads.current is not None:
            self.threads.current.wait(None, kernel.now)
        elif kernel.waits is not None:
            kernel.waits.run_others()

    def wait_until(self, check: Callable[[], Any], seconds: float | None) -> bool:
        """Block until `check()` is true; False when `seconds` (None: any time) are over."""
        deadline = NEVER if seconds is None else self.kernel.now + int(seconds * 1e9)
        return self.wait(check, deadline)

    def wait(self, check: Callable[[], Any] | None, deadline: int) -> bool:
        """Block the present thread until `check()` is true, or until `deadline`; say whether it is."""
        kernel = self.kernel
        if self.threads is not None and self.threads.current is not None:
            return bool(self.threads.current.wait(check, deadline))
        while True:
            kernel.run_due()
            if check is not None and check():
                return True
            if kernel.now >= deadline:
                return False
            if kernel.waits is not None and kernel.waits.run_others():
                continue
            when = min(kernel.next_event(), deadline)
            if kernel.waits is not None:
                when = min(when, kernel.waits.next_wake())
            if when == NEVER:
                raise StuckError(f"a blocking call waits for what can never happen (called at {caller()})")
            kernel.go_to(when)

    def has_strangers(self) -> bool:
        """Whether there are threads in the process that are not of this universe."""
        known = set() if self.threads is None else {worker.ident for worker in self.threads.workers}
        known.add(self.ident)
        return any(ident not in known for ident in threading._active)  # type: ignore[attr-defined]

    def all_threads(self) -> Threads:
        """The threads of this universe; made when the first is."""
        if self.threads is None:
            from fate.sim.threads import Threads  # which needs this module

            self.threads = Threads(self)
        return self.threads

    def need_others(self) -> None:
        """Have hosts and threads run while the main loop waits."""
        if self.kernel.waits is None:
            self.kernel.waits = self.universe.make_others()


current: World | None = None
