"""What a program's bytes do: sending and receiving on a socket of a universe, streams and datagrams, blocking or not.

`SimSocket` in `sockets` adds how one comes to be, whom it is connected to, and its end.
"""

from __future__ import annotations

import errno
import os
import socket as real
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from fate.sim import names, world
from fate.sim.datagram import ROOM, Datagram
from fate.sim.errors import unsimulated
from fate.sim.network import failure
from fate.sim.states import BLOCKED, CONNECTED, ERROR, HANG_UP, IN, OUT
from fate.sim.stream import Stream

# Plain integers: an enum's `&` is a function of Python's, and took a fifth of what a message costs.
PEEK, DONT_WAIT, WAIT_ALL, TRUNCATE, NO_SIGNAL = map(
    int, (real.MSG_PEEK, real.MSG_DONTWAIT, real.MSG_WAITALL, real.MSG_TRUNC, real.MSG_NOSIGNAL)
)
HARMLESS = NO_SIGNAL | DONT_WAIT | int(getattr(real, "MSG_MORE", 0))  # flags that mean nothing here
LARGEST_UNIX_DATAGRAM = 212_992 - 32
LONGEST_PATH = 108  # bytes with the zero at the end
RealSocket = real.socket


class Gone:
    """In place of the end of a socket that has no descriptor any more: every use of it says so."""

    def __getattr__(self, name: str) -> Any:
        raise failure(errno.EBADF)


GONE = Gone()


class Traffic(RealSocket):
    """A socket of a universe, as far as its bytes go."""

    __slots__ = ("_end", "_shared", "_stream", "_world")

    if TYPE_CHECKING:
        _end: Any
        _world: world.World
        _stream: bool

    def send(self, data: Any, flags: int = 0) -> int:
        """As `socket.send`."""
        if flags & ~HARMLESS:
            raise unsimulated(f"socket.send(..., flags={flags})", "send without flags")
        if self._stream:
            try:
                sent: int = self._end.send(data if type(data) is bytes else memoryview(data).cast("B"))
            except OSError:
                self._wait_first(OUT, flags)
                raise
            if sent != BLOCKED:
                return sent
            return self._send_waiting(data, flags)
        return self._send_datagram(bytes(data), None, flags)

    def _send_waiting(self, data: Any, flags: int) -> int:
        view = memoryview(data).cast("B")
        while True:
            self._wait(OUT | ERROR | HANG_UP, flags)
            sent: int = self._end.send(view)
            if sent != BLOCKED:
                return sent

    def sendall(self, data: Any, flags: int = 0) -> None:
        """As `socket.sendall`."""
        view = memoryview(data).cast("B")
        position = 0
        while position < len(view) or (position == 0 and not len(view)):
            position += self.send(view[position:], flags)
            if not len(view):
                break

    def recv(self, size: int, flags: int = 0) -> bytes:
        """As `socket.recv`."""
        if size == 0:
            return b""  # Python does not ask the kernel
        if self._stream and not flags:
            try:
                data: bytes | None = self._end.receive(size, False)
            except OSError:
                self._wait_first(IN, flags)
                raise
            if data is not None:
                return data
        return self._receive(size, flags)[0]

    def _receive(self, size: int, flags: int) -> tuple[bytes, Any, int]:
        """Up to `size` bytes or one datagram, waiting for it if the socket waits; who sent it; MSG_TRUNC if cut."""
        if flags & ~(HARMLESS | PEEK | WAIT_ALL):
            raise unsimulated(f"socket.recv(..., flags={flags})", "MSG_PEEK, MSG_DONTWAIT and MSG_WAITALL are")
        if size < 0:
            raise ValueError("negative buffersize in recv")
        if not self._stream:
            return self._receive_datagram(size, flags)
        end: Stream = self._end
        parts = b""
        while True:
            met = bool(parts or end.rx)
            try:
                data = end.receive(size - len(parts), bool(flags & PEEK))
            except OSError:
                self._wait_first(IN, flags)
                raise
            if data is not None:
                parts += data
                if not (flags & WAIT_ALL and data and len(parts) < size):
                    return parts, self._sender_of_stream(met), 0
            try:
                self._wait(IN | ERROR | HANG_UP, flags)
            except BlockingIOError:
                if parts:
                    return parts, self._sender_of_stream(met), 0
                raise

    def _sender_of_stream(self, met: bool) -> Any:
        """What `recvfrom` tells of a stream: nothing, or the name of a Unix socket that has one, if it met any data."""
        peer = self._end.peer
        return peer.local if met and self._end.is_unix and peer is not None else None

    def _receive_datagram(self, size: int, flags: int) -> tuple[bytes, Any, int]:
        end: Datagram = self._end
        while True:
            entry = end.receive(bool(flags & PEEK))
            if entry is not None:
                data, address = entry
                return data[:size], address, TRUNCATE if len(data) > size else 0
            if end.shut_read and self.gettimeout() is None and not flags & DONT_WAIT:
                return b"", None, 0
            self._wait_until(lambda: end.rx or end.error, flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As `socket.recv_into`."""
        if not nbytes and not len(memoryview(buffer).cast("B")):
            return 0  # Python does not ask the kernel
        return self.recvfrom_into(buffer, nbytes, flags)[0]

    def recvfrom(self, size: int, flags: int = 0) -> tuple[bytes, Any]:
        """As `socket.recvfrom`."""
        return self._receive(size, flags)[:2]

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        """As `socket.recvfrom_into`."""
        view = memoryview(buffer).cast("B")
        if nbytes < 0:
            raise ValueError("negative buffersize in recv_into")
        if nbytes > len(view):
            raise ValueError("buffer too small for requested bytes")
        data, address, _ = self._receive(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data), address

    def recvmsg(self, size: int, ancillary: int = 0, flags: int = 0) -> tuple[bytes, list[Any], int, Any]:
        """As `socket.recvmsg`; nothing ever comes beside the bytes."""
        data, address, told = self._receive(size, flags)
        return data, [], told, address

    def sendmsg(self, buffers: Any, ancillary: Any = (), flags: int = 0, address: Any = None) -> int:
        """As `socket.sendmsg`, without ancillary data."""
        if list(ancillary):
            raise unsimulated("socket.sendmsg() with ancillary data", "no descriptors can be passed")
        data = b"".join(buffers)
        return self.send(data, flags) if address is None else self.sendto(data, flags, address)

    def recvmsg_into(self, buffers: Any, ancillary: int = 0, flags: int = 0) -> tuple[int, list[Any], int, Any]:
        """As `socket.recvmsg_into`; nothing ever comes beside the bytes."""
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        data, address, told = self._receive(sum(map(len, views)), flags)
        rest = data
        for view in views:
            part = rest[: len(view)]
            view[: len(part)] = part
            rest = rest[len(part) :]
        return len(data), [], told, address

    def sendto(self, data: Any, *args: Any) -> int:
        """As `socket.sendto`."""
        if len(args) not in (1, 2):
            raise TypeError(f"sendto() takes 2 or 3 arguments ({1 + len(args)} given)")
        address, flags = args[-1], args[0] if len(args) == 2 else 0
        if flags & ~HARMLESS:
            raise unsimulated(f"socket.sendto(..., flags={flags})", "send without flags")
        target = self._resolve("sendto", address)
        if not self._stream:
            return self._send_datagram(bytes(data), target, flags)
        if self._end.is_unix:
            self._wait_first(OUT, flags)
            raise failure(errno.EISCONN if self._end.state == CONNECTED else errno.EOPNOTSUPP)
        return self.send(data, flags)  # TCP does not look at the address

    def _send_datagram(self, data: bytes, target: Any, flags: int) -> int:
        end: Datagram = self._end
        network = self._world.network
        if not end.is_unix:
            network.send_datagram(end, data, target)
            return len(data)
        if len(data) > LARGEST_UNIX_DATAGRAM:
            raise failure(errno.EMSGSIZE)
        if self.gettimeout():
            self._wait_first(OUT, flags)
        end.raise_error()
        if end.shut_write:
            raise failure(errno.EPIPE)
        while end.outstanding >= ROOM:
            self._wait(OUT, flags)
        if target is None and end.peer is None:
            raise failure(errno.ENOTCONN)
        receiver = network.unix_receiver(end, target)
        while not network.send_unix(end, data, receiver):
            self._wait_until(partial(_takes, receiver, end), flags)
            receiver = network.unix_receiver(end, target)
        return len(data)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """As `socket.sendfile`."""
        return self._sendfile_use_send(file, offset, count)  # type: ignore[attr-defined, no-any-return]

    def _wait(self, bits: int, flags: int) -> None:
        """Block as long as the socket's timeout allows; raise what a socket raises that does not."""
        end = self._end
        self._wait_until(lambda: end.mask() & bits, flags)

    def _wait_first(self, bits: int, flags: int) -> None:
        """A call would fail. With a timeout Python waits before it calls, and a listener is ready for nothing else."""
        end = self._end
        if end is not GONE and self.gettimeout() and not (end.mask() & (bits | ERROR | HANG_UP)):
            self._wait(bits | ERROR | HANG_UP, 0)

    def _wait_until(self, check: Callable[[], Any], flags: int) -> None:
        seconds = self.gettimeout()
        if seconds == 0.0 or (flags & DONT_WAIT and seconds is None):  # with a timeout it is Python that waits
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        if not self._world.wait_until(check, seconds):
            raise TimeoutError("timed out")

    def _resolve(self, call: str, address: Any) -> Any:
        """The numeric form of an address; of a Unix socket the path, as bytes if it is abstract."""
        if self.family != real.AF_UNIX:
            return names.resolve(self._world.host.machine, self.family, address, call)
        if isinstance(address, str):
            path = os.fsencode(address)
        elif isinstance(address, (bytes, bytearray, memoryview)):
            path = bytes(address)
        else:
            raise TypeError(f"a bytes-like object is required, not {type(address).__name__!r}")
        if len(path) >= LONGEST_PATH + (path[:1] == b"\0"):
            raise OSError("AF_UNIX path too long")
        return path if path[:1] == b"\0" else os.fsdecode(path)


def _takes(receiver: Datagram, sender: Datagram) -> bool:
    return receiver.closed or receiver.has_room(sender)
