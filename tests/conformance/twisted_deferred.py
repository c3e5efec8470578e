"""Twisted's own tests of Deferreds, on Fate's.

    python tests/conformance/twisted_deferred.py [-v]

The tests are those of the installed Twisted, seven modules, run by its own trial in this process; `fate.tx.deferreds`
puts Fate's Deferreds in the place of Twisted's before the first of them is imported. All must pass, save those in
`twisted_deferred_exclusions.py`, which must not. Exit code 0 says so, 1 the contrary.
"""

import argparse
import fnmatch
import importlib
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from twisted_deferred_exclusions import EXCLUSIONS

import fate
from fate.tx.deferreds import install

MODULES = {
    "twisted.test.test_defer": 181,
    "twisted.internet.test.test_inlinecb": 60,
    "twisted.test.test_task": 66,
    "twisted.test.test_cooperator": 29,
    "twisted.trial.test.test_deferred": 25,
    "twisted.internet.test.test_defer_await": 10,
    "twisted.internet.test.test_defer_yieldfrom": 7,
}
"""How many tests each has in Twisted 26.10: fewer would mean that they were not found."""


@dataclass
class Outcome:
    """What became of the tests; a failure's text by the test's id."""

    passed: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def run() -> Outcome:
    """All of them, by trial, in an empty folder."""
    install()
    from twisted.internet import defer
    from twisted.logger import globalLogBeginner
    from twisted.trial import reporter, runner

    if defer.Deferred is not fate.Deferred:
        raise AssertionError("the tests would run on Twisted's Deferreds")

    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    outcome = Outcome()

    class Recorder(reporter.TestResult):  # type: ignore[misc]
        def addSuccess(self, test: Any) -> None:  # noqa: N802 (unittest's name)
            outcome.passed.add(test.id())
            super().addSuccess(test)

        def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802 (unittest's name)
            outcome.skipped.add(test.id())
            super().addSkip(test, reason)

    loader = runner.TestLoader()
    suite = runner.TestSuite([loader.loadModule(importlib.import_module(name)) for name in MODULES])
    result = Recorder()
    begin = time.perf_counter()
    suite.run(result)
    outcome.seconds = time.perf_counter() - begin
    for test, failure in [*result.failures, *result.errors]:
        text = StringIO()
        getattr(failure, "printTraceback", lambda file, failure=failure: file.write(str(failure)))(text)
        outcome.failed[test.id()] = text.getvalue()
    outcome.passed -= outcome.failed.keys()
    return outcome


def complaints(outcome: Outcome) -> list[str]:
    """What is wrong, a paragraph each."""
    seen = [*outcome.passed, *outcome.skipped, *outcome.failed]
    excluded = {test: e for test in seen for e in EXCLUSIONS if fnmatch.fnmatchcase(test, e.pattern)}
    found = [f"FAILED {test}\n{text}" for test, text in outcome.failed.items() if test not in excluded]
    found += [f"PASSED {test}, which is excluded: {excluded[test].reason}" for test in outcome.passed & excluded.keys()]
    found += [f"NO TEST {e.pattern}, which is excluded" for e in EXCLUSIONS if e not in excluded.values()]
    for module, least in MODULES.items():
        count = sum(test.startswith(f"{module}.") for test in seen)
        if count < least:
            found.append(f"MISSING {module} has {count} tests, and {least} in Twisted 26.10")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-v", "--verbose", action="store_true", help="name each test that passed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fate-twisted-") as folder:
        here = os.getcwd()
        os.chdir(folder)
        try:
            outcome = run()
        finally:
            os.chdir(here)
    wrong = complaints(outcome)
    if options.verbose:
        print("\n".join(sorted(outcome.passed)))
    print("\n\n".join(wrong), end="\n\n" if wrong else "")
    build = "compiled" if fate.compiled else "uncompiled"
    print(
        f"Twisted's tests on Fate's Deferreds, {build}: {len(outcome.passed)} passed, {len(outcome.failed)} failed, "
        f"{len(outcome.skipped)} skipped, {len(EXCLUSIONS)} excluded, {outcome.seconds:.1f} s"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
