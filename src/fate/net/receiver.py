"""Sockets where packets come in, each shared by the fuses that wait for a packet there.

A receiver reads datagrams, or the lines of TCP connections, and offers each packet to all of its fuses in the order in
which they were made. It closes what it opened when the last fuse has left, and leaves a socket that it was given as
it was. What a packet must be like to burn a fuse is decided in `fate.net.packet`.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Hashable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fate.errors import SourceError, source_error
from fate.net.poll import watchers

if TYPE_CHECKING:
    from fate.loop import Fate
    from fate.net.packet import PacketFuse

LONGEST_LINE = 65536  # bytes; a connection that sends a longer one is closed
LARGEST_DATAGRAM = 65536  # bytes
DATAGRAMS_A_TURN = 64  # a flood of datagrams must not keep the loop from turning
LINES_A_TURN = 64  # nor one of lines
BACKLOG = 128
ACCEPT_RETRY = 1.0  # seconds until the next try, when there was no descriptor for a connection; asyncio's figure
NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
KINDS = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}


def receiver_at(fate: Fate, source: Any, protocol: str) -> Receiver:
    """The receiver for `source`, an address or a socket: the one that is there, or a new one.

    Raises AddressInUseError, OutOfDescriptorsError or another SourceError; TypeError or ValueError for arguments that
    make no sense.
    """
    if isinstance(source, socket.socket):
        if source.fileno() < 0:
            raise SourceError(0, f"cannot wait for a packet on {source!r}: it is closed")
        return fate._receivers.get(source) or _receiver(fate, source, source)
    if not isinstance(protocol, str) or protocol not in KINDS:
        raise ValueError(f"protocol is 'udp' or 'tcp', not {protocol!r}")
    if not (isinstance(source, tuple) and len(source) >= 2 and isinstance(source[1], int)):
        raise TypeError(f"a packet fuse listens at (host, port) or on a socket, not {source!r}")
    what = f"listen for {protocol} packets at {source!r}"
    if not 0 <= source[1] <= 65535:  # getaddrinfo would take it modulo 65536
        raise ValueError(f"cannot {what}: a port is 0 (any that is free) to 65535")
    kind = KINDS[protocol]
    sock = None
    try:
        found = socket.getaddrinfo(source[0] or None, source[1], type=kind, flags=socket.AI_PASSIVE)
        family, _, number, _, address = found[0]
        if len(source) > 2:
            address = source
        known = fate._receivers.get((kind, address))
        if known is not None:
            return known
        sock = socket.socket(family, kind, number)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        if kind == socket.SOCK_STREAM:
            sock.listen(BACKLOG)
        return _receiver(fate, sock, (kind, sock.getsockname()))
    except BaseException as error:
        if sock is not None:
            sock.close()
        if isinstance(error, SourceError):
            raise
        if isinstance(error, OSError):
            raise source_error(error, what) from error
        raise


def _receiver(fate: Fate, sock: socket.socket, key: Hashable) -> Receiver:
    if sock.type == socket.SOCK_DGRAM:
        return DatagramReceiver(fate, sock, key)
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return LineReceiver(fate, sock, key)
    return ConnectionReceiver(fate, sock, key)


class Receiver:
    """One socket and the fuses that wait for a packet there. `key` is what it is found by: the socket, if given."""

    def __init__(self, fate: Fate, sock: socket.socket, key: Hashable) -> None:
        self.fate = fate
        self.sock = sock
        self.key = key
        self.given = key is sock
        self.address = sock.getsockname()
        self.fuses: dict[PacketFuse, int] = {}  # in order, with their place in it
        self._joined = 0
        self._exact: dict[bytes, dict[PacketFuse, None]] = {}  # those that match these bytes and no others
        self._other: dict[PacketFuse, None] = {}
        self._timeout = sock.gettimeout()
        self._fd = sock.fileno()
        reader, _ = watchers(fate._poll, self._fd)
        if reader is not None:
            raise SourceError(0, f"cannot wait for a packet on {sock!r}: somebody else reads from it on this loop")
        self._listen()
        sock.setblocking(False)
        fate._receivers[key] = self

    def _listen(self) -> None:
        try:
            self.fate._ensure_fd_no_transport(self._fd)
            self._reading = self.fate._add_reader(self._fd, self._on_readable)
        except OSError as error:
            raise source_error(error, f"wait for a packet on {self.sock!r}") from error
        except RuntimeError as error:
            raise SourceError(0, f"cannot wait for a packet on {self.sock!r}: {error}") from error

    def _on_readable(self) -> None:
        raise NotImplementedError

    def join(self, fuse: PacketFuse) -> None:
        """Offer what comes to `fuse` too."""
        self._joined += 1
        self.fuses[fuse] = self._joined
        if fuse.exact is None:
            self._other[fuse] = None
        else:
            self._exact.setdefault(fuse.exact, {})[fuse] = None

    def leave(self, fuse: PacketFuse) -> None:
        """Offer `fuse` nothing more; the last one closes."""
        self.fuses.pop(fuse, None)
        self._other.pop(fuse, None)
        if fuse.exact is not None and fuse.exact in self._exact:
            alike = self._exact[fuse.exact]
            alike.pop(fuse, None)
            if not alike:
                del self._exact[fuse.exact]
        if not self.fuses:
            self.close()

    def interested(self, packet: bytes) -> list[PacketFuse]:
        """Those that may match, in order: who waits for other bytes need not be asked."""
        exact = self._exact.get(packet)
        if exact is None:
            return list(self._other)
        if not self._other:
            return list(exact)
        return sorted([*exact, *self._other], key=self.fuses.__getitem__)

    def close(self) -> None:
        """Let go of the socket."""
        if self.fate._receivers.get(self.key) is self:
            del self.fate._receivers[self.key]
            self._pause()
            if not self.given:
                self.sock.close()
            elif self.sock.fileno() >= 0:
                self.sock.settimeout(self._timeout)

    def _pause(self) -> None:
        """Be told no more; who has come to the number since, if the socket was closed, stays."""
        if not self.fate.is_closed():
            self.fate._poll.drop_reader(self._fd, self._reading)
        self._reading.cancel()

    def fail(self, error: SourceError) -> None:
        """Nothing more can come: every fuse fails."""
        for fuse in list(self.fuses):
            fuse.fail(error)


class DatagramReceiver(Receiver):
    """Datagrams, each a packet."""

    def _on_readable(self) -> None:
        for _ in range(DATAGRAMS_A_TURN):
            try:
                data, sender = self.sock.recvfrom(LARGEST_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self.fail(source_error(error, f"receive at {self.address!r}"))
                return
            for fuse in self.interested(data):
                fuse.offer(data, sender)
            if not self.fuses:
                return


class _Lines:
    """What one connection has sent of its present line."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.line = bytearray()
        self.following: deque[bytes] = deque()  # what came after it, of which each but the last is a whole line
        self.ended = False  # nothing will follow that
        self.peer: Any = None
        with suppress(OSError):
            self.peer = connection.getpeername()


class LineReceiver(Receiver):
    """The lines of every connection to a listening socket."""

    def __init__(self, fate: Fate, sock: socket.socket, key: Hashable) -> None:
        self._connections: dict[socket.socket, int] = {}  # and their descriptors
        super().__init__(fate, sock, key)

    def _on_readable(self) -> None:
        try:
            connection, _ = self.sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in NO_DESCRIPTOR:
                self.fail(source_error(error, f"accept a connection at {self.address!r}"))
                return
            failure = source_error(error, f"accept a connection at {self.address!r}")
            message = f"No connection can be accepted at {self.address!r} for now; the next try is in {ACCEPT_RETRY} s"
            self._pause()
            self.fate.call_later(ACCEPT_RETRY, self._listen_again)
            self.fate.call_exception_handler({"message": message, "exception": failure, "socket": self.sock})
            return
        connection.setblocking(False)
        self._connections[connection] = connection.fileno()
        try:
            self.fate.add_reader(connection, self._on_bytes, _Lines(connection))
        except OSError:  # no memory or watches left in the kernel
            self._drop(connection)

    def _listen_again(self) -> None:
        if not self.fuses:
            return
        if self.sock.fileno() != self._fd:
            self.fail(SourceError(0, f"{self.sock!r} was closed while fuses waited for packets there"))
        else:
            self._listen()

    def close(self) -> None:
        super().close()
        for connection in list(self._connections):
            self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        if self._connections.pop(connection, None) is not None:
            self.fate._remove_reader(connection)
            connection.close()

    def _receive(self, connection: socket.socket) -> bytes:
        return connection.recv(LONGEST_LINE)

    def _on_bytes(self, lines: _Lines) -> None:
        if lines.following:
            return  # those first
        try:
            data = self._receive(lines.connection)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        first, *following = data.split(b"\n")
        lines.line += first
        lines.following.extend(following)
        lines.ended = not data
        self._go_on(lines)

    def _go_on(self, lines: _Lines) -> None:
        """Offer the lines that have come, so many a turn."""
        for _ in range(min(LINES_A_TURN, len(lines.following))):
            self._offer(lines, whole=True)
            if not self.fuses:
                return
            lines.line[:] = lines.following.popleft()
        if lines.following:
            self.fate.call_soon(self._go_on_later, lines)
            return
        self._offer(lines, whole=False)
        if not self.fuses:
            return
        if lines.ended:
            self._drop(lines.connection)
        elif len(lines.line) > LONGEST_LINE:
            self.fate.call_exception_handler(
                {"message": f"{lines.peer!r} sent a line of over {LONGEST_LINE} bytes to {self.address!r}: cut off"}
            )
            self._drop(lines.connection)

    def _go_on_later(self, lines: _Lines) -> None:
        if lines.connection.fileno() >= 0 and self.fuses:
            self._go_on(lines)

    def _offer(self, lines: _Lines, whole: bool) -> None:
        """Offer the present line: the whole of it to every fuse, its beginning to those that wait for a prefix."""
        line = bytes(lines.line.removesuffix(b"\r")) if whole else b""
        for fuse in self.interested(line):
            if fuse.prefix is not None:
                if lines.line.startswith(fuse.prefix):
                    fuse.offer(fuse.prefix, lines.peer)
            elif whole:
                fuse.offer(line, lines.peer)


class ConnectionReceiver(LineReceiver):
    """The lines of one connection that was given. What follows the packet's line stays in the socket."""

    def __init__(self, fate: Fate, sock: socket.socket, key: Hashable) -> None:
        self._lines = _Lines(sock)
        super().__init__(fate, sock, key)

    def _on_readable(self) -> None:
        self._on_bytes(self._lines)

    def _receive(self, connection: socket.socket) -> bytes:
        waiting = connection.recv(LONGEST_LINE, socket.MSG_PEEK)
        return connection.recv(waiting.find(b"\n") + 1 or len(waiting)) if waiting else b""

    def _drop(self, connection: socket.socket) -> None:
        self.fail(SourceError(0, f"the connection of {connection!r} ended, or its line was too long, before a match"))
