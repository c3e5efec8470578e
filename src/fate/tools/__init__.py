"""What programs ask for: pages, commands, lines of input, threads. `from fate.tools import get_page`.

The map: `pages` has get_page, `commands` run_command, `reading` lines, `threads` in_thread, in_process and in_executor;
`ground` finds the loop that they use and makes the Deferreds that they return. This module holds the public names and
nothing else; each is imported when it is first asked for.

What each returns is a Deferred that can be awaited. The loop is the Fate that runs in this thread; if none runs, that
of the reactor that the program has imported: Twisted's on Fate, or `fate.reactor`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fate.tools.commands import Output, run_command
    from fate.tools.pages import Page, get_page
    from fate.tools.reading import Lines, lines
    from fate.tools.threads import in_executor, in_process, in_thread

__all__ = [
    "Lines",
    "Output",
    "Page",
    "get_page",
    "in_executor",
    "in_process",
    "in_thread",
    "lines",
    "run_command",
]

_HOMES = {
    "Lines": "reading",
    "Output": "commands",
    "Page": "pages",
    "get_page": "pages",
    "in_executor": "threads",
    "in_process": "threads",
    "in_thread": "threads",
    "lines": "reading",
    "run_command": "commands",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"fate.tools.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
