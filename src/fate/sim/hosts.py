"""Hosts: the computers of a universe, each with addresses, a clock, tasks and an event loop of its own.

One host, "main", runs the program that was given to the universe, and its loop is the one that lets time pass. The
others are turned while it waits. A host can crash (nothing of it runs again), start again, and be paused.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from asyncio import events, tasks
from collections.abc import Callable
from signal import NSIG
from threading import get_ident
from typing import TYPE_CHECKING, Any, NoReturn

from fate.sim import dead, holders, leftovers, signals
from fate.sim.errors import HostError, StuckError
from fate.sim.faults import LATENCY_STEP_NS, LATENCY_STEPS, RELAXED
from fate.sim.kernel import Poll, Waits
from fate.sim.loop import LOOPS, UniverseFate
from fate.sim.network import Machine, addresses_of
from fate.sim.states import NEVER
from fate.sim.watcher import Watcher
from fate.sim.world import BOOT_NS, World

if TYPE_CHECKING:
    from fate.sim.universe import Universe

SETTLE = 16  # so many rounds for what is still there at the end

# asyncio's weak set of all tasks. None: not known; since Python 3.14 it has only those that are not asyncio's own.
ALL_TASKS: Any = (
    getattr(tasks, "_scheduled_tasks", getattr(tasks, "_all_tasks", None)) if sys.version_info < (3, 14) else None
)
EAGER_TASKS: Any = getattr(tasks, "_eager_tasks", ())


class Host:
    """One computer of a universe. Made by `Universe.host`.

    name: as other hosts resolve it. up: it has not crashed. paused: it stands still, as a machine that swaps does.
    """

    # How it begins. Universes are made by the thousand, and most hosts stay so.
    skew_ns = 0
    up = True
    paused = False
    on_task: Callable[[Any], None] | None = None
    task: Any = None
    watcher: Watcher | None = None
    booted = False
    frozen = False  # the universe ends
    armed = True  # faults may befall its program
    quiet = False  # nothing was left when its program had ended
    _machine: Machine | None = None
    _falls: bool | None = None  # it crashes as soon as its turn has ended; True: its power fails

    def __init__(self, universe: Universe[Any], world: World, name: str, main: Callable[[], Any] | None) -> None:
        self.universe = universe
        self.world = world
        self.name = name
        self.main = main
        self.number = len(universe.hosts) + 1
        self.boot_ns = BOOT_NS * self.number
        if main is not None:
            self._machine = world.network.add(name)

    @property
    def machine(self) -> Machine:
        """The computer as the network knows it."""
        if self._machine is None:
            self._machine = self.world.network.machines[self.name]
        return self._machine

    def boot(self) -> None:
        """Switch it on: a fresh loop, and the host's own program on it."""
        self.booted = self.up = True
        if self.main is not None:
            self.machine.up = True
        if self.paused:
            self.paused = False
        self.world.pids += 1
        self.pid = self.world.pids
        self.poll = Poll(self.world.kernel, self.name, self.main is not None, self.boot_ns)
        faults = self.universe.faults
        kinds = {} if faults is None else faults.kinds
        self.loop: UniverseFate = LOOPS["timer" in kinds, RELAXED in kinds](self, self.poll)
        if self.watcher is not None:
            self.watcher = None
        watched = "cancel" in kinds or "stall" in kinds or (self.universe.judged and bool(kinds))
        if self.universe.promises or watched or self.world.kernel.history is not None:
            self.watch()

        if self.main is not None:
            self.task = self.inside(lambda: self.loop.create_task(self.main(), name="main"))  # type: ignore[misc]
            self.task.add_done_callback(self._ended)

    def _ended(self, task: Any) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.universe.note("exception", f"{type(error).__name__}: {error}", error, self.name)

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
            jump = kernel.decisions.decide("clock " + self.name, 13, faults.kinds["clock"], kernel.now)
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

    def delay_of_job(self) -> int:
        """How late an executor's job begins, in nanoseconds."""
        faults = self.universe.faults
        if faults is None or "job" not in faults.kinds:
            return 0
        kernel = self.world.kernel
        steps = kernel.decisions.decide("job " + self.name, LATENCY_STEPS, faults.kinds["job"], kernel.now)
        return steps * LATENCY_STEP_NS

    def delay_of_timer(self) -> float:
        """How much later than it was meant a timer is set, in seconds: whoever sets it has computed that long."""
        faults, kernel = self.universe.faults, self.world.kernel
        assert faults is not None
        if not self.armed:
            return 0.0
        label = "timer " + self.name
        return kernel.decisions.decide(label, LATENCY_STEPS, faults.kinds["timer"], kernel.now) * LATENCY_STEP_NS / 1e9

    def overtake(self, bound: int) -> int:
        """With which callback before it, counted backwards, one that is called soon changes places; 0: none."""
        faults, kernel = self.universe.faults, self.world.kernel
        assert faults is not None
        return kernel.decisions.decide(f"{RELAXED} {self.name}", bound, faults.kinds[RELAXED], kernel.now)

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

    # -- its turn ---------------------------------------------------------------------------------------------------

    def runnable(self) -> bool:
        """Whether it has anything to do now."""
        poll, loop = self.poll, self.loop
        if not self.up or self.paused or self.frozen or self.world.host is self:  # it runs already, and blocks
            return False
        if not poll.asleep or poll.woken or poll.hot:
            return True
        return poll.wake <= self.world.kernel.now or len(loop._queue) > loop._head

    def inside(self, call: Callable[[], Any]) -> Any:
        """Call something as if this host ran: its clock, its addresses, its loop."""
        world, loop = self.world, self.loop
        before_host, before_loop, hooks = world.host, events._get_running_loop(), sys.get_asyncgen_hooks()
        thread = loop._thread_id
        world.host = self
        place = loop.place.enter()
        loop._thread_id = get_ident()
        sys.set_asyncgen_hooks(firstiter=loop._asyncgen_firstiter_hook, finalizer=loop._asyncgen_finalizer_hook)
        events._set_running_loop(loop)
        try:
            return call()
        finally:
            events._set_running_loop(before_loop)
            sys.set_asyncgen_hooks(*hooks)
            loop._thread_id = thread
            world.host = before_host
            place.enter()

    def turn(self) -> None:
        """One turn of its loop."""
        self.poll.asleep = False
        self.inside(self.loop.full_turn)
        if self._falls is not None:
            power, self._falls = self._falls, None
            self.crash(power)

    # -- what happens to machines -------------------------------------------------------------------------------

    def crash(self, power: bool = False) -> None:
        """End everything on it at once: nothing of it runs again, not even `finally`.

        power: the machine itself fails. Others hear nothing of it, until it is up again and knows of no connection.
            Otherwise its program dies, and the operating system closes what it had open.
        A host that crashes itself does so at the end of its present turn.
        Raises HostError for the main host, or for one that is down.
        """
        if self.main is None:
            raise HostError(f"host {self.name!r} cannot crash: it runs the test itself")
        self._check_booted()
        if self.world.host is self:
            self._falls = power
            return
        self.up = False
        self.machine.up = not power
        for task in self.pending():
            task._log_destroy_pending = False
            if not dead.lay_to_rest(task.get_coro()):
                self.universe.dead.append(task)
        for transport in self.transports():
            self.universe.dead.append(transport._sock)
            transport._sock, transport._closing = None, True  # it would warn that nobody has closed it
        for process in self.loop.processes.values():
            process.forget()
        self.universe.dead.append(self.loop)
        self.loop._closed = True
        if self.world.threads is not None:
            self.world.threads.crash(self)
        kernel = self.world.kernel
        for number, end in list(kernel.ends.items()):
            if end.host is self.machine:
                del kernel.ends[number]
                holders.abandon(self.world, end, power)
        if kernel.history is not None:
            kernel.history.append((kernel.now, "crash", self.name))

    def restart(self) -> None:
        """Switch it on again: its program begins anew, and remembers nothing. Raises HostError if it is up."""
        if self.up:
            raise HostError(f"host {self.name!r} is up: crash it first")
        self.boot()

    def pause(self) -> None:
        """Have it stand still: its program does not run, and what comes waits.

        Raises HostError for the main host, or for one that is down.
        """
        if self.main is None:
            raise HostError(f"host {self.name!r} cannot be paused: it runs the test itself")
        self._check_booted()
        self.paused = True

    def resume(self) -> None:
        """Let it go on."""
        self.paused = False
        self.poll.asleep = False

    def signal(self, number: int) -> None:
        """Send its program a signal: calls the handler that it gave to `loop.add_signal_handler` or `signal.signal`.

        Raises HostError if it has given none, and the signal would end it; if it is down; for what is no signal.
        """
        self._check_booted()
        if not isinstance(number, int) or not 1 <= number < NSIG:
            raise HostError(f"a signal is a number such as signal.SIGTERM, not {number!r}")
        signals.send(self, number)

    def _check_booted(self) -> None:
        if not self.booted:
            raise HostError(f"host {self.name!r} is not up yet: it begins when the universe does")
        if not self.up:
            raise HostError(f"host {self.name!r} is down: restart it first")

    # -- its end ----------------------------------------------------------------------------------------------------

    def pending(self) -> list[Any]:
        """The tasks that have not ended, in the order in which they were made."""
        loop = self.loop
        if ALL_TASKS is None:
            found = tasks.all_tasks(loop)
        elif not ALL_TASKS and not EAGER_TASKS:  # not one in the process, as after most programs
            return []
        else:  # most are of universes that have ended, and done: `all_tasks` looks at their loops first
            there = [task for task in (*ALL_TASKS, *EAGER_TASKS) if not task.done()]
            found = {task for task in there if task.get_loop() is loop}
        return sorted(found, key=hash)  # they hash by number

    def transports(self) -> list[Any]:
        """The transports that are there."""
        loop = self.loop
        return list(loop._transports.values()) if "_transports" in loop.made else []

    def connections(self) -> list[Any]:
        """The transports that nobody has closed."""
        return [transport for transport in self.transports() if not transport.is_closing()]

    def is_clean(self) -> bool:
        """Whether nothing can be left of its program, as after most."""
        loop = self.loop
        return self.quiet and not (loop.signals or loop._timers.count or self.world.kernel.ends)

    def disarm(self) -> None:
        """The program has ended: no fault befalls it any more."""
        self.on_task = None
        self.armed = False
        if self.watcher is not None:
            self.watcher.disarm()

    def settle(self) -> None:
        """Let what is on its way arrive: the other end of what the program has just closed."""
        kernel = self.world.kernel
        for count in range(SETTLE):
            if not self.pending() and not self.connections() and not any(leftovers.handlers(self)):
                self.quiet = True
                break
            wait, arrives = 0.02 if count else 1e-9, kernel.next_event()
            if arrives != NEVER:  # it may be late, or on a network that is cut
                wait = max(wait, (arrives - kernel.now + 1) / 1e9)
            self.loop.run_until_complete(asyncio.sleep(wait))

    def end(self) -> None:
        """Cancel every task, close every connection, run the loop until all have ended, and close it."""
        if not self.booted or not self.up:
            return
        loop = self.loop
        self.poll.driven = False
        self.world.host = self
        loop.place.enter()
        for process in loop.processes.values():
            process.forget()
        try:
            for _ in range(0 if self.quiet and not self.transports() else SETTLE):
                left = self.pending()
                for task in left:
                    task.cancel()
                for transport in self.connections():
                    transport.abort()
                if left:
                    with contextlib.suppress(
                        SystemExit
                    ):  # it comes through one task after another, as in `asyncio.run`
                        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
                elif self.transports():
                    loop.run_until_complete(asyncio.sleep(0))
                else:
                    break
            if "_asyncgens" in loop.made:
                loop.run_until_complete(loop.shutdown_asyncgens())
        except StuckError:  # one that will not be cancelled
            if self.main is None:
                self.universe.deaf += [leftovers.of_task(task) for task in self.pending()]
        finally:
            loop.close()

    def part(self) -> None:
        """The universe has ended: let go of what refers back."""
        if self.booted:
            self.loop.place.part()
        self.world = self.universe = self.loop = self.poll = _ENDED
        self.task = self.watcher = self.on_task = None

    def __repr__(self) -> str:
        state = "up" if self.up else "down"
        return f"<Host {self.name!r} at {addresses_of(self.number)[0]}, {'paused' if self.paused else state}>"


class _Ended:
    """What a host has in place of a loop, and all else of its universe, when that has ended."""

    def __getattr__(self, name: str) -> NoReturn:
        raise HostError("the universe of this host has ended")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise HostError("the universe of this host has ended")


_ENDED: Any = _Ended()


class Others(Waits):
    """The hosts that run while the main one waits."""

    def __init__(self, universe: Universe[Any]) -> None:
        self.universe = universe
        self.kernel = universe.kernel
        self.world = universe.world

    def run_others(self) -> bool:
        """Give every host that has something to do a turn; which begins is decided."""
        ready = [host for host in self.universe.hosts.values() if host.main is not None and host.runnable()]
        threads = self.world.threads
        worked = threads is not None and threads.current is None and bool(threads.workers) and threads.run_ready()
        if not ready:
            return worked
        kernel = self.kernel
        if len(ready) > 1 and kernel.order > 0.0:
            first = kernel.decisions.decide("order hosts", len(ready), kernel.order, kernel.now)
            ready = ready[first:] + ready[:first]
        for host in ready:
            if host.runnable():
                host.turn()
        return True

    def next_wake(self) -> int:
        """When the first of them wants to go on."""
        wakes = [
            h.poll.wake
            for h in self.universe.hosts.values()
            if h.main is not None and h.up and not h.paused and not h.frozen
        ]
        wake = min(wakes, default=NEVER)
        return wake if self.world.threads is None else min(wake, self.world.threads.next_wake())
