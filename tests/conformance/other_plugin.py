"""The pytest plugin under which another project's tests run: it gives them the loop, and keeps what became of each.

`CONFORMANCE_LOOP` (module:attribute) makes the loops that asyncio's policy makes otherwise; `CONFORMANCE_REDIRECT` are
more names that shall make it. `CONFORMANCE_QUIET` are loggers that say nothing. `CONFORMANCE_RESULTS` is the file of
verdicts, a JSON object a line; tests that have a line "end" there are not run again, nor those that
`CONFORMANCE_NEVER` names (a JSON list of parts of names).
"""

import asyncio
import importlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest

RESULTS = Path(os.environ["CONFORMANCE_RESULTS"])
NEVER = json.loads(os.environ["CONFORMANCE_NEVER"])
ONLY = json.loads(os.environ["CONFORMANCE_ONLY"])

made = 0
ended = 3


def load(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


make = load(os.environ["CONFORMANCE_LOOP"])


def new_event_loop() -> asyncio.AbstractEventLoop:
    global made
    made += 1
    loop: asyncio.AbstractEventLoop = make()
    return loop


class Policy(asyncio.DefaultEventLoopPolicy):
    """The standard policy, with another loop."""

    _loop_factory = staticmethod(new_event_loop)


asyncio.DefaultEventLoopPolicy = Policy  # type: ignore[misc]  # what set_event_loop_policy(None) goes back to
asyncio.set_event_loop_policy(Policy())
for target in filter(None, os.environ["CONFORMANCE_REDIRECT"].split(",")):
    owner, _, attribute = target.partition(":")
    stands_for = {"EventLoopPolicy": Policy, "Loop": make, "SelectorEventLoop": make}.get(attribute, new_event_loop)
    setattr(importlib.import_module(owner), attribute, stands_for)
for name in filter(None, os.environ.get("CONFORMANCE_QUIET", "").split(",")):
    logging.getLogger(name).setLevel(logging.CRITICAL)


def keep(**entry: Any) -> None:
    with RESULTS.open("a") as stream:
        stream.write(json.dumps(entry) + "\n")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    done = {entry["test"] for line in RESULTS.read_text().splitlines() if (entry := json.loads(line))["kind"] == "end"}
    wanted = [
        item
        for item in items
        if item.nodeid not in done
        and not any(part in item.nodeid for part in NEVER)
        and (not ONLY or any(part in item.nodeid for part in ONLY))
    ]
    items[:] = wanted
    module, _, attribute = os.environ["CONFORMANCE_LOOP"].partition(":")
    for item in wanted:  # uvloop's tests of signals run programs, and say in words which loop those make
        if getattr(getattr(item, "cls", None), "NEW_LOOP", None) == "uvloop.new_event_loop()":
            item.cls.NEW_LOOP = f"__import__({module!r}).{attribute}()"  # type: ignore[attr-defined]


RANK = ["skipped", "passed", "failed", "error"]


class Verdict:
    """Of the test that runs now: the worst of what its phases said."""

    outcome = "skipped"
    detail = ""
    made = 0


now = Verdict()


def pytest_runtest_logstart(nodeid: str, location: object) -> None:
    global now
    now = Verdict()
    now.made = made
    keep(kind="start", test=nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    outcome: str = report.outcome
    if outcome == "passed" and report.when != "call":
        return
    if outcome == "failed" and report.when != "call":
        outcome = "error"
    if RANK.index(outcome) > RANK.index(now.outcome):
        now.outcome = outcome
    if outcome in ("failed", "error"):
        now.detail += report.longreprtext


def pytest_runtest_logfinish(nodeid: str, location: object) -> None:
    keep(kind="end", test=nodeid, outcome=now.outcome, detail=now.detail[-6000:], loops=made - now.made)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        keep(kind="uncollected", test=report.nodeid, detail=report.longreprtext[-3000:])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    global ended
    ended = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """End at once: Python would wait for a thread that a test left behind, such as asyncio's that waits for a child."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ended)
