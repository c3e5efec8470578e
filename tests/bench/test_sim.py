"""The benchmark of universes: its programs run in one, and its table says what was reached."""

from __future__ import annotations

from benchmarks.sim import programs
from benchmarks.sim.__main__ import differing
from benchmarks.sim.simulators import SIMULATORS
from benchmarks.sim.table import ROWS, markdown, met, plain, reached, table

COLUMNS = [SIMULATORS[name] for name in ("fate", "simloop", "detangle", "seedloop")]


def figures(**tiny: list[float]) -> dict[str, dict[str, list[float]]]:
    return {"tiny": tiny}


def test_a_goal_is_a_multiple_of_the_fastest_that_explores_within_each_repetition():
    found = figures(fate=[20_000, 40_000, 18_000], simloop=[10, 10, 10], detangle=[8_000, 10_000, 9_000])
    assert reached(ROWS["tiny"], found) == 2.5
    assert met(ROWS["tiny"], found) is True
    assert met(ROWS["tiny"], figures(fate=[14_000], detangle=[1_000])) is False  # 15,000 are asked for
    assert met(ROWS["tiny"], figures(fate=[20_000], detangle=[11_000])) is False
    assert met(ROWS["tiny"], figures(fate=[20_000], seedloop=[1_000])) is None  # which does not explore


def test_the_table_has_a_column_for_each_and_says_what_is_missed():
    lines = table(figures(fate=[14_000], detangle=[7_000]), {"fate": 2, "simloop": 20}, 20, COLUMNS)
    assert lines[0][1:5] == ["Fate", "simloop", "detangle", "seedloop"]
    tiny, histories = lines[3], lines[4]
    assert tiny[1:5] == ["14,000", "-", "7,000 (2.0)", "-"]
    assert tiny[-1] == "2.0 times, MISSED"
    assert histories == ["distinct histories of one seed in 20 processes", "2", "20", "-", "-", "1", "MISSED"]
    assert "| 14,000 | - | 7,000 (2.0) | - |" in markdown(lines)
    assert len(plain(lines).splitlines()) == 5


def test_what_differs_between_processes_is_named():
    assert differing([{"random": "1", "urandom": "2"}, {"random": "1", "urandom": "3"}]) == ["urandom"]


def test_its_programs_run_in_a_universe_with_and_without_faults():
    for name in ("fate", "fate-drawn"):
        fate = SIMULATORS[name]
        fate.ping_pong(5)
        fate.run(lambda: programs.sleeps(3))
        fate.sweep(programs.tiny, 3)
        histories = [fate.run(programs.chance) for _ in range(2)]
        assert set(differing(histories)) <= {"set of objects"}  # by address, which only a settled process repeats
