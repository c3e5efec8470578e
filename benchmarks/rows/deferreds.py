"""Deferreds: what making, firing and awaiting one costs, beside Twisted's. CPU time of the thread, no loop.

Callbacks, generators and errors are made the way programs make them. Failures are each library's own.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from benchmarks.bench import Bench
from benchmarks.registry import AtMost, Group, Measured, Times, row

FOUR = Times(4, "twisted")
THREE = Times(3, "twisted")
TWICE = Times(2, "twisted")


def library(bench: Bench) -> Any:
    """The module of Deferreds in this column."""
    return import_module("twisted.internet.defer" if bench.module.startswith("twisted") else "fate.defer")


def same(result: Any) -> Any:
    return result


@row("Deferred + addCallback + callback", "ns", Group.DEFERRED, FOUR, baseline="twisted")
def deferred_callback(bench: Bench) -> float:
    return bench.time_plain(callback_work(library(bench)), 100_000)


def callback_work(defer: Any) -> Callable[[int], None]:
    deferred = defer.Deferred

    def work(count: int) -> None:
        for _ in range(count):
            d = deferred()
            d.addCallback(same)
            d.callback(1)

    return work


@row("Deferred with five callbacks", "ns", Group.DEFERRED, FOUR, baseline="twisted")
def deferred_five(bench: Bench) -> float:
    return bench.time_plain(five_work(library(bench)), 50_000)


def five_work(defer: Any) -> Callable[[int], None]:
    deferred = defer.Deferred

    def work(count: int) -> None:
        for _ in range(count):
            d = deferred()
            d.addCallback(same)
            d.addCallback(same)
            d.addCallback(same)
            d.addCallback(same)
            d.addCallback(same)
            d.callback(1)

    return work


@row("Deferred + addErrback + errback", "ns", Group.DEFERRED, FOUR, baseline="twisted")
def deferred_errback(bench: Bench) -> float:
    deferred = library(bench).Deferred

    def handle(failure: Any) -> None:
        pass

    def work(count: int) -> None:
        for _ in range(count):
            d = deferred()
            d.addErrback(handle)
            d.errback(ValueError())

    return bench.time_plain(work, 50_000)


@row("a callback that raises, an errback that handles it", "ns", Group.DEFERRED, TWICE, baseline="twisted")
def deferred_raise(bench: Bench) -> float:
    deferred = library(bench).Deferred

    def fail(result: Any) -> None:
        raise ValueError(result)

    def handle(failure: Any) -> None:
        failure.trap(ValueError)

    def work(count: int) -> None:
        for _ in range(count):
            d = deferred()
            d.addCallback(fail)
            d.addErrback(handle)
            d.callback(1)

    return bench.time_plain(work, 50_000)


@row("Deferred chained to another", "ns", Group.DEFERRED, FOUR, baseline="twisted")
def deferred_chained(bench: Bench) -> float:
    deferred = library(bench).Deferred

    def work(count: int) -> None:
        for _ in range(count):
            inner = deferred()
            outer = deferred()
            outer.addCallback(lambda _, inner=inner: inner)
            outer.addCallback(same)
            outer.callback(1)
            inner.callback(2)

    return bench.time_plain(work, 50_000)


@row("inlineCallbacks, a call", "ns", Group.DEFERRED, THREE, baseline="twisted")
def inline_call(bench: Bench) -> float:
    defer = library(bench)

    @defer.inlineCallbacks
    def function() -> Any:
        yield None
        return 1

    def work(count: int) -> None:
        for _ in range(count):
            function()

    return bench.time_plain(work, 50_000)


@row("inlineCallbacks, a step: a fired Deferred", "ns", Group.DEFERRED, THREE, baseline="twisted")
def inline_step(bench: Bench) -> float:
    defer = library(bench)
    succeed = defer.succeed

    @defer.inlineCallbacks
    def function(count: int) -> Any:
        for _ in range(count):
            yield succeed(1)

    return bench.time_plain(function, 50_000)


@row("inlineCallbacks, a step: a plain value", "ns", Group.DEFERRED, THREE, baseline="twisted")
def inline_plain(bench: Bench) -> float:
    @library(bench).inlineCallbacks
    def function(count: int) -> Any:
        for _ in range(count):
            yield 1

    return bench.time_plain(function, 100_000)


@row("inlineCallbacks, a step: a pending Deferred", "ns", Group.DEFERRED, THREE, baseline="twisted")
def inline_pending(bench: Bench) -> float:
    defer = library(bench)
    deferred = defer.Deferred
    waiting: list[Any] = []

    @defer.inlineCallbacks
    def function(count: int) -> Any:
        for _ in range(count):
            d = deferred()
            waiting.append(d)
            yield d

    def work(count: int) -> None:
        function(count)
        while waiting:
            waiting.pop().callback(1)

    return bench.time_plain(work, 50_000)


@row("coroutine, a step: await a fired Deferred", "ns", Group.DEFERRED, baseline="twisted")
def await_step(bench: Bench) -> float:
    defer = library(bench)
    succeed = defer.succeed

    async def function(count: int) -> Any:
        for _ in range(count):
            await succeed(1)

    return bench.time_plain(lambda count: defer.Deferred.fromCoroutine(function(count)), 50_000)


MEMBERS = 100


@row("gatherResults, a child", "ns", Group.DEFERRED, THREE, baseline="twisted")
def gather_child(bench: Bench) -> float:
    defer = library(bench)
    deferred, gather = defer.Deferred, defer.gatherResults

    def work(count: int) -> None:
        for _ in range(max(1, count // MEMBERS)):
            members = [deferred() for _ in range(MEMBERS)]
            gather(members)
            for member in members:
                member.callback(1)

    return bench.time_plain(work, 50_000)


def with_story(bench: Bench, work_of: Callable[[Any], Callable[[int], None]], count: int) -> Measured:
    """The time with stories on, in per cent of that with stories off, in one process."""
    defer = library(bench)
    work = work_of(defer)
    off = bench.time_plain(work, count)
    defer.setStory(True)
    on = bench.time_plain(work, count)
    defer.setStory(False)
    return Measured(100 * on / off, {"off": off, "on": on})


@row("story on: Deferred + addCallback + callback", "% of off", Group.STORY, AtMost(150), relative=False)
def story_callback(bench: Bench) -> Measured:
    return with_story(bench, callback_work, 100_000)


@row("story on: Deferred with five callbacks", "% of off", Group.STORY, AtMost(150), relative=False)
def story_five(bench: Bench) -> Measured:
    return with_story(bench, five_work, 50_000)
