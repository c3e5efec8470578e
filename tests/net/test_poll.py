"""The polls: epoll itself, and any selector of the standard library's kind, behave the same."""

from __future__ import annotations

import os
import select
import selectors
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator

import pytest

from fate import Fate, Handle
from fate.core.engine import Engine
from fate.net.poll import EpollPoll, SelectorPoll

AnyPoll = EpollPoll | SelectorPoll

POLLS: dict[str, Callable[[], AnyPoll]] = {"SelectSelector": lambda: SelectorPoll(selectors.SelectSelector())}
if hasattr(select, "poll"):
    POLLS["PollSelector"] = lambda: SelectorPoll(selectors.PollSelector())
if hasattr(select, "kqueue"):
    POLLS["KqueueSelector"] = lambda: SelectorPoll(selectors.KqueueSelector())
if hasattr(select, "epoll"):
    POLLS["EpollSelector"] = lambda: SelectorPoll(selectors.EpollSelector())
    POLLS["native"] = EpollPoll
EPOLLS = [name for name in POLLS if name in ("EpollSelector", "native")]


class World:
    """One poll, and handles with names."""

    def __init__(self, poll: AnyPoll) -> None:
        self.poll = poll
        self.engine = Engine(poll)
        self.names: dict[int, str] = {}
        self.kept: list[Handle] = []

    def handle(self, name: str) -> Handle:
        made = self.engine.make_handle(lambda: None, ())
        self.kept.append(made)
        self.names[id(made)] = name
        return made

    def look(self, timeout_ns: int = 0) -> list[str]:
        ready: list[Handle] = []
        self.poll.poll(timeout_ns, ready)
        return sorted(self.names[id(handle)] for handle in ready)


@pytest.fixture(params=POLLS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(POLLS[request.param]())
    yield world
    world.poll.close()


@pytest.fixture(params=EPOLLS)
def epoll_world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(POLLS[request.param]())
    yield world
    world.poll.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    yield near, far
    near.close()
    far.close()


def test_a_reader_is_ready_when_there_is_something_to_read_and_as_long_as_there_is(
    world: World, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    world.poll.add_reader(near.fileno(), world.handle("reader"))
    assert world.look() == []
    far.send(b"x")
    assert world.look() == ["reader"]
    assert world.look() == ["reader"]
    near.recv(1)
    assert world.look() == []


def test_a_writer_is_ready_while_there_is_room(world: World, pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    world.poll.add_writer(near.fileno(), world.handle("writer"))
    assert world.look() == ["writer"]
    with pytest.raises(BlockingIOError):
        while True:
            near.send(b"x" * 65536)
    assert world.look() == []
    far.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            far.recv(1 << 20)
    assert world.look() == ["writer"]


def test_a_descriptor_may_have_a_reader_and_a_writer_and_each_goes_alone(
    world: World, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    far.send(b"x")
    world.poll.add_reader(near.fileno(), world.handle("reader"))
    world.poll.add_writer(near.fileno(), world.handle("writer"))
    assert world.look() == ["reader", "writer"]
    assert world.poll.remove_writer(near.fileno()) is True
    assert world.look() == ["reader"]
    world.poll.add_writer(near.fileno(), world.handle("writer again"))
    assert world.poll.remove_reader(near.fileno()) is True
    assert world.look() == ["writer again"]
    assert world.poll.remove_writer(near.fileno()) is True
    assert world.look() == []
    assert dict(world.poll.get_map()) == {}


def test_a_second_reader_or_writer_replaces_the_first_which_is_cancelled(
    world: World, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    far.send(b"x")
    first, second = world.handle("first"), world.handle("second")
    world.poll.add_reader(near.fileno(), first)
    world.poll.add_reader(near.fileno(), second)
    assert first.cancelled() and not second.cancelled()
    assert world.look() == ["second"]
    third, fourth = world.handle("third"), world.handle("fourth")
    world.poll.add_writer(near.fileno(), third)
    world.poll.add_writer(near.fileno(), fourth)
    assert third.cancelled() and not fourth.cancelled()
    assert world.look() == ["fourth", "second"]


def test_removing_tells_whether_there_was_something_and_cancels_it(
    world: World, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, _ = pair
    fd = near.fileno()
    reader, writer = world.handle("reader"), world.handle("writer")
    assert world.poll.remove_reader(fd) is False
    assert world.poll.remove_writer(fd) is False
    world.poll.add_reader(fd, reader)
    assert world.poll.remove_writer(fd) is False
    assert world.poll.remove_reader(fd) is True
    assert reader.cancelled()
    assert world.poll.remove_reader(fd) is False
    world.poll.add_writer(fd, writer)
    assert world.poll.remove_reader(fd) is False
    assert world.poll.remove_writer(fd) is True
    assert writer.cancelled()
    assert world.poll.remove_writer(fd) is False


def test_a_hang_up_makes_the_reader_ready(world: World, pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    world.poll.add_reader(near.fileno(), world.handle("reader"))
    far.close()
    assert world.look(10**9) == ["reader"]


def test_a_hang_up_on_a_full_socket_makes_the_writer_ready(
    world: World, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    with pytest.raises(BlockingIOError):
        while True:
            near.send(b"x" * 65536)
    world.poll.add_writer(near.fileno(), world.handle("writer"))
    assert world.look() == []
    far.close()
    assert world.look(10**9) == ["writer"]


def test_the_end_of_a_pipe_concerns_its_reader_and_its_writer(world: World) -> None:
    reading, writing = os.pipe()
    world.poll.add_reader(reading, world.handle("reader"))
    os.close(writing)
    assert world.look(10**9) == ["reader"]
    world.poll.remove_reader(reading)
    os.close(reading)


def test_the_key_and_the_map_tell_what_is_watched(world: World, pair: tuple[socket.socket, socket.socket]) -> None:
    near, _ = pair
    fd = near.fileno()
    with pytest.raises(KeyError):
        world.poll.get_key(fd)
    reader, writer = world.handle("reader"), world.handle("writer")
    world.poll.add_reader(fd, reader)
    key = world.poll.get_key(fd)
    assert (key.fd, key.events, key.data) == (fd, selectors.EVENT_READ, (reader, None))
    world.poll.add_writer(fd, writer)
    key = world.poll.get_key(fd)
    assert (key.events, key.data) == (selectors.EVENT_READ | selectors.EVENT_WRITE, (reader, writer))
    assert list(world.poll.get_map()) == [fd]
    world.poll.remove_reader(fd)
    assert world.poll.get_map()[fd].data == (None, writer)


@pytest.mark.parametrize("direction", ["reader", "writer"])
def test_a_descriptor_closed_behind_the_polls_back_can_be_removed(
    world: World, pair: tuple[socket.socket, socket.socket], direction: str
) -> None:
    near, _ = pair
    fd = near.fileno()
    getattr(world.poll, f"add_{direction}")(fd, world.handle(direction))
    near.close()
    assert getattr(world.poll, f"remove_{direction}")(fd) is True
    assert world.look() == []
    assert dict(world.poll.get_map()) == {}


def test_the_reader_and_the_writer_of_a_closed_descriptor_can_both_be_removed(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    if not hasattr(select, "epoll"):
        pytest.skip("this system has no epoll; the standard library's selectors raise OSError here")
    world = World(EpollPoll())
    near, _ = pair
    fd = near.fileno()
    world.poll.add_reader(fd, world.handle("reader"))
    world.poll.add_writer(fd, world.handle("writer"))
    near.close()
    assert world.poll.remove_reader(fd) is True
    assert world.poll.remove_writer(fd) is True
    assert dict(world.poll.get_map()) == {}
    world.poll.close()


def test_a_number_that_was_closed_unremoved_and_given_to_another_file_works_for_that_file(world: World) -> None:
    near, far = socket.socketpair()
    left, right = socket.socketpair()
    fd = near.fileno()
    world.poll.add_reader(fd, world.handle("old"))
    near.close()
    far.close()
    os.dup2(left.fileno(), fd)
    try:
        world.poll.remove_reader(fd)
        world.poll.add_reader(fd, world.handle("new"))
        assert world.look() == []
        right.send(b"x")
        assert world.look() == ["new"]
    finally:
        world.poll.remove_reader(fd)
        os.close(fd)
        left.close()
        right.close()


def test_a_number_given_to_another_file_may_also_be_taken_over_in_place(epoll_world: World) -> None:
    world = epoll_world
    near, far = socket.socketpair()
    left, right = socket.socketpair()
    fd = near.fileno()
    world.poll.add_reader(fd, world.handle("old"))
    near.close()
    far.close()
    os.dup2(left.fileno(), fd)
    right.send(b"x")
    try:
        world.poll.add_writer(fd, world.handle("new writer"))
        assert world.look() == ["new writer"]  # "old" has waited for the other file
        assert world.poll.remove_reader(fd) is False
    finally:
        world.poll.remove_reader(fd)
        world.poll.remove_writer(fd)
        os.close(fd)
        left.close()
        right.close()


def test_a_regular_file_cannot_be_watched_and_leaves_nothing_behind(epoll_world: World) -> None:
    with tempfile.TemporaryFile() as file:
        handle = epoll_world.handle("never")
        with pytest.raises(PermissionError):
            epoll_world.poll.add_reader(file.fileno(), handle)
        with pytest.raises(PermissionError):
            epoll_world.poll.add_writer(file.fileno(), handle)
        assert dict(epoll_world.poll.get_map()) == {}
        assert epoll_world.poll.remove_reader(file.fileno()) is False
        assert epoll_world.look() == []


def test_a_closed_descriptor_cannot_be_watched(epoll_world: World) -> None:
    near, far = socket.socketpair()
    fd = near.fileno()
    near.close()
    far.close()
    with pytest.raises(OSError, match=r"[Bb]ad file descriptor"):
        epoll_world.poll.add_reader(fd, epoll_world.handle("never"))
    assert dict(epoll_world.poll.get_map()) == {}


def test_a_failed_replacement_leaves_the_first_in_its_place(
    epoll_world: World, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, _ = pair
    fd = near.fileno()
    reader = epoll_world.handle("reader")
    epoll_world.poll.add_reader(fd, reader)
    near.close()
    with pytest.raises(OSError, match=r"[Bb]ad file descriptor|No such file"):
        epoll_world.poll.add_writer(fd, epoll_world.handle("writer"))
    assert not reader.cancelled()
    epoll_world.poll.remove_reader(fd)


def test_more_descriptors_than_fit_in_one_batch_are_all_served(world: World) -> None:
    pairs = [socket.socketpair() for _ in range(300)]
    for number, (near, far) in enumerate(pairs):
        world.poll.add_reader(near.fileno(), world.handle(str(number)))
        far.send(b"x")
    seen: set[str] = set()
    for _ in range(3):
        for name in world.look():
            seen.add(name)
            pairs[int(name)][0].recv(1)
    assert len(seen) == 300
    for near, far in pairs:
        world.poll.remove_reader(near.fileno())
        near.close()
        far.close()


def test_the_wait_is_neither_shorter_nor_much_longer_than_asked(world: World) -> None:
    for timeout in (0, 100_000, 3_000_000, 20_000_000):
        start = time.monotonic_ns()
        assert world.look(timeout) == []
        took = time.monotonic_ns() - start
        assert timeout - 100 <= took < timeout + 1_000_000_000


def test_a_signals_handler_runs_in_the_wait(world: World) -> None:
    near, far = socket.socketpair()
    before = signal.signal(signal.SIGALRM, lambda *args: far.send(b"!"))
    with near, far:
        world.poll.add_reader(near.fileno(), world.handle("rang"))
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.005)
            start = time.monotonic()
            while not (came := world.look(20_000_000_000)):  # interrupted
                pass
            took = time.monotonic() - start
        finally:
            signal.signal(signal.SIGALRM, before)
        world.poll.remove_reader(near.fileno())
    assert came == ["rang"] and took < 10


def test_an_error_of_a_signal_handler_comes_out_of_the_wait(world: World) -> None:
    def ring(*args: object) -> None:
        raise LookupError("alarm")

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.005)
        with pytest.raises(LookupError, match="alarm"):
            world.look(10**10)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_closed_epoll_refuses_work_and_closes_twice() -> None:
    if not hasattr(select, "epoll"):
        pytest.skip("this system has no epoll")
    poll = EpollPoll()
    poll.close()
    poll.close()
    near, far = socket.socketpair()
    with pytest.raises(ValueError, match="closed"):
        poll.add_reader(near.fileno(), World(EpollPoll()).handle("x"))
    with pytest.raises(ValueError, match="closed"):
        poll.poll(0, [])
    near.close()
    far.close()


# -- the same programs on a Fate of each kind ---------------------------------------------------------------------

FATES: dict[str, Callable[[], Fate]] = {"native": Fate, "SelectSelector": lambda: Fate(selectors.SelectSelector())}
for _name in ("PollSelector", "EpollSelector", "KqueueSelector", "DevpollSelector"):
    if hasattr(selectors, _name):
        FATES[_name] = lambda name=_name: Fate(getattr(selectors, name)())


@pytest.fixture(params=FATES)
def any_fate(request: pytest.FixtureRequest) -> Iterator[Fate]:
    fate = FATES[request.param]()
    yield fate
    fate.close()


def test_a_stream_server_echoes_on_every_poll(any_fate: Fate) -> None:
    import asyncio

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def main() -> list[int]:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]

        async def client(size: int) -> int:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            payload = os.urandom(size)
            writer.write(payload)
            writer.write_eof()
            got = await reader.read()
            writer.close()
            await writer.wait_closed()
            assert got == payload
            return len(got)

        async with server:
            return await asyncio.gather(*(client(size) for size in (1, 1000, 100_000, 3_000_000)))

    assert any_fate.run_until_complete(main()) == [1, 1000, 100_000, 3_000_000]


def test_datagrams_come_and_go_on_every_poll(any_fate: Fate) -> None:
    import asyncio

    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, address: object) -> None:
            self.transport.sendto(data.upper(), address)  # type: ignore[attr-defined]

    class Client(asyncio.DatagramProtocol):
        def __init__(self) -> None:
            self.got: asyncio.Future[bytes] = any_fate.create_future()

        def datagram_received(self, data: bytes, address: object) -> None:
            self.got.set_result(data)

    async def main() -> bytes:
        server, _ = await any_fate.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
        client, protocol = await any_fate.create_datagram_endpoint(
            Client, remote_addr=server.get_extra_info("sockname")
        )
        client.sendto(b"hello")
        answer = await asyncio.wait_for(protocol.got, 10)
        client.close()
        server.close()
        await asyncio.sleep(0)
        return answer

    assert any_fate.run_until_complete(main()) == b"HELLO"


def test_timers_threads_and_fuses_work_on_every_poll(any_fate: Fate) -> None:
    import asyncio

    near, far = socket.socketpair()

    async def main() -> list[object]:
        got: list[object] = []
        readable = any_fate.get_fuse(readable=near)
        await any_fate.get_fuse(0.002)
        assert not readable.is_burned()
        await asyncio.to_thread(far.send, b"x")
        got.append(await readable)
        got.append(await asyncio.to_thread(lambda: "thread"))
        process = await asyncio.create_subprocess_exec("/bin/sh", "-c", "exit 7")
        got.append(await process.wait())
        return got

    assert any_fate.run_until_complete(main()) == [near, "thread", 7]
    near.close()
    far.close()


def test_readers_and_writers_are_added_and_removed_on_every_poll(any_fate: Fate) -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    got: list[str] = []
    assert any_fate.remove_reader(near) is False

    def read() -> None:
        got.append(near.recv(10).decode())
        assert any_fate.remove_reader(near) is True
        any_fate.add_writer(near, write)

    def write() -> None:
        got.append("writable")
        assert any_fate.remove_writer(near.fileno()) is True
        any_fate.stop()

    any_fate.add_reader(near, read)
    far.send(b"readable")
    any_fate.run_forever()
    assert got == ["readable", "writable"]
    near.close()
    far.close()


def test_a_selector_of_the_callers_is_closed_with_the_loop() -> None:
    selector = selectors.SelectSelector()
    fate = Fate(selector)
    assert len(selector.get_map()) == 1  # the wake-up's own
    fate.close()
    assert selector.get_map() is None
