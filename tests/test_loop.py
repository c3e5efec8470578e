"""Ways to get a Fate, what a Fate is to asyncio, and its debug mode."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import selectors
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
from support import DEADLINE, printed, turns

import fate
from fate import Fate
from fate.errors import WrongThreadError
from fate.loop import STDLIB_NAMES
from fate.policy import set_policy

# -- descriptors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("selector", [None, selectors.SelectSelector])
@pytest.mark.parametrize("direction", ["reader", "writer"])
def test_a_socket_that_was_closed_meanwhile_is_not_watched_any_more(
    direction: str, selector: type[selectors.BaseSelector] | None
) -> None:
    """As with asyncio's selectors: anyio closes its Unix sockets before it takes them out."""
    loop = Fate(selector() if selector else None)
    near, far = socket.socketpair()
    with near, far:
        number = near.fileno()
        getattr(loop, f"add_{direction}")(near, print)
        near.close()
        assert getattr(loop, f"remove_{direction}")(near) is True
        with pytest.raises(KeyError):
            loop._poll.get_key(number)
        with pytest.raises(ValueError, match="-1"):
            getattr(loop, f"remove_{direction}")(near)
    loop.close()


def test_a_closed_socket_takes_nothing_from_the_one_that_got_its_number() -> None:
    loop = Fate()
    old, other = socket.socketpair()
    with old, other:
        number = old.fileno()
        loop.add_reader(old, print)
        old.close()
        new, far = socket.socketpair()
        with new, far:
            assert new.fileno() == number
            loop.add_reader(new.fileno(), loop.stop)
            with pytest.raises(ValueError, match="-1"):
                loop.remove_reader(old)
            assert loop.remove_reader(new.fileno()) is True
    loop.close()


# -- ways to a Fate ---------------------------------------------------------------------------------------------------


async def running() -> asyncio.AbstractEventLoop:
    await asyncio.sleep(0)
    return asyncio.get_running_loop()


def test_run_runs_a_coroutine_on_a_new_fate_gives_its_result_and_closes_the_loop() -> None:
    loop = fate.run(running())
    assert type(loop) is Fate
    assert loop.is_closed()


def test_run_raises_what_the_coroutine_raises() -> None:
    async def main() -> None:
        raise LookupError("why")

    with pytest.raises(LookupError, match="why"):
        fate.run(main())


def test_run_in_debug_mode() -> None:
    async def main() -> bool:
        return asyncio.get_running_loop().get_debug()

    assert fate.run(main(), debug=True) is True
    assert fate.run(main(), debug=False) is False


def test_run_cancels_what_is_left_and_closes_async_generators() -> None:
    log: list[str] = []

    async def generator() -> Any:
        try:
            yield 1
            yield 2
        finally:
            log.append("generator closed")

    async def left() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    async def main() -> None:
        task = asyncio.create_task(left())
        values = generator()
        kept.append((task, values))
        assert await anext(values) == 1

    kept: list[Any] = []
    fate.run(main())
    assert log == ["cancelled", "generator closed"]


def test_run_ends_with_keyboard_interrupt_and_the_task_is_cancelled() -> None:
    assert (
        printed(
            """
            import asyncio, signal, fate

            async def main():
                asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    print("cancelled")
                    raise

            try:
                fate.run(main())
            except KeyboardInterrupt:
                print("interrupted")
            """
        )
        == "cancelled\ninterrupted"
    )


def test_new_event_loop_is_a_fate_and_another_each_time() -> None:
    one, other = fate.new_event_loop(), fate.new_event_loop()
    assert type(one) is type(other) is Fate
    assert one is not other
    one.close()
    other.close()


@pytest.mark.parametrize("factory", [Fate, fate.new_event_loop])
def test_a_runner_takes_it_as_its_loop_factory(factory: Any) -> None:
    with asyncio.Runner(loop_factory=factory) as runner:
        first, second = runner.run(running()), runner.run(running())
    assert first is second
    assert type(first) is Fate


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio.run takes a loop_factory since 3.12")
def test_asyncio_run_takes_it_as_its_loop_factory() -> None:
    assert type(asyncio.run(running(), loop_factory=Fate)) is Fate  # type: ignore[call-arg]


@pytest.fixture
def policy() -> Iterator[None]:
    """The policy of before comes back."""
    yield
    set_policy(None)


@pytest.mark.usefixtures("policy")
def test_install_makes_fate_what_asyncio_uses() -> None:
    fate.install()  # which warns nowhere: warnings are errors here
    assert type(asyncio.run(running())) is Fate
    loop = asyncio.new_event_loop()
    assert type(loop) is Fate
    loop.close()
    with asyncio.Runner() as runner:
        assert type(runner.get_loop()) is Fate


@pytest.mark.filterwarnings("ignore:'asyncio[.].*[pP]olicy' is deprecated")  # since Python 3.14
@pytest.mark.usefixtures("policy")
def test_the_policy_makes_fates_and_is_asyncios_own_in_everything_else() -> None:
    policy = fate.EventLoopPolicy()
    assert isinstance(policy, asyncio.DefaultEventLoopPolicy)
    asyncio.set_event_loop_policy(policy)
    loop = policy.new_event_loop()
    policy.set_event_loop(loop)
    assert asyncio.get_event_loop_policy().get_event_loop() is loop
    policy.set_event_loop(None)
    loop.close()


def test_after_install_subprocesses_and_other_threads_work_too() -> None:
    assert (
        printed(
            """
            import asyncio, sys, threading, fate
            fate.install()

            async def main(*names):
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", "print(7)", stdout=asyncio.subprocess.PIPE)
                out, _ = await process.communicate()
                print(type(asyncio.get_running_loop()).__name__, out.decode().strip())

            asyncio.run(main())
            thread = threading.Thread(target=lambda: asyncio.run(main()))
            thread.start()
            thread.join()
            """
        )
        == "Fate 7\nFate 7"
    )


@pytest.mark.skipif(sys.version_info < (3, 14), reason="asyncio itself needs its policies before")
def test_nothing_is_missed_that_python_3_16_is_to_have_no_more() -> None:
    assert (
        printed(
            """
            import asyncio, sys, threading
            from asyncio import coroutines, events, runners, unix_events

            class Local(threading.local):
                loop = None

            local = Local()
            for module in (asyncio, coroutines, events, unix_events):
                for name in list(vars(module)):
                    if "policy" in name.lower() or name == "iscoroutinefunction":
                        delattr(module, name)
            for name, instead in {
                "new_event_loop": unix_events.SelectorEventLoop,
                "set_event_loop": lambda loop: setattr(local, "loop", loop),
            }.items():
                setattr(asyncio, name, instead)
                setattr(events, name, instead)

            import fate

            async def main():
                server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                assert await reader.read() == b""
                writer.close()
                server.close()
                child = await asyncio.create_subprocess_exec(sys.executable, "-c", "print(7)", stdout=-1)
                out, _ = await child.communicate()
                print(type(asyncio.get_running_loop()).__name__, out.decode().strip())

            fate.run(main())
            with asyncio.Runner(loop_factory=fate.Fate) as runner:
                runner.run(main())
            fate.install()
            asyncio.run(main())
            loop = asyncio.new_event_loop()
            print(type(loop).__name__)
            loop.close()
            """
        )
        == "Fate 7\nFate 7\nFate 7\nFate"
    )


# -- what it is -------------------------------------------------------------------------------------------------------


def test_the_private_names_of_asyncio_that_it_leans_on_all_exist() -> None:
    missing = [
        f"{owner.__name__}.{name}"
        for owner, names in STDLIB_NAMES.items()
        for name in names
        if not hasattr(owner, name)
    ]
    assert missing == []
    assert all(isinstance(owner, ModuleType | type) for owner in STDLIB_NAMES)


def test_it_is_asyncios_selector_loop_with_an_open_and_a_closed_state() -> None:
    loop = Fate()
    assert isinstance(loop, asyncio.SelectorEventLoop)
    assert not loop.is_closed()
    assert not loop.is_running()
    loop.close()
    loop.close()
    assert loop.is_closed()


def test_its_clock_is_time_monotonic(loop: Fate) -> None:
    before = time.monotonic()
    now = loop.time()
    assert before <= now <= time.monotonic()


def test_timers_go_by_a_time_that_is_put_on_the_loop_and_every_turn_looks_at_it(loop: Fate) -> None:
    """As with asyncio: aiohttp's tests patch `time` of the running loop."""
    told: list[str] = []

    async def main() -> None:
        now = loop.time()
        with mock.patch.object(loop, "time") as time:
            time.return_value = now
            assert loop.time() == now
            loop.call_at(now + 0.1, told.append, "at")
            loop.call_later(0.1, told.append, "later")
            loop.call_at(now + 1e6, told.append, "much later")
            for _ in range(3):
                await asyncio.sleep(0)
            assert told == []
            time.return_value = now + 0.1
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert told == ["at", "later"]
        assert now <= loop.time() < now + DEADLINE
        await asyncio.sleep(0.001)
        assert told == ["at", "later"]

    loop.run_until_complete(main())
    with pytest.raises(AttributeError):
        del loop.time
    assert Fate.time(loop) == pytest.approx(time.monotonic(), abs=DEADLINE)


def test_a_timer_that_is_due_at_just_the_time_that_a_subclass_tells_fires() -> None:
    class Moved(Fate):
        now = 10.1

        def time(self) -> float:
            return self.now

    loop = Moved()
    told: list[float] = []
    for moment in (10.1, 4.35, 0.1 + 0.2, 12345.678):  # of which some are no whole nanoseconds in binary
        loop.now = moment - 1
        loop.call_later(1.0, told.append, moment)
        loop.now = moment
        turns(loop)
        assert told[-1:] == [moment]
    loop.close()


def test_it_runs_on_a_selector_of_ones_own() -> None:
    class Counting(selectors.SelectSelector):
        calls = 0

        def select(self, timeout: float | None = None) -> Any:
            self.calls += 1
            return super().select(timeout)

    selector = Counting()
    loop = Fate(selector)

    async def main() -> str:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
        await asyncio.to_thread(int)
        await loop.get_fuse(0.001)
        return "done"

    assert loop.run_until_complete(main()) == "done"
    assert selector.calls > 3
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_a_selector_gets_seconds_to_wait_or_none_for_as_long_as_it_takes() -> None:
    asked: list[float | None] = []

    class Asked(selectors.SelectSelector):
        def select(self, timeout: float | None = None) -> Any:
            asked.append(timeout)
            loop.stop()
            return super().select(0)

    loop = Fate(Asked())
    loop.run_forever()
    timer = loop.call_later(1000, int)
    loop.run_forever()
    timer.cancel()
    loop.call_soon(int)
    loop.run_forever()
    loop.close()
    assert asked[0] is None
    assert asked[1] == pytest.approx(1000, abs=DEADLINE)
    assert asked[2] == 0


@pytest.mark.parametrize("broken", [RuntimeError("no more"), OSError(5, "I/O error")])
def test_an_error_of_the_selector_comes_out_and_the_loop_can_run_again(broken: Exception) -> None:
    class Breaking(selectors.SelectSelector):
        broken: Exception | None = None

        def select(self, timeout: float | None = None) -> Any:
            if self.broken is not None:
                error, self.broken = self.broken, None
                raise error
            return super().select(timeout)

    selector = Breaking()
    loop = Fate(selector)
    selector.broken = broken
    with pytest.raises(type(broken)):
        loop.run_forever()
    assert loop.run_until_complete(asyncio.sleep(0, "again")) == "again"
    loop.close()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
@pytest.mark.filterwarnings("error")
def test_eager_tasks_run_at_once_until_they_wait(loop: Fate) -> None:
    log: list[str] = []

    async def quick() -> str:
        log.append("quick")
        return "value"

    async def slow() -> str:
        log.append("slow begins")
        await asyncio.sleep(0)
        log.append("slow ends")
        return "slow"

    async def main() -> None:
        task = asyncio.create_task(quick())
        assert task.done()
        assert task.result() == "value"
        waiting = asyncio.create_task(slow())
        log.append("main")
        assert await waiting == "slow"
        async with asyncio.TaskGroup() as group:
            children = [group.create_task(quick()) for _ in range(3)]
        assert [child.result() for child in children] == ["value"] * 3

    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    loop.run_until_complete(main())
    assert log == ["quick", "slow begins", "main", "slow ends", "quick", "quick", "quick"]


def test_a_task_factory_is_asked_for_every_task(loop: Fate) -> None:
    made: list[Any] = []

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

    loop.set_task_factory(factory)
    assert loop.run_until_complete(asyncio.sleep(0, 1)) == 1
    assert len(made) == 1


# -- debug mode -------------------------------------------------------------------------------------------------------


def test_a_slow_callback_is_named_in_a_warning_and_a_quick_one_is_not(
    loop: Fate, caplog: pytest.LogCaptureFixture
) -> None:
    def dawdle() -> None:
        time.sleep(0.02)

    loop.set_debug(True)
    loop.slow_callback_duration = 0.01
    loop.call_soon(dawdle)
    loop.call_soon(int)
    with caplog.at_level(logging.WARNING, "asyncio"):
        turns(loop)
    (record,) = [record for record in caplog.records if "Executing" in record.message]
    assert "dawdle" in record.message
    assert "test_loop.py" in record.message


def test_a_slow_step_of_a_task_is_named_by_its_task(loop: Fate, caplog: pytest.LogCaptureFixture) -> None:
    async def dawdle() -> None:
        time.sleep(0.02)

    loop.set_debug(True)
    loop.slow_callback_duration = 0.01
    with caplog.at_level(logging.WARNING, "asyncio"):
        loop.run_until_complete(dawdle())
    assert any("Executing <Task" in record.message and "dawdle" in record.message for record in caplog.records)


def test_out_of_debug_mode_nobody_is_timed(loop: Fate, caplog: pytest.LogCaptureFixture) -> None:
    loop.slow_callback_duration = 0.0
    loop.call_soon(int)
    turns(loop)
    loop.set_debug(True)
    loop.set_debug(False)
    loop.call_soon(int)
    turns(loop)
    assert caplog.records == []


@pytest.mark.parametrize("method", ["call_soon", "call_later", "call_at"])
def test_in_debug_mode_a_call_from_a_wrong_thread_is_an_error_and_the_loop_goes_on(loop: Fate, method: str) -> None:
    caught: list[BaseException] = []
    arguments: tuple[Any, ...] = (int,) if method == "call_soon" else (0, int)

    def thread() -> None:
        try:
            getattr(loop, method)(*arguments)
        except WrongThreadError as error:
            caught.append(error)
        loop.call_soon_threadsafe(loop.stop)

    loop.set_debug(True)
    worker = threading.Thread(target=thread, name="the worker")
    loop.call_soon(worker.start)
    loop.run_forever()
    worker.join()
    (error,) = caught
    assert isinstance(error, RuntimeError)
    assert method in str(error)
    assert "the worker" in str(error)
    assert "call_soon_threadsafe" in str(error)
    turns(loop)


@pytest.mark.parametrize("callback", [None, 1, running])
def test_in_debug_mode_what_cannot_be_called_back_is_an_error_at_once(loop: Fate, callback: Any) -> None:
    loop.set_debug(True)
    with pytest.raises(TypeError):
        loop.call_soon(callback)


def test_in_debug_mode_a_report_tells_where_the_callback_was_scheduled(loop: Fate, reports: list) -> None:
    loop.set_debug(True)
    loop.call_soon(lambda: 1 / 0)
    turns(loop)
    (report,) = reports
    assert "test_loop.py" in report["source_traceback"][-1].filename
    assert "loop.call_soon(lambda: 1 / 0)" in report["source_traceback"][-1].line


def test_in_debug_mode_coroutines_know_where_they_were_made() -> None:
    loop = Fate()
    loop.set_debug(True)

    async def main() -> None:
        forgotten()  # type: ignore[unused-coroutine]

    async def forgotten() -> None: ...

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop.run_until_complete(main())
        loop.close()
    text = "\n".join(str(warning.message) for warning in caught)
    assert "was never awaited" in text
    assert "Coroutine created at" in text
    assert sys.get_coroutine_origin_tracking_depth() == 0


def test_a_signal_that_comes_just_before_the_poll_is_not_slept_through() -> None:
    libc = ctypes.CDLL(None)
    loop = Fate()
    too_late: list[bool] = []
    timer = threading.Timer(DEADLINE, loop.call_soon_threadsafe, [too_late.append, True])
    timer.start()
    try:
        loop.call_soon(libc.kill, os.getpid(), signal.SIGINT)  # C calls C: Python sees the signal no earlier
        with pytest.raises(KeyboardInterrupt):
            loop.run_forever()
    finally:
        timer.cancel()
        timer.join()
        loop.close()
    assert not too_late
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.skipif(not fate.compiled, reason="uncompiled, the dict has the engine's attributes as well")
def test_a_loop_leaves_room_for_attributes_of_others() -> None:
    """CPython specialises calls of a loop's methods while its dict holds no more than 30 attributes."""
    loop = Fate()
    assert len(vars(loop)) <= 25
    loop.close()


def test_a_program_may_put_fate_in_the_place_of_asyncios_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "SelectorEventLoop", Fate)
    loop = asyncio.SelectorEventLoop()
    loop.set_debug(True)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for end in (ours, theirs):
            end.setblocking(False)
        loop.run_until_complete(loop.sock_sendall(ours, b"x" * 1_000))
        assert loop.run_until_complete(loop.sock_recv(theirs, 1_000)) == b"x" * 1_000
    loop.close()


def test_a_timer_without_delay_fires_in_the_next_turn_as_with_asyncio() -> None:
    def turns_until_fired(loop: asyncio.AbstractEventLoop) -> list[int]:
        async def main() -> list[int]:
            counts = []
            for _ in range(50):  # where callbacks make callbacks most turns do without a look at the clock
                fired: list[bool] = []
                loop.call_later(0, fired.append, True)
                count = 0
                while not fired:
                    await asyncio.sleep(0)
                    count += 1
                counts.append(count)
            return counts

        try:
            return loop.run_until_complete(main())
        finally:
            loop.close()

    assert turns_until_fired(Fate()) == turns_until_fired(asyncio.SelectorEventLoop()) == [2] * 50
