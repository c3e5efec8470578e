"""`start_tls`: what came ahead of it, how it fails, and what it leaves behind."""

from __future__ import annotations

import array
import asyncio
import gc
import selectors
import socket
import ssl
import struct
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import trustme

import fate
from fate import Fate

AUTHORITY = trustme.CA()
SERVER = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
CLIENT = ssl.create_default_context()
AUTHORITY.issue_cert("localhost").configure_cert(SERVER)
AUTHORITY.configure_trust(CLIENT)
CERTIFICATE = AUTHORITY.issue_cert("localhost")


@pytest.fixture(params=["native", "selector"])
def any_loop(request: Any, reports: list[dict[str, Any]]) -> Iterator[Fate]:
    """A Fate on the native poll, and one on a selector, with asyncio's transports."""
    loop = Fate() if request.param == "native" else Fate(selectors.DefaultSelector())
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    yield loop
    loop.close()


def run(loop: Fate, main: Callable[[], Awaitable[Any]]) -> Any:
    async def within() -> Any:
        async with asyncio.timeout(4):
            result = await main()
            while any(transport._sock is not None for transport in [*loop._transports.values()]):
                await asyncio.sleep(0.001)  # all that was opened ends
            return result

    return loop.run_until_complete(within())


class Peer:
    """A client's side of TLS that is moved by hand, over a plain socket."""

    def __init__(self, loop: Fate, sock: socket.socket) -> None:
        self.loop = loop
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = CLIENT.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def hello(self) -> bytes:
        """What it says first."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.outgoing.read()

    async def finish(self) -> None:
        """Go on with the handshake to its end."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.incoming.write(await self.loop.sock_recv(self.sock, 65536))
            else:
                break
        await self.send(b"")

    async def send(self, data: bytes) -> None:
        """Send it encrypted."""
        if data:
            self.tls.write(data)
        await self.loop.sock_sendall(self.sock, self.outgoing.read())


async def served(
    loop: Fate, serve: Callable[[Any, Any], Awaitable[Any]], limit: int = 65536
) -> tuple[socket.socket, asyncio.Future[Any], Any]:
    """A client's socket, what `serve` will return, and the server."""
    result = loop.create_future()

    async def serve_one(reader: Any, writer: Any) -> None:
        try:
            result.set_result(await serve(reader, writer))
        except Exception as error:
            result.set_exception(error)
        finally:
            writer.close()
            with suppress(Exception):
                await writer.wait_closed()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0, limit=limit)
    sock = socket.create_connection(server.sockets[0].getsockname())
    sock.setblocking(False)
    return sock, result, server


async def buffered(reader: Any, size: int) -> None:
    while len(reader._buffer) < size:
        await asyncio.sleep(0)


@pytest.mark.parametrize("cut", [1, 100, None])
def test_a_client_hello_behind_a_line_in_the_clear_belongs_to_tls(any_loop: Fate, cut: int | None) -> None:
    """As behind a proxy that sends a line first. cut: so much of it comes with the line, the rest later."""

    async def main() -> None:
        came = any_loop.create_future()

        async def serve(reader: Any, writer: Any) -> Any:
            line = await reader.readline()
            await buffered(reader, 1 if cut == 1 else 100 if cut else len(hello))
            came.set_result(None)
            await writer.start_tls(SERVER)
            writer.write(b"welcome\n")
            return line, await reader.readline()

        sock, result, server = await served(any_loop, serve)
        peer = Peer(any_loop, sock)
        hello = peer.hello()
        await any_loop.sock_sendall(sock, b"PROXY\n" + hello[:cut])
        await came
        await any_loop.sock_sendall(sock, hello[cut:] if cut else b"")
        await peer.finish()
        await peer.send(b"secret\n")
        assert await result == (b"PROXY\n", b"secret\n")
        sock.close()
        server.close()

    run(any_loop, main)


def test_what_a_server_said_in_the_clear_is_not_read_as_if_it_had_come_by_tls(any_loop: Fate) -> None:
    """Else somebody in between could put words into the mouth of the server that is authenticated afterwards."""

    async def main() -> None:
        async def serve(reader: Any, writer: Any) -> None:
            writer.write(b"go ahead\nsmuggled\n")
            await reader.read()

        sock, _, server = await served(any_loop, serve)
        reader, writer = await asyncio.open_connection(sock=sock)
        assert await reader.readline() == b"go ahead\n"
        await buffered(reader, 9)
        with pytest.raises(ssl.SSLError):
            await writer.start_tls(CLIENT, server_hostname="localhost")
        assert b"smuggled" not in reader._buffer
        writer.close()
        server.close()

    run(any_loop, main)


def test_a_reader_that_had_paused_reads_on_by_tls_and_pauses_that(any_loop: Fate) -> None:
    async def main() -> None:
        large = b"x" * 100_000

        async def serve(reader: Any, writer: Any) -> Any:
            line = await reader.readline()
            await buffered(reader, len(hello))
            assert reader._paused
            await writer.start_tls(SERVER)
            assert reader._transport is writer.transport
            while not reader._paused:
                await asyncio.sleep(0)
            assert not writer.transport.is_reading()
            return line, await reader.readexactly(len(large))

        sock, result, server = await served(any_loop, serve, limit=50)
        peer = Peer(any_loop, sock)
        hello = peer.hello()
        await any_loop.sock_sendall(sock, b"PROXY\n" + hello)
        await peer.finish()
        await peer.send(large)
        assert await result == (b"PROXY\n", large)
        sock.close()
        server.close()

    run(any_loop, main)


@pytest.mark.parametrize("ahead", [True, False])
def test_a_peer_that_has_ended_ends_the_handshake(any_loop: Fate, ahead: bool) -> None:
    async def main() -> None:
        async def serve(reader: Any, writer: Any) -> Any:
            await reader.readline()
            await buffered(reader, 5 if ahead else 0)
            while not reader._eof:
                await asyncio.sleep(0)
            await writer.start_tls(SERVER)

        sock, result, server = await served(any_loop, serve)
        await any_loop.sock_sendall(sock, b"PROXY\n" + (Peer(any_loop, sock).hello()[:50] if ahead else b""))
        sock.shutdown(socket.SHUT_WR)
        with pytest.raises((OSError, ssl.SSLError)):
            await result
        sock.close()
        server.close()

    run(any_loop, main)


def test_a_cancelled_start_tls_closes_the_connection(any_loop: Fate, reports: list[dict[str, Any]]) -> None:
    waits: list[int] = []

    async def main() -> None:
        async def serve(reader: Any, writer: Any) -> Any:
            starting = asyncio.ensure_future(writer.start_tls(SERVER))
            for _ in range(waits[0]):
                await asyncio.sleep(0)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            assert writer.transport.is_closing()
            await writer.wait_closed()

        for turns in range(1, 6):
            waits[:] = [turns]
            sock, result, server = await served(any_loop, serve)
            await result
            assert await any_loop.sock_recv(sock, 1) == b""
            sock.close()
            server.close()

    run(any_loop, main)
    assert not reports


def client_context() -> ssl.SSLContext:
    """One that trusts nobody whom we know."""
    return ssl.create_default_context()


def server_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    CERTIFICATE.configure_cert(context)
    return context


def freed_at_once(loop: Fate, main: Callable[[], Awaitable[Any]], things: list[Any]) -> None:
    """`main` leaves nothing of `things`, weak references, to the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        run(loop, main)
        if not fate.compiled:  # then the error's traceback has frames of Fate's, which only the collector frees
            gc.collect()
        assert things
        assert [thing() for thing in things] == [None] * len(things)
    finally:
        gc.enable()


@pytest.mark.parametrize("end", ["reset", "close", "abort"])
def test_a_connection_that_ends_in_a_handshake_is_an_error_and_the_protocol_is_told(any_loop: Fate, end: str) -> None:
    async def main() -> None:
        async def serve(reader: Any, writer: Any) -> Any:
            transport = writer.transport
            starting = asyncio.ensure_future(writer.start_tls(SERVER))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if end == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
            else:
                getattr(transport, end)()
            with pytest.raises(OSError):
                await starting
            with suppress(OSError):
                await writer.wait_closed()

        sock, result, server = await served(any_loop, serve)
        await result
        sock.close()
        server.close()

    run(any_loop, main)


def test_a_failed_handshake_leaves_no_cycle(any_loop: Fate) -> None:
    """What has certificates and buffers is freed at once, and not when the collector comes round."""
    contexts: list[Any] = []

    async def main() -> None:
        over = any_loop.create_future()

        async def serve(reader: Any, writer: Any) -> Any:
            context = server_context()
            contexts.append(weakref.ref(context))
            with suppress(ssl.SSLError, OSError):
                await writer.start_tls(context)
            over.set_result(None)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        context = client_context()
        contexts.append(weakref.ref(context))
        with suppress(ssl.SSLError):
            await writer.start_tls(context, server_hostname="localhost")
        await over
        server.close()

    freed_at_once(any_loop, main, contexts)


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_failed_handshake_of_a_new_connection_leaves_no_cycle(any_loop: Fate, side: str) -> None:
    contexts: list[Any] = []

    async def main() -> None:
        ours, peer = socket.socketpair()
        peer.send(b"this is no TLS at all\n" * 10)
        context = client_context() if side == "client" else server_context()
        contexts.append(weakref.ref(context))
        with suppress(ssl.SSLError):
            if side == "client":
                await any_loop.create_connection(asyncio.Protocol, sock=ours, ssl=context, server_hostname="localhost")
            else:
                await any_loop.connect_accepted_socket(asyncio.Protocol, ours, ssl=context)
        peer.close()

    freed_at_once(any_loop, main, contexts)


def test_a_server_forgets_whom_it_could_not_shake_hands_with(any_loop: Fate) -> None:
    """What a port scanner leaves behind is freed at once."""
    protocols: list[Any] = []

    class Forgotten(asyncio.Protocol):
        pass

    def factory() -> Forgotten:
        protocol = Forgotten()
        protocols.append(weakref.ref(protocol))
        return protocol

    async def main() -> None:
        server = await any_loop.create_server(factory, "127.0.0.1", 0, ssl=SERVER)
        sock = socket.create_connection(server.sockets[0].getsockname())
        sock.setblocking(False)
        await any_loop.sock_sendall(sock, b"this is no TLS at all\n" * 10)
        with suppress(ConnectionResetError):
            while await any_loop.sock_recv(sock, 1000):
                pass
        sock.close()
        server.close()

    freed_at_once(any_loop, main, protocols)


@pytest.mark.parametrize("make", [lambda: bytearray(100), lambda: array.array("i", [0] * 25)])
def test_a_protocol_may_give_any_writable_buffer_for_what_comes_by_tls(any_loop: Fate, make: Callable[[], Any]) -> None:
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer = make()
            self.came = b""
            self.all = asyncio.get_running_loop().create_future()

        def get_buffer(self, sizehint: int) -> Any:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.came += memoryview(self.buffer).cast("B")[:nbytes].tobytes()
            if len(self.came) == 60 and not self.all.done():
                self.all.set_result(self.came)

    async def main() -> None:
        async def serve(reader: Any, writer: Any) -> None:
            writer.write(b"A" * 30)
            writer.write(b"B" * 30)
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=SERVER)
        transport, protocol = await any_loop.create_connection(
            Buffered, *server.sockets[0].getsockname(), ssl=CLIENT, server_hostname="localhost"
        )
        assert await protocol.all == b"A" * 30 + b"B" * 30
        transport.close()
        server.close()

    run(any_loop, main)


def test_a_protocol_that_begins_with_start_tls_is_given_its_transport_afterwards(
    any_loop: Fate, reports: list[dict[str, Any]]
) -> None:
    class Late(asyncio.StreamReaderProtocol):
        def connection_made(self, transport: Any) -> None:
            begin = super().connection_made
            starting = any_loop.create_task(any_loop.start_tls(transport, self, SERVER, server_side=True))
            starting.add_done_callback(lambda task: begin(task.result()))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    async def main() -> None:
        server = await any_loop.create_server(lambda: Late(asyncio.StreamReader(), answer), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=CLIENT, server_hostname="localhost")
        writer.write(b"line\n")
        assert await reader.read() == b"line\n"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(any_loop, main)
    assert not reports
