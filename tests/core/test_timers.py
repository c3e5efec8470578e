"""The timers against a model that cannot be wrong: a list, sorted by time and then by creation.

Differential and stateful (hypothesis): whatever is added, removed and collected, at whatever times, the wheel gives
what the list gives, in the same order; it never fires early, never forgets, and never sleeps past a deadline, but for
the crowd of one tick.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from growth import in_proportion
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fate import TimerHandle
from fate.core.timers import Timers

TICK = 2**19 / 1e9  # seconds
CROWD = 16  # a tick with more timers than this is looked at once, at its end


def make(when: float, id: int) -> TimerHandle:
    handle = TimerHandle.__new__(TimerHandle)
    handle._when = when
    handle.id = id
    handle._cancelled = False
    return handle


class Model:
    """The timers, and beside them what they should hold."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.timers = Timers(now)
        self.pending: dict[int, tuple[float, TimerHandle]] = {}
        self.made = 0

    def add(self, when: float) -> int:
        self.made += 1
        handle = make(when, self.made)
        self.timers.add(handle)
        self.pending[self.made] = (-math.inf if math.isnan(when) else when, handle)
        return self.made

    def remove(self, id: int) -> None:
        self.timers.remove(self.pending.pop(id)[1])

    def due(self) -> list[int]:
        return [id for when, id in sorted((when, id) for id, (when, _) in self.pending.items()) if when <= self.now]

    def collect(self, now: float) -> None:
        self.now = now
        expected = self.due()
        ready: list[Any] = ["there before"]
        assert self.timers.collect(now, ready) == len(expected)
        assert [handle.id for handle in ready[1:]] == expected
        for id in expected:
            del self.pending[id]
        self.check()

    def check(self) -> None:
        assert self.timers.count == len(self.pending)
        assert all(handle._scheduled for _, handle in self.pending.values())
        if not self.pending:
            return
        first = min(when for when, _ in self.pending.values())
        deadline = self.timers.deadline()
        if len(self.pending) <= CROWD:
            assert deadline == first
        else:
            assert deadline <= max(first, self.now) + TICK + 4 * math.ulp(deadline) or deadline == first


moments = st.one_of(
    st.floats(-10, 10),
    st.floats(0, 1e-3),
    st.floats(0, 5000),
    st.floats(0, 3e9),
    st.sampled_from([0.0, -0.0, TICK, 64 * TICK, 4096 * TICK, math.inf, -math.inf, math.nan, 1e300, -1e300, 5e-324]),
    st.builds(lambda ticks, shift: ticks * 64**shift * TICK, st.integers(-2, 70), st.integers(0, 6)),
)
steps = st.one_of(
    st.floats(0, 1e-3),
    st.floats(0, 10),
    st.floats(0, 1e6),
    st.builds(lambda ticks, shift: ticks * 64**shift * TICK, st.integers(0, 70), st.integers(0, 6)),
)
starts = st.one_of(st.floats(0, 1e6), st.sampled_from([0.0, 63 * TICK, 4095.999 * TICK, 1.7e9, -5.0]))


class TimersMachine(RuleBasedStateMachine):
    """Adds, removes and collects as it likes; the model says what must come of it."""

    @precondition(lambda self: not hasattr(self, "model"))
    @rule(start=starts)
    def begin(self, start: float) -> None:
        self.model = Model(start)

    @precondition(lambda self: hasattr(self, "model"))
    @rule(when=moments)
    def add_at(self, when: float) -> None:
        self.model.add(when)

    @precondition(lambda self: hasattr(self, "model"))
    @rule(delay=moments)
    def add_from_now(self, delay: float) -> None:
        self.model.add(self.model.now + delay)

    @precondition(lambda self: hasattr(self, "model"))
    @rule(delay=moments, count=st.integers(2, 40))
    def add_equal_ones(self, delay: float, count: int) -> None:
        for _ in range(count):
            self.model.add(self.model.now + delay)

    @precondition(lambda self: hasattr(self, "model") and self.model.pending)
    @rule(data=st.data())
    def remove_one(self, data: st.DataObject) -> None:
        self.model.remove(data.draw(st.sampled_from(sorted(self.model.pending))))

    @precondition(lambda self: hasattr(self, "model"))
    @rule(step=steps)
    def time_passes(self, step: float) -> None:
        self.model.collect(self.model.now + step)

    @precondition(lambda self: hasattr(self, "model") and self.model.pending)
    @rule()
    def time_passes_to_the_next_deadline(self) -> None:
        deadline = self.model.timers.deadline()
        if deadline < 1e10:
            self.model.collect(max(self.model.now, deadline))

    @precondition(lambda self: hasattr(self, "model"))
    @rule(step=st.floats(0, 1))
    def the_clock_is_asked_again_at_an_earlier_instant(self, step: float) -> None:
        expected = [id for id in self.model.due() if self.model.pending[id][0] <= self.model.now - step]
        ready: list[Any] = []
        self.model.timers.collect(self.model.now - step, ready)
        assert [handle.id for handle in ready] == expected
        for id in expected:
            del self.model.pending[id]

    @precondition(lambda self: hasattr(self, "model"))
    @rule()
    def clear(self) -> None:
        handles = [handle for _, handle in self.model.pending.values()]
        self.model.timers.clear()
        self.model.pending.clear()
        assert not any(handle._scheduled for handle in handles)

    @precondition(lambda self: hasattr(self, "model"))
    @invariant()
    def they_agree(self) -> None:
        self.model.check()

    def teardown(self) -> None:
        if hasattr(self, "model"):
            self.model.collect(math.inf if self.model.now < 0 else max(self.model.now, 1e301))


TimersMachine.TestCase.settings = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    database=None,
    derandomize=False,
    suppress_health_check=[HealthCheck.too_slow],
)
TestTimersAgainstTheModel = TimersMachine.TestCase


@given(st.lists(moments, max_size=60), starts)
@settings(deadline=None, database=None, max_examples=100)
def test_waking_at_each_deadline_fires_every_timer_in_order_and_never_early(times: list[float], start: float) -> None:
    """The loop of an engine whose clock is exact."""
    timers = Timers(start)
    now = start
    for number, when in enumerate(times):
        timers.add(make(when, number))
    fired: list[TimerHandle] = []
    looks = 0
    while timers.count:
        now = max(now, timers.deadline())
        looks += 1
        before = len(fired)
        timers.collect(now, fired)
        assert all(handle._when <= now for handle in fired[before:])
        if now == math.inf:
            break
        if len(times) <= CROWD:
            assert len(fired) > before
        assert looks < 20 * (len(times) + 1), "it wakes again and again for nothing"
    assert timers.count == 0
    numbers = [(-math.inf if math.isnan(times[handle.id]) else times[handle.id], handle.id) for handle in fired]
    assert numbers == sorted(numbers, key=lambda entry: (max(entry[0], -math.inf), entry[1]))


def test_a_long_random_life_agrees_with_the_model() -> None:
    chance = random.Random(7)
    model = Model(1000.0)
    for _ in range(20_000):
        draw = chance.random()
        if draw < 0.5:
            model.add(model.now + chance.choice([0, 1e-4, 1e-2, 1, 60, 3600]) * chance.random())
        elif draw < 0.8 and model.pending:
            model.remove(chance.choice(list(model.pending)[-50:]))
        elif draw < 0.85:
            model.collect(model.now + chance.choice([0, 1e-4, 1e-2, 1]) * chance.random())
        if len(model.pending) > 400:
            model.collect(model.now + 600 * chance.random())
    model.collect(model.now + 4000)
    assert model.timers.count == 0


@pytest.mark.parametrize("start", [0.0, 12345.678, 1.7e9])
def test_deadline_is_the_earliest_time_while_there_is_no_crowd(start: float) -> None:
    timers = Timers(start)
    chance = random.Random(3)
    times = [start + 10 ** chance.uniform(-5, 8) for _ in range(CROWD)]
    for number, when in enumerate(times):
        timers.add(make(when, number))
        assert timers.deadline() == min(times[: number + 1])


def test_a_crowd_of_one_tick_shares_a_wake_up_at_its_end_at_the_latest() -> None:
    timers = Timers(10.0)
    times = [10.5 + number * 1e-6 for number in range(100)]
    for number, when in enumerate(times):
        timers.add(make(when, number))
    now = 10.0
    fired: list[TimerHandle] = []
    looks = 0
    while timers.count:
        now = max(now, timers.deadline())
        before = len(fired)
        timers.collect(now, fired)
        looks += 1
        for handle in fired[before:]:
            assert 0 <= now - handle._when <= TICK + 1e-9
    assert [handle.id for handle in fired] == list(range(100))
    assert looks <= 6


def test_a_crowd_beyond_the_last_tick_does_not_keep_the_engine_from_sleeping() -> None:
    now = 1.7e9  # a clock that shows the date is past the last of the wheel's ticks
    timers = Timers(now)
    for number in range(100):
        timers.add(make(now + 1.0 + number, number))
    assert timers.deadline() == now + 1.0
    ready: list[TimerHandle] = []
    timers.collect(now + 1.5, ready)
    assert [handle.id for handle in ready] == [0]


def test_infinite_timers_never_fire() -> None:
    timers = Timers(0.0)
    for number in range(40):
        timers.add(make(math.inf, number))
    timers.add(make(5.0, 99))
    ready: list[TimerHandle] = []
    for now in (1.0, 5.0, 1e6, 1.7e9, 1e300):
        timers.collect(now, ready)
    assert [handle.id for handle in ready] == [99]
    assert timers.count == 40


def test_a_removed_timer_is_no_longer_scheduled_and_the_others_stay() -> None:
    timers = Timers(0.0)
    handles = [make(1.0, number) for number in range(5)]
    for handle in handles:
        timers.add(handle)
    timers.remove(handles[2])
    assert timers.count == 4
    assert not handles[2]._scheduled
    ready: list[TimerHandle] = []
    timers.collect(1.0, ready)
    assert [handle.id for handle in ready] == [0, 1, 3, 4]


def test_an_empty_wheel_has_no_deadline() -> None:
    timers = Timers(5.0)
    timers.add(make(7.0, 1))
    timers.collect(8.0, [])
    assert timers.count == 0
    assert timers.deadline() == math.inf


def test_many_timers_of_one_tick_are_not_sorted_in_every_turn_of_a_clock_that_stands_still() -> None:
    def prepare(count: int) -> Callable[[], None]:
        timers = Timers(1000.0)
        handles = [make(1000.0 + 1e-5 * (place + 1) / count, place) for place in range(count)]
        for handle in handles:
            timers.add(handle)

        def work() -> None:
            for handle in handles:
                timers.remove(handle)
                timers.add(make(1000.0 + 5e-6, handle.id + count))
                assert timers.collect(1000.0, []) == 0

        return work

    assert in_proportion(prepare, 300)
