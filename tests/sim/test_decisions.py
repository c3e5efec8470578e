"""Chance as a function of (seed, label, count)."""

from __future__ import annotations

import pytest

from fate.sim.decisions import Decisions
from fate.sim.errors import ScenarioError
from fate.sim.faults import KINDS, RELAXED, Faults, describe, duration, ordinal


def values(decisions: Decisions, label: str, count: int) -> list[int]:
    return [decisions.decide(label, 100, 0.5, 0) for _ in range(count)]


def test_a_decision_depends_on_seed_label_and_count_alone():
    alone = values(Decisions(7), "latency a->b", 20)
    among = Decisions(7)
    mixed = []
    for _ in range(20):
        among.decide("latency b->a", 100, 0.5, 0)
        mixed.append(among.decide("latency a->b", 100, 0.5, 0))
    assert mixed == alone
    assert values(Decisions(8), "latency a->b", 20) != alone
    assert values(Decisions(7), "latency a->c", 20) != alone


def test_the_draws_of_a_seed_never_change():
    # Kept seeds must go on meaning what they meant.
    assert [Decisions(seed).bits("x") for seed in (0, 1, -1, 2**70)] == [
        15567077761578155744,
        12135222515075208059,
        6204202844227487839,
        8482094928976244597,
    ]


def test_probability_is_how_many_are_not_benign():
    drawn = [Decisions(seed).decide("x", 2, 0.25, 0) for seed in range(2000)]
    assert 400 < sum(drawn) < 600
    assert not any(Decisions(seed).decide("x", 2, 0.0, 0) for seed in range(100))


def test_a_forced_decision_moves_no_other():
    free = values(Decisions(3), "x", 10)
    forced = values(Decisions(3, {("x", 4): 17}), "x", 10)
    assert forced == [*free[:4], 17, *free[5:]]


def test_what_is_not_forced_is_benign_when_nothing_is_drawn():
    assert values(Decisions(3, {("x", 4): 17}, drawn=False), "x", 6) == [0, 0, 0, 0, 17, 0]


def test_a_forced_value_stays_below_its_bound():
    assert Decisions(0, {("x", 0): 99}).decide("x", 10, 0.0, 0) == 9


def test_every_decision_is_recorded_in_its_order():
    decisions = Decisions(0, {("b", 1): 1})
    for label in "abb":
        decisions.decide(label, 2, 0.0, 5)
        decisions.note("here")
    taken = decisions.decisions()
    assert [decision.key for decision in taken] == [("a", 0), ("b", 0), ("b", 1)]
    assert [decision.value for decision in taken] == [0, 0, 1]
    assert taken[0].when == 5 and taken[0].note == "here"


def test_values_reach_every_fault_below_the_bound():
    assert {Decisions(seed).decide("x", 4, 1.0, 0) for seed in range(100)} == {1, 2, 3}


def test_faults_are_given_in_many_ways():
    assert Faults.make(None) is None
    assert set(Faults.make("all").kinds) == set(KINDS) - {RELAXED}
    assert Faults.make(["loss"]).kinds == {"loss": KINDS["loss"][0]}
    assert Faults.make("loss").kinds == {"loss": KINDS["loss"][0]}
    assert Faults.make({"loss": 0.5}).kinds == {"loss": 0.5}


@pytest.mark.parametrize("given", ["gremlins", {"loss": 2}, {"loss": "often"}, 7, {"nothing": 0.1}])
def test_faults_that_make_no_sense_are_refused(given):
    with pytest.raises(ScenarioError):
        Faults.make(given)


def test_swarms_differ_from_seed_to_seed_and_not_from_run_to_run():
    everything = Faults.all()
    swarms = [tuple(everything.swarm(seed).kinds.values()) for seed in range(20)]
    assert len(set(swarms)) == 20
    assert swarms[3] == tuple(everything.swarm(3).kinds.values())


def test_faults_of_the_program_itself_are_told_in_words():
    overrides = {("stall main", 0): 20, ("timer main", 1): 5, ("cancel work#2, unbegun", 0): 1}
    decisions = Decisions(0, overrides, drawn=False)
    decisions.decide("stall main", 1001, 0.0, 0)
    decisions.note("task main had come to bank.py:41")
    decisions.decide("timer main", 1000, 0.0, 0)
    decisions.decide("timer main", 1000, 0.0, 0)
    decisions.decide("cancel work#2, unbegun", 2, 0.0, 7)
    assert decisions.strikes_at(decisions.latest(), 9) == ("cancel work#2, unbegun", 0)
    assert decisions.faults()[-1].when == 9
    assert [describe(fault) for fault in decisions.faults()] == [
        "main stood still for 20 ms after task main had come to bank.py:41",
        "the 2nd timer of main was set 500 µs late",
        "task work#2 was cancelled before its first step",
    ]


def test_faults_are_told_in_words():
    decisions = Decisions(0, {("latency client->db", 2): 400, ("cancel transfer", 0): 2}, drawn=False)
    for _ in range(3):
        decisions.decide("latency client->db", 1000, 0.0, 0)
    decisions.decide("cancel transfer", 3, 0.0, 0)
    decisions.note("bank.py:41")
    told = [describe(decision) for decision in decisions.decisions() if decision.value]
    assert told == [
        "the 3rd message from client to db came 40 ms late",
        "task transfer was cancelled at bank.py:41, hand-off (its 1st await)",
    ]
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 21, 111)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "21st", "111th",
    ]  # fmt: skip
    assert [duration(ns) for ns in (1500, 2_000_000, 3_500_000_000)] == ["1.5 µs", "2 ms", "3.5 s"]
