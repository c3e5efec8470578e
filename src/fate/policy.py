"""Fate as asyncio's default: the event loop policy, and `install`.

Policies are how Python up to 3.15 chooses a loop for programs that do not choose one. 3.14 deprecates them, 3.16 is to
have none: `install` works on all, and warns on none. `fate.run(...)` and `asyncio.Runner(loop_factory=fate.Fate)` need
neither.
"""

from __future__ import annotations

import asyncio
from asyncio import events, unix_events
from typing import Any

from fate.loop import Fate, new_event_loop

# By the names that asyncio itself uses: those that it has for programs warn.
Default: Any = getattr(unix_events, "_DefaultEventLoopPolicy", None) or getattr(
    unix_events, "DefaultEventLoopPolicy", object
)
set_policy: Any = getattr(events, "_set_event_loop_policy", None) or getattr(events, "set_event_loop_policy", None)


class EventLoopPolicy(Default):  # type: ignore[misc]
    """asyncio's default policy, whose new event loops are Fates: `asyncio.set_event_loop_policy` takes it.

    Python 3.14 deprecates policies, and that function warns there.
    """

    _loop_factory = Fate


def install() -> None:
    """Make Fate the loop of `asyncio.run` and `asyncio.new_event_loop` in this process, from now on."""
    if set_policy is not None:
        set_policy(EventLoopPolicy())
    else:
        asyncio.new_event_loop = events.new_event_loop = new_event_loop
