"""Packet fuses: they burn when a particular packet arrives.

A packet is a UDP datagram, or a line on a TCP connection (without its line ending). The fuse listens at an address,
or on a socket that it is given; it closes what it opened, and leaves a given socket as it was, when it is over.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from fate.core.fuse import Fuse
from fate.errors import SourceError, source_error

if TYPE_CHECKING:
    from fate.loop import Fate

Match = bytes | re.Pattern[bytes] | Callable[[bytes], object]

LONGEST_LINE = 65536  # bytes; a connection that sends a longer one is closed
LARGEST_DATAGRAM = 65536
BACKLOG = 128


class Packet(NamedTuple):
    """What a packet fuse burned with.

    data: the datagram, or the line without its ending.
    sender: the socket address it came from, `(host, port)` for IPv4.
    """

    data: bytes
    sender: Any


class PacketFuse(Fuse):
    """Burns when a matching datagram or line arrives; its value is the `Packet`.

    source: where to listen: `(host, port)`, IPv4 or IPv6, port 0 for any free one; or a socket: a bound UDP socket, a
        listening TCP socket, or a connected one.
    match: the whole datagram or line as bytes, a compiled bytes pattern that must match all of it, or a function of
        it; None: any packet.
    prefix: instead of `match`, how the datagram or line begins. On TCP it burns as soon as a line begins so, without
        waiting for its end, and the packet's data is the prefix itself.
    protocol: "udp" or "tcp" where `source` is an address.
    `address` is where it listens. Raises AddressInUseError, OutOfDescriptorsError or another SourceError if it
    cannot, TypeError or ValueError for arguments that make no sense. A function that raises counts as no match and
    is reported to the loop's exception handler.
    """

    def __init__(
        self, fate: Fate, source: Any, match: Match | None = None, *, prefix: bytes | None = None, protocol: str = "udp"
    ) -> None:
        self._accepts = _matcher(match, prefix)
        self._prefix = prefix
        self._loop = fate
        self._own: list[socket.socket] = []
        self._watched: dict[int, socket.socket] = {}
        self._listener = _open(source, protocol)
        self.address = self._listener.getsockname()
        super().__init__(fate)
        self._release = self._let_go
        given = isinstance(source, socket.socket)
        if not given:
            self._own.append(self._listener)
        self.what = f"packet at {self.address!r}"
        try:
            self._listener.setblocking(False)
            if self._listener.type == socket.SOCK_DGRAM:
                self._watch_socket(self._listener, self._on_datagram, self._listener)
            elif given and not _listens(self._listener):
                self._read_lines(self._listener)
            else:
                self._watch_socket(self._listener, self._on_connection)
        except BaseException:
            self.cancel()
            raise

    def _watch_socket(self, sock: socket.socket, callback: Callable[..., object], *args: Any) -> None:
        try:
            self._loop.add_reader(sock, callback, *args)
        except OSError as error:
            raise source_error(error, f"wait for a packet on {sock!r}") from error
        except RuntimeError as error:
            raise SourceError(0, f"cannot wait for a packet on {sock!r}: {error}") from error
        self._watched[sock.fileno()] = sock

    def _let_go(self) -> None:
        for fd in self._watched:
            self._loop._remove_reader(fd)
        self._watched.clear()
        for sock in self._own:
            sock.close()
        self._own.clear()

    def _drop(self, sock: socket.socket) -> None:
        """Let go of one connection."""
        self._loop._remove_reader(sock.fileno())
        self._watched.pop(sock.fileno(), None)
        if sock in self._own:
            self._own.remove(sock)
            sock.close()
        if sock is self._listener:  # a given connection, and it has ended
            self.fail(SourceError(0, f"{self!r}: the connection ended before a matching line came"))

    def _burn_if(self, data: bytes, sender: Any) -> bool:
        try:
            matches = self._accepts(data)
        except Exception as error:
            self._loop.call_exception_handler(
                {"message": f"{self!r}: the match function failed on {data[:80]!r}", "exception": error}
            )
            return False
        if matches:
            self.burn(Packet(data, sender))
        return bool(matches)

    def _on_datagram(self, sock: socket.socket) -> None:
        while not self.is_over():
            try:
                data, sender = sock.recvfrom(LARGEST_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self.fail(source_error(error, f"receive at {self.address!r}"))
                return
            self._burn_if(data, sender)

    def _on_connection(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            self.fail(source_error(error, f"accept a connection at {self.address!r}"))
            return
        connection.setblocking(False)
        self._own.append(connection)
        self._read_lines(connection)

    def _read_lines(self, connection: socket.socket) -> None:
        try:
            peer = connection.getpeername()
        except OSError:
            peer = None
        self._watch_socket(connection, self._on_bytes, connection, bytearray(), peer)

    def _on_bytes(self, connection: socket.socket, buffer: bytearray, peer: Any) -> None:
        try:
            data = connection.recv(LONGEST_LINE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        buffer += data
        while not self.is_over():
            line, newline, rest = buffer.partition(b"\n")
            if self._prefix is not None and line.startswith(self._prefix):
                self.burn(Packet(self._prefix, peer))
            elif newline:
                buffer[:] = rest
                self._burn_if(bytes(line.removesuffix(b"\r")), peer)
            elif not data:
                self._drop(connection)
                return
            elif len(line) > LONGEST_LINE:
                self._loop.call_exception_handler(
                    {"message": f"{self!r}: {peer!r} sent a line of over {LONGEST_LINE} bytes, and was cut off"}
                )
                self._drop(connection)
                return
            else:
                return


def _matcher(match: Match | None, prefix: bytes | None) -> Callable[[bytes], object]:
    if match is not None and prefix is not None:
        raise TypeError("a packet fuse takes match or prefix, not both")
    if prefix is not None:
        if not isinstance(prefix, bytes):
            raise TypeError(f"prefix is bytes, not {prefix!r}")
        start = prefix
        return lambda data: data.startswith(start)
    if match is None:
        return lambda data: True
    if isinstance(match, bytes):
        whole = match
        return lambda data: data == whole
    if isinstance(match, re.Pattern):
        if not isinstance(match.pattern, bytes):
            raise TypeError(f"packets are bytes, and {match!r} is a pattern for text: write rb'...'")
        return match.fullmatch
    if not callable(match):
        raise TypeError(f"match is bytes, a bytes pattern or a function of the packet, not {match!r}")
    return match


def _listens(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _open(source: Any, protocol: str) -> socket.socket:
    """The socket to wait on: the given one, or a new one that listens at the given address."""
    if isinstance(source, socket.socket):
        if source.fileno() < 0:
            raise SourceError(0, f"cannot wait for a packet on {source!r}: it is closed")
        return source
    kinds = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}
    if protocol not in kinds:
        raise ValueError(f"protocol is 'udp' or 'tcp', not {protocol!r}")
    if not (isinstance(source, tuple) and len(source) >= 2 and isinstance(source[1], int)):
        raise TypeError(f"a packet fuse listens at (host, port) or on a socket, not {source!r}")
    what = f"listen for {protocol} packets at {source!r}"
    try:
        found = socket.getaddrinfo(source[0] or None, source[1], type=kinds[protocol], flags=socket.AI_PASSIVE)
        family, kind, number, _, address = found[0]
        sock = socket.socket(family, kind, number)
    except OverflowError as error:
        raise ValueError(f"cannot {what}: {error}") from error
    except OSError as error:
        raise source_error(error, what) from error
    try:
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address if len(source) == 2 else source)
        if kind == socket.SOCK_STREAM:
            sock.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        with suppress(OSError):
            sock.close()
        if isinstance(error, OSError):
            raise source_error(error, what) from error
        raise ValueError(f"cannot {what}: {error}") from error
    return sock
