"""Which loop the tools use and which Deferreds they return: on fate.run, a Fate, the reactors, Twisted on Fate."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from support import printed, turns

from fate import Deferred, Fate, tools
from fate.defer import CancelledError
from fate.tools import in_thread, run_command
from fate.tools.ground import deferred_of


def test_the_public_names() -> None:
    assert sorted(tools.__all__) == sorted(dir(tools))
    for name in tools.__all__:
        assert getattr(tools, name).__doc__
    with pytest.raises(AttributeError, match=r"module 'fate\.tools' has no attribute 'hammer'"):
        _ = tools.hammer  # type: ignore[attr-defined]


def test_importing_the_tools_loads_nothing_heavy() -> None:
    program = """
    import sys
    import fate
    fate.tools
    assert "asyncio" not in sys.modules
    from fate.tools import run_command, lines, in_thread, get_page
    assert not {"aiohttp", "twisted", "fate.reactor", "fate.tx"} & set(sys.modules)
    """
    assert printed(program) == ""


def test_in_a_program_with_fuses(loop: Fate) -> None:
    came: list[Any] = []

    def ignite() -> None:
        run_command("echo BOOM!").addCallback(came.append).addCallback(lambda _: loop.shutdown())

    loop.get_fuse(0).set_handler(ignite)
    loop.run()
    assert came == [b"BOOM!\n"]


def test_by_inline_callbacks_and_by_await(loop: Fate) -> None:
    from fate.defer import inlineCallbacks

    @inlineCallbacks
    def by_yield() -> Any:
        word = yield run_command("echo tea")
        return len(word) + (yield in_thread(int, "7"))

    async def main() -> None:
        assert await by_yield() == 11
        assert await Deferred.fromCoroutine(both()) == 11
        assert await asyncio.wait_for(in_thread(int, "7"), 20) == 7
        assert await asyncio.gather(in_thread(int, "7"), in_thread(int, "8")) == [7, 8]

    async def both() -> Any:
        return len(await run_command("echo tea")) + await in_thread(int, "7")

    loop.run_until_complete(main())


def test_what_waits_is_not_collected_when_nobody_holds_the_deferred(loop: Fate) -> None:
    """asyncio refers to tasks weakly, and this one waits for what only it refers to."""
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("ended")

    deferred_of(loop, wait())
    turns(loop, 2)
    gc.collect()
    assert ended == []
    for task in asyncio.all_tasks(loop):
        task.cancel()
    turns(loop, 3)
    assert ended == ["ended"]
    assert loop._held == set()


def test_what_is_cancelled_from_inside_gives_nobody_a_false_result(loop: Fate) -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    async def main() -> None:
        with pytest.raises(CancelledError):
            print(await deferred_of(loop, cancelled()))

    loop.run_until_complete(main())


def test_where_no_fate_runs() -> None:
    program = """
    import asyncio
    import fate
    from fate.tools import get_page, run_command, lines, in_thread, in_process

    async def main():
        for tool in (lambda: get_page("http://localhost"), lambda: run_command("true"), lines, lambda: in_thread(int),
                     lambda: in_process(int)):
            try:
                tool()
            except fate.errors.NoFateError as error:
                print(error)

    coro = main()
    try:
        coro.send(None)
    except StopIteration:
        pass
    asyncio.run(main())
    """
    told = printed(program).splitlines()
    assert len(told) == 10
    assert len(set(told[:5])) == len(set(told[5:])) == 1
    assert told[0].startswith("no Fate runs in this thread")
    assert told[5].startswith("the loop that runs here is no Fate but a _UnixSelectorEventLoop: start the program")


REACTOR = """
from fate import reactor, defer, errors
from fate.tools import run_command, in_thread

def show(result):
    print(type(result).__name__, result, end="")
    return in_thread(divmod, 7, 2)

d = run_command("echo before")  # the reactor runs later
d.addCallback(show)
d.addCallback(print)
d.addErrback(print)
d.addBoth(lambda _: reactor.callInThread(elsewhere))

def elsewhere():
    try:
        run_command("true")
    except errors.WrongThreadError as error:
        print(error)
    run_command  # stop from here
    reactor.callFromThread(reactor.stop)

reactor.run()
try:
    run_command("true")
except errors.LoopClosedError as error:
    print(error)
"""


def test_with_the_reactor_without_twisted() -> None:
    assert printed(REACTOR).splitlines() == [
        "Output before",
        "(3, 1)",
        "the reactor runs in another thread: hand the call to it by callFromThread",
        "the reactor has run and is over: call the tools before or while it runs",
    ]


def test_a_reactor_that_stops_meanwhile_says_nothing_of_what_was_to_come() -> None:
    program = """
    from fate import reactor
    from fate.tools import run_command

    run_command("sleep 1000").addCallback(print)
    run_command(["sh", "-c", "echo up; exec sleep 1000"], on_line=lambda line: reactor.stop()).addCallback(print)
    reactor.run()
    """
    assert printed(program) == ""


TWISTED = """
import asyncio
import fate.tx
reactor = fate.tx.install(deferreds=DEFERREDS)
from twisted.internet import defer, task
from fate.tools import in_thread, lines, run_command

before = run_command("echo before")
assert isinstance(before, defer.Deferred), type(before).__mro__

@defer.inlineCallbacks
def by_yield():
    print((yield before).text(), end="")
    return (yield in_thread(int, "7"))

async def by_await():
    return await in_thread(int, "8")

async def by_task():
    print("task", await in_thread(int, "9"), await asyncio.gather(in_thread(int, "1"), in_thread(int, "2")))
    try:
        await run_command("no-such-command")
    except fate.errors.CommandStartError as error:
        print(error)
    began = asyncio.get_running_loop().create_future()
    sleeping = asyncio.create_task(wait_for(run_command(["sh", "-c", "echo; sleep 1000"], on_line=began.set_result)))
    await began
    sleeping.cancel()
    try:
        await sleeping
    except asyncio.CancelledError:
        print("cancelled")

async def wait_for(deferred):
    return await deferred

@defer.inlineCallbacks
def main():
    print((yield by_yield()))
    print((yield defer.ensureDeferred(by_await())))
    print((yield defer.succeed(1).addCallback(lambda _: in_thread(int, "10"))))
    yield run_command(["printf", "a\\\\nb"], on_line=lambda line: task.deferLater(reactor, 0, print, "later", line))
    given_up = run_command("sleep 1000")
    given_up.cancel()
    try:
        yield given_up
    except defer.CancelledError:
        print("given up")
    yield defer.Deferred.fromFuture(asyncio.ensure_future(by_task()))

def shown(failure):
    failure.printTraceback()

def start():
    main().addErrback(shown).addBoth(lambda _: reactor.stop())

reactor.callWhenRunning(start)
reactor.run()
"""


@pytest.mark.parametrize("deferreds", [False, True])
def test_with_twisted_on_fate(deferreds: bool) -> None:
    assert printed(TWISTED.replace("DEFERREDS", str(deferreds))).splitlines() == [
        "before",
        "7",
        "8",
        "10",
        "later a",
        "later b",
        "given up",
        "task 9 [1, 2]",
        "cannot start no-such-command: there is no such command",
        "cancelled",
    ]
