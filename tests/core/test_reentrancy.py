"""Callbacks that turn the loop themselves, or run handles by hand: nothing is lost, and nothing runs twice unasked."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fate import Fate
from fate.core.engine import Engine, Poll

COMPACT = 1024  # as in the engine: it shortens its queue when so many have run


@pytest.mark.parametrize("around", [3, 2 * COMPACT])
@pytest.mark.parametrize("how", ["run_turns", "turn", "full_turn", "_run_once"])
def test_a_callback_that_runs_turns_loses_and_repeats_nothing(loop: Fate, how: str, around: int) -> None:
    log: list[Any] = []

    def nested() -> None:
        log.append("nested")
        if how == "run_turns":
            loop.call_soon(loop.stop)
            loop.run_turns()
            loop._stopping = False
        else:
            for _ in range(3):
                loop.call_soon(lambda: None)
                getattr(loop, how)()
        log.append("back")
        loop.call_soon(loop.stop)

    for index in range(around):
        loop.call_soon(log.append, index)
    loop.call_soon(nested)
    for index in range(around, 2 * around):
        loop.call_soon(log.append, index)
    loop.run_forever()
    assert log == [*range(around), "nested", *range(around, 2 * around), "back"]


def test_turns_inside_turns_inside_turns(loop: Fate) -> None:
    log: list[int] = []

    def deeper(level: int) -> None:
        log.append(level)
        for _ in range(COMPACT // 4):
            loop.call_soon(log.append, -1)
        if level < 12:
            loop.call_soon(deeper, level + 1)
            loop._run_once()
        log.append(level)
        if level == 0:
            loop.call_soon(loop.call_soon, loop.stop)

    loop.call_soon(deeper, 0)
    loop.run_forever()
    assert [level for level in log if level >= 0] == [*range(13), *reversed(range(13))]
    assert log.count(-1) == 13 * (COMPACT // 4)


def test_the_cause_is_the_running_callback_also_after_a_turn_inside_it(loop: Fate) -> None:
    made = []

    def nested() -> None:
        loop.call_soon(lambda: None)
        loop._run_once()
        made.append(loop.call_soon(loop.stop))

    handle = loop.call_soon(nested)
    loop.run_forever()
    assert made[0].cause == handle.id


def test_what_was_written_leaves_before_a_turn_inside_the_callback_waits(loop: Fate) -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    heard = []

    async def main() -> None:
        transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, near)

        def ask() -> None:
            transport.write(b"question")
            loop.add_reader(far, lambda: heard.append(far.recv(100)))
            while not heard:
                loop._run_once()

        loop.call_soon(ask)
        loop.call_later(0.05, loop.stop)

    task = loop.create_task(main())
    with far:
        loop.run_forever()
        assert heard == [b"question"]
        assert task.done()
        loop.remove_reader(far)


# -- by hand ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["soon", "context", "timer"])
def test_a_handle_run_by_hand_runs_again_when_its_time_comes(loop: Fate, kind: str) -> None:
    log: list[str] = []
    if kind == "timer":
        handle = loop.call_later(0.001, log.append, kind)
    else:
        handle = loop.call_soon(log.append, kind, context=contextvars.copy_context() if kind == "context" else None)
    handle._run()
    assert log == [kind]
    loop.call_later(0.005, loop.stop)
    loop.run_forever()
    assert log == [kind, kind]
    handle._run()  # it is empty now
    assert log == [kind, kind]


def test_a_cancelled_handle_run_by_hand_does_nothing(loop: Fate, reports: list) -> None:
    log: list[int] = []
    for handle in (loop.call_soon(log.append, 1), loop.call_later(0, log.append, 2)):
        handle.cancel()
        handle._run()
    loop.call_later(0.005, loop.stop)
    loop.run_forever()
    assert not log and not reports


def test_a_handle_may_be_run_by_hand_by_an_earlier_one_of_its_turn(loop: Fate) -> None:
    log: list[int] = []
    later: list[Any] = []
    loop.call_soon(lambda: later[0]._run())
    later.append(loop.call_soon(log.append, 1))
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert log == [1, 1]


# -- what a poll of one's own puts into the queue ----------------------------------------------------------------------


class Odd(Poll):
    """Appends things that are no handles."""

    def __init__(self, things: list[Any]) -> None:
        self.things = things

    def poll(self, timeout_ns: int, ready: list[Any]) -> int:
        ready.extend(self.things)
        self.things = []
        return 1

    def remind(self) -> None:
        pass


@pytest.mark.parametrize("thing", [1, "text", object()])
def test_what_is_no_handle_is_an_error_and_not_run(thing: Any) -> None:
    engine = Engine(Odd([thing]))
    with pytest.raises((TypeError, AttributeError)):
        engine.turn()


def test_none_among_what_a_poll_tells_is_passed_over() -> None:
    log: list[int] = []
    engine = Engine(Odd([None, None]))
    engine.call_soon(log.append, 1)
    engine.full_turn()
    engine.full_turn()
    assert log == [1]


def test_a_queue_that_a_callback_shortens_is_no_catastrophe() -> None:
    queues: list[Any] = []

    class Thief(Odd):
        def poll(self, timeout_ns: int, ready: list[Any]) -> int:
            queues.append(ready)
            return 0

    engine = Engine(Thief([]))
    log: list[int] = []
    engine.call_soon(lambda: queues[0].clear())
    for index in range(10):
        engine.call_soon(log.append, index)
    engine.full_turn()
    assert log == []


# -- what programs see that turn a loop by hand, or watch it -----------------------------------------------------------


def test_handles_are_asyncios_to_isinstance(loop: Fate) -> None:
    soon, later = loop.call_soon(print), loop.call_later(5, print)
    assert isinstance(soon, asyncio.Handle) and not isinstance(soon, asyncio.TimerHandle)
    assert isinstance(later, asyncio.TimerHandle) and isinstance(later, asyncio.Handle)
    assert later.when() > loop.time()
    soon.cancel()
    later.cancel()
    assert soon.cancelled() and later.cancelled()


def test_what_waits_is_shown_as_asyncios_loops_show_it(loop: Fate) -> None:
    log: list[int] = []
    first, second = loop.call_soon(log.append, 1), loop.call_soon(log.append, 2)
    late, early = loop.call_later(9, log.append, 9), loop.call_later(5, log.append, 5)
    assert list(loop._ready) == [first, second] and len(loop._ready) == 2 and loop._ready
    assert list(loop._scheduled) == [early, late] and loop._scheduled[0] is early
    assert loop._ready.popleft() is first
    loop._ready.append(early)  # it does not wait for its time any more
    assert list(loop._ready) == [second, early] and list(loop._scheduled) == [late]
    loop._ready.append(asyncio.Handle(log.append, (3,), loop))
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert log == [2, 5, 3]
    assert not loop._ready


def test_whoever_replaces_the_method_that_runs_asyncios_handles_sees_fates(
    loop: Fate, monkeypatch: pytest.MonkeyPatch, reports: list
) -> None:
    seen: list[Any] = []
    plain = asyncio.Handle._run

    def watching(handle: Any) -> None:
        seen.append(handle._callback)
        plain(handle)

    def fails() -> None:
        raise LookupError

    log: list[int] = []
    monkeypatch.setattr(asyncio.Handle, "_run", watching)
    loop.call_soon(log.append, 1)
    loop.call_soon(fails)
    loop.call_later(0, loop.stop)
    loop.run_forever()
    assert log == [1] and len(seen) == 3 and fails in seen
    assert [type(report["exception"]) for report in reports] == [LookupError]
    monkeypatch.setattr(asyncio.Handle, "_run", plain)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert len(seen) == 3


def test_who_replaced_that_method_before_fate_was_imported_sees_fates_too() -> None:
    program = (
        "import asyncio\nseen = []\nplain = asyncio.Handle._run\n"
        "def watching(handle):\n    seen.append(1)\n    plain(handle)\n"
        "asyncio.Handle._run = watching\n"
        "import fate\nfate.run(asyncio.sleep(0))\nassert seen\n"
    )
    path = os.pathsep.join(sys.path)
    ended = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": path}, check=False)
    assert ended.returncode == 0


class Nested:
    """Runs a loop inside itself, as notebooks' tools do: it knows asyncio's loops from within, and turns it by hand."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop

    @contextmanager
    def run(self) -> Iterator[None]:
        before = self.loop._thread_id, asyncio._get_running_loop()
        self.loop._thread_id = threading.get_ident()
        asyncio._set_running_loop(self.loop)
        try:
            yield
        finally:
            self.loop._thread_id = before[0]
            asyncio._set_running_loop(before[1])

    def run_until_complete(self, main: Any) -> Any:
        with self.run():
            future = asyncio.ensure_future(main, loop=self.loop)
            while not future.done():
                self.turn()
            return future.result()

    def turn(self) -> None:
        loop = self.loop
        ready, scheduled = loop._ready, loop._scheduled
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)
        timeout = None
        if ready or loop._stopping:
            timeout = 0.0
        elif scheduled:
            timeout = min(max(scheduled[0]._when - loop.time(), 0), 86400)
        loop._process_events(loop._selector.select(timeout))
        while scheduled and scheduled[0]._when < loop.time() + loop._clock_resolution:
            ready.append(heapq.heappop(scheduled))
        for _ in range(len(ready)):
            if not ready:
                break
            handle = ready.popleft()
            if not handle._cancelled:
                task = asyncio.current_task(loop)
                if task is not None:
                    asyncio.tasks._leave_task(loop, task)  # type: ignore[attr-defined]
                try:
                    handle._run()
                finally:
                    if task is not None:
                        asyncio.tasks._enter_task(loop, task)  # type: ignore[attr-defined]


def test_a_loop_that_is_turned_by_hand_inside_a_task_loses_nothing(loop: Fate) -> None:
    nested = Nested(loop)
    log: list[Any] = []

    async def talk(number: int) -> bytes:
        near, far = socket.socketpair()
        with far:
            reader, writer = await asyncio.open_connection(sock=near)
            writer.write(b"to")
            await asyncio.sleep(0.002)
            assert far.recv(10) == b"to"
            far.send(b"%d" % number)
            got = await reader.read(10)
            writer.close()
            await writer.wait_closed()
        return got

    async def inner(depth: int) -> bytes:
        got = await talk(depth)
        return got + (nested.run_until_complete(inner(depth - 1)) if depth else b"")

    async def main() -> bytes:
        for index in range(20):
            loop.call_soon(log.append, index)
        loop.call_later(0.001, log.append, "timer")
        beside = asyncio.create_task(talk(9))
        assert nested.run_until_complete(inner(3)) == b"3210"
        assert asyncio.current_task() is task
        return await beside

    task = loop.create_task(main())
    assert loop.run_until_complete(task) == b"9"
    assert log == [*range(20), "timer"]
