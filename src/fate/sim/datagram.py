"""One socket for datagrams: UDP, or a Unix datagram socket.

What a socket keeps of what came, and which error it tells when. Which datagrams arrive, when, and in which order is
`network`'s affair.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

from fate.sim.kernel import End, Kernel
from fate.sim.states import ERROR, IN, OUT

ROOM = 212_992  # bytes that wait to be read, at most: Linux's default


class Datagram(End):
    """One socket. What comes while there is no room is lost (UDP), or makes the sender wait (Unix)."""

    if TYPE_CHECKING:
        rx: list[tuple[bytes, Any]]

    def __init__(self, kernel: Kernel, host: Any, is_unix: bool) -> None:
        super().__init__(kernel, host)
        self.is_unix = is_unix
        self.local: Any = None
        self.remote: Any = None
        self.peer: Datagram | None = None  # of a socket pair
        self.connected = False
        self.closed = False
        self.error = 0
        self.shut_read = False
        self.shut_write = False
        self.rx = []
        self.rx_size = 0
        self.senders: list[Datagram] = []  # who waits for room here
        self.blocked: Datagram | None = None  # whose room this socket waits for

    def mask(self) -> int:
        """What it is ready for, as epoll's bits."""
        mask = OUT if self.blocked is None else 0
        if self.rx or self.error or self.shut_read:
            mask |= IN
        if self.error:
            mask |= ERROR
        return mask

    def raise_error(self) -> None:
        """Tell of the error that waits to be told, once."""
        if self.error:
            number, self.error = self.error, 0
            raise OSError(number, os.strerror(number))

    def receive(self, peek: bool) -> tuple[bytes, Any] | None:
        """The next datagram and where it came from; None if it would block."""
        self.raise_error()
        if not self.rx:
            return (b"", None) if self.shut_read else None
        if peek:
            return self.rx[0]
        entry = self.rx.pop(0)
        self.rx_size -= len(entry[0]) + 1
        self.let_in()
        return entry

    def has_room(self, size: int) -> bool:
        """Whether a datagram of `size` bytes can be kept."""
        return not self.rx or self.rx_size + size < ROOM

    def let_in(self) -> None:
        """Have everybody who waits for room here try again."""
        senders, self.senders = self.senders, []
        for sender in senders:
            sender.blocked = None
            sender.changed()

    def wait_for(self, target: Datagram) -> None:
        """Be not writable until `target` has room."""
        if self.blocked is None:
            self.blocked = target
            target.senders.append(self)

    def deliver(self, entry: tuple[bytes, Any]) -> None:
        """A datagram and its sender's address have come."""
        if self.kernel.history is not None:
            self.kernel.history.append((self.kernel.now, "datagram", str(self.local), len(entry[0])))
        if self.closed or self.shut_read or not self.has_room(len(entry[0])):
            return
        self.rx.append(entry)
        self.rx_size += len(entry[0]) + 1
        self.changed()

    def refuse(self, _: object = None) -> None:
        """The other side has said that nobody listens there."""
        if self.connected and not self.closed:
            self.error = errno.ECONNREFUSED
            self.changed()

    def close(self) -> None:
        """The last descriptor is gone."""
        self.closed = True
        self.rx.clear()
        self.let_in()
        if self.peer is not None and self.peer.peer is self:
            self.peer.peer = None
