"""Tests of CPython's `test.test_asyncio` that cannot apply to Fate, each with the reason.

The list is honest by force: an excluded test that passes, and a pattern that matches no test, fail the run.
Whatever a program could notice does not belong here.
"""

from typing import NamedTuple


class Exclusion(NamedTuple):
    """`pattern` matches test ids as `fnmatch` does; `pythons` are the versions it is about, `()` for every one."""

    pattern: str
    reason: str
    pythons: tuple[tuple[int, int], ...] = ()


# Tests written against the private parts of asyncio's own selector loop. They make loops like all others and Fate,
# which inherits these parts, must pass them; they are counted apart for the sake of loops that do not inherit them.
INSIDES = ("test_base_events.BaseEventLoopWithSelectorTests.*", "test_unix_events.SelectorEventLoop*")

EXCLUSIONS: tuple[Exclusion, ...] = ()

IN_UNIVERSES: tuple[Exclusion, ...] = (
    Exclusion(
        "test_streams.StreamTests.test_read_all_from_pipe_reader",
        "universes refuse connect_read_pipe: a pipe is of the real world",
    ),
)
