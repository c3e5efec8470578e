"""Servers and factories: what fails is told and leaves nothing open; a server that ends takes its clients along."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import selectors
import socket
import ssl
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from fate import Fate
from fate.net import connections

AUTHORITY = trustme.CA()
SERVER = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
CLIENT = ssl.create_default_context()
AUTHORITY.issue_cert("localhost").configure_cert(SERVER)
AUTHORITY.configure_trust(CLIENT)
WAITS = sys.version_info >= (3, 12)  # `wait_closed` waits for clients


@pytest.fixture(params=["native", "selector"])
def any_loop(request: Any, reports: list[dict[str, Any]]) -> Iterator[Fate]:
    """A Fate on the native poll, and one on a selector, with asyncio's transports."""
    loop = Fate() if request.param == "native" else Fate(selectors.DefaultSelector())
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    yield loop
    loop.close()


def run(loop: Fate, main: Callable[[], Awaitable[Any]]) -> Any:
    async def within() -> Any:
        async with asyncio.timeout(8):
            result = await main()
            while any(transport._sock is not None for transport in [*loop._transports.values()]):
                await asyncio.sleep(0.001)  # all that was opened ends
            return result

    return loop.run_until_complete(within())


def failing() -> asyncio.Protocol:
    raise ZeroDivisionError("no protocol today")


async def at_end(loop: Fate, sock: socket.socket) -> None:
    """Until the other side has closed the connection."""
    with suppress(ConnectionResetError):
        while await loop.sock_recv(sock, 65536):
            pass


# -- factories that fail ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_a_factory_that_fails_for_a_client_is_reported_and_the_client_let_go(
    any_loop: Fate, reports: list[dict[str, Any]], tmp_path: Path, family: str, secure: bool
) -> None:
    async def main() -> None:
        options = {"ssl": SERVER} if secure else {}
        if family == "tcp":
            server = await any_loop.create_server(failing, "127.0.0.1", 0, **options)
            sock = socket.create_connection(server.sockets[0].getsockname())
        else:
            path = os.fspath(tmp_path / "s")
            server = await any_loop.create_unix_server(failing, path, **options)
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(path)
        sock.setblocking(False)
        await at_end(any_loop, sock)
        sock.close()
        server.close()
        await server.wait_closed()

    run(any_loop, main)
    (report,) = reports
    assert isinstance(report["exception"], ZeroDivisionError)
    assert report["message"] == "Error on transport creation for incoming connection"


def test_a_protocol_without_methods_is_reported_and_the_server_waits_for_nobody(
    any_loop: Fate, reports: list[dict[str, Any]]
) -> None:
    async def main() -> None:
        server = await any_loop.create_server(object, "127.0.0.1", 0)
        sock = socket.create_connection(server.sockets[0].getsockname())
        sock.setblocking(False)
        await at_end(any_loop, sock)
        sock.close()
        server.close()
        await server.wait_closed()

    run(any_loop, main)
    (report,) = reports
    assert isinstance(report["exception"], AttributeError)


HOW: dict[str, Callable[[Fate, socket.socket], Awaitable[Any]]] = {
    "create_connection": lambda loop, sock: loop.create_connection(failing, sock=sock),
    "create_connection by TLS": lambda loop, sock: loop.create_connection(
        failing, sock=sock, ssl=CLIENT, server_hostname="localhost"
    ),
    "create_unix_connection": lambda loop, sock: loop.create_unix_connection(failing, sock=sock),
    "connect_accepted_socket": lambda loop, sock: loop.connect_accepted_socket(failing, sock),
    "connect_accepted_socket by TLS": lambda loop, sock: loop.connect_accepted_socket(failing, sock, ssl=SERVER),
    "connect_read_pipe": lambda loop, sock: loop.connect_read_pipe(failing, sock),
    "connect_write_pipe": lambda loop, sock: loop.connect_write_pipe(failing, sock),
}


@pytest.mark.parametrize("how", HOW)
def test_a_factory_that_fails_leaves_nothing_open(any_loop: Fate, how: str) -> None:
    async def main() -> None:
        ours, peer = socket.socketpair()
        with pytest.raises(ZeroDivisionError):
            await HOW[how](any_loop, ours)
        assert ours.fileno() == -1
        peer.close()

    run(any_loop, main)


def test_no_connection_is_left_open_where_there_can_be_no_transport(any_loop: Fate) -> None:
    async def main() -> None:
        ours, peer = socket.socketpair()
        with pytest.raises(AttributeError):
            await any_loop.create_connection(object, sock=ours)  # type: ignore[type-var]
        assert ours.fileno() == -1
        peer.close()

    run(any_loop, main)


@pytest.mark.parametrize("given", [True, False])
def test_a_factory_that_fails_leaves_no_datagram_socket_open(any_loop: Fate, given: bool) -> None:
    made: list[Any] = []
    make = any_loop._make_datagram_transport
    any_loop._make_datagram_transport = lambda sock, *how: (made.append(sock), make(sock, *how))[1]  # type: ignore[func-returns-value,method-assign]

    async def main() -> None:
        sock = None
        if given:
            sock = socket.socket(type=socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.bind(("127.0.0.1", 0))
        with pytest.raises(ZeroDivisionError):
            await any_loop.create_datagram_endpoint(
                failing,
                sock=sock,
                local_addr=None if given else ("127.0.0.1", 0),  # type: ignore[arg-type]
            )

    run(any_loop, main)
    assert [sock.fileno() for sock in made] == [-1]


def test_a_datagram_endpoint_gives_its_transport_and_the_protocol_of_the_factory(any_loop: Fate) -> None:
    class Mine(asyncio.DatagramProtocol):
        pass

    async def main() -> None:
        transport, protocol = await any_loop.create_datagram_endpoint(Mine, local_addr=("127.0.0.1", 0))
        assert type(protocol) is Mine
        assert transport.get_protocol() is protocol
        transport.close()
        await asyncio.sleep(0)

    run(any_loop, main)


def test_a_file_that_is_no_pipe_stays_the_programs(any_loop: Fate) -> None:
    """Programs try their standard output first, and write to it in another way where that is a file."""

    async def main() -> None:
        with tempfile.TemporaryFile() as file:
            with pytest.raises(ValueError, match="only for pipes"):
                await any_loop.connect_write_pipe(asyncio.Protocol, file)
            assert file.write(b"x")

    run(any_loop, main)


# -- accepting -------------------------------------------------------------------------------------------------------


def test_a_client_that_was_accepted_too_late_is_let_go_in_silence(
    any_loop: Fate, reports: list[dict[str, Any]]
) -> None:
    async def main() -> None:
        server = await any_loop.create_server(failing, "127.0.0.1", 0)
        sock = socket.create_connection(server.sockets[0].getsockname())
        sock.setblocking(False)
        listener = server._sockets[0]
        any_loop._accept_connection(failing, listener, None, server)
        server.close()
        await at_end(any_loop, sock)
        sock.close()

    run(any_loop, main)
    assert not reports


def test_a_connection_that_went_before_it_was_accepted_holds_up_no_other(
    loop: Fate, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = connections.accept
    failures = [ConnectionAbortedError()]

    def sometimes(sock: Any, fd: int) -> Any:
        if failures:
            raise failures.pop()
        return accept(sock, fd)

    monkeypatch.setattr(connections, "accept", sometimes)

    async def main() -> None:
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        sock = socket.create_connection(server.sockets[0].getsockname())
        taken = len(loop._transports)
        loop._accept_connection(asyncio.Protocol, server._sockets[0], None, server)
        await asyncio.sleep(0)
        assert len(loop._transports) == taken + 1
        sock.close()
        server.close()

    run(loop, main)


def test_a_server_that_is_closed_while_it_waits_for_descriptors_stays_closed(
    loop: Fate, reports: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(sock: Any, fd: int) -> Any:
        raise OSError(errno.EMFILE, "none left")

    monkeypatch.setattr(connections, "accept", fail)
    monkeypatch.setattr(asyncio.constants, "ACCEPT_RETRY_DELAY", 0.01)

    async def main() -> None:
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        sock = socket.create_connection(server.sockets[0].getsockname())
        while not reports:
            await asyncio.sleep(0)
        server.close()
        await asyncio.sleep(0.02)
        sock.close()

    run(loop, main)
    assert [report["exception"].errno for report in reports] == [errno.EMFILE]


def test_a_server_with_a_backlog_of_none_accepts(loop: Fate) -> None:
    async def main() -> None:
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, backlog=0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        while not loop._streams.descriptors():
            await asyncio.sleep(0)
        while len(loop._streams.descriptors()) < 2:
            await asyncio.sleep(0.001)
        writer.close()
        server.close()

    run(loop, main)


# -- servers that end ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("how", ["cancel", "close"])
def test_serve_forever_ends_though_a_client_is_idle(
    any_loop: Fate, reports: list[dict[str, Any]], how: str, secure: bool
) -> None:
    async def main() -> None:
        met = any_loop.create_future()
        gone = any_loop.create_future()

        async def serve(reader: Any, writer: Any) -> None:
            met.set_result(None)
            with suppress(OSError):
                await reader.read()
            gone.set_result(None)
            writer.close()

        options = {"ssl": SERVER} if secure else {}
        server = await asyncio.start_server(serve, "127.0.0.1", 0, **options, start_serving=False)
        serving = any_loop.create_task(server.serve_forever())
        await asyncio.sleep(0)
        client = {"ssl": CLIENT, "server_hostname": "localhost"} if secure else {}
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), **client)
        await met
        if how == "cancel":
            serving.cancel()
        else:
            server.close()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert not server.is_serving()
        if WAITS:
            await gone
        writer.close()
        await gone
        with suppress(OSError, ssl.SSLError):
            await writer.wait_closed()

    run(any_loop, main)
    assert not reports


@pytest.mark.skipif(sys.version_info < (3, 13), reason="Server.abort_clients came with 3.13")
@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("busy", ["idle", "paused", "writing", "sending a file"])
@pytest.mark.parametrize("how", ["close_clients", "abort_clients"])
def test_a_server_lets_go_of_its_clients_whatever_they_do(
    any_loop: Fate, reports: list[dict[str, Any]], how: str, busy: str, secure: bool
) -> None:
    async def main() -> None:
        met, lost = any_loop.create_future(), any_loop.create_future()
        with tempfile.TemporaryFile() as file:
            file.truncate(50_000_000)

            class Served(asyncio.Protocol):
                def connection_made(self, transport: Any) -> None:
                    kept.append(transport)  # nobody else does while it is paused
                    if busy == "paused":
                        transport.pause_reading()
                    elif busy == "writing":
                        transport.write(bytes(50_000_000))
                    elif busy == "sending a file":
                        sending.append(any_loop.create_task(any_loop.sendfile(transport, file)))
                    met.set_result(None)

                def connection_lost(self, exc: Exception | None) -> None:
                    lost.set_result(exc)

            kept: list[Any] = []
            sending: list[asyncio.Task[int]] = []
            server = await any_loop.create_server(Served, "127.0.0.1", 0, ssl=SERVER if secure else None)
            client: dict[str, Any] = {"ssl": CLIENT, "server_hostname": "localhost"} if secure else {}
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), **client)
            writer.transport.pause_reading()
            await met
            await asyncio.sleep(0.05)
            server.close()
            getattr(server, how)()  # type: ignore[attr-defined]
            if how == "close_clients":
                writer.transport.resume_reading()
                with suppress(OSError, ssl.SSLError):
                    while await reader.read(1 << 20):
                        pass
            await server.wait_closed()
            await lost
            for task in sending:
                with pytest.raises(OSError):
                    await task
            writer.close()
            with suppress(OSError, ssl.SSLError):
                await writer.wait_closed()

    run(any_loop, main)
    assert not reports


# -- happy eyeballs --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
@pytest.mark.parametrize("delay", [None, 0.25])
def test_several_addresses_are_tried_with_eager_tasks(any_loop: Fate, delay: float | None) -> None:
    async def main() -> None:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        any_loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
        reader, writer = await asyncio.open_connection("localhost", port, happy_eyeballs_delay=delay)
        assert await reader.read() == b""
        writer.close()
        server.close()
        free = socket.socket()
        free.bind(("127.0.0.1", 0))
        with pytest.raises(OSError):
            await asyncio.open_connection("localhost", free.getsockname()[1], happy_eyeballs_delay=delay)
        free.close()
        assert any_loop.get_task_factory() is asyncio.eager_task_factory  # type: ignore[attr-defined,unused-ignore]

    run(any_loop, main)


@pytest.mark.parametrize("native", [True, False])
def test_a_server_that_a_factory_closes_ends_that_connection_in_silence(native: bool) -> None:
    loop = Fate() if native else Fate(selectors.DefaultSelector())
    reports: list[Any] = []
    loop.set_exception_handler(lambda _, context: reports.append(context))
    servers: list[asyncio.Server] = []

    def factory() -> asyncio.Protocol:
        servers[0].close()
        return asyncio.Protocol()

    async def main() -> bytes:
        servers.append(await loop.create_server(factory, "127.0.0.1", 0))
        reader, writer = await asyncio.open_connection(*servers[0].sockets[0].getsockname())
        async with asyncio.timeout(15):
            end = await reader.read()
        writer.close()
        return end

    assert loop.run_until_complete(main()) == b""
    loop.close()
    assert not reports


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_server_does_not_wait_for_a_client_whose_transport_nobody_has(any_loop: Fate) -> None:
    """Its protocol stays open after the peer's end, and is let go of: asyncio's waits for ever before 3.13."""

    class KeptOpen(asyncio.Protocol):
        def eof_received(self) -> bool:
            ended.set()
            return True

    ended = asyncio.Event()

    async def main() -> None:
        server = await any_loop.create_server(KeptOpen, "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()) as client:
            client.shutdown(socket.SHUT_WR)
            await ended.wait()
            await asyncio.sleep(0)
            gc.collect()
            server.close()
            await asyncio.wait_for(server.wait_closed(), 20)

    any_loop.run_until_complete(main())
