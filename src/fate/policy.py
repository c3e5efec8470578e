"""Fate as asyncio's default: the event loop policy, and `install`.

Policies are how Python 3.11 to 3.13 choose a loop for programs that do not choose one. Python 3.14 deprecates them,
so nothing here is touched by `import fate`; `fate.run(...)` and `asyncio.Runner(loop_factory=fate.Fate)` need none.
"""

from __future__ import annotations

import asyncio

from fate.loop import Fate


class EventLoopPolicy(asyncio.DefaultEventLoopPolicy):
    """asyncio's default policy, whose new event loops are Fates: `asyncio.set_event_loop_policy` takes it."""

    _loop_factory = Fate


def install() -> None:
    """Make Fate the loop of `asyncio.run` and `asyncio.new_event_loop` in this process, from now on."""
    asyncio.set_event_loop_policy(EventLoopPolicy())
