"""What a universe does not simulate is refused, with the call and its place, and never passed through in silence."""

from __future__ import annotations

import _socket
import array
import asyncio
import datetime
import fcntl
import io
import multiprocessing
import os
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import termios
import threading
import time

import pytest

import fate
from fate import sim
from fate.sim.errors import UnsimulatedError


def pair_and(call):
    """A call with the two ends of a socket pair."""

    def do():
        ours, theirs = socket.socketpair()
        with ours, theirs:
            return call(ours, theirs)

    return do


OUTSIDE = socket.socketpair()  # of the real world
BARE = _socket.socket()  # of the real world, and not of Python's class
PIPE = os.pipe()


def teardown_module():
    for each in (*OUTSIDE, BARE):
        each.close()
    for fd in PIPE:
        os.close(fd)


REFUSED = {
    "recv of a real socket": lambda: OUTSIDE[0].recv(1),
    "recv_into of a real socket": lambda: OUTSIDE[0].recv_into(bytearray(1)),
    "send on a real socket": lambda: OUTSIDE[0].send(b"x"),
    "sendall on a real socket": lambda: OUTSIDE[0].sendall(b"x"),
    "shutdown of a real socket": lambda: OUTSIDE[0].shutdown(socket.SHUT_WR),
    "os.read of a real socket": lambda: os.read(OUTSIDE[0].fileno(), 1),
    "os.write to a real socket": lambda: os.write(OUTSIDE[0].fileno(), b"x"),
    "os.read of an empty pipe": lambda: os.read(PIPE[0], 1),
    "open() of a socket": pair_and(lambda a, b: open(a.fileno(), closefd=False)),  # noqa: SIM115
    "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
    "multipath TCP": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262),
    "sequenced packets": lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET),
    "descriptors in messages": pair_and(
        lambda a, b: a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", 0))])
    ),
    "urgent data": pair_and(lambda a, b: a.send(b"x", socket.MSG_OOB)),
    "a flag of recv": pair_and(lambda a, b: a.recv(1, socket.MSG_TRUNC)),
    "os.writev": pair_and(lambda a, b: os.writev(a.fileno(), [b"x"])),
    "os.readv": pair_and(lambda a, b: os.readv(a.fileno(), [bytearray(1)])),
    "os.sendfile": pair_and(lambda a, b: os.sendfile(a.fileno(), 0, 0, 1)),
    "FIONREAD": pair_and(lambda a, b: fcntl.ioctl(a.fileno(), termios.FIONREAD, array.array("i", [0]))),
    "TLS on a real socket": lambda: ssl.create_default_context().wrap_socket(OUTSIDE[0], server_hostname="x"),
    "fromfd of a file": lambda: socket.fromfd(0, socket.AF_INET, socket.SOCK_STREAM),
    "select.epoll": lambda: select.epoll(),
    "os._exit": lambda: os._exit(0),
    "select of a real descriptor": lambda: select.select([0], [], [], 0),
    "signal.alarm": lambda: signal.alarm(1),
    "signal.pthread_sigmask": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, []),
    "signal.set_wakeup_fd": lambda: signal.set_wakeup_fd(-1),
    "time.clock_settime": lambda: time.clock_settime(time.CLOCK_REALTIME, 1.0),
    "socket.sethostname": lambda: socket.sethostname(b""),
    "socket.if_nameindex": lambda: socket.if_nameindex(),
    "signal.setitimer": lambda: signal.setitimer(signal.ITIMER_REAL, 1),
    "os.kill of another process": lambda: os.kill(1, signal.SIGTERM),
    "os.fork": lambda: os.fork(),
    "os.system": lambda: os.system("true"),
    "subprocess": lambda: subprocess.run(["true"], check=False),
    "multiprocessing": lambda: multiprocessing.get_context("spawn").Process(target=print).start(),
    "locks between processes": lambda: multiprocessing.get_context("spawn").Lock(),
}


if fate.compiled:  # uncompiled, nothing can come between
    REFUSED["connect of a bare socket"] = lambda: BARE.connect(("127.0.0.1", 1))
    REFUSED["bind of a bare socket"] = lambda: BARE.bind(("127.0.0.1", 0))


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_refused(call):
    async def main():
        call()

    with pytest.raises(
        UnsimulatedError, match=r"is not simulated in a universe \(called at .*test_refused\.py:\d+\); "
    ):
        sim.run(main)


def test_a_descriptor_is_its_socket():
    async def main():
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        number = ours.detach()
        assert os.write(number, b"hello") == 5
        assert os.read(theirs.fileno(), 3) == b"hel"
        twin = os.dup(number)
        os.close(number)
        again = socket.socket(fileno=twin)
        again.send(b"!")
        assert theirs.recv(10) == b"lo!"
        with pytest.raises(BlockingIOError):
            os.read(theirs.fileno(), 1)
        again.close()
        with theirs:
            return theirs.recv(10)

    assert sim.run(main) == b""


def test_os_closerange_closes_sockets():
    async def main():
        ours, theirs = socket.socketpair()
        number = ours.detach()
        os.closerange(number, number + 1)
        with theirs:
            return theirs.recv(1)

    assert sim.run(main) == b""


def test_a_pipe_is_read_while_nobody_waits():
    async def main():
        os.write(PIPE[1], b"there")
        return os.read(PIPE[0], 10)

    assert sim.run(main) == b"there"


def test_the_terminal_is_not_asked(monkeypatch):
    monkeypatch.setattr("sys.stdin", sys.__stdin__)

    async def main():
        return await asyncio.to_thread(input)

    with pytest.raises(UnsimulatedError, match=r"input\(\) from the terminal is not simulated"):
        sim.run(main)


def test_what_a_program_puts_in_place_of_stdin_is_read(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("a line\n"))

    async def main():
        return input()

    assert sim.run(main) == "a line"


def test_processes_have_numbers_of_their_own():
    async def main():
        async def there():
            numbers.append((os.getpid(), os.getppid()))

        numbers = [(os.getpid(), os.getppid())]
        host = sim.current().host("b", there)
        await asyncio.sleep(1)
        host.crash()
        host.restart()
        await asyncio.sleep(1)
        return numbers

    numbers = sim.run(main)
    assert numbers == sim.run(main)
    assert len(set(numbers)) == 3
    assert all(pid > 1 << 22 and parent == 1 for pid, parent in numbers)  # more than any process of Linux has


def test_signals_go_to_the_process_itself_alone():
    async def main():
        got = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, got.set)
        os.kill(os.getpid(), signal.SIGTERM)
        await got.wait()
        with pytest.raises(ProcessLookupError):
            os.kill(os.getpid() + 1, signal.SIGTERM)

    sim.run(main)


def test_local_time_is_utc_wherever_the_machine_is(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:

        async def main():
            now = datetime.datetime.now()
            assert datetime.datetime.fromtimestamp(time.time()) == now
            assert time.mktime(now.timetuple()) == time.time()
            return now.astimezone().tzname()

        assert sim.run(main) == "UTC"
        assert os.environ["TZ"] == "Asia/Tokyo"
        assert time.localtime(0).tm_hour == 9
    finally:
        monkeypatch.undo()
        time.tzset()


def test_tls_s_random_bytes_are_the_universe_s():
    async def main():
        return ssl.RAND_bytes(20), os.times().elapsed

    assert sim.run(main) == sim.run(main)


def test_a_fate_of_a_thread_is_in_the_universe():
    async def inner():
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            threading.Timer(7.0, theirs.send, [b"late"]).start()
            return await asyncio.get_running_loop().sock_recv(ours, 10), time.monotonic()

    async def main():
        before = time.monotonic()
        data, after = await asyncio.to_thread(fate.run, inner())
        return data, after - before

    assert sim.run(main) == (b"late", 7.0)


def test_what_waits_for_ever_tells_where():
    async def main():
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()

    with pytest.raises(sim.UniverseError, match=r"can never happen \(called at .*test_refused\.py:\d+\)"):
        sim.run(main)
