"""Tests of Twisted's Deferreds that cannot apply to Fate's, each with the reason.

The list is honest by force: an excluded test that passes, and a pattern that matches no test, fail the run.
Whatever a program could notice does not belong here.
"""

from typing import NamedTuple


class Exclusion(NamedTuple):
    """`pattern` matches test ids as `fnmatch` does."""

    pattern: str
    reason: str


EXCLUSIONS: tuple[Exclusion, ...] = ()
