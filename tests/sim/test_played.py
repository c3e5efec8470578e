"""Child processes in a universe are played by functions, and asyncio's own code talks to them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT

import pytest

from fate import sim
from fate.errors import CommandFailedError, CommandTimeoutError
from fate.sim.errors import ScenarioError, UnsimulatedError
from fate.tools import run_command


async def upper(child):
    """A small filter."""
    while line := await child.stdin.readline():
        child.stdout.write(line.upper())
        await child.stdout.drain()
    child.stderr.write(b"done\n")
    return len(child.argv) - 1


async def forever(child):
    await asyncio.sleep(3600)


async def graceful(child):
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        child.stdout.write(b"bye\n")
        return 3


async def stubborn(child):
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        child.stdout.write(b"never\n")
    await asyncio.sleep(3600)


async def endless(child):
    while True:
        child.stdout.write(b"y\n" * 1000)
        await child.stdout.drain()


async def broken(child):
    raise LookupError("a bug of the test's own")


async def leaving(child):
    raise SystemExit(5)


PROGRAMS = {f.__name__: f for f in (upper, forever, graceful, stubborn, endless, broken, leaving)}


def played(main, **options):
    async def begin():
        for name, play in PROGRAMS.items():
            sim.current().program(name, play)
        return await main()

    return sim.attempt(begin, **options)


def value_of(main):
    result = played(main)
    assert result.ok, result.failures
    return result.value


def test_a_played_program_has_words_pipes_and_a_status():
    async def main():
        child = await asyncio.create_subprocess_exec("/usr/bin/upper", "a", "b", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        out, err = await child.communicate(b"one\ntwo\n")
        return out, err, child.returncode

    assert value_of(main) == (b"ONE\nTWO\n", b"done\n", 2)


def test_its_environment_and_its_directory_are_told(tmp_path):
    async def look(child):
        child.stdout.write(f"{child.argv} {child.env} {child.cwd} {child.pid > os.getpid()}".encode())

    async def main():
        sim.current().program("look", look)
        child = await asyncio.create_subprocess_exec("look", cwd=tmp_path, env={"A": "b"}, stdout=PIPE)
        return (await child.communicate())[0].decode()

    assert value_of(main) == f"['look'] {{'A': 'b'}} {tmp_path} True"


def test_errors_may_go_where_the_output_goes():
    async def main():
        child = await asyncio.create_subprocess_exec("upper", stdin=PIPE, stdout=PIPE, stderr=STDOUT)
        return await child.communicate(b"x")

    assert value_of(main) == (b"Xdone\n", None)


def test_without_pipes_nothing_is_read_and_nobody_reads():
    async def main():
        child = await asyncio.create_subprocess_exec("upper", stdout=DEVNULL)
        return await child.wait()

    assert value_of(main) == 0


def test_a_shell_is_a_program_too():
    async def sh(child):
        child.stdout.write(child.argv[2].encode())

    async def main():
        sim.current().program("sh", sh)
        child = await asyncio.create_subprocess_shell("ls | wc", stdout=PIPE)
        return (await child.communicate())[0]

    assert value_of(main) == b"ls | wc"


@pytest.mark.parametrize(
    ("name", "number", "status", "told"),
    [
        ("forever", signal.SIGTERM, -15, b""),
        ("graceful", signal.SIGTERM, 3, b"bye\n"),
        ("graceful", signal.SIGKILL, -9, b""),
        ("stubborn", signal.SIGKILL, -9, b""),
    ],
)
def test_signals_end_it(name, number, status, told):
    async def main():
        child = await asyncio.create_subprocess_exec(name, stdout=PIPE)
        await asyncio.sleep(1)
        os.kill(child.pid, 0)
        child.send_signal(number)
        out, _ = await child.communicate()
        with pytest.raises(ProcessLookupError):
            os.kill(child.pid, number)
        return child.returncode, out, round(time.monotonic())

    result = played(main, allow="leftover:stubborn")
    assert result.ok and result.value == (status, told, 1001)


def test_who_writes_when_nobody_reads_any_more_is_ended_as_by_a_broken_pipe():
    async def main():
        child = await asyncio.create_subprocess_exec("endless", stdout=PIPE)
        await child.stdout.readline()
        child.stdout._transport.close()
        return await child.wait()

    assert value_of(main) == -signal.SIGPIPE


def test_a_bug_in_the_function_is_reported():
    async def main():
        return await (await asyncio.create_subprocess_exec("broken")).wait()

    result = played(main)
    assert result.value == 1
    assert [failure.kind for failure in result.failures] == ["report"]
    assert "'broken' has raised: LookupError: a bug" in result.failures[0].message


def test_sys_exit_is_a_status():
    async def main():
        return await (await asyncio.create_subprocess_exec("leaving")).wait()

    assert value_of(main) == 5


def test_a_child_that_still_runs_is_left_behind():
    async def main():
        main.kept = await asyncio.create_subprocess_exec("forever")

    result = played(main)
    assert [failure.kind for failure in result.failures] == ["leftover"]
    assert "task forever " in result.failures[0].message


def test_run_command_runs_it():
    async def main():
        output = await run_command("upper", stdin="text")
        with pytest.raises(CommandFailedError):
            await run_command(["upper", "1"], check=True)
        with pytest.raises(CommandTimeoutError):
            await run_command(["stubborn"], timeout=5)
        return str(output), output.code

    result = played(main, allow="leftover:stubborn")
    assert result.ok, result.failures
    assert result.value == ("TEXT", 0)


def test_each_host_has_its_children():
    async def main():
        async def there():
            child = await asyncio.create_subprocess_exec("upper", stdin=PIPE, stdout=PIPE)
            found.append((await child.communicate(b"there"))[0])
            found.append(await asyncio.create_subprocess_exec("forever"))

        found = []
        host = sim.current().host("b", there)
        await asyncio.sleep(1)
        with pytest.raises(ProcessLookupError):
            os.kill(found[1].pid, signal.SIGTERM)
        host.crash()
        return found[0]

    assert value_of(main) == b"THERE"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (
            lambda: asyncio.create_subprocess_exec("git"),
            r"starting the program 'git' is not simulated .*program\('git', ",
        ),
        (lambda: asyncio.create_subprocess_exec("upper", preexec_fn=print), "preexec_fn=.* of the program 'upper'"),
        (lambda: asyncio.create_subprocess_exec("upper", stdout=1), "stdout=1 of the program 'upper'"),
        (lambda: asyncio.to_thread(subprocess.run, ["upper"], check=False), r"fork_exec\(\) is not simulated"),
    ],
)
def test_what_has_no_meaning_is_refused(call, told):
    async def main():
        await call()

    with pytest.raises(UnsimulatedError, match=rf"{told}"):
        raise played(main).error


def test_what_plays_a_program_is_an_async_function():
    with pytest.raises(ScenarioError):
        sim.Universe().program("git", print)
