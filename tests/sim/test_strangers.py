"""Threads that are of no universe get the real world while one runs in another thread, and do not disturb it."""

from __future__ import annotations

import asyncio
import os
import queue
import random
import select
import selectors
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import uuid
import warnings

import pytest

import fate
from fate import sim
from fate.sim import world
from fate.sim.errors import UnsimulatedError


def connected():
    """A connection over the real loopback interface, in one thread."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname(), timeout=10)
        accepted, _ = server.accept()
    with client, accepted:
        client.sendall(b"hello")
        return accepted.recv(5), isinstance(client, socket.socket) and type(client).__module__


def pair(call):
    first, second = socket.socketpair()
    with first, second:
        assert type(first).__module__ == "socket"  # Python's own
        first.send(b"x")
        return call(second)


def polled(sock):
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return [events for _, events in poll.poll(5000)]


def selected(sock):
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return [events for _, events in selector.select(5)]


def locked():
    lock = threading.Lock()
    with lock:
        taken = lock.acquire(timeout=0.001)
    with threading.RLock(), threading.Condition():
        return taken, type(lock) is type(REAL_LOCK)


def waited():
    jobs: queue.Queue[int] = queue.Queue()
    other = threading.Thread(target=lambda: jobs.put(7))
    other.start()
    found = jobs.get(timeout=10)
    other.join()
    return found


def handler():
    return signal.getsignal(signal.SIGINT) is REAL_HANDLER


def loops():
    async def main():
        reader, writer = await asyncio.open_connection(sock=ours)
        ours_too.send(b"line\n")
        line = await reader.readline()
        writer.close()
        return line, world.current is not None

    ours, ours_too = socket.socketpair()
    with ours_too:
        return asyncio.run(main())


def fates():
    async def main():
        before = time.monotonic()
        await asyncio.sleep(0.01)
        return 0.009 < time.monotonic() - before < 60

    return fate.run(main())


def wrapped():
    context = ssl.create_default_context()
    with socket.socketpair()[0] as sock:
        wrapped = context.wrap_socket(sock, server_hostname="x", do_handshake_on_connect=False)
        return isinstance(wrapped, ssl.SSLSocket)


REAL_LOCK = threading.Lock()
REAL_HANDLER = signal.getsignal(signal.SIGINT)
CALLS = {
    "sockets": (connected, (b"hello", "socket")),
    "select": (lambda: pair(lambda sock: select.select([sock], [], [], 5)[0] == [sock]), True),
    "poll": (lambda: pair(polled), [select.POLLIN]),
    "selectors": (lambda: pair(selected), [selectors.EVENT_READ]),
    "names": (lambda: socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)[0][4], ("127.0.0.1", 80)),
    "host's name": (lambda: socket.gethostname() == os.uname().nodename, True),
    "wall clock": (lambda: abs(time.time() - os.stat(sys.executable).st_mtime) > 1 and time.time() > 1.7e9, True),
    "sleep": (lambda: [time.sleep(0.01), time.monotonic()][0], None),
    "locks": (locked, (False, True)),
    "queues and threads": (waited, 7),
    "children": (lambda: subprocess.run([sys.executable, "-c", ""], check=True).returncode, 0),
    "process": (lambda: os.getpid() == REAL_PID, True),
    "signals": (handler, True),
    "chance": (lambda: (random.random() < 1, len(os.urandom(4)), uuid.uuid1() != uuid.uuid1()), (True, 4, True)),
    "asyncio": (loops, (b"line\n", True)),
    "fate": (fates, True),
    "TLS": (wrapped, True),
    "files": (lambda: open(os.devnull).read(), ""),  # noqa: SIM115
}
REAL_PID = os.getpid()


class Stranger:
    """A thread that began before the universe, and does a call of the real world whenever it is asked."""

    def __init__(self, call):
        self.call = call
        self.asked, self.told = queue.SimpleQueue(), queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    def _work(self):
        while self.asked.get():
            try:
                self.told.put((self.call(), None))
            except BaseException as error:
                self.told.put((None, error))

    def end(self):
        self.asked.put(False)
        self.thread.join()


@pytest.fixture
def stranger():
    made = []

    def make(call):
        made.append(Stranger(call))
        return made[-1]

    yield make
    for each in made:
        each.end()


async def drawing():
    """A program whose outcome is its clock's and its chance's."""
    drawn = []
    for _ in range(5):
        await asyncio.sleep(random.random())
        drawn.append((time.time(), random.getrandbits(30), uuid.uuid4().hex))
    return drawn


@pytest.mark.parametrize(("call", "expected"), CALLS.values(), ids=CALLS)
def test_a_thread_of_the_real_world_gets_the_real_thing(stranger, call, expected):
    other = stranger(call)

    async def main():
        other.asked.put(True)
        while other.told.empty():  # this is the real world's, and it passes while nobody waits
            sum(range(1000))
        return await drawing()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        drawn = sim.run(main)
    value, error = other.told.get()
    if error is not None:
        raise error
    assert value == expected
    assert drawn == sim.run(drawing)


def test_what_a_stranger_drops_is_not_left_behind(stranger):
    def drop():
        socket.socketpair()

    other = stranger(drop)

    async def main():
        other.asked.put(True)
        while other.told.empty():
            sum(range(1000))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        assert sim.attempt(main).ok


def test_a_lock_that_a_stranger_holds_is_waited_for(stranger):
    lock, taken = threading.Lock(), threading.Event()

    def hold():
        with lock:
            taken.set()
            time.sleep(0.005)

    other = stranger(hold)

    async def main():
        other.asked.put(True)
        while not taken.is_set():
            sum(range(1000))
        before = time.monotonic()
        with lock:
            return time.monotonic() - before

    assert sim.run(main) == 0  # in virtual time


def test_a_thread_of_the_real_world_is_not_joined(stranger):
    other = stranger(int)

    async def main():
        other.thread.join()

    with pytest.raises(UnsimulatedError, match=r"join\(\) of <Thread.*, which began outside.*; start it inside"):
        sim.run(main)
