"""Twisted's programs and those of `fate.reactor`, unchanged, in universes; `twisted_programs` has them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fate.sim.decisions import Decision
from fate.sim.excuses import Excuses
from fate.sim.strikes import Strikes

HERE = Path(__file__).parent
SEEN = {
    "lines": ["HELLO", "ConnectionDone"],
    "hours": [[7200, 7200, 1767225600]],
    "workers": [[60, 0]],
    "pages": [[200, "this is /here"], [200, "cba"]],
    "ended_by_a_crash": ["WHO", "ConnectionDone"],
    "raises": [],
    "stops": ["shut down"],
    "unchanged": ["HELLO", 62],
    "signalled": [5],
    "without_twisted": ["HELLO", 5, 60],
}


@pytest.fixture(scope="module")
def runs():
    """What came of each scenario: run twice in universes of one seed, both with the same history."""
    line = [sys.executable, "-W", "error", str(HERE / "twisted_programs.py")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", SEEN)
def test_a_program_does_in_a_universe_what_it_does(runs, name):
    assert runs[name]["seen"] == SEEN[name]


def test_what_twisted_logs_as_an_error_is_a_failure(runs):
    [in_protocol] = runs["error_in_a_protocol"]["failures"]
    assert in_protocol == ["report", "LookupError", "Twisted logged an error: LookupError: no such line"]
    kinds = [(kind, message) for kind, _, message in runs["error_that_nobody_handles"]["failures"]]
    assert kinds == [
        ("report", "Twisted logged an error: LookupError: lost"),
        ("report", "Twisted logged an error: LookupError: lost in a circle"),
    ]


def test_a_deferred_that_nobody_fires_is_a_deadlock(runs):
    [[kind, error, message]] = runs["waits_for_ever"]["failures"]
    assert (kind, error) == ("stuck", "StuckError") and "twisted_programs.py" in message


def test_what_a_program_raises_comes_out_as_it_is(runs):
    assert runs["raises"]["failures"] == [["exception", "LookupError", "LookupError: as it is"]]


def test_another_host_is_told_how_to_run_its_reactor(runs):
    [[_, error, message]] = runs["run_on_another_host"]["failures"]
    assert error == "HostError" and "await fate.tx.run(" in message


def test_the_reactors_are_what_they_were_when_all_universes_have_ended(runs):
    assert runs["real_world"] == []


def test_what_twisted_says_of_a_broken_connection_is_no_failure():
    from twisted.internet import error
    from twisted.python.failure import Failure
    from twisted.web.client import ResponseFailed

    reset, order = (Excuses([Decision(f"{kind} main", 0, 1, 2, 0, "")], Strikes()) for kind in ("reset", "order"))
    for told in (error.ConnectionLost(), error.ConnectionRefusedError(), error.TimeoutError()):
        assert reset.cover(told) and not order.cover(told)
        assert reset.cover(ResponseFailed([Failure(told)]))
    assert not reset.cover(ResponseFailed([Failure(LookupError())]))


def test_a_program_of_another_loop_is_told_so():
    source = """
import asyncio, fate, fate.tx
fate.tx.install()
try:
    fate.run(fate.tx.run(print))
except fate.tx.ReactorInstalledError as error:
    print("stands on another loop" in str(error))
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60)
    assert done.stdout == "True\n"


def test_a_program_of_twisted_is_awaited_in_the_real_world_too():
    source = """
import asyncio, fate, fate.tx
from twisted.internet import task

async def main(reactor, word):
    reactor.addSystemEventTrigger("before", "shutdown", print, "shutting down")
    return await task.deferLater(reactor, 0.001, str.upper, word)

async def both():
    print(await fate.tx.run(main, "hello"))
    await asyncio.sleep(0.001)
    print("and on")

fate.run(both())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", source], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("shutting down\nHELLO\nand on\n", "")
