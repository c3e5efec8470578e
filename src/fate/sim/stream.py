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

from fate.sim.kernel import NO_OPTIONS, End, Kernel
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
    LEFT,
    LISTENING,
    NEW,
    OUT,
    OVER,
    RESET,
    ROOM,
    TIME_WAIT_NS,
    TOLD,
    TRIED,
    UNTRIED,
    WINDOW,
)


class Carrier:
    """What takes things from one end to the other, later: a link between machines."""

    def carry(self, source: Stream, kind: int, data: bytes) -> int:
        """Have `source.peer.take((kind, data))` called when it arrives."""
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
        self.options = NO_OPTIONS
        self.is_unix = is_unix
        self.state = NEW
        self.peer = None
        self.link = None
        self.local: Any = None
        self.remote: Any = None
        self.error = 0  # told once, like SO_ERROR
        self.eof = False  # the other end has finished
        self.shut_read = False
        self.shut_write = False
        self.finished = False  # TCP: the other end has been told that no more is sent
        self.full = False
        self.told = UNTRIED
        self.bound = False  # it has a port
        self.home = ""  # the address that it has without a connection
        self.locked = False  # its port is the program's choice: it stays when the connection is over
        self.until = 0  # finished first, and closed: when its port is free again
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
            if self.rx_size or self.eof or self.shut_read:
                mask = IN
            if not (self.full or self.outstanding >= self.window) or (self.shut_write and not self.is_unix):
                mask |= OUT
            if self.error:
                mask |= ERROR
            if self.shut_write and (self.eof or self.shut_read):
                mask |= HANG_UP
            return mask
        return self._mask_apart()

    def _mask_apart(self) -> int:
        """The same where nothing is connected."""
        state = self.state
        if state == LISTENING:
            if self.is_unix and self.shut_read:
                return IN | (HANG_UP if self.shut_write else 0)
            return IN if self.queue else 0
        mask = ERROR if self.error else 0
        if state == OVER or self.rx_size or self.shut_read:
            mask |= IN
        if state == CONNECTING:
            return mask
        return mask | OUT | HANG_UP

    def read_ended(self) -> bool:
        """Whether nothing can come any more, as POLLRDHUP tells it."""
        if self.state == LISTENING and not self.is_unix:
            return False
        return self.shut_read or self.state == OVER or (self.state == CONNECTED and self.eof)

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
        if self.is_unix:
            number = errno.ENOTCONN if self.state != CONNECTED else errno.EPIPE
            if self.shut_write or self.state != CONNECTED:
                raise OSError(number, os.strerror(number))
        self.raise_error()
        number = errno.EAGAIN if self.state == CONNECTING else errno.EPIPE
        raise OSError(number, os.strerror(number))

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
            return self._nothing_to_read()
        first = self.rx[0]
        length = len(first)
        if (
            length <= size and self.rx_size == length and not self.rx_offset and not peek
        ):  # most reads take the one thing there is
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

    def _nothing_to_read(self) -> bytes | None:
        state = self.state
        if self.is_unix:
            if state != CONNECTED:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            self.raise_error()
            return b"" if self.eof or self.shut_read else None
        if state == LISTENING:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        if self.eof:
            return b""  # an error that came after the end is never told
        self.raise_error()
        if state == OVER or self.shut_read:
            return b""
        if state in (CONNECTED, CONNECTING):
            return None
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

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
        if self.state != CONNECTED or (self.shut_read and self.finished):
            if self.peer is not None:
                self.peer.outstanding -= len(data)
                if self.state != OVER and self.host.up:
                    self._answer_reset()
                    self.reset()  # what was finished both ways and is sent more is given up
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

    def take(self, item: tuple[Any, ...]) -> int:
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
            if self.finished:
                self.leave()
            self.changed()
        elif self.state == CLOSED and not self.eof:
            self.eof = True
            if self.until:
                self.until = self.kernel.now + TIME_WAIT_NS
        return 0

    def leave(self) -> int:
        """The connection is over: TCP forgets it, and the port that nobody chose."""
        self.state = OVER
        self.full = False
        if self.bound and not self.locked:
            self.host.unbind(self)
        return 0

    def reset(self) -> int:
        """The other end has broken the connection, or the network has."""
        if self.kernel.history is not None:
            self.kernel.history.append((self.kernel.now, "reset", self.name))
        if self.state == CONNECTED:
            self.error = errno.EPIPE if self.eof else errno.ECONNRESET
            self.leave()
            self.changed()
        elif self.state == CLOSED:
            self.until = 0
        return 0

    def fail(self, number: int) -> int:
        """Connecting has failed."""
        if self.state == CONNECTING:
            self.error = number
            self.leave()
            self.changed()
        return 0

    def disconnect(self) -> int:
        """Be as new, but for a port that the program chose."""
        self.state = BOUND if self.bound else NEW
        self.told = UNTRIED
        self.error = 0
        self.eof = self.shut_read = self.shut_write = self.finished = self.full = False
        if self.local is not None:
            self.host.move(self, self.home)
        self.peer = None
        self.link = None
        self.remote = None
        self.outstanding = 0
        self.rx = []
        self.rx_size = 0
        return 0

    def shutdown(self, read: bool, write: bool) -> int:
        """Finish one direction or both."""
        peer = self.peer
        if self.is_unix:
            self.shut_read |= read
            self.shut_write |= write
            if peer is not None and self.state == CONNECTED:
                peer.shut_write |= read
                if write:
                    peer.finish()
                peer.changed()
            self.changed()
            return 0
        if self.told == TRIED:
            self.told = TOLD if self.state == CONNECTED else LEFT
        if self.state == CONNECTING or (self.state == LISTENING and read):
            self.refuse_waiting()
            self.leave()
            self.disconnect()
        elif self.state == LISTENING:
            return 0
        elif self.state == CONNECTED:
            self.shut_read |= read
            self.shut_write |= write
            if write and not self.finished:
                self.end_sending()
        else:
            self.shut_read |= read
            self.shut_write |= write
            self.changed()
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        self.changed()
        return 0

    def end_sending(self) -> int:
        """TCP: tell the other end that no more is sent; where that has said so too, the connection is over."""
        self.finished = True
        self._send_end(FIN)
        if self.eof:
            self.leave()
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

    def refuse_waiting(self) -> int:
        """A listener listens no more: who was not accepted is reset."""
        waiting = self.queue
        self.queue = None
        for server in waiting or ():
            server.close(True)
        return 0

    def close(self, abort: bool) -> int:
        """The last descriptor is gone. abort: SO_LINGER with no time: reset instead of finishing."""
        state = self.state
        self.state = CLOSED
        peer = self.peer
        if state == LISTENING:
            self.refuse_waiting()
        elif state == CONNECTED and self.is_unix:
            if peer is not None and peer.state == CONNECTED:
                if self.rx_size or abort:
                    peer.error = errno.ECONNRESET
                peer.shut_read = peer.shut_write = True
                peer.outstanding = 0
                peer.full = False
                peer.finish()
                peer.changed()
        elif state == CONNECTED:
            if abort or self.rx_size:
                self._send_end(RESET)
            else:
                if not self.eof:  # finished first: the port is not free for a while
                    self.until = self.kernel.now + TIME_WAIT_NS
                    self.host.fade(self)
                if not self.finished:
                    self._send_end(FIN)
        self.rx = []
        self.rx_size = 0
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
        peer.told = TOLD
        return 0

    def established(self, _: object = None) -> int:
        """The connection is there: whoever waits for it may know."""
        if self.state not in (CONNECTING, CONNECTED):  # given up meanwhile: who accepted it sees it end
            if self.host.up:
                self._send_end(FIN)
            return 0
        self.state = CONNECTED
        self.changed()
        return 0
