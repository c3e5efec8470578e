"""Signals are heard by the loop that registered them, whichever other loops come and go, and who else wants them."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from support import DEADLINE, descriptors

import fate
from fate import Fate

FIRST, SECOND = signal.SIGUSR1, signal.SIGUSR2


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Handlers and the wake-up descriptor are afterwards as they were."""
    before = [signal.getsignal(number) for number in (FIRST, SECOND)]
    yield
    assert signal.set_wakeup_fd(-1) == -1
    assert [signal.getsignal(number) for number in (FIRST, SECOND)] == before


@pytest.fixture
def loop() -> Iterator[Fate]:
    loop = Fate()
    yield loop
    loop.close()


def heard(loop: Fate, number: int = FIRST) -> bool:
    """Whether `loop`, which has a handler that stops it, is told of a signal."""
    timer = loop.call_later(DEADLINE, pytest.fail)
    loop.call_soon(os.kill, os.getpid(), number)
    loop.run_forever()
    timer.cancel()
    return True


@pytest.mark.parametrize("end", ["close", "collect", "remove"])
@pytest.mark.parametrize("stock", [False, True])
def test_another_loop_with_a_handler_ends(loop: Fate, end: str, stock: bool) -> None:
    other: Any = asyncio.SelectorEventLoop() if stock else Fate()
    other.add_signal_handler(SECOND, int)
    loop.add_signal_handler(FIRST, loop.stop)
    if end == "remove":
        other.remove_signal_handler(SECOND)
    if end == "collect" and not stock:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del other
            gc.collect()
    else:
        other.close()
    assert heard(loop)


@pytest.mark.parametrize("stock", [False, True])
def test_another_loop_takes_a_signal_of_its_own_later_and_goes(loop: Fate, stock: bool) -> None:
    loop.add_signal_handler(FIRST, loop.stop)
    other: Any = asyncio.SelectorEventLoop() if stock else Fate()
    other.add_signal_handler(SECOND, int)
    assert heard(loop)
    other.close()
    assert heard(loop)


def test_two_loops_with_the_same_signal_in_any_order() -> None:
    for first_goes_first in (False, True):
        first, second = Fate(), Fate()
        first.add_signal_handler(FIRST, first.stop)
        second.add_signal_handler(FIRST, second.stop)
        assert heard(second)
        gone, left = (first, second) if first_goes_first else (second, first)
        gone.close()
        assert heard(left)
        left.close()
        assert signal.getsignal(FIRST) is signal.SIG_DFL


def test_a_loop_that_runs_hears_the_signals_of_one_that_does_not(loop: Fate) -> None:
    other = Fate()
    told: list[str] = []
    other.add_signal_handler(SECOND, told.append, "told")
    loop.call_soon(os.kill, os.getpid(), SECOND)
    loop.call_soon(loop.call_soon, loop.stop)
    loop.run_forever()
    assert told == []
    other.call_soon(other.stop)
    other.run_forever()
    assert told == ["told"]
    other.close()


def test_a_handler_that_the_program_has_put_in_its_place_stays(loop: Fate) -> None:
    def programs_own(*args: Any) -> None:
        pass

    loop.add_signal_handler(FIRST, loop.stop)
    signal.signal(FIRST, programs_own)
    assert heard(loop)  # as with asyncio
    loop.close()
    assert signal.getsignal(FIRST) is programs_own
    signal.signal(FIRST, signal.SIG_DFL)


def test_the_wakeup_descriptor_of_the_program_is_given_back(loop: Fate) -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        far.setblocking(False)
        signal.set_wakeup_fd(near.fileno())

        async def main() -> None:
            running: Any = asyncio.get_running_loop()
            told = asyncio.Event()
            running.add_signal_handler(FIRST, told.set)
            os.kill(os.getpid(), FIRST)
            await told.wait()

        fate.run(main())
        loop.add_signal_handler(FIRST, loop.stop)
        assert heard(loop)
        loop.remove_signal_handler(FIRST)
        before = signal.signal(FIRST, lambda *args: loop.stop())
        assert heard(loop)
        signal.signal(FIRST, before)
        assert far.recv(100) == bytes([FIRST])  # of the last one
        assert signal.set_wakeup_fd(-1) == near.fileno()


def test_a_wakeup_descriptor_that_is_another_files_by_now_is_not_given_back(loop: Fate) -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    number = near.fileno()
    signal.set_wakeup_fd(number)
    loop.add_signal_handler(FIRST, loop.stop)
    near.close()
    far.close()
    victim, peer = socket.socketpair()
    with victim, peer:
        assert number in (victim.fileno(), peer.fileno())
        loop.remove_signal_handler(FIRST)
        assert signal.set_wakeup_fd(-1) == -1


def test_a_wakeup_descriptor_that_the_program_has_closed_is_in_nobodys_way(loop: Fate) -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    signal.set_wakeup_fd(near.fileno())
    near.close()
    far.close()
    loop.run_until_complete(asyncio.sleep(0))
    assert signal.set_wakeup_fd(-1) == -1
    near, far = socket.socketpair()
    near.setblocking(False)
    loop.add_signal_handler(FIRST, loop.stop)
    signal.set_wakeup_fd(near.fileno())
    near.close()
    far.close()
    loop.call_soon(signal.raise_signal, FIRST)
    loop.run_forever()
    assert loop.remove_signal_handler(FIRST)
    assert signal.set_wakeup_fd(-1) == -1


def test_the_program_sets_a_wakeup_descriptor_while_the_loop_has_a_handler(loop: Fate) -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        loop.add_signal_handler(FIRST, loop.stop)
        signal.set_wakeup_fd(near.fileno())
        assert heard(loop)
        loop.remove_signal_handler(FIRST)
        assert signal.set_wakeup_fd(-1) == near.fileno()


def test_a_loop_that_is_closed_in_another_thread_leaves_no_number_behind() -> None:
    before = descriptors()
    other = Fate()
    other.add_signal_handler(FIRST, int)
    number = other._csock.fileno()
    closing = threading.Thread(target=other.close)
    closing.start()
    closing.join()
    assert os.fstat(number)  # signals are written there still: nobody else may get it
    loop = Fate()
    loop.add_signal_handler(FIRST, loop.stop)
    assert heard(loop)
    loop.close()
    assert not descriptors() - before


def test_a_signal_fuse_takes_no_handler_that_has_come_in_its_place(loop: Fate) -> None:
    fuse = loop.get_fuse(signal=FIRST)
    loop.add_signal_handler(FIRST, loop.stop)
    fuse.cancel()
    assert heard(loop)


def test_plain_handlers_wake_a_loop_that_has_let_go_of_its_last_handler(loop: Fate) -> None:
    def plain(*args: Any) -> None:
        loop.stop()

    async def main() -> None:
        loop.add_signal_handler(SECOND, int)
        loop.remove_signal_handler(SECOND)
        assert signal.set_wakeup_fd(loop._csock.fileno()) == loop._csock.fileno()

    before = signal.signal(FIRST, plain)
    loop.run_until_complete(main())
    assert heard(loop)
    signal.signal(FIRST, before)
