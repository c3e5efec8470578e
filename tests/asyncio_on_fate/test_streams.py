"""Streams: TCP, Unix sockets, TLS, start_tls, and files sent over them."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from fate import Fate

from .conftest import Certificates

Run = Callable[[Coroutine[Any, Any, Any]], Any]
BIG = os.urandom(1_500_000)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send everything back; end when the other side does."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bytes:
    """Send `data`, read as much, and close."""
    writer.write(data)
    answer, _ = await asyncio.gather(reader.readexactly(len(data)), writer.drain())
    writer.close()
    await writer.wait_closed()
    return answer


def port(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


@pytest.mark.parametrize("secure", [False, True])
def test_a_server_and_many_clients_over_tcp_and_tls(run: Run, certificates: Certificates, secure: bool) -> None:
    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=certificates.server if secure else None)
        options: dict[str, Any] = {"ssl": certificates.client, "server_hostname": "localhost"} if secure else {}

        async def client(number: int) -> None:
            data = BIG[: 1000 * number**3]
            streams = await asyncio.open_connection("127.0.0.1", port(server), **options)
            assert await ask(*streams, data) == data

        async with server:
            await asyncio.gather(*(client(number) for number in range(8)))

    run(main())


def test_tls_tells_its_peer_and_its_cipher(run: Run, certificates: Certificates) -> None:
    async def main() -> None:
        async with await asyncio.start_server(echo, "127.0.0.1", 0, ssl=certificates.server) as server:
            _, writer = await asyncio.open_connection(
                "127.0.0.1", port(server), ssl=certificates.client, server_hostname="localhost"
            )
            names = writer.get_extra_info("peercert")["subjectAltName"]
            assert names == (("DNS", "localhost"),)
            assert writer.get_extra_info("cipher") is not None
            assert isinstance(writer.get_extra_info("ssl_object"), ssl.SSLObject)
            writer.close()
            await writer.wait_closed()

    run(main())


def test_a_certificate_that_is_not_trusted_is_an_error_and_the_server_goes_on(
    run: Run, any_loop: Fate, certificates: Certificates
) -> None:
    any_loop.set_exception_handler(lambda loop, context: None)  # the server reports the failed handshake

    async def main() -> None:
        async with await asyncio.start_server(echo, "127.0.0.1", 0, ssl=certificates.server) as server:
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection(
                    "127.0.0.1", port(server), ssl=ssl.create_default_context(), server_hostname="localhost"
                )
            streams = await asyncio.open_connection(
                "127.0.0.1", port(server), ssl=certificates.client, server_hostname="localhost"
            )
            assert await ask(*streams, b"still here") == b"still here"

    run(main())


def test_start_tls_on_both_sides_of_a_plain_connection(run: Run, certificates: Certificates) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go ahead\n")
        await writer.start_tls(certificates.server)
        await echo(reader, writer)

    async def main() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            writer.write(b"STARTTLS\n")
            assert await reader.readline() == b"go ahead\n"
            await writer.start_tls(certificates.client, server_hostname="localhost")
            assert writer.get_extra_info("cipher") is not None
            assert await ask(reader, writer, BIG[:300_000]) == BIG[:300_000]

    run(main())


@pytest.mark.parametrize("secure", [False, True])
def test_unix_sockets(run: Run, certificates: Certificates, tmp_path: Path, secure: bool) -> None:
    path = str(tmp_path / "socket")

    async def main() -> None:
        options: dict[str, Any] = {"ssl": certificates.client, "server_hostname": "localhost"} if secure else {}
        async with await asyncio.start_unix_server(echo, path, ssl=certificates.server if secure else None):
            streams = await asyncio.open_unix_connection(path, **options)
            assert await ask(*streams, BIG[:300_000]) == BIG[:300_000]

    run(main())


def test_a_protocol_hears_of_its_connection_its_data_its_end_and_its_close_in_order(run: Run, any_loop: Fate) -> None:
    class Listener(asyncio.Protocol):
        def __init__(self) -> None:
            self.heard: list[str] = []
            self.closed = any_loop.create_future()

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.heard.append("made")

        def data_received(self, data: bytes) -> None:
            self.heard.append(data.decode())

        def eof_received(self) -> None:
            self.heard.append("end")

        def connection_lost(self, error: Exception | None) -> None:
            self.heard.append(f"lost {error}")
            self.closed.set_result(None)

    async def main() -> list[str]:
        listener = Listener()
        server = await any_loop.create_server(lambda: listener, "127.0.0.1", 0)
        async with server:
            transport, _ = await any_loop.create_connection(asyncio.Protocol, "127.0.0.1", port(server))
            transport.write(b"hello")
            transport.write_eof()
            await listener.closed
            transport.close()
        return listener.heard

    assert run(main()) == ["made", "hello", "end", "lost None"]


def test_a_buffered_protocol_reads_into_its_own_buffer(run: Run, any_loop: Fate) -> None:
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer = bytearray(10)
            self.got = b""
            self.closed = any_loop.create_future()

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, count: int) -> None:
            self.got += self.buffer[:count]

        def connection_lost(self, error: Exception | None) -> None:
            self.closed.set_result(self.got)

    async def main() -> bytes:
        near, far = socket.socketpair()
        near.setblocking(False)
        _, protocol = await any_loop.create_connection(Buffered, sock=near)
        far.sendall(b"more than ten bytes")
        far.close()
        return await protocol.closed

    assert run(main()) == b"more than ten bytes"


def test_a_writer_that_is_ahead_is_paused_and_resumed(run: Run, any_loop: Fate) -> None:
    class Writer(asyncio.Protocol):
        def __init__(self) -> None:
            self.heard: list[str] = []
            self.resumed = any_loop.create_future()

        def pause_writing(self) -> None:
            self.heard.append("pause")

        def resume_writing(self) -> None:
            self.heard.append("resume")
            self.resumed.set_result(None)

    async def main() -> list[str]:
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        transport, writer = await any_loop.create_connection(Writer, sock=near)
        transport.write(BIG)
        got = 0
        while got < len(BIG):
            got += len(await any_loop.sock_recv(far, 65536))
        await writer.resumed
        assert transport.get_write_buffer_size() == 0
        transport.close()
        far.close()
        return writer.heard

    assert run(main()) == ["pause", "resume"]


@pytest.mark.parametrize("fallback", [True, False])
def test_sendfile_sends_a_file_over_a_transport(run: Run, any_loop: Fate, tmp_path: Path, fallback: bool) -> None:
    file = tmp_path / "file"
    file.write_bytes(BIG)

    async def main() -> bytes:
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        reader, far_writer = await asyncio.open_connection(sock=far)
        transport, _ = await any_loop.create_connection(asyncio.Protocol, sock=near)
        with file.open("rb") as opened:
            sending = any_loop.create_task(any_loop.sendfile(transport, opened, 1000, 200_000, fallback=fallback))
            got = await reader.readexactly(200_000)
            assert await sending == 200_000
        transport.close()
        far_writer.close()
        await far_writer.wait_closed()
        return got

    assert run(main()) == BIG[1000:201_000]


def test_sendfile_over_tls_copies(run: Run, any_loop: Fate, certificates: Certificates, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(BIG)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with file.open("rb") as opened:
            await any_loop.sendfile(writer.transport, opened)
        writer.close()

    async def main() -> bytes:
        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=certificates.server) as server:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port(server), ssl=certificates.client, server_hostname="localhost"
            )
            got = await reader.read()
            writer.close()
            await writer.wait_closed()
            return got

    assert run(main()) == BIG


def test_names_are_looked_up_and_the_first_address_that_answers_is_taken(run: Run, any_loop: Fate) -> None:
    async def main() -> bytes:
        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            assert await any_loop.getaddrinfo("localhost", port(server), type=socket.SOCK_STREAM)
            assert await any_loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV) == (
                "127.0.0.1",
                "80",
            )
            streams = await asyncio.open_connection("localhost", port(server), happy_eyeballs_delay=0.25)
            return await ask(*streams, b"hello")

    assert run(main()) == b"hello"


def test_a_connection_that_is_refused_is_the_error_of_the_system(run: Run) -> None:
    async def main() -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))  # and does not listen
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*bound.getsockname())

    run(main())
