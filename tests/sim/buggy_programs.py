"""Programs with a mistake that a cancellation, a stall or a late timer brings out, most behind a time-out."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any


async def wake_up_lost_behind_a_time_out() -> None:
    """Who is cancelled while it has the room never says that it is free."""
    free = asyncio.Event()
    free.set()

    async def use() -> None:
        await asyncio.wait_for(free.wait(), 60)
        free.clear()
        await asyncio.sleep(0.01)
        free.set()

    await asyncio.gather(use(), return_exceptions=True)
    await use()


async def slot_leaked_by_a_cancel() -> None:
    slots = asyncio.Semaphore(1)

    async def use() -> None:
        await slots.acquire()
        await asyncio.sleep(0.01)
        slots.release()

    await asyncio.gather(use(), return_exceptions=True)
    async with asyncio.timeout(30):
        await slots.acquire()


async def slot_leaked_while_a_heart_beats() -> None:
    """There is always a timer."""
    slots = asyncio.Semaphore(1)

    async def beat() -> None:
        while True:
            await asyncio.sleep(1)

    async def use() -> None:
        await slots.acquire()
        await asyncio.sleep(0.01)
        slots.release()

    heart = asyncio.create_task(beat())
    try:
        await asyncio.gather(use(), return_exceptions=True)
        async with asyncio.timeout(30):
            await slots.acquire()
    finally:
        heart.cancel()


async def slot_of_a_task_that_never_began() -> None:
    """The semaphore is taken for a task, whose finally gives it back: but nothing of one that never begins runs."""
    slots = asyncio.Semaphore(1)

    async def work() -> None:
        try:
            pass
        finally:
            slots.release()

    await slots.acquire()
    await asyncio.gather(work(), return_exceptions=True)
    async with asyncio.timeout(30):
        await slots.acquire()


class Lock:
    """Hands itself to the first waiter, who may be gone by then."""

    def __init__(self) -> None:
        self.held = False
        self.waiters: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> None:
        if self.held:
            waiter = asyncio.get_running_loop().create_future()
            self.waiters.append(waiter)
            await waiter
        self.held = True

    def release(self) -> None:
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.held = False


async def lock_handed_to_one_who_is_gone() -> None:
    lock = Lock()

    async def work() -> None:
        await lock.acquire()
        try:
            await asyncio.sleep(0.01)
        finally:
            lock.release()

    await lock.acquire()
    task = asyncio.create_task(work())
    await asyncio.sleep(0.01)
    lock.release()
    await asyncio.wait([task])
    async with asyncio.timeout(1):
        await lock.acquire()


class Shared:
    """One call for all who ask for the same key."""

    def __init__(self, load: Callable[[str], Awaitable[str]]) -> None:
        self.load = load
        self.running: dict[str, asyncio.Future[str]] = {}

    async def get(self, key: str) -> str:
        running = self.running.get(key)
        if running is None:
            running = self.running[key] = asyncio.ensure_future(self.load(key))  # type: ignore[arg-type]
        return await running


async def _load(key: str) -> str:
    await asyncio.sleep(0.1)
    return key.upper()


async def call_cancelled_for_all() -> None:
    """One who asks is cancelled, and so is the call that others wait for."""
    shared = Shared(_load)
    first = asyncio.create_task(shared.get("key"))
    await asyncio.sleep(0.01)
    assert await shared.get("key") == "KEY"
    await asyncio.wait([first])


async def call_that_stays_cancelled() -> None:
    """The cancelled call stays in the cache."""
    shared = Shared(_load)
    await asyncio.gather(shared.get("key"), return_exceptions=True)
    assert await shared.get("key") == "KEY"


class Raised:
    """The first who asks computes; the others get what that raised, its cancellation too."""

    def __init__(self) -> None:
        self.running: dict[str, asyncio.Future[str]] = {}

    async def get(self, key: str) -> str:
        running = self.running.get(key)
        if running is not None:
            return await running
        future = self.running[key] = asyncio.get_running_loop().create_future()
        try:
            value = await _load(key)
        except BaseException as error:
            future.set_exception(error)
            raise
        future.set_result(value)
        return value


async def cancellation_raised_in_another() -> None:
    shared = Raised()
    first = asyncio.create_task(shared.get("key"))
    await asyncio.sleep(0.01)
    assert await shared.get("key") == "KEY"
    await asyncio.wait([first])


async def computed_for_those_who_wait_for_ever() -> None:
    """The one who computes is cancelled: the others are never told, but for their time-out."""
    done: dict[str, asyncio.Future[str]] = {}

    async def get(key: str) -> str:
        if key in done:
            return await asyncio.wait_for(asyncio.shield(done[key]), 60)
        done[key] = asyncio.get_running_loop().create_future()
        value = await _load(key)
        done[key].set_result(value)
        return value

    first = asyncio.create_task(get("key"))
    await asyncio.sleep(0.01)
    assert await get("key") == "KEY"
    await asyncio.wait([first])


async def await_in_finally() -> None:
    """A cancellation strikes in the finally: the count stays wrong."""
    busy: list[int] = []

    async def work() -> None:
        busy.append(1)
        try:
            await asyncio.sleep(0.1)
        finally:
            await asyncio.sleep(0.05)
            busy.pop()

    task = asyncio.create_task(work())
    await asyncio.wait([task])
    assert not busy, "somebody is still counted"


async def answer_of_another() -> None:
    """A request that was given up leaves its answer for the next one."""
    answers: asyncio.Queue[str] = asyncio.Queue()

    async def request(what: str, seconds: float) -> str:
        asyncio.get_running_loop().call_later(seconds, answers.put_nowait, what)
        return await answers.get()

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            await request("first", 0.1)
    assert await request("second", 0.1) == "second"


async def timer_against_timer() -> None:
    """It relies on who has set a timer first being called first, though time passes between the two."""
    order: list[str] = []
    loop = asyncio.get_running_loop()
    loop.call_later(0.1, order.append, "first")
    await asyncio.sleep(0.05)
    loop.call_later(0.06, order.append, "second")
    await asyncio.sleep(0.3)
    assert order == ["first", "second"]


async def result_that_comes_with_the_time_out() -> None:
    """A lease is used after it has run out, if the step before took long."""
    loop = asyncio.get_running_loop()
    leased_until = loop.time() + 0.5

    async def renew() -> None:
        nonlocal leased_until
        while True:
            await asyncio.sleep(0.25)
            leased_until = loop.time() + 0.5

    renewing = asyncio.create_task(renew())
    try:
        for _ in range(4):
            await asyncio.sleep(0.2)
            assert renewing.done() or loop.time() < leased_until, "the lease has run out"
    finally:
        renewing.cancel()
        await asyncio.wait([renewing])


BUGGY: dict[Callable[[], Awaitable[Any]], str] = {
    wake_up_lost_behind_a_time_out: "TimeoutError",
    slot_leaked_by_a_cancel: "TimeoutError",
    slot_leaked_while_a_heart_beats: "TimeoutError",
    slot_of_a_task_that_never_began: "TimeoutError",
    lock_handed_to_one_who_is_gone: "TimeoutError",
    call_cancelled_for_all: "CancelledError",
    call_that_stays_cancelled: "CancelledError",
    cancellation_raised_in_another: "CancelledError",
    computed_for_those_who_wait_for_ever: "TimeoutError",
    await_in_finally: "AssertionError",
    answer_of_another: "AssertionError",
    timer_against_timer: "AssertionError",
    result_that_comes_with_the_time_out: "AssertionError",
}
