"""Under `fate run`, every way to come by an event loop gives a Fate, and what is a program's own stays its own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import fate
from fate.cli.run import find

from .conftest import DEADLINE, FATE, PYTHON, Workshop

KIND = """
import asyncio, sys
def kind(loop):
    return f"{type(loop).__module__}.{type(loop).__qualname__}"
async def main():
    print(kind(asyncio.get_running_loop()) + "\\n", end="")  # one write, whole also beside other threads
"""

SHELL_HEAD = """#!/bin/sh\n'''exec' "PYTHON" "$0" "$@"\n' '''\n"""

# Since Python 3.14 it makes no loop, on stock asyncio either.
IMPLIED = (
    {} if sys.version_info >= (3, 14) else {"get_event_loop": "asyncio.get_event_loop().run_until_complete(main())"}
)
WAYS = {
    **IMPLIED,
    "asyncio.run": "asyncio.run(main())",
    "asyncio.run in debug mode": "asyncio.run(main(), debug=True)",
    "Runner": "with asyncio.Runner() as runner: runner.run(main())",
    "Runner with the class": (
        "with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner: runner.run(main())"
    ),
    "new_event_loop": "loop = asyncio.new_event_loop(); loop.run_until_complete(main()); loop.close()",
    "no policy": "asyncio.run(main()); asyncio.set_event_loop_policy(None); asyncio.run(main())",
    "default policy": "asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy()); asyncio.run(main())",
    "a policy of the program's": """
class Policy(asyncio.DefaultEventLoopPolicy):
    pass
asyncio.set_event_loop_policy(Policy())
asyncio.run(main())
""",
    "SelectorEventLoop": "loop = asyncio.SelectorEventLoop(); loop.run_until_complete(main()); loop.close()",
    "SelectorEventLoop with a selector": """
import selectors
loop = asyncio.SelectorEventLoop(selectors.PollSelector())
loop.run_until_complete(main())
loop.close()
""",
    "imported by name": """
from asyncio import SelectorEventLoop, new_event_loop
for make in (SelectorEventLoop, new_event_loop):
    loop = make()
    print(isinstance(loop, SelectorEventLoop), kind(loop))
    loop.close()
asyncio.run(main())
""",
    "unittest": """
import unittest
class Case(unittest.IsolatedAsyncioTestCase):
    async def test(self):
        await main()
unittest.main(argv=["program"], exit=False)
""",
    "uvloop.run": "import uvloop; uvloop.run(main())",
    "uvloop.install": "import uvloop; uvloop.install(); asyncio.run(main())",
    "uvloop.new_event_loop": "import uvloop; loop = uvloop.new_event_loop(); loop.run_until_complete(main())",
    "uvloop.Loop": "from uvloop import Loop; loop = Loop(); loop.run_until_complete(main()); loop.close()",
    "uvloop.loop": "from uvloop.loop import Loop; loop = Loop(); loop.run_until_complete(main()); loop.close()",
    "uvloop.EventLoopPolicy": """
import uvloop
asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
assert uvloop.EventLoopPolicy is uvloop.EventLoopPolicy
asyncio.run(main())
""",
    "uvloop in a Runner": """
import uvloop
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
""",
    "threads": """
import threading
threads = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
""",
    "one after another": "for _ in range(3): asyncio.run(main())",
    "side by side": """
loops = [asyncio.new_event_loop() for _ in range(3)]
for _ in range(2):
    for loop in loops: loop.run_until_complete(main())
for loop in loops: loop.close()
""",
}
if sys.version_info >= (3, 12):
    WAYS["asyncio.run with the class"] = "asyncio.run(main(), loop_factory=asyncio.SelectorEventLoop)"
if sys.version_info >= (3, 13):
    WAYS["EventLoop"] = "asyncio.run(main(), loop_factory=asyncio.EventLoop)"


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_a_loop_leads_to_fate(workshop: Workshop, way: str) -> None:
    workshop.write("program.py", KIND + WAYS[way])
    done = workshop.run("-W", "ignore", "program.py")
    kinds = [line.split()[-1] for line in done.out.splitlines()]
    assert kinds, done.err
    assert set(kinds) == {"fate.loop.Fate"}
    assert done.code == 0


def test_uvloop_is_fate_even_where_uvloop_is_installed(workshop: Workshop) -> None:
    workshop.write("uvloop/__init__.py", "raise AssertionError('the real one')")
    workshop.write("program.py", KIND + "import uvloop; uvloop.run(main()); print(kind(uvloop.Loop()))")
    assert workshop.run("program.py").out == "fate.loop.Fate\n" * 2


def test_uvloop_passes_on_what_main_returns_and_raises(workshop: Workshop) -> None:
    workshop.write(
        "program.py",
        """
        import asyncio, uvloop
        async def main(fails):
            return asyncio.get_running_loop().get_debug() if not fails else 1 / 0
        print(uvloop.run(main(False)), uvloop.run(main(False), debug=True))
        print(uvloop.run(main(False), loop_factory=uvloop.Loop))
        uvloop.run(main(True))
        """,
    )
    done = workshop.run("program.py")
    assert done.out == "False True\nFalse\n"
    assert done.err.endswith("ZeroDivisionError: division by zero\n")


def test_a_loop_class_of_the_programs_own_stays_its_own(workshop: Workshop) -> None:
    workshop.write(
        "program.py",
        KIND
        + """
class Own(asyncio.SelectorEventLoop):
    def __init__(self, word):
        super().__init__()
        print(word)
class Policy(asyncio.DefaultEventLoopPolicy):
    _loop_factory = staticmethod(lambda: Own("made by the policy"))
loop = Own("made directly")
loop.run_until_complete(main())
loop.close()
asyncio.set_event_loop_policy(Policy())
asyncio.run(main())
""",
    )
    done = workshop.same("program.py")
    assert done.out == "made directly\n__main__.Own\nmade by the policy\n__main__.Own\n"


def test_a_wrong_argument_to_a_loop_is_refused_as_by_asyncio(workshop: Workshop) -> None:
    workshop.write("program.py", "import asyncio\nasyncio.SelectorEventLoop(1, 2, 3)\n")
    done = workshop.run("program.py")
    assert done.code == 1
    assert "TypeError" in done.err.splitlines()[-1]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_that_the_program_starts_run_on_fate(workshop: Workshop, method: str) -> None:
    workshop.write(
        "program.py",
        KIND
        + f"""
import multiprocessing
def work():
    asyncio.run(main())
if __name__ == "__main__":
    process = multiprocessing.get_context("{method}").Process(target=work)
    process.start()
    process.join()
""",
    )
    assert workshop.run("program.py").out == "fate.loop.Fate\n"


def test_pythons_that_the_program_starts_run_on_fate(workshop: Workshop) -> None:
    workshop.write("child.py", KIND + "asyncio.run(main())")
    workshop.write("program.py", "import subprocess, sys; subprocess.run([sys.executable, 'child.py'])")
    assert workshop.run("program.py").out == "fate.loop.Fate\n"


def test_fate_run_inside_fate_run_changes_nothing(workshop: Workshop) -> None:
    workshop.write("child.py", KIND + "import os; print(os.environ['PYTHONPATH'] == sys.argv[1]); asyncio.run(main())")
    workshop.write(
        "program.py",
        "import os, subprocess, sys\n"
        "subprocess.run([sys.executable, '-m', 'fate', 'run', 'child.py', os.environ['PYTHONPATH']])",
    )
    assert workshop.run("program.py").out == "True\nfate.loop.Fate\n"


def test_a_python_of_another_installation_is_left_alone(workshop: Workshop) -> None:
    workshop.write("child.py", KIND + "print('fate_stage' in sys.modules, *[p for p in sys.path if 'stage' in p])")
    workshop.write(
        "program.py",
        """
        import os, subprocess, sys
        subprocess.run([sys.executable, "child.py"], env=os.environ | {"FATE_STAGE": "/elsewhere:cpython-38"})
        """,
    )
    assert workshop.run("program.py").out == "False\n"


@pytest.mark.parametrize("name", ["fate.py", "uvloop.py", "fate_stage.py", "sitecustomize.py"])
def test_a_program_may_be_called_like_a_part_of_fate(workshop: Workshop, name: str) -> None:
    workshop.write(name, KIND + "asyncio.run(main())")
    # Not by `python -m fate`, which would itself take fate.py in the current directory for Fate.
    assert workshop.execute([*PYTHON, *workshop.script(), "run", name]).out == "fate.loop.Fate\n"


def test_fate_itself_can_be_imported_by_the_program(workshop: Workshop) -> None:
    workshop.write("program.py", KIND + "import fate; loop = fate.Fate(); print(kind(loop)); loop.close()")
    done = workshop.run("program.py")
    assert done.out == "fate.loop.Fate\n", done.err


@pytest.mark.parametrize("mark", ["kept", "of another installation"])
def test_a_sitecustomize_that_comes_first_and_does_not_chain_keeps_nobody_off_fate(
    workshop: Workshop, mark: str
) -> None:
    # What an installation has beside its packages, for Python to read when it starts.
    installed = workshop.home / "installed"
    installed.mkdir()
    (installed / "fate").symlink_to(Path(fate.__file__).parent)
    shutil.copy(installed / "fate/cli/stage/fate_stage.pth", installed)
    workshop.write("agent/sitecustomize.py", "")
    workshop.write("child.py", KIND + "print(sys.path == before); asyncio.run(main())")
    workshop.write(
        "program.py",
        f"""
        import os, subprocess, sys
        start = "import site, sys; site.addsitedir('installed'); sys.path.pop(); before = list(sys.path)"
        env = os.environ | {{"PYTHONPATH": "agent"}}
        if {mark != "kept"}:
            env["FATE_STAGE"] = "/elsewhere:cpython-38"
        subprocess.run([sys.executable, "-c", start + "; exec(open('child.py').read())"], env=env)
        """,
    )
    kind = "fate.loop.Fate" if mark == "kept" else "asyncio.unix_events._UnixSelectorEventLoop"
    assert workshop.run("program.py").out == f"True\n{kind}\n"


def test_the_file_for_pythons_start_does_nothing_without_fate_run(workshop: Workshop) -> None:
    installed = workshop.home / "installed"
    installed.mkdir()
    shutil.copy(Path(fate.__file__).parent / "cli/stage/fate_stage.pth", installed)
    start = (
        "import encodings.utf_8_sig, site, sys; before = set(sys.modules); site.addsitedir('installed');"
        "print(set(sys.modules) - before)"
    )
    assert workshop.python("-S", "-c", start).out == "set()\n"


@pytest.mark.parametrize(
    ("source", "code", "says"),
    [
        ("print('no loop')", 3, "fate: no Fate was made: "),
        ("asyncio.run(main())", 0, "fate: 1 Fate made, in 1 process\n"),
        ("asyncio.run(main()); sys.exit(5)", 5, "fate: 1 Fate made, in 1 process\n"),
        ("import uvloop; uvloop.run(main())", 0, "fate: 1 Fate made, in 1 process\n"),
        ("class Own(asyncio.SelectorEventLoop): pass\nOwn().close()", 3, "fate: no Fate was made: "),
        ("asyncio.run(main()); sys.stdout.flush(); import os; os._exit(0)", 0, "fate: 1 Fate made, in 1 process\n"),
        (
            "import subprocess\n"
            "for _ in 'ab': subprocess.run([sys.executable, '-c', 'import fate; fate.Fate().close()'])",
            0,
            "fate: 2 Fates made, in 2 processes\n",
        ),
    ],
)
def test_on_request_it_says_whether_a_fate_was_made(workshop: Workshop, source: str, code: int, says: str) -> None:
    workshop.write("program.py", KIND + source)
    done = workshop.run("--check", "program.py")
    assert done.code == code and done.err.startswith(says)
    assert done.out == workshop.run("program.py").out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_program_that_is_checked_gets_its_signals_and_ends_by_them(workshop: Workshop, number: int) -> None:
    workshop.write("program.py", "import signal; print('ready', flush=True); signal.pause()")
    words = [*FATE, "run", "--check", "program.py"]
    with subprocess.Popen(
        words, cwd=workshop.home, env=workshop.env, stdout=-1, stderr=-1, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(number)
        err = process.communicate(timeout=DEADLINE)[1]
    assert process.returncode == -number and "fate: no Fate was made" in err


def command(workshop: Workshop, head: str = SHELL_HEAD) -> Path:
    """Writes an installed command beside a Python, and returns its path."""
    python = workshop.home / "bin dir" / "python"
    script = workshop.write("bin dir/serve", head.replace("PYTHON", str(python)) + "import sys; print(sys.argv)\n")
    script.chmod(0o755)
    python.symlink_to(sys.executable)
    workshop.env["PATH"] = f"{python.parent}:{workshop.env['PATH']}"
    return script


@pytest.mark.parametrize("head", ["#!/usr/bin/env python\n", SHELL_HEAD])
def test_an_installed_command_is_found_by_its_name(
    workshop: Workshop, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = command(workshop, head)
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    monkeypatch.setenv("PATH", workshop.env["PATH"])
    assert find("serve") == str(script)


def test_an_installed_command_stands_on_fate(workshop: Workshop) -> None:
    script = Path(sys.executable).with_name("pytest")
    assert script.exists()
    workshop.write("test_it.py", KIND + "def test_it(): asyncio.run(main())")
    done = workshop.run("pytest", "-q", "-s", "test_it.py")
    assert "fate.loop.Fate" in done.out and done.code == 0


def test_a_command_of_another_python_is_refused(workshop: Workshop) -> None:
    command(workshop)
    done = workshop.run("serve", "app")
    assert done.code == 2 and "runs in another Python" in done.err and "Traceback" not in done.err


def test_what_is_a_module_and_no_file_gets_a_hint(workshop: Workshop) -> None:
    done = workshop.run("http.server")
    assert (done.code, done.out) == (2, "") and "fate run -m http.server" in done.err


def test_a_file_of_that_name_comes_before_a_command_or_a_module(workshop: Workshop) -> None:
    workshop.write("json", "print('a file')")
    assert workshop.same("json").out == "a file\n"


@pytest.mark.parametrize("line", [["fate.py"], ["./program.py"], ["-m", "program"], ["-c", "import program"]])
def test_a_file_that_is_named_like_the_package_gets_a_hint(workshop: Workshop, line: list[str]) -> None:
    for name in ("fate.py", "program.py"):
        workshop.write(name, "print('runs')")
    done = workshop.execute([*PYTHON, *workshop.script(), "run", *line])
    assert (done.code, done.out) == (0, "runs\n")
    assert "has the name of this package" in done.err and len(done.err.splitlines()) == 1
