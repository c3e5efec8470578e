"""Stands in for uvloop in a program that `fate run` started: every name of uvloop's interface, served by Fate.

Imported as `uvloop`, never as part of fate. The interface is that of uvloop 0.22. What has to do with policies, which
Python 3.14 deprecates, is Fate's own and is imported when the program asks for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fate.loop import Fate as Loop

__all__ = ["EventLoopPolicy", "Loop", "install", "new_event_loop", "run"]

__version__ = "0.22.1"

T = TypeVar("T")


def new_event_loop() -> Loop:
    """Returns a new event loop: a Fate."""
    return Loop()


def run(
    main: Awaitable[T],
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = new_event_loop,
    debug: bool | None = None,
) -> T:
    """Runs a coroutine, or anything else that can be awaited, on a new Fate and returns its result."""

    async def wrapper() -> T:
        return await main

    with asyncio.Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(wrapper())


def __getattr__(name: str) -> Any:
    """Finds `install` and `EventLoopPolicy`."""
    if name in ("EventLoopPolicy", "install"):
        from fate import policy

        return getattr(policy, name)
    raise AttributeError(f"module 'uvloop' has no attribute {name!r}")
