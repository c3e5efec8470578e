"""`Fate(spin=...)`: looking again and again before sleeping finds what comes soon, and stops where it does not pay."""

from __future__ import annotations

import os
import selectors
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support import turns

from fate import Fate, Handle
from fate.errors import LoopOptionError
from fate.net.poll import EpollPoll

SECOND = 1_000_000_000


@pytest.fixture
def spinning() -> Iterator[Fate]:
    """A Fate that spins for up to a second, so that no busy machine ends it before what a test waits for."""
    loop = Fate(spin=1.0)
    yield loop
    loop.close()


def test_it_does_not_spin_unless_it_is_asked_to(loop: Fate) -> None:
    assert loop._poll._spin == 0
    with_spin = Fate(spin=50e-6)
    assert with_spin._poll._spin == 50_000
    with_spin.close()


@pytest.mark.parametrize("wrong", [-1e-9, -1, float("nan"), float("inf"), -float("inf"), 1.1, 10**400, "1", None, True])
def test_a_spin_that_makes_no_sense_is_refused(wrong: Any) -> None:
    with pytest.raises(LoopOptionError, match="spin is"):
        Fate(spin=wrong)


def test_only_epoll_spins() -> None:
    loop = Fate(selectors.SelectSelector(), spin=50e-6)
    turns(loop, 2)
    loop.close()


def test_what_comes_from_another_thread_is_found_without_sleeping(spinning: Fate) -> None:
    for _ in range(5):
        thread = threading.Thread(target=spinning.call_soon_threadsafe, args=(spinning.stop,))
        spinning.call_soon(thread.start)
        spinning.run_forever()
        thread.join()
        assert spinning._poll._spin_now == SECOND


def test_a_thread_goes_on_with_its_python_while_the_loop_spins(spinning: Fate) -> None:
    def work() -> None:
        sum(number for number in range(100_000))
        spinning.call_soon_threadsafe(spinning.stop)

    thread = threading.Thread(target=work)
    spinning.call_soon(thread.start)
    spinning.run_forever()
    thread.join()
    assert spinning._poll._spin_now == SECOND


def test_a_timer_ends_the_spin(spinning: Fate) -> None:
    began = spinning.time()
    spinning.call_later(0.001, spinning.stop)
    spinning.run_forever()
    assert 0.001 <= spinning.time() - began < 1.0


def test_a_signal_ends_the_spin(spinning: Fate) -> None:
    spinning.add_signal_handler(signal.SIGUSR1, spinning.stop)
    thread = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR1))
    spinning.call_soon(thread.start)
    spinning.run_forever()
    thread.join()
    spinning.remove_signal_handler(signal.SIGUSR1)


def test_it_spins_less_while_that_does_not_pay_and_more_when_it_would() -> None:
    poll = EpollPoll(SECOND)
    readable, writable = os.pipe()
    try:
        spins = [SECOND]
        while spins[-1]:
            assert poll.poll(1000, []) == 0
            spins.append(poll._spin_now)
        assert spins[1:4] == [SECOND // 2, SECOND // 4, SECOND // 8]
        assert spins[-2] >= 1000  # less is not worth the while
        os.write(writable, b"tea")
        loop = Fate()
        handle = loop.make_handle(print, ())
        loop.close()
        poll.add_reader(readable, handle)
        ready: list[Handle] = []
        grown = []
        while poll._spin_now < SECOND // 8 or not grown:
            assert poll.poll(-1, ready) == 1
            grown.append(poll._spin_now)
        assert grown == [SECOND // 8]  # a short sleep has shown that it would pay
        assert poll.poll(-1, ready) == 1  # found while spinning
        assert poll._spin_now == SECOND // 8
        assert ready == [handle] * 2
    finally:
        os.close(readable)
        os.close(writable)
        poll.close()


def test_a_look_without_waiting_does_not_spin() -> None:
    poll = EpollPoll(SECOND)
    assert poll.poll(0, []) == 0
    assert poll._spin_now == SECOND
    poll.close()
