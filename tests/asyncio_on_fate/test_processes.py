"""Subprocesses, pipes, signals and executors: what of the world is neither time nor network."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from fate import Fate

Run = Callable[[Coroutine[Any, Any, Any]], Any]
PIPE = asyncio.subprocess.PIPE
PYTHON = (sys.executable, "-I", "-S", "-c")
BIG = b"x" * 300_000


def test_a_program_gets_its_input_and_gives_its_output_its_errors_and_its_exit_code(run: Run) -> None:
    source = "import sys; data = sys.stdin.buffer.read(); sys.stdout.buffer.write(data * 2); sys.exit('oops')"

    async def main() -> None:
        process = await asyncio.create_subprocess_exec(*PYTHON, source, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        out, err = await process.communicate(BIG)
        assert out == BIG * 2
        assert err == b"oops\n"
        assert process.returncode == 1

    run(main())


def test_a_shell_runs_its_line(run: Run) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_shell("echo $((6 * 7)); exit 3", stdout=PIPE)
        out, _ = await process.communicate()
        assert (out, process.returncode) == (b"42\n", 3)

    run(main())


def test_one_can_talk_to_a_program_line_by_line(run: Run) -> None:
    source = "for line in iter(input, 'end'): print(line.upper(), flush=True)"

    async def main() -> None:
        process = await asyncio.create_subprocess_exec(*PYTHON, source, stdin=PIPE, stdout=PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        for line in (b"one\n", b"two\n"):
            process.stdin.write(line)
            assert await process.stdout.readline() == line.upper()
        process.stdin.write(b"end\n")
        assert await process.wait() == 0
        process.stdin.close()

    run(main())


def test_a_program_can_be_killed_and_terminated(run: Run) -> None:
    async def main() -> None:
        for act, number in (("kill", signal.SIGKILL), ("terminate", signal.SIGTERM)):
            process = await asyncio.create_subprocess_exec(*PYTHON, "input()", stdin=PIPE)
            getattr(process, act)()
            assert await process.wait() == -number

    run(main())


def test_many_programs_run_at_once(run: Run) -> None:
    async def one(number: int) -> int | None:
        process = await asyncio.create_subprocess_exec(*PYTHON, f"raise SystemExit({number})")
        return await process.wait()

    async def main() -> list[int | None]:
        return await asyncio.gather(*(one(number) for number in range(10)))

    assert run(main()) == list(range(10))


def test_a_program_that_is_not_there_is_the_error_of_the_system(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(FileNotFoundError):
            await asyncio.create_subprocess_exec("/nowhere/at/all")

    run(main())


def test_a_subprocess_protocol_hears_everything(run: Run, any_loop: Fate) -> None:
    class Listener(asyncio.SubprocessProtocol):
        def __init__(self) -> None:
            self.heard: list[tuple[int, bytes]] = []
            self.exited = False
            self.lost = any_loop.create_future()

        def pipe_data_received(self, fd: int, data: bytes) -> None:
            self.heard.append((fd, data))

        def process_exited(self) -> None:
            self.exited = True

        def connection_lost(self, error: Exception | None) -> None:
            self.lost.set_result(error)

    async def main() -> None:
        transport, listener = await any_loop.subprocess_exec(Listener, *PYTHON, "print('hello')", stdin=None)
        assert await listener.lost is None
        assert listener.exited
        assert listener.heard == [(1, b"hello\n")]
        assert transport.get_returncode() == 0
        transport.close()

    run(main())


# -- pipes ------------------------------------------------------------------------------------------------------------


def test_pipes_are_read_and_written_by_transports(run: Run, any_loop: Fate) -> None:
    async def main() -> bytes:
        reading, writing = os.pipe()
        reader = asyncio.StreamReader()
        read_transport, _ = await any_loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", buffering=0)
        )
        write_transport, _ = await any_loop.connect_write_pipe(
            asyncio.BaseProtocol, os.fdopen(writing, "wb", buffering=0)
        )
        write_transport.write(BIG)
        write_transport.write_eof()
        got = await reader.read()
        read_transport.close()
        return got

    assert run(main()) == BIG


def test_a_write_pipe_hears_that_its_reader_went_away(run: Run, any_loop: Fate) -> None:
    class Writer(asyncio.BaseProtocol):
        def __init__(self) -> None:
            self.lost = any_loop.create_future()

        def connection_lost(self, error: Exception | None) -> None:
            self.lost.set_result(error)

    async def main() -> Any:
        reading, writing = os.pipe()
        _, writer = await any_loop.connect_write_pipe(Writer, os.fdopen(writing, "wb", buffering=0))
        os.close(reading)
        return await writer.lost

    assert isinstance(run(main()), BrokenPipeError | None)


# -- signals ----------------------------------------------------------------------------------------------------------


def test_a_signal_handler_of_the_loop_is_called_in_the_loop_with_its_arguments(run: Run, any_loop: Fate) -> None:
    async def main() -> Any:
        came = any_loop.create_future()
        any_loop.add_signal_handler(signal.SIGUSR1, came.set_result, "came")
        os.kill(os.getpid(), signal.SIGUSR1)
        try:
            return await came
        finally:
            assert any_loop.remove_signal_handler(signal.SIGUSR1)
            assert not any_loop.remove_signal_handler(signal.SIGUSR1)

    before = signal.getsignal(signal.SIGUSR1)
    assert run(main()) == "came"
    assert signal.getsignal(signal.SIGUSR1) == before


def test_a_signal_wakes_a_loop_that_waits_and_errors_of_its_handler_are_reported(any_loop: Fate) -> None:
    reports: list[Any] = []
    any_loop.set_exception_handler(lambda loop, context: reports.append(context["exception"]))

    def fail() -> None:
        any_loop.stop()
        raise LookupError("why")

    any_loop.add_signal_handler(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    any_loop.run_forever()
    any_loop.remove_signal_handler(signal.SIGALRM)
    assert [str(report) for report in reports] == ["why"]


# -- executors --------------------------------------------------------------------------------------------------------


def test_blocking_work_runs_in_threads_with_the_callers_context(run: Run) -> None:
    variable = contextvars.ContextVar("variable", default="default")

    async def main() -> None:
        variable.set("mine")
        name, value = await asyncio.to_thread(lambda: (threading.current_thread().name, variable.get()))
        assert name != threading.current_thread().name
        assert value == "mine"

    run(main())


def test_an_executor_of_ones_own_and_the_errors_of_its_work(run: Run, any_loop: Fate) -> None:
    async def main() -> None:
        with concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="own") as executor:
            results = await asyncio.gather(*(any_loop.run_in_executor(executor, pow, 2, n) for n in range(50)))
            assert results == [2**n for n in range(50)]
            name = await any_loop.run_in_executor(executor, lambda: threading.current_thread().name)
            assert name.startswith("own")
            with pytest.raises(ZeroDivisionError):
                await any_loop.run_in_executor(executor, lambda: 1 / 0)

    run(main())


def test_a_coroutine_can_be_sent_to_the_loop_from_a_thread(run: Run, any_loop: Fate) -> None:
    async def main() -> str:
        return await asyncio.to_thread(
            lambda: asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "value"), any_loop).result()
        )

    assert run(main()) == "value"


def test_programs_may_be_run_from_threads_of_the_executor_too(run: Run) -> None:
    async def main() -> int:
        return (await asyncio.to_thread(subprocess.run, [*PYTHON, "pass"], check=True)).returncode

    assert run(main()) == 0
