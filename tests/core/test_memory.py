"""Memory: nothing is left of what has run, was cancelled or was closed; no cycles per callback."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
import weakref
from collections.abc import Iterator

import pytest
from support import VirtualFate, turns

from fate import Fate, Fuse
from fate.core.handle import Handle, TimerHandle


@pytest.fixture
def no_collector() -> Iterator[None]:
    """The collector off, and nothing left for it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def garbage() -> int:
    """How many objects only the collector could free."""
    return gc.collect()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe", "call_later", "call_at"])
def test_callbacks_leave_no_cycles(loop: Fate, method: str) -> None:
    schedule = getattr(loop, method)
    first: tuple[object, ...] = (0.0,) if method in ("call_later", "call_at") else ()

    def callback(number: int) -> None:
        pass

    turns(loop)
    garbage()
    for number in range(1000):
        schedule(*first, callback, number)
    turns(loop, 2)
    assert garbage() == 0


@pytest.mark.usefixtures("no_collector")
def test_callbacks_that_fail_leave_no_cycles(loop: Fate) -> None:
    loop.set_exception_handler(lambda loop, context: None)

    def fail() -> None:
        raise ValueError

    turns(loop)
    garbage()
    for _ in range(100):
        loop.call_soon(fail)
        loop.call_later(0, fail)
    turns(loop, 2)
    assert garbage() == 0


@pytest.mark.usefixtures("no_collector")
def test_references_to_a_callback_and_its_arguments_are_given_back(loop: Fate) -> None:
    def callback(*args: object) -> None:
        pass

    argument = object()
    turns(loop)
    before = sys.getrefcount(callback), sys.getrefcount(argument)
    for _ in range(100):
        loop.call_soon(callback, argument)
        loop.call_later(0, callback, argument)
        loop.call_later(1e6, callback, argument).cancel()
        loop.call_soon(callback, argument).cancel()
    turns(loop, 2)
    assert (sys.getrefcount(callback), sys.getrefcount(argument)) == before


@pytest.mark.usefixtures("no_collector")
def test_references_to_the_loop_are_given_back() -> None:
    loop = Fate()
    turns(loop)
    before = sys.getrefcount(loop)
    for _ in range(1000):
        loop.call_soon(int)
        loop.call_later(0, int)
        loop.call_later(1e6, int).cancel()
    turns(loop, 2)
    assert sys.getrefcount(loop) == before
    loop.close()


@pytest.mark.usefixtures("no_collector")
def test_a_hundred_thousand_cancelled_timers_leave_nothing() -> None:
    loop = VirtualFate()
    timers = [loop.call_later(number % 977 * 0.37, int) for number in range(100_000)]
    gone = [weakref.ref(timer) for timer in timers[::1000]]
    assert loop._timers.count == 100_000
    for timer in timers:
        timer.cancel()
    assert loop._timers.count == 0
    assert loop._timers.deadline() == float("inf")
    del timers, timer
    assert [ref() for ref in gone] == [None] * 100
    assert not [thing for thing in gc.get_objects() if type(thing) is TimerHandle]
    loop.close()


@pytest.mark.usefixtures("no_collector")
def test_a_timer_that_nobody_keeps_is_gone_as_soon_as_it_is_cancelled(loop: Fate) -> None:
    timer = loop.call_later(3600, int)
    gone = weakref.ref(timer)
    timer.cancel()
    del timer
    assert gone() is None


@pytest.mark.usefixtures("no_collector")
def test_a_handle_that_nobody_keeps_is_gone_as_soon_as_it_has_run(loop: Fate) -> None:
    gone = [weakref.ref(loop.call_soon(int)), weakref.ref(loop.call_later(0, int))]
    assert all(isinstance(ref(), Handle) for ref in gone)
    turns(loop, 2)
    assert [ref() for ref in gone] == [None, None]


def test_the_queue_does_not_grow_with_what_has_run(loop: Fate) -> None:
    left = 50_000

    def again() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(again)
        else:
            loop.stop()

    loop.call_soon(again)
    loop.run_forever()
    assert len(loop._queue) <= 2048


@pytest.mark.usefixtures("no_collector")
def test_tasks_and_sleeps_leave_no_cycles(loop: Fate) -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 1

    async def main() -> int:
        return sum([await loop.create_task(work()) for _ in range(100)])

    loop.run_until_complete(main())
    garbage()
    assert loop.run_until_complete(main()) == 100
    assert garbage() == 0


@pytest.mark.usefixtures("no_collector")
def test_fuses_that_are_over_leave_no_cycles(loop: Fate) -> None:
    def make() -> None:
        one, other = loop.get_fuse(), loop.get_fuse(0)
        one.add_handler(int)
        both, either = one & other, one | other
        both.add_handler(int)
        either.add_handler(int)
        one.burn(1)
        loop.get_fuse(3600).cancel()

    make()
    turns(loop, 6)
    garbage()
    for _ in range(20):
        make()
    turns(loop, 6)
    assert loop.fuses == []
    assert garbage() == 0


@pytest.mark.usefixtures("no_collector")
@pytest.mark.usefixtures("no_collector")
def test_compounds_that_lost_leave_nothing_on_a_fuse_that_burns_on(loop: Fate) -> None:
    stop = loop.get_fuse()

    async def main() -> None:
        for _ in range(10):
            await (stop | loop.get_fuse() | loop.get_fuse(0))
            await ((stop & loop.get_fuse()) | loop.get_fuse(0))

    loop.run_until_complete(main())
    dropped = stop | loop.get_fuse()
    del dropped
    assert not stop._watchers
    garbage()
    assert [fuse for fuse in loop.fuses if type(fuse) is not Fuse] == []


def test_a_compound_with_a_handler_burns_though_nobody_keeps_it(loop: Fate) -> None:
    a, b = loop.get_fuse(), loop.get_fuse()
    called: list[str] = []
    ((a & b) | loop.get_fuse()).add_handler(called.append, "burned")
    gc.collect()
    a.burn()
    b.burn()
    turns(loop)
    assert called == ["burned"]


def test_awaiting_a_fuse_leaves_nothing_behind(loop: Fate) -> None:
    fuse = loop.get_fuse()

    async def main() -> None:
        for _ in range(10):
            try:
                async with asyncio.timeout(0):
                    await fuse
            except TimeoutError:
                pass

    loop.run_until_complete(main())
    garbage()
    before = sys.getrefcount(fuse)
    loop.run_until_complete(main())
    assert garbage() < 200  # the timeouts' own tracebacks, not the fuse's
    assert sys.getrefcount(fuse) == before


def test_an_unclosed_loop_is_collected_with_a_warning() -> None:
    loop = Fate()
    loop.call_soon(loop.call_soon, loop.stop)
    turns(loop)  # leaves what the callback scheduled
    loop.call_soon(loop.stop)
    loop.call_later(1e6, loop.stop)
    gone = weakref.ref(loop)
    del loop
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
    said = [(warning.category, "unclosed event loop" in str(warning.message)) for warning in caught]
    caught.clear()  # they hold the loop
    gc.collect()
    assert (gone(), said) == (None, [(ResourceWarning, True)])


def test_a_closed_loop_is_collected_without_a_word() -> None:
    loop = Fate()
    loop.call_soon(loop.stop)
    loop.close()
    gone = weakref.ref(loop)
    del loop
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gc.collect()
    assert gone() is None


def test_closing_drops_everything_that_was_scheduled() -> None:
    class Thing:
        def __call__(self) -> None:
            raise AssertionError("it ran")

    loop = Fate()
    things = [Thing(), Thing(), Thing()]
    gone = [weakref.ref(thing) for thing in things]
    loop.call_soon(things[0])
    loop.call_later(10, things[1])
    loop.get_fuse(5).set_handler(things[2])
    loop.close()
    del things
    gc.collect()
    assert [ref() for ref in gone] == [None, None, None]
    assert loop._timers.count == 0


@pytest.mark.parametrize("ends", [SystemExit, KeyboardInterrupt])
def test_what_keeps_the_handle_that_will_call_it_is_collected_however_its_run_ends(ends: type[BaseException]) -> None:
    class Thing:
        handle: Handle

        def end(self) -> None:
            raise ends

        def never(self) -> None:
            raise AssertionError("it ran")

    loop = Fate()
    things = [Thing(), Thing(), Thing()]
    gone = [weakref.ref(thing) for thing in things]
    things[0].handle = loop.call_soon(things[0].end)
    things[1].handle = loop.call_soon(things[1].never)
    things[2].handle = loop.call_later(0, things[2].never)
    with pytest.raises(ends):
        loop.run_forever()
    loop.close()
    del things
    gc.collect()
    assert [ref() for ref in gone] == [None, None, None]


def test_many_loops_give_their_descriptors_back() -> None:
    import os

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    Fate().close()
    before = descriptors()
    for _ in range(50):
        loop = Fate()
        turns(loop)
        loop.close()
    assert descriptors() == before


@pytest.mark.parametrize("debug", [False, True])
def test_a_failed_task_that_nobody_keeps_is_gone_and_reported_in_the_same_turn(debug: bool) -> None:
    reported: list[str] = []

    async def fail() -> None:
        raise LookupError

    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reported.append(context["message"]))
        task = weakref.ref(asyncio.ensure_future(fail()))
        await asyncio.sleep(0)
        assert task() is None
        return list(reported)

    gc.disable()
    try:
        with asyncio.Runner(debug=debug, loop_factory=Fate) as runner:
            assert runner.run(main()) == ["Task exception was never retrieved"]
    finally:
        gc.enable()


def test_a_closed_loop_goes_at_once(no_collector: None) -> None:
    loop = Fate()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    gone = weakref.ref(loop)
    del loop
    assert gone() is None


def test_a_closed_loop_makes_futures_as_asyncios_does() -> None:
    loop = Fate()
    loop.close()
    assert loop.create_future().get_loop() is loop
