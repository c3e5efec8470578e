"""The time of a fuse: moved, given, wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support import Log, VirtualFate, turns

from fate import Fate, Fuse
from fate.errors import FuseOverError, FuseTimeError


@pytest.mark.parametrize("time", [0.5, 3.0])
def test_set_time_moves_a_fuse_earlier_or_later(virtual: VirtualFate, log: Log, time: float) -> None:
    fuse = virtual.get_fuse(1)
    fuse.set_handler(lambda: log.append(virtual.time()))
    fuse.set_time(time)
    virtual.call_later(5, virtual.stop)
    virtual.run_forever()
    assert log == [pytest.approx(time, abs=1e-8)]
    assert virtual._timers.count == 0


def test_set_time_gives_a_time_to_a_fuse_that_had_none(virtual: VirtualFate, log: Log) -> None:
    fuse = virtual.get_fuse()
    fuse.set_handler(lambda: log.append(virtual.time()))
    fuse.set_time(2)
    virtual.call_later(5, virtual.stop)
    virtual.run_forever()
    assert log == [pytest.approx(2, abs=1e-8)]


def test_a_time_that_has_passed_means_now(virtual: VirtualFate, log: Log) -> None:
    virtual.clock.now = 10.0
    fuse = virtual.get_fuse(5)
    fuse.set_handler(log.note("called"))
    fuse.set_time(-3.0)
    assert fuse.is_burned()
    turns(virtual, 3)
    assert log == ["called"]
    assert virtual.time() == 10.0


def test_set_time_lights_a_fuse_again_that_burned_by_time_and_had_no_handler(virtual: VirtualFate, log: Log) -> None:
    fuse = virtual.get_fuse(1)
    virtual.call_later(2, virtual.stop)
    virtual.run_forever()
    assert fuse.is_burned()
    fuse.set_time(5)
    assert not fuse.is_burned()
    fuse.set_handler(lambda: log.append(virtual.time()))
    virtual.call_later(10, virtual.stop)
    virtual.run_forever()
    assert log == [pytest.approx(5, abs=1e-8)]


def test_set_time_after_the_handlers_were_called_is_an_error(virtual: VirtualFate) -> None:
    fuse = virtual.get_fuse(1)
    fuse.set_handler(int)
    virtual.call_later(2, virtual.stop)
    virtual.run_forever()
    with pytest.raises(FuseOverError, match=r"is over.*fate.get_fuse\(\)"):
        fuse.set_time(5)


@pytest.mark.parametrize("end", [Fuse.burn, Fuse.cancel, lambda fuse: fuse.fail(ValueError())])
def test_set_time_after_the_end_is_an_error(loop: Fate, end: Callable[[Fuse], object]) -> None:
    fuse = loop.get_fuse()
    end(fuse)
    with pytest.raises(FuseOverError, match="is over"):
        fuse.set_time(loop.time() + 1)
    fuse._error_seen = True


def test_a_wrong_time_changes_nothing(virtual: VirtualFate) -> None:
    fuse = virtual.get_fuse(1)
    for wrong in (float("nan"), float("inf"), float("-inf"), "1", None, True, 1j):
        with pytest.raises(FuseTimeError, match="a fuse's time"):
            fuse.set_time(wrong)  # type: ignore[arg-type]
    virtual.call_later(2, virtual.stop)
    virtual.run_forever()
    assert fuse.is_over()
