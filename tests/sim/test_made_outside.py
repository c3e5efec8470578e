"""What was made before the universe, as libraries make it when they are imported, and what a universe does with it."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import fate
from fate import sim
from fate.sim.errors import UnsimulatedError

compiled = pytest.mark.skipif(
    not fate.compiled, reason="uncompiled, nothing can come between a builtin lock and a thread"
)

executor = ThreadPoolExecutor(1)
lock = threading.Lock()
reentrant = threading.RLock()
condition = threading.Condition()
event = threading.Event()
jobs: queue.Queue[int] = queue.Queue()
simple: queue.SimpleQueue[int] = queue.SimpleQueue()
semaphore = threading.Semaphore(1)
in_loop = asyncio.Lock()


async def both(first, second):
    """Two threads of the universe; when they have ended, in virtual time."""
    before = time.monotonic()
    await asyncio.gather(asyncio.to_thread(first), asyncio.to_thread(second))
    return time.monotonic() - before


def holding(thing):
    """Two threads, one of which holds something that the other wants too."""

    def hold():
        with thing:
            time.sleep(2)

    return hold, hold


def put_later(target, value):
    time.sleep(3)
    target.put(value)


def told_later():
    time.sleep(3)
    with condition:
        condition.notify_all()


def wait_for_condition():
    with condition:
        assert condition.wait(10)


def set_later():
    time.sleep(3)
    event.set()


WAITS = {
    "a lock": (holding(lock), 4),
    "an RLock": (holding(reentrant), 4),
    "a semaphore": (holding(semaphore), 4),
    "a condition": ((wait_for_condition, told_later), 3),
    "an event": ((lambda: event.wait(10), set_later), 3),
    "a queue": ((lambda: jobs.get(timeout=10), lambda: put_later(jobs, 1)), 3),
    "a SimpleQueue": ((lambda: simple.get(timeout=10), lambda: put_later(simple, 1)), 3),
}


@compiled
@pytest.mark.parametrize(("pair", "seconds"), WAITS.values(), ids=WAITS)
def test_threads_wait_in_virtual_time_for_what_was_made_outside(pair, seconds):
    event.clear()
    for _ in range(2):
        assert sim.run(_main(pair)) == pytest.approx(seconds)
        event.clear()


def _main(pair):
    async def main():
        return await both(*pair)

    return main


@compiled
@pytest.mark.parametrize("kind", ["a lock", "an RLock", "a SimpleQueue"])
def test_a_wait_for_what_was_made_outside_has_its_timeout(kind):
    async def main():
        before = time.monotonic()

        def give_up():
            if kind == "a SimpleQueue":
                with pytest.raises(queue.Empty):
                    simple.get(timeout=5)
            else:
                assert not {"a lock": lock, "an RLock": reentrant}[kind].acquire(timeout=5)

        def hold():
            with lock, reentrant:
                time.sleep(60)

        holder = asyncio.create_task(asyncio.to_thread(hold))
        await asyncio.sleep(1)
        await asyncio.to_thread(give_up)
        took = time.monotonic() - before
        await holder
        return took

    assert sim.run(main) == pytest.approx(6)


@compiled
def test_two_threads_that_log_take_the_lock_of_a_handler_in_turn():
    written = []

    class Slow(logging.Handler):
        def emit(self, record):
            time.sleep(1)
            written.append(time.monotonic())

    logger, handler = logging.Logger("slow"), Slow()
    logger.addHandler(handler)

    async def main():
        begin = time.monotonic()
        await asyncio.gather(*[asyncio.to_thread(logger.warning, "x") for _ in range(2)])
        return [round(when - begin) for when in written]

    assert sim.run(main) == [1, 2]


def test_an_executor_that_was_made_outside_has_threads_of_the_universe():
    names = []

    def job():
        names.append(threading.current_thread().name)
        time.sleep(5)
        return 1

    async def main():
        loop, before = asyncio.get_running_loop(), time.monotonic()
        done = await asyncio.gather(*[loop.run_in_executor(executor, job) for _ in range(3)])
        return sum(done), time.monotonic() - before

    for seed in range(3):
        assert sim.run(main, seed) == (3, pytest.approx(15))  # it has one thread
    assert executor.submit(lambda: "real").result(10) == "real"
    assert sim.run(main) == (3, pytest.approx(15))  # now it has a thread of the real world, too
    assert len(set(names)) == 1


def test_an_executor_that_a_program_shuts_down_is_there_in_the_next_universe():
    async def main():
        with executor:
            executor.submit(int)
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.submit(int)

    sim.run(main)
    sim.run(main)
    assert executor.submit(int).result(10) == 0


def test_a_lock_of_asyncio_s_serves_one_universe_after_the_other():
    async def main():
        async def hold():
            async with in_loop:
                await asyncio.sleep(1)

        await asyncio.gather(hold(), hold())
        return asyncio.get_running_loop().time()

    assert sim.run(main) == sim.run(main)


def test_an_event_loop_that_was_made_outside_is_refused_by_name():
    loop = asyncio.SelectorEventLoop()
    try:

        async def main():
            await asyncio.to_thread(loop.run_forever)

        with pytest.raises(UnsimulatedError, match="an event loop or a selector that was made outside"):
            sim.run(main)
        assert sim.run(_main((int, int))) == 0
    finally:
        loop.close()
