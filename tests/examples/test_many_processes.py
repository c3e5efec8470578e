"""The example of a search that a program makes itself, over several processes."""

from __future__ import annotations

from .conftest import EXAMPLES, Start


def test_a_search_over_two_processes_finds_what_fate_explore_finds(start: Start) -> None:
    done = start(EXAMPLES / "universe" / "many_processes.py").end()
    assert done.code == 0 and "lost_update.py::main failed: " in done.out and "It needs" in done.out
