"""The system calls of the stream transports, as the uncompiled build makes them.

The same names with the same meaning as `_calls.pyx`, which replaces this module when Fate is compiled: they work on
bare descriptors, never wait, and say by their result when they would have had to. Nor do those that read and write
raise an OSError: they return it, or its number.
"""

from __future__ import annotations

import errno
import os
import socket
import weakref
from contextvars import Context
from typing import Any

from fate.core.handle import Handle

__all__ = [
    "Seated",
    "Table",
    "accept",
    "enter",
    "fd_of",
    "fd_of_file",
    "give_back",
    "leave",
    "name_of",
    "no_delay",
    "peer_of",
    "read_pipe",
    "receive",
    "receive_into",
    "send",
    "send_pieces",
    "unpack",
    "write_pieces",
    "write_pipe",
]

SHARED = 64 * 1024  # what one read of a pipe takes at most
PIECES = 64  # what one call sends at most


def enter(context: Context) -> int:
    """Enter `context`: only compiled code can."""
    raise NotImplementedError


def leave(context: Context) -> int:
    """Leave `context`: only compiled code can."""
    raise NotImplementedError


def fd_of(sock: Any) -> int:
    """The descriptor of a `socket.socket` as it is now: -1 once somebody has closed it."""
    fd: int = sock.fileno()
    return fd


def fd_of_file(file: Any) -> int:
    """The descriptor of a file object as it is now: -1 once somebody has closed it."""
    try:
        fd: int = file.fileno()
    except ValueError:
        return -1
    return fd


def receive(fd: int, room: int) -> bytes | OSError | None:
    """Read up to `room` bytes: b"" at the end of the stream, None if nothing has come; the error, if there is one."""
    try:
        return os.read(fd, room)
    except (BlockingIOError, InterruptedError):
        return None
    except OSError as error:
        return error


def give_back(data: Any) -> int:
    """Keep `data` for what is read next: only compiled code can."""
    return 0


def receive_into(fd: int, buffer: Any) -> int:
    """Read into `buffer`: how many bytes, 0 at the end of the stream, -1 if nothing has come."""
    try:
        return os.readv(fd, [buffer])
    except (BlockingIOError, InterruptedError):
        return -1


def send(fd: int, data: Any, offset: int) -> int:
    """Send what is in `data` from `offset` on: how many bytes were taken; below 0: what failed, as -errno."""
    try:
        return os.write(fd, memoryview(data).cast("B")[offset:] if offset else data)
    except (BlockingIOError, InterruptedError):
        return 0
    except OSError as error:
        return -(error.errno or errno.EIO)


def read_pipe(file: Any, room: int) -> bytes | OSError | None:
    """As `receive`, from any file that does not block, up to 64 KiB; its descriptor is asked for each time."""
    return receive(fd_of_file(file), min(room, SHARED))


def write_pipe(file: Any, data: bytes) -> int:
    """As `send`, all of `data`, to any file that does not block; its descriptor is asked for each time."""
    return send(fd_of_file(file), data, 0)


def write_pieces(file: Any, pieces: list[bytes], first: int, offset: int) -> int:
    """As `write_pipe`, of the bytes in `pieces` from the one numbered `first` on, and of that from `offset` on."""
    return send_pieces(fd_of_file(file), pieces, first, offset)


def send_pieces(fd: int, pieces: list[bytes], first: int, offset: int) -> int:
    """As `send`, in one call, of the bytes in `pieces` from the one numbered `first` on, of that from `offset` on."""
    try:
        return os.writev(fd, [memoryview(pieces[first])[offset:], *pieces[first + 1 : first + PIECES]])
    except (BlockingIOError, InterruptedError):
        return 0
    except OSError as error:
        return -(error.errno or errno.EIO)


def accept(listener: Any, fd: int) -> tuple[int, Any] | None:
    """Take the next connection of a listening socket: its descriptor, non-blocking, and its peer; None: none waits."""
    try:
        made, address = listener._accept()
    except (BlockingIOError, InterruptedError):
        return None
    os.set_blocking(made, False)
    return made, address


def peer_of(sock: Any, fd: int) -> Any:
    """The address of the other side; None if there is none."""
    try:
        return sock.getpeername()
    except OSError:
        return None


def name_of(sock: Any, fd: int) -> Any:
    """The socket's own address; None if there is none."""
    try:
        return sock.getsockname()
    except OSError:
        return None


def unpack(packed: Any) -> Any:
    """An address as the socket module has it, from what `accept`, `peer_of` and `name_of` give."""
    return packed


def no_delay(sock: Any, fd: int) -> int:
    """Send small writes at once (TCP_NODELAY)."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return 0


class Table:
    """Which transport uses which descriptor. It keeps none alive."""

    def __init__(self) -> None:
        self._users: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()

    def get(self, fd: int) -> Any:
        """Who uses `fd`; None: nobody."""
        return self._users.get(fd)

    def descriptors(self) -> list[int]:
        """The descriptors that are used."""
        return list(self._users)


class Seated(Handle):
    """A handle that has one place in a table: that of its descriptor."""

    _table: Table | None = None
    _sock_fd = -1

    def _sit(self, table: Table, fd: int) -> int:
        """Use `fd` from now on, and no other. Raises ValueError if there is no such descriptor."""
        self._rise()
        if table is None or fd < 0:
            raise ValueError(f"Invalid file descriptor: {fd}")
        self._sock_fd = fd
        self._table = table
        table._users[fd] = self
        return 0

    def _rise(self) -> int:
        """Leave that place, if nobody else has taken it. `_sock_fd` still tells which it was."""
        table = self._table
        self._table = None
        if table is not None and table._users.get(self._sock_fd) is self:
            del table._users[self._sock_fd]
        return 0
