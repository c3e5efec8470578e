"""Callbacks and tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from threading import Thread
from typing import Any

from benchmarks.growth.operations.common import ORDERS, nothing, ordered, turns
from benchmarks.growth.registry import operation
from fate import Fate


@operation("call_soon, run in one turn")
def call_soon(loop: Fate, n: int) -> Iterator[None]:
    yield
    for _ in range(n):
        loop.call_soon(nothing)
    turns(loop)
    yield


@operation("call_soon, each from the one before")
def call_soon_chain(loop: Fate, n: int) -> Iterator[None]:
    left = n

    def again() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(again)
        else:
            loop.stop()

    yield
    loop.call_soon(again)
    loop.run_forever()
    yield


@operation("call_soon of many in a long queue, cancelled in the same turn")
def call_soon_cancelled(loop: Fate, n: int) -> Iterator[None]:
    yield
    for handle in reversed([loop.call_soon(nothing) for _ in range(n)]):
        handle.cancel()
    turns(loop)
    yield


@operation("call_soon_threadsafe from another thread")
def call_soon_threadsafe(loop: Fate, n: int) -> Iterator[None]:
    def call() -> None:
        for _ in range(n):
            loop.call_soon_threadsafe(nothing)
        loop.call_soon_threadsafe(loop.stop)

    thread = Thread(target=call)
    yield
    thread.start()
    loop.run_forever()
    yield
    thread.join()


@operation("loop.scheduled() of so many callbacks and timers")
def scheduled(loop: Fate, n: int) -> Iterator[None]:
    for _ in range(n // 2):
        loop.call_soon(nothing)
        loop.call_later(60, nothing)
    yield
    assert len(loop.scheduled()) >= n - 1
    yield


@operation("a turn by hand, of the loop itself, in each of many callbacks")
def nested_turns(loop: Fate, n: int) -> Iterator[None]:
    def turn() -> None:
        loop.turn()

    yield
    for _ in range(n):
        loop.call_soon(nothing)
    loop.call_soon(turn)
    turns(loop, 2)
    yield


@operation("tasks made, and awaited by gather")
def tasks_gathered(loop: Fate, n: int) -> Iterator[None]:
    async def one() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(one() for _ in range(n)))

    yield
    loop.run_until_complete(main())
    yield


@operation("tasks on one lock, each has it once")
def tasks_on_a_lock(loop: Fate, n: int) -> Iterator[None]:
    lock = asyncio.Lock()

    async def one() -> None:
        async with lock:
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(one() for _ in range(n)))

    yield
    loop.run_until_complete(main())
    yield


@operation("futures awaited by one task each, and cancelled")
def futures_cancelled(loop: Fate, n: int) -> Iterator[None]:
    async def one() -> Any:
        await loop.create_future()

    tasks = [loop.create_task(one()) for _ in range(n)]
    turns(loop)
    yield
    for task in ordered(tasks, ORDERS[1]):
        task.cancel()
    turns(loop, 3)
    yield


@operation("tasks that sleep cancelled, newest first")
def sleepers_cancelled(loop: Fate, n: int) -> Iterator[None]:
    tasks = [loop.create_task(asyncio.sleep(60)) for _ in range(n)]
    turns(loop)
    yield
    for task in ordered(tasks, ORDERS[1]):
        task.cancel()
    turns(loop, 3)
    yield


@operation("jobs for the default executor", most=20_000)
def executor_jobs(loop: Fate, n: int) -> Iterator[None]:
    async def main() -> None:
        await asyncio.gather(*(loop.run_in_executor(None, nothing) for _ in range(n)))

    yield
    loop.run_until_complete(main())
    yield
    loop.run_until_complete(loop.shutdown_default_executor())
