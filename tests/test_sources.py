"""What fuses wait for in the world: readable and writable descriptors, signals, child processes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from support import DEADLINE, Log, run_until, turns

from fate import Fate, Fuse
from fate.errors import SourceError

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    yield near, far
    near.close()
    far.close()


def wait(loop: Fate, fuse: Fuse) -> Any:
    """The value of `fuse`, once it has burned."""

    async def main() -> Any:
        async with asyncio.timeout(DEADLINE):
            return await fuse

    return loop.run_until_complete(main())


def child(source: str = "", **options: Any) -> subprocess.Popen[bytes]:
    """A Python that runs `source`."""
    return subprocess.Popen([sys.executable, "-I", "-S", "-c", source], **options)


def fill(sock: socket.socket) -> None:
    """Write until no more goes in."""
    with pytest.raises(BlockingIOError):
        while True:
            sock.send(b"x" * 65536)


# -- readable, writable -----------------------------------------------------------------------------------------------


def test_a_readable_fuse_burns_when_there_is_something_to_read_and_gives_what_it_was_given(
    loop: Fate, pair: Pair
) -> None:
    near, far = pair
    fuse = loop.get_fuse(readable=near)
    turns(loop, 3)
    assert not fuse.is_burned()
    far.send(b"hello")
    assert wait(loop, fuse) is near
    assert near.recv(10) == b"hello"


def test_a_descriptor_may_be_given_as_its_number(loop: Fate, pair: Pair) -> None:
    near, far = pair
    far.send(b"x")
    assert wait(loop, loop.get_fuse(readable=near.fileno())) == near.fileno()


def test_a_readable_fuse_burns_at_the_end_of_the_stream_too(loop: Fate, pair: Pair) -> None:
    near, far = pair
    fuse = loop.get_fuse(readable=near)
    far.close()
    assert wait(loop, fuse) is near
    assert near.recv(1) == b""


def test_a_writable_fuse_burns_when_there_is_room_again(loop: Fate, pair: Pair) -> None:
    near, far = pair
    fill(near)
    fuse = loop.get_fuse(writable=near)
    turns(loop, 3)
    assert not fuse.is_burned()
    with pytest.raises(BlockingIOError):
        while True:
            far.recv(1 << 20)
    assert wait(loop, fuse) is near


def test_pipes_can_be_waited_for(loop: Fate) -> None:
    reader, writer = os.pipe()
    with open(reader, "rb") as readable, open(writer, "wb", buffering=0) as writable:
        assert wait(loop, loop.get_fuse(writable=writable)) is writable
        fuse = loop.get_fuse(readable=readable)
        writable.write(b"x")
        assert wait(loop, fuse) is readable


def test_several_fuses_on_one_descriptor_all_burn_and_each_leaves_the_others_waiting(
    loop: Fate, pair: Pair, log: Log
) -> None:
    near, far = pair
    fuses = [loop.get_fuse(readable=near) for _ in range(3)]
    for number, fuse in enumerate(fuses):
        fuse.set_handler(log.note(number))
    fuses[0].cancel()
    far.send(b"x")
    run_until(loop, lambda: len(log) == 2)
    assert log == [1, 2]
    assert near.fileno() not in loop._poll.get_map()


def test_reading_and_writing_of_one_descriptor_are_two_things(loop: Fate, pair: Pair) -> None:
    near, far = pair
    readable, writable = loop.get_fuse(readable=near), loop.get_fuse(writable=near)
    assert wait(loop, readable | writable) is writable
    assert not readable.is_over()
    far.send(b"x")
    assert wait(loop, readable) is near


@pytest.mark.parametrize("end", [Fuse.cancel, Fuse.burn, lambda fuse: fuse.fail(ValueError())])
def test_a_fuse_that_is_over_lets_go_of_its_descriptor(loop: Fate, pair: Pair, end: Any) -> None:
    near, _ = pair
    fuse = loop.get_fuse(readable=near)
    assert near.fileno() in loop._poll.get_map()
    end(fuse)
    assert near.fileno() not in loop._poll.get_map()
    fuse._error_seen = True


def test_closing_the_loop_lets_go_of_everything(pair: Pair) -> None:
    near, _ = pair
    with child("input()", stdin=subprocess.PIPE) as process:
        before = signal.getsignal(signal.SIGUSR1)
        descriptors = len(os.listdir("/dev/fd"))
        loop = Fate()
        fuses = [
            loop.get_fuse(readable=near),
            loop.get_fuse(writable=near),
            loop.get_fuse(signal=signal.SIGUSR1),
            loop.get_fuse(process=process),
        ]
        loop.close()
        assert all(fuse.cancelled() for fuse in fuses)
        assert signal.getsignal(signal.SIGUSR1) == before
        assert len(os.listdir("/dev/fd")) == descriptors
        process.communicate()


def test_a_file_that_is_closed_already_is_an_error_and_leaves_no_fuse(loop: Fate, pair: Pair) -> None:
    near, _ = pair
    number = near.fileno()
    near.close()
    for source in (near, number):
        for kind in ("readable", "writable"):
            with pytest.raises(SourceError, match="cannot wait for"):
                loop.get_fuse(**{kind: source})
    assert loop.fuses == []


def test_a_file_closed_while_a_fuse_waited_fails_it_once_its_number_is_anothers(loop: Fate) -> None:
    near, far = socket.socketpair()
    number = near.fileno()
    old = loop.get_fuse(readable=near)
    near.close()
    other, peer = socket.socketpair()
    if other.fileno() != number:
        os.dup2(other.fileno(), number)
        other.close()
        other = socket.socket(fileno=number)
    fuse = loop.get_fuse(readable=other)
    assert isinstance(old.error, SourceError)
    assert "was closed" in str(old.error)
    peer.send(b"x")
    assert wait(loop, fuse) is other
    for sock in (other, peer, far):
        sock.close()


@pytest.mark.parametrize("source", [object(), "stdin", -1, True, 2**40, pytest.param(10**400, id="huge")])
@pytest.mark.parametrize("kind", ["readable", "writable"])
def test_what_is_no_descriptor_is_an_error(loop: Fate, kind: str, source: object) -> None:
    with pytest.raises(SourceError, match="cannot wait for"):
        loop.get_fuse(**{kind: source})
    assert loop.fuses == []
    turns(loop, 2)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kqueue waits for regular files")
def test_a_regular_file_is_always_ready_so_waiting_for_it_is_an_error(loop: Fate) -> None:
    with open(__file__, "rb") as file, pytest.raises(SourceError, match="a regular file is always ready"):
        loop.get_fuse(readable=file)


def test_somebody_elses_reader_or_writer_is_not_taken_away(loop: Fate, pair: Pair, log: Log) -> None:
    near, far = pair
    loop.add_reader(near, lambda: log.append(near.recv(10)))
    with pytest.raises(SourceError, match="somebody else reads from it"):
        loop.get_fuse(readable=near)
    far.send(b"mine")
    run_until(loop, lambda: log)
    assert log == [b"mine"]
    loop.remove_reader(near)
    fill(near)
    loop.add_writer(near, print)
    with pytest.raises(SourceError, match="somebody else writes to it"):
        loop.get_fuse(writable=near)
    loop.remove_writer(near)


def test_a_transports_socket_cannot_be_waited_for(loop: Fate, pair: Pair) -> None:
    near, _ = pair

    async def main() -> None:
        _, writer = await asyncio.open_connection(sock=near)
        with pytest.raises(SourceError, match="cannot wait"):
            loop.get_fuse(writable=near)
        writer.close()
        await writer.wait_closed()

    loop.run_until_complete(main())


# -- signals ----------------------------------------------------------------------------------------------------------


def test_a_signal_fuse_burns_with_the_number_and_gives_the_signal_back(loop: Fate) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    fuse = loop.get_fuse(signal=signal.SIGUSR1)
    loop.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
    assert wait(loop, fuse) == signal.SIGUSR1
    assert signal.getsignal(signal.SIGUSR1) == before


def test_several_fuses_on_one_signal_all_burn(loop: Fate, log: Log) -> None:
    for number in range(3):
        loop.get_fuse(signal=signal.SIGUSR1).set_handler(log.note(number))
    loop.call_soon(signal.raise_signal, signal.SIGUSR1)
    run_until(loop, lambda: len(log) == 3)
    assert log == [0, 1, 2]


def test_a_cancelled_signal_fuse_leaves_the_other_waiting(loop: Fate) -> None:
    one, other = loop.get_fuse(signal=signal.SIGUSR1), loop.get_fuse(signal=signal.SIGUSR1)
    one.cancel()
    loop.call_soon(signal.raise_signal, signal.SIGUSR1)
    assert wait(loop, other) == signal.SIGUSR1


def test_a_signal_that_has_a_handler_on_the_loop_is_an_error(loop: Fate) -> None:
    loop.add_signal_handler(signal.SIGUSR1, print)
    with pytest.raises(SourceError, match="has a handler on this loop already"):
        loop.get_fuse(signal=signal.SIGUSR1)
    assert loop.remove_signal_handler(signal.SIGUSR1)


@pytest.mark.parametrize("number", [0, -1, 10_000, signal.SIGKILL, signal.SIGSTOP, True, "SIGHUP", [1], 1.5])
def test_what_is_no_signal_or_cannot_be_caught_is_an_error(loop: Fate, number: Any) -> None:
    with pytest.raises(SourceError, match="cannot wait for signal"):
        loop.get_fuse(signal=number)
    assert loop.fuses == []
    turns(loop, 2)


def test_signals_come_to_the_main_thread_only(log: Log) -> None:
    def thread() -> None:
        other = Fate()
        with pytest.raises(SourceError, match="only the main thread gets signals") as caught:
            other.get_fuse(signal=signal.SIGUSR1)
        log.append(caught.type)
        other.close()

    worker = threading.Thread(target=thread)
    worker.start()
    worker.join()
    assert log == [SourceError]


# -- processes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 7])
def test_a_process_fuse_burns_with_the_exit_code_of_a_popen(loop: Fate, code: int) -> None:
    with child(f"raise SystemExit({code})") as process:
        assert wait(loop, loop.get_fuse(process=process)) == code
        assert process.returncode == code


def test_a_process_killed_by_a_signal_has_its_number_below_zero(loop: Fate) -> None:
    with child("input()", stdin=subprocess.PIPE) as process:
        fuse = loop.get_fuse(process=process)
        turns(loop, 2)
        assert not fuse.is_burned()
        process.kill()
        assert wait(loop, fuse) == -signal.SIGKILL


def test_a_process_may_be_given_by_its_id(loop: Fate) -> None:
    pid = os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", "-c", "raise SystemExit(5)"], {})
    assert wait(loop, loop.get_fuse(process=pid)) == 5
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # no zombie is left


def test_an_asyncio_process_can_be_waited_for_too(loop: Fate) -> None:
    async def main() -> tuple[object, int | None]:
        process = await asyncio.create_subprocess_exec(sys.executable, "-I", "-S", "-c", "raise SystemExit(3)")
        async with asyncio.timeout(DEADLINE):
            return await loop.get_fuse(process=process), process.returncode

    assert loop.run_until_complete(main()) == (3, 3)


def test_an_asyncio_process_of_another_loop_fails_the_fuse(loop: Fate) -> None:
    other = Fate()

    async def start() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", "-c", "input()", stdin=asyncio.subprocess.PIPE
        )

    process = other.run_until_complete(start())
    with pytest.raises(SourceError, match="cannot wait for"):
        wait(loop, loop.get_fuse(process=process))

    async def end() -> None:
        await process.communicate(b"\n")

    other.run_until_complete(end())
    other.close()


def test_several_fuses_on_one_process_all_burn(loop: Fate) -> None:
    with child("input()", stdin=subprocess.PIPE) as process:
        one, other = loop.get_fuse(process=process), loop.get_fuse(process=process)
        both = one & other
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.close()
        assert wait(loop, both) == (0, 0)


def test_a_popen_that_ended_and_was_waited_for_before_burns_at_once(loop: Fate) -> None:
    with child("raise SystemExit(4)") as process:
        process.wait()
        fuse = loop.get_fuse(process=process)
        assert wait(loop, fuse) == 4


def test_a_popen_that_ended_and_was_not_waited_for_burns_too(loop: Fate) -> None:
    with child("raise SystemExit(4)") as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert wait(loop, loop.get_fuse(process=process)) == 4


def test_a_cancelled_process_fuse_leaves_the_process_and_no_descriptor(loop: Fate) -> None:
    with child("input()", stdin=subprocess.PIPE) as process:
        before = os.listdir("/dev/fd")
        fuse = loop.get_fuse(process=process)
        fuse.cancel()
        assert os.listdir("/dev/fd") == before
        assert process.poll() is None
        process.communicate(b"\n")
        assert process.returncode == 0


def test_a_process_id_that_is_nobodys_is_an_error(loop: Fate) -> None:
    with child() as process:
        process.wait()
    with pytest.raises(SourceError, match=f"cannot wait for process {process.pid}"):
        loop.get_fuse(process=process.pid)
    assert loop.fuses == []


@pytest.mark.parametrize("source", [0, -1, True, "1", 2**40, pytest.param(10**400, id="huge"), object()])
def test_what_is_no_process_is_an_error(loop: Fate, source: Any) -> None:
    with pytest.raises(SourceError, match="cannot wait for process"):
        loop.get_fuse(process=source)
    assert loop.fuses == []
    turns(loop, 2)


# -- get_fuse ---------------------------------------------------------------------------------------------------------


def test_a_fuse_waits_for_one_thing(loop: Fate, pair: Pair) -> None:
    with pytest.raises(TypeError, match=r"one thing to wait for.*\| or &"):
        loop.get_fuse(1, readable=pair[0])
    with pytest.raises(TypeError, match=r"one thing to wait for.*\| or &"):
        loop.get_fuse(readable=pair[0], writable=pair[0])
    assert loop.fuses == []


def test_a_fuse_says_what_it_waits_for(loop: Fate, pair: Pair) -> None:
    near, _ = pair
    assert repr(loop.get_fuse(readable=near.fileno())) == f"<Fuse burning readable={near.fileno()}>"


@pytest.mark.parametrize("kind", ["popen", "number"])
def test_a_process_whose_exit_code_somebody_else_has_read_does_not_hold_the_loop(loop: Fate, kind: str) -> None:
    """Its number may be that of a child that runs."""
    popen = child("raise SystemExit(3)")
    fuse = loop.get_fuse(process=popen if kind == "popen" else popen.pid)
    os.waitpid(popen.pid, 0)
    assert wait(loop, fuse) is None
    popen.returncode = 3


def test_a_popen_that_was_asked_while_a_fuse_waits_has_its_code_still(loop: Fate) -> None:
    popen = child("raise SystemExit(3)")
    fuse = loop.get_fuse(process=popen)
    assert popen.wait() == 3
    assert wait(loop, fuse) == 3
