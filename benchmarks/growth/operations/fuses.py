"""Fuses: made, ended, combined, awaited; handlers; what they wait for."""

from __future__ import annotations

import asyncio
import operator
import signal
import socket
from collections.abc import Iterator
from functools import reduce
from typing import Any

from benchmarks.growth.operations.common import ORDERS, nothing, ordered, turns
from benchmarks.growth.registry import operation
from fate import Fate, Fuse


def made(loop: Fate, n: int) -> list[Fuse]:
    return [loop.get_fuse() for _ in range(n)]


async def wait(fuse: Fuse) -> Any:
    return await fuse


def waiting(loop: Fate, fuses: list[Fuse]) -> list[asyncio.Task[Any]]:
    tasks = [loop.create_task(wait(fuse)) for fuse in fuses]
    turns(loop)
    return tasks


def cancel_in(order: str, loop: Fate, tasks: list[asyncio.Task[Any]]) -> None:
    for task in ordered(tasks, order):
        task.cancel()
    turns(loop, 3)
    assert all(task.cancelled() for task in tasks)


@operation("fuses made, given a handler and burned")
def fuses_burned(loop: Fate, n: int) -> Iterator[None]:
    yield
    for fuse in made(loop, n):
        fuse.set_handler(nothing)
        fuse.burn()
    turns(loop, 3)
    yield


@operation("fuses with a time made, and cancelled")
def fuses_cancelled(loop: Fate, n: int) -> Iterator[None]:
    yield
    fuses = [loop.get_fuse(60.0) for _ in range(n)]
    for fuse in fuses:
        fuse.cancel()
    yield


@operation("set_time of one fuse")
def fuse_moved(loop: Fate, n: int) -> Iterator[None]:
    fuse = loop.get_fuse()
    yield
    for place in range(n):
        fuse.set_time(loop.time() + 10 + place)
    yield


@operation("fate.check_fuses() with fuses that have burned")
def check_fuses(loop: Fate, n: int) -> Iterator[None]:
    fuses = made(loop, n)
    for fuse in fuses:
        fuse.burn()
        fuse.add_handler(nothing)
    yield
    loop.check_fuses()
    yield
    turns(loop, 2)


@operation("fate.fuses of so many")
def fuses_listed(loop: Fate, n: int) -> Iterator[None]:
    fuses = made(loop, n)
    yield
    assert len(loop.fuses) == n
    yield
    fuses.clear()


@operation("handlers of one fuse added, and called")
def handlers_called(loop: Fate, n: int) -> Iterator[None]:
    fuse = loop.get_fuse()
    yield
    for _ in range(n):
        fuse.add_handler(nothing)
    fuse.burn()
    turns(loop, 3)
    yield


def handlers_removed(order: str) -> Any:
    def work(loop: Fate, n: int) -> Iterator[None]:
        fuse = loop.get_fuse()
        handlers = [lambda: None for _ in range(n)]
        yield
        for handler in handlers:
            fuse.add_handler(handler)
        for handler in ordered(handlers, order):
            assert fuse.remove_handler(handler) == 1
        yield

    work.__name__ = f"handlers removed {order}".replace(" ", "_")
    return operation(f"handlers of one fuse added, and removed one by one, {order}")(work)


def awaited_and_cancelled(order: str) -> Any:
    def work(loop: Fate, n: int) -> Iterator[None]:
        fuse = loop.get_fuse()
        tasks = waiting(loop, [fuse] * n)
        yield
        cancel_in(order, loop, tasks)
        yield

    work.__name__ = f"awaiters cancelled {order}".replace(" ", "_")
    return operation(f"tasks that await one fuse cancelled, {order}")(work)


@operation("tasks await one fuse, which burns")
def awaiters_told(loop: Fate, n: int) -> Iterator[None]:
    fuse = loop.get_fuse()
    yield
    tasks = waiting(loop, [fuse] * n)
    fuse.burn(1)
    turns(loop, 3)
    assert all(task.result() == 1 for task in tasks)
    yield


def combined(symbol: str, combine: Any) -> None:
    """`a | b | c` and `a & b & c`, made and ended in all ways."""
    word = {"|": "any", "&": "all"}[symbol]

    def register(name: str, title: str, work: Any) -> None:
        work.__name__ = f"{word}_{name}"
        operation(title)(work)

    def left(loop: Fate, n: int) -> Iterator[None]:
        fuses = made(loop, n)
        yield
        whole = reduce(combine, fuses)
        assert len(whole.parts) == n
        yield

    register("left", f"a {symbol} b {symbol} c ..., from the left", left)

    def right(loop: Fate, n: int) -> Iterator[None]:
        fuses = made(loop, n)
        yield
        whole = reduce(lambda all_before, fuse: combine(fuse, all_before), fuses)
        assert len(whole.parts) == n
        yield

    register("right", f"a {symbol} (b {symbol} (c ..., from the right", right)

    def halves(loop: Fate, n: int) -> Iterator[None]:
        fuses = made(loop, n)
        yield
        while len(fuses) > 1:
            fuses = [reduce(combine, fuses[place : place + 2]) for place in range(0, len(fuses), 2)]
        assert len(fuses[0].parts) == n
        yield

    register("halves", f"(a {symbol} b) {symbol} (c {symbol} d) ..., in halves", halves)

    def all_kept(loop: Fate, n: int) -> Iterator[None]:
        fuses = made(loop, n)
        yield
        whole = fuses[0]
        wholes = []
        for fuse in fuses[1:]:
            whole = combine(whole, fuse)
            whole.add_handler(nothing)
            wholes.append(whole)
        for fuse in fuses:
            fuse.burn()
        turns(loop, 3)
        assert all(whole.is_over() for whole in wholes)
        yield

    register("kept", f"a {symbol} b {symbol} c ..., each step kept and waited for; all burn", all_kept)

    def of_burned(loop: Fate, n: int) -> Iterator[None]:
        fuses = made(loop, n)
        for fuse in fuses[n // 2 :]:
            fuse.burn()
        yield
        whole = reduce(combine, fuses)
        assert whole.is_burned() == (symbol == "|")
        yield

    register("half_burned", f"a {symbol} b {symbol} c ..., of which half have burned", of_burned)

    def of_all_burned(loop: Fate, n: int) -> Iterator[None]:
        fuses = made(loop, n)
        for fuse in fuses:
            fuse.burn()
        yield
        whole = reduce(combine, fuses)
        assert whole.is_burned()
        yield

    register("all_burned", f"a {symbol} b {symbol} c ..., all of which have burned", of_all_burned)

    for order in ORDERS:
        for end in ("burn", "cancel"):

            def ended(loop: Fate, n: int, order: str = order, end: str = end) -> Iterator[None]:
                fuses = made(loop, n)
                whole = reduce(combine, fuses)
                whole.add_handler(nothing)
                yield
                for fuse in ordered(fuses, order):
                    getattr(fuse, end)()
                turns(loop, 3)
                assert whole.is_over()
                yield

            register(
                f"{end}_{order.replace(' ', '_')}", f"a {symbol} b {symbol} c ...: each part's {end}(), {order}", ended
            )

    def against_one(loop: Fate, n: int) -> Iterator[None]:
        stop = loop.get_fuse()
        others = made(loop, n)
        tasks = waiting(loop, [combine(stop, other) for other in others])
        yield
        for other in others:
            other.burn()
        stop.burn()
        turns(loop, 3)
        assert all(task.done() for task in tasks)
        yield

    register("with_one", f"n tasks await stop {symbol} message, each its own message; all burn", against_one)

    for order in ORDERS:

        def cancelled(loop: Fate, n: int, order: str = order) -> Iterator[None]:
            stop = loop.get_fuse()
            tasks = waiting(loop, [combine(stop, other) for other in made(loop, n)])
            yield
            cancel_in(order, loop, tasks)
            yield

        register(
            f"with_one_cancelled_{order.replace(' ', '_')}",
            f"n tasks await stop {symbol} message, and are cancelled, {order}",
            cancelled,
        )

    def one_by_one(loop: Fate, n: int) -> Iterator[None]:
        stop = loop.get_fuse()

        async def main() -> None:
            for _ in range(n):
                message = loop.get_fuse()
                loop.call_soon(message.burn)
                if symbol == "&":
                    await message
                    combine(stop, message)
                else:
                    await combine(stop, message)

        yield
        loop.run_until_complete(main())
        yield

    register("again_and_again", f"stop {symbol} message made anew each time, by one task", one_by_one)

    def dropped(loop: Fate, n: int) -> Iterator[None]:
        fuses = made(loop, n)
        yield
        whole = reduce(combine, fuses)
        for _ in range(n):
            combine(whole, loop.get_fuse())
        yield

    register("forked", f"a {symbol} b {symbol} c ... with one more, and with another, each dropped", dropped)


@operation("compounds nested both ways: ((a & y) | x) & y ..., then x burns")
def nested_any_ends(loop: Fate, n: int) -> Iterator[None]:
    x, y = loop.get_fuse(), loop.get_fuse()
    yield
    outer: Fuse = x & y
    for _ in range(n):
        outer = (outer & y) | x
    x.burn()
    assert outer.is_over()
    yield


@operation("compounds nested both ways, then y burns and x")
def nested_all_ends(loop: Fate, n: int) -> Iterator[None]:
    x, y = loop.get_fuse(), loop.get_fuse()
    yield
    outer: Fuse = loop.get_fuse()
    inmost = outer
    for _ in range(n):
        outer = (outer & y) | x
    y.burn()
    inmost.burn()
    assert outer.is_over()
    yield


@operation("compounds nested both ways, dropped")
def nested_dropped(loop: Fate, n: int) -> Iterator[None]:
    x, y = loop.get_fuse(), loop.get_fuse()
    yield
    outer: Fuse = loop.get_fuse()
    for _ in range(n):
        outer = (outer & y) | x
    del outer
    yield


def on_one_descriptor(order: str) -> Any:
    def work(loop: Fate, n: int) -> Iterator[None]:
        ours, theirs = socket.socketpair()
        yield
        fuses = [loop.get_fuse(readable=ours) for _ in range(n)]
        for fuse in ordered(fuses, order)[1:]:
            fuse.cancel()
        yield
        for fuse in fuses:
            fuse.cancel()
        ours.close()
        theirs.close()

    work.__name__ = f"readable cancelled {order}".replace(" ", "_")
    return operation(f"fuses on one readable socket made, and cancelled, {order}")(work)


@operation("fuses on one readable socket, which becomes readable")
def readable_burned(loop: Fate, n: int) -> Iterator[None]:
    ours, theirs = socket.socketpair()
    yield
    fuses = [loop.get_fuse(readable=ours) for _ in range(n)]
    for fuse in fuses:
        fuse.set_handler(nothing)
    theirs.send(b"x")
    turns(loop, 3)
    assert fuses[-1].is_burned()
    yield
    ours.close()
    theirs.close()


@operation("fuses on one signal made, and cancelled")
def signal_cancelled(loop: Fate, n: int) -> Iterator[None]:
    yield
    fuses = [loop.get_fuse(signal=signal.SIGUSR1) for _ in range(n)]
    for fuse in reversed(fuses):
        fuse.cancel()
    yield


@operation("packet fuses at one address made, and cancelled", most=20_000)
def packets_cancelled(loop: Fate, n: int) -> Iterator[None]:
    first = loop.get_packet_fuse(("127.0.0.1", 0))
    yield
    fuses = [loop.get_packet_fuse(first.address) for _ in range(n)]
    for fuse in reversed(fuses):
        fuse.cancel()
    yield
    first.cancel()


@operation("packet fuses on one socket, burned by one datagram")
def packets_burned(loop: Fate, n: int) -> Iterator[None]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    yield
    fuses = [loop.get_packet_fuse(sock) for _ in range(n)]
    sock.sendto(b"x", sock.getsockname())
    while not fuses[-1].is_burned():
        turns(loop)
    yield
    sock.close()


@operation("packet fuses on one socket, each for a datagram of its own; all come", most=20_000)
def packets_matched(loop: Fate, n: int) -> Iterator[None]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    fuses = [loop.get_packet_fuse(sock, b"%d" % place) for place in range(n)]
    yield
    for place, fuse in enumerate(fuses):
        sock.sendto(b"%d" % place, sock.getsockname())
        while place % 64 == 63 and not fuse.is_burned():
            turns(loop)
    while not fuses[-1].is_burned():
        turns(loop)
    yield
    sock.close()


@operation("lines of one connection, each a packet fuse's", most=20_000)
def packet_lines(loop: Fate, n: int) -> Iterator[None]:
    ours, theirs = socket.socketpair()
    loop.call_soon(nothing)
    yield

    async def main() -> None:
        for _ in range(n):
            fuse = loop.get_packet_fuse(ours)
            theirs.send(b"a line\n")
            await fuse

    loop.run_until_complete(main())
    yield
    ours.close()
    theirs.close()


for each in ORDERS:
    handlers_removed(each)
    awaited_and_cancelled(each)
    on_one_descriptor(each)
combined("|", operator.or_)
combined("&", operator.and_)
