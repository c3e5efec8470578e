"""`fate explore` and `fate replay`: what is found, told, kept and shown again, and with which exit code."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import DEADLINE, FATE, Outcome, Workshop

BANK = """
    import asyncio, ctypes, os, sys

    async def serve(reader, writer):
        try:
            while await reader.readline():
                writer.write(b"paid\\n")
        finally:
            writer.close()

    async def pay():
        print("noise")
        async with await asyncio.start_server(serve, "127.0.0.1", 7):
            reader, writer = await asyncio.open_connection("127.0.0.1", 7)
            before = asyncio.get_running_loop().time()
            try:
                writer.write(b"pay\\n")
                await reader.readline()
            finally:
                writer.close()
            assert asyncio.get_running_loop().time() - before < 0.02, "too late"

    async def good():
        await asyncio.sleep(10)

    async def needs_environment():
        assert os.environ["NEEDED"] == "yes"

    async def exits():
        await asyncio.gather(asyncio.sleep(1), stop())

    async def stop():
        raise SystemExit(0)

    async def told():
        print("begun", file=sys.stderr, flush=True)
        await asyncio.sleep(1)

    async def endless():
        print("begun", file=sys.stderr, flush=True)
        while True:
            pass

    async def deaf():
        print("begun", file=sys.stderr, flush=True)
        for _ in range(100):
            try:
                sum(range(10_000))
            except KeyboardInterrupt:
                pass

    async def dies():
        ctypes.string_at(0)

    async def in_order():
        order = []
        for number in range(3):
            asyncio.get_running_loop().call_soon(order.append, number)
        await asyncio.sleep(0)
        assert order == [0, 1, 2]

    async def leaving():
        global kept
        kept = asyncio.create_task(asyncio.Event().wait(), name="waiter")

    async def leaks():
        slots = asyncio.Semaphore(1)

        async def use():
            await slots.acquire()
            await asyncio.sleep(0.01)
            slots.release()

        noise = asyncio.create_task(asyncio.sleep(1), name="noise")
        await asyncio.gather(use(), return_exceptions=True)
        await asyncio.wait([noise])
        assert not noise.cancelled(), "who was that?"
        async with asyncio.timeout(30):
            await slots.acquire()

    async def waits():
        async with asyncio.TaskGroup() as group:
            task = group.create_task(asyncio.sleep(1))
        task.result()

    runs = 0

    async def drifting():
        global runs
        runs += 1
        await asyncio.sleep(runs)
"""


@pytest.fixture
def bank(workshop: Workshop) -> Path:
    """A file with programs."""
    return workshop.write("bank.py", BANK)


def kept(workshop: Workshop) -> str:
    [path] = (workshop.home / ".fate").glob("*.json")
    return path.stem


def test_a_failure_is_found_told_and_kept(workshop: Workshop, bank: Path) -> None:
    done = workshop.fate("explore", "bank.py::pay", "--first")
    assert done.code == 1
    lines = done.out.splitlines()
    assert lines[0] == "bank.py::pay failed: AssertionError: too late"
    assert re.match(r"  at bank.py:\d+ in pay, [\d.]+ s after the beginning", lines[1])
    assert "It needs this fault:" in lines
    assert lines[-1] == f"Replay it: fate replay {kept(workshop)}"
    assert len(lines) <= 15 and "noise" not in done.out
    assert re.search(r"\d+ runs in [\d.]+ s, [\d,]+ a second", done.err)


def test_what_is_found_does_not_depend_on_the_number_of_processes(workshop: Workshop, bank: Path) -> None:
    alone = workshop.fate("explore", "bank.py::pay")
    (workshop.home / ".fate" / f"{kept(workshop)}.json").unlink()
    assert workshop.fate("explore", "bank.py::pay", "-j", "2").out == alone.out


def test_it_goes_on_after_the_first_failure_and_tells_of_others_at_other_lines(workshop: Workshop, bank: Path) -> None:
    done = workshop.fate("explore", "bank.py::leaks", "--seeds", "20")
    assert done.code == 1
    errors = re.findall(r"^(?:bank.py::leaks failed|Also, in \d+ runs?): (\w+)", done.out, re.MULTILINE)
    assert sorted(errors) == ["AssertionError", "TimeoutError"]
    assert len(list((workshop.home / ".fate").glob("*.json"))) == 2
    for id in re.findall(r"fate replay (\w+)$", done.out, re.MULTILINE):
        assert workshop.fate("replay", id).code == 1
    first = workshop.fate("explore", "bank.py::leaks", "--seeds", "20", "--first")
    assert len(re.findall("failed|Also", first.out)) == 1


def test_tasks_can_be_left_alone_by_name(workshop: Workshop, bank: Path) -> None:
    spared = ["--not-task", "noise", "--not-task", "us*"]
    done = workshop.fate("explore", "bank.py::leaks", "--seeds", "20", *spared)
    assert done.code == 0 and "no failure" in done.out


def test_what_was_excused_is_counted(workshop: Workshop, bank: Path) -> None:
    done = workshop.fate("explore", "bank.py::waits", "--seeds", "20")
    assert done.code == 0 and re.search(r"^  \d+ of them ended with an excused CancelledError", done.out, re.MULTILINE)
    assert workshop.fate("explore", "bank.py::waits", "--seeds", "20", "--strict").code == 1


def test_a_search_ends_when_its_time_is_over(workshop: Workshop, bank: Path) -> None:
    done = workshop.fate("explore", "bank.py::good", "--seeds", "1000000", "--seconds", "0.5")
    assert done.code == 0 and "stopped after 0.5 s" in done.out


def test_what_was_found_is_tried_first(workshop: Workshop, bank: Path) -> None:
    first = workshop.fate("explore", "bank.py::pay", "--first")
    again = workshop.fate("explore", "bank.py::pay", "--first")
    assert again.code == 1 and "Found in 1 run," in again.out
    assert again.out.splitlines()[-1] == first.out.splitlines()[-1]


def test_a_good_program_ends_with_0(workshop: Workshop, bank: Path) -> None:
    done = workshop.fate("explore", "bank.py::good", "--seeds", "20")
    assert done.code == 0 and done.out.startswith("bank.py::good: no failure (2")
    assert not (workshop.home / ".fate").exists()


def test_what_is_left_behind_is_allowed_by_name(workshop: Workshop, bank: Path) -> None:
    done = workshop.fate("explore", "bank.py::leaving", "--seeds", "2", "--allow", "leftover:another")
    assert done.code == 1 and "left behind: task waiter (Event.wait) at locks.py:" in done.out
    done = workshop.fate("explore", "bank.py::leaving", "--seeds", "2", "--allow", "leftover:waiter")
    assert done.code == 0


def test_a_replay_shows_everything_and_says_so_when_the_program_changed(workshop: Workshop, bank: Path) -> None:
    workshop.fate("explore", "bank.py::pay", "--faults", "latency")
    id = kept(workshop)
    done = workshop.fate("replay", id)
    assert done.code == 1
    assert re.search(r"0\.\d+ +main +Task-\d+ +#\d+ serve at bank.py:\d+, caused by #\d+", done.out)
    assert re.search(r"FAULT +the \d\w\w message from main to main came [\d.]+ ms late", done.out)
    assert "bank.py::pay fails: AssertionError: too late" in done.out and "noise" in done.out
    assert "has changed" not in done.out
    workshop.write("bank.py", BANK.replace("< 0.02", "< 20").replace('print("noise")', "await asyncio.sleep(1)"))
    changed = workshop.fate("replay", id)
    assert changed.code == 0 and "bank.py::pay does not fail any more." in changed.out
    assert re.search(
        r"has changed since; the first event that differs is number \d+:\n  then: .*\n  now:  ", changed.out
    )


def test_the_debugger_stops_where_it_fails(workshop: Workshop, bank: Path) -> None:
    workshop.fate("explore", "bank.py::pay")
    done = workshop.execute([*FATE, "replay", kept(workshop), "--pdb"], stdin="print('before is', before >= 0)\nquit\n")
    assert "before is True" in done.out and done.code == 1


def test_two_runs_of_a_seed_are_compared(workshop: Workshop, bank: Path) -> None:
    same = workshop.fate("explore", "bank.py::pay", "--check-determinism")
    assert same.code == 0 and "seed 0 was the same in both runs" in same.out
    other = workshop.fate("explore", "bank.py::drifting", "--check-determinism")
    assert other.code == 1
    assert "seed 0 was not the same in both runs" in other.out
    assert re.search(
        r"The first event that differs is number \d+:\n  first run: 1\.0.*\n    main \(drifting\)\n      at bank.py:\d+"
        r"\n  second run: 2\.0.*\n    main \(drifting\)\n      at bank.py:\d+",
        other.out,
    )


def test_call_soon_is_shuffled_when_asked_for_and_the_report_says_so(workshop: Workshop, bank: Path) -> None:
    assert workshop.fate("explore", "bank.py::in_order", "--seeds", "20").code == 0
    done = workshop.fate("explore", "bank.py::in_order", "--relaxed")
    assert done.code == 1 and "Found by --relaxed: on asyncio, callbacks run in the order of call_soon" in done.out
    assert workshop.fate("replay", kept(workshop)).code == 1


def test_a_program_gets_the_variables_that_it_needs_and_no_others(workshop: Workshop, bank: Path) -> None:
    workshop.env["NEEDED"] = "yes"
    assert workshop.fate("explore", "bank.py::needs_environment", "--seeds", "1").code == 1
    done = workshop.fate("explore", "bank.py::needs_environment", "--seeds", "1", "--env", "NEEDED")
    assert done.code == 0


def test_a_program_that_exits_has_failed_whatever_its_code(workshop: Workshop, bank: Path) -> None:
    done = workshop.fate("explore", "bank.py::exits", "--seeds", "3")
    assert done.code == 1 and "bank.py::exits failed: SystemExit: 0" in done.out
    assert workshop.fate("explore", "bank.py::exits", "--seeds", "3", "--allow", "exception:SystemExit").code == 0


def test_what_cannot_be_kept_is_told_all_the_same(workshop: Workshop, bank: Path) -> None:
    (workshop.home / ".fate").write_text("no folder")
    done = workshop.fate("explore", "bank.py::needs_environment", "--seeds", "1")
    assert done.code == 1 and "bank.py::needs_environment failed: KeyError: 'NEEDED'" in done.out
    assert "Replay it: not possible, for it cannot be kept: " in done.out and "Traceback" not in done.err


@pytest.mark.parametrize("program", ["told", "deaf"])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_ends_a_search_with_one_line(workshop: Workshop, bank: Path, jobs: str, program: str) -> None:
    words = [*FATE, "explore", f"bank.py::{program}", "--seeds", "1000000", "-j", jobs, "--output"]
    with subprocess.Popen(
        words, cwd=workshop.home, env=workshop.env, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        while "begun" not in process.stderr.readline():
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all of its processes
        try:
            err = process.communicate(timeout=DEADLINE)[1]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        rest = [line for line in err.splitlines() if line not in ("", "begun")]
    [line] = rest
    assert process.returncode == 130 and re.fullmatch(rf"bank.py::{program}: stopped after \d+ runs, none of .*", line)


def test_a_second_ctrl_c_breaks_off_the_run(workshop: Workshop, bank: Path) -> None:
    words = [*FATE, "explore", "bank.py::endless", "--output"]
    with subprocess.Popen(words, cwd=workshop.home, env=workshop.env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "begun" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)  # the run goes on
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=DEADLINE)[1]
    assert process.returncode == 130 and "bank.py::endless: stopped after 0 runs" in err


def test_a_process_that_dies_is_told(workshop: Workshop, bank: Path) -> None:
    done = workshop.fate("explore", "bank.py::dies", "-j", "2")
    assert done.code == 2 and "a process that carries runs of bank.py::dies has died after 0 runs" in done.err
    assert "Traceback" not in done.err


def forged(workshop: Workshop, **changes: Any) -> Outcome:
    """Replays a kept failure of bank.py that somebody has changed."""
    workshop.fate("explore", "bank.py::needs_environment", "--seeds", "1")
    [path] = (workshop.home / ".fate").glob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return workshop.fate("replay", path.stem)


@pytest.mark.parametrize(
    "changes",
    [
        {"program": "../evil.py::main"},
        {"program": "{outside}::main"},
        {"program": "link.py::main"},
        {"program": "bank.py/../../evil.py::main"},
        {"program": "\x00::main"},
        {"program": "../evil.py::main", "runner": "pytest"},
        {"program": "{outside}::main", "runner": "pytest"},
        {"program": "-pevil", "runner": "pytest"},
        {"program": "--rootdir=..::main", "runner": "pytest"},
        {"program": "@options.txt", "runner": "pytest"},
        {"program": "", "runner": "pytest"},
        {"runner": "sh"},
        {"version": 2},
        {"id": "00000000"},
    ],
)
def test_a_kept_failure_of_somebody_else_runs_nothing_outside_of_the_repository(
    workshop: Workshop, bank: Path, tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]
) -> None:
    outside = tmp_path_factory.mktemp("elsewhere") / "evil.py"
    evil = f"open({str(workshop.home / 'run')!r}, 'w')\nasync def main(): pass\n"
    for path in (outside, workshop.home.parent / "evil.py"):
        path.write_text(evil)
    workshop.write("evil/__init__.py", evil)
    (workshop.home / "link.py").symlink_to(outside)
    done = forged(workshop, **{name: value.replace("{outside}", str(outside)) if isinstance(value, str) else value
                               for name, value in changes.items()})  # fmt: skip
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("fate: ") and "Traceback" not in done.err
    assert not (workshop.home / "run").exists()


def test_a_program_outside_of_the_repository_is_replayed_when_the_user_names_it(
    workshop: Workshop, bank: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("else where") / "bank.py"
    outside.write_bytes(bank.read_bytes())
    bank.unlink()
    found = workshop.fate("explore", f"{outside}::needs_environment", "--seeds", "1").out.splitlines()[-1]
    words = shlex.split(found.removeprefix("Replay it: fate "))
    assert words == ["replay", kept(workshop), f"{outside}::needs_environment"]
    assert workshop.fate(*words).code == 1
    unnamed = workshop.fate(*words[:2])
    assert unnamed.code == 2 and "name it: fate replay ID FILE::FUNCTION" in unnamed.err
    other = workshop.fate(*words[:2], "bank.py::pay")
    assert other.code == 2 and "not of bank.py::pay" in other.err


def test_a_program_of_the_same_repository_is_replayed_from_any_of_its_folders(workshop: Workshop, bank: Path) -> None:
    workshop.write(".git/HEAD", "")
    workshop.write("tests/README", "")
    workshop.home = workshop.home / "tests"
    assert workshop.fate("explore", "../bank.py::needs_environment", "--seeds", "1").code == 1
    assert workshop.fate("replay", kept(workshop)).code == 1


def test_a_test_whose_file_is_named_like_an_option_is_replayed(workshop: Workshop) -> None:
    workshop.write(
        "-pevil.py", "import pytest\n@pytest.mark.universe(seeds=1)\nasync def test_it():\n    assert False\n"
    )
    assert workshop.python("-m", "pytest", "-q", "./-pevil.py").code == 1
    replayed = workshop.fate("replay", kept(workshop))
    assert replayed.code == 1 and "assert False" in replayed.out


def test_a_kept_failure_moves_no_cursor_and_overwrites_no_file_that_it_links_to(workshop: Workshop, bank: Path) -> None:
    trouble = {"kind": "exception", "message": "\x1b[2Jgone", "error": "Other", "host": "main", "when": 0}
    done = forged(workshop, trouble=trouble, events=["\x1b[2Jgone"])
    assert done.code == 1 and "\x1b" not in done.out and "\\x1b[2Jgone" in done.out
    target = workshop.write("precious", "kept")
    path = workshop.home / ".fate" / f"{kept(workshop)}.json"
    path.unlink()
    path.symlink_to(target)
    workshop.fate("explore", "bank.py::needs_environment", "--seeds", "1")
    assert target.read_text() == "kept" and not path.is_symlink()


REFUSED = {
    "a variable that is not set": (["explore", "bank.py::pay", "--env", "A=1"], "no environment variable 'A=1'"),
    "no function": (["explore", "bank.py"], "FILE::function"),
    "no file": (["explore", "nowhere.py::main"], "there is no file nowhere.py"),
    "no such function": (["explore", "bank.py::main"], "there is no function 'main' in bank.py"),
    "not async": (["explore", "bank.py::runs"], "an async function without arguments"),
    "no such fault": (["explore", "bank.py::pay", "--faults", "rain"], "there is no fault 'rain'"),
    "no such failure": (["explore", "bank.py::pay", "--allow", "rain"], "there is no failure 'rain'"),
    "no time": (["explore", "bank.py::pay", "--limit", "0"], "above 0"),
    "a seed in words": (["explore", "bank.py::pay", "--seed", "one"], "'one' is not a valid integer"),
    "no jobs": (["explore", "bank.py::pay", "-j", "0"], "0 is not in the range"),
    "an unknown id": (["replay", "12345678"], "there is no kept failure '12345678'"),
    "a path for an id": (["replay", "../bank"], "there is no kept failure '../bank'"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_makes_no_sense_is_refused_with_a_reason(workshop: Workshop, bank: Path, kind: str) -> None:
    words, reason = REFUSED[kind]
    done = workshop.fate(*words)
    assert done.code == 2 and reason in done.err and "Traceback" not in done.err


NOISY = """
    import asyncio, ctypes, logging, sys

    logging.basicConfig()
    log = logging.getLogger("program")

    async def noisy():
        print("printed")
        sys.stdout.buffer.write(b"bytes\\n")
        print("told", file=sys.stderr)
        log.warning("logged")
        await asyncio.sleep(1)

    async def noisy_and_wrong():
        await noisy()
        raise ValueError("wrong")

    async def interrupts_itself():
        await asyncio.sleep(1)
        raise KeyboardInterrupt

    async def busy():
        while True:
            pass

    async def deaf_and_busy():
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass

    async def dies():
        ctypes.string_at(0)

    async def spins():
        flag = []
        asyncio.get_running_loop().call_later(10, flag.append, 1)
        while not flag:
            await asyncio.sleep(0)

    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    async def mute():
        raise Mute

    async def half_a_letter():
        raise ValueError("half \\ud800 and nothing \\0")

    async def half_a_name():
        global kept
        kept = asyncio.create_task(asyncio.Event().wait(), name="\\udcff")
        await asyncio.sleep(1)
"""


@pytest.fixture
def noisy(workshop: Workshop) -> Path:
    """A file with programs that write, or do not end."""
    return workshop.write("noisy.py", NOISY)


WRITTEN = ("printed", "bytes", "told", "WARNING:program:logged")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_what_the_runs_write_is_not_shown(workshop: Workshop, noisy: Path, jobs: str) -> None:
    done = workshop.fate("explore", "noisy.py::noisy", "--seeds", "5", "-j", jobs)
    assert done.code == 0 and not any(line in done.out + done.err for line in WRITTEN)


def test_what_the_run_that_failed_has_written_is_shown_once(workshop: Workshop, noisy: Path) -> None:
    done = workshop.fate("explore", "noisy.py::noisy_and_wrong", "--seeds", "5")
    assert done.code == 1 and [done.err.count(line) for line in WRITTEN] == [1, 1, 1, 1]
    shown = workshop.fate("explore", "noisy.py::noisy", "--seeds", "5", "--output")
    assert shown.out.count("printed") > 5 and shown.err.count("logged") > 5


def test_a_program_s_own_keyboard_interrupt_is_a_failure_of_its(workshop: Workshop, noisy: Path) -> None:
    done = workshop.fate("explore", "noisy.py::interrupts_itself", "--seeds", "1")
    assert done.code == 1 and "noisy.py::interrupts_itself failed: KeyboardInterrupt" in done.out


def test_a_busy_loop_is_told_with_its_line_once(workshop: Workshop, noisy: Path) -> None:
    done = workshop.fate("explore", "noisy.py::busy", "--seeds", "5")
    assert done.code == 1 and "has blocked its loop for 8 s of real time" in done.out and "in busy" in done.out
    assert "(1 runs in " in done.err


def test_one_that_catches_all_that_would_end_it_is_ended(workshop: Workshop, noisy: Path) -> None:
    done = workshop.fate("explore", "noisy.py::deaf_and_busy", "--seeds", "1")
    assert done.code in (1, 2) and "in deaf_and_busy" in done.out + done.err
    assert "Traceback" not in done.out + done.err


def test_a_program_that_ends_the_process_is_told_with_its_line(workshop: Workshop, noisy: Path) -> None:
    done = workshop.fate("explore", "noisy.py::dies", "--seeds", "1")
    assert done.code not in (0, 1) and "Segmentation fault" in done.err and "in dies" in done.err


def test_one_that_spins_is_named(workshop: Workshop, noisy: Path) -> None:
    done = workshop.fate("explore", "noisy.py::spins", "--seeds", "20")
    assert done.code == 0 and done.err.count("noisy.py::spins: task main spins at noisy.py:") == 1


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("mute", "Mute: (its text cannot be had: RuntimeError)"),
        ("half_a_letter", r"ValueError: half \ud800 and nothing \x00"),
        ("half_a_name", r"left behind: task \udcff"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_any_text_is_told_and_kept(workshop: Workshop, noisy: Path, program: str, told: str, encoding: str) -> None:
    workshop.env["PYTHONIOENCODING"] = encoding
    done = workshop.fate("explore", f"noisy.py::{program}", "--seeds", "1")
    assert done.code == 1 and told in done.out and "Traceback" not in done.err
    again = workshop.fate("replay", kept(workshop))
    assert again.code == 1 and told in again.out and "Traceback" not in again.err
