"""Becoming the global reactor: by hand, by trial and twistd, by `fate run`; signals and children of such programs."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli.conftest import Workshop, workshop
from support import DEADLINE, printed, python

__all__ = ["workshop"]

KIND = "from twisted.internet import reactor; print(type(reactor).__module__, type(reactor).__name__)\n"
FATES = "fate.tx.reactor FateReactor"


def test_it_becomes_the_reactor_and_asyncios_loop() -> None:
    source = """
    import asyncio, warnings, fate.tx
    installed = fate.tx.install()
    from twisted.internet import reactor
    warnings.simplefilter("ignore")
    print(reactor is installed, asyncio.get_event_loop() is reactor.loop, fate.tx.install() is reactor)
    """
    assert printed(source) == "True True True"


def test_it_stands_on_a_loop_that_it_is_given_or_that_runs() -> None:
    source = """
    import asyncio, fate, fate.tx
    async def main():
        print(fate.tx.install().loop is asyncio.get_running_loop())
        try:
            fate.tx.install(fate.Fate())
        except fate.tx.ReactorInstalledError as error:
            print("another loop" in str(error))
    fate.run(main())
    """
    done = python(source)
    assert done.stdout.split() == ["True", "True"]


def test_another_reactor_that_is_there_already_is_a_typed_error() -> None:
    source = """
    import fate, fate.tx
    from twisted.internet import reactor
    from twisted.internet.error import ReactorAlreadyInstalledError
    try:
        fate.tx.install()
    except ReactorAlreadyInstalledError as error:
        print(isinstance(error, fate.FateError), "EPollReactor" in str(error), "fate run" in str(error))
    """
    assert printed(source) == "True True True"


def test_importing_fate_tx_imports_no_twisted() -> None:
    source = "import sys, fate.tx; print([name for name in sys.modules if name.startswith('twisted')])"
    assert printed(source) == "[]"


def test_the_module_of_its_class_installs_it_as_trial_expects_for_child_processes() -> None:
    program = """
    import sys
    import fate.tx.reactor
    fate.tx.reactor.install()
    from twisted.internet import reactor
    print(sys.modules[type(reactor).__module__].install() is reactor)
    """
    assert printed(program) == "True"


def test_trial_runs_on_it(tmp_path: Path) -> None:
    body = KIND.replace("; ", "\n  ")
    test = f"from twisted.trial.unittest import TestCase\nclass T(TestCase):\n def test_kind(self):\n  {body}"
    (tmp_path / "test_kind.py").write_text(test)
    command = [sys.executable, "-m", "twisted.trial", "--reactor=fate", "test_kind"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE, check=True)
    assert FATES in done.stdout


def test_twistd_runs_on_it(tmp_path: Path) -> None:
    (tmp_path / "app.tac").write_text(
        "from twisted.application.service import Application\n"
        "application = Application('kind')\n"
        "from twisted.internet import reactor\n"
        "reactor.callLater(0, lambda: (print(type(reactor).__name__), reactor.stop()))\n"
    )
    twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]

    def run(*words: str) -> str:
        command = [*twistd, *words]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE, check=True
        ).stdout

    assert "fate" in run("--help-reactors").split()
    run("--reactor=fate", "-n", "-l", "log", "-y", "app.tac")
    assert "FateReactor" in (tmp_path / "log").read_text()


WAYS = {
    "by import": "",
    "epoll": "from twisted.internet import epollreactor; epollreactor.install()\n",
    "poll": "from twisted.internet import pollreactor; pollreactor.install()\n",
    "select": "from twisted.internet import selectreactor; selectreactor.install()\n",
    "asyncio": "from twisted.internet import asyncioreactor; asyncioreactor.install()\n",
    "asyncio, a loop": (
        "import asyncio; from twisted.internet import asyncioreactor; loop = asyncio.new_event_loop()\n"
        "asyncioreactor.install(loop)\n"
        "from twisted.internet import reactor; assert reactor.loop is loop\n"
    ),
    "by name": "from twisted.application.reactors import installReactor; installReactor('poll')\n",
    "fate": "import fate.tx; fate.tx.install()\n",
}


@pytest.mark.parametrize("way", WAYS)
def test_under_fate_run_every_general_reactor_is_fates(workshop: Workshop, way: str) -> None:
    workshop.write("program.py", WAYS[way] + KIND)
    done = workshop.run("-W", "error::ResourceWarning", "program.py")
    assert (done.code, done.out.strip(), done.err) == (0, FATES, "")


CLASSES = {
    "asyncioreactor": "AsyncioSelectorReactor",
    "epollreactor": "EPollReactor",
    "pollreactor": "PollReactor",
    "selectreactor": "SelectReactor",
}


@pytest.mark.parametrize("module", CLASSES)
def test_under_fate_run_the_reactor_is_of_the_class_that_was_asked_for(workshop: Workshop, module: str) -> None:
    name = CLASSES[module]
    source = f"""
    from twisted.internet import {module}
    from twisted.internet.{module} import {name}
    {module}.install()
    from twisted.internet import reactor
    print(type(reactor) is {module}.{name}, type(reactor) is {name})
    """
    workshop.write("program.py", source)
    plain, staged = workshop.python("program.py"), workshop.run("program.py")
    assert plain.out == staged.out == "True True\n"


def test_under_fate_run_the_asyncio_reactor_takes_a_loop_of_the_programs_own_afterwards_too(
    workshop: Workshop,
) -> None:
    source = """
    import asyncio
    from twisted.internet import asyncioreactor
    asyncioreactor.install()
    from twisted.internet import reactor
    class Own(asyncio.SelectorEventLoop):
        pass
    try:
        asyncioreactor.install()
    except Exception as error:
        print(type(error).__name__)
    loop = Own()
    made = asyncioreactor.AsyncioSelectorReactor(eventloop=loop)
    print(made._asyncioEventloop is loop, isinstance(reactor, asyncioreactor.AsyncioSelectorReactor))
    made.callLater(0, print, "called")
    made.callLater(0, made.stop)
    made.run()
    """
    workshop.write("program.py", source)
    done = workshop.run("program.py")
    assert (done.out.split("\n"), done.err) == (["ReactorAlreadyInstalledError", "True True", "called", ""], "")


def test_under_fate_run_an_install_that_comes_too_late_changes_no_name(workshop: Workshop) -> None:
    source = """
    from twisted.internet import asyncioreactor, reactor
    before = asyncioreactor.AsyncioSelectorReactor
    try:
        asyncioreactor.install()
    except Exception as error:
        print(type(error).__name__, asyncioreactor.AsyncioSelectorReactor is before, isinstance(reactor, before))
    """
    workshop.write("program.py", source)
    assert workshop.run("program.py").out == "ReactorAlreadyInstalledError True True\n"


def test_it_is_an_asyncio_reactor_to_those_who_ask() -> None:
    source = """
    import fate.tx
    reactor = fate.tx.install()
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor
    print(isinstance(reactor, AsyncioSelectorReactor), reactor._asyncioEventloop is reactor.loop)
    """
    assert printed(source) == "True True"


def test_under_fate_run_a_second_install_fails_as_it_does_without(workshop: Workshop) -> None:
    source = "from twisted.internet import reactor, epollreactor\nepollreactor.install()\n"
    workshop.write("program.py", source)
    plain, staged = workshop.python("program.py"), workshop.run("program.py")
    assert (plain.code, staged.code) == (1, 1)
    assert plain.err.splitlines()[-1] == staged.err.splitlines()[-1]


def test_under_fate_run_a_reactor_on_the_programs_own_loop_stays(workshop: Workshop) -> None:
    source = (
        "import asyncio\nclass Own(asyncio.SelectorEventLoop):\n    pass\n"
        "from twisted.internet import asyncioreactor\nasyncioreactor.install(Own())\n" + KIND
    )
    workshop.write("program.py", source)
    assert workshop.run("program.py").out.split()[-1] == "AsyncioSelectorReactor"


def test_giving_a_reactor_up_leaves_no_descriptor_behind(workshop: Workshop) -> None:
    source = """
    import os, sys
    import twisted.internet.main, fate.tx.stage, fate.tx.reactor
    from twisted.internet import epollreactor, pollreactor
    from fate.tx.stage import give_up
    def count():
        return len(os.listdir("/proc/self/fd"))
    for kind in (epollreactor.EPollReactor, pollreactor.PollReactor):
        before = count()
        give_up(kind())
        print(count() - before)
    """
    workshop.write("program.py", source)
    assert workshop.python("program.py").out.split() == ["0", "0"]


SLEEPER = """
from twisted.internet import reactor
reactor.addSystemEventTrigger("during", "shutdown", print, "shutting down", flush=True)
reactor.callWhenRunning(print, "running", flush=True)
reactor.run()
print("ended")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_program_as_it_does_without_fate(workshop: Workshop, number: int) -> None:
    workshop.write("program.py", SLEEPER)
    ends = []
    for words in ([sys.executable, "program.py"], [sys.executable, "-m", "fate", "run", "program.py"]):
        with workshop.started(*words) as program:
            program.line(holding="running")
            end = program.end(number)
            ends.append((end.code, end.out, end.err))
    assert ends[0] == ends[1] == (0, "shutting down\nended\n", "")


def test_children_of_both_kinds_end_beside_asyncios_signal_handlers(workshop: Workshop) -> None:
    source = """
    import asyncio, os, signal, sys
    import fate.tx
    fate.tx.install()
    from twisted.internet import reactor
    from twisted.internet.protocol import ProcessProtocol
    from twisted.internet.defer import Deferred

    class Child(ProcessProtocol):
        def __init__(self):
            self.over = Deferred()
            self.said = b""
        def outReceived(self, data):
            self.said += data
        def processEnded(self, reason):
            self.over.callback((self.said, reason.value.exitCode))

    async def main():
        loop = asyncio.get_running_loop()
        heard = asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, heard.set)
        mine = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "print('asyncio'); exit(4)", stdout=asyncio.subprocess.PIPE)
        child = Child()
        reactor.spawnProcess(child, sys.executable, [sys.executable, "-c", "print('Twisted'); exit(3)"], env=None)
        print((await mine.communicate())[0].decode().strip(), mine.returncode)
        said, code = await child.over.asFuture(loop)
        print(said.decode().strip(), code)
        os.kill(os.getpid(), signal.SIGUSR1)
        await heard.wait()
        print("signal")
        reactor.stop()

    reactor.callWhenRunning(lambda: asyncio.ensure_future(main()))
    reactor.run()
    """
    workshop.write("program.py", source)
    done = workshop.python("program.py")
    assert (done.out.split(), done.err) == (["asyncio", "4", "Twisted", "3", "signal"], "")
