"""Callbacks and timers: what it costs to schedule one, to run it, to call it off. CPU time, never waiting."""

from __future__ import annotations

import random
import resource
import time
from asyncio import AbstractEventLoop
from threading import Thread

from benchmarks.bench import Bench, nothing
from benchmarks.registry import Group, Measured, Times, row

BATCH = 1000


@row("call_soon, 1000 then drain", "ns", Group.MICRO, Times(3))
def call_soon_drain(bench: Bench) -> float:
    """From inside a callback, as a server schedules: nothing but scheduling and running is in the figure."""

    def work(loop: AbstractEventLoop, count: int) -> None:
        left = count

        def fill() -> None:
            nonlocal left
            if left <= 0:
                loop.stop()
                return
            left -= BATCH
            for _ in range(BATCH):
                loop.call_soon(nothing)
            loop.call_soon(fill)

        loop.call_soon(fill)
        loop.run_forever()

    return bench.time(work, 200 * BATCH)


@row("call_soon, 1000, then run until drained", "ns", Group.MICRO)
def call_soon_then_run(bench: Bench) -> float:
    """From outside: what starting and stopping the loop costs is in the figure."""

    def work(loop: AbstractEventLoop, count: int) -> None:
        for _ in range(count // BATCH):
            for _ in range(BATCH):
                loop.call_soon(nothing)
            loop.call_soon(loop.stop)
            loop.run_forever()

    return bench.time(work, 200 * BATCH)


@row("call_soon, a chain of one", "ns", Group.MICRO, Times(3))
def call_soon_chain(bench: Bench) -> float:
    def work(loop: AbstractEventLoop, count: int) -> None:
        left = count

        def again() -> None:
            nonlocal left
            left -= 1
            if left:
                loop.call_soon(again)
            else:
                loop.stop()

        loop.call_soon(again)
        loop.run_forever()

    return bench.time(work, 100_000)


@row("call_later + cancel, 100,000 in one callback", "ns", Group.MICRO, Times(5))
def call_later_cancel(bench: Bench) -> float:
    """A loop that keeps a cancelled timer until later pays for it here, in the heap and in memory."""
    return time_cancelling(bench, 100_000)


@row("call_later + cancel, 1000 a turn", "ns", Group.MICRO)
def call_later_cancel_by_turns(bench: Bench) -> float:
    """Few at a time, as a server's timeouts are; what a loop puts off to the next turn is counted too."""
    return time_cancelling(bench, BATCH)


def time_cancelling(bench: Bench, batch: int) -> float:
    def work(loop: AbstractEventLoop, count: int) -> None:
        left = count

        def fill() -> None:
            nonlocal left
            if left <= 0:
                loop.stop()
                return
            left -= batch
            for _ in range(batch):
                loop.call_later(10, nothing).cancel()
            loop.call_soon(fill)

        loop.call_soon(fill)
        loop.run_forever()

    return bench.time(work, 100_000)


def random_deadlines(start: float, count: int) -> list[float]:
    """Uniform over one second from ``start``, the same for every loop."""
    draw = random.Random(1865).random
    return [start + draw() for _ in range(count)]


@row("100,000 timers due over 1 s at random: set, wait, fire", "ns", Group.MICRO, Times(2))
def timers_over_a_second(bench: Bench) -> Measured:
    """All are set at once, the first is due 0.5 s later; the CPU of waking up between them is counted.

    A loop that rounds to milliseconds wakes up some 500 times a second here, a precise one some 7,000 times; the
    details say how often (all samples and the warm-up).
    """
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    cost = time_timers(bench, lead=0.5, held=False)
    return Measured(cost, {"sleeps": resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before})


@row("100,000 timers due over 1 s at random: set, fire late in one turn", "ns", Group.MICRO)
def timers_in_one_turn(bench: Bench) -> float:
    """The loop is held up until all are due: the timer queue alone, without waking up."""
    return time_timers(bench, lead=0.0, held=True)


def time_timers(bench: Bench, *, lead: float, held: bool) -> float:
    """CPU ns a timer, set and fired. ``held`` blocks the loop, asleep, until the last is due."""

    def work(loop: AbstractEventLoop, count: int) -> None:
        left = count

        def fire() -> None:
            nonlocal left
            left -= 1
            if not left:
                loop.stop()

        def fill() -> None:
            for when in deadlines:
                loop.call_at(when, fire)
            if held:
                time.sleep(max(0.0, start + 1.001 - loop.time()))

        start = loop.time() + lead
        deadlines = random_deadlines(start, count)
        loop.call_soon(fill)
        loop.run_forever()

    return bench.time(work, 100_000, samples=3, fixed=True)


@row("call_soon_threadsafe from another thread", "ns", Group.MICRO, Times(1.5))
def call_soon_threadsafe(bench: Bench) -> float:
    """CPU of both threads, from the first call until the last callback ran."""

    def work(loop: AbstractEventLoop, count: int) -> None:
        def other() -> None:
            for _ in range(count):
                loop.call_soon_threadsafe(nothing)
            loop.call_soon_threadsafe(loop.stop)

        thread = Thread(target=other)
        loop.call_soon(thread.start)
        loop.run_forever()
        thread.join()

    return bench.time(work, 100_000, clock=time.process_time_ns)
