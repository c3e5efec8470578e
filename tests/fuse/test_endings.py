"""The end of a fuse: burned, failed, cancelled; its value, its error, what it says of itself."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

import pytest
from support import Log, VirtualFate, run_until, turns

from fate import Fate, Fuse
from fate.errors import FuseOverError


def test_value_is_none_until_it_burns_and_then_what_it_burned_with(loop: Fate) -> None:
    fuse = loop.get_fuse()
    assert fuse.value is None
    fuse.burn([1])
    assert fuse.value == [1]
    assert fuse.error is None


def test_value_of_a_failed_fuse_raises_its_error(loop: Fate) -> None:
    fuse = loop.get_fuse()
    fuse.fail(LookupError("why"))
    with pytest.raises(LookupError, match="why"):
        _ = fuse.value
    assert isinstance(fuse.error, LookupError)


@pytest.mark.parametrize("end", [Fuse.burn, Fuse.cancel, lambda fuse: fuse.fail(ValueError())])
@pytest.mark.parametrize("again", [Fuse.burn, lambda fuse: fuse.fail(ValueError())])
def test_burning_or_failing_a_second_time_is_an_error(
    loop: Fate, end: Callable[[Fuse], object], again: Callable[[Fuse], object]
) -> None:
    fuse = loop.get_fuse()
    end(fuse)
    with pytest.raises(FuseOverError, match=r"second time.*fate.get_fuse\(\)"):
        again(fuse)
    fuse._error_seen = True


@pytest.mark.parametrize("end", [Fuse.burn, Fuse.cancel, lambda fuse: fuse.fail(ValueError())])
def test_cancelling_a_second_time_says_false_and_changes_nothing(loop: Fate, end: Callable[[Fuse], object]) -> None:
    fuse = loop.get_fuse()
    end(fuse)
    before = (fuse.is_burned(), fuse.cancelled(), fuse.error)
    assert fuse.cancel() is False
    assert (fuse.is_burned(), fuse.cancelled(), fuse.error) == before


def test_cancel_says_true_and_no_handler_is_called(virtual: VirtualFate, log: Log) -> None:
    fuse = virtual.get_fuse(1)
    fuse.set_handler(log.note("never"))
    assert fuse.cancel() is True
    assert not fuse.has_handler()
    assert virtual._timers.count == 0
    virtual.call_later(2, virtual.stop)
    virtual.run_forever()
    assert log == []


def test_a_fuse_burned_by_hand_before_its_time_burns_once(virtual: VirtualFate, log: Log) -> None:
    fuse = virtual.get_fuse(1)
    fuse.set_handler(log.note("called"))
    fuse.burn("early")
    virtual.call_later(2, virtual.stop)
    virtual.run_forever()
    assert log == ["called"]
    assert fuse.value == "early"


def test_a_failed_fuse_calls_no_handler(loop: Fate, log: Log) -> None:
    fuse = loop.get_fuse()
    fuse.set_handler(log.note("never"))
    fuse.fail(ValueError())
    turns(loop, 3)
    assert log == []
    assert isinstance(fuse.error, ValueError)


def test_fail_takes_an_exception_or_its_class_and_nothing_else(loop: Fate) -> None:
    fuse = loop.get_fuse()
    with pytest.raises(TypeError, match="cannot take StopIteration"):
        loop.get_fuse().fail(StopIteration())
    with pytest.raises(TypeError, match="takes an exception, not 'oops'"):
        fuse.fail("oops")  # type: ignore[arg-type]
    assert not fuse.is_over()
    fuse.fail(LookupError)  # type: ignore[arg-type]
    assert isinstance(fuse.error, LookupError)


def test_a_failure_that_nobody_looked_at_is_reported_once(loop: Fate, reports: list) -> None:
    loop.get_fuse().fail(LookupError("why"))
    gc.collect()
    (report,) = reports
    assert str(report["exception"]) == "why"
    assert "nobody looked at its error" in report["message"]


def look_at_value(fuse: Fuse) -> None:
    with pytest.raises(LookupError):
        _ = fuse.value


@pytest.mark.parametrize("look", [lambda fuse: fuse.error, look_at_value])
def test_a_failure_that_somebody_looked_at_is_not_reported(loop: Fate, reports: list, look: Callable) -> None:
    fuse = loop.get_fuse()
    fuse.fail(LookupError())
    look(fuse)
    del fuse
    gc.collect()
    assert reports == []


def test_burning_from_another_thread_by_call_soon_threadsafe(loop: Fate) -> None:
    fuse = loop.get_fuse()
    thread = threading.Timer(0.003, loop.call_soon_threadsafe, (fuse.burn, "from afar"))
    thread.start()
    run_until(loop, fuse.is_burned)
    thread.join()
    assert fuse.value == "from afar"


def test_closing_the_loop_cancels_its_fuses() -> None:
    loop = Fate()
    fuses = [loop.get_fuse(), loop.get_fuse(10)]
    loop.close()
    assert all(fuse.cancelled() for fuse in fuses)
    assert loop.fuses == []


def test_a_fuse_tells_its_state_its_time_and_its_handlers(virtual: VirtualFate) -> None:
    fuse = virtual.get_fuse(1.5)
    fuse.set_handler(int)
    assert repr(fuse) == "<Fuse burning time=1.500000 handlers=1>"
    fuse.cancel()
    assert repr(fuse) == "<Fuse cancelled>"
