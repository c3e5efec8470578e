"""Python 3.14's views of what awaits what: of a running program from outside, and of a task from inside."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from support import DEADLINE

from fate import Fate

pytestmark = pytest.mark.skipif(sys.version_info < (3, 14), reason="they came with Python 3.14")

PROGRAM = textwrap.dedent(
    """
    import asyncio, ctypes, sys, fate

    # Where a process may look into its children only, this one is open to all.
    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)

    async def leaf():
        await asyncio.Event().wait()

    async def branch():
        await leaf()

    async def root():
        async with asyncio.TaskGroup() as group:
            group.create_task(branch(), name="left")
            group.create_task(branch(), name="right")
            asyncio.get_running_loop().call_later(0.01, lambda: print("waiting", flush=True))

    factory = fate.Fate if sys.argv[1] == "fate" else asyncio.SelectorEventLoop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(root())
    """
)


def seen(command: str, loop: str) -> str:
    """What `python -m asyncio COMMAND` says of a program that runs on `loop`, without addresses."""
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, loop], stdout=subprocess.PIPE, text=True)
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == "waiting\n"
        done = subprocess.run(
            [sys.executable, "-m", "asyncio", command, str(program.pid)],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
    finally:
        program.kill()
        program.communicate()
    said = done.stdout + done.stderr
    if "ermission" in said or "not permitted" in said:
        pytest.skip("this system forbids to look into other processes")
    assert done.returncode == 0, said
    return re.sub(r"0x[0-9a-f]+|\b\d{4,}\b", "", said)


@pytest.mark.parametrize("command", ["ps", "pstree"])
def test_python_m_asyncio_shows_the_tasks_of_a_program_on_fate(command: str) -> None:
    ours, theirs = seen(command, "fate"), seen(command, "asyncio")
    for name in ("left", "right", "branch", "leaf", "root"):
        assert name in ours
    if command == "pstree":
        assert ours == theirs
    else:
        assert len(ours.splitlines()) == len(theirs.splitlines())


def test_the_call_graph_of_a_task_and_of_a_future(any_loop: Any) -> None:
    graphs: list[Any] = []

    async def leaf(future: Any) -> None:
        graphs.append(asyncio.capture_call_graph())  # type: ignore[attr-defined]
        await future

    async def root(future: Any) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(leaf(future), name="leaf")

    async def main() -> None:
        future = any_loop.create_future()
        task = asyncio.create_task(root(future), name="root")
        while not graphs:
            await asyncio.sleep(0)
        graphs.append(asyncio.capture_call_graph(future))  # type: ignore[attr-defined]
        assert "leaf" in asyncio.format_call_graph(task) or "root" in asyncio.format_call_graph(task)  # type: ignore[attr-defined]
        future.set_result(None)
        await task

    any_loop.run_until_complete(main())
    of_task, of_future = graphs
    assert of_task.future.get_name() == "leaf"
    assert [awaiter.future.get_name() for awaiter in of_task.awaited_by] == ["root"]
    assert [awaiter.future.get_name() for awaiter in of_future.awaited_by] == ["leaf"]
    assert isinstance(any_loop, Fate)
