"""What is told of errors: those that are lost, Failures' texts, stories, tracebacks through many levels."""

from __future__ import annotations

import gc
import logging
import os
import pickle
import re
import subprocess
import sys
import textwrap
import traceback
import weakref
from pathlib import Path
from typing import Any

import pytest
from support import printed, python

import fate
from fate import defer
from fate.defer import AlreadyCalledError, Deferred, Failure, inlineCallbacks, report, succeed
from fate.defer.story import Kind


def fail(_: object = None) -> None:
    raise ValueError("on purpose")


def collect_uncompiled() -> None:
    """The frames that the compiled build has not are in the traceback of an uncompiled one, and know the Deferred."""
    if not fate.compiled:
        gc.collect()


# -- lost errors ------------------------------------------------------------------------------------------------------


def test_an_error_is_reported_as_soon_as_it_is_lost(reported: Any) -> None:
    d = Deferred()
    d.addCallback(fail)
    d.callback(None)
    assert reported.lost == []
    del d
    collect_uncompiled()
    ((failure, _, story, made_by, fired_by),) = reported.lost
    assert failure.check(ValueError)
    assert story is None
    assert made_by.startswith("test_an_error_is_reported_as_soon_as_it_is_lost at ")
    assert int(fired_by.rpartition(":")[2]) - int(made_by.rpartition(":")[2]) == 2
    assert fired_by.startswith("test_an_error_is_reported_as_soon_as_it_is_lost at ")
    reported.lost.clear()


def test_an_error_that_is_handled_late_is_not_reported(reported: Any) -> None:
    d = Deferred()
    d.errback(ValueError())
    d.addErrback(lambda _: None)
    del d
    assert reported.lost == []


def test_an_error_in_a_cycle_is_reported_when_that_is_collected(reported: Any) -> None:
    d = Deferred()
    d.me = d
    d.errback(ValueError("in a cycle"))
    del d
    gc.collect()
    assert [str(failure.value) for failure, *_ in reported.lost] == ["in a cycle"]
    reported.lost.clear()


def test_a_chained_error_is_reported_once(reported: Any) -> None:
    inners = [Deferred()]
    outer = succeed(1).addCallback(lambda _: inners[0])
    inners.pop().errback(ValueError("once"))
    assert reported.lost == []
    del outer
    assert len(reported.lost) == 1
    reported.lost.clear()


def test_the_log_says_what_where_and_by_whom(caplog: pytest.LogCaptureFixture) -> None:
    report.set_reporter(None)
    defer.setStory(True)
    try:
        d = Deferred()
        d.addCallback(fail)
        d.callback("begin")
        with caplog.at_level(logging.CRITICAL, "fate.defer"):
            del d
            collect_uncompiled()
    finally:
        defer.setStory(False)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("fate.defer", "CRITICAL")
    text = record.getMessage()
    for part in ("Unhandled error in Deferred: on purpose", "in fail\n", "ValueError: on purpose", "made", "fired"):
        assert part in text
    assert text.count("test_the_log_says_what_where_and_by_whom at ") == 3


def test_a_program_sees_it_on_its_standard_error() -> None:
    done = python(
        """
        from fate.defer import Deferred
        def program():
            Deferred().addCallback(lambda x: 1 // x).callback(0)
        program()
        """
    )
    assert done.returncode == 0
    assert re.search("Unhandled error in Deferred: .*division.* by zero", done.stderr)
    assert "It was made by program at <string>:4\nand fired by program at <string>:4" in done.stderr


def test_the_story_may_be_switched_on_from_outside() -> None:
    program = "from fate import defer; d = defer.Deferred(); print(defer.getStory(), len(d.story().steps))"
    assert printed(program, env={"FATE_STORY": "1"}) == "True 1"
    assert printed(program, env={"FATE_STORY": "0"}) == "False 0"


def test_debugging_records_stacks(reported: Any) -> None:
    defer.setDebugging(True)
    try:
        d = Deferred()
        d.callback(1)
        with pytest.raises(defer.AlreadyCalledError) as caught:
            d.callback(2)
    finally:
        defer.setDebugging(False)
    text = str(caught.value)
    assert " C: Deferred was created:\n C:" in text
    assert " I: First Invoker was:\n I:" in text
    assert text.count("in test_debugging_records_stacks\n") == 2
    assert "fate/defer/" not in text


def test_an_error_lost_deep_in_a_stack_is_reported_later(reported: Any) -> None:
    class Deep:
        def unhandled(self, *_: object) -> None:
            raise RecursionError

    report.set_reporter(Deep())  # type: ignore[arg-type]
    Deferred().errback(ValueError("deep"))
    collect_uncompiled()
    report.set_reporter(reported)
    Deferred().errback(ValueError("on the surface"))
    collect_uncompiled()
    texts = {str(failure.value) for failure, *_ in reported.lost}
    assert texts == {"deep", "on the surface"}
    reported.lost.clear()


def test_logged_errors_go_on(reported: Any) -> None:
    d = Deferred()
    d.addErrback(defer.logError).addErrback(lambda failure: failure.trap(ValueError) and None)
    d.errback(ValueError("logged"))
    assert [str(failure.value) for failure, _ in reported.logged] == ["logged"]


# -- stories ----------------------------------------------------------------------------------------------------------


def test_a_story_tells_who_did_what_and_what_came_of_it(stories: None) -> None:
    d = Deferred()
    d.addCallback(int).addCallback(fail).addErrback(lambda failure: {"a": 1})
    d.callback("5")
    steps = d.story().steps
    assert [step.kind.name for step in steps] == (
        ["MADE", "ADDED", "ADDED", "ADDED", "FIRED", "RETURNED", "RAISED", "RETURNED"]
    )
    assert {step.file for step in steps[:5]} == {__file__}
    here = test_a_story_tells_who_did_what_and_what_came_of_it.__code__.co_firstlineno
    assert [step.line - here for step in steps[:5]] == [1, 2, 2, 2, 3]
    assert [step.what for step in steps[4:]] == ["with '5'", "5", "ValueError", "a dict"]
    assert steps[6].function == "fail"
    assert steps[6].line == fail.__code__.co_firstlineno
    assert steps[1].what == "int"
    assert "raised    ValueError, fail at " in str(d.story())


def test_a_story_tells_of_waiting(stories: None) -> None:
    inner = Deferred()
    outer = Deferred()
    outer.addCallback(lambda _: inner)
    outer.callback(None)
    assert outer.story().steps[-1].kind is Kind.WAITS
    inner.callback(3)


def test_a_story_keeps_nothing_alive(stories: None) -> None:
    class Thing:
        def method(self, _: object) -> Thing:
            return self

    thing = Thing()
    watch = weakref.ref(thing)
    d = Deferred()
    d.addCallback(thing.method)
    d.callback(thing)
    d.addCallback(lambda _: None)
    del thing
    assert watch() is None
    assert "with a " in str(d.story())
    assert "Thing" in str(d.story())


def test_a_story_of_thousands_of_steps_keeps_the_first_and_the_last(stories: None) -> None:
    d = succeed(0)
    for _ in range(1000):
        d.addCallback(lambda n: n + 1)
    steps = d.story().steps
    assert len(steps) == 64
    assert (steps[0].kind, steps[-1].what) == (Kind.MADE, "1000")


def test_the_maker_is_the_program_not_fate(stories: None) -> None:
    @inlineCallbacks
    def function() -> Any:
        yield succeed(1)

    lock = defer.DeferredLock()
    for d in (function(), lock.acquire(), defer.gatherResults([]), defer.maybeDeferred(int), defer.race([Deferred()])):
        assert d.story().steps[0].function == "test_the_maker_is_the_program_not_fate"


@pytest.mark.parametrize("story", ["0", "1"])
def test_what_a_tool_made_its_caller_has_made(story: str) -> None:
    program = """
    from fate import reactor
    from fate.tools import run_command

    def by_thread():
        reactor.deferToThread(int, "ten").addBoth(lambda failure: (reactor.stop(), failure)[1])

    def by_tool():
        run_command("no-such-command").addBoth(lambda failure: (by_thread(), failure)[1])

    by_tool()
    reactor.run()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "FATE_STORY": story},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(r"made +by by_thread at" if story == "1" else "It was made by by_thread at", done.stderr)
    assert re.search(r"made +by by_tool at" if story == "1" else "It was made by by_tool at", done.stderr)


def test_without_stories_there_is_a_hint() -> None:
    assert "setStory(True)" in str(Deferred().story())


# -- tracebacks -------------------------------------------------------------------------------------------------------

LEVELS = ["level1", "level2", "level3", "level4", "bottom"]


def functions_of(failure: Any) -> list[str]:
    return [frame.name for frame in traceback.extract_tb(failure.getTracebackObject())]


async def bottom(waits: Any) -> None:
    await waits
    raise ValueError("at the bottom")


@inlineCallbacks
def level4(waits: Any) -> Any:
    yield bottom(waits)


async def level3(waits: Any) -> None:
    await level4(waits)


@inlineCallbacks
def level2(waits: Any) -> Any:
    yield level3(waits)


@inlineCallbacks
def level1(waits: Any) -> Any:
    yield level2(waits)


@pytest.mark.parametrize("fired_before", [True, False])
def test_a_traceback_shows_every_level(fired_before: bool) -> None:
    waits = succeed(None) if fired_before else Deferred()
    failures: list[Any] = []
    d = level1(waits).addErrback(failures.append)
    if not fired_before:
        waits.callback(None)
    (failure,) = failures
    assert functions_of(failure) == LEVELS
    text = failure.getTraceback()
    assert all(f"in {level}\n" in text for level in LEVELS)
    assert str(Path(defer.__file__).parent) not in text
    assert d.result is None


def test_a_traceback_goes_through_callbacks_and_other_handlers() -> None:
    waits = Deferred()

    @inlineCallbacks
    def outermost() -> Any:
        try:
            yield level1(waits).addBoth(lambda result: result).addErrback(lambda failure: failure)
        except ValueError as error:
            raise KeyError("translated") from error

    failures: list[Any] = []
    outermost().addErrback(failures.append)
    waits.callback(None)
    (failure,) = failures
    assert failure.check(KeyError)
    assert functions_of(Failure(failure.value.__cause__)) == ["outermost", *LEVELS]


def test_a_callback_that_raises_shows_nothing_of_fates() -> None:
    failures: list[Any] = []
    succeed(1).addCallback(fail).addErrback(failures.append)
    assert [frame[0] for frame in failures[0].frames] == ["fail"]


# -- Failures ---------------------------------------------------------------------------------------------------------


def failed() -> Failure:
    try:
        fail()
    except ValueError:
        return Failure()
    raise AssertionError


def test_a_failure_checks_classes_and_names() -> None:
    failure = failed()
    assert failure.check(KeyError, Exception) is Exception
    assert failure.check("builtins.ValueError", "ValueError") == "ValueError"
    assert failure.check(KeyError) is None
    assert failure.trap(ValueError) is ValueError
    with pytest.raises(ValueError, match="on purpose"):
        failure.trap(KeyError)


def test_a_failure_raises_with_its_traceback() -> None:
    with pytest.raises(ValueError, match="on purpose") as caught:
        failed().raiseException()
    assert [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)][-2:] == ["failed", "fail"]


def test_a_failures_texts() -> None:
    failure = failed()
    assert failure.getErrorMessage() == "on purpose"
    assert failure.getTraceback().startswith("Traceback (most recent call last):\n")
    assert failure.getTraceback().endswith("ValueError: on purpose\n")
    assert failure.getBriefTraceback().splitlines()[-1].endswith(":fail")
    assert "captureVars=True" in failure.getTraceback(detail="verbose")
    assert repr(failure).endswith("Failure ValueError: on purpose>")
    with pytest.raises(ValueError, match="detail"):
        failure.printTraceback(detail="none")


def test_a_failure_with_variables_shows_them() -> None:
    def raises(secret: str) -> None:
        raise ValueError

    try:
        raises("swordfish")
    except ValueError as error:
        text = Failure(error, captureVars=True).getTraceback(detail="verbose")
    assert "secret : 'swordfish'" in text


def test_a_failure_of_something_that_cannot_be_shown_is_shown() -> None:
    class UnspeakableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    text = Failure(UnspeakableError()).getTraceback()
    assert "its str() raised RuntimeError" in text


def test_a_cleaned_failure_keeps_names_and_lets_go_of_the_rest() -> None:
    failure = failed()
    before = traceback.extract_tb(failure.getTracebackObject())
    failure.cleanFailure()
    assert failure.tb is None
    assert failure.value.__traceback__ is None
    assert traceback.extract_tb(failure.getTracebackObject()) == before


def test_a_failure_can_be_pickled() -> None:
    failure = failed()
    copy = pickle.loads(pickle.dumps(failure))
    assert isinstance(copy, Failure)
    assert (copy.type, str(copy.value)) == (ValueError, "on purpose")
    assert [frame[:3] for frame in copy.frames] == [frame[:3] for frame in failure.frames]


def test_the_build_is_the_one_under_test() -> None:
    assert ("built-in" in repr(defer.passthru)) is fate.compiled


def test_a_story_is_told_whatever_the_result_is_like(stories: None) -> None:
    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    for result in (Shy(), 10**5000, "x" * 1_000_000):
        d = Deferred()
        d.callback(result)
        assert len(str(d.story())) < 2000
        with pytest.raises(AlreadyCalledError):
            d.callback(None)


@pytest.mark.parametrize(
    "make",
    [lambda: Deferred(), lambda: defer.fail(ValueError()), lambda: defer.maybeDeferred(fail),
     lambda: defer.gatherResults([defer.fail(ValueError())], consumeErrors=True),
     lambda: defer.execute(fail), lambda: inlineCallbacks(lambda: (fail() for _ in "1"))()],
)  # fmt: skip
def test_a_report_says_who_made_it_wherever_it_was_made(reported: Any, make: Any) -> None:
    d = make()
    if not d.called:
        d.errback(ValueError())
    del d
    collect_uncompiled()
    ((_, _, _, made_by, _),) = reported.lost
    assert made_by.startswith("<lambda> at ")
    reported.lost.clear()


def test_an_error_of_firing_twice_says_who_made_it() -> None:
    d = succeed(1)
    with pytest.raises(AlreadyCalledError, match="made by test_an_error_of_firing_twice_says_who_made_it at "):
        d.callback(2)
