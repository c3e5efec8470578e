"""Datagram transports keep asyncio's contracts, over UDP and Unix sockets: what arrives, what is told, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import socket
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from support import DEADLINE, run_until, turns

from fate import Fate

NEEDS_IPV6 = pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")


class Protocol(asyncio.DatagramProtocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.transport: Any = None
        self.then: Callable[[bytes, Any], object] = lambda data, address: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.told.append("made")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.told.append((data, addr))
        self.then(data, addr)

    def error_received(self, exc: Exception) -> None:
        self.told.append(type(exc))

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(("lost", exc))

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    @property
    def received(self) -> list[bytes]:
        return [told[0] for told in self.told if isinstance(told, tuple) and isinstance(told[0], bytes)]


def endpoint(loop: Fate, **options: Any) -> tuple[Any, Protocol]:
    return loop.run_until_complete(loop.create_datagram_endpoint(Protocol, **options))


def peer(family: int = socket.AF_INET, address: Any = ("127.0.0.1", 0)) -> socket.socket:
    """A plain socket to talk to."""
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind(address)
    sock.settimeout(DEADLINE)
    return sock


def unix_pair(folder: Any) -> tuple[socket.socket, socket.socket]:
    """Two connected sockets; with names, or asyncio would not send without an address."""
    ours, theirs = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    theirs.bind(str(folder / "theirs"))
    theirs.setblocking(False)
    ours.connect(str(folder / "theirs"))
    return ours, theirs


def close(loop: Fate, transport: Any, protocol: Protocol) -> None:
    transport.close()
    run_until(loop, lambda: isinstance(protocol.told[-1], tuple) and protocol.told[-1][0] == "lost")


# -- arriving ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), pytest.param(socket.AF_INET6, "::1", marks=NEEDS_IPV6)]
)
def test_each_of_many_peers_gets_its_own_answer(loop: Fate, family: int, host: str) -> None:
    """More peers than addresses are remembered, and asked by addresses that came and by their equals."""
    transport, protocol = endpoint(loop, local_addr=(host, 0))
    answers = iter(range(10_000))

    def answer(data: bytes, address: Any) -> None:
        transport.sendto(data, address if next(answers) % 2 else (*address,))

    protocol.then = answer
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(peer(family, (host, 0))) for _ in range(600)]
        to = transport.get_extra_info("sockname")
        for turn in range(3):
            for number, sock in enumerate(peers):
                sock.sendto(b"%d of turn %d" % (number, turn), to)
                if number % 50 == 49:
                    run_until(loop, lambda wanted=turn * 600 + number + 1: len(protocol.received) == wanted)
            for number, sock in enumerate(peers):
                assert sock.recv(100) == b"%d of turn %d" % (number, turn)
        close(loop, transport, protocol)


def test_datagrams_that_are_kept_do_not_change(loop: Fate) -> None:
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
    kept: list[bytes] = []
    protocol.then = lambda data, address: kept.append(data) if data[0] % 2 else None
    protocol.told = Forgetful()
    sent = [bytes([number]) * (400 + 37 * number) for number in range(100)]
    with peer() as sock:
        for data in sent:
            sock.sendto(data, transport.get_extra_info("sockname"))
            turns(loop, 2)
        run_until(loop, lambda: len(kept) == 50)
    assert kept == sent[1::2]
    transport.abort()
    turns(loop, 3)


class Forgetful(list[Any]):
    """Where nothing is kept."""

    def append(self, item: Any) -> None:
        pass


def test_an_endpoint_receives_and_answers(loop: Fate) -> None:
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
    protocol.then = transport.sendto
    with peer() as sock:
        sock.sendto(b"tea", transport.get_extra_info("sockname"))
        run_until(loop, lambda: protocol.received)
        assert protocol.told == ["made", (b"tea", sock.getsockname())]
        assert sock.recvfrom(100) == (b"tea", transport.get_extra_info("sockname"))
    close(loop, transport, protocol)
    assert protocol.told[-1] == ("lost", None)


def test_many_that_wait_come_in_their_order(loop: Fate) -> None:
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
    with peer() as sock:
        sent = [b"%d" % number for number in range(100)]
        for data in sent:
            sock.sendto(data, transport.get_extra_info("sockname"))
        run_until(loop, lambda: len(protocol.received) == 100)
        assert protocol.received == sent
    close(loop, transport, protocol)


def test_a_flood_does_not_keep_others_from_their_turn(loop: Fate) -> None:
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
    with peer() as sock:
        for _ in range(100):
            sock.sendto(b"tea", transport.get_extra_info("sockname"))
        turns(loop, 3)
        assert 0 < len(protocol.received) < 100
        run_until(loop, lambda: len(protocol.received) == 100)
    close(loop, transport, protocol)


@pytest.mark.parametrize("size", [0, 1, 1024, 65507])
def test_datagrams_of_every_size(loop: Fate, size: int) -> None:
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
    data = os.urandom(size)
    with peer() as sock:
        for _ in range(3):
            sock.sendto(data, transport.get_extra_info("sockname"))
        run_until(loop, lambda: len(protocol.received) == 3)
        assert protocol.received == [data] * 3
        transport.sendto(data, sock.getsockname())
        if size or sys.version_info >= (3, 13):  # before, asyncio sends no empty datagrams
            assert sock.recv(1 << 17) == data
    close(loop, transport, protocol)


def test_datagrams_of_many_peers_keep_their_addresses(loop: Fate) -> None:
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
    peers = [peer() for _ in range(40)]
    try:
        for _ in range(2):
            for number, sock in enumerate(peers):
                sock.sendto(b"%d" % number, transport.get_extra_info("sockname"))
        run_until(loop, lambda: len(protocol.received) == 80)
        assert protocol.told[1:] == [(b"%d" % number, sock.getsockname()) for number, sock in enumerate(peers)] * 2
        for number, sock in enumerate(peers):
            transport.sendto(b"to %d" % number, sock.getsockname())
            assert sock.recv(100) == b"to %d" % number
    finally:
        for sock in peers:
            sock.close()
    close(loop, transport, protocol)


@NEEDS_IPV6
def test_ipv6_addresses_are_those_of_socket(loop: Fate) -> None:
    transport, protocol = endpoint(loop, local_addr=("::1", 0))
    with peer(socket.AF_INET6, ("::1", 0)) as sock:
        sock.sendto(b"tea", transport.get_extra_info("sockname"))
        run_until(loop, lambda: protocol.received)
        assert protocol.told[-1] == (b"tea", sock.getsockname())
        assert len(protocol.told[-1][1]) == 4
        for address in (sock.getsockname(), sock.getsockname()[:2], sock.getsockname()[:3]):
            transport.sendto(b"cake", address)
            assert sock.recvfrom(100) == (b"cake", transport.get_extra_info("sockname"))
    close(loop, transport, protocol)


@NEEDS_IPV6
def test_ipv4_peers_of_an_ipv6_socket(loop: Fate) -> None:
    ours = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    ours.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    ours.bind(("::", 0))
    transport, protocol = endpoint(loop, sock=ours)
    port = transport.get_extra_info("sockname")[1]
    with peer() as sock:
        sock.sendto(b"tea", ("127.0.0.1", port))
        run_until(loop, lambda: protocol.received)
        assert protocol.told[-1][1] == ("::ffff:127.0.0.1", sock.getsockname()[1], 0, 0)
        transport.sendto(b"cake", protocol.told[-1][1])
        assert sock.recv(100) == b"cake"
    close(loop, transport, protocol)


@pytest.mark.parametrize("kind", ["path", "abstract", "unnamed"])
def test_unix_addresses_are_those_of_socket(loop: Fate, tmp_path: Any, kind: str) -> None:
    path = str(tmp_path / "ours")
    transport, protocol = endpoint(loop, local_addr=path, family=socket.AF_UNIX)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(DEADLINE)
        if kind != "unnamed":
            sock.bind(str(tmp_path / "théirs") if kind == "path" else f"\0fate {os.getpid()}")
        sock.sendto(b"tea", path)
        run_until(loop, lambda: protocol.received)
        assert protocol.told[-1] == (b"tea", sock.getsockname() or None)
        if kind != "unnamed":
            transport.sendto(b"cake", protocol.told[-1][1])
            assert sock.recvfrom(100) == (b"cake", path)
    close(loop, transport, protocol)


def test_a_unix_datagram_of_more_than_64_kib_comes_whole(loop: Fate) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with theirs:
        transport, protocol = endpoint(loop, sock=ours)
        data = [os.urandom(100_000), os.urandom(10), os.urandom(50_000)]
        for each in data:
            theirs.send(each)
        run_until(loop, lambda: len(protocol.received) == 3)
        assert protocol.received == data
        close(loop, transport, protocol)


# -- what a protocol may do in between --------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", ["close", "abort"])
def test_nothing_is_told_after_the_end(loop: Fate, ends: str) -> None:
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
    protocol.then = lambda data, address: getattr(transport, ends)()
    with peer() as sock:
        for _ in range(10):
            sock.sendto(b"tea", transport.get_extra_info("sockname"))
        run_until(loop, lambda: protocol.told[-1] == ("lost", None))
    assert len(protocol.received) == 1


def test_nothing_is_told_while_reading_is_paused_and_nothing_is_lost(loop: Fate) -> None:
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
    protocol.then = lambda data, address: transport.pause_reading()
    with peer() as sock:
        for number in range(5):
            sock.sendto(b"%d" % number, transport.get_extra_info("sockname"))
        for number in range(5):
            run_until(loop, lambda: len(protocol.received) == number + 1)
            turns(loop, 5)
            assert len(protocol.received) == number + 1
            transport.resume_reading()
    assert protocol.received == [b"0", b"1", b"2", b"3", b"4"]
    close(loop, transport, protocol)


def test_another_protocol_gets_what_was_not_told_of_yet(loop: Fate) -> None:
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
    other = Protocol()
    protocol.then = lambda data, address: transport.set_protocol(other)
    with peer() as sock:
        for data in (b"tea", b"cake", b"jam"):
            sock.sendto(data, transport.get_extra_info("sockname"))
        run_until(loop, lambda: len(other.received) == 2)
    assert (protocol.received, other.received) == ([b"tea"], [b"cake", b"jam"])
    assert transport.get_protocol() is other
    close(loop, transport, other)


def test_a_protocol_that_raises_is_reported_each_time_and_misses_nothing(
    loop: Fate, reports: list[dict[str, Any]]
) -> None:
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))

    def fail(data: bytes, address: Any) -> None:
        raise ValueError(data)

    protocol.then = fail
    with peer() as sock:
        for data in (b"tea", b"cake", b"jam"):
            sock.sendto(data, transport.get_extra_info("sockname"))
        run_until(loop, lambda: len(reports) == 3)
    assert protocol.received == [b"tea", b"cake", b"jam"]
    assert [report["exception"].args for report in reports] == [(b"tea",), (b"cake",), (b"jam",)]
    assert not transport.is_closing()
    close(loop, transport, protocol)


def test_a_method_that_is_put_in_place_of_another_is_called(loop: Fate) -> None:
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
    told: list[bytes] = []
    protocol.datagram_received = lambda data, addr: told.append(data)  # type: ignore[method-assign]
    with peer() as sock:
        sock.sendto(b"tea", transport.get_extra_info("sockname"))
        run_until(loop, lambda: told)
    close(loop, transport, protocol)


# -- sending ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_kind_of_bytes_is_sent(loop: Fate, kind: Callable[[bytes], Any]) -> None:
    with peer() as sock:
        transport, protocol = endpoint(loop, remote_addr=sock.getsockname())
        transport.sendto(kind(b"tea"))
        assert sock.recvfrom(100) == (b"tea", transport.get_extra_info("sockname"))
        transport.sendto(kind(b"cake"), sock.getsockname())
        assert sock.recv(100) == b"cake"
        close(loop, transport, protocol)


def test_part_of_a_memoryview_and_wide_items_are_sent(loop: Fate) -> None:
    with peer() as sock:
        transport, protocol = endpoint(loop, remote_addr=sock.getsockname())
        transport.sendto(memoryview(b"a cup of tea")[2:5])
        assert sock.recv(100) == b"cup"
        transport.sendto(memoryview(bytearray(b"12345678")).cast("I"))
        assert sock.recv(100) == b"12345678"
        close(loop, transport, protocol)


@pytest.mark.parametrize("wrong", ["tea", 3, None, [1]])
def test_what_is_no_bytes_is_a_type_error(loop: Fate, wrong: Any) -> None:
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
    with pytest.raises(TypeError, match="data argument must be a bytes-like object"):
        transport.sendto(wrong, ("127.0.0.1", 9))
    assert not transport.is_closing()
    close(loop, transport, protocol)


def test_a_connected_endpoint_sends_nowhere_else(loop: Fate) -> None:
    with peer() as sock:
        transport, protocol = endpoint(loop, remote_addr=sock.getsockname())
        with pytest.raises(ValueError, match="Invalid address: must be None or"):
            transport.sendto(b"tea", ("127.0.0.1", 9))
        close(loop, transport, protocol)


@pytest.mark.parametrize(
    "address",
    [("localhost", 9), ("127.0.0.1", 9, 0), ("127.0.0.1", -1), ("127.0.0.1", 70000), ("127.0.0.1", "9"), None, "x", ()],
)
def test_odd_addresses_end_as_with_asyncio(address: Any) -> None:
    def outcome(loop: Any) -> tuple[list[Any], bool]:
        reports: list[Any] = []
        loop.set_exception_handler(
            lambda loop, context: reports.append((context["message"], type(context["exception"])))
        )
        transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
        transport.sendto(b"tea", address)
        turns(loop, 3)
        closing = transport.is_closing()
        if not closing:
            transport.close()
        turns(loop, 3)
        loop.close()
        told = [type(each[1]) if isinstance(each, tuple) else each for each in protocol.told]
        return [reports, told], closing

    assert outcome(Fate()) == outcome(asyncio.SelectorEventLoop())


def test_an_error_of_the_network_is_told_and_does_not_close(loop: Fate) -> None:
    with peer() as sock:
        address = sock.getsockname()
    transport, protocol = endpoint(loop, remote_addr=address)
    for _ in range(2):
        transport.sendto(b"to nobody")
        run_until(loop, lambda: ConnectionRefusedError in protocol.told)
        protocol.told.clear()
    assert not transport.is_closing()
    protocol.told.append("")
    close(loop, transport, protocol)


def test_an_error_that_came_while_reading_was_paused_is_told_once_and_the_rest_as_well(loop: Fate) -> None:
    with peer() as sock:
        transport, protocol = endpoint(loop, remote_addr=sock.getsockname())
        for reaction in (transport.pause_reading, lambda: None):
            protocol.then = lambda data, address, reaction=reaction: reaction()  # type: ignore[misc]
            for _ in range(3):
                sock.sendto(b"tea", transport.get_extra_info("sockname"))
            run_until(loop, lambda: protocol.received)
            turns(loop, 5)
            transport.resume_reading()
        run_until(loop, lambda: len(protocol.received) == 6)
        address = sock.getsockname()
    transport.pause_reading()
    transport.sendto(b"to nobody")
    assert ConnectionRefusedError not in protocol.told
    transport.resume_reading()
    run_until(loop, lambda: ConnectionRefusedError in protocol.told)
    turns(loop, 3)
    assert protocol.told.count(ConnectionRefusedError) == 1
    with peer(address=address) as sock:
        sock.sendto(b"again", transport.get_extra_info("sockname"))
        run_until(loop, lambda: protocol.received[-1] == b"again")
    close(loop, transport, protocol)


def test_a_datagram_that_is_too_long_is_told_and_does_not_close(loop: Fate) -> None:
    with peer() as sock:
        transport, protocol = endpoint(loop, remote_addr=sock.getsockname())
        transport.sendto(bytes(70000))
        assert protocol.told == ["made", OSError]
        transport.sendto(b"tea")
        assert sock.recv(100) == b"tea"
        close(loop, transport, protocol)


def test_what_does_not_fit_is_buffered_and_pauses_the_protocol(loop: Fate, tmp_path: Any) -> None:
    ours, theirs = unix_pair(tmp_path)
    with theirs:
        transport, protocol = endpoint(loop, sock=ours)
        transport.set_write_buffer_limits(high=2000, low=500)
        data = bytearray(b"x" * 300)
        count = 0
        while "pause" not in protocol.told:
            data[:6] = b"%06d" % count
            transport.sendto(data)
            count += 1
        assert transport.get_write_buffer_size() > 2000
        got = [theirs.recv(1000)]

        def drain() -> bool:
            try:
                while True:
                    got.append(theirs.recv(1000))
            except BlockingIOError:
                return len(got) == count

        run_until(loop, drain)
        assert [each[:6] for each in got] == [b"%06d" % number for number in range(count)]
        run_until(loop, lambda: protocol.told[-1] == "resume")
        assert transport.get_write_buffer_size() == 0
        close(loop, transport, protocol)


def test_one_of_two_sockets_without_names_sends_to_the_other(loop: Fate) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with theirs:
        theirs.setblocking(False)
        transport, protocol = endpoint(loop, sock=ours)
        sent = 0
        while not transport.get_write_buffer_size() and sent < 100_000:  # until the kernel takes no more
            transport.sendto(b"%d" % sent)
            sent += 1
        got = 0
        while got < sent:
            with contextlib.suppress(BlockingIOError):
                assert theirs.recv(100) == b"%d" % got
                got += 1
            turns(loop, 2)
        assert transport.get_extra_info("peername") == "" and transport.get_write_buffer_size() == 0
        transport.close()
        turns(loop, 3)
        assert protocol.told == ["made", ("lost", None)]


def test_closing_flushes_what_is_buffered(loop: Fate, tmp_path: Any) -> None:
    ours, theirs = unix_pair(tmp_path)
    with theirs:
        transport, protocol = endpoint(loop, sock=ours)
        count = 0
        while not transport.get_write_buffer_size():
            transport.sendto(b"%06d" % count)
            count += 1
        transport.close()
        turns(loop, 3)
        assert protocol.told == ["made"]
        got: list[bytes] = []

        def drain() -> bool:
            try:
                while True:
                    got.append(theirs.recv(1000))
            except BlockingIOError:
                return protocol.told[-1] == ("lost", None)

        run_until(loop, drain)
        assert got == [b"%06d" % number for number in range(count)]


def test_aborting_drops_what_is_buffered(loop: Fate, tmp_path: Any) -> None:
    ours, theirs = unix_pair(tmp_path)
    with theirs:
        transport, protocol = endpoint(loop, sock=ours)
        while not transport.get_write_buffer_size():
            transport.sendto(b"tea")
        transport.abort()
        assert transport.get_write_buffer_size() in (0, 3, 11)  # asyncio leaves the count as it is
        run_until(loop, lambda: protocol.told[-1] == ("lost", None))


def test_sending_after_the_end_is_dropped_with_a_warning_after_a_few(
    loop: Fate, caplog: pytest.LogCaptureFixture
) -> None:
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
    close(loop, transport, protocol)
    with caplog.at_level(logging.WARNING, "asyncio"):
        for _ in range(10):
            transport.sendto(b"tea", ("127.0.0.1", 9))
    assert "socket.send() raised exception." in caplog.messages


def test_a_broadcast(loop: Fate) -> None:
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0), allow_broadcast=True)
    assert transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
    with peer(address=("", 0)) as sock:
        transport.sendto(b"tea", ("127.255.255.255", sock.getsockname()[1]))
        assert sock.recv(100) == b"tea"
    close(loop, transport, protocol)


def test_a_broadcast_to_the_address_of_the_endpoint(loop: Fate) -> None:
    with peer(address=("", 0)) as sock:
        address = ("127.255.255.255", sock.getsockname()[1])
        transport, protocol = endpoint(loop, remote_addr=address, allow_broadcast=True)
        transport.sendto(b"tea")
        transport.sendto(b"cake", address)
        assert (sock.recv(100), sock.recv(100)) == (b"tea", b"cake")
        close(loop, transport, protocol)


def test_a_port_that_is_shared(loop: Fate) -> None:
    first = endpoint(loop, local_addr=("127.0.0.1", 0), reuse_port=True)
    second = endpoint(loop, local_addr=first[0].get_extra_info("sockname"), reuse_port=True)
    with pytest.raises(OSError):
        endpoint(loop, local_addr=first[0].get_extra_info("sockname"))
    for each in (first, second):
        close(loop, *each)


# -- what it is -------------------------------------------------------------------------------------------------------


def test_it_is_a_transport_of_asyncio(loop: Fate) -> None:
    with peer() as sock:
        transport, protocol = endpoint(loop, remote_addr=sock.getsockname())
        assert isinstance(transport, asyncio.DatagramTransport)
        assert isinstance(transport, asyncio.BaseTransport)
        assert transport.get_extra_info("peername") == sock.getsockname()
        assert transport.get_extra_info("socket").family == socket.AF_INET
        assert transport.get_extra_info("nothing", "else") == "else"
        assert "read=polling" in repr(transport)
        transport.sendto = protocol.told.append  # a program may put its own in place
        transport.sendto(b"tea")
        assert protocol.told[-1] == b"tea"
        close(loop, transport, protocol)
    assert "closed" in repr(transport)


def test_a_transport_that_nobody_closed_is_told_of(loop: Fate) -> None:
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
    protocol.transport = None
    loop.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del transport, protocol
        gc.collect()
    assert [each.category for each in caught] == [ResourceWarning]
    assert "unclosed transport" in str(caught[0].message)


def test_a_transport_that_receives_is_kept_alive(loop: Fate) -> None:
    told: list[bytes] = []

    class Forgetful(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            told.append(data)

    with peer() as sock:
        ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ours.bind(("127.0.0.1", 0))
        loop.run_until_complete(loop.create_datagram_endpoint(Forgetful, sock=ours))
        gc.collect()
        sock.sendto(b"tea", ours.getsockname())
        run_until(loop, lambda: told)
        transport = loop._transports[ours.fileno()]  # type: ignore[attr-defined]
        transport.close()
        turns(loop, 2)


def test_a_closed_transport_keeps_nothing_alive(loop: Fate) -> None:
    import weakref

    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
    close(loop, transport, protocol)
    protocol.transport = None
    gone = weakref.ref(protocol), weakref.ref(transport)
    gc.disable()
    try:
        del protocol, transport
        turns(loop, 2)
        assert [each() for each in gone] == [None, None]
    finally:
        gc.enable()


def test_order_of_the_first_callbacks(loop: Fate) -> None:
    with peer() as sock:
        protocol = Protocol()
        ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ours.bind(("127.0.0.1", 0))
        sock.sendto(b"early", ours.getsockname())

        async def make() -> None:
            await loop.create_datagram_endpoint(lambda: protocol, sock=ours)
            assert protocol.told == ["made"]

        loop.run_until_complete(make())
        run_until(loop, lambda: protocol.received)
        assert protocol.told == ["made", (b"early", sock.getsockname())]
        close(loop, protocol.transport, protocol)


def test_closed_in_connection_made(loop: Fate) -> None:
    class Hasty(Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.close()

    protocol = Hasty()
    loop.run_until_complete(loop.create_datagram_endpoint(lambda: protocol, local_addr=("127.0.0.1", 0)))
    run_until(loop, lambda: protocol.told[-1] == ("lost", None))
    assert protocol.told == ["made", ("lost", None)]


def test_errno_of_an_error(loop: Fate) -> None:
    seen: list[Any] = []
    with peer() as sock:
        address = sock.getsockname()
    transport, protocol = endpoint(loop, remote_addr=address)
    protocol.error_received = seen.append  # type: ignore[method-assign]
    transport.sendto(b"tea")
    run_until(loop, lambda: seen)
    assert (seen[0].errno, seen[0].strerror) == (errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    close(loop, transport, protocol)
