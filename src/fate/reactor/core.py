"""The reactor: Twisted's names for what a Fate does.

An exception that a call raises stops nothing: it goes to the loop's exception handler, as everywhere in Fate.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from fate import singletons
from fate.loop import Fate
from fate.reactor.calls import DelayedCall, check_delay
from fate.reactor.errors import ReactorAlreadyRunning, ReactorNotRestartable, ReactorNotRunning
from fate.reactor.things import Things
from fate.reactor.triggers import TriggerID, Triggers

if TYPE_CHECKING:
    from fate.defer import Deferred
    from fate.reactor.processes import ProcessTransport
    from fate.reactor.protocols import ClientFactory, Factory, ProcessProtocol
    from fate.reactor.tcp import Connector, Port

THREADS = 10  # Twisted's number


class Reactor:
    """One reactor on one Fate; it runs once. On a host of a universe it stands on the loop that runs there."""

    def __init__(self) -> None:
        host = singletons.here()
        self._turn_while = host.turn_while
        if host.loop is None:
            self.loop = Fate()
            self.loop._ended = True  # a program that never calls run() is not warned of a loop that it never saw
        else:
            self.loop = host.loop
        self.running = False
        self._state = "new"  # running, stopping, over
        self._calls: set[DelayedCall] = set()
        self._open = Things()
        self._triggers = Triggers(self._report, self.loop.call_soon)
        self._threads: ThreadPoolExecutor | None = None

    def begin(self, loop: Fate | None) -> None:
        """It is new on a host of a universe, or in the world outside. See `fate.singletons`."""
        Reactor.__init__(self)

    def _report(self, error: BaseException) -> None:
        self.loop.call_exception_handler({"message": "Exception in a callback of the reactor", "exception": error})

    # -- running --------------------------------------------------------------------------------------------------

    def run(self, installSignalHandlers: bool = True) -> None:
        """Handle events until `stop()`; SIGINT and SIGTERM stop it too, if that is wanted and this is the main thread.

        Raises ReactorAlreadyRunning, ReactorNotRestartable; LoopRunningError inside another loop.
        """
        if self._state in ("running", "stopping"):
            raise ReactorAlreadyRunning("the reactor is running already: call run() once, at the program's end")
        if self._state == "over":
            raise ReactorNotRestartable("the reactor has been stopped, and a reactor runs once")
        if self._turn_while is None:
            self.loop._check_running()
        self._state = "running"
        signals = self._handle_signals() if installSignalHandlers else []
        try:
            before = asyncio._get_running_loop()
            asyncio._set_running_loop(self.loop)
            try:
                self._triggers.add("during", "startup", setattr, (self, "running", True), {})
                self._triggers.fire("startup")
            finally:
                asyncio._set_running_loop(before)
            self._turn()
        finally:
            self._end(signals)

    def _turn(self) -> None:
        """Turn the loop until it is over."""
        if self._turn_while is not None:
            self._turn_while(lambda: self._state != "over")
        while self._state != "over":
            self.loop.run_forever()
            if self._state == "running":  # loop.stop(), by somebody who knows only asyncio
                self.stop()

    def _handle_signals(self) -> list[int]:
        """Have SIGINT and SIGTERM stop the reactor, unless the program has handlers for them; return which do."""
        if threading.current_thread() is not threading.main_thread():
            return []
        mine = [
            number
            for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL))
            if signal.getsignal(number) is usual
        ]
        for number in mine:
            self.loop.add_signal_handler(number, self._stop_once)
        return list(mine)

    def _stop_once(self) -> None:
        if self._state == "running":
            self.stop()

    def _end(self, signals: list[int]) -> None:
        self._state = "over"
        self.running = False
        self._open.over = True
        for number in signals:
            self.loop.remove_signal_handler(number)
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        if self._turn_while is not None:
            self._end_all()
            self._turn_while(lambda: bool(self._open))  # the ends are told; the loop goes on without the reactor
            return
        try:
            self._end_all()
            tasks = asyncio.all_tasks(self.loop)
            for task in tasks:
                task.cancel()
            if tasks:
                self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            while True:
                if not self._open:
                    break
                self._end_all()  # a connection that was accepted in the last turn comes only now
                self.loop.run_until_complete(asyncio.sleep(0.001))  # the ends are told
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            self.loop.close()

    def _end_all(self) -> None:
        for thing in list(self._open):
            try:
                thing.end()
            except Exception as error:  # of a factory's stopFactory: the others are to be ended all the same
                self._report(error)

    def stop(self) -> None:
        """Fire the shutdown triggers when the present callback has returned, then have `run()` return.

        Raises ReactorNotRunning.
        """
        if self._state != "running":
            raise ReactorNotRunning("the reactor does not run, or is stopping already")
        self._state = "stopping"
        self.loop.call_soon_threadsafe(self._triggers.fire, "shutdown", self._over)

    def _over(self) -> None:
        self._state = "over"
        self.running = False
        if self._turn_while is None:
            self.loop.stop()

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Callable[..., object], *args: Any, **kw: Any
    ) -> TriggerID:
        """Have `callable(*args, **kw)` called 'before', 'during' or 'after' 'startup' or 'shutdown'.

        A Deferred that one returns in the phase 'before' is waited for. Raises ValueError, TypeError.
        """
        return self._triggers.add(phase, eventType, callable, args, kw)

    def removeSystemEventTrigger(self, triggerID: TriggerID) -> None:
        """Take a trigger back. Raises ValueError if there is no such trigger any more."""
        self._triggers.remove(triggerID)

    def fireSystemEvent(self, eventType: str) -> None:
        """Call the triggers of an event of the program's own."""
        self._triggers.fire(eventType)

    def callWhenRunning(self, callable: Callable[..., object], *args: Any, **kw: Any) -> TriggerID | None:
        """Call `callable(*args, **kw)` now if the reactor runs, else when it has started; then returns the trigger."""
        if self.running:
            callable(*args, **kw)
            return None
        return self._triggers.add("after", "startup", callable, args, kw)

    # -- time -----------------------------------------------------------------------------------------------------

    def seconds(self) -> float:
        """The time of day, in seconds since 1970."""
        return time.time()

    def callLater(self, delay: float, callable: Callable[..., object], *args: Any, **kw: Any) -> DelayedCall:
        """Call `callable(*args, **kw)` once, `delay` seconds from now; never early.

        Raises DelayError for a delay that is negative or no finite number, TypeError for what cannot be called,
        LoopClosedError after the end.
        """
        check_delay(delay)
        if not builtin_callable(callable):
            raise TypeError(f"{callable!r} is not callable")
        return DelayedCall(self, delay, callable, args, kw)

    def getDelayedCalls(self) -> list[DelayedCall]:
        """The timed calls that are still to come."""
        return list(self._calls)

    # -- threads --------------------------------------------------------------------------------------------------

    def callFromThread(self, callable: Callable[..., object], *args: Any, **kw: Any) -> None:
        """Call `callable(*args, **kw)` in the reactor's thread, soon. From any thread."""
        if not builtin_callable(callable):
            raise TypeError(f"{callable!r} is not callable")
        self.loop.call_soon_threadsafe(lambda: callable(*args, **kw))

    def _submit(self, func: Callable[..., Any], args: Any, kw: Any) -> Future[Any]:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, "fate.reactor")
        return self._threads.submit(func, *args, **kw)

    def callInThread(self, callable: Callable[..., object], *args: Any, **kw: Any) -> None:
        """Call `callable(*args, **kw)` in a thread of the pool; what it raises is reported."""

        def report(future: Future[Any]) -> None:
            error = None if future.cancelled() else future.exception()
            if error is not None:
                self.loop.call_soon_threadsafe(self._report, error)

        self._submit(callable, args, kw).add_done_callback(report)

    def deferToThread(self, f: Callable[..., Any], *args: Any, **kw: Any) -> Deferred[Any]:
        """Call `f(*args, **kw)` in a thread of the pool; the Deferred fires with what it returns or raises."""
        from fate.defer import Deferred, Failure

        deferred: Deferred[Any] = Deferred()

        def deliver(future: Future[Any]) -> None:
            error = future.exception()
            if deferred.called:
                return
            if error is not None:
                deferred.errback(Failure(error))
            else:
                deferred.callback(future.result())

        def done(future: Future[Any]) -> None:
            if not future.cancelled() and not self.loop.is_closed():
                self.loop.call_soon_threadsafe(deliver, future)

        self._submit(f, args, kw).add_done_callback(done)
        return deferred

    # -- bytes ----------------------------------------------------------------------------------------------------

    def listenTCP(self, port: int, factory: Factory, backlog: int = 50, interface: str = "") -> Port:
        """Accept connections: each gets a protocol from `factory.buildProtocol(address)`.

        port: 0 for any free one; `getHost().port` of what is returned says which.
        interface: an address of this machine, of IPv4 or IPv6; all of IPv4 by default.
        Raises CannotListenError.
        """
        from fate.reactor.tcp import Port

        return Port(self.loop, self._open, port, factory, backlog, interface)

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory,
        timeout: float = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> Connector:
        """Connect; the protocol comes from `factory.buildProtocol(address)`, failure goes to `clientConnectionFailed`.

        timeout: seconds until the attempt is given up.
        A host or a port that cannot be fails as an attempt does, with ConnectError.
        """
        from fate.reactor.tcp import Connector

        connector = Connector(self.loop, self._open, host, port, factory, timeout, bindAddress)
        connector.connect()
        return connector

    def spawnProcess(
        self,
        processProtocol: ProcessProtocol,
        executable: str,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = {},
        path: str | None = None,
        uid: int | None = None,
        gid: int | None = None,
    ) -> ProcessTransport:
        """Start a child process, whose output and end are told to `processProtocol`.

        args: its whole command line, the program's name first.
        env: its environment, empty by default, as in Twisted; None: this process's.
        path: its current directory.
        A program that cannot be started ends at once, with SpawnError for a reason.
        """
        from fate.reactor.processes import ProcessTransport

        return ProcessTransport(self.loop, self._open, processProtocol, executable, args, env, path, uid, gid)


builtin_callable = callable  # Twisted's parameter of that name hides it
