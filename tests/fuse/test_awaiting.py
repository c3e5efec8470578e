"""Awaiting a fuse."""

from __future__ import annotations

import asyncio
import gc

import pytest
from support import Log, VirtualFate, turns

from fate import Fate, Fuse


def test_awaiting_gives_the_value(loop: Fate) -> None:
    async def main() -> object:
        fuse = loop.get_fuse()
        loop.call_soon(fuse.burn, "value")
        return await fuse

    assert loop.run_until_complete(main()) == "value"


def test_awaiting_a_fuse_that_has_burned_gives_the_value_at_once_and_again(loop: Fate) -> None:
    async def main() -> list[object]:
        fuse = loop.get_fuse()
        fuse.burn("value")
        return [await fuse, await fuse]

    assert loop.run_until_complete(main()) == ["value", "value"]


def test_awaiting_a_time_fuse_waits_until_then(virtual: VirtualFate) -> None:
    async def main() -> tuple[object, float]:
        return await virtual.get_fuse(3), virtual.time()

    value, when = virtual.run_until_complete(main())
    assert value is None
    assert when == pytest.approx(3, abs=1e-8)


@pytest.mark.parametrize("before", [True, False])
def test_awaiting_raises_the_error_of_a_fuse_that_fails(loop: Fate, reports: list, before: bool) -> None:
    error = LookupError("why")

    async def main() -> None:
        fuse = loop.get_fuse()
        if before:
            fuse.fail(error)
        else:
            loop.call_soon(fuse.fail, error)
        with pytest.raises(LookupError) as caught:
            await fuse
        assert caught.value is error

    loop.run_until_complete(main())
    gc.collect()
    assert reports == []


@pytest.mark.parametrize("before", [True, False])
def test_awaiting_a_cancelled_fuse_raises_cancelled_error(loop: Fate, before: bool) -> None:
    async def main() -> None:
        fuse = loop.get_fuse()
        if before:
            fuse.cancel()
        else:
            loop.call_soon(fuse.cancel)
        with pytest.raises(asyncio.CancelledError):
            await fuse

    loop.run_until_complete(main())


def test_two_awaiters_and_a_handler_all_hear(loop: Fate, log: Log) -> None:
    async def wait(fuse: Fuse) -> object:
        return await fuse

    async def main() -> list[object]:
        fuse = loop.get_fuse()
        fuse.add_handler(log.note("handler"))
        tasks = [loop.create_task(wait(fuse)) for _ in range(2)]
        await asyncio.sleep(0)
        fuse.burn(7)
        return await asyncio.gather(*tasks)

    assert loop.run_until_complete(main()) == [7, 7]
    turns(loop, 2)
    assert log == ["handler"]


def test_cancelling_one_awaiter_leaves_the_fuse_and_the_other(loop: Fate) -> None:
    async def wait(fuse: Fuse) -> object:
        return await fuse

    async def main() -> object:
        fuse = loop.get_fuse()
        one, other = loop.create_task(wait(fuse)), loop.create_task(wait(fuse))
        await asyncio.sleep(0)
        one.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one
        assert not fuse.is_over()
        fuse.burn("still")
        return await other

    assert loop.run_until_complete(main()) == "still"


def test_wait_for_that_times_out_leaves_nothing_behind(virtual: VirtualFate) -> None:
    async def wait(fuse: Fuse) -> object:
        return await fuse

    async def main() -> None:
        fuse = virtual.get_fuse()
        for _ in range(50):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait(fuse), 1)
        assert not fuse._watchers
        assert not fuse.is_over()

    virtual.run_until_complete(main())
    assert virtual._timers.count == 0


def test_an_awaited_fuse_that_burned_does_not_wait_for_a_handler(loop: Fate) -> None:
    async def main() -> None:
        fuse = loop.get_fuse()
        loop.call_soon(fuse.burn)
        await fuse
        assert loop.fuses == []

    loop.run_until_complete(main())


def test_awaiting_in_a_task_group_and_gather_works(virtual: VirtualFate) -> None:
    async def wait(seconds: float) -> float:
        await virtual.get_fuse(seconds)
        return seconds

    async def main() -> list[float]:
        return await asyncio.gather(*(wait(seconds) for seconds in (3, 1, 2)))

    assert virtual.run_until_complete(main()) == [3, 1, 2]
    assert virtual.time() == pytest.approx(3, abs=1e-7)
