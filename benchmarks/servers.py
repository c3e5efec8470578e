"""Echo servers as asyncio programs write them: protocols, buffered protocols, streams, ``sock_*``, datagrams.

One server serves every loop that speaks asyncio. Who does not is in ``foreign``.
"""

from __future__ import annotations

import asyncio
import os
import socket
from asyncio import AbstractEventLoop
from typing import Any, cast

from benchmarks.jobs import BACKLOG, Job, certificate, server_context

SOCK_RECEIVE = 1 << 20
STREAM_READ = BUFFER = 1 << 16


class Echo(asyncio.Protocol):
    """Writes back what it reads."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.write = cast(asyncio.Transport, transport).write  # uvloop's are not subclasses

    def data_received(self, data: bytes) -> None:
        self.write(data)


class BufferedEcho(asyncio.BufferedProtocol):
    """As Echo; what is written is a copy, for the buffer is used again."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.write = cast(asyncio.Transport, transport).write
        self.view = memoryview(bytearray(BUFFER))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.view

    def buffer_updated(self, nbytes: int) -> None:
        self.write(bytes(self.view[:nbytes]))


class DatagramEcho(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.sendto = cast(asyncio.DatagramTransport, transport).sendto

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.sendto(data, addr)


async def stream_echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(STREAM_READ):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def sock_echo(loop: AbstractEventLoop, connection: socket.socket) -> None:
    with connection:
        while data := await loop.sock_recv(connection, SOCK_RECEIVE):
            await loop.sock_sendall(connection, data)


async def sock_serve(loop: AbstractEventLoop, sock: socket.socket) -> None:
    tasks = set()
    while True:
        connection, _ = await loop.sock_accept(sock)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = loop.create_task(sock_echo(loop, connection))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def start(loop: AbstractEventLoop, job: Job, sock: socket.socket) -> object:
    """Serve ``job`` on ``sock``; keep what is returned for as long as it shall be served."""
    if job.transport == "udp":
        return await loop.create_datagram_endpoint(DatagramEcho, sock=sock)
    if job.style == "sock":
        return loop.create_task(sock_serve(loop, sock))
    if job.style == "streams":
        return await asyncio.start_server(stream_echo, sock=sock)
    protocol = BufferedEcho if job.style == "buffered" else Echo
    if job.transport == "unix":
        path = sock.getsockname()  # not every loop takes a socket here
        sock.close()
        os.unlink(path)
        return await loop.create_unix_server(protocol, path, backlog=BACKLOG)
    context = server_context(certificate()) if job.transport == "tls" else None
    return await loop.create_server(protocol, sock=sock, ssl=context)
