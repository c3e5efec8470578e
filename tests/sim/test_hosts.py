"""Hosts: addresses, clocks and loops of their own; crashes, restarts, pauses and partitions."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import time

import pytest

from fate import sim
from fate.sim.errors import HostError, ScenarioError, UniverseError, UnsimulatedError


async def echo():
    async def serve(reader, writer):
        try:
            while line := await reader.readline():
                writer.write(line)
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(serve, None, 7)
    await server.serve_forever()


async def ask(host, text=b"hello\n"):
    reader, writer = await asyncio.open_connection(host, 7)
    writer.write(text)
    try:
        return await reader.readline()
    finally:
        writer.close()


async def until_up(host):
    while True:
        try:
            return await ask(host)
        except OSError:
            await asyncio.sleep(0.1)


def world(main, *names, program=echo, seed=0, faults=None, allow=("leftover",)):
    universe = sim.Universe(seed, faults, allow=allow)
    for name in names:
        universe.host(name, program)
    return universe, universe.attempt(main)


def test_hosts_have_names_addresses_and_ports_of_their_own():
    async def main():
        await asyncio.sleep(0.1)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", 7)
        _, writer = await asyncio.open_connection("b", 7)
        addresses = writer.get_extra_info("sockname")[0], writer.get_extra_info("peername")[0]
        writer.close()
        return await ask("a"), await ask("b"), addresses, socket.gethostname()

    _, result = world(main, "a", "b")
    assert result.error is None
    assert result.value == (b"hello\n", b"hello\n", ("10.0.0.1", "10.0.0.3"), "main")


def test_a_message_takes_time_between_hosts_and_none_at_home():
    async def main():
        await until_up("a")
        before = asyncio.get_running_loop().time()
        await ask("a")
        return asyncio.get_running_loop().time() - before

    _, result = world(main, "a")
    assert result.value == pytest.approx(0.002)  # there and back for the connection, there and back for the line


def test_each_host_has_a_clock_of_its_own():
    seen = []

    async def program():
        seen.append((time.monotonic(), time.time(), socket.gethostname()))

    async def main():
        await asyncio.sleep(1)
        return time.monotonic()

    _, result = world(main, "a", "b", program=program)
    assert result.ok
    (first, wall, name), (second, same, other) = seen
    assert (name, other) == ("a", "b")
    assert wall == same
    assert len({first, second, result.value - 1}) == 3


def test_a_crash_is_seen_and_runs_no_finally():
    ended = []

    async def program():
        try:
            await echo()
        finally:
            ended.append(True)

    async def main():
        reader, writer = await wait_for_connection()
        writer.write(b"there?\n")
        assert await reader.readline() == b"there?\n"
        universe.hosts["a"].crash()
        assert await reader.read() == b""
        writer.close()
        with pytest.raises(OSError, match="Connect call failed"):
            await ask("a")
        assert not ended
        universe.hosts["a"].restart()
        return await until_up("a")

    async def wait_for_connection():
        await until_up("a")
        return await asyncio.open_connection("a", 7)

    universe = sim.Universe(allow="leftover")
    universe.host("a", program)
    assert universe.attempt(main).value == b"hello\n"


def test_a_host_ends_with_its_universe():
    async def main():
        await until_up("a")

    universe = sim.Universe()
    host = universe.host("a", echo)
    universe.run(main)
    for late in (host.crash, host.resume, lambda: host.signal(1)):
        with pytest.raises(HostError, match="the universe of this host has ended"):
            late()
    assert universe.now > 0


def test_nothing_of_a_crashed_host_runs_again_however_long_python_lives():
    ran, jobs = [], []

    @contextlib.contextmanager
    def within():
        try:
            yield
        finally:
            ran.append("context manager")

    async def numbers():
        try:
            yield 1
            await asyncio.sleep(1000)
        finally:
            ran.append("async generator")

    async def program():
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(within())
            try:
                with within():
                    async for _ in numbers():
                        jobs.append(asyncio.create_task(asyncio.to_thread(work)))
            finally:
                ran.append("finally")
                await asyncio.sleep(1)

    def work():
        time.sleep(5)
        ran.append("thread")

    async def main():
        await asyncio.sleep(1)
        sim.current().hosts["a"].crash()
        await asyncio.sleep(10)

    universe = sim.Universe()
    universe.host("a", program)
    assert universe.attempt(main).ok
    del universe
    jobs.clear()
    gc.collect()
    assert ran == []


def test_a_host_that_crashes_itself_does_no_other_turn():
    ran = []

    async def program():
        try:
            universe.hosts["a"].crash()
            ran.append("this turn")
            await asyncio.sleep(0)
            ran.append("another turn")
        finally:
            ran.append("finally")

    async def main():
        await asyncio.sleep(1)
        assert not universe.hosts["a"].up

    universe = sim.Universe()
    universe.host("a", program)
    assert universe.attempt(main).ok
    assert ran == ["this turn"]


def test_the_threads_of_a_paused_host_stand_still():
    def work():
        while True:
            time.sleep(1)
            times.append(time.time())

    async def program():
        await asyncio.to_thread(work)

    async def main():
        began = time.time()
        await asyncio.sleep(1.5)
        universe.hosts["a"].pause()
        await asyncio.sleep(10)
        universe.hosts["a"].resume()
        await asyncio.sleep(1)
        return began

    times = []
    universe = sim.Universe(allow="leftover")
    universe.host("a", program)
    began = universe.attempt(main).value
    assert [round(when - began, 3) for when in times] == [1, 11.5, 12.5]


def test_a_machine_without_power_is_silent_until_it_is_back():
    async def main():
        await until_up("a")
        reader, writer = await asyncio.open_connection("a", 7)
        universe.hosts["a"].crash(power=True)
        writer.write(b"lost\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readline(), 10)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask("a"), 3)
        universe.hosts["a"].restart()
        writer.write(b"who are you?\n")
        with pytest.raises(ConnectionResetError):
            await reader.readline()
        writer.close()
        return await until_up("a")

    universe = sim.Universe(allow="leftover")
    universe.host("a", echo)
    result = universe.attempt(main)
    assert result.error is None and result.value == b"hello\n"


def test_a_paused_host_answers_late():
    async def main():
        await until_up("a")
        host = sim.current().hosts["a"]
        host.pause()
        asyncio.get_running_loop().call_later(5, host.resume)
        before = asyncio.get_running_loop().time()
        await ask("a")
        return asyncio.get_running_loop().time() - before

    _, result = world(main, "a")
    assert 5 < result.value < 5.1


@pytest.mark.parametrize("both", [True, False])
def test_a_partition_holds_everything_until_it_heals(both):
    async def main():
        await until_up("a")
        universe = sim.current()
        universe.partition("a", "main", both)
        asyncio.get_running_loop().call_later(30, universe.heal, "a", "main", both)
        before = asyncio.get_running_loop().time()
        answer = await ask("a")
        return answer, asyncio.get_running_loop().time() - before

    _, result = world(main, "a")
    assert result.value[0] == b"hello\n" and 30 < result.value[1] < 31


def test_a_slow_link():
    async def main():
        await until_up("a")
        sim.current().slow("main", "a", 1)
        before = asyncio.get_running_loop().time()
        await ask("a")
        return asyncio.get_running_loop().time() - before

    assert 2 < world(main, "a")[1].value < 2.1


def test_an_error_on_a_host_fails_the_run():
    async def program():
        raise LookupError("no disk")

    async def main():
        await asyncio.sleep(1)

    _, result = world(main, "a", program=program)
    assert [(f.kind, f.host) for f in result.failures] == [("exception", "a")]
    assert "no disk" in result.failures[0].message


def test_a_host_may_be_added_while_the_universe_runs():
    async def main():
        sim.current().host("late", echo)
        return await until_up("late")

    assert world(main)[1].value == b"hello\n"


def test_faults_strike_hosts_and_the_same_seed_strikes_the_same():
    async def main():
        answers = []
        for n in range(30):
            try:
                answers.append(await asyncio.wait_for(ask("a", b"%d\n" % n), 2))
            except (OSError, TimeoutError) as error:
                answers.append(type(error).__name__)
                await asyncio.sleep(0.5)
        return answers

    faults = {"crash": 0.1, "partition": 0.1, "latency": 0.2}
    values = [world(main, "a", seed=seed, faults=faults, allow=("leftover", "report"))[1].value for seed in (1, 2, 1)]
    assert values[0] == values[2] != values[1]
    assert any(isinstance(value, str) for value in values[0])


def test_signals_are_played():
    got = []

    async def program():
        asyncio.get_running_loop().add_signal_handler(15, got.append, "term")
        await asyncio.sleep(100)

    async def main():
        await asyncio.sleep(1)
        sim.current().hosts["a"].signal(15)
        with pytest.raises(HostError, match="no handler"):
            sim.current().hosts["a"].signal(1)
        await asyncio.sleep(1)

    world(main, "a", program=program)
    assert got == ["term"]


def test_handlers_of_the_module_signal_are_the_hosts_own_and_no_real_signal_is_sent():
    got = []

    def note(number, frame):
        got.append((sim.current().world.host.name, signal.Signals(number).name))

    async def program():
        assert signal.signal(signal.SIGTERM, note) is signal.SIG_DFL
        await asyncio.sleep(100)

    async def main():
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.signal(signal.SIGUSR1, note) is signal.SIG_DFL
        await asyncio.sleep(1)
        os.kill(os.getpid(), signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        os.kill(os.getpid(), 0)
        with pytest.raises(HostError, match="SIGTERM"):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGCHLD)
        universe.hosts["a"].signal(signal.SIGTERM)
        await asyncio.sleep(1)
        assert got == [("main", "SIGUSR1"), ("main", "SIGUSR1"), ("a", "SIGTERM")]
        for refused in (
            lambda: os.kill(1, 0),
            lambda: os.killpg(0, 0),
            lambda: signal.alarm(1),
            lambda: signal.setitimer(signal.ITIMER_REAL, 1),
            lambda: signal.sigwait([signal.SIGTERM]),
        ):
            with pytest.raises(UnsimulatedError, match=r"not simulated .*test_hosts\.py"):
                refused()
        with pytest.raises(OSError, match="Invalid argument"):
            signal.signal(signal.SIGKILL, note)
        with pytest.raises(ValueError, match="out of range"):
            signal.signal(1000, note)
        with pytest.raises(TypeError, match="must be"):
            signal.signal(signal.SIGTERM, "no handler")
        with pytest.raises(ValueError, match="main thread"):
            await asyncio.to_thread(signal.signal, signal.SIGTERM, note)

    before = signal.getsignal(signal.SIGUSR1)
    universe = sim.Universe()
    universe.host("a", program)
    result = universe.attempt(main)
    assert result.error is None
    assert signal.getsignal(signal.SIGUSR1) is before


def test_what_makes_no_sense_is_refused():
    universe = sim.Universe()
    universe.host("a", echo)
    with pytest.raises(HostError, match="already"):
        universe.host("a", echo)
    with pytest.raises(HostError, match="already"):
        universe.host("localhost", echo)
    with pytest.raises(HostError, match="letters"):
        universe.host("a b", echo)
    with pytest.raises(ScenarioError):
        universe.host("b", print)
    with pytest.raises(HostError, match="no host 'c'"):
        universe.partition("a", "c")
    with pytest.raises(HostError, match="itself"):
        universe.partition("a", "a")
    with pytest.raises(HostError, match="test itself"):
        universe.main.crash()
    with pytest.raises(HostError, match="test itself"):
        universe.main.pause()
    with pytest.raises(HostError, match="is up"):
        universe.hosts["main"].up = True
        universe.main.restart()
    with pytest.raises(UniverseError, match="real world"):
        sim.current()


def test_what_makes_no_sense_is_refused_before_during_and_after():
    universe = sim.Universe()
    host = universe.host("b", nothing)
    for call in (lambda: host.signal(15), host.crash, host.pause, lambda: universe.crash("nobody")):
        with pytest.raises(HostError, match=r"is not up yet|there is no host 'nobody'"):
            call()

    async def main():
        for number in (0, "TERM", 999):
            with pytest.raises(HostError, match="a signal is a number"):
                host.signal(number)

    universe.run(main)
    for call in (
        lambda: universe.host("c", nothing),
        lambda: universe.partition("main", "b"),
        lambda: universe.always(lambda: True),
        lambda: universe.restart("b"),
    ):
        with pytest.raises(ScenarioError, match="this universe has ended"):
            call()


async def needing(argument):
    return argument


async def nothing():
    return None


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: sim.run(needing), "without arguments, .*missing a required argument: 'argument'"),
        (lambda: sim.Universe().program("git", nothing), "async function of one argument"),
        (lambda: sim.Universe().always(nothing), "a promise is a function .* that is not async"),
        (lambda: sim.Universe(steps="many"), "the steps are a whole number"),
    ],
)
def test_functions_that_cannot_be_called_so_are_refused(call, told):
    with pytest.raises(ScenarioError, match=told):
        call()
