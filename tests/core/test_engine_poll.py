"""When the engine polls: at least every FAST_TURNS + 1 turns, sooner when callbacks are slow; how threads wake it."""

from __future__ import annotations

import itertools
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from support import Clock, turns

from fate import Fate
from fate.core.engine import Engine, Poll
from fate.core.handle import Handle

FAST_TURNS = 16  # the constants of `fate.core.engine`, which a compiled module does not show
BUSY_TURNS = 1
FAST_NS = 50_000


class CountingPoll(Poll):
    """Counts the polls and keeps their timeouts; nothing ever comes."""

    def __init__(self) -> None:
        self.timeouts: list[int] = []

    def poll(self, timeout_ns: int, ready: list[Handle]) -> int:
        self.timeouts.append(timeout_ns)
        return 0


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    yield near, far
    near.close()
    far.close()


def test_a_readable_socket_is_served_within_the_stated_turns_while_callbacks_reschedule_themselves(
    loop: Fate, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    turn = 0
    sent: list[int] = []
    waited: list[int] = []

    def again() -> None:
        nonlocal turn
        turn += 1
        if turn % 40 == 7 and len(sent) == len(waited):
            sent.append(turn)
            far.send(b"x")
        if len(waited) < 20:
            loop.call_soon(again)
        else:
            loop.stop()

    def read() -> None:
        near.recv(1)
        waited.append(turn - sent[-1])

    loop.add_reader(near, read)
    loop.call_soon(again)
    loop.run_forever()
    loop.remove_reader(near)
    assert len(waited) == 20
    assert max(waited) <= FAST_TURNS + 1


def test_a_due_timer_is_served_within_the_stated_turns_too(loop: Fate) -> None:
    turn = 0
    seen: list[int] = []

    def again() -> None:
        nonlocal turn
        turn += 1
        if turn < 2000 and not seen:
            loop.call_soon(again)
        else:
            loop.stop()

    def start() -> None:
        loop.call_later(0, lambda: seen.append(turn))
        again()

    loop.call_soon(start)
    loop.run_forever()
    assert seen and seen[0] <= FAST_TURNS + 2


def engine_turns(callback_ns: int, count: int) -> list[int]:
    """Turns of one callback that reschedules itself and takes so long: how many turns lay between the polls."""
    clock = Clock(1.0)
    poll = CountingPoll()
    engine = Engine(poll, clock)
    at: list[int] = []
    seen = 0

    def again() -> None:
        clock.now += callback_ns / 1e9
        engine.call_soon(again)

    engine.call_soon(again)
    for turn in range(count):
        engine.turn()
        if len(poll.timeouts) > seen:
            seen = len(poll.timeouts)
            at.append(turn)
    assert set(poll.timeouts) == {0}
    return [after - before for before, after in itertools.pairwise(at)]


def test_quick_callbacks_are_polled_between_every_seventeenth_turn() -> None:
    assert set(engine_turns(100, 200)[1:]) == {FAST_TURNS + 1}


def test_after_a_poll_that_brought_something_the_next_come_soon_and_then_less_and_less_often() -> None:
    """What follows from what it brought may bring more, and asyncio polls in every turn."""
    at: list[int] = []

    class Once(CountingPoll):
        def poll(self, timeout_ns: int, ready: list[Handle]) -> int:
            at.append(turn)
            if len(at) == 3:
                ready.append(engine.make_handle(lambda: None, ()))
                return 1
            return 0

    engine = Engine(Once(), Clock(1.0))

    def again() -> None:
        engine.call_soon(again)

    engine.call_soon(again)
    for turn in range(100):  # noqa: B007
        engine.turn()
    gaps = [after - before - 1 for before, after in itertools.pairwise(at)]
    assert gaps[1:7] == [FAST_TURNS, BUSY_TURNS, 3, 7, 15, FAST_TURNS]


def test_slow_callbacks_are_polled_between_every_turn_after_a_few() -> None:
    gaps = engine_turns(10 * FAST_NS, 100)
    assert max(gaps) <= FAST_TURNS + 1
    assert set(gaps[8:]) == {1}


def test_the_poll_comes_about_every_fast_ns_for_callbacks_in_between() -> None:
    gaps = engine_turns(FAST_NS // 4, 200)[5:]
    assert all(FAST_NS // 2 <= gap * (FAST_NS // 4) <= 3 * FAST_NS for gap in gaps)


def test_after_a_slow_time_quick_callbacks_are_polled_seldom_again() -> None:
    clock = Clock(1.0)
    poll = CountingPoll()
    engine = Engine(poll, clock)
    cost = 1e-3

    def again() -> None:
        clock.now += cost
        engine.call_soon(again)

    engine.call_soon(again)
    for _ in range(60):
        engine.turn()
    cost = 1e-7
    for _ in range(200):
        engine.turn()
    before = len(poll.timeouts)
    for _ in range(170):
        engine.turn()
    assert len(poll.timeouts) - before == 170 // (FAST_TURNS + 1)


def test_the_engine_waits_until_the_next_timer_and_for_ever_without_one() -> None:
    clock = Clock(1.0)
    poll = CountingPoll()
    engine = Engine(poll, clock)
    engine.turn()
    timer = engine.call_later(0.25, print)
    engine.turn()
    timer.cancel()
    engine.turn()
    forever, quarter, again = poll.timeouts
    assert forever < 0 and again < 0
    assert 250_000_000 <= quarter <= 250_000_002


@pytest.mark.parametrize("delay", [float("inf"), 1e9, 1e300])
def test_a_timer_far_away_makes_a_long_wait_and_never_fires(delay: float) -> None:
    poll = CountingPoll()
    engine = Engine(poll, Clock(1.0))
    ran: list[int] = []
    engine.call_later(delay, ran.append, 1)
    engine.turn()
    assert poll.timeouts[0] < 0 or poll.timeouts[0] >= 3600 * 10**9
    assert ran == []


@pytest.mark.parametrize("delay", [0.0, -1.0, float("-inf"), float("nan")])
def test_a_timer_that_is_due_makes_no_wait_and_fires(delay: float) -> None:
    poll = CountingPoll()
    engine = Engine(poll, Clock(1.0))
    ran: list[int] = []
    engine.call_later(delay, ran.append, 1)
    engine.turn()
    assert poll.timeouts == [0]
    assert ran == [1]


def test_a_stopping_loop_does_not_wait() -> None:
    poll = CountingPoll()
    engine = Engine(poll, Clock(1.0))
    engine._stopping = True
    engine.run_turns()
    assert poll.timeouts == [0]


def test_an_engine_alone_raises_the_error_of_a_callback_and_keeps_the_rest() -> None:
    engine = Engine(CountingPoll(), Clock(1.0))
    ran: list[int] = []
    engine.call_soon(lambda: 1 / 0)
    engine.call_soon(ran.append, 1)
    with pytest.raises(ZeroDivisionError):
        engine.turn()
    engine.turn()
    assert ran == [1]


def test_calls_from_many_threads_all_arrive_each_threads_in_its_order(loop: Fate) -> None:
    threads, calls = 8, 2000
    got: list[tuple[int, int]] = []

    def one(name: int) -> None:
        for number in range(calls):
            loop.call_soon_threadsafe(got.append, (name, number))
            if number % 100 == 0:
                time.sleep(0)
        loop.call_soon_threadsafe(done.append, name)
        loop.call_soon_threadsafe(lambda: loop.stop() if len(done) == threads else None)

    done: list[int] = []
    workers = [threading.Thread(target=one, args=(name,)) for name in range(threads)]
    for worker in workers:
        worker.start()
    loop.run_forever()
    for worker in workers:
        worker.join()
    assert len(got) == threads * calls
    for name in range(threads):
        assert [number for who, number in got if who == name] == list(range(calls))


def test_a_call_from_a_thread_wakes_a_waiting_loop_at_once_every_time(loop: Fate) -> None:
    answered = threading.Semaphore(0)
    slow: list[float] = []

    def caller() -> None:
        for _ in range(200):
            asked = time.monotonic()
            loop.call_soon_threadsafe(answered.release)
            if not answered.acquire(timeout=5):
                break
            slow.append(time.monotonic() - asked)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=caller)
    thread.start()
    loop.call_later(30, loop.stop)
    loop.run_forever()
    thread.join()
    assert len(slow) == 200
    assert sorted(slow)[100] < 0.02
    loop._forget_all()


def test_a_call_made_while_the_loop_falls_asleep_is_not_lost() -> None:
    """The race between looking at the queue and waiting: the poll is asked to wait, and a thread was faster."""
    ran: list[int] = []

    class LatePoll(CountingPoll):
        def poll(self, timeout_ns: int, ready: list[Handle]) -> int:
            super().poll(timeout_ns, ready)
            thread = threading.Thread(target=engine.call_soon_threadsafe, args=(ran.append, 1))
            thread.start()
            thread.join()
            return 0

    woken: list[bool] = []

    class Woken(Engine):
        def _wake(self) -> None:
            woken.append(True)

    engine = Woken(LatePoll(), Clock(1.0))
    engine.turn()
    assert ran == [1]
    assert woken == [True]


def test_a_busy_loop_is_not_woken_for_nothing() -> None:
    class NeverWoken(Engine):
        def _wake(self) -> None:
            raise AssertionError("it is awake")

    engine = NeverWoken(CountingPoll(), Clock(1.0))
    ran: list[int] = []
    engine.call_soon(lambda: engine.call_soon_threadsafe(ran.append, 1))
    engine.turn()
    engine.turn()
    assert ran == [1]


def test_a_signal_handler_of_plain_python_wakes_the_loop(loop: Fate) -> None:
    before = signal.signal(signal.SIGALRM, lambda *args: loop.call_soon_threadsafe(loop.stop))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        loop.call_later(20, lambda: pytest.fail("it did not wake"))
        loop.run_forever()
    finally:
        signal.signal(signal.SIGALRM, before)
        loop._forget_all()


def test_a_signal_handler_that_raises_ends_the_wait_and_the_loop_can_run_again(loop: Fate) -> None:
    def alarm(*args: object) -> None:
        raise TimeoutError("alarm")

    before = signal.signal(signal.SIGALRM, alarm)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(TimeoutError, match="alarm"):
            loop.run_forever()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not loop.is_running()
    turns(loop)


def test_a_signal_that_interrupts_the_wait_does_not_shorten_a_timer(loop: Fate) -> None:
    rang: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda *args: rang.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
        start = loop.time()
        loop.call_later(0.03, loop.stop)
        loop.run_forever()
        assert loop.time() - start >= 0.03
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(rang) >= 2


def test_a_loop_turned_by_one_of_its_own_callbacks_loses_and_repeats_nothing(loop: Fate) -> None:
    ran: list[int] = []

    def nested() -> None:
        ran.append(-1)
        loop.call_soon(ran.append, 3)
        loop.turn()
        ran.append(-2)

    loop.call_soon(ran.append, 0)
    loop.call_soon(nested)
    loop.call_soon(ran.append, 1)
    loop.call_soon(ran.append, 2)
    turns(loop, 2)
    assert sorted(ran) == [-2, -1, 0, 1, 2, 3]
    assert [number for number in ran if number >= 0] == [0, 1, 2, 3]
