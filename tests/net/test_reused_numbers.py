"""A descriptor's number outlives its file: who waits, reads or writes is trusted for the very file that it began with.

In each test a file is closed behind the back of who uses it, and another file gets its number.
"""

from __future__ import annotations

import asyncio
import errno
import os
import selectors
import socket
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import DEADLINE

from fate import Fate

Pair = tuple[socket.socket, socket.socket]


def pair_at(number: int) -> Pair:
    """Two connected sockets, the first of which has that number, which is free."""
    near, far = socket.socketpair()
    if far.fileno() == number:
        near, far = far, near
    if near.fileno() != number:
        os.dup2(near.fileno(), number)
        near.close()
        near = socket.socket(fileno=number)
    near.setblocking(False)
    far.setblocking(False)
    return near, far


def tcp_pair() -> Pair:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    near.setblocking(False)
    far.setblocking(False)
    return near, far


def run(loop: Any, coroutine: Any) -> Any:
    async def within() -> Any:
        async with asyncio.timeout(DEADLINE):
            return await coroutine

    return loop.run_until_complete(within())


@pytest.fixture
def pairs() -> Iterator[Callable[..., Pair]]:
    """Makes pairs, which are closed at the end."""
    made: list[socket.socket] = []

    def pair(number: int | None = None, kind: Callable[[], Pair] = socket.socketpair) -> Pair:
        near, far = kind() if number is None else pair_at(number)
        near.setblocking(False)
        made.extend((near, far))
        return near, far

    yield pair
    for sock in made:
        sock.close()


SELECTORS: dict[str, Callable[[], Any]] = {"native": lambda: None}
SELECTORS |= {
    name: getattr(selectors, name)
    for name in ("EpollSelector", "PollSelector", "SelectSelector")
    if hasattr(selectors, name)
}


@pytest.fixture(params=SELECTORS)
def any_loop(request: pytest.FixtureRequest) -> Iterator[Fate]:
    loop = Fate(SELECTORS[request.param]())
    yield loop
    loop.close()


# -- readers and writers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["number", "object"])
def test_who_adds_a_reader_where_a_closed_file_had_one_is_told(any_loop: Fate, pairs: Any, by: str) -> None:
    loop = any_loop
    old, _ = pairs()
    number = old.fileno()
    loop.add_reader(number if by == "number" else old, pytest.fail)
    old.close()
    new, far = pairs(number)
    far.send(b"x")
    told = loop.create_future()
    loop.add_reader(number if by == "number" else new, lambda: told.done() or told.set_result("told"))
    assert run(loop, told) == "told"
    assert loop.remove_reader(new)


def test_who_adds_a_writer_where_a_closed_file_had_one_is_told(any_loop: Fate, pairs: Any) -> None:
    loop = any_loop
    old, _ = pairs()
    number = old.fileno()
    loop.add_writer(old, lambda: None)
    old.close()
    new, _ = pairs(number)
    told = loop.create_future()
    loop.add_writer(new, lambda: told.done() or told.set_result("told"))
    assert run(loop, told) == "told"
    assert loop.remove_writer(new)


def test_the_reader_of_a_closed_file_is_not_told_of_the_file_that_a_writer_was_added_for(
    loop: Fate, pairs: Any
) -> None:
    old, _ = pairs()
    number = old.fileno()
    heard: list[str] = []
    loop.add_reader(number, heard.append, "old reader")
    old.close()
    new, far = pairs(number)
    far.send(b"x")
    told = loop.create_future()
    loop.add_writer(number, lambda: told.done() or told.set_result(None))
    run(loop, told)
    run(loop, asyncio.sleep(0))
    assert heard == []
    assert loop.remove_writer(new)
    assert not loop.remove_reader(new)


def test_what_is_removed_for_a_closed_file_is_not_the_reader_of_the_next_one(loop: Fate, pairs: Any) -> None:
    old, _ = pairs()
    number = old.fileno()
    loop.add_reader(old, pytest.fail)
    old.close()
    new, far = pairs(number)

    async def main() -> bytes:
        receiving = asyncio.ensure_future(loop.sock_recv(new, 1))
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match="-1"):
            loop.remove_reader(old)
        far.send(b"x")
        data: bytes = await receiving
        return data

    assert run(loop, main()) == b"x"


# -- sock_* -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", ["reader", "writer", "both"])
def test_sock_calls_on_the_number_of_a_watched_file_that_was_closed(loop: Fate, pairs: Any, left: str) -> None:
    old, _ = pairs()
    number = old.fileno()
    if left != "writer":
        loop.add_reader(number, lambda: None)
    if left != "reader":
        loop.add_writer(number, lambda: None)
    old.close()
    new, far = pairs(number)
    big = bytes(4_000_000)

    async def main() -> None:
        receiving = asyncio.ensure_future(loop.sock_recv(new, 5))
        await asyncio.sleep(0)
        far.send(b"x")
        assert await receiving == b"x"
        sending = asyncio.ensure_future(loop.sock_sendall(new, big))
        count = 0
        while count < len(big):
            count += len(await loop.sock_recv(far, 1 << 20))
        await sending

    run(loop, main())


def test_connecting_and_accepting_on_the_numbers_of_watched_files_that_were_closed(loop: Fate, pairs: Any) -> None:
    first, second = pairs()
    numbers = first.fileno(), second.fileno()
    for sock in (first, second):
        loop.add_reader(sock.fileno(), lambda: None)
        loop.add_writer(sock.fileno(), lambda: None)
        sock.close()
    with socket.socket() as listener, socket.socket() as client:
        assert {listener.fileno(), client.fileno()} == set(numbers)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        client.setblocking(False)

        async def main() -> None:
            accepting = asyncio.ensure_future(loop.sock_accept(listener))
            await asyncio.sleep(0)
            await loop.sock_connect(client, listener.getsockname())
            connection, _ = await accepting
            connection.close()

        run(loop, main())


# -- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [socket.socketpair, tcp_pair])
def test_a_connection_on_the_number_of_a_watched_file_that_was_closed(loop: Fate, pairs: Any, kind: Any) -> None:
    old, _ = pairs(None, kind)
    number = old.fileno()
    loop.add_reader(number, pytest.fail)
    loop.add_writer(number, pytest.fail)
    old.close()
    new, far = pairs(None, kind)
    if new.fileno() != number:
        new, far = far, new
    assert new.fileno() == number

    async def main() -> None:
        reader, writer = await asyncio.open_connection(sock=new)
        far.send(b"tea\n")
        assert await reader.readline() == b"tea\n"
        writer.close()
        await writer.wait_closed()

    run(loop, main())


class Told(asyncio.Protocol):
    def __init__(self) -> None:
        self.data = b""
        self.lost = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


@pytest.mark.parametrize("kind", [socket.socketpair, tcp_pair])
@pytest.mark.parametrize("ends", ["close", "abort", "pause_reading"])
def test_the_transport_of_a_closed_socket_takes_nothing_from_the_next_one(
    loop: Fate, pairs: Any, kind: Any, ends: str
) -> None:
    async def main() -> None:
        old, _ = pairs(None, kind)
        number = old.fileno()
        transport, protocol = await loop.create_connection(Told, sock=old)
        old.close()
        new, far = pairs(number)
        heard = loop.create_future()
        loop.add_reader(new, lambda: heard.done() or heard.set_result("heard"))  # the number is the transport's no more
        getattr(transport, ends)()
        far.send(b"x")
        assert await heard == "heard"
        assert loop.remove_reader(new)
        transport.abort()
        await protocol.lost
        assert protocol.data == b""

    run(loop, main())


@pytest.mark.parametrize("kind", [socket.socketpair, tcp_pair])
def test_the_transport_of_a_closed_socket_that_shall_read_again_ends(loop: Fate, pairs: Any, kind: Any) -> None:
    async def main() -> None:
        old, _ = pairs(None, kind)
        number = old.fileno()
        transport, protocol = await loop.create_connection(Told, sock=old)
        transport.pause_reading()
        old.close()
        _, far = pairs(number)
        far.send(b"somebody else's")
        transport.resume_reading()
        error = await protocol.lost
        assert isinstance(error, OSError)
        assert os.strerror(error.errno or 0) == "Bad file descriptor"
        assert protocol.data == b""

    run(loop, main())


def test_closing_the_transport_of_a_closed_socket_ends_though_something_waits_to_be_sent(
    loop: Fate, pairs: Any
) -> None:
    async def main() -> None:
        old, _ = pairs()
        transport, protocol = await loop.create_connection(Told, sock=old)
        transport.write(bytes(4_000_000))
        assert transport.get_write_buffer_size()
        old.close()
        transport.close()
        assert isinstance(await protocol.lost, OSError)

    run(loop, main())


def test_two_transports_one_after_the_other_at_one_number(loop: Fate, pairs: Any) -> None:
    async def main() -> None:
        old, _ = pairs()
        number = old.fileno()
        first, first_protocol = await loop.create_connection(Told, sock=old)
        old.close()
        new, far = pairs(number)
        reader, writer = await asyncio.open_connection(sock=new)
        first.close()
        assert await first_protocol.lost is None
        far.send(b"tea\n")
        assert await reader.readline() == b"tea\n"
        writer.write(bytes(4_000_000))
        count = 0
        while count < 4_000_000:
            count += len(await loop.sock_recv(far, 1 << 20))
        writer.close()
        await writer.wait_closed()

    run(loop, main())


def test_a_new_epoll_is_not_told_of_files_that_were_closed(loop: Fate, pairs: Any) -> None:
    """A file that lives on as a duplicate cannot be taken out of an epoll, so Fate begins with another."""
    if not hasattr(loop._poll, "remind") or type(loop._poll).__name__ != "EpollPoll":
        pytest.skip("this system has no epoll")
    ghost, ghost_far = pairs()
    stale, _ = pairs()
    number = stale.fileno()
    heard: list[str] = []
    loop.add_reader(ghost.fileno(), heard.append, "ghost")
    loop.add_reader(number, heard.append, "stale")
    stale.close()
    _, far = pairs(number)  # which nobody watches
    far.send(b"x")
    duplicate = ghost.dup()
    with duplicate:
        place = ghost.fileno()
        ghost.close()
        new, new_far = pairs(place)
        told = loop.create_future()
        loop.add_reader(place, lambda: told.done() or told.set_result(None))
        ghost_far.send(b"x")
        new_far.send(b"x")
        run(loop, told)
        run(loop, asyncio.sleep(0.01))
        assert heard == []
        loop.remove_reader(new)


# -- sendfile ---------------------------------------------------------------------------------------------------------


def test_a_number_at_which_sendfile_has_waited_when_its_transport_was_aborted(loop: Fate, pairs: Any) -> None:
    loop.set_exception_handler(lambda loop, context: None)

    async def main() -> None:
        old, _ = pairs()
        number = old.fileno()
        transport, protocol = await loop.create_connection(Told, sock=old)
        with tempfile.TemporaryFile() as file:
            file.truncate(50_000_000)
            sending = asyncio.ensure_future(loop.sendfile(transport, file))
            while loop._poll.get_map()[number].data[1] is None:
                await asyncio.sleep(0)
            transport.abort()
            await protocol.lost
            sending.cancel()
            await asyncio.wait([sending])
        new, _ = pairs(number)
        told = loop.create_future()
        loop.add_writer(new, lambda: told.done() or told.set_result(None))
        await told
        loop.remove_writer(new)

    run(loop, main())


# -- datagrams and pipes ----------------------------------------------------------------------------------------------


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.came: list[bytes] = []
        self.lost = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.came.append(data)

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


def numbers(errors: list[Any]) -> list[str]:
    return [os.strerror(error.errno) for error in errors]


def _resolve(future: Any) -> None:
    if not future.done():
        future.set_result(None)


def udp(connected: bool) -> tuple[socket.socket, socket.socket]:
    near, far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for sock in (near, far):
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
    if connected:
        near.connect(far.getsockname())
    return near, far


@pytest.mark.parametrize("connected", [False, True])
def test_datagrams_of_a_closed_socket_go_to_nobody(loop: Fate, pairs: Any, connected: bool) -> None:
    async def main() -> None:
        near, far = pairs(None, lambda: udp(connected))
        number = near.fileno()
        transport, protocol = await loop.create_datagram_endpoint(Datagrams, sock=near)
        near.close()
        _, victim = pairs(number)
        transport.sendto(b"secret", None if connected else far.getsockname())
        with pytest.raises(BlockingIOError):
            victim.recv(100)
        assert numbers(protocol.errors) == ["Bad file descriptor"]
        transport.close()
        assert await protocol.lost is None

    run(loop, main())


@pytest.mark.parametrize("how", ["in the same turn", "resumed"])
def test_datagrams_of_another_socket_with_the_number_are_not_received(loop: Fate, pairs: Any, how: str) -> None:
    async def main() -> None:
        near, _ = pairs(None, lambda: udp(False))
        number, address = near.fileno(), near.getsockname()
        transport: Any
        transport, protocol = await loop.create_datagram_endpoint(Datagrams, sock=near)
        await asyncio.sleep(0)
        if how == "resumed":
            transport.pause_reading()
        ahead, behind = pairs()
        behind.send(b"x")  # it is told of first
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", address)
        poll_then = loop.create_future()

        def close_it() -> None:
            if poll_then.done():
                return
            near.close()
            new, far = pairs(number)
            far.send(b"somebody else's")
            poll_then.set_result(new)

        if how == "resumed":
            close_it()
            transport.resume_reading()
        else:
            loop.add_reader(ahead, close_it)
            await poll_then
            loop.remove_reader(ahead)
        new = await poll_then
        for _ in range(2):
            polled: Any = loop.create_future()
            loop.add_reader(ahead, _resolve, polled)
            await polled
            loop.remove_reader(ahead)
        assert b"somebody else's" not in protocol.came
        assert await loop.sock_recv(new, 100) == b"somebody else's"
        transport.close()
        await protocol.lost

    run(loop, main())


def test_closing_the_datagram_transport_of_a_closed_socket_lets_the_next_one_wait(loop: Fate, pairs: Any) -> None:
    async def main() -> None:
        near, _ = pairs(None, lambda: udp(False))
        number = near.fileno()
        transport, protocol = await loop.create_datagram_endpoint(Datagrams, sock=near)
        await asyncio.sleep(0)
        near.close()
        new, far = pairs(number)
        receiving = asyncio.ensure_future(loop.sock_recv(new, 1))
        await asyncio.sleep(0)
        transport.close()
        await protocol.lost
        far.send(b"x")
        assert await receiving == b"x"

    run(loop, main())


class Piped(Told, asyncio.SubprocessProtocol):
    """For both ends of pipes."""


@pytest.mark.parametrize("buffered", [False, True])
def test_what_is_written_to_a_closed_pipe_goes_to_nobody(loop: Fate, pairs: Any, reports: Any, buffered: bool) -> None:
    async def main() -> None:
        source, sink = os.pipe()
        os.set_blocking(source, False)
        pipe = os.fdopen(sink, "wb", -1 if buffered else 0)
        transport, protocol = await loop.connect_write_pipe(Piped, pipe)
        pipe.close()
        _, victim = pairs(sink)
        transport.write(b"secret")
        with pytest.raises(BlockingIOError):
            victim.recv(100)
        assert os.strerror((await protocol.lost).errno) == "Bad file descriptor"
        os.close(source)

    run(loop, main())


def test_closing_a_full_pipe_that_was_closed_behind_its_back_ends(loop: Fate, pairs: Any) -> None:
    async def main() -> None:
        source, sink = os.pipe()
        pipe = os.fdopen(sink, "wb", 0)
        transport, protocol = await loop.connect_write_pipe(Piped, pipe)
        transport.write(bytes(1_000_000))
        assert transport.get_write_buffer_size()
        pipe.close()
        _, victim = pairs(sink)
        transport.close()
        assert isinstance(await protocol.lost, OSError)
        with pytest.raises(BlockingIOError):
            victim.recv(100)
        os.close(source)

    run(loop, main())


@pytest.mark.parametrize("buffered", [False, True])
def test_what_another_pipe_with_the_number_has_is_not_read(loop: Fate, pairs: Any, buffered: bool) -> None:
    async def main() -> None:
        source, sink = os.pipe()
        pipe = os.fdopen(source, "rb", -1 if buffered else 0)
        transport, protocol = await loop.connect_read_pipe(Piped, pipe)
        await asyncio.sleep(0)
        transport.pause_reading()
        pipe.close()
        new, far = pairs(source)
        far.send(b"somebody else's")
        transport.resume_reading()
        assert os.strerror((await protocol.lost).errno) == "Bad file descriptor"
        assert protocol.data == b""
        assert await loop.sock_recv(new, 100) == b"somebody else's"
        os.close(sink)

    run(loop, main())


# -- fuses ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["reader", "writer"])
def test_a_fuse_takes_nothing_from_who_has_come_to_the_number(loop: Fate, pairs: Any, direction: str) -> None:
    old, _ = pairs()
    number = old.fileno()
    if direction == "writer":
        with pytest.raises(BlockingIOError):
            while True:
                old.send(bytes(65536))
    fuse = loop.get_fuse(readable=old) if direction == "reader" else loop.get_fuse(writable=old)
    old.close()
    new, far = pairs(number)
    told = loop.create_future()
    getattr(loop, f"add_{direction}")(new, lambda: told.done() or told.set_result("told"))
    fuse.cancel()
    far.send(b"x")
    assert run(loop, told) == "told"
    assert getattr(loop, f"remove_{direction}")(new)


def test_a_fuse_where_a_closed_file_has_a_reader_still(loop: Fate, pairs: Any) -> None:
    old, _ = pairs()
    number = old.fileno()
    loop.add_reader(number, pytest.fail)
    old.close()
    new, far = pairs(number)
    fuse = loop.get_fuse(readable=new)
    far.send(b"x")

    async def main() -> Any:
        return await fuse

    assert run(loop, main()) is new


def test_a_packet_fuse_takes_nothing_from_who_has_come_to_the_number(loop: Fate, pairs: Any) -> None:
    old, _ = pairs(None, lambda: udp(False))
    number = old.fileno()
    fuse = loop.get_packet_fuse(old)
    old.close()
    new, far = pairs(number)

    async def main() -> bytes:
        receiving = asyncio.ensure_future(loop.sock_recv(new, 1))
        await asyncio.sleep(0)
        fuse.cancel()
        far.send(b"x")
        data: bytes = await receiving
        return data

    assert run(loop, main()) == b"x"


# -- servers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["by the handler", "before the next try"])
def test_a_server_that_is_closed_while_it_waits_for_descriptors_stays_closed(
    loop: Fate, pairs: Any, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr("asyncio.constants.ACCEPT_RETRY_DELAY", 0.001)
    reports: list[Any] = []

    async def main() -> None:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        number, address = server.sockets[0].fileno(), server.sockets[0].getsockname()
        told = loop.create_future()

        def handler(loop: Any, context: dict[str, Any]) -> None:
            reports.append(context["exception"])
            if when == "by the handler":
                server.close()
                heard.append(pairs(number)[0])
                loop.add_reader(heard[0], lambda: heard_something.done() or heard_something.set_result(None))
            if not told.done():
                told.set_result(None)

        heard: list[Any] = []
        heard_something = loop.create_future()
        loop.set_exception_handler(handler)

        def no_descriptor(*args: Any) -> Any:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr("fate.net.connections.accept", no_descriptor)
        with socket.create_connection(address):
            await told
        if when != "by the handler":
            server.close()
            heard.append(pairs(number)[0])
            loop.add_reader(heard[0], lambda: heard_something.done() or heard_something.set_result(None))
        await asyncio.sleep(0.02)  # several tries
        assert not heard_something.done()
        assert loop.remove_reader(heard[0])
        assert [type(report) for report in reports] == [OSError]

    run(loop, main())
