"""`loop.sock_*`: what is received and sent, what cancelling loses (nothing), and whose descriptor the poll watches."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from support import DEADLINE, python, run_until, turns

from fate import Fate

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two connected, non-blocking stream sockets."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def datagrams() -> Iterator[Pair]:
    """Two UDP sockets, bound and not connected."""
    both = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for sock in both:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
    yield both
    for sock in both:
        sock.close()


def run(loop: Fate, awaitable: Awaitable[Any]) -> Any:
    async def within() -> Any:
        async with asyncio.timeout(DEADLINE):
            return await awaitable

    return loop.run_until_complete(within())


def start(loop: Fate, coroutine: Any) -> asyncio.Task[Any]:
    """A task that has run up to where it waits."""
    task = loop.create_task(coroutine)
    turns(loop, 2)
    return task


def watched(loop: Fate, sock: socket.socket) -> bool:
    return sock.fileno() in loop._poll.get_map()


def polls(loop: Fate, sock: socket.socket) -> bool:
    """Whether the loop's next look finds something, be it for anybody or nobody: else it would turn for ever."""
    del sock
    return loop._poll.poll(0, []) > 0


def keep(loop: Fate, pair: Pair) -> None:
    """Have the poll go on watching our socket, and leave the next tries out."""
    task = start(loop, loop.sock_recv(pair[0], 100))
    pair[1].send(b"first")
    assert run(loop, task) == b"first"


kept = pytest.mark.parametrize("before", [False, True], ids=["", "kept"])


# -- receiving --------------------------------------------------------------------------------------------------------


def test_what_is_there_is_received_at_once(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(b"tea")
    with pytest.raises(StopIteration) as done:
        loop.sock_recv(ours, 100).send(None)  # type: ignore[attr-defined]
    assert done.value.value == b"tea"
    assert not watched(loop, ours)


def test_what_comes_later_is_waited_for(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    task = start(loop, loop.sock_recv(ours, 100))
    assert watched(loop, ours)
    theirs.send(b"tea")
    assert run(loop, task) == b"tea"
    assert not watched(loop, ours)


def test_no_more_than_was_asked_for(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(b"tea and cake")
    assert run(loop, loop.sock_recv(ours, 3)) == b"tea"
    assert run(loop, loop.sock_recv(ours, 100)) == b" and cake"


def test_the_end_of_a_stream_is_empty(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    task = start(loop, loop.sock_recv(ours, 100))
    theirs.close()
    assert run(loop, task) == b""
    assert run(loop, loop.sock_recv(ours, 1 << 20)) == b""
    buffer = bytearray(10)
    assert run(loop, loop.sock_recv_into(ours, buffer)) == 0


@pytest.mark.parametrize("size", [1, 65535, 65536, 65537, 262143, 262144, 262145, 1_000_000])
def test_large_reads_give_every_byte_once(loop: Fate, pair: Pair, size: int) -> None:
    ours, theirs = pair
    data = os.urandom(size)

    async def receive() -> bytes:
        got = bytearray()
        while len(got) < size:
            got += await loop.sock_recv(ours, 1 << 20)
        return bytes(got)

    async def both() -> bytes:
        _, got = await asyncio.gather(loop.sock_sendall(theirs, data), receive())
        return got

    assert run(loop, both()) == data


def test_a_large_read_takes_all_that_is_there(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    for sock in pair:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 << 20)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 << 20)
    sent = theirs.send(bytes(1 << 20))
    assert len(run(loop, loop.sock_recv(ours, 1 << 20))) == sent


@pytest.mark.parametrize("wrong", ["10", 1.5, None])
def test_a_size_that_is_no_integer_is_a_type_error(loop: Fate, pair: Pair, wrong: Any) -> None:
    with pytest.raises(TypeError):
        run(loop, loop.sock_recv(pair[0], wrong))


def test_a_negative_size_is_a_value_error_and_none_at_all_is_nothing(loop: Fate, pair: Pair) -> None:
    with pytest.raises(ValueError, match="negative"):
        run(loop, loop.sock_recv(pair[0], -1))
    assert run(loop, loop.sock_recv(pair[0], 0)) == b""


def test_receiving_into_a_buffer(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    buffer = bytearray(b"..........")
    task = start(loop, loop.sock_recv_into(ours, memoryview(buffer)[2:6]))
    theirs.send(b"abcdefgh")
    assert run(loop, task) == 4
    assert buffer == b"..abcd...."
    with pytest.raises((TypeError, BufferError)):
        run(loop, loop.sock_recv_into(ours, b"read-only"))


def test_receiving_datagrams_with_their_senders(loop: Fate, datagrams: Pair) -> None:
    ours, theirs = datagrams
    task = start(loop, loop.sock_recvfrom(ours, 1 << 20))
    theirs.sendto(b"tea", ours.getsockname())
    assert run(loop, task) == (b"tea", theirs.getsockname())
    theirs.sendto(b"cake", ours.getsockname())
    assert run(loop, loop.sock_recvfrom(ours, 2)) == (b"ca", theirs.getsockname())
    buffer = bytearray(10)
    task = start(loop, loop.sock_recvfrom_into(ours, buffer))
    theirs.sendto(b"jam", ours.getsockname())
    assert run(loop, task) == (3, theirs.getsockname())
    assert buffer[:3] == b"jam"


def test_the_largest_datagrams_come_whole(loop: Fate, datagrams: Pair) -> None:
    ours, theirs = datagrams
    data = os.urandom(65507)
    assert run(loop, loop.sock_sendto(theirs, data, ours.getsockname())) == len(data)
    assert run(loop, loop.sock_recvfrom(ours, 1 << 20)) == (data, theirs.getsockname())
    assert run(loop, loop.sock_sendto(theirs, data, ours.getsockname())) == len(data)
    assert run(loop, loop.sock_recv(ours, 1 << 20)) == data


def test_a_unix_datagram_of_more_than_64_kib_comes_whole(loop: Fate) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.setblocking(False)
        data = os.urandom(150_000)
        theirs.send(data)
        assert run(loop, loop.sock_recv(ours, 1 << 20)) == data


# -- sending, accepting, connecting ---------------------------------------------------------------------------------


def test_two_datagrams_are_never_one(loop: Fate) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.setblocking(False)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 212_992)
        both = b"a" * 300_000, b"b" * 50_000
        for each in both:
            theirs.send(each)
        for each in both:
            assert run(loop, loop.sock_recv(ours, 1 << 20)) == each


def test_what_does_not_fit_is_sent_when_there_is_room(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    data = os.urandom(3_000_000)
    task = start(loop, loop.sock_sendall(ours, memoryview(data).cast("B")))
    assert not task.done()
    got = bytearray()

    async def drain() -> None:
        while len(got) < len(data):
            got.extend(await loop.sock_recv(theirs, 100_000))

    run(loop, drain())
    assert run(loop, task) is None
    assert got == data
    assert not watched(loop, ours)
    assert not polls(loop, ours)


def test_sending_bytes_of_wide_items(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    wide = memoryview(bytearray(range(240))).cast("I")
    run(loop, loop.sock_sendall(ours, wide))
    assert theirs.recv(1000) == bytes(range(240))


def test_what_is_being_sent_cannot_be_made_shorter(loop: Fate, pair: Pair) -> None:
    data = bytearray(b"z" * 4_000_000)
    task = start(loop, loop.sock_sendall(pair[0], data))
    with pytest.raises(BufferError):
        data.clear()
    got = bytearray()

    async def receive() -> None:
        while len(got) < len(data):
            got.extend(await loop.sock_recv(pair[1], 1 << 20))

    run(loop, receive())
    run(loop, task)
    assert got == data
    data.clear()


def test_sending_nothing(loop: Fate, pair: Pair) -> None:
    assert run(loop, loop.sock_sendall(pair[0], b"")) is None


def test_sending_to_who_has_gone_is_an_error(loop: Fate, pair: Pair) -> None:
    pair[1].close()
    with pytest.raises(BrokenPipeError):
        run(loop, loop.sock_sendall(pair[0], b"tea"))


def test_receiving_and_sending_at_the_same_time(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    sending = start(loop, loop.sock_sendall(ours, bytes(2_000_000)))
    receiving = start(loop, loop.sock_recv(ours, 10))
    theirs.send(b"tea")
    assert run(loop, receiving) == b"tea"
    assert not sending.done()
    again = start(loop, loop.sock_recv(ours, 10))
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        run(loop, sending)
    theirs.send(b"cake")
    assert run(loop, again) == b"cake"


def test_accepting(loop: Fate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        for _ in range(3):
            task = start(loop, loop.sock_accept(listener))
            with socket.create_connection(listener.getsockname()) as client:
                connection, address = run(loop, task)
                with connection:
                    assert address == client.getsockname()
                    assert connection.getblocking() is False


def test_connecting(loop: Fate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.setblocking(False)
        run(loop, loop.sock_connect(client, listener.getsockname()))
        connection = listener.accept()[0]
        with connection:
            task = start(loop, loop.sock_recv(client, 10))
            connection.send(b"tea")
            assert run(loop, task) == b"tea"


def test_sending_a_file(loop: Fate, pair: Pair, tmp_path: Any) -> None:
    ours, theirs = pair
    data = os.urandom(1_500_000)
    path = tmp_path / "file"
    path.write_bytes(data)
    got = bytearray()

    async def drain() -> None:
        while len(got) < len(data) - 10:
            got.extend(await loop.sock_recv(theirs, 1 << 20))

    async def both(file: Any) -> int:
        sent, _ = await asyncio.gather(loop.sock_sendfile(ours, file, 10), drain())
        return sent

    with path.open("rb") as file:
        assert run(loop, both(file)) == len(data) - 10
    assert got == data[10:]


# -- cancelling, closing, numbers that are used again -----------------------------------------------------------------


def test_a_cancelled_receive_loses_nothing(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    task = start(loop, loop.sock_recv(ours, 100))
    task.cancel()
    theirs.send(b"tea")
    with pytest.raises(asyncio.CancelledError):
        run(loop, task)
    assert run(loop, loop.sock_recv(ours, 100)) == b"tea"


def test_a_receive_that_is_cancelled_after_it_was_woken_loses_nothing(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    task = start(loop, loop.sock_recv(ours, 100))
    theirs.send(b"tea")
    task._fut_waiter.set_result(None)  # type: ignore[attr-defined]  # as the poll would have it done
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        run(loop, task)
    assert run(loop, loop.sock_recv(ours, 100)) == b"tea"


def test_one_may_be_cancelled_and_the_next_begun_in_the_same_callback(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    first = start(loop, loop.sock_recv(ours, 100))
    first.cancel()
    second = loop.create_task(loop.sock_recv(ours, 100))
    turns(loop, 3)
    theirs.send(b"tea")
    assert run(loop, second) == b"tea"
    assert first.cancelled()


def test_a_cancelled_send_is_watched_no_longer(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    task = start(loop, loop.sock_sendall(ours, bytes(3_000_000)))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        run(loop, task)
    assert not watched(loop, ours)
    while True:
        try:
            theirs.recv(1 << 20)
        except BlockingIOError:
            break
    assert not polls(loop, ours)


def test_a_receive_that_has_failed_ends_its_watch(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    buffer = bytearray(10)
    task = start(loop, loop.sock_recv_into(ours, buffer))
    view = memoryview(buffer)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        run(loop, task)
    view.release()
    theirs.send(b"tea")
    assert not polls(loop, ours)


def test_the_loop_sleeps_when_something_comes_that_nobody_waits_for(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    task = start(loop, loop.sock_recv(ours, 100))
    theirs.send(b"tea")
    run(loop, task)
    theirs.send(b"cake")  # the poll may still know the socket: it tells once at most
    polls(loop, ours)
    assert not polls(loop, ours)
    task = start(loop, loop.sock_recv(ours, 2))
    assert run(loop, task) == b"ca"
    assert run(loop, loop.sock_recv(ours, 100)) == b"ke"
    task = start(loop, loop.sock_recv(ours, 100))
    theirs.send(b"jam")
    assert run(loop, task) == b"jam"


def test_a_reader_is_told_of_a_socket_that_a_coroutine_waited_for(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    task = start(loop, loop.sock_recv(ours, 100))
    theirs.send(b"tea")
    run(loop, task)
    told: list[int] = []
    loop.add_reader(ours, lambda: (told.append(1), loop.remove_reader(ours)))
    theirs.send(b"cake")
    run_until(loop, lambda: told)
    assert run(loop, loop.sock_recv(ours, 100)) == b"cake"


def test_a_transport_takes_over_a_socket_that_a_coroutine_waited_for(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    task = start(loop, loop.sock_recv(ours, 100))
    theirs.send(b"tea")
    run(loop, task)

    async def go_on() -> bytes:
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        theirs.send(b"cake")
        got = await reader.readexactly(4)
        with pytest.raises(RuntimeError, match="is used by transport"):
            await loop.sock_recv(ours, 10)
        writer.close()
        await writer.wait_closed()
        return got

    assert run(loop, go_on()) == b"cake"


def another_at(fd: int) -> Pair:
    """A new pair of sockets, the first of which has the descriptor `fd`, which was closed."""
    ours, theirs = socket.socketpair()
    if ours.fileno() != fd:
        assert theirs.fileno() != fd
        os.dup2(ours.fileno(), fd)
        ours.close()
        ours = socket.socket(fileno=fd)
    ours.setblocking(False)
    return ours, theirs


@pytest.mark.parametrize("duplicate", [False, True], ids=["", "of which a duplicate is open"])
def test_the_number_of_a_closed_socket_is_used_by_another(loop: Fate, pair: Pair, duplicate: bool) -> None:
    ours, theirs = pair
    task = start(loop, loop.sock_recv(ours, 100))
    theirs.send(b"tea")
    run(loop, task)
    fd = ours.fileno()
    other = ours.dup() if duplicate else None
    ours.close()
    new, their_new = another_at(fd)
    with new, their_new:
        for word in (b"cake", b"jam"):
            task = start(loop, loop.sock_recv(new, 100))
            theirs.send(b"for nobody") if duplicate else None
            turns(loop, 3)
            assert not task.done()
            their_new.send(word)
            assert run(loop, task) == word
        polls(loop, new)
        assert not polls(loop, new)
    if other is not None:
        other.close()


def test_a_closed_socket_whose_duplicate_is_open_does_not_keep_the_loop_turning(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    task = start(loop, loop.sock_recv(ours, 100))
    theirs.send(b"tea")
    run(loop, task)
    with ours.dup():
        ours.close()
        theirs.send(b"for nobody")
        for _ in range(3):
            polls(loop, theirs)
        assert not polls(loop, theirs)
        receiving = start(loop, loop.sock_recv(theirs, 10))
        with pytest.raises(TimeoutError):
            loop.run_until_complete(asyncio.wait_for(receiving, 0))


def test_closing_a_reader_whose_duplicate_is_open_does_not_keep_the_loop_turning(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    told: list[int] = []
    loop.add_reader(ours, told.append, 1)
    with ours.dup():
        ours.close()
        new, their_new = socket.socketpair()
        with new, their_new:
            loop.add_reader(new, told.append, 2)
            theirs.send(b"for nobody")
            their_new.send(b"for somebody")
            run_until(loop, lambda: 2 in told)
            loop.remove_reader(new)


def test_a_socket_that_changes_its_number_is_waited_for_at_the_new_one(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    task = start(loop, loop.sock_recv(ours, 100))
    theirs.send(b"tea")
    run(loop, task)
    moved = socket.socket(fileno=ours.detach())
    with moved:
        task = start(loop, loop.sock_recv(moved, 100))
        theirs.send(b"cake")
        assert run(loop, task) == b"cake"


def test_a_closed_socket_is_an_error(loop: Fate, pair: Pair) -> None:
    pair[0].close()
    for coroutine in (
        loop.sock_recv(pair[0], 10),
        loop.sock_recv_into(pair[0], bytearray(10)),
        loop.sock_sendall(pair[0], b"tea"),
    ):
        with pytest.raises(OSError) as failed:
            run(loop, coroutine)
        assert failed.value.errno == errno.EBADF


def test_two_loops_share_a_socket_one_after_the_other(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    other = Fate()
    try:
        for _ in range(2):
            for each in (loop, other):
                task = start(each, each.sock_recv(ours, 100))
                theirs.send(b"tea")
                assert run(each, task) == b"tea"
        theirs.send(b"cake")
        for each in (loop, other):
            polls(each, ours)
            assert not polls(each, ours)
    finally:
        other.close()


def test_a_loop_is_closed_under_a_receive(pair: Pair) -> None:
    loop = Fate()
    task = start(loop, loop.sock_recv(pair[0], 100))
    loop.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    task.get_coro().close()  # type: ignore[union-attr]


def test_a_forked_child_keeps_the_descriptor_open_and_the_loop_sleeps() -> None:
    """The child's duplicate keeps the file in the epoll after it was closed here."""
    done = python(
        """
        import asyncio, os, socket, fate

        async def main():
            loop = asyncio.get_running_loop()
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            receiving = loop.create_task(loop.sock_recv(ours, 10))
            await asyncio.sleep(0)
            theirs.send(b"tea")
            await receiving
            wait, end = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(end)
                os.read(wait, 1)
                os._exit(0)
            ours.close()
            theirs.send(b"for nobody")
            for _ in range(20):
                await asyncio.sleep(0)
            loop._poll.poll(0, []), loop._poll.poll(0, [])
            print(loop._poll.poll(0, []))
            os.close(end)
            os.waitpid(child, 0)
            theirs.close()

        fate.run(main())
        """
    )
    assert (done.stdout.strip(), done.stderr) == ("0", "")


def test_a_thread_that_writes_wakes_a_receive(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    task = start(loop, loop.sock_recv(ours, 100))
    thread = threading.Thread(target=theirs.send, args=(b"tea",))
    thread.start()
    assert run(loop, task) == b"tea"
    thread.join()


@kept
def test_a_transport_that_does_not_read_has_the_socket_to_itself(loop: Fate, pair: Pair, before: bool) -> None:
    class Idle(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transport.pause_reading()

    if before:
        keep(loop, pair)
    transport, _ = run(loop, loop.create_connection(Idle, sock=pair[0]))
    with pytest.raises(RuntimeError, match="is used by transport"):
        run(loop, loop.sock_recv(pair[0], 10))
    transport.abort()
    turns(loop, 2)


# -- rules of asyncio's ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda loop, sock: loop.sock_recv(sock, 10),
        lambda loop, sock: loop.sock_recv_into(sock, bytearray(10)),
        lambda loop, sock: loop.sock_recvfrom(sock, 10),
        lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(10)),
        lambda loop, sock: loop.sock_sendall(sock, b"tea"),
        lambda loop, sock: loop.sock_sendto(sock, b"tea", ("127.0.0.1", 9)),
        lambda loop, sock: loop.sock_accept(sock),
        lambda loop, sock: loop.sock_connect(sock, ("127.0.0.1", 9)),
    ],
)
def test_in_debug_mode_a_blocking_socket_is_refused(loop: Fate, call: Callable[..., Any]) -> None:
    loop.set_debug(True)
    with socket.socket() as sock, pytest.raises(ValueError, match="the socket must be non-blocking"):
        run(loop, call(loop, sock))


def test_they_are_coroutines(loop: Fate, pair: Pair) -> None:
    coroutine = loop.sock_recv(pair[0], 10)
    assert asyncio.iscoroutine(coroutine)
    coroutine.close()


def test_a_call_is_awaited_once(loop: Fate, pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(b"tea and cake")
    coroutine = loop.sock_recv(ours, 3)
    assert run(loop, coroutine) == b"tea"
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine 'sock_recv'"):
        run(loop, coroutine)
    assert ours.recv(100) == b" and cake"


def test_a_call_that_is_never_awaited_warns(loop: Fate, pair: Pair) -> None:
    with pytest.warns(RuntimeWarning, match="coroutine 'sock_sendall' was never awaited"):
        loop.sock_sendall(pair[0], b"tea")
    assert not polls(loop, pair[1])


def test_a_task_tells_which_call_it_runs_and_what_for(loop: Fate, pair: Pair) -> None:
    task = start(loop, loop.sock_recv(pair[0], 10))
    assert "coro=<sock_recv()> wait_for=<Future" in repr(task)
    coroutine: Any = task.get_coro()
    assert repr(coroutine) == f"<coroutine sock_recv fd={pair[0].fileno()}>"
    assert isinstance(coroutine.waits_for, asyncio.Future)
    task.cancel()
    turns(loop, 3)
    assert coroutine.waits_for is None


@pytest.mark.parametrize("end", [lambda call: call.close(), lambda call: call.throw(KeyError("enough"))])
def test_a_call_that_is_ended_by_hand_is_watched_no_longer(
    loop: Fate, pair: Pair, end: Callable[[Any], object]
) -> None:
    ours, theirs = pair
    call: Any = loop.sock_recv(ours, 10)
    loop.call_soon(call.send, None)
    turns(loop, 1)
    assert watched(loop, ours)
    with contextlib.suppress(KeyError):
        end(call)
    assert not watched(loop, ours)
    theirs.send(b"tea")
    assert run(loop, loop.sock_recv(ours, 10)) == b"tea"


def test_who_waits_in_vain_again_and_again_misses_nothing(loop: Fate, pair: Pair) -> None:
    """After a try in vain the next ones are left out: the loop's poll tells, also of what came before the call."""
    ours, theirs = pair

    async def talk() -> None:
        for number in range(100):
            message = b"tea %d" % number
            if number % 3:
                theirs.send(message)
                assert await loop.sock_recv(ours, 100) == message
            else:
                receiving = loop.create_task(loop.sock_recv(ours, 100))
                await asyncio.sleep(0)
                theirs.send(message)
                assert await receiving == message
            if number % 7 == 0:  # more than is asked for
                theirs.send(message)
                assert await loop.sock_recv(ours, 2) + await loop.sock_recv(ours, 100) == message
        theirs.close()
        assert await loop.sock_recv(ours, 100) == b""

    run(loop, talk())


def test_a_subclass_of_socket_is_read_by_its_own_methods(loop: Fate, pair: Pair) -> None:
    class Loud(socket.socket):
        def recv(self, *args: Any) -> bytes:
            return super().recv(*args).upper()

    ours, theirs = pair
    with Loud(fileno=os.dup(ours.fileno())) as loud:
        loud.setblocking(False)
        task = start(loop, loop.sock_recv(loud, 10))
        theirs.send(b"tea")
        assert run(loop, task) == b"TEA"


def test_objects_of_a_wait_are_freed_without_the_garbage_collector(loop: Fate, pair: Pair) -> None:
    import gc

    ours, theirs = pair

    async def talk(times: int) -> None:
        for _ in range(times):
            receiving = loop.create_task(loop.sock_recv(ours, 10))
            await asyncio.sleep(0)
            theirs.send(b"tea")
            await receiving

    run(loop, talk(10))
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        run(loop, talk(100))
        assert len(gc.get_objects()) - before < 50
    finally:
        gc.enable()


WRONG: list[tuple[Callable[..., Any], type[BaseException]]] = [
    (lambda loop, sock: loop.sock_recv_into(sock, b"constant"), TypeError),
    (lambda loop, sock: loop.sock_recv_into(sock, 5), TypeError),
    (lambda loop, sock: loop.sock_recv_into(sock, memoryview(bytearray(10))[::2]), TypeError),
    (lambda loop, sock: loop.sock_recvfrom(sock, "5"), TypeError),
    (lambda loop, sock: loop.sock_recvfrom(sock, -1), ValueError),
    (lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(5), -1), ValueError),
    (lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(5), 6), ValueError),
    (lambda loop, sock: loop.sock_recv(sock, 1 << 100), OverflowError),
    (lambda loop, sock: loop.sock_accept(sock), OSError),
]


@kept
@pytest.mark.parametrize(("call", "error"), WRONG)
def test_wrong_arguments_are_told_at_once(
    loop: Fate, pair: Pair, before: bool, call: Callable[..., Any], error: type[BaseException]
) -> None:
    if before:
        keep(loop, pair)
    waiting = call(loop, pair[0])
    with pytest.raises(error) as failed:
        waiting.send(None)
    assert failed.value.__context__ is None


@kept
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_a_buffer_without_room_is_filled_at_once(loop: Fate, family: int, before: bool) -> None:
    with socket.socket(family) as listener:
        listener.bind(("127.0.0.1", 0) if family == socket.AF_INET else "")
        listener.listen()
        with socket.socket(family) as ours:
            ours.connect(listener.getsockname())
            ours.setblocking(False)
            theirs, _ = listener.accept()
            with theirs:
                if before:
                    keep(loop, (ours, theirs))
                assert run(loop, loop.sock_recv_into(ours, bytearray())) == 0


def test_two_tasks_that_await_one_object_both_end(loop: Fate, pair: Pair) -> None:
    receiving = loop.sock_recv(pair[0], 10)

    async def receive() -> bytes:
        return await receiving

    first, second = start(loop, receive()), start(loop, receive())
    pair[1].send(b"tea")
    assert run(loop, first) == b"tea"
    with pytest.raises(RuntimeError):
        run(loop, second)


def test_a_coroutine_goes_on_only_when_what_it_waits_for_is_done(loop: Fate, pair: Pair) -> None:
    receiving: Any = loop.sock_recv(pair[0], 10)
    with pytest.raises(TypeError, match="just-started"):
        receiving.send(5)
    receiving.send(None)
    with pytest.raises(RuntimeError, match="await wasn't used with future"):
        receiving.send(None)
    for again in (lambda: receiving.send(None), lambda: receiving.throw(ValueError)):
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            again()
    receiving.close()
    assert not watched(loop, pair[0])


@kept
def test_a_closed_loop_is_told_of_as_such(pair: Pair, before: bool) -> None:
    loop = Fate()
    if before:
        keep(loop, pair)
    loop.close()
    for call in (loop.sock_recv(pair[0], 10), loop.sock_recvfrom(pair[0], 10)):
        with pytest.raises(RuntimeError, match="closed"):
            call.send(None)  # type: ignore[attr-defined]
