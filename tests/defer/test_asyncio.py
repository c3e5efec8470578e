"""Deferreds and asyncio: each awaits the other, both ways, on asyncio's loop and on Fate's."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

import fate
from fate import defer
from fate.defer import Deferred, inlineCallbacks, succeed

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=["asyncio", "fate"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Run a coroutine as a task; a Deferred that never fires fails instead of hanging."""
    factory = asyncio.SelectorEventLoop if request.param == "asyncio" else fate.Fate
    with asyncio.Runner(loop_factory=factory) as runner:
        yield lambda coroutine: runner.run(asyncio.wait_for(coroutine, 20))


def later(function: Callable[..., object], *args: Any) -> None:
    asyncio.get_running_loop().call_soon(function, *args)


def test_a_task_awaits_a_deferred(run: Run) -> None:
    async def main() -> Any:
        d = Deferred()
        later(d.callback, 3)
        return await d, await succeed(4)

    assert run(main()) == (3, 4)


def test_a_task_gets_a_deferreds_error(run: Run) -> None:
    async def main() -> None:
        d = Deferred()
        later(d.errback, ValueError("from a Deferred"))
        await d

    with pytest.raises(ValueError, match="from a Deferred"):
        run(main())


def test_two_tasks_await_one_deferred(run: Run) -> None:
    async def main() -> Any:
        d = Deferred()

        async def wait() -> Any:
            return await d

        tasks = [asyncio.create_task(wait()) for _ in range(2)]
        later(lambda: later(d.callback, 5))
        return await asyncio.gather(*tasks)

    assert run(main()) == [5, 5]


def test_a_task_that_is_cancelled_cancels_its_deferred(run: Run, reported: Any) -> None:
    async def main() -> Any:
        cancelled: list[Any] = []
        d = Deferred(cancelled.append)

        async def wait() -> None:
            await d

        task = asyncio.create_task(wait())
        later(lambda: later(task.cancel))
        with pytest.raises(asyncio.CancelledError):
            await task
        return cancelled == [d]

    assert run(main())
    assert reported.lost == []


def test_wait_for_and_gather_take_deferreds(run: Run) -> None:
    async def main() -> Any:
        first, second, never = Deferred(), Deferred(), Deferred()
        later(first.callback, 1)
        later(second.callback, 2)
        both = await asyncio.gather(first, second)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(never, 0.001)
        return both, never.called

    assert run(main()) == ([1, 2], True)


def test_a_deferred_is_no_future_for_asyncio(run: Run) -> None:
    async def main() -> bool:
        return asyncio.isfuture(Deferred())

    assert run(main()) is False


def test_a_coroutine_run_by_a_deferred_awaits_futures_and_sleeps(run: Run) -> None:
    async def main() -> Any:
        async def work() -> Any:
            future = asyncio.get_running_loop().create_future()
            later(future.set_result, "future")
            first = await future
            failing = asyncio.get_running_loop().create_future()
            later(failing.set_exception, KeyError("future"))
            with pytest.raises(KeyError):
                await failing
            await asyncio.sleep(0.001)
            inner = Deferred()
            later(inner.callback, "Deferred")
            return first, await inner

        return await Deferred.fromCoroutine(work())

    assert run(main()) == ("future", "Deferred")


def test_cancelling_reaches_the_future_that_a_coroutine_awaits(run: Run) -> None:
    async def main() -> Any:
        future = asyncio.get_running_loop().create_future()

        async def work() -> Any:
            try:
                await future
            except asyncio.CancelledError:
                return "cancelled"

        d = Deferred.fromCoroutine(work())
        d.cancel()
        return await d, future.cancelled()

    assert run(main()) == ("cancelled", True)


def test_inline_callbacks_run_under_a_task(run: Run) -> None:
    @inlineCallbacks
    def function() -> Any:
        d = Deferred()
        later(d.callback, 1)
        first = yield d
        second = yield coroutine()
        return first + second

    async def coroutine() -> int:
        d = Deferred()
        later(d.callback, 2)
        value: int = await d
        return value

    async def main() -> Any:
        return await function()

    assert run(main()) == 3


def test_futures_and_deferreds_are_made_of_each_other(run: Run) -> None:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        d = Deferred()
        future = d.asFuture(loop)
        later(d.callback, 1)
        first = await future
        source = loop.create_future()
        later(source.set_result, 2)
        return first, await Deferred.fromFuture(source), await Deferred.fromFuture(asyncio.create_task(number()))

    async def number() -> int:
        return 3

    assert run(main()) == (1, 2, 3)


def test_a_future_that_is_cancelled_fails_its_deferred(run: Run) -> None:
    async def main() -> Any:
        future = asyncio.get_running_loop().create_future()
        d = Deferred.fromFuture(future)
        later(future.cancel)
        results: list[Any] = []
        d.addErrback(results.append)
        await asyncio.sleep(0.001)
        return results[0].check(asyncio.CancelledError)

    assert run(main()) is asyncio.CancelledError


def test_anything_that_can_be_awaited_becomes_a_deferred() -> None:
    loop = fate.Fate()

    async def main() -> Any:
        fuse = loop.get_fuse()
        d = defer.fromAwaitable(fuse)
        later(fuse.burn, "burnt")
        return await d

    try:
        assert loop.run_until_complete(main()) == "burnt"
    finally:
        loop.close()


def test_a_generator_keeps_its_context(run: Run) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="outer")

    @inlineCallbacks
    def function(waits: Any) -> Any:
        variable.set("inner")
        yield waits
        return variable.get()

    async def main() -> Any:
        waits = Deferred()
        d = function(waits)
        later(waits.callback, None)
        return await d, variable.get()

    assert run(main()) == ("inner", "outer")


def test_outside_a_loop_deferreds_have_nothing_of_a_futures() -> None:
    assert not hasattr(Deferred(), "_asyncio_future_blocking")
    with pytest.raises(AttributeError, match="get_loop"):
        Deferred().get_loop()


def test_a_cancelled_task_does_not_give_another_one_a_false_result(run: Run) -> None:
    async def main() -> Any:
        d = Deferred()

        async def wait() -> Any:
            return await d

        first, second = (asyncio.create_task(wait()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        return await asyncio.gather(first, second, return_exceptions=True)

    first, second = run(main())
    assert type(first) is asyncio.CancelledError
    assert type(second) is defer.CancelledError


def test_a_cancelled_task_that_awaited_several_leaves_no_error_of_its_own(run: Run, reported: Any) -> None:
    async def main() -> None:
        async def wait() -> Any:
            return await defer.gatherResults([Deferred(), Deferred()], consumeErrors=True)

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    gc.collect()
    assert reported.lost == []


def test_a_deferred_fired_by_another_thread_wakes_the_task(run: Run) -> None:
    async def main() -> Any:
        asyncio.get_running_loop().set_debug(True)
        d = Deferred()

        async def wait() -> Any:
            return await d

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        thread = threading.Thread(target=d.callback, args=(1,))
        thread.start()
        thread.join()
        return await task

    assert run(main()) == 1


def test_a_task_whose_loop_is_closed_does_not_spoil_the_result() -> None:
    d = Deferred()

    async def wait() -> Any:
        return await d

    async def begin() -> None:
        waiting = wait()
        future = waiting.send(None)
        future.add_done_callback(lambda _: None)

        def close() -> None:
            with pytest.raises(RuntimeError):
                waiting.throw(RuntimeError)

        later(close)
        await asyncio.sleep(0)

    with asyncio.Runner() as runner:
        runner.run(begin())
    results: list[Any] = []
    d.callback("kept")
    d.addBoth(results.append)
    assert results == ["kept"]


def test_a_future_of_a_deferred_that_fails_with_stop_iteration_is_done(run: Run) -> None:
    async def main() -> None:
        d = Deferred()
        future = d.asFuture(asyncio.get_running_loop())
        d.errback(StopIteration(3))
        await future

    with pytest.raises(RuntimeError, match="StopIteration"):
        run(main())


def test_a_canceller_that_raises_does_not_keep_a_task_from_being_cancelled(run: Run, reported: Any) -> None:
    def canceller(_: object) -> None:
        raise ValueError("cannot stop it")

    async def main() -> None:
        d = Deferred(canceller)

        async def wait() -> None:
            await d

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        d.callback("late")

    run(main())
    assert [str(failure.value) for failure, _ in reported.logged] == ["cannot stop it"]
