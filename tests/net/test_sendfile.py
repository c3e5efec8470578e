"""Files sent through transports and sockets: whatever ends that, transport and descriptor go on as before."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import selectors
import socket
import ssl
import tempfile
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from support import DEADLINE

from fate import Fate

AUTHORITY = trustme.CA()
SERVER = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
CLIENT = ssl.create_default_context()
AUTHORITY.issue_cert("localhost").configure_cert(SERVER)
AUTHORITY.configure_trust(CLIENT)
LARGE = 20_000_000  # more than any connection holds


class Noting(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.data = asyncio.get_running_loop().create_future()
        self.lost = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        if not self.data.done():
            self.data.set_result(data)

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


@pytest.fixture(params=["native", "selector"])
def any_loop(request: Any, reports: list[dict[str, Any]]) -> Iterator[Fate]:
    """A Fate on the native poll, and one on a selector, with asyncio's transports."""
    loop = Fate() if request.param == "native" else Fate(selectors.DefaultSelector())
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    yield loop
    loop.close()


@pytest.fixture
def file() -> Iterator[Any]:
    """A file of LARGE bytes."""
    with tempfile.TemporaryFile() as opened:
        opened.truncate(LARGE)
        yield opened


def run(loop: Fate, main: Callable[[], Awaitable[Any]]) -> Any:
    async def within() -> Any:
        async with asyncio.timeout(DEADLINE):
            result = await main()
            while any(transport._sock is not None for transport in [*loop._transports.values()]):
                await asyncio.sleep(0.001)  # all that was opened ends
            return result

    return loop.run_until_complete(within())


async def connected(loop: Fate) -> tuple[Any, Noting, socket.socket]:
    """A transport, its protocol, and its peer, which does not read by itself."""
    ours, peer = socket.socketpair()
    peer.setblocking(False)
    transport, protocol = await loop.create_connection(Noting, sock=ours)
    return transport, protocol, peer


async def count_to_end(loop: Fate, peer: socket.socket) -> int:
    total = 0
    while data := await loop.sock_recv(peer, 1 << 20):
        total += len(data)
    return total


async def stuck(loop: Fate, peer: socket.socket) -> None:
    """Until the peer's side is full: what follows waits."""
    before = -1
    while True:
        await asyncio.sleep(0.01)
        try:
            now = len(peer.recv(1 << 24, socket.MSG_PEEK))
        except BlockingIOError:
            now = 0
        if now and now == before:
            return
        before = now


@pytest.mark.parametrize("moment", ["before it begins", "while writes drain", "while the file is sent"])
def test_after_a_cancelled_sendfile_the_transport_goes_on(
    any_loop: Fate, file: Any, reports: list[dict[str, Any]], moment: str
) -> None:
    async def main() -> None:
        transport, protocol, peer = await connected(any_loop)
        written = 0
        if moment == "while writes drain":
            written = 3_000_000
            transport.write(b"x" * written)
        sending = any_loop.create_task(any_loop.sendfile(transport, file))
        if moment != "before it begins":
            await stuck(any_loop, peer)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert transport.is_reading()
        peer.send(b"hello")
        assert await protocol.data == b"hello"
        with pytest.raises(RuntimeError, match="is used by transport"):
            any_loop.add_reader(transport.get_extra_info("socket").fileno(), print)
        transport.write(b"more")
        transport.close()
        total = await count_to_end(any_loop, peer)
        assert total == written + file.tell() + 4
        assert await protocol.lost is None
        peer.close()

    run(any_loop, main)
    assert not reports


@pytest.mark.parametrize("end", ["abort", "close", "peer"])
@pytest.mark.parametrize("moment", ["while writes drain", "while the file is sent"])
def test_sendfile_ends_with_its_connection(
    any_loop: Fate, file: Any, reports: list[dict[str, Any]], end: str, moment: str
) -> None:
    async def main() -> None:
        transport, protocol, peer = await connected(any_loop)
        if moment == "while writes drain":
            transport.write(b"x" * 3_000_000)
        sending = any_loop.create_task(any_loop.sendfile(transport, file))
        await stuck(any_loop, peer)
        if end == "abort":
            transport.abort()
        elif end == "close":
            transport.close()
            if moment == "while writes drain":
                await count_to_end(any_loop, peer)
        else:
            peer.close()
        with pytest.raises(OSError):
            await sending
        transport.abort()
        await protocol.lost
        peer.close()

    run(any_loop, main)
    assert not reports


@pytest.mark.parametrize("cancelled", ["cancelled", "left alone"])
def test_a_number_is_free_for_others_when_its_transport_is_aborted_under_a_file(
    any_loop: Fate, file: Any, reports: list[dict[str, Any]], cancelled: str
) -> None:
    """Who gets the number of an ended transport is told of its own events, and may watch it."""

    async def main() -> None:
        transport, protocol, peer = await connected(any_loop)
        number = transport.get_extra_info("socket").fileno()
        sending = any_loop.create_task(any_loop.sendfile(transport, file))
        await stuck(any_loop, peer)
        transport.abort()
        if cancelled == "cancelled":
            await protocol.lost
            sending.cancel()
        await asyncio.wait([sending])
        assert sending.cancelled() == (cancelled == "cancelled")
        if not sending.cancelled():
            assert isinstance(sending.exception(), ConnectionError)
        await protocol.lost
        del transport, protocol, sending
        gc.collect()
        made: list[socket.socket] = []
        while number not in [sock.fileno() for sock in made]:  # lower ones may have become free
            made.extend(socket.socketpair())
        place = [sock.fileno() for sock in made].index(number)
        ours, other = made[place], made[place ^ 1]
        readable, writable = any_loop.create_future(), any_loop.create_future()
        any_loop.add_reader(ours, readable.set_result, None)
        other.send(b"x")
        await readable
        any_loop.remove_reader(ours)
        any_loop.add_writer(ours, writable.set_result, None)
        await writable
        any_loop.remove_writer(ours)
        for sock in (*made, peer):
            sock.close()

    run(any_loop, main)
    assert not reports


def test_a_second_file_at_once_is_refused_and_the_first_goes_on(any_loop: Fate, file: Any) -> None:
    async def main() -> None:
        transport, _, peer = await connected(any_loop)
        sending = any_loop.create_task(any_loop.sendfile(transport, file))
        await stuck(any_loop, peer)
        with tempfile.TemporaryFile() as other, pytest.raises(RuntimeError):
            await any_loop.sendfile(transport, other)
        with pytest.raises(RuntimeError, match="sendfile is in progress"):
            transport.write(b"meanwhile")
        counting = any_loop.create_task(count_to_end(any_loop, peer))
        assert await sending == LARGE
        transport.close()
        assert await counting == LARGE
        peer.close()

    run(any_loop, main)


@pytest.mark.parametrize(
    ("offset", "count", "sent"), [(0, None, 10), (4, None, 6), (4, 3, 3), (9, 99, 1), (10, None, 0)]
)
@pytest.mark.parametrize("fallback", [True, False])
def test_what_is_sent_and_where_the_file_stands_afterwards(
    any_loop: Fate, offset: int, count: int | None, sent: int, fallback: bool
) -> None:
    async def main() -> None:
        transport, _, peer = await connected(any_loop)
        with tempfile.TemporaryFile() as small:
            small.write(b"0123456789")
            small.flush()
            source: Any = io.BytesIO(b"0123456789") if fallback else small
            source.seek(7)
            assert await any_loop.sendfile(transport, source, offset, count, fallback=fallback) == sent
            assert source.tell() == (offset + sent if sent else 7 if not fallback else offset)
        transport.close()
        assert await any_loop.sock_recv(peer, 100) == b"0123456789"[offset : offset + sent]
        peer.close()

    run(any_loop, main)


def test_a_file_without_bytes_sends_none(any_loop: Fate) -> None:
    async def main() -> None:
        transport, _, peer = await connected(any_loop)
        with tempfile.TemporaryFile() as empty:
            assert await any_loop.sendfile(transport, empty, fallback=False) == 0
            assert await any_loop.sock_sendfile(peer, empty, fallback=False) == 0
        transport.close()
        peer.close()

    run(any_loop, main)


def test_a_cancelled_sock_sendfile_leaves_no_writer(any_loop: Fate, file: Any) -> None:
    async def main() -> None:
        ours, peer = socket.socketpair()
        for sock in (ours, peer):
            sock.setblocking(False)
        sending = any_loop.create_task(any_loop.sock_sendfile(ours, file, 5))
        await stuck(any_loop, peer)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert not any_loop.remove_writer(ours)
        sent = file.tell() - 5
        ours.close()
        assert await count_to_end(any_loop, peer) == sent
        peer.close()

    run(any_loop, main)


def test_sock_sendfile_leaves_a_transports_socket_alone(any_loop: Fate, file: Any) -> None:
    async def main() -> None:
        transport, _, peer = await connected(any_loop)
        sock = transport.get_extra_info("socket")._sock
        with pytest.raises(RuntimeError, match="is used by transport"):
            await any_loop.sock_sendfile(sock, file)
        transport.abort()
        peer.close()

    run(any_loop, main)


# -- files that are read and written -----------------------------------------------------------------------------------


async def secured(loop: Fate) -> tuple[Any, Noting, asyncio.StreamReader, Any, Any]:
    """A TLS transport that writes, its protocol, the peer's reader and writer, and the server."""
    met = loop.create_future()

    async def meet(reader: Any, writer: Any) -> None:
        met.set_result((reader, writer))
        writer.transport.pause_reading()

    server = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=SERVER)
    address = server.sockets[0].getsockname()
    transport, protocol = await loop.create_connection(Noting, *address, ssl=CLIENT, server_hostname="localhost")
    return transport, protocol, *await met, server


async def ended(transport: Any, protocol: Noting, writer: Any, server: Any) -> None:
    transport.abort()
    await protocol.lost
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()
    server.close()
    await server.wait_closed()


def test_over_tls_only_the_fallback_sends_and_that_is_a_typed_error(any_loop: Fate, file: Any) -> None:
    async def main() -> None:
        transport, protocol, _, writer, server = await secured(any_loop)
        with pytest.raises(asyncio.SendfileNotAvailableError, match="fallback is disabled"):
            await any_loop.sendfile(transport, file, fallback=False)
        await ended(transport, protocol, writer, server)

    run(any_loop, main)


def test_over_tls_a_file_begins_at_its_offset_wherever_it_stands(any_loop: Fate, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")

    async def main() -> None:
        transport, protocol, reader, writer, server = await secured(any_loop)
        writer.transport.resume_reading()
        with (tmp_path / "file").open("rb") as opened:
            opened.seek(7)
            assert await any_loop.sendfile(transport, opened) == 10
            assert opened.tell() == 10
        assert await reader.readexactly(10) == b"0123456789"
        await ended(transport, protocol, writer, server)

    run(any_loop, main)


@pytest.mark.parametrize("end", ["cancel", "abort", "all is sent"])
def test_the_protocol_is_told_what_it_missed_while_a_file_was_copied(
    any_loop: Fate, file: Any, reports: list[dict[str, Any]], end: str
) -> None:
    """`pause_writing` and `resume_writing` come in turns, as if there had been no file."""

    async def main() -> None:
        transport, protocol, reader, writer, server = await secured(any_loop)
        sending = any_loop.create_task(any_loop.sendfile(transport, file))
        while not transport._protocol_paused:
            await asyncio.sleep(0)
        if end == "all is sent":
            writer.transport.resume_reading()
            total = 0
            while total < LARGE:
                total += len(await reader.read(1 << 20))
            assert await sending == LARGE
        elif end == "cancel":
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            assert transport.get_protocol() is protocol
            assert transport.is_reading()
            assert protocol.told == ["pause"]
            writer.transport.resume_reading()
            transport.write(b"more")
            while protocol.told == ["pause"]:
                await reader.read(1 << 20)
        else:
            transport.abort()
            with pytest.raises(ConnectionError):
                await sending
        transport.abort()
        await protocol.lost
        assert protocol.told in ([], ["pause"], ["pause", "resume"])
        await ended(transport, protocol, writer, server)

    run(any_loop, main)
    assert not reports


def test_a_cancelled_copy_waits_for_the_thread_that_reads(any_loop: Fate) -> None:
    """Else the thread would move the file's position after the call has told where it stands."""
    may_read = threading.Event()
    reading = threading.Event()

    class Slow(io.BytesIO):
        def readinto(self, buffer: Any) -> int:
            reading.set()
            may_read.wait(DEADLINE)
            return super().readinto(buffer)

    async def main() -> None:
        transport, _, peer = await connected(any_loop)
        slow = Slow(b"0123456789")
        sending = any_loop.create_task(any_loop.sendfile(transport, slow))
        while not reading.is_set():
            await asyncio.sleep(0.001)
        sending.cancel()
        await asyncio.sleep(0)
        may_read.set()
        with pytest.raises(asyncio.CancelledError):
            await sending
        position = slow.tell()
        await asyncio.sleep(0.01)
        assert slow.tell() == position
        transport.write(b"more")
        assert await any_loop.sock_recv(peer, 100) == b"more"
        transport.close()
        peer.close()

    run(any_loop, main)


def test_pieces_of_a_copied_file_are_not_overwritten_while_they_wait(any_loop: Fate) -> None:
    async def main() -> None:
        transport, _, peer = await connected(any_loop)
        content = os.urandom(3_000_000)
        transport.set_write_buffer_limits(high=10_000_000)  # all of it waits in the transport
        assert await any_loop.sendfile(transport, io.BytesIO(content)) == len(content)
        transport.close()
        came = bytearray()
        while data := await any_loop.sock_recv(peer, 1 << 20):
            came += data
        assert came == content
        peer.close()

    run(any_loop, main)


# -- who keeps an ended transport --------------------------------------------------------------------------------------


def test_a_transport_that_a_warning_brings_back_has_ended(any_loop: Fate, reports: list[dict[str, Any]]) -> None:
    """A hook for warnings may keep the transport that was forgotten; its number is another's by then."""
    kept: list[Any] = []

    async def main() -> None:
        transport, _, peer = await connected(any_loop)
        transport.pause_reading()
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings._showwarnmsg_impl, before = lambda message: kept.append(message.source), warnings._showwarnmsg_impl  # type: ignore[attr-defined]
            try:
                del transport
                gc.collect()
            finally:
                warnings._showwarnmsg_impl = before  # type: ignore[attr-defined]
        (back,) = (source for source in kept if not isinstance(source, socket.socket))
        pair = socket.socketpair()
        told = any_loop.create_future()
        for sock in pair:
            any_loop.add_reader(sock, lambda: told.done() or told.set_result(None))
        assert back.is_closing()
        back.resume_reading()
        back.pause_reading()
        back.write(b"for nobody")
        back.close()
        back.abort()
        for sock in pair:
            assert any_loop._poll.get_key(sock.fileno())
        pair[1].send(b"x")
        await told
        for sock in pair:
            any_loop.remove_reader(sock)
            sock.close()
        peer.close()

    run(any_loop, main)
    assert not reports


def test_a_protocol_with_a_buffer_hears_what_comes_while_a_file_is_copied(
    any_loop: Fate, reports: list[dict[str, Any]]
) -> None:
    """Reading is paused then, but the program may resume it."""

    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.got = b""
            self.buffer = bytearray(3)

        def get_buffer(self, hint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, size: int) -> None:
            self.got += self.buffer[:size]

    async def main() -> None:
        ours, peer = socket.socketpair()
        peer.setblocking(False)
        transport, protocol = await any_loop.create_connection(Buffered, sock=ours)
        sending = any_loop.create_task(any_loop.sendfile(transport, io.BytesIO(bytes(LARGE))))
        await stuck(any_loop, peer)
        transport.resume_reading()
        peer.send(b"hello there")
        while len(protocol.got) < 11:
            await asyncio.sleep(0)
        assert protocol.got == b"hello there"
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        transport.abort()
        peer.close()
        await asyncio.sleep(0)

    run(any_loop, main)
    assert not reports


@pytest.mark.parametrize("kind", [tempfile.TemporaryFile, io.BytesIO])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_call_that_is_let_go_of_after_its_loop_is_closed_says_nothing(any_loop: Fate, kind: Any) -> None:
    async def main() -> Any:
        ours, peer = socket.socketpair()
        peer.setblocking(False)
        transport, _ = await any_loop.create_connection(asyncio.Protocol, sock=ours)
        file = kind()
        file.write(bytes(LARGE))
        call = any_loop.sendfile(transport, file)
        call.send(None)
        return call, transport, peer, file

    call, transport, peer, file = any_loop.run_until_complete(main())
    any_loop.close()
    call.close()  # as the collector does
    peer.close()
    file.close()
    del transport
    gc.collect()
