"""The firecracker that a packet ignites: over UDP, over TCP, or not at all."""

from __future__ import annotations

import re
import socket

from .conftest import EXAMPLES, Program, Start

WITNESSES = ["The dog looks up.", "Ben Eills looks up."]


def port(program: Program, protocol: str) -> int:
    found = re.search(rf"/dev/{protocol}/127\.0\.0\.1/(\d+)", program.line(protocol))
    assert found is not None
    return int(found[1])


def test_a_datagram_ignites_it_and_every_handler_is_called(start: Start) -> None:
    program = start(EXAMPLES / "packet_fuse.py")
    address = ("127.0.0.1", port(program, "udp"))
    program.line("tcp")
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", 0))
        sender.sendto(b"good morning", address)  # not the word it waits for
        sender.sendto(b"ignite\n", address)
        spark = f"A spark over udp from 127.0.0.1:{sender.getsockname()[1]}. BOOM!"
        assert program.end().lines == [spark, *WITNESSES]


def test_a_line_on_a_connection_ignites_it(start: Start) -> None:
    program = start(EXAMPLES / "packet_fuse.py")
    with socket.create_connection(("127.0.0.1", port(program, "tcp"))) as sender:
        sender.sendall(b"good morning\r\nigni")
        sender.sendall(b"te\r\n")
        spark = f"A spark over tcp from 127.0.0.1:{sender.getsockname()[1]}. BOOM!"
        assert program.end().lines == [spark, *WITNESSES]


def test_without_a_spark_it_goes_damp(start: Start) -> None:
    lines = start(EXAMPLES / "packet_fuse.py", "--wait", "0.1").end().lines
    assert lines[-3:] == ["0.1 seconds and no spark: the firecracker is damp.", *WITNESSES]
