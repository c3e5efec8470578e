"""Child processes: how they end is told, once each, in every thread, whatever else goes on; and pipes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from support import DEADLINE, descriptors, python, run_until, turns

import fate
from fate import Fate
from fate.net.children import can_watch, has_own_watcher

PIPE = asyncio.subprocess.PIPE
WATCHERS = hasattr(asyncio, "SafeChildWatcher")  # gone in Python 3.14

pytestmark = pytest.mark.skipif(not can_watch(), reason="this system has no descriptors for processes")


def run(loop: Fate, coroutine: Any) -> Any:
    async def within() -> Any:
        async with asyncio.timeout(DEADLINE):
            return await coroutine

    return loop.run_until_complete(within())


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


async def shell(line: str, **options: Any) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec("/bin/sh", "-c", line, **options)


@pytest.mark.parametrize(("line", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", -9), ("kill -TERM $$", -15)])
def test_exit_codes_and_signals(loop: Fate, line: str, code: int) -> None:
    async def main() -> None:
        process = await shell(line)
        assert await process.wait() == code
        assert process.returncode == code

    run(loop, main())


def test_no_thread_is_started_for_a_child(loop: Fate) -> None:
    before = threads()

    async def main() -> None:
        process = await shell("read line", stdin=PIPE)
        assert threads() == before
        process.kill()
        assert await process.wait() == -signal.SIGKILL

    run(loop, main())


def test_a_child_that_has_ended_before_it_was_watched(loop: Fate, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Fate._watch_child

    def late(self: Fate, pid: int, transport: Any) -> None:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # it has ended, and its exit code is still to be had
        real(self, pid, transport)

    monkeypatch.setattr(Fate, "_watch_child", late)

    async def main() -> None:
        process = await shell("echo tea; exit 7", stdout=PIPE)
        assert await process.communicate() == (b"tea\n", None)
        assert process.returncode == 7

    run(loop, main())


def test_a_child_that_somebody_else_waited_for(loop: Fate, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> int:
        process = await shell("read line", stdin=PIPE)
        process.kill()
        os.waitpid(process.pid, 0)
        return await process.wait()

    assert run(loop, main()) == 255
    assert "exit status already read" in caplog.text


def test_many_at_once(loop: Fate) -> None:
    async def one(number: int) -> int:
        process = await shell(f"exit {number}")
        return await process.wait()

    async def main() -> list[int]:
        return await asyncio.gather(*(one(number) for number in range(60)))

    assert run(loop, main()) == list(range(60))
    assert loop._children == {}


def test_children_of_loops_in_several_threads() -> None:
    results: list[int] = []

    async def main() -> None:
        for _ in range(5):
            process = await shell("exit 5")
            results.append(await process.wait())

    workers = [threading.Thread(target=lambda: fate.run(main())) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(DEADLINE)
    assert results == [5] * 20


def test_no_descriptor_is_left(loop: Fate) -> None:
    async def main() -> None:
        process = await shell("cat", stdin=PIPE, stdout=PIPE)
        await process.communicate(b"tea")

    run(loop, main())
    turns(loop, 3)
    before = descriptors()
    for _ in range(5):
        run(loop, main())
        turns(loop, 3)
    assert not descriptors() - before


def test_a_loop_that_is_closed_lets_go_of_its_children() -> None:
    before = descriptors()
    loop = Fate()
    process = loop.run_until_complete(shell("read line", stdin=PIPE))
    pid = process.pid
    assert len(loop._children) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        process._transport.close()  # type: ignore[attr-defined]  # which kills it
        with contextlib.suppress(ChildProcessError):  # waited for already
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        turns(loop)
        loop.close()
        assert loop._children == {}
        del process, loop
        gc.collect()
    with pytest.raises(ChildProcessError):  # asyncio's transport has waited for it
        os.waitpid(pid, 0)
    assert not descriptors() - before


def test_without_a_descriptor_for_the_child_a_thread_waits(loop: Fate, monkeypatch: pytest.MonkeyPatch) -> None:
    assert loop._can_watch is None
    run(loop, _ended("exit 0"))

    def none_left(pid: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", none_left)
    assert run(loop, _ended("exit 9")) == 9


async def _ended(line: str) -> int:
    process = await shell(line)
    return await process.wait()


def test_where_there_are_no_such_descriptors_asyncio_does_it(loop: Fate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_can_watch", False)
    assert run(loop, _ended("exit 9")) == 9


@pytest.fixture
def own_policy() -> Iterator[Any]:
    """A policy that the test may change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        before = asyncio.get_event_loop_policy()
        policy = asyncio.DefaultEventLoopPolicy()
        asyncio.set_event_loop_policy(policy)
        yield policy
        asyncio.set_event_loop_policy(before)


@pytest.mark.skipif(not WATCHERS, reason="this Python has no child watchers")
def test_a_watcher_of_the_programs_own_is_asked(loop: Fate, own_policy: Any) -> None:
    asked: list[int] = []

    class Mine(asyncio.ThreadedChildWatcher):
        def add_child_handler(self, pid: int, *args: Any) -> None:
            asked.append(pid)
            super().add_child_handler(pid, *args)

    assert not has_own_watcher()
    own_policy.set_child_watcher(asyncio.ThreadedChildWatcher())
    assert not has_own_watcher()
    own_policy.set_child_watcher(Mine())
    assert has_own_watcher()
    assert run(loop, _ended("exit 4")) == 4
    assert len(asked) == 1


@pytest.mark.skipif(not WATCHERS, reason="this Python has no child watchers")
def test_a_watcher_that_is_not_active_refuses(loop: Fate, own_policy: Any) -> None:
    class Inactive(asyncio.ThreadedChildWatcher):
        def is_active(self) -> bool:
            return False

    own_policy.set_child_watcher(Inactive())
    with pytest.raises(RuntimeError, match="not activated"):
        run(loop, _ended("exit 4"))


def test_a_program_that_is_given_up_while_it_starts(loop: Fate) -> None:
    async def main() -> None:
        starting = asyncio.ensure_future(shell("read line", stdin=PIPE))
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    run(loop, main())
    run_until(loop, lambda: not loop._children)


def test_children_are_told_of_at_exit_too() -> None:
    """A program that ends while its child runs ends well."""
    done = python(
        """
        import asyncio, fate

        async def main():
            process = await asyncio.create_subprocess_exec("/bin/sh", "-c", "read line", stdin=asyncio.subprocess.PIPE)
            process.kill()
            print(await process.wait())

        fate.run(main())
        """
    )
    assert (done.stdout.strip(), done.stderr) == ("-9", "")


def test_a_pipe_is_read_without_large_buffers(loop: Fate) -> None:
    got = bytearray()
    sizes: list[int] = []

    class Reader(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            sizes.append(len(data))
            got.extend(data)

    async def main() -> None:
        readable, writable = os.pipe()
        data = os.urandom(500_000)
        reading, _ = await loop.connect_read_pipe(Reader, os.fdopen(readable, "rb", 0))
        writing, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(writable, "wb", 0))
        writing.write(data)
        while len(got) < len(data):
            await asyncio.sleep(0)
        assert got == data
        writing.close()
        reading.close()

    run(loop, main())
    assert max(sizes) <= 64 * 1024


# -- a number outlives its process ------------------------------------------------------------------------------------


def has_ended(pid: int) -> None:
    """Wait until it has; its exit code is still to be had, and the loop does not know."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize("how", ["terminate", "kill", "send_signal", "close", "poll"])
def test_a_child_that_has_ended_by_itself_keeps_its_exit_code(
    loop: Fate, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    async def main() -> int:
        process = await shell("exit 3")
        has_ended(process.pid)
        transport: Any = process._transport  # type: ignore[attr-defined]
        if how == "send_signal":
            process.send_signal(signal.SIGTERM)
        elif how == "close":
            transport.close()
        elif how == "poll":
            transport.get_extra_info("subprocess").poll()
        else:
            getattr(process, how)()
        codes = await asyncio.gather(process.wait(), process.wait(), process.wait())
        assert set(codes) == {process.returncode}
        return codes[0]

    assert run(loop, main()) == 3
    assert caplog.text == ""


def test_a_signal_after_the_exit_code_was_read_reaches_nobody(loop: Fate, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    async def main() -> None:
        process = await shell("read line", stdin=PIPE)
        transport: Any = process._transport  # type: ignore[attr-defined]
        process.kill()
        has_ended(process.pid)
        os.waitpid(process.pid, 0)  # from now on the number may be another's
        monkeypatch.setattr(os, "kill", lambda *args: sent.append(args))
        monkeypatch.setattr(os, "killpg", lambda *args: sent.append(args))
        process.terminate()
        transport.kill_group()
        assert await process.wait() == 255
        with contextlib.suppress(ProcessLookupError):
            process.kill()

    run(loop, main())
    assert sent == []


def test_a_child_that_a_thread_waits_for_keeps_its_exit_code(
    loop: Fate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none_left(pid: int, flags: int = 0) -> int:
        raise OSError(24, "Too many open files")

    async def main() -> int:
        assert can_watch()
        loop._can_watch = True
        monkeypatch.setattr(os, "pidfd_open", none_left)
        process = await shell("read line; exit 3", stdin=PIPE)
        assert process.stdin is not None
        process.stdin.write(b"\n")
        has_ended(process.pid)
        process.terminate()
        return await process.wait()

    assert run(loop, main()) == 3
    assert caplog.text == ""


@pytest.mark.skipif(not WATCHERS, reason="Python has no child watchers any more")
def test_a_child_with_a_watcher_of_the_programs_keeps_its_exit_code() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        watcher = asyncio.SafeChildWatcher()  # type: ignore[attr-defined]
        asyncio.set_child_watcher(watcher)  # type: ignore[attr-defined]
        try:
            loop = Fate()
            watcher.attach_loop(loop)

            async def main() -> int:
                process = await shell("read line; exit 3", stdin=PIPE)
                assert process.stdin is not None
                process.stdin.write(b"\n")
                has_ended(process.pid)
                process.terminate()
                return await process.wait()

            assert run(loop, main()) == 3
            watcher.close()
            loop.close()
        finally:
            asyncio.set_child_watcher(None)  # type: ignore[attr-defined]


def test_a_child_of_a_closed_loop_is_not_signalled_by_a_descriptor_that_is_anothers() -> None:
    loop = Fate()
    process = loop.run_until_complete(shell("read line", stdin=PIPE))
    transport: Any = process._transport  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        loop.close()
        assert transport._pidfd == -1
        transport.kill()
        assert os.waitpid(process.pid, 0)[1] == signal.SIGKILL
        transport._proc.returncode = -signal.SIGKILL
        transport._closed = True
        del process, transport, loop
        gc.collect()
