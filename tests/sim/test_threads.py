"""Threads in lockstep: executors, locks, queues, and threads that talk to the loop."""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fate import sim
from fate.sim import threads
from fate.sim.errors import BlockedThreadError, StuckError


def test_a_job_sleeps_in_virtual_time_while_the_loop_goes_on():
    async def main():
        loop = asyncio.get_running_loop()
        ticks = []

        async def tick():
            while True:
                await asyncio.sleep(1)
                ticks.append(loop.time())

        ticker = asyncio.create_task(tick())
        before = loop.time()
        await asyncio.to_thread(time.sleep, 10.5)
        ticker.cancel()
        return loop.time() - before, len(ticks)

    took, ticks = sim.run(main)
    assert took == pytest.approx(10.5) and ticks == 10


def test_jobs_run_beside_each_other_in_virtual_time():
    async def main():
        loop = asyncio.get_running_loop()
        before = loop.time()
        values = await asyncio.gather(*[loop.run_in_executor(None, slow, n) for n in range(5)])
        return values, loop.time() - before

    def slow(n):
        time.sleep(5 - n)
        return n

    values, took = sim.run(main)
    assert values == [0, 1, 2, 3, 4] and took == pytest.approx(5)


def test_a_job_may_need_the_loop():
    async def main():
        loop = asyncio.get_running_loop()

        async def answer(n):
            await asyncio.sleep(1)
            return n * 2

        def job():
            return asyncio.run_coroutine_threadsafe(answer(21), loop).result()

        return await asyncio.to_thread(job)

    assert sim.run(main) == 42


def test_a_plain_thread_calls_the_loop():
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def work():
            time.sleep(3)
            loop.call_soon_threadsafe(future.set_result, threading.current_thread().name)

        thread = threading.Thread(target=work, name="worker")
        thread.start()
        assert thread.is_alive()
        name = await future
        thread.join()
        assert not thread.is_alive()
        return name

    assert sim.run(main) == "worker"


def test_locks_events_and_queues_wait_in_virtual_time():
    async def main():
        log = []
        lock, event, jobs = threading.Lock(), threading.Event(), queue.Queue()

        def holder():
            with lock:
                time.sleep(2)
                log.append("held")
            event.wait()
            jobs.put("job")

        def waiter():
            time.sleep(1)
            assert not lock.acquire(timeout=0.5)
            with lock:
                log.append("got it")
            event.set()
            with pytest.raises(queue.Empty):
                queue.Queue().get(timeout=5)

        threads = [threading.Thread(target=target) for target in (holder, waiter)]
        for thread in threads:
            thread.start()
        log.append(await asyncio.to_thread(jobs.get))
        for thread in threads:
            thread.join()
        return log, time.monotonic()

    first = sim.run(main)
    assert first[0] == ["held", "got it", "job"]
    assert sim.run(main) == first


def test_an_executor_of_the_programs_own():
    async def main():
        with ThreadPoolExecutor(2) as executor:
            loop = asyncio.get_running_loop()
            return await asyncio.gather(*[loop.run_in_executor(executor, pow, 2, n) for n in range(10)])

    assert sim.run(main) == [2**n for n in range(10)]


def test_blocking_sockets_in_threads():
    import socket

    async def main():
        async def shout(reader, writer):
            writer.write((await reader.readline()).upper())
            writer.close()

        server = await asyncio.start_server(shout, "127.0.0.1", 0)

        def client():
            with socket.create_connection(server.sockets[0].getsockname(), timeout=5) as sock:
                sock.sendall(b"hello\n")
                return sock.makefile("rb").read()

        answer = await asyncio.to_thread(client)
        server.close()
        return answer

    assert sim.run(main) == b"HELLO\n"


def test_threads_that_wait_for_each_other_are_stuck():
    async def main():
        await asyncio.to_thread(threading.Event().wait)

    with pytest.raises(StuckError):
        sim.run(main)


def test_no_thread_outlives_its_universe():
    before = threading.active_count()

    async def main():
        threading.Thread(target=threading.Event().wait).start()
        await asyncio.to_thread(time.sleep, 1)
        await asyncio.sleep(1)

    sim.run(main)
    assert threading.active_count() == before


def test_jobs_may_be_slow():
    async def main():
        before = time.monotonic()
        await asyncio.to_thread(int)
        return time.monotonic() - before

    times = {round(sim.run(main, seed, {"job": 0.5}), 6) for seed in range(30)}
    assert len(times) > 3 and min(times) == 0


def test_a_lock_made_inside_is_a_real_lock_outside():
    async def main():
        return threading.Lock(), threading.Condition()

    lock, condition = sim.run(main)
    with lock:
        assert not lock.acquire(timeout=0.01)
        assert not lock.acquire(blocking=False)
    with condition:
        assert not condition.wait(0.01)


def test_what_a_thread_raises_is_a_failure_of_the_run():
    def work():
        time.sleep(1)
        raise LookupError("in a thread")

    async def main():
        threading.Thread(target=work, name="worker").start()
        await asyncio.sleep(2)

    [failure] = sim.attempt(main).failures
    assert (failure.kind, failure.message) == ("report", "Exception in thread worker: LookupError: in a thread")


def test_a_thread_that_exits_is_no_failure_as_in_the_real_world():
    async def main():
        threading.Thread(target=sys.exit, args=(3,)).start()
        await asyncio.sleep(1)

    assert sim.attempt(main).ok


@pytest.mark.parametrize("kind", ["thread", "executor"])
def test_a_thread_that_never_yields_is_told_and_ended(monkeypatch, kind):
    monkeypatch.setattr(threads, "PATIENCE", 0.2)
    ran = []

    def compute_for_ever():
        ran.append(threading.current_thread())
        while True:
            pass

    async def main():
        if kind == "executor":
            await asyncio.to_thread(compute_for_ever)
        threading.Thread(target=compute_for_ever).start()
        await asyncio.sleep(1)

    with pytest.raises(BlockedThreadError, match=r"(?s)gives nobody else a turn: .*in compute_for_ever"):
        sim.run(main)
    [thread] = ran
    thread.join()  # or this never returns, and neither does the process

    async def after():
        return await asyncio.to_thread(lambda: "as before")

    assert sim.run(after) == "as before"
