"""Programs that wait by turning, sleeping for no time or reading the clock: time passes, and they are named."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from fate import sim
from fate.sim import notices
from fate.sim.errors import HangError

LATE = 0.03  # a part of the time that is waited for, at most


async def turning():
    flag = []
    asyncio.get_running_loop().call_later(3600, flag.append, 1)
    while not flag:
        await asyncio.sleep(0)
    return 3600


async def turning_for_a_task():
    async def set_later():
        await asyncio.sleep(0.05)
        flag.append(1)

    flag = []
    task = asyncio.create_task(set_later())
    while not flag:
        await asyncio.sleep(0)
    await task
    return 0.05


async def turning_until_a_time():
    end = time.monotonic() + 100
    while time.monotonic() < end:
        await asyncio.sleep(0)
    return 100


async def reading_the_clock():
    end = time.time() + 1
    while time.time() < end:
        pass
    return 1


async def reading_the_loop_s_clock():
    loop = asyncio.get_running_loop()
    end = loop.time() + 1
    while loop.time() < end:
        pass
    return 1


async def sleeping_for_no_time():
    flag = []
    threading.Timer(5, flag.append, [1]).start()
    while not flag:
        time.sleep(0)
    return 5


async def threads_that_sleep_for_no_time():
    flag = []

    def wait():
        while not flag:
            time.sleep(0)

    def wait_on_the_clock():
        end = time.time() + 50
        while not flag and time.time() < end:
            pass
        assert flag

    async def set_later():
        await asyncio.sleep(5)
        flag.append(1)

    await asyncio.gather(asyncio.to_thread(wait), asyncio.to_thread(wait_on_the_clock), set_later())
    return 5


@pytest.mark.parametrize(
    "main",
    [
        turning,
        turning_for_a_task,
        turning_until_a_time,
        reading_the_clock,
        reading_the_loop_s_clock,
        sleeping_for_no_time,
        threads_that_sleep_for_no_time,
    ],
)
def test_time_passes_for_a_program_that_spins(main):
    result = sim.attempt(main)
    assert result.error is None
    assert result.value <= result.seconds <= result.value * (1 + LATE) + 0.001
    assert result.steps < 3000
    assert sim.attempt(main).seconds == result.seconds


def test_a_program_that_takes_many_turns_for_its_work_does_not_lose_its_time():
    async def main():
        async with asyncio.timeout(1):
            for _ in range(30_000):
                await asyncio.sleep(0)

    assert sim.attempt(main).ok


def test_a_program_that_reads_the_clock_for_each_item_does_not_lose_its_time():
    async def main():
        async with asyncio.timeout(1):
            for _ in range(100_000):
                time.perf_counter()
            await asyncio.sleep(0)

    assert sim.attempt(main).ok


@pytest.mark.parametrize("kind", ["task", "callback"])
def test_a_program_that_spins_for_ever_is_told_with_its_line(kind, monkeypatch):
    heard = []
    monkeypatch.setattr(notices, "listener", heard.append)
    monkeypatch.setattr(notices, "_told", set())

    async def main():
        def again():
            asyncio.get_running_loop().call_soon(again)

        if kind == "callback":
            again()
            await asyncio.Event().wait()
        while True:
            await asyncio.sleep(0)

    who = r"task main spins at test_spinning\.py:\d+" if kind == "task" else "callback .*again calls itself again"
    with pytest.raises(HangError, match=f"(?s)did not end within 30 days of virtual time; {who}"):
        sim.run(main)
    [line] = heard
    assert line.startswith(("task main spins at test_spinning.py:", "callback "))


def test_a_program_that_spins_gives_few_opportunities_for_faults() -> None:
    async def main() -> None:
        flag: list[int] = []
        asyncio.get_running_loop().call_later(10, flag.append, 1)
        while not flag:
            await asyncio.sleep(0)

    result = sim.attempt(main, 0, "all", drawn=False)
    assert result.ok and len(result.decisions) < 200
