"""Fixtures for the tests of Deferreds: what was reported, and stories switched on for one test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fate import defer
from fate.defer import report


class Reports:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.lost: list[tuple[Any, str, Any, str, str]] = []
        self.logged: list[tuple[Any, str]] = []

    def unhandled(self, failure: Any, debug: str, story: Any, made_by: str, fired_by: str) -> None:
        self.lost.append((failure, debug, story, made_by, fired_by))

    def log(self, failure: Any, what: str) -> None:
        self.logged.append((failure, what))


@pytest.fixture(autouse=True)
def reported() -> Iterator[Reports]:
    """What went to the reporter; a test that leaves an error unhandled must say so by emptying it."""
    reports = Reports()
    report.set_reporter(reports)
    yield reports
    report.set_reporter(None)
    assert [str(failure.value) for failure, *_ in reports.lost] == []


@pytest.fixture
def stories() -> Iterator[None]:
    """Deferreds keep their stories."""
    defer.setStory(True)
    yield
    defer.setStory(False)
