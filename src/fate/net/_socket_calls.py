"""The calls that receive and send on non-blocking sockets, as the uncompiled build makes them.

The same names with the same meaning as `_socket_calls.pyx`, which replaces this module when Fate is compiled. Here a
socket's own methods do the work, one datagram at a time.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import sys
import termios
from typing import Any

BLOCKED = (BlockingIOError, InterruptedError)
PART = 64 * 1024
LARGE = 256 * 1024


def receive(sock: socket.socket, fd: int, size: int) -> bytes | None:
    """What a stream has, up to `size` bytes, which are at least 1; b"" at its end, None if there is nothing yet."""
    if (
        size > PART and sock.type == socket.SOCK_STREAM
    ):  # a buffer of so much would be mapped, to be unmapped when it turns out to be too large
        size = max(1, min(size, int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)))
    try:
        return sock.recv(size)
    except BLOCKED:
        return None


def fillable(buffer: Any) -> bool:
    """Whether something can be received into it."""
    try:
        with memoryview(buffer) as view:
            return view.nbytes > 0 and view.c_contiguous and not view.readonly
    except (BufferError, TypeError, ValueError):
        return False


def receive_into(sock: socket.socket, fd: int, buffer: Any) -> int:
    """Receive into a writable buffer: the number of bytes, 0 at the end of the stream, -1 if there is nothing yet."""
    try:
        return sock.recv_into(buffer)
    except BLOCKED:
        return -1


def send(sock: socket.socket, fd: int, data: Any, start: int) -> int:
    """Send what can be sent of `data` from byte `start` on: the number of bytes, -1 if it would block."""
    try:
        if start == 0:
            return sock.send(data)
        with memoryview(data) as view, view.cast("B") as octets:
            return sock.send(octets[start:])
    except BLOCKED:
        return -1


def receive_datagrams(sock: socket.socket, fd: int, internet: bool, most: int, into: list[Any]) -> int:
    """Append (data, address, data, address, ...) of the datagrams that are there, `most` at most, to `into`.

    internet: no datagram is longer than 64 KiB, else 256 KiB.
    Returns 0 if there may be more, or the errno of what came after them, such as EAGAIN.
    """
    try:
        while most > 0:
            into.extend(sock.recvfrom(PART if internet else LARGE))
            most -= 1
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def send_datagram(sock: socket.socket, fd: int, family: int, data: Any, address: Any) -> int:
    """Send `data`, which is not empty, to a numeric `address`, or to the peer if that is None.

    Returns 0 when it is sent, the errno of what failed, or -1 if it would block or needs more thought than this.
    """
    return -1  # `socket.sendto` does the thinking
