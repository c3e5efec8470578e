"""The Fate of a host in a universe: the engine and asyncio's own code, on the simulated kernel.

What differs from a Fate in the real world is what would leave the universe: there is no self-pipe and no real signal,
names are looked up in the universe's table, children and real pipes are refused. Tasks get names and numbers that are
the same in every run.
"""

from __future__ import annotations

import os
from asyncio import coroutines, tasks
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fate.core.engine import Instrument
from fate.loop import Fate
from fate.makers import Makers
from fate.sim import fresh, names
from fate.sim.errors import HostError, UniverseError, UnsimulatedError, unsimulated
from fate.sim.kernel import Poll
from fate.sim.story import note_maker
from fate.singletons import Place

if TYPE_CHECKING:
    from fate.sim.hosts import Host
    from fate.sim.played import Process

CHUNK = 64 * 1024
MOST_OVERTAKEN = 4  # so many callbacks that wait may change places with a new one


class UniverseFate(Fate):
    """One host's event loop. Made by `Host`."""

    processes: Mapping[int, Process] = MappingProxyType({})  # children that are played, by their numbers
    if TYPE_CHECKING:
        made: frozenset[str]  # see `fresh.Fresh`
        _transports: Any
        _asyncgens: Any
        _selector: Any
        _default_executor: Any
        _exception_handler: Any
        _task_factory: Any

    def __init__(self, host: Host, poll: Poll) -> None:
        self.host = host
        self._task_number = 0
        self.made_tasks = False  # others than the first
        self.handlers: dict[int, Any] = {}  # of `signal.signal`
        self.signals: dict[int, tuple[Callable[..., object], tuple[Any, ...]]] = {}
        self.reports: list[dict[str, Any]] = []
        self.place = Place(self, self.turn_while)
        self._prepare()
        Makers.__init__(self, poll, poll.read_clock)
        self._selector = poll
        self._current_handle = None
        if coroutines._is_debug_mode():  # type: ignore[attr-defined]
            self.set_debug(True)

    def turn_while(self, going: Callable[[], bool]) -> None:
        """Turn, from inside a callback or a task of this loop, while `going()` is true.

        Raises HostError on any host but the main one: theirs turn while the main one waits.
        """
        if self.host.main is not None:
            raise HostError(
                f"host {self.host.name!r} cannot run a reactor by run(), which would block all others: "
                "have its main function `await fate.tx.run(...)`, or run it on the main host"
            )
        task = tasks.current_task(self)
        if task is not None:
            tasks._leave_task(self, task)
        try:
            while True:
                if not going():
                    break
                self.full_turn()
        finally:
            if task is not None:
                tasks._enter_task(self, task)

    def close(self) -> None:
        """As asyncio's. Most loops of a universe have nothing to let go of but their poll."""
        if self._closed or self._debug or self._lit or self._default_executor or self._names or self._thread_id:
            super().close()
            return
        self._closed = self._executor_shutdown_called = True
        self._selector.close()
        self._selector = None
        self._forget_all()

    # -- no self-pipe, no real signals ----------------------------------------------------------------------------

    def _make_self_pipe(self) -> None:
        pass

    def _close_self_pipe(self) -> None:
        pass

    def _write_to_self(self) -> None:
        self.host.poll.woken = True

    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> None:  # type: ignore[override]
        """Have `host.signal(sig)` call it: no real signal ever comes to a universe."""
        self.signals[sig] = (callback, args)

    def remove_signal_handler(self, sig: int) -> bool:
        """Let go of it; say whether there was one."""
        return self.signals.pop(sig, None) is not None

    # -- tasks ----------------------------------------------------------------------------------------------------

    def create_task(self, coro: Any, *, name: Any = None, **kwargs: Any) -> Any:
        """As asyncio's; a task without a name gets one that is the same in every run."""
        if name is None:
            self._task_number += 1
            name = f"Task-{self._task_number}"
        if self._task_factory is None and not self._debug and not self._closed:
            task = (
                tasks.Task(coro, loop=self, name=name, **kwargs) if kwargs else tasks.Task(coro, loop=self, name=name)
            )
        else:
            task = super().create_task(coro, name=name, **kwargs)
        if name != "main":
            self.made_tasks = True
            note_maker(task)
        if self.host.on_task is not None:
            self.host.on_task(task)
        return task

    # -- names ----------------------------------------------------------------------------------------------------

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Any]:
        """As asyncio's; the universe answers."""
        if host is not None and not names.family_of(str(host)):
            await self.host.ask_names_later(str(host))
        return names.look_up(self.host.machine, host, port, family, type, proto, flags)

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """As asyncio's; the universe answers."""
        return names.getnameinfo(sockaddr, flags)

    # -- threads --------------------------------------------------------------------------------------------------

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """As asyncio's; a job may begin late."""
        ns = self.host.delay_of_job()
        if not ns:
            return super().run_in_executor(executor, func, *args)

        def late(*args: Any) -> Any:
            self.host.world.sleep(ns)
            return func(*args)

        return super().run_in_executor(executor, late, *args)

    # -- files, children, pipes -------------------------------------------------------------------------------------

    def _send_part(self, sock: Any, file: int, place: int, size: int) -> int:
        data = os.pread(file, min(size, CHUNK), place)
        return sock.send(data) if data else 0

    async def _make_subprocess_transport(self, *args: Any, **options: Any) -> Any:
        from fate.sim import played  # which few programs need

        return await played.start(self, *args, **options)

    async def connect_read_pipe(self, protocol_factory: Any, pipe: Any) -> Any:
        """As asyncio's, for a socket; a pipe of the real world is refused."""
        self._check_simulated(pipe, "loop.connect_read_pipe()")
        return await super().connect_read_pipe(protocol_factory, pipe)

    async def connect_write_pipe(self, protocol_factory: Any, pipe: Any) -> Any:
        """As asyncio's, for a socket; a pipe of the real world is refused."""
        self._check_simulated(pipe, "loop.connect_write_pipe()")
        return await super().connect_write_pipe(protocol_factory, pipe)

    def _check_simulated(self, pipe: Any, call: str) -> None:
        if pipe.fileno() not in self.host.world.kernel.ends:
            raise unsimulated(f"{call} of a real pipe", "use a socket of socket.socketpair()")

    def _instrument_failed(self, instrument: Instrument, error: Exception) -> None:
        if isinstance(error, UniverseError):
            raise error
        super()._instrument_failed(instrument, error)

    # -- reports --------------------------------------------------------------------------------------------------

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """As asyncio's; what comes without a handler of the program's is kept for the universe's result."""
        self.reports.append(context)
        if isinstance(context.get("exception"), UnsimulatedError) or self._exception_handler is not None:
            super().call_exception_handler(context)


fresh.give(UniverseFate)


class RelaxedFate(UniverseFate):
    """A loop that may call what `call_soon` was given before what it was given earlier: asyncio promises not to."""

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        """As asyncio's; what waits already may come later."""
        handle = super().call_soon(callback, *args, context=context)
        queue = self._queue
        last = len(queue) - 1
        waiting = min(last - self._head, MOST_OVERTAKEN)
        if waiting > 0:
            back = self.host.overtake(waiting + 1)
            if back:
                queue[last], queue[last - back] = queue[last - back], queue[last]
        return handle


class LateFate(UniverseFate):
    """A loop on which time may pass in the step that sets a timer by `call_later`, before it does.

    One that is set for a moment, by `call_at`, is due at that moment: timers fire in the order of their times.
    """

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        """As asyncio's; it may be set late."""
        late = self.host.delay_of_timer()
        return super().call_later(delay + late if late else delay, callback, *args, context=context)


class LateRelaxedFate(LateFate, RelaxedFate):  # type: ignore[misc]
    """Both."""


LOOPS: dict[tuple[bool, bool], type[UniverseFate]] = {
    (False, False): UniverseFate,
    (False, True): RelaxedFate,
    (True, False): LateFate,
    (True, True): LateRelaxedFate,
}
"""The loop of a host by whether its timers may be late, and whether it may change the order of call_soon."""
