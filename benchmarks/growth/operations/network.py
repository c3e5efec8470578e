"""Streams, pipes, datagrams, `sock_*`, and who watches descriptors."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import ssl
from collections.abc import Iterator
from typing import Any

from benchmarks.growth.operations.common import ORDERS, nothing, ordered, turns
from benchmarks.growth.registry import operation
from benchmarks.jobs import certificate, server_context
from fate import Fate

_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_hard, _hard))
PAIRS = 10_000 if _hard == resource.RLIM_INFINITY else max(16, min(10_000, (_hard - 100) // 2))


class Sink(asyncio.Protocol):
    """Counts what comes."""

    def __init__(self) -> None:
        self.count = 0
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.count += len(data)


def stream(loop: Fate) -> tuple[Any, socket.socket, Sink]:
    """A stream transport, its peer's socket and its protocol."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    transport, protocol = loop.run_until_complete(loop.create_connection(Sink, sock=ours))
    return transport, theirs, protocol


def read_all(loop: Fate, fd: int, size: int) -> None:
    """Read `size` bytes from a descriptor, while the loop turns."""
    left = size

    def read() -> None:
        nonlocal left
        left -= len(os.read(fd, 65536))
        if left <= 0:
            loop.remove_reader(fd)
            loop.stop()

    loop.add_reader(fd, read)
    loop.run_forever()


def close(loop: Fate, *things: Any) -> None:
    for thing in things:
        thing.close()
    turns(loop, 3)


@operation("tiny writes to a peer that does not read, then it does")
def stream_tiny_writes(loop: Fate, n: int) -> Iterator[None]:
    transport, peer, _ = stream(loop)
    transport.write(bytes(1 << 20))
    yield
    for _ in range(n):
        transport.write(b"x")
    read_all(loop, peer.fileno(), (1 << 20) + n)
    yield
    close(loop, transport, peer)


@operation("writes to a peer that does not read, one for each read of its own")
def stream_write_and_read(loop: Fate, n: int) -> Iterator[None]:
    transport, peer, _ = stream(loop)
    for _ in range(n):
        transport.write(b"x" * 100)
    left = n * 100

    def read() -> None:
        nonlocal left
        left -= len(peer.recv(100))
        if left > 0:
            loop.call_soon(read)
        else:
            loop.stop()

    yield
    loop.call_soon(read)
    loop.add_reader(peer.fileno(), nothing)
    loop.run_forever()
    yield
    loop.remove_reader(peer.fileno())
    close(loop, transport, peer)


@operation("tiny writes to a peer that does not read, then abort")
def stream_abort(loop: Fate, n: int) -> Iterator[None]:
    transport, peer, _ = stream(loop)
    transport.write(bytes(1 << 20))
    yield
    for _ in range(n):
        transport.write(b"x")
    transport.abort()
    turns(loop, 2)
    yield
    close(loop, peer)


@operation("tiny writes in one callback to a peer that reads")
def stream_corked(loop: Fate, n: int) -> Iterator[None]:
    transport, peer, _ = stream(loop)

    def write() -> None:
        for _ in range(n):
            transport.write(b"x")

    yield
    loop.call_soon(write)
    read_all(loop, peer.fileno(), n)
    yield
    close(loop, transport, peer)


@operation("writelines of so many")
def stream_writelines(loop: Fate, n: int) -> Iterator[None]:
    transport, peer, _ = stream(loop)
    lines = [b"x"] * n
    yield
    transport.writelines(lines)
    read_all(loop, peer.fileno(), n)
    yield
    close(loop, transport, peer)


@operation("writelines of one, again and again, to a peer that does not read")
def stream_many_writelines(loop: Fate, n: int) -> Iterator[None]:
    transport, peer, _ = stream(loop)
    transport.write(bytes(1 << 20))
    yield
    for _ in range(n):
        transport.writelines([b"x"])
    read_all(loop, peer.fileno(), (1 << 20) + n)
    yield
    close(loop, transport, peer)


@operation("tiny writes over TLS to a peer that does not read, then it does", most=20_000)
def tls_tiny_writes(loop: Fate, n: int) -> Iterator[None]:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    server = server_context(certificate())
    ours, theirs = socket.socketpair()
    reading = Sink()

    async def connect() -> Any:
        (writer, _), _ = await asyncio.gather(
            loop.create_connection(Sink, sock=ours, ssl=client, server_hostname=""),
            loop.connect_accepted_socket(lambda: reading, sock=theirs, ssl=server),
        )
        return writer

    writer = loop.run_until_complete(connect())
    reading.transport.pause_reading()
    turns(loop, 3)
    yield
    for _ in range(n):
        writer.write(b"x")
    reading.transport.resume_reading()
    while reading.count < n:
        turns(loop)
    yield
    close(loop, writer, reading.transport)


@operation("bytes that come one by one, read by a StreamReader as lines")
def reader_tiny_lines(loop: Fate, n: int) -> Iterator[None]:
    reader = asyncio.StreamReader(loop=loop)

    async def main() -> None:
        for _ in range(n):
            reader.feed_data(b"\n")
        reader.feed_eof()
        async for _ in reader:
            pass

    yield
    loop.run_until_complete(main())
    yield


def reader_of_stream(name: str, title: str, how: Any) -> None:
    def work(loop: Fate, n: int) -> Iterator[None]:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        reader, writer = loop.run_until_complete(asyncio.open_connection(sock=ours, limit=1 << 20))

        async def send() -> None:
            await loop.sock_sendall(theirs, b"x\n" * n)
            theirs.close()

        async def main() -> None:
            sending = loop.create_task(send())
            await how(reader, n)
            await sending

        yield
        loop.run_until_complete(main())
        yield
        close(loop, writer)

    work.__name__ = f"reader_{name}"
    operation(title)(work)


async def by_read(reader: asyncio.StreamReader, n: int) -> None:
    left = 2 * n
    while left:
        left -= len(await reader.read(2))


async def by_readexactly(reader: asyncio.StreamReader, n: int) -> None:
    for _ in range(n):
        await reader.readexactly(2)


async def by_readline(reader: asyncio.StreamReader, n: int) -> None:
    for _ in range(n):
        await reader.readline()


async def to_the_end(reader: asyncio.StreamReader, n: int) -> None:
    assert len(await reader.read()) == 2 * n


async def all_exactly(reader: asyncio.StreamReader, n: int) -> None:
    assert len(await reader.readexactly(2 * n)) == 2 * n


@operation("connections closed in one callback", most=PAIRS // 2)
def streams_closed(loop: Fate, n: int) -> Iterator[None]:
    streams = [stream(loop) for _ in range(n)]
    yield
    for transport, _, _ in streams:
        transport.close()
    turns(loop, 3)
    yield
    close(loop, *(peer for _, peer, _ in streams))


@operation("connections whose peers close", most=PAIRS // 2)
def streams_closed_by_peers(loop: Fate, n: int) -> Iterator[None]:
    streams = [stream(loop) for _ in range(n)]
    for _, peer, _ in streams:
        peer.close()
    yield
    turns(loop, 3)
    while loop.run_until_complete(asyncio.sleep(0, any(not transport.is_closing() for transport, _, _ in streams))):
        pass
    turns(loop, 2)
    yield


@operation("connections written to in one callback", most=PAIRS // 2)
def streams_written(loop: Fate, n: int) -> Iterator[None]:
    streams = [stream(loop) for _ in range(n)]

    def write() -> None:
        for transport, _, _ in streams:
            transport.write(b"x")

    yield
    loop.call_soon(write)
    turns(loop, 2)
    yield
    close(loop, *(end for transport, peer, _ in streams for end in (transport, peer)))


def server_ended(name: str, title: str, end: Any) -> None:
    def work(loop: Fate, n: int) -> Iterator[None]:
        accepted: list[Any] = []

        class Kept(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                accepted.append(transport)

        server = loop.run_until_complete(loop.create_server(Kept, "127.0.0.1", 0, backlog=1024))
        address = server.sockets[0].getsockname()
        clients = []
        for _ in range(n):
            clients.append(socket.create_connection(address))
            if len(clients) % 100 == 0:
                turns(loop, 2)
        while len(accepted) < n:
            turns(loop)
        yield
        end(server, accepted)
        turns(loop, 4)
        yield
        close(loop, *accepted, *clients, server)

    work.__name__ = name
    operation(title, most=min(8000, PAIRS // 2))(work)


def close_all(server: Any, accepted: list[Any]) -> None:
    for transport in reversed(accepted):
        transport.close()


def abort_all(server: Any, accepted: list[Any]) -> None:
    server.close()
    for transport in accepted:
        transport.abort()


@operation("connections accepted by a server", most=min(8000, PAIRS // 2))
def server_accepts(loop: Fate, n: int) -> Iterator[None]:
    server = loop.run_until_complete(loop.create_server(Sink, "127.0.0.1", 0, backlog=1024))
    address = server.sockets[0].getsockname()
    yield
    clients = []
    for _ in range(n):
        clients.append(socket.create_connection(address))
        if len(clients) % 100 == 0:
            turns(loop, 2)
    turns(loop, 3)
    yield
    close(loop, *clients, server)
    turns(loop, 3)


@operation("tiny writes to a pipe that nobody reads, then somebody does")
def pipe_tiny_writes(loop: Fate, n: int) -> Iterator[None]:
    reading, writing = os.pipe()
    transport, _ = loop.run_until_complete(
        loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(writing, "wb", buffering=0))
    )
    transport.write(bytes(1 << 20))
    yield
    for _ in range(n):
        transport.write(b"x")
    read_all(loop, reading, (1 << 20) + n)
    yield
    close(loop, transport)
    os.close(reading)


@operation("writes to a pipe, whose reader takes a little each turn")
def pipe_write_and_read(loop: Fate, n: int) -> Iterator[None]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    transport, _ = loop.run_until_complete(
        loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(writing, "wb", buffering=0))
    )
    for _ in range(n):
        transport.write(b"x" * 100)
    left = n * 100

    def read() -> None:
        nonlocal left
        try:
            left -= len(os.read(reading, 4096))
        except BlockingIOError:
            pass
        if left > 0:
            loop.call_soon(read)
        else:
            loop.stop()

    yield
    loop.call_soon(read)
    loop.run_forever()
    yield
    close(loop, transport)
    os.close(reading)


@operation("datagrams to a peer whose buffer is full, then it reads", most=20_000)
def datagrams_to_a_full_peer(loop: Fate, n: int) -> Iterator[None]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for sock in (ours, theirs):
        sock.setblocking(False)
    transport, _ = loop.run_until_complete(loop.create_datagram_endpoint(asyncio.DatagramProtocol, sock=ours))
    yield
    for _ in range(n):
        transport.sendto(b"x")
    left = n

    def read() -> None:
        nonlocal left
        theirs.recv(10)
        left -= 1
        if not left:
            loop.remove_reader(theirs)
            loop.stop()

    loop.add_reader(theirs, read)
    loop.run_forever()
    yield
    close(loop, transport, theirs)


def pairs(n: int) -> list[tuple[socket.socket, socket.socket]]:
    found = [socket.socketpair() for _ in range(n)]
    for ours, theirs in found:
        ours.setblocking(False)
        theirs.setblocking(False)
    return found


def watched(order: str) -> None:
    def work(loop: Fate, n: int) -> Iterator[None]:
        both = [sock for pair in pairs((n + 1) // 2) for sock in pair]
        yield
        for sock in both:
            loop.add_reader(sock, nothing)
            loop.add_writer(sock, nothing)
        for sock in ordered(both, order):
            loop.remove_writer(sock)
            loop.remove_reader(sock)
        yield
        close(loop, *both)

    work.__name__ = f"watched_{order.replace(' ', '_')}"
    operation(f"readers and writers added, and removed, {order}", most=PAIRS)(work)


@operation("one reader replaced again and again")
def reader_replaced(loop: Fate, n: int) -> Iterator[None]:
    ours, theirs = socket.socketpair()
    yield
    for _ in range(n):
        loop.add_reader(ours, nothing)
    yield
    loop.remove_reader(ours)
    close(loop, ours, theirs)


@operation("sock_recv of many sockets cancelled, newest first", most=PAIRS)
def sock_recv_cancelled(loop: Fate, n: int) -> Iterator[None]:
    both = [sock for pair in pairs((n + 1) // 2) for sock in pair]

    async def receive(sock: socket.socket) -> bytes:
        return await loop.sock_recv(sock, 10)

    tasks = [loop.create_task(receive(sock)) for sock in both]
    turns(loop)
    yield
    for task in reversed(tasks):
        task.cancel()
    turns(loop, 3)
    yield
    close(loop, *both)


@operation("sock_recv of one socket, again and again")
def sock_recv_again(loop: Fate, n: int) -> Iterator[None]:
    ours, theirs = pairs(1)[0]

    async def main() -> None:
        for _ in range(n):
            theirs.send(b"x")
            await loop.sock_recv(ours, 10)

    yield
    loop.run_until_complete(main())
    yield
    close(loop, ours, theirs)


@operation("sock_sendall of kilobytes to a peer that reads little by little")
def sock_sendall_slowly(loop: Fate, n: int) -> Iterator[None]:
    ours, theirs = pairs(1)[0]

    async def read() -> None:
        left = n * 1024
        while left:
            left -= len(await loop.sock_recv(theirs, 4096))

    async def main() -> None:
        reading = loop.create_task(read())
        await loop.sock_sendall(ours, bytes(n * 1024))
        await reading

    yield
    loop.run_until_complete(main())
    yield
    close(loop, ours, theirs)


reader_of_stream("read", "read(2) of what has come", by_read)
reader_of_stream("readexactly", "readexactly(2) of what has come", by_readexactly)
reader_of_stream("readline", "readline() of what has come", by_readline)
reader_of_stream("read_to_the_end", "read() to the end", to_the_end)
reader_of_stream("readexactly_all", "readexactly() of all", all_exactly)
server_ended("server_closed_newest_first", "connections of a server closed, newest first", close_all)
server_ended("server_aborted", "a server closed, and its connections aborted", abort_all)
for each in ORDERS:
    watched(each)
