"""Some of Twisted's own tests, run on a reactor of one's choice.

A job comes as JSON on standard input, one JSON object a line goes to the job's result file: `start` before and `end`
after each test, so that whoever waits knows which test was running when this process died. Nothing here judges:
`twisted_reactor.py` starts the jobs and compares.

Two ways to lead the tests to the reactor:
- `builder`: Twisted's generated tests make a reactor each. Which classes they make them of is a list, to be set before
  the test modules are imported;
- `global`: the tests use the one installed reactor, the one that `trial --reactor` would install.
"""

# ruff: noqa: N802 - startTest and its kin are unittest's names
import faulthandler
import io
import json
import os
import sys
import time
import unittest
from typing import Any, TextIO


class Recorder:
    """What happens to each test, written down. The methods are those of trial's reporters."""

    def __init__(self, reporter: Any, out: TextIO, limit: float) -> None:
        class Writing(reporter.Reporter):  # type: ignore[misc, name-defined]
            def startTest(self, test: Any) -> None:
                super().startTest(test)
                self.outcome, self.detail, self.since = "passed", "", time.monotonic()
                faulthandler.dump_traceback_later(limit, exit=True)
                write("start", test)

            def stopTest(self, test: Any) -> None:
                super().stopTest(test)
                seconds = round(time.monotonic() - self.since, 3)
                write("end", test, outcome=self.outcome, detail=self.detail, seconds=seconds)
                faulthandler.dump_traceback_later(limit, exit=True)

            def note(self, outcome: str, detail: Any) -> None:
                if self.outcome in ("passed", "skipped"):
                    self.outcome = outcome
                self.detail += self._text(detail)

            def _text(self, detail: Any) -> str:
                if isinstance(detail, tuple):
                    return "".join(__import__("traceback").format_exception(*detail))
                return str(detail.getTraceback() if hasattr(detail, "getTraceback") else detail)

            def addError(self, test: Any, error: Any) -> None:
                super().addError(test, error)
                if isinstance(test, unittest.TestCase) or hasattr(test, "_testMethodName"):
                    self.note("error", error)
                else:
                    write("fixture", test, detail=self._text(error))

            def addFailure(self, test: Any, fail: Any) -> None:
                super().addFailure(test, fail)
                self.note("failed", fail)

            def addSkip(self, test: Any, reason: Any) -> None:
                super().addSkip(test, reason)
                self.note("skipped", reason)

            def addExpectedFailure(self, test: Any, error: Any, todo: Any = None) -> None:
                super().addExpectedFailure(test, error, todo)
                self.note("skipped", "expected to fail")

            def addUnexpectedSuccess(self, test: Any, todo: Any = None) -> None:
                super().addUnexpectedSuccess(test, todo)
                self.note("skipped", "passed, and was expected to fail")

        def write(kind: str, test: Any, **more: Any) -> None:
            out.write(json.dumps({"kind": kind, "test": name_of(test), **more}) + "\n")
            out.flush()

        self.make = Writing


def name_of(test: Any) -> str:
    return str(test.id()) if hasattr(test, "id") else str(test)


def flat(suite: Any) -> Any:
    try:
        parts = iter(suite)
    except TypeError:
        yield suite
    else:
        for part in parts:
            yield from flat(part)


def install(job: dict[str, Any]) -> None:
    """Make the reactor under test the global one; for `builder`, Twisted's default one."""
    if job["suite"] == "builder":
        from twisted.internet.test.reactormixins import ReactorBuilder

        ReactorBuilder._reactors = [job["class"]]
    else:
        from twisted.application.reactors import installReactor

        installReactor(job["reactor"])


def run(job: dict[str, Any]) -> None:
    install(job)
    from twisted.trial import reporter, runner

    leave = set(job["leave"])
    with open(job["results"], "a", encoding="utf-8") as out:
        recorder = Recorder(reporter, out, job["limit"])
        suite = runner.TestLoader().loadByNames(job["names"], recurse=True)
        every = [test for test in flat(suite) if name_of(test) not in leave]
        every = [test for test in every if not any(name in name_of(test) for name in job["never"])]
        if job["only"]:
            every = [test for test in every if job["only"] in name_of(test)]

        def make(stream: Any, tbformat: str, realtime: bool, publisher: Any) -> Any:
            return recorder.make(io.StringIO(), tbformat, realtime, publisher)

        trial = runner.TrialRunner(make, workingDirectory="trial")
        trial.run(runner.TestSuite(every))


if __name__ == "__main__":
    faulthandler.enable()
    run(json.load(sys.stdin))
    sys.stdout.flush()
    os._exit(0)  # threads that a failing test left behind must not keep the process from ending
