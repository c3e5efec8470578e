"""Those who wait for locks and queues, however many: served and cancelled in proportion to their number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from growth import in_proportion

from fate import defer


def lock() -> Any:
    made = defer.DeferredLock()
    made.acquire()
    return made


def semaphore() -> Any:
    made = defer.DeferredSemaphore(1)
    made.acquire()
    return made


KINDS = pytest.mark.parametrize("kind", [lock, semaphore, defer.DeferredQueue])


def wait(thing: Any) -> Any:
    return thing.get() if isinstance(thing, defer.DeferredQueue) else thing.acquire()


def serve(thing: Any) -> None:
    if isinstance(thing, defer.DeferredQueue):
        thing.put(None)
    else:
        thing.release()


@KINDS
@pytest.mark.parametrize("step", [1, -1], ids=["oldest", "newest"])
def test_those_who_wait_are_cancelled_in_proportion(kind: Callable[[], Any], step: int) -> None:
    def make(count: int) -> Callable[[], None]:
        thing = kind()
        waiting = [wait(thing) for _ in range(count)]

        def cancel() -> None:
            for deferred in waiting[::step]:
                deferred.addErrback(lambda failure: None)
                deferred.cancel()
            assert thing.waiting == []

        return cancel

    assert in_proportion(make, 300)


@KINDS
def test_those_who_wait_are_served_in_order_and_read_as_a_list(kind: Callable[[], Any]) -> None:
    thing = kind()
    waiting = [wait(thing) for _ in range(5)]
    assert thing.waiting == waiting
    assert len(thing.waiting) == 5 and thing.waiting[-1] is waiting[-1] and waiting[2] in thing.waiting
    assert thing.waiting[1:3] == waiting[1:3]
    assert repr(thing.waiting) == repr(waiting)
    waiting[2].addErrback(lambda failure: None)
    waiting[2].cancel()
    told: list[int] = []
    for place in (0, 1, 3, 4):
        waiting[place].addCallback(lambda _, place=place: told.append(place))
    for _ in range(4):
        serve(thing)
    assert told == [0, 1, 3, 4]
    assert thing.waiting == [] and not thing.waiting


def test_what_a_queue_holds_reads_as_a_list() -> None:
    queue: Any = defer.DeferredQueue()
    for place in range(5):
        queue.put(place)
    assert queue.pending == [0, 1, 2, 3, 4]
    assert queue.pending[1:3] == [1, 2]
    assert queue.pending.pop(1) == 1
    assert queue.pending.pop(0) == 0
    assert queue.pending.pop() == 4
    assert repr(queue.pending) == "[2, 3]"
    assert queue.get().result == 2
