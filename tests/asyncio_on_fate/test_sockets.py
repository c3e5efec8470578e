"""The loop's calls for plain sockets (`sock_*`), and UDP endpoints."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from fate import Fate

Run = Callable[[Coroutine[Any, Any, Any]], Any]
BIG = os.urandom(1_500_000)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    with near, far:
        yield near, far


@pytest.fixture
def datagrams() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.socket(type=socket.SOCK_DGRAM) as near, socket.socket(type=socket.SOCK_DGRAM) as far:
        for sock in (near, far):
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
        yield near, far


def test_sock_accept_and_sock_connect_meet(run: Run, any_loop: Fate) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
            server.setblocking(False)
            client.setblocking(False)
            accepting = any_loop.create_task(any_loop.sock_accept(server))
            await any_loop.sock_connect(client, server.getsockname())
            connection, address = await accepting
            with connection:
                assert address == client.getsockname()
                await any_loop.sock_sendall(connection, b"welcome")
                assert await any_loop.sock_recv(client, 100) == b"welcome"

    run(main())


def test_sock_connect_refused_is_the_error_of_the_system(run: Run, any_loop: Fate) -> None:
    async def main() -> None:
        with socket.socket() as bound, socket.socket() as client:
            bound.bind(("127.0.0.1", 0))
            client.setblocking(False)
            with pytest.raises(ConnectionRefusedError):
                await any_loop.sock_connect(client, bound.getsockname())

    run(main())


def test_sock_recv_waits_for_something_and_gives_nothing_at_the_end(
    run: Run, any_loop: Fate, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair

    async def main() -> list[bytes]:
        any_loop.call_soon(far.send, b"hello")
        first = await any_loop.sock_recv(near, 100)
        any_loop.call_soon(far.close)
        return [first, await any_loop.sock_recv(near, 100)]

    assert run(main()) == [b"hello", b""]


def test_sock_recv_into_fills_the_buffer(run: Run, any_loop: Fate, pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    buffer = bytearray(8)

    async def main() -> int:
        any_loop.call_soon(far.send, b"hello")
        return await any_loop.sock_recv_into(near, buffer)

    assert run(main()) == 5
    assert buffer == b"hello\0\0\0"


def test_sock_sendall_sends_more_than_fits_while_the_other_reads(
    run: Run, any_loop: Fate, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair

    async def main() -> bytes:
        sending = any_loop.create_task(any_loop.sock_sendall(near, BIG))
        got = bytearray()
        while len(got) < len(BIG):
            got += await any_loop.sock_recv(far, 65536)
        await sending
        return bytes(got)

    assert run(main()) == BIG


def test_datagrams_by_sock_sendto_recvfrom_and_recvfrom_into(
    run: Run, any_loop: Fate, datagrams: tuple[socket.socket, socket.socket]
) -> None:
    near, far = datagrams
    buffer = bytearray(8)

    async def main() -> None:
        receiving = any_loop.create_task(any_loop.sock_recvfrom(far, 100))
        await asyncio.sleep(0)
        assert await any_loop.sock_sendto(near, b"hello", far.getsockname()) == 5
        assert await receiving == (b"hello", near.getsockname())
        await any_loop.sock_sendto(near, b"again", far.getsockname())
        assert await any_loop.sock_recvfrom_into(far, buffer) == (5, near.getsockname())

    run(main())
    assert buffer == b"again\0\0\0"


@pytest.mark.parametrize("fallback", [True, False])
def test_sock_sendfile_sends_a_part_of_a_file(
    run: Run, any_loop: Fate, pair: tuple[socket.socket, socket.socket], tmp_path: Path, fallback: bool
) -> None:
    near, far = pair
    file = tmp_path / "file"
    file.write_bytes(BIG)

    async def main() -> bytes:
        with file.open("rb") as opened:
            sending = any_loop.create_task(any_loop.sock_sendfile(near, opened, 500, 1_000_000, fallback=fallback))
            got = bytearray()
            while len(got) < 1_000_000:
                got += await any_loop.sock_recv(far, 65536)
            assert await sending == 1_000_000
            assert opened.tell() == 1_000_500
        return bytes(got)

    assert run(main()) == BIG[500:1_000_500]


def test_a_cancelled_wait_leaves_the_socket_to_the_next(
    run: Run, any_loop: Fate, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair

    async def main() -> bytes:
        waiting = any_loop.create_task(any_loop.sock_recv(near, 100))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        far.send(b"for the next")
        return await any_loop.sock_recv(near, 100)

    assert run(main()) == b"for the next"


def test_in_debug_mode_a_socket_that_blocks_is_an_error(run: Run, any_loop: Fate) -> None:
    async def main() -> None:
        with socket.socket() as blocking, pytest.raises(ValueError, match="non-blocking"):
            await any_loop.sock_recv(blocking, 1)

    any_loop.set_debug(True)
    run(main())


class Peer(asyncio.DatagramProtocol):
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[Any] = asyncio.Queue()
        self.transport: Any = None
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.got.put_nowait((data, address))

    def error_received(self, error: Exception) -> None:
        self.got.put_nowait(error)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set_result(error)


def test_udp_endpoints_send_and_answer(run: Run, any_loop: Fate) -> None:
    async def main() -> None:
        server, serving = await any_loop.create_datagram_endpoint(Peer, local_addr=("127.0.0.1", 0))
        client, asking = await any_loop.create_datagram_endpoint(Peer, remote_addr=server.get_extra_info("sockname"))
        for data in (b"hello", b"x" * 9000):
            client.sendto(data)
            received, address = await serving.got.get()
            assert received == data
            server.sendto(b"re: " + data, address)
            assert (await asking.got.get())[0] == b"re: " + data
        client.close()
        server.close()
        assert (await serving.closed, await asking.closed) == (None, None)

    run(main())


def test_a_udp_endpoint_hears_that_nobody_is_there(run: Run, any_loop: Fate) -> None:
    async def main() -> Any:
        with socket.socket(type=socket.SOCK_DGRAM) as gone:
            gone.bind(("127.0.0.1", 0))
            address = gone.getsockname()
        transport, peer = await any_loop.create_datagram_endpoint(Peer, remote_addr=address)
        transport.sendto(b"anybody?")
        error = await peer.got.get()
        transport.close()
        await peer.closed
        return error

    assert isinstance(run(main()), ConnectionRefusedError)


def test_unix_datagrams(run: Run, any_loop: Fate, tmp_path: Path) -> None:
    async def main() -> Any:
        path = str(tmp_path / "datagrams")
        server, serving = await any_loop.create_datagram_endpoint(Peer, local_addr=path, family=socket.AF_UNIX)
        client, asking = await any_loop.create_datagram_endpoint(Peer, remote_addr=path, family=socket.AF_UNIX)
        client.sendto(b"hello")
        data, _ = await serving.got.get()
        client.close()
        server.close()
        await asyncio.gather(serving.closed, asking.closed)
        return data

    assert run(main()) == b"hello"
