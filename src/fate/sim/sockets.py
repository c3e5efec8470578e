"""`socket.socket` as programs in a universe get it.

Each simulated socket wraps a real one that is never bound to an internet address and never connected: its options,
its `fileno()`, its timeouts and its families are the operating system's own, and what travels is the universe's. One
that two objects share (`dup`, `fileno=`) is one `End` in the kernel's table, closed with the last of them.

The rules of the ends live in `stream` and `datagram`, addresses in `names`, who is reached in `network`.
"""

from __future__ import annotations

import errno
import os
import socket as real
import struct
import warnings
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from fate.sim import clocks, names, world
from fate.sim.datagram import ROOM, Datagram
from fate.sim.errors import unsimulated
from fate.sim.kernel import End
from fate.sim.network import ONLY_V6, failure, only_v6, unix_key
from fate.sim.states import (
    BLOCKED,
    BOUND,
    CLOSED,
    CONNECTED,
    CONNECTING,
    ERROR,
    HANG_UP,
    IN,
    LEFT,
    LISTENING,
    NEW,
    OUT,
    TOLD,
    UNTRIED,
)
from fate.sim.stream import Stream

# Plain integers: an enum's `&` is a function of Python's, and took a fifth of what a message costs.
PEEK, DONT_WAIT, WAIT_ALL, TRUNCATE, NO_SIGNAL = map(
    int, (real.MSG_PEEK, real.MSG_DONTWAIT, real.MSG_WAITALL, real.MSG_TRUNC, real.MSG_NOSIGNAL)
)
HARMLESS = NO_SIGNAL | DONT_WAIT | int(getattr(real, "MSG_MORE", 0))  # flags that mean nothing here
FAMILIES = (real.AF_INET, real.AF_INET6, real.AF_UNIX)
PROTOCOLS = (-1, 0, real.IPPROTO_TCP, real.IPPROTO_UDP)
TYPES = (real.SOCK_STREAM, real.SOCK_DGRAM)
LARGEST_UNIX_DATAGRAM = 212_992 - 32
LONGEST_PATH = 108  # bytes with the zero at the end
TIMED_OUT = -1
RealSocket = real.socket
_dup = os.dup
MULTICAST = {
    (level, getattr(real, name))
    for level, name in [
        (real.IPPROTO_IP, "IP_ADD_MEMBERSHIP"),
        (real.IPPROTO_IPV6, "IPV6_JOIN_GROUP"),
    ]
    if hasattr(real, name)
}


class Shared:
    """How many descriptors an end has; it is closed with the last."""

    def __init__(self) -> None:
        self.count = 1


class Gone:
    """In place of the end of a socket that has no descriptor any more: every use of it says so."""

    def __getattr__(self, name: str) -> Any:
        raise failure(errno.EBADF)


GONE = Gone()


class SimSocket(RealSocket):
    """A socket of a universe."""

    __slots__ = ("_end", "_shared", "_stream", "_world")

    if TYPE_CHECKING:
        _end: Any
        _world: world.World

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:
        here = world.current
        if here is None:
            raise RuntimeError("a simulated socket can only be made inside a universe")
        self._world = here
        if fileno is None and (family not in (-1, *FAMILIES) or type & 0xF not in (-1 & 0xF, *TYPES)):
            raise unsimulated(f"a socket of family {family!r} and type {type!r}", "TCP, UDP and Unix sockets are")
        if fileno is None and proto not in PROTOCOLS:
            raise unsimulated(f"a socket of protocol {proto}", "TCP, UDP and Unix sockets are")
        RealSocket.__init__(self, family, type, proto, fileno)
        number = self.fileno()
        known = here.kernel.ends.get(number) if fileno is not None else None
        if known is None:
            kind = self.type
            if self.family not in FAMILIES or kind not in TYPES:
                RealSocket.detach(self)
                raise unsimulated(f"the real descriptor {number} as a socket", "make sockets inside the universe")
            unix = self.family == real.AF_UNIX
            machine = here.host.machine
            if kind == real.SOCK_STREAM:
                known = Stream(here.kernel, machine, unix)
            else:
                known = Datagram(here.kernel, machine, self.family)
            here.kernel.ends[number] = known
            here.shared[known] = Shared()
        self._end = known
        self._shared = here.shared[known]
        self._stream = isinstance(known, Stream)

    # -- bytes ----------------------------------------------------------------------------------------------------

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
            try:
                data = end.receive(size - len(parts), bool(flags & PEEK))
            except OSError:
                self._wait_first(IN, flags)
                raise
            if data is not None:
                parts += data
                if not (flags & WAIT_ALL and data and len(parts) < size):
                    return parts, self._sender_of_stream(parts), 0
            try:
                self._wait(IN | ERROR | HANG_UP, flags)
            except BlockingIOError:
                if parts:
                    return parts, self._sender_of_stream(parts), 0
                raise

    def _sender_of_stream(self, data: bytes) -> Any:
        """What `recvfrom` tells of a stream: nothing, or the name of a Unix socket that has one."""
        peer = self._end.peer
        return peer.local if data and self._end.is_unix and peer is not None else None

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

    # -- connections ----------------------------------------------------------------------------------------------

    def connect(self, address: Any) -> None:
        """As `socket.connect`."""
        number = self._connect(self._resolve("connect", address))
        if number == TIMED_OUT:
            raise TimeoutError("timed out")
        if number:
            raise failure(number)

    def connect_ex(self, address: Any) -> int:
        """As `socket.connect_ex`."""
        target = self._resolve("connect", address)
        if self._end is GONE:
            return errno.EBADF
        number = self._connect(target)
        return errno.EAGAIN if number == TIMED_OUT else number

    def _connect(self, target: Any) -> int:
        end, network = self._end, self._world.network
        if end.is_unix:
            while (number := network.connect_unix(end, target)) == errno.EAGAIN and self.gettimeout() is None:
                self._world.sleep(1_000_000)
            return int(number)
        if not self._stream:
            return int(network.connect_datagram(end, target))
        if end.told != UNTRIED:
            return self._connect_again(end)
        if end.state not in (NEW, BOUND):
            return errno.EISCONN
        number = network.connect(end, target)
        seconds = self.gettimeout()
        if number != errno.EINPROGRESS or seconds == 0.0:
            return int(number)
        if not self._world.wait_until(lambda: end.state != CONNECTING, seconds):
            return TIMED_OUT
        if seconds is None:
            return self._connect_again(end)
        number, end.error = end.error, 0  # Python asks for SO_ERROR then, and the kernel does not know who has asked
        return int(number)

    def _connect_again(self, end: Stream) -> int:
        """What `connect` says where it was called before (Linux's inet_stream_connect)."""
        if end.told == LEFT:
            return errno.EINVAL
        if end.told == TOLD:
            return errno.EISCONN
        if end.state == CONNECTING:
            return errno.EALREADY
        if end.state == CONNECTED:
            end.told = TOLD
            return 0
        number = end.error or errno.ECONNABORTED
        end.disconnect()
        return number

    def bind(self, address: Any) -> None:
        """As `socket.bind`. A Unix socket's name appears in the file system, as it does in the real world."""
        target = self._resolve("bind", address)
        end = self._end
        if end.is_unix:
            unix = end.host.unix
            if isinstance(target, str) and target:
                if end.local is not None:
                    raise failure(errno.EADDRINUSE if os.path.exists(target) else errno.EINVAL)
                RealSocket.bind(self, target)
                self._world.paths.append(target)
            elif end.local is not None:
                raise failure(errno.EINVAL)
            elif unix_key(end, target) in unix:
                raise failure(errno.EADDRINUSE)
            target = target or next(name for n in count(1) if unix_key(end, name := b"\0%05x" % n) not in unix)
            unix[unix_key(end, target)] = end
            end.local = target
        else:
            end.host.bind(end, target, by_program=True)
        if self._stream:
            end.state = BOUND if end.state == NEW else end.state

    def listen(self, backlog: int = 128) -> None:
        """As `socket.listen`."""
        end = self._end
        if not self._stream:
            end.raise_if_gone()
            raise failure(errno.EOPNOTSUPP)
        if end.is_unix:
            if end.local is None or end.state not in (NEW, BOUND, LISTENING):
                raise failure(errno.EINVAL)
        elif end.told != UNTRIED or end.state not in (NEW, BOUND, LISTENING):
            raise failure(errno.EINVAL)
        elif end.state != LISTENING:
            if not end.bound:
                end.host.bind_free(end, "0.0.0.0" if self.family == real.AF_INET else "::")
            elif end.host.is_taken(end, *end.local[:2]):
                raise failure(errno.EADDRINUSE)
        end.state = LISTENING
        end.backlog = max(0, backlog)
        end.queue = end.queue or []
        end.changed()

    def accept(self) -> tuple[RealSocket, Any]:
        """As `socket.accept`."""
        end = self._end
        if not self._stream:
            end.raise_if_gone()
            self._wait_first(IN, 0)
            raise failure(errno.EOPNOTSUPP)
        while not end.queue:
            deaf = end.is_unix and end.shut_read and self.gettimeout() is None
            if end.state != LISTENING or deaf:
                self._wait_first(IN, 0)
                raise failure(errno.EINVAL)
            self._wait_until(lambda: end.queue or end.state != LISTENING, 0)
        server: Stream = end.queue.pop(0)
        sock = adopt(self._world, server, self.family, self.type, self.proto)
        if real.getdefaulttimeout() is None and self.gettimeout():
            sock.setblocking(True)
        if server.is_unix:
            end.changed()
            return sock, (server.peer.local if server.peer is not None else None) or ""
        for (level, option), value in server.options.items():
            RealSocket.setsockopt(sock, level, option, value)
        return sock, server.remote

    def shutdown(self, how: int) -> None:
        """As `socket.shutdown`."""
        end = self._end
        end.raise_if_gone()
        if how not in (real.SHUT_RD, real.SHUT_WR, real.SHUT_RDWR):
            raise failure(errno.EINVAL)
        read, write = how != real.SHUT_WR, how != real.SHUT_RD
        if self._stream:
            end.shutdown(read, write)
            return
        end.shut_read |= read
        end.shut_write |= write
        end.changed()
        if not end.connected and not end.is_unix:
            raise failure(errno.ENOTCONN)

    def getsockname(self) -> Any:
        """As `socket.getsockname`."""
        if self._end.local is not None:
            return self._end.local
        if self.family == real.AF_UNIX:
            return ""
        return ("0.0.0.0", 0) if self.family == real.AF_INET else ("::", 0, 0, 0)

    def getpeername(self) -> Any:
        """As `socket.getpeername`."""
        end = self._end
        if end.is_unix:
            if end.peer is None:
                raise failure(errno.ENOTCONN)
            return end.peer.local or ""
        if (end.state != CONNECTED) if self._stream else not end.connected or end.remote[1] == 0:
            raise failure(errno.ENOTCONN)
        return end.remote

    # -- options --------------------------------------------------------------------------------------------------

    def getsockopt(self, level: int, option: int, size: int | None = None) -> Any:
        """As `socket.getsockopt`; the real socket's, except for what the simulation decides."""
        end = self._end
        end.raise_if_gone()
        if level == real.SOL_SOCKET:
            if option == real.SO_ERROR:
                number, end.error = end.error, 0
                return struct.pack("i", number) if size else number
            if option == real.SO_ACCEPTCONN:
                return int(self._stream and end.state == LISTENING)
            if option == getattr(real, "SO_PEERCRED", None) and end.is_unix:
                return struct.pack("3i", os.getpid(), os.getuid(), os.getgid())[: size or 0]
        if (level, option) == ONLY_V6 and ONLY_V6 in end.options and size is None:
            return int(only_v6(end))
        return (
            RealSocket.getsockopt(self, level, option)
            if size is None
            else RealSocket.getsockopt(self, level, option, size)
        )

    def setsockopt(self, level: int, option: int, *value: Any) -> None:
        """As `socket.setsockopt`, on the real socket; `accept` gives its children the same."""
        if (level, option) in MULTICAST:
            raise unsimulated("joining a multicast group", "use datagrams to one address")
        end = self._end
        if (
            (level, option) == ONLY_V6
            and self.family == real.AF_INET6
            and (end.bound or (self._stream and end.state == CONNECTED))
        ):
            raise failure(errno.EINVAL)
        RealSocket.setsockopt(self, level, option, *value)
        if len(value) == 1:
            simple = value[0] if isinstance(value[0], int) else bytes(value[0])
            end.options = {**end.options, (level, option): simple}
        if level == real.SOL_SOCKET and option == real.SO_SNDBUF and self._stream:
            end.window = RealSocket.getsockopt(self, level, option) + 65536

    # -- life -----------------------------------------------------------------------------------------------------

    def dup(self) -> SimSocket:
        """As `socket.dup`."""
        number = duplicate(self.fileno())
        sock = self.__class__(self.family, self.type, self.proto, fileno=number)
        sock.settimeout(self.gettimeout())
        return sock

    def detach(self) -> int:
        """As `socket.detach`."""
        self._end = GONE
        return RealSocket.detach(self)

    def _real_close(self, _ss: type[RealSocket] = RealSocket) -> None:
        number = self.fileno()
        if number >= 0:
            if self._world.kernel.ends.get(number) is self._end:
                let_go(self._world, number)
            self._end = GONE
        RealSocket._real_close(self)  # type: ignore[attr-defined]

    def __del__(self) -> None:
        try:
            open_still = self.fileno() >= 0
        except AttributeError:
            return
        if not open_still:
            return
        if self._world.kernel.ends.get(self.fileno()) is not self._end:  # its host has crashed, or its universe ended
            RealSocket.close(self)
        else:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self._real_close()


def _takes(receiver: Datagram, sender: Datagram) -> bool:
    return receiver.closed or receiver.has_room(sender)


def duplicate(fd: int) -> int:
    """`os.dup`: one more descriptor of the same end, if it is a socket's."""
    number: int = clocks.real(_dup, fd)
    here = world.current
    end = here.kernel.ends.get(fd) if here is not None else None
    if here is not None and end is not None:
        here.kernel.ends[number] = end
        here.shared[end].count += 1
    return number


def let_go(here: world.World, number: int) -> None:
    """A descriptor is closed; with the last one, its end."""
    end = here.kernel.ends.pop(number, None)
    if end is None:
        return
    for watch in [watch for watch in end.watches if watch.fd == number]:
        watch.poll.forget(watch)
    shared = here.shared[end]
    shared.count -= 1
    if shared.count == 0:
        release(here, end, isinstance(end, Stream) and not end.is_unix and end.state == CONNECTED and _lingers_not(end))


def _lingers_not(end: End) -> bool:
    on, seconds = struct.unpack("ii", end.options.get((real.SOL_SOCKET, real.SO_LINGER), bytes(8)))
    return bool(on) and seconds == 0


def release(here: world.World, end: End, abort: bool) -> None:
    """The last descriptor of `end` is gone."""
    here.shared.pop(end, None)
    if isinstance(end, Stream):
        if end.listener is None:
            end.host.unbind(end)
        if end.state != CLOSED:
            end.close(abort)
    elif isinstance(end, Datagram):
        end.host.unbind(end)
        end.close()


def abandon(here: world.World, end: End, silently: bool) -> None:
    """The host of `end` has crashed. silently: nobody is told."""
    here.shared.pop(end, None)
    for watch in list(end.watches):
        watch.poll.forget(watch)
    if isinstance(end, Stream):
        end.host.unbind(end)
        if silently:
            for waiting in end.queue or ():
                waiting.state = CLOSED
            end.state = CLOSED
        elif end.state != CLOSED:
            end.close(False)
    elif isinstance(end, Datagram):
        end.host.unbind(end)
        end.close()


def adopt(here: world.World, end: End, family: int, kind: int, proto: int) -> SimSocket:
    """A socket for an end that the universe has made."""
    blank = RealSocket(family, kind, proto)
    number = blank.detach()
    here.kernel.ends[number] = end
    here.shared[end] = Shared()
    return SimSocket(family, kind, proto, fileno=number)


def socketpair(family: int | None = None, type: int = real.SOCK_STREAM, proto: int = 0) -> tuple[SimSocket, SimSocket]:
    """As `socket.socketpair`."""
    here = world.current
    assert here is not None
    if family is None:
        family = real.AF_UNIX
    if family != real.AF_UNIX or type not in (real.SOCK_STREAM, real.SOCK_DGRAM):
        raise unsimulated(f"socket.socketpair({family!r}, {type!r})", "pairs of Unix sockets are")
    machine = here.host.machine
    first: Any
    second: Any
    if type == real.SOCK_STREAM:
        first, second = Stream(here.kernel, machine, True), Stream(here.kernel, machine, True)
        first.join(second, None, None)
        first.name, second.name = "pair", "pair"
    else:
        first, second = Datagram(here.kernel, machine, family), Datagram(here.kernel, machine, family)
        first.peer, second.peer = second, first
    return adopt(here, first, family, type, proto), adopt(here, second, family, type, proto)


def fromfd(fd: int, family: int, type: int, proto: int = 0) -> SimSocket:
    """As `socket.fromfd`."""
    here = world.current
    assert here is not None
    number = duplicate(fd)
    if number not in here.kernel.ends:
        os.close(number)
        raise unsimulated(f"socket.fromfd({fd})", "that descriptor is not of a simulated socket")
    return SimSocket(family, type, proto, fileno=number)


# What a program may call as a function of the module `socket`.
def getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> list[Any]:
    """As `socket.getaddrinfo`, answered by the universe."""
    here = world.current
    assert here is not None
    here.host.ask_names(str(host))
    return names.look_up(here.host.machine, host, port, family, type, proto, flags)


def gethostbyname(name: str) -> str:
    """As `socket.gethostbyname`, answered by the universe."""
    address: str = getaddrinfo(name, None, real.AF_INET, real.SOCK_STREAM)[0][4][0]
    return address


def gethostbyname_ex(name: str) -> tuple[str, list[str], list[str]]:
    """As `socket.gethostbyname_ex`, answered by the universe."""
    return name, [], [entry[4][0] for entry in getaddrinfo(name, None, real.AF_INET, real.SOCK_STREAM)]


def gethostbyaddr(address: str) -> tuple[str, list[str], list[str]]:
    """As `socket.gethostbyaddr`, answered by the universe."""
    here = world.current
    assert here is not None
    ip = gethostbyname(address) if not names.family_of(address) else address
    if ip.startswith("127.") or ip == "::1":
        return "localhost", [], [ip]
    machine = here.network.by_address.get(ip)
    if machine is None:
        raise real.herror(1, "Unknown host")
    return machine.name, [], [ip]


def gethostname() -> str:
    """The name of the host that runs now."""
    here = world.current
    assert here is not None
    return here.host.name


def getnameinfo(address: tuple[Any, ...], flags: int) -> tuple[str, str]:
    """As `socket.getnameinfo`, answered by the universe."""
    host = str(address[0])
    if not flags & real.NI_NUMERICHOST:
        try:
            host = gethostbyaddr(host)[0]
        except real.herror:
            if flags & real.NI_NAMEREQD:
                raise real.gaierror(real.EAI_NONAME, "Name or service not known") from None
    return host, str(address[1])
