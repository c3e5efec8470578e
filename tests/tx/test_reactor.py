"""The reactor runs, stops and shares its loop and thread with asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet import interfaces
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import ReactorAlreadyRunning, ReactorNotRestartable, ReactorNotRunning
from twisted.internet.threads import deferToThreadPool
from zope.interface.verify import verifyObject

from fate import Fate
from fate.errors import LoopRunningError
from fate.tx import FateReactor

Run = Callable[..., None]

INTERFACES = [
    interfaces.IReactorCore,
    interfaces.IReactorTime,
    interfaces.IReactorFDSet,
    interfaces.IReactorTCP,
    interfaces.IReactorUDP,
    interfaces.IReactorMulticast,
    interfaces.IReactorUNIX,
    interfaces.IReactorUNIXDatagram,
    interfaces.IReactorSSL,
    interfaces.IReactorProcess,
    interfaces.IReactorThreads,
    interfaces.IReactorSocket,
]


@pytest.mark.parametrize("interface", INTERFACES, ids=lambda interface: interface.__name__)
def test_it_is_everything_a_reactor_can_be(reactor: FateReactor, interface: Any) -> None:
    assert interface.providedBy(reactor)
    verifyObject(interface, reactor)


def test_its_class_and_state_can_be_exchanged(reactor: FateReactor) -> None:
    other = FateReactor(reactor.loop)
    other.__dict__ = reactor.__dict__
    other.__class__ = FateReactor
    call = other.callLater(1, lambda: None)
    assert reactor.getDelayedCalls() == [call]


def test_asyncio_finds_the_reactors_loop_running(reactor: FateReactor, run: Run) -> None:
    found: list[Any] = []

    async def main() -> None:
        found.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        reactor.stop()

    run(lambda: found.append(reactor.loop.create_task(main())))
    assert found[1] is reactor.loop


def test_twisted_awaits_asyncio(reactor: FateReactor, run: Run) -> None:
    came: list[str] = []

    async def asyncios() -> str:
        await asyncio.sleep(0.001)
        return "from asyncio"

    async def twisteds() -> None:
        came.append(await Deferred.fromFuture(asyncio.ensure_future(asyncios())))
        reactor.stop()

    run(lambda: ensureDeferred(twisteds()))
    assert came == ["from asyncio"]


def test_asyncio_awaits_twisted(reactor: FateReactor, run: Run) -> None:
    came: list[str] = []

    async def main() -> None:
        deferred: Deferred[str] = Deferred()
        reactor.callLater(0.001, deferred.callback, "from Twisted")
        came.append(await deferred.asFuture(asyncio.get_running_loop()))
        reactor.stop()

    run(lambda: came.append(str(reactor.loop.create_task(main()).done())))
    assert came == ["False", "from Twisted"]


def test_a_future_cancels_the_deferred_that_it_stands_for_and_back(reactor: FateReactor, run: Run) -> None:
    cancelled: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        deferred: Deferred[None] = Deferred(lambda _: cancelled.append("Deferred"))
        deferred.asFuture(loop).cancel()
        future: asyncio.Future[None] = loop.create_future()
        other = Deferred.fromFuture(future)
        other.addErrback(lambda failure: cancelled.append("failure"))
        other.cancel()
        await asyncio.sleep(0.001)
        if future.cancelled():
            cancelled.append("Future")
        reactor.stop()

    run(lambda: cancelled.append(str(reactor.loop.create_task(main()).done())))
    assert sorted(cancelled) == ["Deferred", "False", "Future", "failure"]


def test_stopping_the_loop_shuts_the_reactor_down_in_good_order(reactor: FateReactor, run: Run) -> None:
    came: list[str] = []
    reactor.addSystemEventTrigger("before", "shutdown", came.append, "before")
    reactor.addSystemEventTrigger("after", "shutdown", came.append, "after")
    run(reactor.loop.stop)
    assert came == ["before", "after"]


def test_shutdown_waits_for_a_deferred_of_a_trigger(reactor: FateReactor, run: Run) -> None:
    came: list[str] = []

    def before() -> Deferred[None]:
        deferred: Deferred[None] = Deferred()
        deferred.addCallback(lambda _: came.append("waited"))
        reactor.callLater(0.01, deferred.callback, None)
        return deferred

    reactor.addSystemEventTrigger("before", "shutdown", before)
    reactor.addSystemEventTrigger("during", "shutdown", came.append, "during")
    run(reactor.stop)
    assert came == ["waited", "during"]


def test_a_reactor_runs_once(reactor: FateReactor, run: Run) -> None:
    refused: list[type] = []

    def again() -> None:
        with pytest.raises(ReactorAlreadyRunning) as info:
            reactor.run()
        refused.append(info.type)
        reactor.stop()

    run(again)
    assert refused == [ReactorAlreadyRunning]
    with pytest.raises(ReactorNotRestartable):
        reactor.run()
    with pytest.raises(ReactorNotRunning):
        reactor.stop()


def test_after_a_crash_it_runs_again(reactor: FateReactor, run: Run) -> None:
    reactor.addSystemEventTrigger("before", "shutdown", lambda: came.append("shutdown"))
    came: list[str] = []
    run(reactor.crash)
    assert came == []
    run(reactor.stop)
    assert came == ["shutdown"]


def test_running_it_inside_its_running_loop_is_refused_before_anything_happens() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        reactor = FateReactor()
        assert reactor.loop is loop
        with pytest.raises(LoopRunningError, match="await"):
            reactor.run()
        assert not reactor.running

    with asyncio.Runner(loop_factory=Fate) as runner:
        runner.run(main())


def test_a_loop_that_runs_already_can_carry_the_reactor() -> None:
    came: list[str] = []

    async def main() -> None:
        reactor = FateReactor()
        reactor.addSystemEventTrigger("after", "shutdown", came.append, "shutdown")
        reactor.startRunning(installSignalHandlers=False)
        deferred: Deferred[str] = Deferred()
        reactor.callLater(0.001, deferred.callback, "called")
        came.append(await deferred.asFuture(asyncio.get_running_loop()))
        reactor.fireSystemEvent("shutdown")

    with asyncio.Runner(loop_factory=Fate) as runner:
        runner.run(main())
    assert came == ["called", "shutdown"]


def test_iterate_calls_what_is_due_and_does_not_wait(reactor: FateReactor) -> None:
    came: list[str] = []
    reactor.callLater(0, came.append, "due")
    reactor.callLater(60, came.append, "not due")
    reactor.iterate()
    assert came == ["due"]


def test_iterate_waits_no_longer_than_until_something_happens(reactor: FateReactor) -> None:
    came: list[str] = []
    reactor.callLater(0.01, came.append, "due")
    while not came:
        reactor.iterate(60)
    assert came == ["due"]


def test_iterate_works_inside_a_callback(reactor: FateReactor, run: Run) -> None:
    came: list[str] = []

    def outer() -> None:
        reactor.callLater(0, came.append, "inner")
        reactor.iterate()
        came.append("outer")
        reactor.stop()

    reactor.callLater(0, outer)
    run()
    assert came == ["inner", "outer"]


def test_calls_from_another_thread_come_in_order_in_the_reactors_thread(reactor: FateReactor, run: Run) -> None:
    came: list[Any] = []

    def other() -> None:
        for number in range(1000):
            reactor.callFromThread(came.append, number)
        reactor.callFromThread(lambda: came.append(threading.current_thread()))
        reactor.callFromThread(reactor.stop)

    thread = threading.Thread(target=other)
    run(thread.start)
    thread.join()
    assert came == [*range(1000), threading.current_thread()]


def test_a_call_from_a_thread_call_comes_after_what_that_one_scheduled(reactor: FateReactor, run: Run) -> None:
    came: list[str] = []

    def first() -> None:
        reactor.callFromThread(second)
        reactor.callLater(0, came.append, "later")

    def second() -> None:
        came.append("second")
        reactor.stop()

    reactor.callFromThread(first)
    run()
    assert came == ["later", "second"]


def test_an_error_in_a_thread_call_is_logged_and_the_others_come(
    reactor: FateReactor, run: Run, logged: list[Any]
) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    reactor.callFromThread(fail)
    reactor.callFromThread(reactor.stop)
    run()
    assert [type(error) for error in logged] == [ZeroDivisionError]


def test_what_cannot_be_called_is_refused_at_once(reactor: FateReactor) -> None:
    with pytest.raises(AssertionError, match="not callable"):
        reactor.callFromThread(3)  # type: ignore[arg-type]


def test_a_thread_gives_its_result_to_a_deferred(reactor: FateReactor, run: Run) -> None:
    came: list[Any] = []

    def start() -> None:
        deferred = deferToThreadPool(reactor, reactor.getThreadPool(), threading.get_ident)
        deferred.addCallback(came.append)
        deferred.addBoth(lambda _: reactor.stop())

    run(start)
    assert came != [threading.get_ident()]
    assert len(came) == 1
    assert reactor.threadpool is None
