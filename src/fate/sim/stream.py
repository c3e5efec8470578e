"""One end of a byte stream: TCP, or a Unix stream socket, as Linux has them.

The states, the two queues, what closing does to the other end, and which error is told when. The rules were read off
Linux: data that came before a reset can still be read, a reset is told once, a closed end answers data with a reset.
Two ends on one machine hand bytes over at once, as the loopback device does; between machines, or where faults are
drawn, a `Link` decides what arrives when. No address is understood here: that is `network`'s.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

from fate.sim.kernel import End, Kernel
from fate.sim.states import (
    BLOCKED,
    BOUND,
    CLOSED,
    CONNECTED,
    CONNECTING,
    DATA,
    ERROR,
    FIN,
    HANG_UP,
    IN,
    LISTENING,
    NEW,
    OUT,
    RESET,
    ROOM,
    WINDOW,
)


class Carrier:
    """What takes things from one end to the other, later: a link between machines."""

    def carry(self, source: Stream, kind: int, data: bytes) -> int:
        """Have `source.peer.deliver((kind, data))` called when it arrives."""
        raise NotImplementedError


class Stream(End):
    """One end. `network` connects two of them.

    is_unix: a Unix socket, whose ends see each other's closing at once.
    """

    if TYPE_CHECKING:
        peer: Stream | None
        link: Carrier | None
        queue: list[Stream] | None
        listener: Stream | None

    def __init__(self, kernel: Kernel, host: Any, is_unix: bool) -> None:
        self.kernel = kernel
        self.host = host
        self.watches = []
        self.is_unix = is_unix
        self.state = NEW
        self.peer = None
        self.link = None
        self.local: Any = None
        self.remote: Any = None
        self.error = 0  # told once, like SO_ERROR
        self.eof = False  # the other end has finished, and nobody can write to us
        self.shut_read = False
        self.shut_write = False
        self.full = False
        self.fresh = True  # connected, and `connect` has not said so yet
        self.window = WINDOW
        self.outstanding = 0  # sent, and not read by the other end
        self.arrives = 0  # when the last thing on the link arrives there
        self.rx: list[bytes] = []
        self.rx_offset = 0  # what of rx[0] has been read
        self.rx_size = 0
        self.queue = None  # of a listener: who waits to be accepted
        self.backlog = 0
        self.listener = None
        self.name = ""  # for the history and for decisions: "client->db"

    # -- readiness -----------------------------------------------------------------------------------------------

    def mask(self) -> int:
        """What it is ready for, as epoll's bits."""
        if self.state == CONNECTED:
            mask = 0
            if self.rx_size or self.eof or self.error or self.shut_read:
                mask = IN
            if self.shut_write or self.error or not (self.full or self.outstanding >= self.window):
                mask |= OUT
            if self.error:
                mask |= ERROR
            if self.eof and self.shut_write:
                mask |= HANG_UP
            return mask
        if self.state == LISTENING:
            return IN if self.queue else 0
        if self.state == CONNECTING:
            return 0
        return OUT | HANG_UP | (ERROR | IN if self.error else 0)

    # -- bytes ---------------------------------------------------------------------------------------------------

    def send(self, data: Any) -> int:
        """Take as much of `data` as there is room for; how much, or BLOCKED."""
        if self.state != CONNECTED or self.error or self.shut_write:
            self._cannot_send()
        if type(data) is not bytes:
            data = bytes(data)
        size = len(data)
        room = self.window - self.outstanding
        if room < size:
            self.full = True
            if room <= 0:
                return BLOCKED
            data = data[:room]
            size = room
        if size == 0:
            return 0
        self.outstanding += size
        if self.link is None:
            self.peer.arrive(data)  # type: ignore[union-attr]
        else:
            self.link.carry(self, DATA, data)
        return size

    def _cannot_send(self) -> int:
        self.raise_error()
        if self.state == CONNECTING:
            raise OSError(errno.ENOTCONN if self.is_unix else errno.EAGAIN, os.strerror(errno.EAGAIN))
        if self.state != CONNECTED and self.is_unix:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def raise_error(self) -> int:
        """Tell of the error that waits to be told, once."""
        if self.error:
            number = self.error
            self.error = 0
            raise OSError(number, os.strerror(number))
        return 0

    def receive(self, size: int, peek: bool) -> bytes | None:
        """Up to `size` bytes: all that is there; b"" at the end; None if it would block."""
        if not self.rx_size:
            return self._nothing_to_read(size)
        first = self.rx[0]
        length = len(first)
        if length <= size and self.rx_size == length and not peek:  # most reads take the one thing there is
            self.rx.clear()
            self.rx_size = 0
            self._read(length)
            return first
        if len(self.rx) > 1 and length - self.rx_offset < size:
            first = b"".join(self.rx)
            if not peek:
                self.rx = [first]
        data = first[self.rx_offset : self.rx_offset + size]
        if not peek:
            self._drop(len(data))
            self._read(len(data))
        return data

    def _drop(self, size: int) -> int:
        """Forget the first `size` bytes, all of them in rx[0]."""
        self.rx_size -= size
        self.rx_offset += size
        if self.rx_offset == len(self.rx[0]):
            self.rx_offset = 0
            del self.rx[0]
        return 0

    def _nothing_to_read(self, size: int) -> bytes | None:
        if self.error:
            self.raise_error()
        if self.state == CONNECTED:
            return b"" if self.eof or self.shut_read or size == 0 else None
        if self.state == CONNECTING:
            return None
        number = errno.EINVAL if self.is_unix else errno.ENOTCONN
        raise OSError(number, os.strerror(number))

    def _read(self, size: int) -> int:
        """`size` bytes have been read: the other end has room again."""
        peer = self.peer
        if peer is None:
            return 0
        peer.outstanding -= size
        if peer.full and peer.outstanding * 3 <= peer.window * 2:
            if self.link is None:
                peer.full = False
                peer.changed()
            else:
                self.link.carry(self, ROOM, b"")
        return 0

    def arrive(self, data: bytes) -> int:
        """Bytes have come from the other end."""
        if self.kernel.history is not None:
            self.kernel.history.append((self.kernel.now, "data", self.name, len(data)))
        if self.state != CONNECTED:
            if self.peer is not None:
                self.peer.outstanding -= len(data)
                if self.state == CLOSED and self.host.up:
                    self._answer_reset()
            return 0
        if not self.rx_size:
            self.changed()
        self.rx.append(data)
        self.rx_size += len(data)
        return 0

    def _answer_reset(self) -> int:
        if self.link is None:
            self.peer.reset()  # type: ignore[union-attr]
        else:
            self.link.carry(self, RESET, b"")
        return 0

    def deliver(self, item: tuple[int, bytes]) -> int:
        """Something has come over the link."""
        kind, data = item
        if kind == DATA:
            self.arrive(data)
        elif kind == FIN:
            self.finish()
        elif kind == RESET:
            self.reset()
        elif self.full:
            self.full = False
            self.changed()
        return 0

    # -- endings -------------------------------------------------------------------------------------------------

    def finish(self) -> int:
        """The other end sends no more."""
        if self.kernel.history is not None:
            self.kernel.history.append((self.kernel.now, "end", self.name))
        if self.state == CONNECTED and not self.eof:
            self.eof = True
            self.changed()
        return 0

    def reset(self) -> int:
        """The other end has broken the connection, or the network has."""
        if self.kernel.history is not None:
            self.kernel.history.append((self.kernel.now, "reset", self.name))
        if self.state == CONNECTED:
            self.error = errno.EPIPE if self.eof and not self.is_unix else errno.ECONNRESET
            self.eof = True
            self.shut_write = True
            self.full = False
            self.changed()
        return 0

    def fail(self, number: int) -> int:
        """Connecting has failed."""
        if self.state == CONNECTING:
            self.state = NEW if self.local is None else BOUND
            self.error = number
            self.changed()
        return 0

    def shutdown(self, read: bool, write: bool) -> int:
        """Finish one direction or both."""
        if self.state == LISTENING:
            return 0
        if self.state != CONNECTED or (self.eof and self.shut_write and not self.is_unix):
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        if read:
            self.shut_read = True
            if self.is_unix and self.peer is not None:
                self.peer.shut_write = True
                self.peer.changed()
        if write and not self.shut_write:
            self.shut_write = True
            self._send_end(FIN)
        self.changed()
        return 0

    def _send_end(self, kind: int) -> int:
        peer = self.peer
        if peer is None:
            return 0
        if self.link is not None:
            self.link.carry(self, kind, b"")
        elif kind == FIN:
            peer.finish()
        else:
            peer.reset()
        return 0

    def close(self, abort: bool) -> int:
        """The last descriptor is gone. abort: SO_LINGER with no time: reset instead of finishing."""
        state = self.state
        self.state = CLOSED
        if state == LISTENING and self.queue is not None:
            for waiting in self.queue:
                waiting.close(True)
            self.queue = None
        elif state == CONNECTED:
            peer = self.peer
            if self.is_unix:
                if peer is not None and peer.state == CONNECTED:
                    if self.rx_size:
                        peer.error = errno.ECONNRESET
                    peer.shut_write = True
                    peer.finish()
                    peer.changed()
            elif abort or self.rx_size:
                self._send_end(RESET)
            elif not self.shut_write:
                self._send_end(FIN)
        self.rx = []
        self.rx_size = 0
        peer = self.peer
        if peer is not None and peer.state == CLOSED and self.link is None:  # nothing is on its way
            self.peer = peer.peer = None
        return 0

    # -- connections ----------------------------------------------------------------------------------------------

    def join(self, peer: Stream, link: Carrier | None, back: Carrier | None) -> int:
        """Make this and `peer` the two ends of one connection. link: takes what this end sends; back: the answers."""
        self.peer = peer
        peer.peer = self
        self.link = link
        peer.link = back
        self.state = peer.state = CONNECTED
        return 0

    def established(self, _: object = None) -> int:
        """The connection is there: whoever waits for it may know."""
        if self.state == CLOSED:  # given up meanwhile: who accepted it sees it end
            if self.host.up:
                self._send_end(FIN)
            return 0
        self.state = CONNECTED
        self.changed()
        return 0
