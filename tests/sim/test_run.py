"""`fate.sim.run`: time, results, errors, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import datetime
import gc
import os
import queue
import random
import secrets
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
import warnings
import weakref
from functools import partial
from time import monotonic, sleep

import pytest

from fate import sim
from fate.sim import fresh, guard
from fate.sim.errors import (
    BlockedThreadError,
    HangError,
    NestedUniverseError,
    ScenarioError,
    StuckError,
    UnsimulatedError,
)
from fate.sim.generator import GENERATOR


async def nothing():
    return None


def test_it_returns_what_main_returns():
    async def main():
        await asyncio.sleep(0)
        return 42

    assert sim.run(main) == 42
    assert sim.run(partial(asyncio.sleep, 5, "late")) == "late"


def test_it_raises_what_main_raises():
    async def main():
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        sim.run(main)
    result = sim.attempt(main)
    assert isinstance(result.error, LookupError) and not result.ok
    assert [failure.kind for failure in result.failures] == ["exception"]


def test_a_month_of_sleep_costs_nothing():
    async def main():
        loop = asyncio.get_running_loop()
        before = (time.time(), monotonic(), time.perf_counter(), loop.time(), datetime.datetime.now())
        await asyncio.sleep(86400 * 20)
        after = (time.time(), monotonic(), time.perf_counter(), loop.time(), datetime.datetime.now())
        return [b - a for a, b in zip(before, after, strict=True)]

    real = time.perf_counter()
    *seconds, moments = sim.run(main)
    assert time.perf_counter() - real < 30
    assert seconds == pytest.approx([86400 * 20] * 4)
    assert moments == datetime.timedelta(days=20)


kept = [time.time]  # no name in a module's namespace


def test_every_clock_tells_the_same_time():
    async def main():
        sleep(1.5)  # by a name that was imported before
        return [
            kept[0](),
            time.time(),
            time.time_ns() / 1e9,
            time.clock_gettime(time.CLOCK_REALTIME),
            time.mktime(time.localtime()) + time.timezone + time.time() % 1,
            datetime.datetime.now(datetime.UTC).timestamp(),
            datetime.datetime.now().replace(tzinfo=datetime.UTC).timestamp(),
        ]

    first, *others = sim.run(main)
    assert others == pytest.approx([first] * 6)
    assert time.strftime("%Y", time.gmtime(first)) == "2026"


def test_outside_everything_is_real_again():
    names = (time.time, time.sleep, socket.socket, socket.getaddrinfo, os.urandom, threading.Lock, datetime.datetime)
    random.gauss(0, 1)  # which keeps half of what it has drawn
    state = random.getstate()
    sim.run(nothing)
    assert names == (
        time.time, time.sleep, socket.socket, socket.getaddrinfo, os.urandom, threading.Lock, datetime.datetime,
    )  # fmt: skip
    assert random.getstate() == state
    assert abs(time.time() - datetime.datetime.now().timestamp()) < 10
    real = socket.socket()
    assert type(real).__module__ == "socket"
    real.close()
    assert os.urandom(8) != os.urandom(8)


def test_the_state_of_random_is_put_back_where_its_memory_is_not_known(monkeypatch):
    monkeypatch.setattr(GENERATOR, "row_is_known", False)
    random.gauss(0, 1)
    state = random.getstate()
    first = sim.run(draw)
    assert random.getstate() == state
    monkeypatch.setattr(GENERATOR, "row_is_known", None)
    assert sim.run(draw) == first
    assert random.getstate() == state


def test_a_loop_has_all_that_asyncio_gives_to_its_loops_and_shares_none_of_it():
    loop = asyncio.SelectorEventLoop()
    names = set(vars(loop)) - {"_ssock", "_csock"}
    loop.close()

    async def main():
        own = asyncio.get_running_loop()
        return {name: getattr(own, name) for name in names}

    first, second = sim.run(main), sim.run(main)
    containers = {name for name in names if isinstance(first[name], (dict, set, list, weakref.WeakSet))}
    assert containers >= {"_asyncgens"}
    for name in containers - fresh.UNUSED:
        assert first[name] is not second[name]


def test_random_is_not_seeded_for_a_program_that_never_draws(monkeypatch):
    seeded = []
    monkeypatch.setattr(random, "seed", seeded.append)
    sim.run(nothing)
    assert not seeded
    sim.run(draw)
    assert len(seeded) == 1


@pytest.mark.parametrize("first", ["random()", "getstate()", "gauss(0, 1)", "Random().random()", "seed(3)"])
def test_random_goes_on_after_a_universe_whatever_was_used_first_in_it(first):
    async def main():
        eval(f"random.{first}")
        return random.random()

    random.gauss(0, 1)
    state = random.getstate()
    assert sim.run(main) == sim.run(main)
    assert random.getstate() == state


def test_a_state_that_is_set_first_is_the_universe_s_only():
    async def main():
        random.setstate(other)
        return random.random()

    other = random.Random(3).getstate()
    state = random.getstate()
    assert sim.run(main) == random.Random(3).random()
    assert random.getstate() == state


async def draw():
    return random.random(), random.gauss(0, 1)


def test_a_universe_leaves_nothing_to_the_collector():
    async def main():
        await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))
        first, second = socket.socketpair()
        with first, second:
            first.send(b"hello")

    def left() -> int:
        sim.run(main)
        return gc.collect()

    left()
    gc.disable()
    try:
        assert 0 in [left() for _ in range(3)]  # what else lives in this process may leave something meanwhile
    finally:
        gc.enable()


def test_outside_is_real_also_after_a_failure():
    async def main():
        import colorsys  # imported in the universe, perhaps for the first time

        assert colorsys
        raise ValueError

    with pytest.raises(ValueError):
        sim.run(main)
    assert sim.run(nothing) is None
    for end in socket.socketpair():
        assert type(end).__module__ == "socket"
        end.close()


def test_other_threads_of_the_process_keep_the_real_time():
    seen = []
    go, done = threading.Event(), threading.Event()

    def watch():
        go.wait()
        seen.append(time.time())
        done.set()

    thread = threading.Thread(target=watch)
    thread.start()

    async def main():
        go.set()
        while not done.is_set():  # the other thread is in the real world: it needs real time
            os.sched_yield()
        return time.time()

    inside = sim.run(main)
    thread.join()
    assert abs(seen[0] - time.time()) < 60
    assert abs(inside - seen[0]) > 3600


def test_chance_is_of_the_seed():
    async def main():
        return (
            random.random(), random.Random().random(), uuid.uuid4(), uuid.uuid1(), os.urandom(20), secrets.token_hex(),
            random.SystemRandom().random(),
        )  # fmt: skip

    assert sim.run(main, 1) == sim.run(main, 1)
    first, second = sim.run(main, 1), sim.run(main, 2)
    assert all(a != b for a, b in zip(first, second, strict=True) if not isinstance(a, uuid.UUID) or a.version == 4)


def test_sets_of_tasks_and_futures_have_one_order():
    async def main():
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(asyncio.sleep(n % 3), name=f"t{n}") for n in range(20)]
        futures = {loop.create_future(): n for n in range(20)}
        done, _ = await asyncio.wait(tasks)
        assert [task.get_name() for task in asyncio.all_tasks()] == ["main"]
        return [task.get_name() for task in done], [futures[future] for future in set(futures)]

    rubbish = [object() for _ in range(1000)]
    first = sim.run(main)
    rubbish += [asyncio.sleep for _ in range(7)]
    assert sim.run(main) == first


def test_tasks_are_named_by_the_universe():
    async def main():
        return asyncio.current_task().get_name(), asyncio.create_task(asyncio.sleep(0)).get_name()

    assert sim.run(main) == sim.run(main) == ("main", "Task-1")


def test_nothing_can_ever_happen():
    async def wait_for_ever():
        await asyncio.Event().wait()

    async def main():
        await asyncio.gather(wait_for_ever(), asyncio.create_task(wait_for_ever(), name="the other"))

    with pytest.raises(StuckError, match=r"task the other \(.*wait_for_ever\) at test_run.py:\d+, in Event.wait\(\)"):
        sim.run(main)
    assert sim.attempt(main).failures[0].kind == "stuck"


def test_a_program_that_goes_on_for_ever_hangs():
    async def main():
        while True:
            await asyncio.sleep(60)

    with pytest.raises(HangError, match=r"(?s)did not end within 3600 s.*test_run.py"):
        sim.Universe(limit=3600).run(main)


def test_a_program_that_looks_again_and_again_sees_time_pass():
    async def main():
        end = asyncio.get_running_loop().time() + 0.05
        while asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0)

    sim.run(main)


def test_a_program_that_never_waits_hangs_too():
    async def main():
        while True:
            await asyncio.sleep(0)

    with pytest.raises(HangError):
        sim.Universe(limit=0.05).run(main)


def test_finally_runs_when_the_universe_ends():
    ended = []

    async def other():
        try:
            await asyncio.sleep(1e6)
        finally:
            ended.append("other")

    async def numbers():
        try:
            yield 1
            yield 2
        finally:
            ended.append("generator")

    async def main():
        task = asyncio.create_task(other())
        async for _ in numbers():
            break
        await asyncio.sleep(0)
        assert not task.done()

    sim.run(main)
    assert sorted(ended) == ["generator", "other"]


@pytest.mark.parametrize("wrong", [len, lambda: 5, 7, None, "main"])
def test_what_is_not_an_async_function_is_refused(wrong):
    with pytest.raises(ScenarioError, match="async function"):
        sim.run(wrong)


def test_a_coroutine_is_refused_with_advice():
    with pytest.raises(ScenarioError, match=r"not run\(main\(\)\)"):
        sim.run(nothing())


@pytest.mark.parametrize("seed", [1.5, "7", None, True])
def test_a_seed_that_is_not_an_integer_is_refused(seed):
    with pytest.raises(ScenarioError, match="seed"):
        sim.run(nothing, seed)


def test_a_universe_inside_a_universe_is_refused():
    async def main():
        sim.run(nothing)

    with pytest.raises(NestedUniverseError, match="inside a universe"):
        sim.run(main)


def test_a_universe_runs_once():
    universe = sim.Universe()
    universe.run(nothing)
    with pytest.raises(ScenarioError, match="once"):
        universe.run(nothing)


def test_limits_and_allowances_that_make_no_sense_are_refused():
    with pytest.raises(ScenarioError, match="limit"):
        sim.Universe(limit=0)
    with pytest.raises(ScenarioError, match="failure 'rain'"):
        sim.Universe(allow=["rain"])


# Python's writers tell of themselves when they are dropped since 3.11.5, their transports always did.
UNCLOSED = "unclosed <StreamWriter " if hasattr(asyncio.StreamWriter, "__del__") else "unclosed transport <Selector"


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: subprocess.run(["true"]), r"subprocess.fork_exec"),
        (lambda: os.system("true"), r"os.system\(\)"),
        (lambda: os.fork(), r"os.fork\(\)"),
        (lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW), "SOCK_RAW|not permitted"),
        (lambda: asyncio.get_running_loop().add_reader(0, print), "real descriptor 0"),
    ],
)
def test_what_is_not_simulated_is_refused_by_name_and_place(call, name):
    async def main():
        call()

    with pytest.raises((UnsimulatedError, PermissionError), match=name) as caught:
        sim.run(main)
    if isinstance(caught.value, UnsimulatedError):
        assert "test_run.py:" in str(caught.value)


def test_children_of_asyncio_are_refused():
    async def main():
        await asyncio.create_subprocess_exec("true")

    with pytest.raises(UnsimulatedError, match="starting the program 'true' is not simulated"):
        sim.run(main)


def test_signal_handlers_are_kept_and_no_real_signal_comes():
    async def main():
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(15, print)
        return loop.remove_signal_handler(15), loop.remove_signal_handler(15)

    assert sim.run(main) == (True, False)


def test_what_reached_the_exception_handler_is_told():
    async def main():
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0.1)

    result = sim.attempt(main)
    assert [failure.kind for failure in result.failures] == ["report"]
    assert isinstance(result.failures[0].error, ZeroDivisionError)
    assert sim.attempt(main, allow="report").ok


def test_tasks_left_behind_are_told():
    async def main():
        task = asyncio.create_task(asyncio.sleep(1000), name="forgotten")
        await asyncio.sleep(0)
        assert not task.done()

    result = sim.attempt(main)
    assert [failure.kind for failure in result.failures] == ["leftover"]
    assert "forgotten" in result.failures[0].message


def test_a_broken_promise_ends_the_run():
    async def main():
        account["sum"] = 90
        await asyncio.sleep(1)

    account = {"sum": 100}
    universe = sim.Universe()
    universe.always(lambda: account["sum"] == 100, "no money is lost")
    result = universe.attempt(main)
    assert [failure.kind for failure in result.failures] == ["promise"]
    assert "no money is lost" in result.failures[0].message


def test_an_import_in_a_universe_leaves_python_as_it_was(tmp_path, monkeypatch):
    (tmp_path / "imported_inside.py").write_text("from threading import Lock, RLock\nfrom queue import SimpleQueue\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = threading.RLock, threading._RLock, queue._PySimpleQueue, queue.SimpleQueue, selectors.SelectSelector

    async def main():
        import imported_inside

        return imported_inside.Lock is not lock

    lock = threading.Lock
    assert sim.run(main)
    module = sys.modules.pop("imported_inside")
    assert (module.Lock, module.RLock, module.SimpleQueue) == (threading.Lock, threading.RLock, queue.SimpleQueue)
    now = threading.RLock, threading._RLock, queue._PySimpleQueue, queue.SimpleQueue, selectors.SelectSelector
    assert now == before and threading.Lock is lock


def test_a_reader_left_behind_is_told_and_what_listens_is_not():
    kept = []

    async def main():
        loop = asyncio.get_running_loop()
        kept.append(await asyncio.start_server(lambda *_: None, "127.0.0.1", 7))
        ours, theirs = socket.socketpair()
        kept.extend((ours, theirs))
        loop.add_reader(ours, print)

    result = sim.attempt(main)
    assert [failure.kind for failure in result.failures] == ["leftover"]
    assert result.leftovers == ["reader print()", f"socket {kept[2].fileno()} of a pair"]
    for each in kept:
        each.close()


async def leave(what):
    loop = asyncio.get_running_loop()
    if what == "task":
        loop.kept = loop.create_task(asyncio.Event().wait(), name="waits")
    elif what == "callback of a timer":
        loop.call_later(1000, compute_for_ever)
    elif what == "signal":
        loop.add_signal_handler(signal.SIGTERM, print)
    elif what == "dropped socket":
        socket.socketpair()
    elif what == "kept socket":
        KEPT.extend(socket.socketpair())
    elif what == "dropped transport":
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 7)
        reader, _ = await asyncio.open_connection("127.0.0.1", 7)
        await reader.read()
        server.close()
    elif what == "timer of the library":
        loop.call_later(1000, loop.stop)


KEPT = []


@pytest.mark.parametrize(
    ("what", "told", "name"),
    [
        ("task", "task waits (Event.wait) at ", "waits"),
        ("task", "task waits (Event.wait) at ", "Event.wait"),
        ("callback of a timer", "timer compute_for_ever() at ", "compute_for_ever"),
        ("signal", "handler of signal SIGTERM: print()", "SIGTERM"),
        ("dropped socket", "unclosed <fate.sim.sockets.SimSocket ", "unclosed"),
        ("kept socket", " of a pair", "socket"),
        ("dropped transport", UNCLOSED, "unclosed"),
    ],
)
def test_what_is_left_behind_is_told_and_can_be_allowed_by_name(what, told, name):
    def tried(allow):
        try:
            return sim.attempt(partial(leave, what), allow=allow)
        finally:
            for each in KEPT:
                each.close()
            KEPT.clear()

    [failure] = tried("leftover:another").failures
    assert failure.kind == "leftover" and told in failure.message
    assert tried(f"leftover:{name}").ok
    assert tried([f"leftover:{name[:2]}*"]).ok
    assert tried("leftover").ok


def test_a_timer_of_a_library_is_nobody_s_leftover():
    assert sim.attempt(partial(leave, "timer of the library")).ok


def test_failures_are_allowed_by_name():
    async def lookup():
        raise ExceptionGroup("both", [KeyError("a"), IndexError("b")])

    assert sim.attempt(lookup, allow="exception:LookupError").ok
    message = "ExceptionGroup: both (2 sub-exceptions): KeyError: 'a'; IndexError: b"
    assert sim.attempt(lookup).failures[0].message == message
    assert not sim.attempt(lookup, allow="exception:KeyError").ok
    assert sim.attempt(lookup, allow=("exception:KeyError", "exception:IndexError")).ok

    async def promising():
        sim.current().always(lambda: False, "no money is lost")
        await asyncio.sleep(1)

    assert not sim.attempt(promising, allow="promise:another").ok
    assert sim.attempt(promising, allow="promise:no money is lost").ok

    async def reporting():
        asyncio.get_running_loop().call_soon(compute, 0)
        await asyncio.sleep(1)

    def compute(number):
        return 1 / number

    assert not sim.attempt(reporting, allow="report:OSError").ok
    assert sim.attempt(reporting, allow="report:ZeroDivisionError").ok
    assert sim.attempt(reporting, allow="report:Exception in callback *compute*").ok


@pytest.mark.parametrize(
    ("allow", "told"),
    [
        ("leftovers", "there is no failure 'leftovers'; there are: exception, "),
        ("leftover:", "after 'leftover:' comes a name"),
        ("stuck:task", "a failure of the kind 'stuck' has no name"),
        (7, "what is allowed is text, such as 'leftover'"),
        ([7], "what is allowed is text"),
    ],
)
def test_what_is_allowed_is_a_kind_or_a_name(allow, told):
    with pytest.raises(ScenarioError, match=told):
        sim.Universe(allow=allow)


def compute_for_ever():
    while True:
        pass


def wait_for_the_real_world():
    ours, theirs = os.pipe()
    try:
        with open(ours, "rb", 0) as pipe:
            pipe.read(1)
    finally:
        os.close(theirs)


@pytest.mark.parametrize("block", [compute_for_ever, wait_for_the_real_world])
def test_a_program_that_blocks_for_real_is_interrupted_and_told_where(monkeypatch, block):
    monkeypatch.setattr(guard, "PATIENCE", 1.0)
    monkeypatch.setattr(guard, "PERIOD", 0.1)

    async def main():
        await asyncio.sleep(1)
        block()

    with pytest.raises(BlockedThreadError, match=rf"(?s)blocked its loop .*test_run.py.* in {block.__name__}"):
        sim.run(main)

    async def after():
        return await asyncio.sleep(1, "as before")

    assert sim.run(after) == "as before"


def test_a_limit_and_a_slow_way_are_finite_numbers():
    async def other():
        await asyncio.sleep(1)

    for limit in (float("inf"), float("nan"), 0, "1"):
        with pytest.raises(ScenarioError, match="limit"):
            sim.Universe(limit=limit)
    universe = sim.Universe()
    universe.host("a", other)
    for seconds in (-1, float("nan"), float("inf"), "1"):
        with pytest.raises(ScenarioError, match="slower"):
            universe.slow("main", "a", seconds)


def test_a_task_that_no_line_of_the_program_has_made_is_not_said_to_come_from_outside_the_universe():
    async def serve(reader, writer):
        try:
            await asyncio.Event().wait()
        finally:
            writer.close()

    async def main():
        async with await asyncio.start_server(serve, "127.0.0.1", 7):
            _, writer = await asyncio.open_connection("127.0.0.1", 7)
            try:
                await asyncio.Event().wait()
            finally:
                writer.close()

    message = sim.attempt(main).failures[0].message
    [line] = [line for line in message.splitlines() if "serve)" in line]
    assert "made at" not in line


def test_where_warnings_are_errors_what_was_dropped_is_left_behind_all_the_same():
    async def main():
        _, writer = await asyncio.open_connection(sock=socket.socketpair()[0])
        writer.transport.pause_reading()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = sim.attempt(main)
    assert [failure.kind for failure in result.failures] == ["leftover"]
    assert result.failures[0].message.count("unclosed <") == 2
