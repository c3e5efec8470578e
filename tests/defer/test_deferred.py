"""The Deferred beyond what Twisted's own suite checks: order, depth, entries, release, misuse."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import fate
from fate import defer
from fate.defer import CallbackError, Deferred, DeferredList, Failure, gatherResults, inlineCallbacks, succeed
from fate.defer.deferred import WAITS_ON, Continuation
from fate.errors import DeferredError, WrongThreadError

DEEP = 100_000


def results_of(deferred: Any) -> list[Any]:
    results: list[Any] = []
    deferred.addBoth(results.append)
    return results


def test_callbacks_get_what_the_one_before_returned() -> None:
    d = Deferred()
    d.addCallback(lambda n, by: n * by, 3).addCallback(lambda n, by: n + by, by=1)
    d.callback(2)
    assert results_of(d) == [7]


@pytest.mark.parametrize("count", [0, 1, 8, 9, 30])
def test_any_number_of_arguments_reaches_a_callback(count: int) -> None:
    d = Deferred()
    d.addCallback(lambda *args, **kwargs: (args, kwargs), *range(count), named=True)
    d.callback("r")
    assert results_of(d) == [(("r", *range(count)), {"named": True})]


def test_many_callbacks_run_in_the_order_they_were_added() -> None:
    order: list[int] = []
    d = Deferred()
    for number in range(1000):
        d.addCallback(lambda _, number: order.append(number), number)
    d.callback(None)
    assert order == list(range(1000))


def test_callbacks_added_while_callbacks_run_come_after_those_that_wait() -> None:
    order: list[str] = []
    d = Deferred()

    def first(_: object) -> None:
        order.append("first")
        d.addCallback(lambda _: order.append("third"))

    d.addCallback(first)
    d.addCallback(lambda _: order.append("second"))
    d.callback(None)
    assert order == ["first", "second", "third"]


def test_the_list_of_entries_is_twisteds_and_what_is_done_to_it_counts() -> None:
    d = Deferred()
    d.addCallback(str, "x", y=1).addErrback(repr).addBoth(len)
    entries = d._callbacks
    assert entries[0][0] == (str, ("x",), {"y": 1})
    assert entries[1][1][:2] == (repr, ())
    assert entries[2][0] is entries[2][1]
    assert [len(pair) for pair in entries] == [2, 2, 2]
    assert d._callbacks is entries
    entries.clear()
    d.addCallback(lambda n: n + 1)
    assert len(entries) == 1
    call: Any = (lambda n: n * 10, (), {})
    entries.insert(0, (call, call))
    d.callback(4)
    assert results_of(d) == [41]


def test_waiting_deferreds_and_generators_are_entries_too() -> None:
    inner = Deferred()
    outer = succeed(None).addCallback(lambda _: inner)

    @inlineCallbacks
    def function() -> Any:
        return (yield inner)

    waiting = function()
    ((first,), (second,)) = (pair[0][1] for pair in inner._callbacks)
    assert first is outer
    assert isinstance(second, Continuation)
    inner.callback(5)
    assert (results_of(outer), results_of(waiting)) == ([5], [None])


def test_entries_may_be_replaced() -> None:
    d = Deferred()
    d.addCallback(lambda n: n + 1)
    d._callbacks, old = [], d._callbacks
    d.addCallback(lambda n: n * 2)
    d._callbacks.extend(old)
    d.callback(5)
    assert results_of(d) == [11]


def test_attributes_may_be_added() -> None:
    d = Deferred()
    d.note = "mine"
    assert d.__dict__ == {"note": "mine"}


def test_result_is_absent_before_it_is_there() -> None:
    d = Deferred()
    assert not hasattr(d, "result")
    d.callback(None)
    assert d.result is None


def test_subclasses_go_where_deferreds_go() -> None:
    class Mine(Deferred[int]):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.added = 0

        def addBoth(self, *args: Any, **kwargs: Any) -> Any:  # noqa: N802 (Twisted's name)
            self.added += 1
            return super().addBoth(*args, **kwargs)

    mine = Mine()
    outer = succeed(1).addCallback(lambda _: mine)

    @inlineCallbacks
    def function(d: Any) -> Any:
        return (yield d)

    mine.callback(7)
    assert results_of(outer) == [7]
    another = Mine()
    waiting = function(another)
    assert another.added == 1
    another.callback(8)
    assert results_of(waiting) == [8]


# -- depth ------------------------------------------------------------------------------------------------------------


def test_a_long_chain_of_deferreds_needs_no_stack() -> None:
    first = last = Deferred()
    for _ in range(DEEP):
        waits = last
        last = Deferred()
        last.addCallback(lambda _, waits=waits: waits)
        last.callback(None)
    results = results_of(last)
    first.callback("end")
    assert results == ["end"]


def test_a_long_chain_of_generators_needs_no_stack() -> None:
    @inlineCallbacks
    def level(d: Any) -> Any:
        return (yield d) + 1

    first = last = Deferred()
    for _ in range(DEEP):
        last = level(last)
    results = results_of(last)
    first.callback(0)
    assert results == [DEEP]


def test_a_long_chain_of_groups_needs_no_stack() -> None:
    first = last = Deferred()
    for _ in range(DEEP):
        last = gatherResults([last])
        last.addCallback(lambda values: values[0])
    results = results_of(last)
    first.callback("end")
    assert results == ["end"]


def test_long_chains_can_be_dropped() -> None:
    @inlineCallbacks
    def level(d: Any) -> Any:
        return (yield d)

    last = Deferred()
    for _ in range(DEEP):
        last = level(last)
    del last
    gc.collect()
    d = Deferred()
    for _ in range(DEEP):
        d.addCallback(lambda _: None)
    del d


def test_what_must_recurse_ends_in_an_error_not_in_a_crash() -> None:
    # Since Python 3.14 compiled calls are bounded by the stack itself, and not counted.
    longer_than_any = 10 * sys.getrecursionlimit() if sys.version_info < (3, 14) else 400_000
    chain = [Deferred()]
    for _ in range(longer_than_any):
        chain.append(Deferred())
        chain[-2].addCallbacks(chain[-1].callback, chain[-1].errback)
    chain[0].callback(None)
    assert not chain[-1].called
    failures: list[Any] = []
    for d in chain:
        if d.called:
            d.addErrback(failures.append)
    assert {failure.type for failure in failures} == {RecursionError}


# -- release ----------------------------------------------------------------------------------------------------------


class Thing:
    """Something whose end can be watched."""


@pytest.fixture
def _no_collector() -> Any:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collector")
def test_callbacks_and_arguments_are_let_go_as_they_run() -> None:
    thing = Thing()
    watch = weakref.ref(thing)
    d = Deferred()
    d.addCallback(lambda _, thing: None, thing)
    d.addCallback(lambda _, thing: None, thing)
    d.addCallback(lambda _: watch() is None)
    del thing
    d.callback(None)
    assert results_of(d) == [True]


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("fails", [False, True])
def test_a_generator_and_its_deferred_go_when_they_end(fails: bool) -> None:
    @inlineCallbacks
    def function(thing: Any, waits: Any) -> Any:
        yield waits
        if fails:
            raise ValueError
        return 1

    waits, thing = Deferred(), Thing()
    d = function(thing, waits)
    watches = [weakref.ref(thing), weakref.ref(d), weakref.ref(waits)]
    d.addErrback(lambda failure: failure.cleanFailure())
    del thing, d
    waits.callback(None)
    del waits
    assert [watch() for watch in watches] == [None] * 3


@pytest.mark.usefixtures("_no_collector")
def test_a_group_goes_when_it_is_fired() -> None:
    members = [Deferred() for _ in range(3)]
    group = gatherResults(members)
    watch = weakref.ref(group)
    for member in members:
        member.callback(Thing())
    things = [weakref.ref(thing) for thing in results_of(group)[0]]
    del group
    assert watch() is None
    del members, member
    assert [thing() for thing in things] == [None] * 3


@pytest.mark.usefixtures("_no_collector")
def test_a_canceller_goes_when_the_deferred_is_fired() -> None:
    def canceller(_: object) -> None:
        raise AssertionError(d)

    d = Deferred(canceller)
    watch = weakref.ref(canceller)
    del canceller
    d.callback(None)
    assert watch() is None


def test_pending_cycles_are_collected() -> None:
    d = Deferred()
    d.addCallback(lambda _, d: d, d)
    d.me = d
    watch = weakref.ref(d)
    del d
    gc.collect()
    assert watch() is None


# -- misuse -----------------------------------------------------------------------------------------------------------


def test_a_second_firing_is_an_error_that_tells_what_to_do() -> None:
    d = succeed(1)
    with pytest.raises(defer.AlreadyCalledError, match="setStory"):
        d.callback(2)
    with pytest.raises(DeferredError):
        d.errback(ValueError())


def test_a_second_firing_tells_the_story(stories: None) -> None:
    d = Deferred()
    d.callback("first")
    with pytest.raises(defer.AlreadyCalledError, match="with 'first' by test_a_second_firing_tells_the_story"):
        d.callback("second")


@pytest.mark.parametrize("add", ["addCallback", "addErrback", "addBoth", "addCallbacks"])
def test_what_cannot_be_called_is_refused_where_it_is_added(add: str) -> None:
    with pytest.raises(CallbackError, match="must be callable, not 5") as caught:
        getattr(Deferred(), add)(5)
    assert isinstance(caught.value, TypeError)
    with pytest.raises(CallbackError):
        Deferred().addCallbacks(str, 5)  # type: ignore[arg-type]


def test_a_deferred_that_is_returned_to_itself_is_warned_of() -> None:
    d = Deferred()
    d.addCallback(lambda _: d)
    with pytest.warns(DeprecationWarning, match="Callback returned the Deferred it was attached to"):
        d.callback(None)


def test_a_failure_of_nothing_is_an_error() -> None:
    with pytest.raises(defer.NoCurrentExceptionError):
        Deferred().errback()


def test_a_canceller_that_fires_decides_the_result() -> None:
    d = Deferred(lambda d: d.callback("instead"))
    d.cancel()
    assert results_of(d) == ["instead"]


def test_a_result_that_comes_after_cancel_is_dropped_once() -> None:
    d = Deferred()
    d.cancel()
    d.callback("late")
    with pytest.raises(defer.AlreadyCalledError):
        d.callback("later")
    assert results_of(d)[0].check(defer.CancelledError)


def test_a_list_of_results_consumes_errors_if_asked() -> None:
    members = [Deferred(), Deferred()]
    group = DeferredList(members, consumeErrors=True)
    members[0].errback(ValueError("no"))
    members[1].callback(2)
    (first, second) = results_of(group)[0]
    assert first[0] is False
    assert isinstance(first[1], Failure)
    assert second == (True, 2)
    assert members[0].result is None


def test_a_copy_of_an_unfired_deferred_is_unfired() -> None:
    for copied in (copy.copy(Deferred()), copy.deepcopy(Deferred()), pickle.loads(pickle.dumps(Deferred()))):
        assert not hasattr(copied, "result")
        inner = Deferred()
        inner.addCallback(lambda _, copied=copied: copied)
        inner.callback(None)
        copied.callback("late")
        assert results_of(inner) == ["late"]


@pytest.mark.filterwarnings("ignore")
def test_a_callback_that_returns_its_deferred_and_has_odd_attributes_leaves_it_alive() -> None:
    d = Deferred()

    class Odd:
        @property
        def __func__(self) -> None:
            raise RuntimeError("odd")

        def __call__(self, _: object) -> Any:
            return d

    d.addCallback(Odd())
    d.callback(1)
    errors: list[Any] = []
    d.addErrback(errors.append)
    assert [str(failure.value) for failure in errors] == ["odd"]


def test_a_deferred_that_is_paused_while_one_that_waited_for_it_runs_stops() -> None:
    order: list[str] = []
    inner, outer = Deferred(), succeed(None)
    outer.addCallback(lambda _: inner)
    outer.addCallback(lambda _: inner.pause())
    inner.addCallback(lambda _: order.append("too early"))
    inner.callback(None)
    assert order == []
    inner.unpause()
    assert order == ["too early"]


# -- what other code made of the list of callbacks --------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    [None, 3, (), (print,), (print, (), {}), ((print,), (print,)), ((), ()), "ab", ((print, 3, {}), (print, 3, {})),
     ((WAITS_ON, (), {}), (WAITS_ON, (), {})), ((WAITS_ON, (3,), {}), (WAITS_ON, (3,), {})), ((3, (), {}), (3, (), {})),
     ((print, (), 3), (print, (), 3))],
)  # fmt: skip
def test_a_malformed_entry_fails_with_a_type_error(entry: Any) -> None:
    d = Deferred()
    d._callbacks.append(entry)
    d.callback(1)
    ((failure,),) = [results_of(d)]
    assert failure.check(TypeError)


def test_a_malformed_entry_in_a_list_of_its_own_fails_and_the_next_is_called() -> None:
    d = Deferred()
    call = (lambda failure: str(failure.value), [], None)
    d._callbacks = [("x",), (call, call)]
    d.callback(1)
    (text,) = results_of(d)
    assert text.startswith("_callbacks has an entry ('x',); each is a pair")


def test_what_is_no_list_is_no_list_of_callbacks() -> None:
    with pytest.raises(TypeError, match="not 3"):
        Deferred()._callbacks = 3  # type: ignore[assignment]


# -- a hundred thousand of them ---------------------------------------------------------------------------------------

MANY = 50_000


def chain(last: Deferred) -> Deferred:
    for _ in range(MANY):
        d = succeed(None)
        d.addCallback(lambda _, last=last: last)
        last = d
    return last


def generators(last: Deferred) -> Deferred:
    @inlineCallbacks
    def wait(d: Deferred) -> Any:
        return (yield d)

    for _ in range(MANY):
        last = wait(last)
    return last


def chained(last: Deferred) -> Deferred:
    d = last
    for _ in range(MANY):
        d.chainDeferred(follows := Deferred())
        d = follows
    return d


@pytest.mark.parametrize("build", [chain, generators, chained])
def test_many_in_a_row_are_fired_without_a_stack(build: Any) -> None:
    for result in (7, ValueError("x")):
        last = Deferred()
        first = build(last)
        last.errback(result) if isinstance(result, Exception) else last.callback(result)
        (got,) = results_of(first)
        assert (got if isinstance(got, int) else got.value) is result


@pytest.mark.parametrize("build", [chain, generators])
def test_many_in_a_row_are_cancelled_without_a_stack(build: Any) -> None:
    cancelled: list[Any] = []
    last = Deferred(cancelled.append)
    first = build(last)
    first.cancel()
    assert cancelled == [last]
    (failure,) = results_of(first)
    assert failure.check(defer.CancelledError)


def test_deferreds_that_wait_for_each_other_cannot_be_cancelled() -> None:
    a, b = Deferred(), Deferred()
    a.addCallback(lambda _: b)
    b.addCallback(lambda _: a)
    a.callback(None)
    b.callback(None)
    with pytest.raises(RecursionError, match="waits for itself"):
        a.cancel()


def test_generators_that_wait_for_each_other_cannot_be_cancelled() -> None:
    ready = Deferred()
    made: list[Deferred] = []

    @inlineCallbacks
    def wait(other: int) -> Any:
        yield ready
        yield made[other]

    made += [wait(1), wait(0)]
    ready.callback(None)
    with pytest.raises(RecursionError, match="waits for itself"):
        made[0].cancel()


# -- threads ----------------------------------------------------------------------------------------------------------


def in_a_thread(f: Any, *args: Any) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(f, *args).result()


def test_callbacks_are_not_run_outside_the_thread_of_the_loop() -> None:
    async def main() -> None:
        got: list[int] = []
        d, fired, bare = Deferred(), succeed(1), Deferred()
        d.addCallback(got.append)
        fires = [(d.callback, (1,)), (d.errback, (ValueError(),)), (d.cancel, ())]
        adds = [(f, (print,)) for f in (fired.addBoth, fired.addCallback, fired.addErrback, fired.addCallbacks)]
        for f, args in fires + adds:
            with pytest.raises(WrongThreadError, match=r"main at .*callFromThread.*call_soon_threadsafe"):
                in_a_thread(f, *args)
        assert not d.called and got == []
        assert fired.result == 1
        d.callback(7)
        assert got == [7]
        in_a_thread(bare.callback, 3)  # nobody waits for it
        assert await bare == 3
        future = Deferred()
        waiting = future.asFuture(asyncio.get_running_loop())
        in_a_thread(future.callback, 4)
        assert await waiting == 4

    fate.run(main())


def test_without_a_loop_any_thread_may_fire() -> None:
    got: list[int] = []
    d = Deferred()
    d.addCallback(got.append)
    in_a_thread(d.callback, 1)
    in_a_thread(d.addCallback, got.append)
    assert got == [1, None]


def test_a_deferred_of_a_thread_without_a_loop_may_be_fired_by_the_loop() -> None:
    got: list[int] = []

    async def main() -> None:
        d = in_a_thread(Deferred)
        d.addCallback(got.append)
        d.callback(1)

    fate.run(main())
    assert got == [1]
