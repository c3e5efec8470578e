"""How a child process begins and ends: whatever is cancelled on the way, and whoever else holds its pipes."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from support import children, python

import fate.net.children
from fate import Fate
from fate.net.children import can_watch

PIPE = asyncio.subprocess.PIPE
NONE = asyncio.subprocess.DEVNULL

pytestmark = pytest.mark.skipif(not can_watch(), reason="this system has no descriptors for processes")


def run(loop: Fate, main: Callable[[], Awaitable[Any]]) -> Any:
    async def within() -> Any:
        async with asyncio.timeout(15):
            return await main()

    return loop.run_until_complete(within())


async def shell(line: str, **options: Any) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec("/bin/sh", "-c", line, **options)


@pytest.mark.parametrize("streams", [*itertools.product([PIPE, NONE], repeat=3)])
@pytest.mark.parametrize("everybody", [True, False])
def test_whoever_starts_a_child_can_be_cancelled_at_any_moment(
    loop: Fate, reports: list[dict[str, Any]], streams: tuple[int, int, int], everybody: bool
) -> None:
    """everybody: all tasks of the loop are cancelled, as when `asyncio.run` ends."""

    async def use() -> None:
        process = await shell("exit 0", stdin=streams[0], stdout=streams[1], stderr=streams[2])
        await process.communicate()

    async def main() -> None:
        before = children()
        ours = asyncio.current_task()
        for turns in range(6):
            task = loop.create_task(use())
            for _ in range(turns):
                await asyncio.sleep(0)
            for one in asyncio.all_tasks() if everybody else [task]:
                if one is not ours:
                    one.cancel()
            await asyncio.wait([task])
        assert asyncio.all_tasks() == {ours}
        while loop._children:  # each is waited for
            await asyncio.sleep(0.001)
        assert children() <= before

    run(loop, main)
    assert not reports


@pytest.mark.parametrize("own_shell", [True, False])
def test_wait_is_over_when_the_child_is_though_a_grandchild_holds_its_output(loop: Fate, own_shell: bool) -> None:
    async def main() -> None:
        line = "sleep 60 & echo $!; exit 3"
        if own_shell:
            process = await asyncio.create_subprocess_shell(line, stdout=PIPE, stdin=PIPE)
        else:
            process = await shell(line, stdout=PIPE)
        assert process.stdout is not None
        grandchild = int(await process.stdout.readline())
        assert await process.wait() == 3
        assert process.returncode == 3
        assert not process.stdout.at_eof()
        os.kill(grandchild, signal.SIGKILL)
        assert await process.stdout.read() == b""
        while process._transport._loop is not None:  # type: ignore[attr-defined]
            await asyncio.sleep(0.001)

    run(loop, main)


def test_several_may_wait_and_some_of_them_give_up(loop: Fate, reports: list[dict[str, Any]]) -> None:
    async def main() -> None:
        process = await shell("read line; exit 4", stdin=PIPE, stdout=PIPE)
        waiting = [loop.create_task(process.wait()) for _ in range(4)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        assert await asyncio.gather(*waiting[:1], *waiting[2:]) == [4, 4, 4]
        assert await process.wait() == 4
        assert waiting[1].cancelled()

    run(loop, main)
    assert not reports


def test_wait_comes_after_all_that_the_child_wrote_where_nobody_else_holds_its_output(loop: Fate) -> None:
    """So nothing is left open by a program that only waits."""

    async def main() -> None:
        process = await shell("echo hello", stdout=PIPE)
        assert await process.wait() == 0
        assert process._transport._loop is None  # type: ignore[attr-defined]
        assert process.stdout is not None
        assert process.stdout._buffer == b"hello\n"  # type: ignore[attr-defined]

    run(loop, main)


def test_output_that_nobody_reads_does_not_hold_up_wait(loop: Fate) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", "head -c 60000 /dev/zero", stdout=PIPE, limit=100
        )
        assert await process.wait() == 0
        assert process.stdout is not None
        assert len(await process.stdout.read()) == 60000

    run(loop, main)


def test_the_protocol_hears_of_the_child_first_and_of_its_end_last(loop: Fate) -> None:
    told: list[Any] = []

    class Protocol(asyncio.SubprocessProtocol):
        def connection_made(self, transport: Any) -> None:
            told.append("made")
            assert transport.get_pipe_transport(1) is not None

        def pipe_data_received(self, fd: int, data: bytes) -> None:
            told.append((fd, data))

        def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
            told.append(("lost", fd))

        def process_exited(self) -> None:
            told.append("exited")

        def connection_lost(self, exc: Exception | None) -> None:
            told.append("lost")
            over.set_result(None)

    async def main() -> None:
        transport, _ = await loop.subprocess_exec(Protocol, "/bin/sh", "-c", "echo x", stdin=None, stderr=None)
        await over
        transport.close()

    over = loop.create_future()
    run(loop, main)
    assert told[0] == "made"
    assert told[-1] == "lost"
    assert {(1, b"x\n"), ("lost", 1), "exited"} == {*told[1:-1]}


def test_a_pipe_that_cannot_be_connected_ends_the_child(loop: Fate, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*how: Any) -> None:
        raise OSError("no more pipes")

    monkeypatch.setattr(loop, "_make_read_pipe_transport", fail)

    async def main() -> None:
        before = children()
        with pytest.raises(OSError, match="no more pipes"):
            await shell("read line", stdin=PIPE, stdout=PIPE)
        await asyncio.sleep(0)
        assert children() <= before

    run(loop, main)


@pytest.mark.parametrize("how", ["subclass", "instance"])
def test_a_programs_own_way_to_connect_pipes_is_asked(how: str) -> None:
    asked: list[str] = []

    class Asked(Fate):
        async def connect_read_pipe(self, protocol_factory: Any, pipe: Any) -> Any:
            asked.append("read")
            return await super().connect_read_pipe(protocol_factory, pipe)

        async def connect_write_pipe(self, protocol_factory: Any, pipe: Any) -> Any:
            asked.append("write")
            return await super().connect_write_pipe(protocol_factory, pipe)

    loop = Asked() if how == "subclass" else Fate()
    if how == "instance":
        usual = loop.connect_read_pipe

        async def connect(*args: Any) -> Any:
            asked.append("read")
            return await usual(*args)

        loop.connect_read_pipe = connect  # type: ignore[assignment]

    async def main() -> None:
        process = await shell("cat; echo y >&2", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        assert await process.communicate(b"x") == (b"x", b"y\n")
        assert process.returncode == 0

    run(loop, main)
    loop.close()
    assert asked == (["write", "read", "read"] if how == "subclass" else ["read", "read"])


@pytest.mark.parametrize("turns", range(6))
def test_who_starts_a_child_can_be_cancelled_while_the_program_connects_its_pipes(loop: Fate, turns: int) -> None:
    usual = loop.connect_read_pipe

    async def connect(*args: Any) -> Any:
        await asyncio.sleep(0)
        return await usual(*args)

    loop.connect_read_pipe = connect  # type: ignore[method-assign]

    async def main() -> None:
        before = children()
        task = loop.create_task(shell("read line", stdin=PIPE, stdout=PIPE, stderr=PIPE))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.sleep(0)
        assert children() <= before

    run(loop, main)
    gc.collect()  # no pipe is left open: that would be a warning


def test_a_signal_after_the_end_keeps_the_exit_code(loop: Fate) -> None:
    async def main() -> None:
        process = await shell("exit 3", stdin=PIPE)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        process.terminate()
        process.kill()
        process.send_signal(signal.SIGUSR1)
        assert await process.wait() == 3

    run(loop, main)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python has no child watchers")
def test_a_watcher_of_the_programs_own_is_as_good(loop: Fate, recwarn: Any) -> None:
    async def use() -> None:
        process = await shell("sleep 60 & exit 0", stdin=PIPE, stdout=PIPE)
        try:
            assert await process.wait() == 0
        finally:
            process._transport.close()  # type: ignore[attr-defined]
            await process.wait()

    async def main() -> None:
        await use()
        for turns in range(6):
            task = loop.create_task(use())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    policy = asyncio.get_event_loop_policy()
    before = policy._watcher  # type: ignore[attr-defined]
    policy.set_child_watcher(asyncio.MultiLoopChildWatcher())  # type: ignore[attr-defined]
    policy._watcher.attach_loop(loop)  # type: ignore[attr-defined]
    try:
        run(loop, main)
    finally:
        policy._watcher.close()  # type: ignore[attr-defined]
        policy._watcher = before  # type: ignore[attr-defined]
        gc.collect()


def test_a_child_that_outlives_its_loop_is_killed_without_a_word(loop: Fate) -> None:
    """asyncio's transport fails in its finalizer then, and the child goes on."""
    program = """
        import asyncio, fate, gc, os
        async def main():
            global kept
            kept = await asyncio.create_subprocess_exec("sleep", "60", stdin=-1, stdout=-1)
            return kept.pid
        pid = fate.run(main())
        del kept
        gc.collect()
        try:
            print(os.waitpid(pid, 0)[1])
        except ChildProcessError:  # `subprocess` has waited for it already
            print(9)
    """
    done = python(program, "-W", "ignore")
    assert done.stdout.split() == ["9"]
    assert done.stderr == ""


@pytest.mark.parametrize("step", ["exit_code", "_child_watcher_callback"])
def test_an_interrupt_as_a_child_ends_does_not_lose_its_exit_code(
    loop: Fate, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """It comes right after one of the steps."""
    owner: Any = fate.net.children if step == "exit_code" else loop
    usual = getattr(owner, step)
    came: list[str] = []

    def interrupted(*args: Any, **options: Any) -> Any:
        result = usual(*args, **options)
        if not came:
            came.append(step)
            raise KeyboardInterrupt
        return result

    async def main() -> asyncio.subprocess.Process:
        child = await shell("read line; exit 3", stdin=PIPE)
        monkeypatch.setattr(owner, step, interrupted)
        return child

    child = run(loop, main)
    assert child.stdin is not None
    child.stdin.write(b"\n")
    waiting = loop.create_task(child.wait())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(waiting)
    assert loop.run_until_complete(waiting) == 3 and came == [step]
    child.stdin.close()
    loop.run_until_complete(child.stdin.wait_closed())
    with pytest.raises(ChildProcessError):
        os.waitpid(child.pid, os.WNOHANG)


def test_an_interrupt_as_a_process_ends_does_not_lose_the_fuse(loop: Fate, monkeypatch: pytest.MonkeyPatch) -> None:
    child = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 5"], {})
    fuse = loop.get_fuse(process=child)

    def interrupted(value: Any = None) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(fuse, "burn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()

    async def burned() -> Any:
        return await fuse

    assert run(loop, burned) == 5
    with pytest.raises(ChildProcessError):
        os.waitpid(child, os.WNOHANG)
