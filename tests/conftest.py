"""Fixtures of the whole suite: a Fate, a Fate in virtual time, and what was reported to their exception handlers."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from support import Log, VirtualFate

from fate import Fate

# The same examples in every run, so that a change is judged by what it changes; FATE_FUZZ=1 looks for new ones.
hypothesis.settings.register_profile("same", derandomize=True, database=None, deadline=None)
hypothesis.settings.register_profile("new", database=None, deadline=None)
hypothesis.settings.load_profile("new" if os.environ.get("FATE_FUZZ") == "1" else "same")


def pytest_configure() -> None:
    """Ctrl-C reaches the programs that tests start also where a shell started the tests in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _watched(loop: Fate, reports: list[dict[str, Any]]) -> Fate:
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    return loop


@pytest.fixture
def reports() -> list[dict[str, Any]]:
    """What came to the exception handler of `loop` or `virtual`."""
    return []


@pytest.fixture
def log() -> Log:
    """What happened, in order."""
    return Log()


@pytest.fixture
def loop(reports: list[dict[str, Any]]) -> Iterator[Fate]:
    """A Fate on the native poll; closed afterwards."""
    loop = _watched(Fate(), reports)
    yield loop
    _end(loop)


@pytest.fixture
def virtual(reports: list[dict[str, Any]]) -> Iterator[VirtualFate]:
    """A Fate in virtual time, which begins at 0."""
    loop = VirtualFate()
    _watched(loop, reports)
    yield loop
    _end(loop)


def _end(loop: Fate) -> None:
    if loop.is_closed():
        return
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
