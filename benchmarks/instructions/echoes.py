"""The rows with connections: both ends in one process, the client in C (`load/counted.c`).

Each serves a number of connections, has each of them asked so many times, and counts all but the first times.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable, Coroutine
from typing import Any

from benchmarks.servers import BufferedEcho, DatagramEcho, Echo

CONNECTIONS, WARM, ROUNDS = 50, 4, 12
KIB = 1024

Count = Callable[[Callable[[], object], int], None]
"""Counts what a function executes, which does so many operations."""


class Client:
    """Asks many connections at once."""

    def __init__(self, library: Any) -> None:
        self.library = library

    def round(self, loop: AbstractEventLoop, sockets: list[socket.socket], size: int) -> None:
        """Ask each, have `loop` answer, take the answers."""
        fds = (ctypes.c_int * len(sockets))(*(sock.fileno() for sock in sockets))
        for wrong in (
            self.library.ask(fds, len(sockets), size),
            loop.run_forever(),
            self.library.take(fds, len(sockets), size),
        ):
            if wrong:
                raise OSError(wrong, os.strerror(wrong))


class Stops:
    """Stops the loop when so many bytes have been answered."""

    def __init__(self, loop: AbstractEventLoop, size: int) -> None:
        self.loop, self.size, self.left = loop, size, size

    def served(self, size: int) -> None:
        self.left -= size
        if self.left <= 0:
            self.left = self.size
            self.loop.stop()


def rounds(
    loop: AbstractEventLoop, client: Client, count: Count, sockets: list[socket.socket], size: int, times: int = ROUNDS
) -> None:
    def some(number: int) -> None:
        for _ in range(number):
            client.round(loop, sockets, size)

    some(WARM)
    count(lambda: some(times), times * len(sockets))
    for sock in sockets:
        sock.close()


def pairs(family: int, number: int = CONNECTIONS) -> tuple[list[socket.socket], list[socket.socket]]:
    """Connected stream sockets: the clients, and the server's."""
    if family == socket.AF_UNIX:
        both = [socket.socketpair() for _ in range(number)]
        return [ours for ours, _ in both], [theirs for _, theirs in both]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        clients, served = [], []
        for _ in range(number):
            clients.append(socket.create_connection(listener.getsockname()))
            served.append(listener.accept()[0])
    return clients, served


def protocols(made: Any, family: int, size: int, number: int = CONNECTIONS, times: int = ROUNDS) -> Any:
    """An echo by protocols."""

    def measure(factory: Callable[[], AbstractEventLoop], client: Client, count: Count) -> None:
        loop = factory()
        stops = Stops(loop, size * number)

        class Stopping(made):  # type: ignore[misc]
            def data_received(self, data: bytes) -> None:
                self.write(data)
                stops.served(len(data))

            def buffer_updated(self, nbytes: int) -> None:
                self.write(bytes(self.view[:nbytes]))
                stops.served(nbytes)

        ours, theirs = pairs(family, number)
        for sock in theirs:
            loop.run_until_complete(loop.connect_accepted_socket(Stopping, sock))
        rounds(loop, client, count, ours, size, times)
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()

    return measure


def tasks(serve: Callable[[AbstractEventLoop, socket.socket, Stops], Coroutine[Any, Any, None]]) -> Any:
    """An echo of 1 KiB by a task for each connection."""

    def measure(factory: Callable[[], AbstractEventLoop], client: Client, count: Count) -> None:
        loop = factory()
        stops = Stops(loop, KIB * CONNECTIONS)
        ours, theirs = pairs(socket.AF_INET)
        served = [loop.create_task(serve(loop, sock, stops)) for sock in theirs]
        loop.run_until_complete(asyncio.sleep(0))
        rounds(loop, client, count, ours, KIB)
        loop.run_until_complete(asyncio.wait(served))
        loop.close()

    return measure


async def by_streams(loop: AbstractEventLoop, sock: socket.socket, stops: Stops) -> None:
    reader, writer = await asyncio.open_connection(sock=sock)
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
        stops.served(len(data))
    writer.close()


async def by_sockets(loop: AbstractEventLoop, sock: socket.socket, stops: Stops) -> None:
    sock.setblocking(False)
    while data := await loop.sock_recv(sock, 1 << 20):
        await loop.sock_sendall(sock, data)
        stops.served(len(data))
    sock.close()


def datagrams(factory: Callable[[], AbstractEventLoop], client: Client, count: Count) -> None:
    loop = factory()
    stops = Stops(loop, KIB * CONNECTIONS)

    class Stopping(DatagramEcho):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.sendto(data, addr)
            stops.served(len(data))

    made = loop.create_datagram_endpoint(Stopping, local_addr=("127.0.0.1", 0))
    transport, _ = loop.run_until_complete(made)
    asking = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(CONNECTIONS)]
    for sock in asking:
        sock.connect(transport.get_extra_info("sockname"))
    rounds(loop, client, count, asking, KIB)
    transport.close()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def pipes(factory: Callable[[], AbstractEventLoop], client: Client, count: Count) -> None:
    """What a pipe brings is written to another."""
    loop = factory()
    messages = 400

    class Passing(asyncio.Protocol):
        left = 0

        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            writing.write(data)
            self.left -= 1
            if not self.left:
                loop.stop()
            os.read(out, KIB)
            os.write(into, bytes(KIB)) if self.left else None

    (read, into), (out, write) = os.pipe(), os.pipe()
    reading: Any
    _, reading = loop.run_until_complete(loop.connect_read_pipe(Passing, os.fdopen(read, "rb", 0)))
    writing: Any
    writing, _ = loop.run_until_complete(loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(write, "wb", 0)))

    def work() -> None:
        reading.left = messages
        os.write(into, bytes(KIB))
        loop.run_forever()

    work()
    count(work, messages)
    writing.close()
    reading.transport.close()
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    os.close(into)
    os.close(out)


def accepting(factory: Callable[[], AbstractEventLoop], client: Client, count: Count) -> None:
    """A connection is accepted, reads a KiB, answers, and is closed by the client."""
    loop = factory()
    number = 100

    class Counting(Echo):
        left = number

        def connection_lost(self, error: Exception | None) -> None:
            Counting.left -= 1
            if not Counting.left:
                Counting.left = number
                loop.stop()

    made: Any = loop.run_until_complete(loop.create_server(Counting, "127.0.0.1", 0))
    address = made.sockets[0].getsockname()

    def work() -> None:
        sockets = [socket.create_connection(address) for _ in range(number)]
        for sock in sockets:
            sock.send(bytes(KIB))
            sock.shutdown(socket.SHUT_WR)
        loop.run_forever()
        for sock in sockets:
            sock.close()

    work()
    count(work, number)
    made.close()
    loop.run_until_complete(made.wait_closed())
    loop.close()


ECHOES: dict[str, Callable[[Callable[[], AbstractEventLoop], Client, Count], None]] = {
    "echo-protocol": protocols(Echo, socket.AF_INET, KIB),
    "echo-protocol-unix": protocols(Echo, socket.AF_UNIX, KIB),
    "echo-protocol-10k": protocols(Echo, socket.AF_INET, 10 * KIB, 10),
    "echo-protocol-100k": protocols(Echo, socket.AF_INET, 100 * KIB, 4),
    "echo-buffered": protocols(BufferedEcho, socket.AF_INET, KIB),
    "echo-streams": tasks(by_streams),
    "echo-sock": tasks(by_sockets),
    "echo-udp": datagrams,
    "pipes-1k": pipes,
    "accept-echo-close": accepting,
}
