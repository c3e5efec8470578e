"""run_command: what a command prints and how it ends, told once it is gone with all that it started."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import DEADLINE, printed

from fate import Deferred, defer, errors
from fate.tools import Output, run_command

from .conftest import Run, descriptors


def python(source: str) -> list[str]:
    return [sys.executable, "-c", source]


async def gone(pid: int) -> None:
    """Returns when nobody has that process id any more, or only a dead one that waits for its parent."""
    async with asyncio.timeout(DEADLINE):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.001)


def test_it_gives_what_the_command_prints_and_how_it_ended(run: Run) -> None:
    output = run(run_command_("echo 'two  words' three"))
    assert (bytes(output), output.code, output.errors) == (b"two  words three\n", 0, b"")
    assert str(output) == output.text() == "two  words three\n"
    assert output.command == ("echo", "two  words", "three")
    assert repr(output) == "<Output of echo 'two  words' three: code 0, 17 bytes>"


async def run_command_(*args: Any, **options: Any) -> Any:
    return await run_command(*args, **options)


def test_what_it_gives_can_be_pickled(run: Run) -> None:
    output = run(run_command_(["sh", "-c", "echo out; echo err >&2; exit 3"]))
    again = pickle.loads(pickle.dumps(output))
    assert isinstance(again, Output)
    assert (again, again.code, again.errors, again.command) == (output, 3, b"err\n", output.command)


def test_it_is_a_deferred(run: Run) -> None:
    async def main() -> None:
        deferred = run_command(["printf", "%s", "7"])
        assert isinstance(deferred, Deferred)
        assert await deferred.addCallback(int) == 7

    run(main())


def test_an_exit_code_is_no_error_unless_it_is_checked(run: Run) -> None:
    words = ["sh", "-c", "echo out; echo first >&2; echo 'the reason' >&2; exit 3"]
    assert run(run_command_(words)).code == 3
    with pytest.raises(errors.CommandFailedError, match=r"ended with exit code 3: the reason$") as caught:
        run(run_command_(words, check=True))
    assert (caught.value.output, caught.value.output.code) == (b"out\n", 3)
    assert caught.value.command == tuple(words)


def test_a_command_that_is_killed_has_the_signal_for_its_code(run: Run) -> None:
    output = run(run_command_(["sh", "-c", "kill -KILL $$"]))
    assert output.code == -signal.SIGKILL
    with pytest.raises(errors.CommandFailedError, match=r"was killed by signal 15$"):
        run(run_command_(["sh", "-c", "kill -TERM $$"], check=True))


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("no-such-command --at-all", "cannot start no-such-command --at-all: there is no such command"),
        (["/"], "Permission denied"),
        ([], "it has no words"),
        ("", "it has no words"),
        (["echo", "\0"], "null byte"),
        (["echo", 3], "int"),
    ],
)
def test_a_command_that_cannot_be_started(run: Run, command: Any, why: str) -> None:
    with pytest.raises(errors.CommandStartError, match=why) as caught:
        run(run_command_(command))
    assert isinstance(caught.value, OSError)


def test_a_directory_that_does_not_exist_is_told_from_a_command_that_does_not(run: Run) -> None:
    with pytest.raises(errors.CommandStartError, match="there is no directory '/no/such/place'"):
        run(run_command_("echo", cwd="/no/such/place"))


def test_an_interpreter_that_does_not_exist_is_told_from_a_command_that_does_not(run: Run, tmp_path: Path) -> None:
    script = tmp_path / "cake-maker"
    script.write_text("#!/nonexistent/interpreter\n")
    script.chmod(0o755)
    with pytest.raises(errors.CommandStartError, match=r"cake-maker'?: what its first line names to run it"):
        run(run_command_([script]))
    with pytest.raises(errors.CommandStartError, match="there is no such command"):
        run(run_command_(["cake-maker"], cwd=tmp_path))


def test_an_environment_that_is_none(run: Run) -> None:
    with pytest.raises(errors.CommandStartError, match="cannot start true: 'int' object has no attribute 'items'"):
        run(run_command_("true", env=3))


def test_arguments_that_make_no_sense(run: Run) -> None:
    with pytest.raises(ValueError, match="cannot be split into words: No closing quotation"):
        run(run_command_("echo 'half"))
    with pytest.raises(ValueError, match="more than 0: -1"):
        run(run_command_("echo", timeout=-1))
    with pytest.raises(TypeError, match="on_line cannot be called: 3"):
        run(run_command_("echo", on_line=3))
    with pytest.raises(LookupError):
        run(run_command_("echo", on_line=print, encoding="no such"))


def test_its_directory_and_environment(run: Run, tmp_path: Path) -> None:
    output = run(run_command_(["/bin/sh", "-c", "pwd; echo $WHO"], cwd=tmp_path, env={"WHO": "Ben"}))
    assert str(output).splitlines() == [str(tmp_path), "Ben"]


def test_it_reads_what_it_is_given(run: Run, tmp_path: Path) -> None:
    assert run(run_command_("cat", stdin=b"bytes")) == b"bytes"
    assert run(run_command_("cat", stdin="täxt", encoding="latin-1")) == b"t\xe4xt"
    assert run(run_command_("cat")) == b""
    (tmp_path / "file").write_text("from a file")
    with (tmp_path / "file").open() as file:
        assert run(run_command_("cat", stdin=file)) == b"from a file"


def test_megabytes_go_in_and_come_out(run: Run) -> None:
    data = os.urandom(2**20) * 8
    assert run(run_command_("cat", stdin=data)) == data


def test_a_command_that_closes_its_input_or_never_reads_it_is_no_error(run: Run) -> None:
    data = bytes(2**22)
    closes = python("import os; os.close(0); print('closed')")
    assert run(run_command_(closes, stdin=data)) == b"closed\n"
    assert run(run_command_(["true"], stdin=data)).code == 0
    assert run(run_command_(["head", "-c", "1"], stdin=data)) == b"\0"


def test_lines_come_as_they_are_printed(run: Run) -> None:
    """The command goes on only when the program has got its line."""
    read, write = os.pipe()
    lines = []

    def on_line(line: str) -> None:
        lines.append(line)
        os.write(write, b".")

    source = "import os\nfor n in range(3):\n print('line', n, flush=True); os.read(0, 1)\nprint('end', end='')"
    try:
        output = run(run_command_(python(source), on_line=on_line, stdin=read))
    finally:
        os.close(read)
        os.close(write)
    assert lines == ["line 0", "line 1", "line 2", "end"]
    assert (output, output.code) == (b"", 0)


def test_lines_wait_for_what_their_handler_waits_for(run: Run) -> None:
    async def main() -> None:
        came: list[str] = []
        first: Deferred = Deferred()
        began = asyncio.Event()

        def on_line(line: str) -> Any:
            came.append(line)
            began.set()
            return first if len(came) == 1 else None

        deferred = run_command(["printf", "a\\nb\\n"], on_line=on_line)
        await began.wait()
        await asyncio.sleep(0)
        assert came == ["a"]
        first.callback(None)
        await deferred
        assert came == ["a", "b"]

    run(main())


def test_megabytes_of_lines_take_no_memory() -> None:
    program = """
    import resource
    import fate
    from fate.tools import run_command

    count = 0

    def on_line(line):
        global count
        count += 1

    async def main():
        await run_command(["echo", "warm"], on_line=lambda line: None)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await run_command(["sh", "-c", "yes 0123456789012345678901234567890 | head -n 1500000"], on_line=on_line)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    grew = fate.run(main())
    assert count == 1500000, count
    assert grew < 10000, grew  # KiB; 54,000 were printed
    """
    assert printed(program) == ""


def test_more_output_than_is_allowed(run: Run) -> None:
    with pytest.raises(errors.CommandSizeError, match="yes printed more than 100,000 bytes"):
        run(run_command_("yes", max_size=100_000))
    with pytest.raises(errors.CommandSizeError):
        run(run_command_(["sh", "-c", "yes >&2"], max_size=100_000))
    assert len(run(run_command_(["head", "-c", "100000", "/dev/zero"], max_size=100_000))) == 100_000


def test_a_line_longer_than_is_allowed(run: Run) -> None:
    lines: list[str] = []
    with pytest.raises(errors.LineTooLongError, match="longer than 1,000 bytes"):
        run(run_command_(["sh", "-c", "echo short; cat /dev/zero"], on_line=lines.append, max_line=1000))
    assert lines == ["short"]


def test_an_error_of_the_handler_ends_the_command(run: Run) -> None:
    def on_line(line: str) -> None:
        raise TimeoutError(line)  # one that might be taken for the command's own

    with pytest.raises(TimeoutError, match=r"^y$") as caught:
        run(run_command_("yes", on_line=on_line, timeout=DEADLINE))
    assert not isinstance(caught.value, errors.CommandTimeoutError)


def test_standard_error_among_the_output(run: Run) -> None:
    words = ["sh", "-c", "echo 1; echo 2 >&2; echo 3"]
    output = run(run_command_(words, merge_errors=True))
    assert (output, output.errors) == (b"1\n2\n3\n", b"")
    assert run(run_command_(words)).errors == b"2\n"


def timed_out(run: Run, command: Any) -> tuple[errors.CommandTimeoutError, list[str]]:
    """The error and the lines of a command that has printed something before its time was over, however short."""
    lines: list[str] = []
    for timeout in (0.2, 1, 5, DEADLINE / 2):
        with pytest.raises(errors.CommandTimeoutError, match=f"did not end in {timeout:g} seconds") as caught:
            run(run_command_(command, on_line=lines.append, timeout=timeout))
        if lines:
            return caught.value, lines
    raise AssertionError("it never began")


def test_a_timeout_kills_the_whole_group(run: Run) -> None:
    """The child has a child of its own, which ignores what it can and holds the output open."""
    error, lines = timed_out(run, ["sh", "-c", "trap '' TERM HUP INT; sleep 1000 & echo $!; wait"])
    assert isinstance(error, TimeoutError)
    assert error.output.code == -signal.SIGKILL
    run(gone(int(lines[0])))


def test_a_timeout_tells_what_came_by_then(run: Run) -> None:
    for timeout in (0.2, 1, 5, DEADLINE / 2):
        with pytest.raises(errors.CommandTimeoutError) as caught:
            run(run_command_(["sh", "-c", "echo begun; exec sleep 1000"], timeout=timeout))
        if caught.value.output:
            break
    assert caught.value.output == b"begun\n"


def test_a_timeout_does_not_wait_for_one_who_left_the_group_and_holds_the_output(run: Run) -> None:
    source = "import os, signal\nif os.fork(): os._exit(0)\nos.setsid(); print(os.getpid(), flush=True); signal.pause()"
    _, lines = timed_out(run, python(source))
    os.kill(int(lines[0]), signal.SIGKILL)


@pytest.mark.parametrize("how", ["deferred", "task"])
def test_cancelling_kills_the_whole_group_and_ends_when_it_is_dead(run: Run, how: str) -> None:
    async def main() -> None:
        began: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        before, others = descriptors(), psutil.Process().children()
        words = ["sh", "-c", "sleep 1000 & echo $!; wait"]

        def on_line(line: str) -> None:
            began.set_result(int(line))

        if how == "deferred":
            deferred = run_command(words, on_line=on_line)
            pid = await began
            deferred.cancel()
            with pytest.raises(defer.CancelledError):
                await deferred
        else:
            task = asyncio.ensure_future(run_command_(words, on_line=on_line))
            pid = await began
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert psutil.Process().children() == others
        assert descriptors() == before
        await gone(pid)

    run(main())


def test_cancelled_before_it_has_begun(run: Run) -> None:
    async def main() -> None:
        deferred = run_command(["sleep", "1000"])
        deferred.cancel()
        deferred.cancel()
        with pytest.raises(defer.CancelledError):
            await deferred

    run(main())


@pytest.mark.parametrize("turns", range(1, 8))
def test_cancelled_at_any_time_of_its_beginning(run: Run, turns: int) -> None:
    async def main() -> None:
        deferred = run_command(["sleep", "1000"])
        for _ in range(turns):
            await asyncio.sleep(0)
        deferred.cancel()
        with pytest.raises(defer.CancelledError):
            await deferred

    run(main())


def test_the_end_of_the_loop_kills_the_command_and_says_nothing() -> None:
    program = """
    import asyncio, os
    import fate
    from fate.tools import run_command

    async def main():
        began = asyncio.get_running_loop().create_future()
        run_command(["sh", "-c", "echo $$; exec sleep 1000"], on_line=lambda line: began.set_result(int(line)))
        return await began

    pid = fate.run(main())
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        print("dead")
    """
    assert printed(program) == "dead"


def test_many_at_once(run: Run) -> None:
    async def main() -> list[Any]:
        found: list[Any] = await asyncio.gather(*(run_command_(["echo", str(n)]) for n in range(40)))
        return found

    assert [int(output) for output in run(main())] == list(range(40))


def test_too_few_descriptors_are_a_typed_error() -> None:
    program = """
    import os, resource, sys
    import fate
    from fate import errors
    from fate.tools import run_command

    async def main():
        await run_command("true")
        before = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (before + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        try:
            await run_command("true", stdin=b"")
        except errors.CommandStartError as error:
            print(error)
        if sys.version_info >= (3, 11, 4):  # subprocess itself leaves pipes open before that (gh-87474)
            assert len(os.listdir("/proc/self/fd")) == before

    fate.run(main())
    """
    assert printed(program) == "cannot start true: Too many open files"


def test_a_daemon_that_lets_go_of_the_output_is_left_alone(run: Run) -> None:
    output = run(run_command_(["sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!"], timeout=DEADLINE))
    os.kill(int(output), signal.SIGKILL)  # raises if it is not there


def test_a_timeout_kills_the_group_of_a_command_that_has_ended_while_one_of_it_goes_on(run: Run) -> None:
    error, lines = timed_out(run, ["sh", "-c", "sleep 1000 & echo $!"])
    assert isinstance(error, errors.CommandTimeoutError)
    run(gone(int(lines[0])))


def test_a_timeout_kills_no_group_that_may_have_the_number_of_a_command_that_was_waited_for(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody of the command's group is left: the one that has its output has a session of its own."""
    killed: list[Any] = []
    monkeypatch.setattr(os, "killpg", lambda *args: killed.append(args))
    for timeout in (0.3, 1, 5, DEADLINE / 2):  # until it has had the time to end, however short
        killed.clear()
        with pytest.raises(errors.CommandTimeoutError) as caught:
            run(run_command_(["sh", "-c", "setsid sleep 1000 & echo $!"], timeout=timeout))
        os.kill(int(caught.value.output), signal.SIGKILL)  # it has lived on
        if not killed:
            break
    assert killed == []


def test_a_command_that_is_cancelled_when_it_has_just_ended_says_nothing(
    run: Run, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    async def main() -> None:
        mark = tmp_path / "mark"
        command = asyncio.ensure_future(run_command_(["sh", "-c", f"echo $$ > {mark}; exec sleep 0.1"]))
        while not mark.exists() or not mark.read_text().strip():
            await asyncio.sleep(0.001)
        os.waitid(os.P_PID, int(mark.read_text()), os.WEXITED | os.WNOWAIT)
        command.cancel()
        await asyncio.wait([command])

    run(main())
    assert caplog.text == ""


def test_the_loop_turns_within_a_flood_of_short_lines(run: Run) -> None:
    """A read brings up to 64 KiB, which is as many lines; they are told in order, and to the last, all the same."""
    told: list[str] = []
    between: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def count() -> None:
            between.append(len(told))
            handle[0] = loop.call_soon(count)

        handle = [loop.call_soon(count)]
        await run_command(python("print(*range(40000), sep='\\n', end='')"), on_line=told.append)
        handle[0].cancel()

    run(main())
    assert told == [str(number) for number in range(40000)]
    assert max(after - before for before, after in pairwise(between)) < 100
