"""One module of CPython's `test.test_asyncio`, run on a loop of one's choice.

A job comes as JSON on standard input, one JSON object a line goes to the job's result file: `start` before
and `end` after each test, so that whoever waits knows which test was running when this process died.
Nothing here judges: `cpython.py` starts the jobs and compares.

How the tests are led to the loop, in the order in which they ask for one:
- `asyncio.new_event_loop()`, `asyncio.run()` and `IsolatedAsyncioTestCase` ask the policy. A fresh one is set before
  each test, for a child watcher left in it poisons the next, and it stands in for asyncio's default one,
  for almost every module ends with `set_event_loop_policy(None)`;
- who names `asyncio.EventLoop` finds what makes the loop under that name, since Python 3.13 has it;
- classes made from a mixin and a `create_event_loop` or `new_loop` of their own get another one, and of those that
  repeat a mixin, one selector each, the first is kept;
- classes whose `setUp` names `asyncio.SelectorEventLoop` find the loop under that name while `setUp` runs.
A test that asks in none of these ways `made` no loop.
"""

# ruff: noqa: N802 - startTest and its kin are unittest's names
import asyncio
import faulthandler
import fnmatch
import functools
import gc
import importlib
import json
import os
import signal
import sys
import time
import unittest
from asyncio import events, unix_events
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO
from unittest import mock

PACKAGE = "test.test_asyncio"
# Since Python 3.14 policies have names of asyncio's own, which do not warn.
OWN_NAMES = hasattr(unix_events, "_DefaultEventLoopPolicy")
DefaultPolicy: Any = unix_events._DefaultEventLoopPolicy if OWN_NAMES else asyncio.DefaultEventLoopPolicy  # type: ignore[attr-defined]
set_policy: Any = events._set_event_loop_policy if OWN_NAMES else asyncio.set_event_loop_policy  # type: ignore[attr-defined]
MAKERS = ("create_event_loop", "new_loop")


def imported(name: str) -> Any:
    """A module; one beside this file, too, which is not on the path otherwise."""
    sys.path.append(str(Path(__file__).parent))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop()


class Factory:
    """Makes the loops under test and counts them.

    `target` is `module:attribute`, something that returns a loop when called without arguments.
    """

    def __init__(self, target: str) -> None:
        name, _, attribute = target.partition(":")
        module = imported(name)
        self.make: Callable[[], asyncio.AbstractEventLoop] = getattr(module, attribute)
        self.around: Any = getattr(module, "around", None)  # what a test runs in
        self.made = 0

    def __call__(self, selector: Any = None) -> asyncio.AbstractEventLoop:
        if selector is not None:
            selector.close()
        self.made += 1
        return self.make()


def policy_for(factory: Factory) -> Any:
    class Policy(DefaultPolicy):  # type: ignore[misc]
        _loop_factory = staticmethod(factory)

    return Policy


def point_classes(module: Any, factory: Factory) -> set[type]:
    """Point the module's hard-wired classes at the factory; return those that repeat another with one more selector."""
    repeats: set[type] = set()
    seen: set[tuple[Any, ...]] = set()
    for cls in list(vars(module).values()):
        if not (isinstance(cls, type) and issubclass(cls, unittest.TestCase)):
            continue
        if getattr(cls, "__unittest_skip__", False):
            continue
        made_of_mixin = len(cls.__bases__) > 1
        for maker in MAKERS:
            if made_of_mixin and maker in vars(cls):
                if (maker, cls.__bases__) in seen:
                    repeats.add(cls)
                seen.add((maker, cls.__bases__))
                setattr(cls, maker, lambda _test: factory())
        if names_selector_loop(cls.setUp):
            setattr(cls, "setUp", pointed_set_up(cls.setUp, factory))  # noqa: B010
    return repeats


def names_selector_loop(function: Any) -> bool:
    code = getattr(function, "__code__", None)
    return code is not None and "SelectorEventLoop" in code.co_names


def pointed_set_up(set_up: Callable[[Any], None], factory: Factory) -> Callable[[Any], None]:
    real = asyncio.SelectorEventLoop

    def make(selector: Any = None) -> asyncio.AbstractEventLoop:
        with mock.patch.object(asyncio, "SelectorEventLoop", real):  # the loop under test may need it
            return factory(selector)

    @functools.wraps(set_up)
    def pointed(test: Any) -> None:
        with mock.patch.object(asyncio, "SelectorEventLoop", make):
            set_up(test)

    return pointed


def close_without_private_names(original: Callable[[Any], None]) -> Callable[[Any], None]:
    """The clean-up of almost every test reads `loop._default_executor`; a loop without it is just closed."""

    def close_loop(loop: Any) -> None:
        if hasattr(loop, "_default_executor"):
            original(loop)
        else:
            loop.close()

    return close_loop


class Recorder(unittest.TestResult):
    """Writes what becomes of each test; when one takes too long, prints all tracebacks and ends the process."""

    def __init__(self, out: TextIO, factory: Factory, policy: Callable[[], Any], limit: float) -> None:
        super().__init__()
        self.out, self.factory, self.policy, self.limit = out, factory, policy, limit
        self.outcome, self.detail, self.since, self.made_before = "passed", "", 0.0, 0

    def write(self, kind: str, test: Any, **more: Any) -> None:
        name = test.id().removeprefix(PACKAGE + ".")
        self.out.write(json.dumps({"kind": kind, "test": name, **more}) + "\n")
        self.out.flush()

    def watch(self) -> None:
        faulthandler.dump_traceback_later(self.limit, exit=True)

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self.watch()
        self.outcome, self.detail = "passed", ""
        self.since, self.made_before = time.monotonic(), self.factory.made
        self.write("start", test)
        set_policy(self.policy())
        asyncio.set_event_loop(None)  # as the clean-up of any test before leaves it; one relies on that

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        made = self.factory.made - self.made_before
        seconds = round(time.monotonic() - self.since, 3)
        self.write("end", test, outcome=self.outcome, made=made, seconds=seconds, detail=self.detail)
        if made:
            gc.collect()
        self.watch()

    def note(self, test: Any, outcome: str, detail: str) -> None:
        if not isinstance(test, unittest.TestCase) and not hasattr(test, "test_case"):
            self.write("fixture", test, detail=detail)
            return
        self.outcome = outcome
        self.detail += detail

    def addError(self, test: Any, err: Any) -> None:
        self.note(test, "error", self._exc_info_to_string(err, test))  # type: ignore[attr-defined]

    def addFailure(self, test: Any, err: Any) -> None:
        self.note(test, "failed", self._exc_info_to_string(err, test))  # type: ignore[attr-defined]

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        if err is not None:
            broken = issubclass(err[0], test.failureException)
            self.note(test, "failed" if broken else "error", self._exc_info_to_string(err, subtest))  # type: ignore[attr-defined]

    def addSkip(self, test: Any, reason: str) -> None:
        if self.outcome == "passed":
            self.note(test, "skipped", reason)

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self.note(test, "failed", "unexpected success")


def flat(suite: Any) -> Iterator[unittest.TestCase]:
    if isinstance(suite, unittest.TestSuite):
        for part in suite:
            yield from flat(part)
    else:
        yield suite


def run(job: dict[str, Any]) -> None:
    factory = Factory(job["loop"])
    policy = policy_for(factory)
    if OWN_NAMES:
        unix_events._DefaultEventLoopPolicy = policy  # type: ignore[attr-defined]
    else:
        asyncio.DefaultEventLoopPolicy = policy
    if hasattr(asyncio, "EventLoop"):
        asyncio.EventLoop = factory
    with open(job["results"], "a", encoding="utf-8") as out:
        recorder = Recorder(out, factory, policy, job["limit"])
        recorder.watch()
        try:
            module = importlib.import_module(f"{PACKAGE}.{job['module']}")
        except unittest.SkipTest:
            return
        repeats = point_classes(module, factory)
        utils = importlib.import_module(f"{PACKAGE}.utils")
        utils.TestCase.close_loop = staticmethod(close_without_private_names(utils.TestCase.close_loop))
        only, leave = job["only"], set(job["leave"])
        tests = unittest.TestSuite()
        for test in flat(unittest.defaultTestLoader.loadTestsFromModule(module)):
            name = test.id().removeprefix(PACKAGE + ".")
            if type(test) in repeats:
                recorder.write("repeat", test)
            elif name not in leave and (name in only if only is not None else fnmatch.fnmatch(name, job["pattern"])):
                tests.addTest(test)
        gc.freeze()
        if factory.around is not None:
            unittest.TestCase.run = factory.around(unittest.TestCase.run)  # type: ignore[method-assign]
        tests.run(recorder)


if __name__ == "__main__":
    faulthandler.enable()
    # A background job starts with interrupts ignored, and tests that interrupt themselves would wait for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run(json.load(sys.stdin))
    sys.stdout.flush()
    # Threads and loops that a failing test left behind must not keep the process from ending.
    os._exit(0)
