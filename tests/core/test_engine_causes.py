"""Every handle knows its cause: the handle that was running when it was made, or 0 for the world outside."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading

from support import run_until, turns

from fate import Fate, Handle, Record, Recorder
from fate.core.engine import Engine, Poll


def test_a_handle_made_outside_has_cause_0_and_one_made_in_a_callback_has_that_callbacks_id(loop: Fate) -> None:
    made: list[Handle] = []
    outer = loop.call_soon(lambda: made.extend([loop.call_soon(int), loop.call_later(9, int)]))
    assert outer.cause == 0
    turns(loop)
    assert [handle.cause for handle in made] == [outer.id, outer.id]
    assert len({outer.id, *(handle.id for handle in made)}) == 3
    loop._forget_all()


def test_between_runs_nothing_is_the_cause(loop: Fate) -> None:
    loop.call_soon(lambda: None)
    turns(loop)
    assert loop.call_soon(lambda: None).cause == 0


def test_after_an_interrupt_nothing_is_the_cause(loop: Fate) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    loop.call_soon(interrupt)
    try:
        loop.run_forever()
    except KeyboardInterrupt:
        pass
    assert loop.call_soon(lambda: None).cause == 0


def test_a_chain_of_causes_goes_through_calls_timers_and_tasks(loop: Fate) -> None:
    recorder = Recorder()
    loop.set_instrument(recorder)
    ids: list[int] = []

    async def child() -> None:
        await asyncio.sleep(0.001)
        ids.append(loop._current_id)
        loop.stop()

    def timer() -> None:
        ids.append(loop._current_id)
        loop.kept = loop.create_task(child())  # type: ignore[attr-defined]

    def start() -> None:
        ids.append(loop._current_id)
        loop.call_later(0.001, timer)

    loop.call_soon(start)
    loop.run_forever()
    chain = [record.id for record in recorder.chain(ids[-1])]
    assert chain[0] == ids[2]
    assert [id for id in chain if id in ids] == [ids[2], ids[1], ids[0]]
    assert recorder.chain(ids[-1])[-1].cause == 0


def test_what_comes_from_the_world_has_cause_0_and_a_new_id_each_time(loop: Fate) -> None:
    recorder = Recorder()
    loop.set_instrument(recorder)
    near, far = socket.socketpair()
    got: list[bytes] = []

    def read() -> None:
        got.append(near.recv(1))
        if len(got) == 2:
            loop.stop()

    loop.call_soon(lambda: loop.add_reader(near, read))
    far.send(b"ab")
    loop.run_forever()
    reads = [record for record in recorder.records() if record.what.endswith("read")]
    assert [record.cause for record in reads] == [0, 0]
    assert reads[0].id != reads[1].id
    loop.remove_reader(near)
    near.close()
    far.close()


def test_what_a_descriptors_callback_schedules_has_its_present_id_as_cause(loop: Fate) -> None:
    near, far = socket.socketpair()
    causes: list[tuple[int, int]] = []

    def read() -> None:
        near.recv(1)
        causes.append((loop.call_soon(lambda: None).cause, loop._current_id))

    loop.add_reader(near, read)
    for _ in range(2):
        far.send(b"x")
        run_until(loop, lambda: len(causes) == _ + 1)
    assert [cause for cause, _ in causes] == [current for _, current in causes]
    assert causes[0] != causes[1]
    loop.remove_reader(near)
    near.close()
    far.close()


def test_another_thread_is_the_world_even_while_a_callback_runs(loop: Fate) -> None:
    made: list[Handle] = []

    def start() -> None:
        thread = threading.Thread(target=lambda: made.append(loop.call_soon_threadsafe(lambda: None)))
        thread.start()
        thread.join()
        made.append(loop.call_soon_threadsafe(lambda: None))

    outer = loop.call_soon(start)
    turns(loop)
    assert [handle.cause for handle in made] == [0, outer.id]


def test_a_signal_is_the_world(loop: Fate) -> None:
    seen: list[tuple[int, Handle]] = []
    recorder = Recorder()
    loop.set_instrument(recorder)
    loop.add_signal_handler(signal.SIGUSR1, lambda: (seen.append(loop.call_soon(lambda: None)), loop.stop()))
    loop.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
    loop.run_forever()
    loop.remove_signal_handler(signal.SIGUSR1)
    assert seen[0].cause != 0
    assert recorder.chain(seen[0].cause)[-1].what != "kill"


def test_the_chain_of_causes_reaches_the_exception_handler(loop: Fate, reports: list) -> None:
    loop.set_instrument(Recorder())

    def first() -> None:
        loop.call_soon(second)

    def second() -> None:
        loop.call_later(0, third)

    def third() -> None:
        raise ValueError("here")

    loop.call_soon(first)
    turns(loop, 4)
    (report,) = reports
    assert all(isinstance(record, Record) for record in report["causes"])
    assert [record.what.rpartition(".")[2] for record in report["causes"]] == ["third", "second", "first"]


def test_without_a_recorder_a_report_has_no_causes(loop: Fate, reports: list) -> None:
    loop.call_soon(lambda: 1 / 0)
    turns(loop)
    assert "causes" not in reports[0]


def test_a_handle_run_by_hand_inside_another_gives_the_cause_back(loop: Fate) -> None:
    made: list[Handle] = []

    def outer() -> None:
        inner._run()
        made.append(loop.call_soon(lambda: None))

    inner = loop.call_soon(lambda: made.append(loop.call_soon(lambda: None)))
    inner_id = inner.id
    handle = loop.call_soon(outer)
    loop._queue.remove(inner)
    turns(loop)
    assert [made[0].cause, made[1].cause] == [inner_id, handle.id]


def test_a_handle_keeps_its_id_when_another_thread_schedules_it_during_the_wait() -> None:
    ids: list[int] = []
    handles: list[Handle] = []

    class ThreadsPoll(Poll):
        def poll(self, timeout_ns: int, ready: list[Handle]) -> int:
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
            return 0

    class Woken(Engine):
        def _wake(self) -> None:
            pass

    def elsewhere() -> None:
        handles.append(engine.call_soon_threadsafe(lambda: None))
        ids.append(handles[0].id)

    engine = Woken(ThreadsPoll())
    engine.turn()
    assert [handle.id for handle in handles] == ids
