"""in_thread, in_process, in_executor: what a function returns or raises elsewhere arrives in the loop's thread."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import DEADLINE

from fate import Deferred, Fate, defer
from fate.tools import in_executor, in_process, in_thread

from .conftest import Run


class Unwilling(Executor):
    """Keeps what it is given and does nothing with it."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, f: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.futures.append(Future())
        return self.futures[-1]


def test_a_function_runs_in_a_thread_and_its_callbacks_in_the_loops(run: Run) -> None:
    async def main() -> None:
        deferred = in_thread(threading.get_ident)
        assert isinstance(deferred, Deferred)
        deferred.addCallback(lambda ident: (ident, threading.get_ident()))
        idents = await deferred
        assert idents[0] != idents[1] == threading.get_ident()

    run(main())


def test_arguments_go_through(run: Run) -> None:
    async def main() -> None:
        assert await in_thread(divmod, 7, 2) == (3, 1)
        assert await in_thread(dict, f=1, executor=2) == {"f": 1, "executor": 2}

    run(main())


@pytest.mark.parametrize("error", [ValueError("no"), StopIteration("over"), asyncio.CancelledError("mine")])
def test_an_error_goes_through_whatever_it_is(run: Run, error: BaseException) -> None:
    def f() -> None:
        raise error

    async def main() -> None:
        caught = []
        await in_thread(f).addErrback(lambda failure: caught.append(failure.value))
        assert caught == [error]

    run(main())


def test_the_loop_turns_meanwhile(run: Run) -> None:
    async def main() -> None:
        go = threading.Event()
        waiting = in_thread(go.wait)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.called
        go.set()
        assert await waiting is True

    run(main())


def test_cancelling_takes_back_a_call_that_has_not_begun(run: Run) -> None:
    async def main() -> None:
        executor = Unwilling()
        deferred = in_executor(executor, print)
        deferred.cancel()
        with pytest.raises(defer.CancelledError):
            await deferred
        assert executor.futures[0].cancelled()

    run(main())


def test_nobody_hears_of_a_call_that_was_cancelled_when_it_had_begun(run: Run) -> None:
    async def main() -> None:
        began, go = threading.Event(), threading.Event()

        def f() -> None:
            began.set()
            go.wait()

        with ThreadPoolExecutor(1) as pool:
            deferred = in_executor(pool, f)
            after = in_executor(pool, int, "7")  # one thread: it comes second
            await in_thread(began.wait)
            deferred.cancel()
            with pytest.raises(defer.CancelledError):
                await deferred
            go.set()
            assert await after == 7

    run(main())


def test_a_call_that_somebody_else_cancels(run: Run) -> None:
    async def main() -> None:
        executor = Unwilling()
        deferred = in_executor(executor, print)
        executor.futures[0].cancel()
        with pytest.raises(defer.CancelledError):
            await deferred

    run(main())


def test_an_executor_that_takes_no_calls_any_more(run: Run) -> None:
    async def main() -> None:
        pool = ThreadPoolExecutor(1)
        pool.shutdown()
        with pytest.raises(RuntimeError, match="after shutdown"):
            await in_executor(pool, print)

    run(main())


def test_a_function_that_cannot_be_called(run: Run) -> None:
    async def main() -> None:
        for tool in (in_thread, in_process):
            with pytest.raises(TypeError, match="cannot be called: 3"):
                tool(3)  # type: ignore[arg-type]

    run(main())


def test_a_loop_that_is_closed_before_the_function_returns(nothing_left: None) -> None:
    go = threading.Event()
    loop = Fate()

    async def main() -> Any:
        return in_thread(go.wait)

    deferred = loop.run_until_complete(main())
    loop.close()
    go.set()
    other = Fate()

    async def later() -> Any:
        return await in_thread(int, "7")

    assert other.run_until_complete(later()) == 7
    other.close()
    assert not deferred.called


PROCESSES = """
import os
import fate
from fate.tools import in_process

async def main():
    print(await in_process(pow, 3, 5), await in_process(int, "ff", base=16))
    print(await in_process(os.getpid) == os.getpid())
    try:
        await in_process(int, "x")
    except ValueError as error:
        print(error)
    try:
        await in_process(lambda: None)
    except Exception as error:
        print("lambda" in str(error))
    try:
        await in_process(os._exit, 3)
    except Exception as error:
        print(type(error).__name__)
    print("and", await in_process(os.getpid))

if __name__ == "__main__":
    fate.run(main())
"""


def _program(path: Path, text: str) -> list[str]:
    """What the program prints, line by line; it must not write to stderr."""
    path.write_text(text)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)], capture_output=True, text=True, check=False, timeout=3 * DEADLINE
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_processes(tmp_path: Path) -> None:
    """Errors, what cannot be pickled, a process that dies; when the program has ended no process of its is left."""
    *lines, last = _program(tmp_path / "program.py", PROCESSES)
    assert lines == ["243 255", "False", "invalid literal for int() with base 10: 'x'", "True", "BrokenProcessPool"]
    assert not psutil.pid_exists(int(last.removeprefix("and ")))


ONE_DIES = """
import os
import fate
from fate import defer
from fate.tools import in_process

async def main():
    calls = [in_process(*([os._exit, 3] if n == 5 else [pow, n, 2])) for n in range(30)]
    for n, (success, result) in enumerate(await defer.DeferredList(calls, consumeErrors=True)):
        print(result if success else type(result.value).__name__)

if __name__ == "__main__":
    fate.run(main())
"""


def test_a_process_that_dies_takes_only_its_own_call_along(tmp_path: Path) -> None:
    lines = _program(tmp_path / "program.py", ONE_DIES)
    assert lines == ["BrokenProcessPool" if n == 5 else str(n * n) for n in range(30)]


IDLE = """
import os, signal
from concurrent.futures import BrokenExecutor
import fate
from fate.tools import in_executor, in_thread
from fate.tools.processes import Processes

def until_the_pool_knows():
    while True:
        try:
            processes._idle[0].submit(int).result()
        except BrokenExecutor:
            return

async def main():
    pid = await in_executor(processes, os.getpid)
    os.kill(pid, signal.SIGKILL)
    await in_thread(until_the_pool_knows)
    print(await in_executor(processes, os.getpid) != pid)

if __name__ == "__main__":
    processes = Processes(1)
    fate.run(main())
"""


def test_a_process_that_died_while_idle_is_replaced(tmp_path: Path) -> None:
    assert _program(tmp_path / "program.py", IDLE) == ["True"]


WAITING = """
import fate
from fate import defer
from fate.tools import in_executor
from fate.tools.processes import Processes

async def main():
    processes = Processes(1)
    first, second, third = (in_executor(processes, pow, n, 2) for n in range(3))
    second.cancel()
    try:
        await second
    except defer.CancelledError:
        print("taken back")
    print(await first, await third)

if __name__ == "__main__":
    fate.run(main())
"""


def test_a_call_that_waits_for_a_process_can_be_taken_back(tmp_path: Path) -> None:
    assert _program(tmp_path / "program.py", WAITING) == ["taken back", "0 4"]
