"""The reactor: Twisted's `PosixReactorBase`, whose events come from a Fate.

Everything that Twisted says a reactor does is Twisted's own code (ports, connectors, processes, threads, triggers,
signals); what this class says is where time and readiness come from. `reactor.loop` is a Fate, that is, an asyncio
event loop: both kinds of code run in one thread and may call, await and stop each other. By name the class derives from
Twisted's asyncio reactor, because that is what programs ask for when they want to know whether asyncio works here; it
uses nothing of it.

It must stay a plain class with a `__dict__`, and state must stay in that: Twisted's own tests exchange both.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet import process
from twisted.internet._signals import _WithSignalHandling
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorFDSet,
    IReadDescriptor,
    IWriteDescriptor,
)
from twisted.internet.main import installReactor
from twisted.internet.posixbase import PosixReactorBase, _ContinuousPolling
from twisted.logger import LogEvent, Logger, LogLevel, globalLogBeginner, globalLogPublisher, textFileLogObserver
from zope.interface import implementer

from fate import singletons
from fate.errors import LoopRunningError
from fate.loop import Fate
from fate.tx._delayed import DelayedCall, callLater
from fate.tx._descriptors import Descriptors
from fate.tx.errors import ReactorInstalledError

__all__ = ["FateReactor", "install_reactor"]

NAME = "twisted.internet.reactor"

log = Logger("twisted.internet.base")


class Signals:
    """Signals while the reactor runs: Twisted's handlers for those that stop it, and the loop's for children's deaths.

    The loop's, because asyncio's own signal handlers go on working beside it then: a process has one place where
    signals wake a loop up, and Twisted's handling would take it.
    """

    def __init__(self, reactor: FateReactor) -> None:
        self.loop = reactor.loop
        self.stoppers = _WithSignalHandling(reactor.sigInt, reactor.sigBreak, reactor.sigTerm)
        self.installed = False

    def install(self) -> None:
        """Install the handlers; reap the children that have ended before."""
        self.stoppers.install()
        self.loop.add_signal_handler(signal.SIGCHLD, process.reapAllProcesses)
        self.installed = True
        process.reapAllProcesses()

    def uninstall(self) -> None:
        """Take back what concerns children. SIGINT and SIGTERM stay as they are, as they do with Twisted."""
        if self.installed and not self.loop.is_closed():
            self.loop.remove_signal_handler(signal.SIGCHLD)
        self.installed = False


class HostSignals:
    """Signals in a universe: those that its hosts are sent, which are the loop's affair."""

    def __init__(self, reactor: FateReactor) -> None:
        self.reactor = reactor

    def install(self) -> None:
        """SIGINT and SIGTERM stop the reactor."""
        for number, stop in ((signal.SIGINT, self.reactor.sigInt), (signal.SIGTERM, self.reactor.sigTerm)):
            self.reactor.loop.add_signal_handler(number, stop, number, None)

    def uninstall(self) -> None:
        """No longer."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self.reactor.loop.remove_signal_handler(number)


@implementer(IReactorFDSet)
class FateReactor(AsyncioSelectorReactor):
    """Twisted's reactor on a Fate.

    loop: the Fate to stand on; by default the one that runs in this thread, else a new one.
    """

    loop: Fate

    def __init__(self, loop: Fate | None = None) -> None:
        if loop is None:
            running = asyncio._get_running_loop()
            if isinstance(running, Fate):
                loop = running
            else:
                loop = Fate()
                loop._ended = True  # a reactor is never closed, so neither is its loop, and nobody is to be warned
        self.loop = loop
        self.guest = False  # the loop is not the reactor's own: it goes on when the reactor stops
        self._descriptors = Descriptors(self, loop)
        self._continuous = _ContinuousPolling(self)
        self._threadCallsDue = False
        PosixReactorBase.__init__(self)  # past the asyncio reactor, here and below

    def begin(self, loop: Fate | None) -> None:
        """It is new on a host of a universe, or in the world outside. See `fate.singletons`."""
        type(self).__init__(self, loop)
        if loop is not None:
            tell_errors()

    @property
    def _asyncioEventloop(self) -> Fate:  # type: ignore[override]  # programs ask the asyncio reactor for it
        return self.loop

    # -- running --------------------------------------------------------------------------------------------------

    def run(self, installSignalHandlers: bool = True) -> None:
        """Run until `stop()`.

        In a universe it may be called inside the loop, which runs there from the beginning.
        Raises Twisted's ReactorAlreadyRunning and ReactorNotRestartable; LoopRunningError inside a running loop.
        """
        if singletons.here().loop is self.loop:
            self.guest = True
        elif not self._started and not self._startedBefore and self.loop.is_running():
            raise LoopRunningError(
                "The reactor's loop is running already, and the reactor with it once reactor.startRunning() was called:"
                " await, or leave run() out"
            )
        PosixReactorBase.run(self, installSignalHandlers=installSignalHandlers)

    def startRunning(self, installSignalHandlers: bool = True) -> None:
        """Fire the startup triggers; asyncio's functions find the loop in them as if it ran already.

        For those who run the loop themselves; `run` calls it.
        """
        if asyncio._get_running_loop() is not None:
            PosixReactorBase.startRunning(self, installSignalHandlers=installSignalHandlers)
            return
        asyncio._set_running_loop(self.loop)
        try:
            PosixReactorBase.startRunning(self, installSignalHandlers=installSignalHandlers)
        finally:
            asyncio._set_running_loop(None)

    def mainLoop(self) -> None:
        """Turn the loop until `crash()`."""
        turn_while = singletons.here().turn_while
        if self.guest and turn_while is not None:
            turn_while(lambda: self._started)
        while self._started:
            self.loop.run_forever()
            if self._started and not self._stopped:  # loop.stop(), by somebody who knows only asyncio
                self.stop()
        log.info("Main loop terminated.")

    def stop(self) -> None:
        """Stop: the shutdown triggers are fired when the present callback has returned, then `run()` returns.

        Raises ReactorNotRunning.
        """
        PosixReactorBase.stop(self)
        self.loop.call_soon_threadsafe(self._shutDown)

    def _shutDown(self) -> None:
        if self._justStopped:
            self._justStopped = False
            self.fireSystemEvent("shutdown")

    def crash(self) -> None:
        """Have `run()` return at once, without the shutdown triggers."""
        PosixReactorBase.crash(self)
        if self.loop.is_running() and not self.guest:
            self.loop.stop()

    def iterate(self, delay: float = 0.0) -> None:
        """Make one turn: wait at most `delay` seconds, and not at all if anything is due, and call what is."""
        if self.loop.is_running():
            self._turn(delay)
        else:
            self.loop.call_soon(self._turn_once, delay)
            self.loop.run_forever()

    def _turn(self, delay: float | None) -> None:
        loop = self.loop
        bound = None
        if delay is not None:
            bound = loop.call_later(delay, _nothing) if delay > 0 else loop.call_soon(_nothing)
        loop.full_turn()
        if bound is not None:
            bound.cancel()

    def _turn_once(self, delay: float | None) -> None:
        self._turn(delay)
        self.loop.stop()

    def doIteration(self, delay: float | None) -> None:
        """Make one turn; `delay` None: wait for as long as it takes."""
        if self.loop.is_running():
            self._turn(delay)
        else:
            self.loop.call_soon(self._turn_once, delay)
            self.loop.run_forever()

    def runUntilCurrent(self) -> None:
        """Call everything that is due; do not wait."""
        self.iterate(0)

    def _signalsFactory(self) -> Any:
        return HostSignals(self) if self.guest else Signals(self)

    # -- time -----------------------------------------------------------------------------------------------------

    callLater = callLater

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """The timed calls that are still to come."""
        calls: list[Any] = [
            handle for handle in self.loop.scheduled() if isinstance(handle, DelayedCall) and handle.active()
        ]
        return calls

    def timeout(self) -> float | None:
        """Seconds until the next timed call is due; None without one."""
        calls: Sequence[Any] = self.getDelayedCalls()
        dues = [call.getTime() for call in calls]
        return max(0.0, min(dues) - self.seconds()) if dues else None

    # -- threads --------------------------------------------------------------------------------------------------

    def callFromThread(  # type: ignore[override]  # the name of `f` is that of Twisted's base class
        self,
        f: Callable[..., Any],
        *args: object,
        **kwargs: object,
    ) -> None:
        """Call `f(*args, **kwargs)` in the reactor's thread, soon. From any thread or signal handler.

        Raises AssertionError, as Twisted does, if `f` cannot be called.
        """
        assert callable(f), f"{f} is not callable"
        self.threadCallQueue.append((f, args, kwargs))
        if not self._threadCallsDue:
            self._threadCallsDue = True
            self.loop.call_soon_threadsafe(self._runThreadCalls)

    def _runThreadCalls(self) -> None:
        """Make the calls that are there now; those that they add come after whatever else they schedule."""
        queue = self.threadCallQueue
        count = len(queue)
        for f, args, kwargs in queue[:count]:
            try:
                f(*args, **kwargs)
            except BaseException:  # as Twisted's reactors: nothing that a call raises stops the reactor
                log.failure("while calling from thread")
        del queue[:count]
        self._threadCallsDue = False
        if queue and not self._threadCallsDue:
            self._threadCallsDue = True
            self.loop.call_soon_threadsafe(self._runThreadCalls)

    def wakeUp(self) -> None:
        """Make a waiting reactor turn. From any thread."""
        self.loop.call_soon_threadsafe(_nothing)

    def installWaker(self) -> None:
        """The loop has one."""

    # -- descriptors ----------------------------------------------------------------------------------------------

    def addReader(self, reader: IReadDescriptor) -> None:
        """Have `reader.doRead()` called whenever its descriptor is readable."""
        try:
            self._descriptors.add_reader(reader)
        except PermissionError:  # a regular file, always ready, which epoll does not take
            self._continuous.addReader(reader)

    def addWriter(self, writer: IWriteDescriptor) -> None:
        """Have `writer.doWrite()` called whenever its descriptor is writable."""
        try:
            self._descriptors.add_writer(writer)
        except PermissionError:
            self._continuous.addWriter(writer)

    def removeReader(self, reader: IReadDescriptor) -> None:
        """No longer."""
        self._descriptors.remove_reader(reader)
        if self._continuous._readers:
            self._continuous.removeReader(reader)

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        """No longer."""
        self._descriptors.remove_writer(writer)
        if self._continuous._writers:
            self._continuous.removeWriter(writer)

    def removeAll(self) -> list[IReadDescriptor | IWriteDescriptor]:
        """Remove all readers and writers; return them."""
        removed = self._removeAll(self._descriptors.readers(), self._descriptors.writers())  # type: ignore[no-untyped-call]
        every: list[Any] = [*removed, *self._continuous.removeAll()]
        return every

    def getReaders(self) -> list[IReadDescriptor]:
        """All readers."""
        return [*self._descriptors.readers(), *self._continuous.getReaders()]

    def getWriters(self) -> list[IWriteDescriptor]:
        """All writers."""
        return [*self._descriptors.writers(), *self._continuous.getWriters()]


def _nothing() -> None:
    pass


def tell_errors() -> None:
    """Have what Twisted logs as an error in a universe reach the loop's exception handler, and so count there."""
    if globalLogBeginner._temporaryObserver is not None:  # nobody logs yet: critical events would go to stderr
        globalLogBeginner.beginLoggingTo([_tell_stderr], True, False)  # type: ignore[list-item]
    globalLogPublisher.addObserver(_tell_error)  # type: ignore[arg-type]  # once, however often


def _tell_error(event: LogEvent) -> None:
    loop, failure = singletons.here().loop, event.get("log_failure") or event.get("failure")
    if loop is not None and failure is not None:
        loop.call_exception_handler({"message": "Twisted logged an error", "exception": failure.value})


def _tell_stderr(event: LogEvent) -> None:
    """If the reactor has never run, what is logged is of a universe that has ended, and whose garbage is collected."""
    reactor: Any = sys.modules.get(NAME)
    ran = reactor is not None and (reactor._started or reactor._startedBefore)
    if ran and singletons.here().loop is None and event["log_level"] is LogLevel.critical:
        textFileLogObserver(sys.stderr)(event)


def install_reactor(loop: Fate | None = None) -> FateReactor:
    """What `fate.tx.install` does, but for the Deferreds."""
    installed = sys.modules.get(NAME)
    if isinstance(installed, FateReactor):
        if loop is not None and loop is not installed.loop:
            raise ReactorInstalledError(f"a FateReactor is installed already, on another loop: {installed.loop!r}")
        return installed
    if installed is not None:
        raise ReactorInstalledError(
            f"{type(installed).__name__} is installed already: call fate.tx.install() before anything imports"
            " twisted.internet.reactor, or run the program with `fate run`"
        )
    reactor = FateReactor(loop)
    installReactor(reactor)
    singletons.add(reactor)
    if singletons.here().loop is not None:
        tell_errors()
    if asyncio._get_running_loop() is None:
        asyncio.set_event_loop(reactor.loop)
    return reactor


install = install_reactor  # Twisted's rule: the module of a reactor's class has it; trial has child processes call it
