"""The process that storms the server: plain blocking sockets in threads, no event loop, so that it errs on its own.

Run by ``soak.py``: holds many connections and asks each now and then; opens, fills, resets, half-closes and forgets
others. Every byte that comes back is compared. Prints counts and failures as JSON.
"""

import argparse
import collections
import json
import random
import resource
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from pattern import POUR, pattern

TIMEOUT = 60.0
RESET = struct.pack("ii", 1, 0)
MOST_FAILURES = 20
NEVER_READ = 40


class Wrong(Exception):
    """The server did what it must not."""


class Storm:
    """What all workers share: addresses, the end, counts and failures."""

    def __init__(self, addresses: dict[str, Any], seconds: float, connections: int, seed: int) -> None:
        self.addresses = addresses
        self.connections = connections
        self.seed = seed
        self.end = time.monotonic() + seconds
        self.counts: collections.Counter[str] = collections.Counter()
        self.failures: list[str] = []
        self.lock = threading.Lock()

    def going_on(self) -> bool:
        return time.monotonic() < self.end and not self.failures

    def count(self, **more: int) -> None:
        with self.lock:
            self.counts.update(more)

    def connect(self, name: str) -> socket.socket:
        address = self.addresses[name]
        if isinstance(address, str):
            sock = socket.socket(socket.AF_UNIX)
            address_of: Any = address
        else:
            sock = socket.socket()
            address_of = tuple(address)
        sock.settimeout(TIMEOUT)
        sock.connect(address_of)
        self.count(connections=1)
        return sock

    def run(self, work: Callable[["Storm", random.Random], None], number: int) -> None:
        try:
            work(self, random.Random(f"{self.seed} {work.__name__} {number}"))
        except Exception:
            with self.lock:
                self.failures.append(f"{work.__name__}: {traceback.format_exc(limit=-3)}")


def exactly(sock: socket.socket, count: int) -> bytes:
    parts = []
    while count:
        data = sock.recv(count)
        if not data:
            raise Wrong(f"the connection ended {count} bytes early")
        parts.append(data)
        count -= len(data)
    return b"".join(parts)


def until_end(sock: socket.socket) -> bytes:
    parts = []
    while data := sock.recv(1 << 16):
        parts.append(data)
    return b"".join(parts)


def same(found: bytes, expected: bytes) -> None:
    if found != expected:
        at = next((i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), "the end")
        raise Wrong(f"{len(found)} bytes came back for {len(expected)}, different from byte {at} on")


def some_bytes(chance: random.Random, most: int) -> bytes:
    return chance.randbytes(int(most ** chance.random()) + 1)


def echo(storm: Storm, sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)
    same(exactly(sock, len(data)), data)
    storm.count(bytes=len(data), messages=1)


def hold(storm: Storm, chance: random.Random) -> None:
    """Many connections, all open until the end, each asked now and then and at the last."""
    held = [storm.connect(chance.choice(("echo", "streams", "unix"))) for _ in range(storm.connections)]
    storm.count(held=len(held))
    while storm.going_on():
        echo(storm, chance.choice(held), some_bytes(chance, 4096))
    for sock in held:
        echo(storm, sock, some_bytes(chance, 64))
        sock.close()


def come_and_go(storm: Storm, chance: random.Random) -> None:
    """Connections by the dozen, ended in every way there is."""
    while storm.going_on():
        for sock in [storm.connect(chance.choice(("echo", "streams", "unix"))) for _ in range(chance.randint(1, 40))]:
            with sock:
                data = some_bytes(chance, 100_000)
                way = chance.choice(("close", "half-close", "reset", "at once", "unread"))
                if way == "close":
                    echo(storm, sock, data)
                elif way == "half-close":
                    feeder = threading.Thread(target=send_and_shut, args=(sock, data))
                    feeder.start()
                    same(until_end(sock), data)
                    feeder.join()
                    storm.count(bytes=len(data), messages=1)
                elif way == "reset":
                    sock.sendall(data[:20_000])
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                elif way == "unread":
                    sock.sendall(data[:20_000])
                storm.count(**{way.replace("-", "_").replace(" ", "_"): 1})


def send_and_shut(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def read_slowly(storm: Storm, chance: random.Random) -> None:
    while storm.going_on():
        with storm.connect("pour") as sock:
            at = 0
            while data := sock.recv(chance.choice((100, 5_000, 200_000))):
                same(data, pattern(at, len(data)))
                at += len(data)
                if chance.random() < 0.05 and storm.going_on():
                    time.sleep(0.01)  # what makes the reader slow
            if at != POUR:
                raise Wrong(f"{at} of {POUR} bytes were poured")
            storm.count(bytes=at, poured=1)


def never_read(storm: Storm, chance: random.Random) -> None:
    """Peers that let the server write into the void, and then vanish."""
    void: collections.deque[socket.socket] = collections.deque()
    while storm.going_on():
        void.append(storm.connect("pour"))
        if len(void) > NEVER_READ:
            sock = void.popleft()
            if chance.random() < 0.5:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.close()
        storm.count(never_read=1)
        time.sleep(0.02)
    for sock in void:
        sock.close()


def provoke(storm: Storm, chance: random.Random) -> None:
    """Clients of the service that raises; the end of the connection is all that they may wait for."""
    while storm.going_on():
        with storm.connect("faulty") as sock:
            try:
                sock.sendall(bytes([chance.randrange(4)]) + some_bytes(chance, 1000))
                if chance.random() < 0.8:
                    sock.shutdown(socket.SHUT_WR)
                    until_end(sock)
            except ConnectionError:
                pass
        storm.count(provoked=1)


def datagrams(storm: Storm, chance: random.Random) -> None:
    """One at a time; the kernel may drop one, but not change it."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect(tuple(storm.addresses["datagrams"]))
        sock.settimeout(1)
        while storm.going_on():
            data = some_bytes(chance, 9000)
            sock.send(data)
            try:
                while (found := sock.recv(1 << 16)) != data:
                    if len(found) > 9001:
                        raise Wrong(f"a datagram of {len(found)} bytes")
                storm.count(datagrams=1, bytes=len(data))
            except TimeoutError:
                storm.count(datagrams_lost=1)


WORKERS = ((hold, 1), (come_and_go, 3), (read_slowly, 2), (never_read, 1), (provoke, 1), (datagrams, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description="The process that storms the server; see soak.py.")
    parser.add_argument("--addresses", type=json.loads, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sys.setswitchinterval(0.001)
    storm = Storm(options.addresses, options.seconds, options.connections, options.seed)
    threads = [
        threading.Thread(target=storm.run, args=(work, number)) for work, times in WORKERS for number in range(times)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"counts": dict(storm.counts), "failures": storm.failures[:MOST_FAILURES]}))


if __name__ == "__main__":
    main()
