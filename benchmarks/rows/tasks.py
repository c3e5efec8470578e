"""Coroutines: what one step, one wake-up and one task cost. CPU time of the thread."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop

from benchmarks.bench import Bench
from benchmarks.registry import Group, Times, row


@row("await sleep(0)", "ns", Group.MICRO, Times(1.8))
def await_sleep_zero(bench: Bench) -> float:
    async def work(_: AbstractEventLoop, count: int) -> None:
        for _turn in range(count):
            await asyncio.sleep(0)

    return bench.time_coroutine(work, 100_000)


@row("await a future", "ns", Group.MICRO, Times(1.7))
def await_future(bench: Bench) -> float:
    """A new future, its result set by ``call_soon``, awaited."""

    async def work(loop: AbstractEventLoop, count: int) -> None:
        for _ in range(count):
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            await future

    return bench.time_coroutine(work, 50_000)


@row("create_task + await", "ns", Group.MICRO, Times(1.3))
def create_task_await(bench: Bench) -> float:
    async def child() -> None:
        pass

    async def work(loop: AbstractEventLoop, count: int) -> None:
        for _ in range(count):
            await loop.create_task(child())

    return bench.time_coroutine(work, 50_000)
