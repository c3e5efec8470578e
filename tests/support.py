"""What many tests share: Fates in virtual time, programs run in a process of their own, and a way to wait for events.

Nothing here asserts anything. Fixtures live in `conftest.py`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import selectors
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import psutil

from fate import Fate

DEADLINE = 20.0
"""Seconds of real time after which what hangs has failed."""


def examples(usual: int) -> int:
    """How many examples a test with random scripts tries: `usual`, or as FATE_EXAMPLES says."""
    return int(os.environ.get("FATE_EXAMPLES", usual))


def children() -> set[int]:
    """The process ids of all children, those that have ended and were not waited for among them."""
    return {child.pid for child in psutil.Process().children()}


class Log(list[Any]):
    """A list, and callbacks that write into it."""

    def note(self, *what: Any) -> Callable[[], None]:
        """A callback that appends `what`: the thing itself if it is one, else the tuple."""
        return lambda: self.append(what[0] if len(what) == 1 else what)


class Stuck(AssertionError):
    """A program in virtual time waits for something that can never happen."""


class Clock:
    """A clock that only moves when somebody moves it."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> int:
        return int(self.now * 1e9)


class VirtualSelector(selectors.BaseSelector):
    """Does not wait: `select(timeout)` looks at the real descriptors and moves the clock by `timeout`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.inner = selectors.DefaultSelector()
        self.waits: list[float | None] = []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self.inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self.inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self.inner.modify(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.waits.append(timeout)
        found = self.inner.select(0)
        if not found:
            if timeout is None:
                raise Stuck("nothing is ready, and no timer will ever be")
            self.clock.now += max(0.0, timeout)
        return found

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self.inner.get_map()

    def close(self) -> None:
        self.inner.close()


class VirtualFate(Fate):
    """A Fate whose time passes at once: an hour's wait takes no time, and wakes at its nanosecond."""

    def __init__(self, now: float = 0.0) -> None:
        self.clock = Clock(now)
        self.selector = VirtualSelector(self.clock)
        super().__init__(self.selector)

    def time(self) -> float:
        return self.clock.now


def descriptors() -> Counter[str]:
    """Which files this process has open, and how often each; what earlier tests have left is collected first."""
    gc.collect()
    found: Counter[str] = Counter()
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # that of the list itself
            found[os.readlink(f"/proc/self/fd/{name}")] += 1
    return found


def turns(loop: asyncio.AbstractEventLoop, count: int = 1) -> None:
    """Run `count` turns of `loop`, and leave what they scheduled for the next."""
    for _ in range(count):
        loop.stop()
        loop.run_forever()


def run_until(loop: asyncio.AbstractEventLoop, condition: Callable[[], object]) -> None:
    """Turn until `condition()` is true; fail after DEADLINE seconds of real time."""

    async def wait() -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                await asyncio.sleep(0.001)

    loop.run_until_complete(wait())


def python(source: str, *flags: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python of its own, warnings being errors; give what it printed and how it ended."""
    return subprocess.run(
        [sys.executable, "-W", "error", *flags, "-c", textwrap.dedent(source)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
        env={**os.environ, **(env or {})},
    )


def printed(source: str, *flags: str, env: Mapping[str, str] | None = None) -> str:
    """What a program prints that must end well and leave its standard error empty."""
    done = python(source, *flags, env=env)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.strip()
