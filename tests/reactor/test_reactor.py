"""The reactor without Twisted: running, stopping, time, threads and system events."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support import DEADLINE, printed

from fate.defer import Deferred
from fate.errors import LoopClosedError
from fate.reactor import ProcessProtocol, Reactor
from fate.reactor.errors import (
    AlreadyCalled,
    AlreadyCancelled,
    DelayError,
    ReactorAlreadyRunning,
    ReactorNotRestartable,
    ReactorNotRunning,
)


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    made.loop.set_exception_handler(lambda loop, context: reports.append(context))
    reports: list[dict[str, Any]] = []
    made.reports = reports  # type: ignore[attr-defined]
    yield made
    if not made.loop.is_closed():
        made.loop.close()


def test_importing_it_makes_no_loop_and_no_twisted() -> None:
    source = """
    import sys
    from fate import reactor
    from fate.reactor import Protocol, Factory
    print(reactor._reactor, 'fate.loop' in sys.modules, 'twisted' in sys.modules)
    """
    assert printed(source) == "None False False"


def test_the_module_is_the_reactor() -> None:
    source = """
    from fate import reactor
    came = []
    reactor.callLater(0.01, came.append, "called")
    reactor.callLater(0.02, reactor.stop)
    reactor.callWhenRunning(lambda: came.append(reactor.running))
    reactor.run()
    print(came, reactor.running)
    """
    assert printed(source) == "[True, 'called'] False"


def test_its_names_are_these() -> None:
    import fate.reactor

    for name in fate.reactor.__all__:
        if name != "loop":
            assert hasattr(fate.reactor, name), name
    with pytest.raises(AttributeError, match="no attribute 'listenSSL'"):
        fate.reactor.listenSSL  # noqa: B018
    if fate.reactor._reactor is not None:
        fate.reactor._reactor.loop.close()
        fate.reactor._reactor = None


def test_it_runs_once(reactor: Reactor) -> None:
    refused: list[type] = []

    def again() -> None:
        with pytest.raises(ReactorAlreadyRunning) as info:
            reactor.run()
        refused.append(info.type)
        reactor.stop()
        with pytest.raises(ReactorNotRunning):
            reactor.stop()

    with pytest.raises(ReactorNotRunning):
        reactor.stop()
    reactor.callWhenRunning(again)
    reactor.run()
    assert refused == [ReactorAlreadyRunning]
    with pytest.raises(ReactorNotRestartable):
        reactor.run()
    with pytest.raises(LoopClosedError):
        reactor.callLater(1, print)


def test_events_come_in_their_phases_and_a_deferred_is_waited_for(reactor: Reactor) -> None:
    came: list[Any] = []

    def slow() -> Deferred[None]:
        deferred: Deferred[None] = Deferred()
        deferred.addCallback(lambda _: came.append("slow"))
        reactor.callLater(0.01, deferred.callback, None)
        return deferred

    for phase in ("after", "during", "before"):
        reactor.addSystemEventTrigger(phase, "startup", lambda phase: came.append((phase, reactor.running)), phase)
        reactor.addSystemEventTrigger(phase, "shutdown", came.append, phase)
    reactor.addSystemEventTrigger("before", "shutdown", slow)
    reactor.removeSystemEventTrigger(reactor.addSystemEventTrigger("before", "startup", came.append, "removed"))
    reactor.callWhenRunning(reactor.stop)
    reactor.run()
    assert came[0] == ("before", False)
    assert came[2] == ("after", True)
    assert came[3:] == ["before", "slow", "during", "after"]


def test_a_trigger_that_raises_is_reported_and_the_others_come(reactor: Reactor) -> None:
    reactor.addSystemEventTrigger("before", "shutdown", lambda: 1 / 0)
    came: list[str] = []
    reactor.addSystemEventTrigger("during", "shutdown", came.append, "during")
    reactor.callWhenRunning(reactor.stop)
    reactor.run()
    assert came == ["during"]
    assert [type(report["exception"]) for report in reactor.reports] == [ZeroDivisionError]  # type: ignore[attr-defined]


def test_wrong_triggers_are_refused(reactor: Reactor) -> None:
    with pytest.raises(ValueError, match="no phase 'sometime'"):
        reactor.addSystemEventTrigger("sometime", "startup", print)
    with pytest.raises(TypeError, match="not callable"):
        reactor.addSystemEventTrigger("before", "startup", 3)  # type: ignore[arg-type]
    trigger = reactor.addSystemEventTrigger("before", "startup", print)
    reactor.removeSystemEventTrigger(trigger)
    for wrong in (trigger, None, (1, 2, 3)):
        with pytest.raises(ValueError, match="no trigger"):
            reactor.removeSystemEventTrigger(wrong)  # type: ignore[arg-type]


def test_timed_calls_obey_twisteds_rules(reactor: Reactor) -> None:
    came: list[str] = []
    later = reactor.callLater(0.001, came.append, "later")
    sooner = reactor.callLater(60, came.append, "sooner")
    delayed = reactor.callLater(0.001, came.append, "delayed")
    gone = reactor.callLater(0.001, came.append, "gone")
    assert later.getTime() == pytest.approx(time.time(), abs=1)
    later.reset(0.03)
    sooner.reset(0.01)
    delayed.delay(0.02)
    gone.cancel()
    assert set(reactor.getDelayedCalls()) == {later, sooner, delayed}
    with pytest.raises(AlreadyCancelled):
        gone.cancel()
    reactor.callLater(0.06, reactor.stop)
    reactor.run()
    assert came == ["sooner", "delayed", "later"]
    assert not later.active()
    with pytest.raises(AlreadyCalled):
        later.reset(1)


def test_wrong_timed_calls_are_refused(reactor: Reactor) -> None:
    with pytest.raises(ValueError, match="negative"):
        reactor.callLater(-1, print)
    with pytest.raises(TypeError, match="not callable"):
        reactor.callLater(1, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not callable"):
        reactor.callFromThread(3)  # type: ignore[arg-type]


def test_a_call_that_raises_is_reported_and_the_reactor_goes_on(reactor: Reactor) -> None:
    reactor.callLater(0, lambda: 1 / 0)
    reactor.callLater(0.001, reactor.stop)
    reactor.run()
    assert [type(report["exception"]) for report in reactor.reports] == [ZeroDivisionError]  # type: ignore[attr-defined]


def test_threads_work_for_the_reactor(reactor: Reactor) -> None:
    came: list[Any] = []
    here = threading.get_ident()

    def work() -> None:
        came.append(threading.get_ident() == here)
        reactor.callFromThread(back)

    def back() -> None:
        came.append(threading.get_ident() == here)
        reactor.deferToThread(lambda a, b: a + b, 1, b=2).addCallback(came.append).addCallback(fail)

    def fail(_: Any) -> None:
        reactor.deferToThread(lambda: 1 / 0).addErrback(lambda failure: came.append(failure.type)).addCallback(end)

    def end(_: Any) -> None:
        reactor.callInThread(lambda: 1 / 0)
        reactor.callLater(0.01, reactor.stop)

    reactor.callWhenRunning(reactor.callInThread, work)
    reactor.run()
    assert came == [False, True, 3, ZeroDivisionError]
    assert [type(report["exception"]) for report in reactor.reports] == [ZeroDivisionError]  # type: ignore[attr-defined]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_in_good_order(number: int) -> None:
    source = """
from fate import reactor
reactor.addSystemEventTrigger("during", "shutdown", print, "shutting down")
reactor.callWhenRunning(print, "running", flush=True)
reactor.run()
"""
    with subprocess.Popen([sys.executable, "-W", "error", "-c", source], stdout=-1, stderr=-1, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "running\n"
        program.send_signal(number)
        out, err = program.communicate(timeout=DEADLINE)
    assert (program.returncode, out, err) == (0, "shutting down\n", "")


def test_the_loop_is_asyncios_and_stopping_it_stops_the_reactor(reactor: Reactor) -> None:
    import asyncio

    came: list[Any] = []

    async def main() -> None:
        came.append(asyncio.get_running_loop() is reactor.loop)
        reactor.loop.stop()

    reactor.addSystemEventTrigger("during", "shutdown", came.append, "shutdown")
    reactor.callWhenRunning(lambda: came.append(bool(reactor.loop.create_task(main()))))
    reactor.run()
    assert came == [True, True, "shutdown"]


def test_a_system_exit_at_the_start_ends_the_program(reactor: Reactor) -> None:
    reactor.callWhenRunning(sys.exit, 4)
    with pytest.raises(SystemExit):
        reactor.run()
    assert not reactor.running


def test_a_system_exit_after_a_wait_at_the_end_does_not_keep_the_reactor_running(reactor: Reactor) -> None:
    waited: Deferred = Deferred()
    waited.addErrback(lambda _: None)
    reactor.addSystemEventTrigger("before", "shutdown", lambda: waited)
    reactor.addSystemEventTrigger("during", "shutdown", sys.exit, 4)
    reactor.callWhenRunning(reactor.stop)
    reactor.callLater(0.01, waited.callback, None)
    with pytest.raises(SystemExit) as caught:
        reactor.run()
    assert caught.value.code == 4
    assert not reactor.running


def test_a_system_exit_after_a_wait_at_the_start_ends_the_program(reactor: Reactor) -> None:
    waited: Deferred = Deferred()
    reactor.addSystemEventTrigger("before", "startup", lambda: waited)
    reactor.addSystemEventTrigger("after", "startup", sys.exit, 4)
    reactor.callLater(0, waited.callback, None)
    with pytest.raises(SystemExit) as caught:
        reactor.run()
    assert caught.value.code == 4


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -float("inf"), "1", None, 10**400])
def test_a_delay_that_is_no_finite_number(reactor: Reactor, seconds: Any) -> None:
    call = reactor.callLater(1, print)
    due = call.getTime()
    for f in (lambda: reactor.callLater(seconds, print), lambda: call.reset(seconds), lambda: call.delay(seconds)):
        with pytest.raises(DelayError, match="a delay is a finite number of seconds, not "):
            f()
    assert (call.active(), call.getTime()) == (True, due)


def test_a_call_cannot_be_reset_to_the_past(reactor: Reactor) -> None:
    call = reactor.callLater(1, print)
    with pytest.raises(DelayError, match="negative: -1"):
        call.reset(-1)
    assert call.active()


def test_a_call_may_be_brought_forward(reactor: Reactor) -> None:
    reactor.callLater(1000, reactor.stop).delay(-1001)  # as in Twisted
    reactor.run()


def test_no_timed_call_is_made_after_the_shutdown(reactor: Reactor) -> None:
    """Not while the ends of children and connections are told, either, which may take a while."""
    told: list[str] = []

    class Slow(ProcessProtocol):
        def outReceived(self, data: bytes) -> None:
            reactor.stop()

        def processEnded(self, reason: Any) -> None:
            told.append("ended")

    def after() -> None:
        reactor.callLater(0, told.append, "called")

    reactor.spawnProcess(Slow(), sys.executable, ["python", "-c", "print(flush=True); input()"])
    reactor.addSystemEventTrigger("after", "shutdown", after)
    reactor.run()
    assert told == ["ended"]
