"""Fixtures for the tests of the tools: a way to run a coroutine, and a count of what is left behind.

Every test here fails if a child process or a descriptor is left over when its loop is closed.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import psutil
import pytest
from support import DEADLINE

from fate import Fate

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def descriptors() -> dict[str, str]:
    """What each descriptor of this process is."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            pass  # that of the listing itself
    return found


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No child and no descriptor is left behind."""
    gc.collect()
    before = descriptors()
    children = psutil.Process().children()
    yield
    assert psutil.Process().children() == children
    assert descriptors() == before


@pytest.fixture
def run(nothing_left: None, loop: Fate, reports: list[dict[str, Any]]) -> Iterator[Run]:
    """Runs a coroutine on a Fate. Nothing may have been reported in the end."""

    async def limited(coro: Coroutine[Any, Any, Any]) -> Any:
        async with asyncio.timeout(DEADLINE):
            return await coro

    yield lambda coro: loop.run_until_complete(limited(coro))
    assert reports == []
