"""Packet fuses: which packets burn them, where they listen, what they leave behind."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest
from growth import in_proportion
from support import DEADLINE, Log, run_until, turns

from fate import Fate, Packet, PacketFuse
from fate.errors import AddressInUseError, SourceError
from fate.net.receiver import DATAGRAMS_A_TURN, LONGEST_LINE

HERE = ("127.0.0.1", 0)


@pytest.fixture
def connect() -> Iterator[Callable[[Any], socket.socket]]:
    """Connect to a TCP address; closed afterwards."""
    with ExitStack() as stack:
        yield lambda address: stack.enter_context(socket.create_connection(address, timeout=DEADLINE))


@pytest.fixture
def sender() -> Iterator[socket.socket]:
    """A UDP socket to send from, with a fixed address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(HERE)
        yield sock


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    """A bound UDP socket of the test's own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(HERE)
        yield sock


def wait(loop: Fate, fuse: PacketFuse) -> Packet:
    """The packet that `fuse` burned with, once it has."""

    async def main() -> Packet:
        async with asyncio.timeout(DEADLINE):
            return await fuse

    return loop.run_until_complete(main())


def burning_with(loop: Fate, fuse: PacketFuse) -> bytes:
    return wait(loop, fuse).data


MATCHES = {
    "bytes": ({"match": b"ignite 7"}, [b"ignite 77", b"ignite", b" ignite 7"], b"ignite 7", b"ignite 7"),
    "pattern": ({"match": re.compile(rb"ignite (\d+)")}, [b"ignite", b"ignite 7 times"], b"ignite 7", None),
    "function": ({"match": lambda data: data.endswith(b"!")}, [b"ignite", b"! ignite"], b"ignite!", None),
    "prefix": ({"prefix": b"ign"}, [b"an ign", b"ig"], b"ignite", b"ign"),
    "anything": ({}, [], b"whatever", None),
    "the empty one": ({"match": b""}, [b"x"], b"", None),
}  # fmt: skip


@pytest.mark.parametrize("name", MATCHES)
def test_a_datagram_that_matches_burns_it_and_no_other_does(loop: Fate, sender: socket.socket, name: str) -> None:
    arguments, others, right, _ = MATCHES[name]
    fuse = loop.get_packet_fuse(HERE, **arguments)
    for data in (*others, right, b"too late"):
        sender.sendto(data, fuse.address)
    assert wait(loop, fuse) == Packet(right, sender.getsockname())


@pytest.mark.parametrize("name", MATCHES)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_that_matches_burns_it_and_no_other_does(
    loop: Fate, connect: Callable[[Any], socket.socket], name: str, end: bytes
) -> None:
    arguments, others, right, of_prefix = MATCHES[name]
    fuse = loop.get_packet_fuse(HERE, **arguments, protocol="tcp")
    client = connect(fuse.address)
    client.sendall(end.join([*others, right, b"too late", b""]))
    assert wait(loop, fuse) == Packet(of_prefix or right, client.getsockname())


def test_a_line_may_come_in_pieces(loop: Fate, connect: Callable[[Any], socket.socket]) -> None:
    fuse = loop.get_packet_fuse(HERE, b"ignite", protocol="tcp")
    client = connect(fuse.address)
    for piece in (b"no\nig", b"ni", b"te", b"\r"):
        client.sendall(piece)
        turns(loop, 5)
        assert not fuse.is_burned()
    client.sendall(b"\n")
    assert burning_with(loop, fuse) == b"ignite"


def test_a_prefix_needs_no_end_of_the_line(loop: Fate, connect: Callable[[Any], socket.socket]) -> None:
    fuse = loop.get_packet_fuse(HERE, prefix=b"ignite", protocol="tcp")
    client = connect(fuse.address)
    client.sendall(b"igni")
    turns(loop, 5)
    client.sendall(b"te now")
    assert burning_with(loop, fuse) == b"ignite"


def test_the_lines_of_several_connections_do_not_mix(loop: Fate, connect: Callable[[Any], socket.socket]) -> None:
    fuse = loop.get_packet_fuse(HERE, b"ignite", protocol="tcp")
    one, other = connect(fuse.address), connect(fuse.address)
    one.sendall(b"ign")
    other.sendall(b"ite\nign")
    turns(loop, 10)
    assert not fuse.is_burned()
    other.sendall(b"ite\n")
    assert wait(loop, fuse).sender == other.getsockname()


def test_a_peer_that_half_closes_has_said_what_it_said(loop: Fate, connect: Callable[[Any], socket.socket]) -> None:
    fuse = loop.get_packet_fuse(HERE, b"ignite", protocol="tcp")
    silent, talker = connect(fuse.address), connect(fuse.address)
    silent.sendall(b"ignite")  # no line: it has no end
    silent.shutdown(socket.SHUT_WR)
    receiver = next(iter(loop._receivers.values()))
    run_until(loop, lambda: len(receiver._connections) == 1)  # type: ignore[attr-defined]
    assert silent.recv(1) == b""
    assert not fuse.is_burned()
    talker.sendall(b"ignite\n")
    talker.shutdown(socket.SHUT_WR)
    assert burning_with(loop, fuse) == b"ignite"


def test_a_peer_that_resets_its_connection_hurts_nobody(
    loop: Fate, connect: Callable[[Any], socket.socket], reports: list
) -> None:
    fuse = loop.get_packet_fuse(HERE, b"ignite", protocol="tcp")
    rude = connect(fuse.address)
    rude.sendall(b"igni")
    turns(loop, 5)
    rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    rude.close()
    connect(fuse.address).sendall(b"ignite\n")
    assert burning_with(loop, fuse) == b"ignite"
    assert reports == []


@pytest.mark.parametrize("more", [0, 1])
def test_a_line_may_be_as_long_as_stated_and_no_longer(
    loop: Fate, connect: Callable[[Any], socket.socket], reports: list, more: int
) -> None:
    fuse = loop.get_packet_fuse(HERE, lambda line: line.startswith(b"x"), protocol="tcp")
    long = connect(fuse.address)
    long.sendall(b"x" * (LONGEST_LINE + more))
    if more:
        run_until(loop, lambda: reports)
        (report,) = reports
        assert f"a line of over {LONGEST_LINE} bytes" in report["message"]
        assert not fuse.is_over()
        connect(fuse.address).sendall(b"x\n")
        assert burning_with(loop, fuse) == b"x"
    else:
        long.sendall(b"\n")
        assert burning_with(loop, fuse) == b"x" * LONGEST_LINE
        assert reports == []


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_several_fuses_wait_at_one_address_and_each_packet_burns_all_that_it_matches(
    loop: Fate, sender: socket.socket, connect: Callable[[Any], socket.socket], log: Log, protocol: str
) -> None:
    first = loop.get_packet_fuse(HERE, b"ignite", protocol=protocol)
    second = loop.get_packet_fuse(first.address, re.compile(b"ig.*"), protocol=protocol)
    third = loop.get_packet_fuse(first.address, b"rain", protocol=protocol)
    fourth = loop.get_packet_fuse(first.address, prefix=b"ra", protocol=protocol)
    assert first.address == second.address == third.address == fourth.address
    for name, fuse in (("first", first), ("second", second), ("third", third), ("fourth", fourth)):
        fuse.set_handler(log.note(name))
    client = connect(first.address) if protocol == "tcp" else sender
    send = client.sendall if protocol == "tcp" else lambda data: sender.sendto(data.rstrip(), first.address)
    send(b"ignite\n")
    run_until(loop, lambda: len(log) == 2)
    assert log == ["first", "second"]
    send(b"rain\n")
    run_until(loop, lambda: len(log) == 4)
    assert log == ["first", "second", "third", "fourth"]
    assert loop._receivers == {}


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_an_address_is_free_again_when_the_last_fuse_is_over(loop: Fate, protocol: str) -> None:
    one = loop.get_packet_fuse(HERE, b"a", protocol=protocol)
    other = loop.get_packet_fuse(one.address, b"b", protocol=protocol)
    one.cancel()
    with Stranger() as stranger, pytest.raises(AddressInUseError):
        stranger.get_packet_fuse(one.address, protocol=protocol)
    other.cancel()
    with Stranger() as stranger:
        stranger.get_packet_fuse(one.address, protocol=protocol)


class Stranger:
    """Another Fate, closed afterwards."""

    def __enter__(self) -> Fate:
        self.fate = Fate()
        return self.fate

    def __exit__(self, *error: object) -> None:
        self.fate.close()


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_a_port_in_use_is_a_typed_error_that_says_where_and_what_to_do(loop: Fate, protocol: str) -> None:
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(HERE)
        if protocol == "tcp":
            taken.listen()
        address = taken.getsockname()
        with pytest.raises(AddressInUseError, match=rf"listen for {protocol} packets at .*{address[1]}.*another port"):
            loop.get_packet_fuse(address, protocol=protocol)
    assert loop.fuses == []
    fuse = loop.get_packet_fuse(address, protocol=protocol)
    assert fuse.address == address


def test_a_match_function_that_fails_is_reported_and_counts_as_no_match(
    loop: Fate, sender: socket.socket, reports: list
) -> None:
    fuse = loop.get_packet_fuse(HERE, lambda data: 1 / int(data))
    sender.sendto(b"0", fuse.address)
    sender.sendto(b"1", fuse.address)
    assert burning_with(loop, fuse) == b"1"
    (report,) = reports
    assert isinstance(report["exception"], ZeroDivisionError)
    assert "match function failed on b'0'" in report["message"]


def test_a_match_function_that_cancels_its_fuse_ends_it(loop: Fate, sender: socket.socket, reports: list) -> None:
    fuse = loop.get_packet_fuse(HERE, lambda data: fuse.cancel())
    sender.sendto(b"x", fuse.address)
    run_until(loop, fuse.cancelled)
    assert reports == []


def test_a_flood_of_datagrams_does_not_keep_the_loop_from_turning(loop: Fate, sender: socket.socket, log: Log) -> None:
    fuse = loop.get_packet_fuse(HERE, lambda data: log.append(data))
    count = 2 * DATAGRAMS_A_TURN + 1
    for _ in range(count):
        sender.sendto(b"x", fuse.address)
    turns(loop)
    assert len(log) == DATAGRAMS_A_TURN
    run_until(loop, lambda: len(log) == count)
    fuse.cancel()


# -- sockets that are given -------------------------------------------------------------------------------------------


def test_a_given_socket_keeps_what_came_after_the_packet_and_is_left_as_it_was(
    loop: Fate, sender: socket.socket, receiver: socket.socket
) -> None:
    receiver.settimeout(DEADLINE)
    fuse = loop.get_packet_fuse(receiver, b"ignite")
    for data in (b"before", b"ignite", b"after"):
        sender.sendto(data, receiver.getsockname())
    assert burning_with(loop, fuse) == b"ignite"
    assert receiver.gettimeout() == DEADLINE
    assert receiver.recv(100) == b"after"


def test_several_fuses_wait_on_one_given_socket(loop: Fate, sender: socket.socket, receiver: socket.socket) -> None:
    one, other = loop.get_packet_fuse(receiver, b"one"), loop.get_packet_fuse(receiver, b"other")
    sender.sendto(b"other", receiver.getsockname())
    assert burning_with(loop, other) == b"other"
    assert not one.is_over()
    sender.sendto(b"one", receiver.getsockname())
    assert burning_with(loop, one) == b"one"


def test_a_given_listening_socket_goes_on_listening(loop: Fate, connect: Callable[[Any], socket.socket]) -> None:
    with socket.create_server(HERE) as server:
        for _ in range(2):
            fuse = loop.get_packet_fuse(server, b"ignite")
            connect(server.getsockname()).sendall(b"ignite\n")
            assert burning_with(loop, fuse) == b"ignite"


def test_a_given_connection_keeps_what_follows_the_line(loop: Fate) -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(b"hello\r\nignite\r\nthe rest\n")
        fuse = loop.get_packet_fuse(near, b"ignite")
        assert burning_with(loop, fuse) == b"ignite"
        assert near.gettimeout() is None
        assert near.recv(100) == b"the rest\n"


def test_a_given_connection_that_ends_fails_the_fuse(loop: Fate) -> None:
    near, far = socket.socketpair()
    with near, far:
        fuse = loop.get_packet_fuse(near, b"ignite")
        far.sendall(b"ignit")
        far.close()
        with pytest.raises(SourceError, match="ended"):
            wait(loop, fuse)
        assert near.fileno() >= 0


def test_somebody_elses_reader_is_not_taken_away(loop: Fate, receiver: socket.socket) -> None:
    loop.add_reader(receiver, print)
    with pytest.raises(SourceError, match="somebody else reads from it"):
        loop.get_packet_fuse(receiver)
    assert loop.remove_reader(receiver)
    assert receiver.gettimeout() is None


def test_a_socket_that_is_closed_is_an_error(loop: Fate, receiver: socket.socket) -> None:
    receiver.close()
    with pytest.raises(SourceError, match="it is closed"):
        loop.get_packet_fuse(receiver)


# -- bad arguments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "arguments", "error", "message"),
    [
        (HERE, {"match": b"a", "prefix": b"b"}, TypeError, "match or prefix, not both"),
        (HERE, {"match": "text"}, TypeError, "match is bytes, a bytes pattern or a function"),
        (HERE, {"match": re.compile("text")}, TypeError, "a pattern for text"),
        (HERE, {"prefix": "text"}, TypeError, "prefix is bytes"),
        (HERE, {"protocol": "sctp"}, ValueError, "'udp' or 'tcp', not 'sctp'"),
        ("127.0.0.1:80", {}, TypeError, r"\(host, port\)"),
        (("127.0.0.1",), {}, TypeError, r"\(host, port\)"),
        (("127.0.0.1", "http"), {}, TypeError, r"\(host, port\)"),
        (("127.0.0.1", 65536), {}, ValueError, "0 .* to 65535"),
        (("127.0.0.1", -1), {}, ValueError, "0 .* to 65535"),
        (("192.0.2.1", 0), {}, SourceError, "cannot listen for udp packets at .*192.0.2.1.*assign"),
        (("256.0.0.1 ", 0), {}, SourceError, "cannot listen for udp packets at"),
    ],
)
def test_arguments_that_make_no_sense_are_errors_and_leave_nothing(
    loop: Fate, address: Any, arguments: dict[str, Any], error: Any, message: str
) -> None:
    with pytest.raises(error, match=message):
        loop.get_packet_fuse(address, **arguments)
    assert loop.fuses == []
    assert loop._receivers == {}


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_closing_the_loop_closes_what_its_packet_fuses_opened(protocol: str) -> None:
    with Stranger() as other:
        fuse = other.get_packet_fuse(HERE, protocol=protocol)
        with socket.create_connection(fuse.address) if protocol == "tcp" else ExitStack():
            turns(other, 3)
    assert fuse.cancelled()


def test_ipv6_addresses_are_addresses(loop: Fate) -> None:
    try:
        fuse = loop.get_packet_fuse(("::1", 0), b"ignite")
    except SourceError as error:
        pytest.skip(f"no IPv6 on this machine: {error}")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"ignite", fuse.address)
        assert burning_with(loop, fuse) == b"ignite"


def test_the_loop_turns_within_a_flood_of_short_lines(loop: Fate) -> None:
    """One read brings many; each is offered, in order, and the end comes after the last."""
    listening = socket.create_server(("127.0.0.1", 0))
    told: list[bytes] = []
    between: list[int] = []

    def matches(line: bytes) -> bool:
        told.append(line)
        return line == b"last"

    def count() -> None:
        between.append(len(told))
        handle[0] = loop.call_soon(count)

    with listening, socket.create_connection(listening.getsockname()) as peer:
        fuse = loop.get_packet_fuse(listening, matches)
        peer.sendall(b"".join(b"%d\n" % number for number in range(5000)) + b"last\n")
        handle = [loop.call_soon(count)]
        run_until(loop, fuse.is_burned)
        handle[0].cancel()
    assert told == [*(b"%d" % number for number in range(5000)), b"last"]
    assert max(after - before for before, after in pairwise(between)) < 100


def test_lines_that_came_with_the_end_are_all_offered(loop: Fate) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    with listening:
        fuse = loop.get_packet_fuse(listening, b"last")
        with socket.create_connection(listening.getsockname()) as peer:
            peer.sendall(b"line\n" * 1000 + b"last\n")
        run_until(loop, fuse.is_burned)


def test_of_many_fuses_for_certain_bytes_only_those_that_match_are_asked_and_in_order(loop: Fate, log: Log) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    with sock:
        fuses = [loop.get_packet_fuse(sock, match) for match in (b"a", None, b"b", b"a", lambda data: True, b"a")]
        for place, fuse in enumerate(fuses):
            fuse.add_handler(log.note(place))
        sock.sendto(b"a", sock.getsockname())
        run_until(loop, fuses[-1].is_burned)
        turns(loop, 3)
        assert log == [0, 1, 3, 4, 5]
        sock.sendto(b"b", sock.getsockname())
        run_until(loop, fuses[2].is_burned)


def test_many_fuses_at_one_place_each_for_a_packet_of_its_own_are_asked_in_proportion(loop: Fate) -> None:
    def make(count: int) -> Callable[[], None]:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        fuses = [loop.get_packet_fuse(sock, b"%d" % place) for place in range(count)]

        def come() -> None:
            for place, fuse in enumerate(fuses):
                sock.sendto(b"%d" % place, sock.getsockname())
                while not fuse.is_burned():
                    turns(loop)
            sock.close()

        return come

    assert in_proportion(make, 100)
