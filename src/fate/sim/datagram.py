"""One socket for datagrams: UDP, or a Unix datagram socket.

What a socket keeps of what came, and which error it tells when. Which datagrams arrive, when, and in which order is
`network`'s affair.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, Any

from fate.sim.kernel import End, Kernel
from fate.sim.states import ERROR, HANG_UP, IN, OUT

ROOM = 212_992  # bytes that wait to be read, at most: Linux's default
QUEUE = 10  # datagrams that may wait at a Unix socket when one more comes, from anybody but the one it is connected to


def weight(size: int) -> int:
    """What a datagram of `size` bytes counts in a Unix socket's buffer: Linux counts the memory that it takes."""
    taken = size + 320
    return 256 + (max(512, 1 << (taken - 1).bit_length()) if taken <= 4096 else (taken + 4095) // 4096 * 4096)


class Datagram(End):
    """One socket. What comes while there is no room is lost (UDP), or makes the sender wait (Unix)."""

    if TYPE_CHECKING:
        rx: list[tuple[bytes, Any, Datagram | None]]

    def __init__(self, kernel: Kernel, host: Any, family: int) -> None:
        super().__init__(kernel, host)
        self.family = family
        self.is_unix = family == socket.AF_UNIX
        self.local: Any = None
        self.remote: Any = None
        self.peer: Datagram | None = None  # of a Unix socket: what it is connected to
        self.connected = False
        self.closed = False
        self.error = 0
        self.shut_read = False
        self.shut_write = False
        self.bound = False
        self.locked = False  # its port is the program's choice
        self.home = ""
        self.rx = []
        self.rx_size = 0
        self.outstanding = 0  # of a Unix socket: the weight of what was sent and not read
        self.senders: list[Datagram] = []  # who waits for room here

    def mask(self) -> int:
        """What it is ready for, as epoll's bits."""
        mask = 0 if self.is_unix and self._is_blocked() else OUT
        if self.rx or self.shut_read:
            mask |= IN
        if self.error:
            mask |= ERROR
        if self.shut_read and self.shut_write:
            mask |= HANG_UP
        return mask

    def read_ended(self) -> bool:
        """Whether nothing can come any more, as POLLRDHUP tells it."""
        return self.shut_read

    def _is_blocked(self) -> bool:
        peer = self.peer
        if self.outstanding * 4 > ROOM:
            return True
        return peer is not None and peer.peer is not self and len(peer.rx) > QUEUE

    def raise_error(self) -> None:
        """Tell of the error that waits to be told, once."""
        if self.error:
            number, self.error = self.error, 0
            raise OSError(number, os.strerror(number))

    def receive(self, peek: bool) -> tuple[bytes, Any] | None:
        """The next datagram and where it came from; None if it would block."""
        self.raise_error()
        if not self.rx:
            return None
        data, address, sender = self.rx[0]
        if not peek:
            del self.rx[0]
            self._taken(data, sender)
        return data, address if sender is None else sender.local

    def _taken(self, data: bytes, sender: Datagram | None) -> None:
        self.rx_size -= len(data) + 1
        if sender is not None:
            sender.outstanding -= weight(len(data))
            sender.changed()
        senders, self.senders = self.senders, []
        for waiting in senders:
            waiting.changed()

    def has_room(self, sender: Datagram) -> bool:
        """Whether the Unix socket `sender` can send one more datagram here."""
        if self is not sender and self.peer is not sender and len(self.rx) > QUEUE:
            self.senders.append(sender)
            return False
        return True

    def deliver(self, entry: tuple[bytes, Any], sender: Datagram | None = None) -> None:
        """A datagram and its sender's address have come.

        sender: a Unix socket, which may have to wait for room, and whose name is what it is when this is read.
        """
        size = len(entry[0])
        if self.kernel.history is not None:
            self.kernel.history.append((self.kernel.now, "datagram", str(self.local), size))
        if self.closed or (sender is None and self.rx and self.rx_size + size >= ROOM):
            return
        self.rx.append((*entry, sender))
        self.rx_size += size + 1
        if sender is not None:
            sender.outstanding += weight(size)
        self.changed()

    def hears(self, ip: str, port: int) -> bool:
        """Whether a UDP socket takes what comes from there: one that is connected hears that address only."""
        return not self.connected or (self.remote[0].endswith(ip) and self.remote[1] in (0, port))

    def refuse(self, address: Any) -> None:
        """The other side has said that nobody listens at `address`; who is not connected to it hears nothing."""
        if self.connected and not self.closed and self.hears(address[0], address[1]):
            self.error = errno.ECONNREFUSED
            self.changed()

    def connect_to(self, target: Datagram) -> None:
        """Send to that Unix socket from now on."""
        before, self.peer = self.peer, target
        if before is not None and before is not target:
            self.leave(before)
        target.changed()
        self.changed()

    def leave(self, before: Datagram) -> None:
        """No longer connected to that Unix socket: what had come is lost, and the other side hears of that."""
        lost = bool(self.rx)
        while self.rx:
            data, _, sender = self.rx.pop(0)
            self._taken(data, sender)
        if lost and not before.closed and before.peer is self:
            before.error = errno.ECONNRESET
            before.changed()

    def close(self) -> None:
        """The last descriptor is gone."""
        self.closed = True
        while self.rx:
            data, _, sender = self.rx.pop(0)
            self._taken(data, sender)
