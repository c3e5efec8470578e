"""What is handed to compiled code by strangers: closed and foreign sockets, lost transports, bytes that lie.

Nothing is read or written there that is not its own; what cannot be done is said.
"""

from __future__ import annotations

import array
import asyncio
import ctypes
import gc
import os
import selectors
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

import fate
from fate.errors import LoopRunningError
from fate.net._calls import fd_of
from fate.net.stream import Stream


@pytest.fixture
def loop() -> Iterator[fate.Fate]:
    made = fate.new_event_loop()
    yield made
    made.close()


def _connected() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(10)
    return ours, theirs


class Kept(asyncio.Protocol):
    def __init__(self) -> None:
        self.got = b""

    def data_received(self, data: bytes) -> None:
        self.got += data


# -- sockets ---------------------------------------------------------------------------------------------------------


def test_a_factory_that_closes_the_socket_gets_a_value_error(loop: fate.Fate) -> None:
    ours, theirs = _connected()

    def refuse() -> asyncio.Protocol:
        ours.close()
        return asyncio.Protocol()

    with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
        loop.run_until_complete(loop.connect_accepted_socket(refuse, ours))
    assert theirs.recv(1) == b""
    theirs.close()
    assert list(loop._transports) == []


def test_a_transport_cannot_be_made_twice(loop: fate.Fate) -> None:
    ours, theirs = _connected()
    other, others = _connected()
    transport, _ = loop.run_until_complete(loop.connect_accepted_socket(asyncio.Protocol, ours))
    with pytest.raises(RuntimeError, match="made once"):
        Stream.__init__(transport, loop, other, asyncio.Protocol())  # type: ignore[arg-type]
    assert list(loop._transports) == [ours.fileno()]
    transport.abort()
    loop.run_until_complete(asyncio.sleep(0))
    for sock in (theirs, other, others):
        sock.close()


class Wrapped:
    """A socket in the guise that others give it: not the system's, and its `__class__` lies."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._wrapped = SOCKET(*arguments, **options)

    @property
    def __class__(self) -> Any:
        return SOCKET

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)


SOCKET = socket.socket


def test_the_number_of_what_is_no_socket_is_asked_for_not_read() -> None:
    made = Wrapped()
    assert fd_of(made) == made.fileno() > 0
    made.close()
    assert fd_of(made) == -1
    with pytest.raises(AttributeError):
        fd_of(object())


def test_a_socket_class_of_the_programs_own_is_served_by_its_own_methods(
    loop: fate.Fate, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = SOCKET()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    monkeypatch.setattr(socket, "socket", Wrapped)
    ours = Wrapped()
    ours.connect(listener.getsockname())
    ours.setblocking(False)
    monkeypatch.undo()
    theirs, _ = listener.accept()
    theirs.settimeout(10)
    protocol = Kept()
    transport = loop._make_socket_transport(ours, protocol)
    assert type(transport) is not Stream
    loop.run_until_complete(asyncio.sleep(0))
    transport.write(b"to the peer")
    theirs.send(b"from the peer")
    while not protocol.got:
        loop.run_until_complete(asyncio.sleep(0))
    assert theirs.recv(100) == b"to the peer"
    assert protocol.got == b"from the peer"
    transport.abort()
    loop.run_until_complete(asyncio.sleep(0))
    theirs.close()
    listener.close()


def test_what_a_server_accepts_while_another_class_stands_for_sockets_works(
    loop: fate.Fate, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    class Echo(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            made.append(transport)

        def data_received(self, data: bytes) -> None:
            made[0].write(data)

    server = loop.run_until_complete(loop.create_server(Echo, "127.0.0.1", 0))
    client = SOCKET()
    client.connect(server.sockets[0].getsockname())
    client.settimeout(10)
    client.send(b"hello")
    monkeypatch.setattr(socket, "socket", Wrapped)
    while not made:
        loop.run_until_complete(asyncio.sleep(0))
    monkeypatch.undo()
    assert type(made[0]) is not Stream
    assert made[0].get_extra_info("peername") == client.getsockname()

    async def echoed() -> bytes:
        return await asyncio.to_thread(client.recv, 100)

    assert loop.run_until_complete(echoed()) == b"hello"
    client.close()
    made[0].abort()
    server.close()
    loop.run_until_complete(server.wait_closed())
    loop.run_until_complete(asyncio.sleep(0))


# -- the table of who uses which descriptor ------------------------------------------------------------------------


def test_a_lost_transport_that_is_put_back_is_not_looked_at_again(loop: fate.Fate) -> None:
    ours, theirs = _connected()
    number = ours.fileno()
    transport, _ = loop.run_until_complete(loop.connect_accepted_socket(asyncio.Protocol, ours))
    transport.abort()
    loop.run_until_complete(asyncio.sleep(0))
    loop._transports[number] = transport  # as asyncio's sendfile does when it is cancelled
    assert list(loop._transports) == []
    del transport
    gc.collect()
    assert loop._transports.get(number) is None
    theirs.close()


def test_a_transport_is_known_by_its_own_number_only(loop: fate.Fate) -> None:
    ours, theirs = _connected()
    number = ours.fileno()
    transport, _ = loop.run_until_complete(loop.connect_accepted_socket(asyncio.Protocol, ours))
    loop._transports[number + 1000] = transport
    assert dict(loop._transports) == {number: transport}
    del loop._transports[number]
    assert dict(loop._transports) == {}
    loop._transports[number] = transport
    assert dict(loop._transports) == {number: transport}
    transport.abort()
    loop.run_until_complete(asyncio.sleep(0))
    assert dict(loop._transports) == {}
    theirs.close()


def test_a_transport_that_comes_back_from_the_dead_leaves_nothing_when_it_goes(loop: fate.Fate) -> None:
    back: list[Any] = []

    class Returning(Stream):
        def __del__(self) -> None:
            back.append(self)
            super().__del__()

    ours, theirs = _connected()
    made = Returning(loop, ours, asyncio.Protocol())
    loop.run_until_complete(asyncio.sleep(0))
    made.pause_reading()
    goes = [made]
    del made
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        goes.clear()
    loop._transports[back[0]._sock_fd] = back[0]
    back.clear()
    gc.collect()
    assert list(loop._transports) == []
    theirs.close()


SENDFILE = """
import asyncio, gc, socket, tempfile, fate
async def main():
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    number = ours.fileno()
    with tempfile.TemporaryFile() as file:
        file.truncate(50_000_000)
        transport, protocol = await loop.create_connection(asyncio.Protocol, sock=ours)
        sending = asyncio.create_task(loop.sendfile(transport, file))
        while not transport._empty_waiter or not theirs.recv(1):
            await asyncio.sleep(0)
        transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)
        sending.cancel()
        await asyncio.wait([sending])
    del transport, protocol, ours, sending
    gc.collect()
    again, other = socket.socketpair()
    if other.fileno() == number:
        again, other = other, again
    told = loop.create_future()
    loop.add_reader(again.fileno(), lambda: told.done() or told.set_result("told"))
    other.send(b"x")
    print(again.fileno() == number, await told)
    loop.remove_reader(again.fileno())
fate.run(main())
"""


def test_a_number_whose_transport_was_lost_in_sendfile_can_be_used_again() -> None:
    code = [sys.executable, "-X", "faulthandler", "-c", SENDFILE]
    variables = os.environ | {"PYTHONMALLOC": "debug"}
    done = subprocess.run(code, capture_output=True, text=True, timeout=60, env=variables, check=False)
    assert (done.returncode, done.stdout) == (0, "True told\n"), done.stderr


# -- bytes ---------------------------------------------------------------------------------------------------------


class Longer(bytes):
    def __len__(self) -> int:
        return 10**6


class Shorter(bytes):
    def __len__(self) -> int:
        return 3

    def __bytes__(self) -> bytes:
        return b"not this"


class Refusing(bytearray):
    def __len__(self) -> int:
        raise ZeroDivisionError


@pytest.mark.parametrize("kind", [Longer, Shorter, Refusing])
def test_of_bytes_that_lie_about_themselves_a_selectors_transport_sends_the_content_too(kind: Any) -> None:
    loop = fate.Fate(selectors.DefaultSelector())
    ours, theirs = _connected()
    transport, _ = loop.run_until_complete(loop.connect_accepted_socket(asyncio.Protocol, ours))
    transport.write(kind(b"0123456789"))
    transport.writelines([kind(b"and"), b" more"])
    loop.run_until_complete(asyncio.sleep(0))
    assert theirs.recv(100) == b"0123456789and more"
    transport.abort()
    loop.run_until_complete(asyncio.sleep(0))
    theirs.close()
    loop.close()


@pytest.mark.parametrize("selector", [None, selectors.DefaultSelector])
def test_buffers_are_counted_in_bytes_and_may_have_gaps(selector: Any) -> None:
    loop = fate.Fate(selector and selector())
    ours, theirs = _connected()
    transport, _ = loop.run_until_complete(loop.connect_accepted_socket(asyncio.Protocol, ours))
    numbers = memoryview(array.array("I", range(50_000)))
    every_other = memoryview(bytes(range(200)))[::2]
    expected = (numbers.tobytes() + every_other.tobytes()) * 2
    transport.write(numbers)
    transport.write(every_other)
    transport.writelines([numbers, every_other.tobytes()])
    got = b""
    while len(got) < len(expected):
        loop.run_until_complete(asyncio.sleep(0))
        got += theirs.recv(1 << 20)
    assert got == expected
    transport.abort()
    transport.writelines([b"too", numbers])
    loop.run_until_complete(asyncio.sleep(0))
    transport.writelines([b"too late", numbers])
    theirs.close()
    loop.close()


@pytest.mark.parametrize("kind", [Longer, Shorter, Refusing])
def test_of_bytes_that_lie_about_themselves_a_pipe_takes_the_content_too(loop: fate.Fate, kind: Any) -> None:
    reports: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    reading, writing = os.pipe()
    transport, _ = loop.run_until_complete(loop.connect_write_pipe(asyncio.Protocol, os.fdopen(writing, "wb", 0)))
    transport.write(kind(b"0123456789"))
    transport.write(memoryview(array.array("I", [1, 2]))[::2])
    assert transport.get_write_buffer_size() == 0
    assert os.read(reading, 100) == b"0123456789" + (1).to_bytes(4, sys.byteorder)
    transport.write(kind(bytes(200_000)))  # more than it takes
    transport.abort()
    loop.run_until_complete(asyncio.sleep(0.001))
    os.close(reading)
    assert reports == []


@pytest.mark.parametrize("kind", [Longer, Shorter, Refusing])
@pytest.mark.parametrize("many", [1, 3, 200])
def test_of_bytes_that_lie_about_themselves_their_content_is_sent(loop: fate.Fate, kind: Any, many: int) -> None:
    ours, theirs = _connected()
    transport, _ = loop.run_until_complete(loop.connect_accepted_socket(asyncio.Protocol, ours))

    async def write() -> None:
        for _ in range(many):
            transport.write(kind(b"0123456789"))
        transport.write(b"end")
        assert transport.get_write_buffer_size() == 10 * many + 3
        transport.writelines([kind(b"and"), b" more"])

    loop.run_until_complete(write())
    loop.run_until_complete(asyncio.sleep(0))
    expected = b"0123456789" * many + b"end" + b"and more"
    got = b""
    while len(got) < len(expected):
        loop.run_until_complete(asyncio.sleep(0))
        got += theirs.recv(10_000)
    assert got == expected
    transport.abort()
    loop.run_until_complete(asyncio.sleep(0))
    theirs.close()


class Roomy(bytearray):
    def __len__(self) -> int:
        return 1_000_000


def test_a_buffer_that_says_it_is_longer_than_it_is_gets_all_that_comes(loop: fate.Fate) -> None:
    class Filled(asyncio.BufferedProtocol):
        got = b""

        def get_buffer(self, sizehint: int) -> Any:
            self.room = Roomy(10)
            return self.room

        def buffer_updated(self, nbytes: int) -> None:
            self.got += bytes(memoryview(self.room)[:nbytes])
            if len(self.got) == 5000:
                loop.stop()

    async def connect() -> Any:
        listener = socket.create_server(("127.0.0.1", 0))
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
        listener.close()
        return theirs, await loop.connect_accepted_socket(Filled, ours)

    theirs, (transport, protocol) = loop.run_until_complete(connect())
    theirs.send(bytes(5000))
    loop.call_later(10, loop.stop)
    loop.run_forever()
    assert len(protocol.got) == 5000
    transport.abort()
    theirs.close()
    loop.run_until_complete(asyncio.sleep(0))


def test_what_the_kernel_does_not_take_of_an_odd_view_is_sent_later(loop: fate.Fate) -> None:
    ours, theirs = _connected()
    transport, _ = loop.run_until_complete(loop.connect_accepted_socket(asyncio.Protocol, ours))
    numbers = (ctypes.c_uint16 * 2_000_000)(*range(60_000))
    expected = bytes(numbers)
    transport.write(memoryview(numbers))
    assert 0 < transport.get_write_buffer_size() < len(expected)

    def receive() -> bytes:
        got = b""
        while len(got) < len(expected):
            got += theirs.recv(1 << 20)
        return got

    async def received() -> bytes:
        return await asyncio.to_thread(receive)

    assert loop.run_until_complete(received()) == expected
    transport.abort()
    loop.run_until_complete(asyncio.sleep(0))
    theirs.close()


# -- handles -------------------------------------------------------------------------------------------------------


def test_a_handle_whose_arguments_somebody_took_away_counts_as_one_that_has_run(loop: fate.Fate) -> None:
    ran: list[int] = []
    handle: Any = loop.call_soon(ran.append, 1)
    handle._args = None
    loop.call_soon(ran.append, 2)
    loop.run_until_complete(asyncio.sleep(0))
    assert ran == [2]


@pytest.mark.parametrize("call", ["run_handle", "prepare", "prepare_source"])
def test_nothing_where_a_handle_is_wanted_is_an_error(loop: fate.Fate, call: str) -> None:
    with pytest.raises((TypeError, AttributeError)):
        getattr(loop, call)(None)


def test_a_run_inside_a_turn_that_somebody_makes_by_hand_is_refused(loop: fate.Fate) -> None:
    refused: list[Exception] = []

    def again() -> None:
        try:
            loop.run_forever()
        except RuntimeError as error:
            refused.append(error)
        raise ValueError

    told: list[Any] = []
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    loop.call_soon(again)
    loop.call_soon(loop.stop)
    loop.run_turns()
    assert [type(error) for error in refused] == [LoopRunningError]
    assert [type(error) for error in told] == [ValueError]
    loop._stopping = False  # who turns by hand sees to this, too
    assert loop.run_until_complete(asyncio.sleep(0, "goes on")) == "goes on"


def test_an_unfinished_transport_has_nothing_and_says_so() -> None:
    calls: list[Any] = [
        lambda blank: blank.write(b"x"),
        lambda blank: blank.close(),
        lambda blank: blank.abort(),
        lambda blank: blank.pause_reading(),
        lambda blank: blank.get_extra_info("socket"),
        lambda blank: blank._make_empty_waiter(),
    ]
    for call in calls:
        with pytest.raises((AttributeError, TypeError)):
            call(Stream.__new__(Stream))


def test_a_loop_whose_class_forgot_to_make_it_is_closed() -> None:
    class Forgetful(fate.Fate):
        def __init__(self) -> None:
            pass

    made = Forgetful()
    for call in (lambda: made.call_soon(print), lambda: made.call_later(1, print), made.run_forever):
        with pytest.raises((RuntimeError, AttributeError)):
            call()


def test_a_file_is_sent_though_views_are_odd(loop: fate.Fate) -> None:
    ours, theirs = _connected()
    transport, _ = loop.run_until_complete(loop.connect_accepted_socket(asyncio.Protocol, ours))
    with tempfile.TemporaryFile() as file:
        file.write(b"a file")
        file.seek(0)
        assert loop.run_until_complete(loop.sendfile(transport, file)) == 6
    assert theirs.recv(100) == b"a file"
    transport.abort()
    loop.run_until_complete(asyncio.sleep(0))
    theirs.close()
