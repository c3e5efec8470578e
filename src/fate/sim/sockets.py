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
from typing import TYPE_CHECKING, Any

from fate.sim import names, world
from fate.sim.datagram import Datagram
from fate.sim.errors import unsimulated
from fate.sim.kernel import End
from fate.sim.network import failure
from fate.sim.states import (
    BLOCKED,
    BOUND,
    CLOSED,
    CONNECTED,
    CONNECTING,
    ERROR,
    HANG_UP,
    IN,
    LISTENING,
    NEW,
    OUT,
)
from fate.sim.stream import Stream

PEEK, DONT_WAIT, WAIT_ALL, TRUNCATE = real.MSG_PEEK, real.MSG_DONTWAIT, real.MSG_WAITALL, real.MSG_TRUNC
HARMLESS = real.MSG_NOSIGNAL | DONT_WAIT | getattr(real, "MSG_MORE", 0)  # flags that mean nothing here
FAMILIES = (real.AF_INET, real.AF_INET6, real.AF_UNIX)
TYPES = (real.SOCK_STREAM, real.SOCK_DGRAM)
RealSocket = real.socket
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
        self.unix_path: str | None = None


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
                known = Datagram(here.kernel, machine, unix)
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
            sent: int = self._end.send(data if type(data) is bytes else memoryview(data).cast("B"))
            if sent != BLOCKED:
                return sent
            return self._send_waiting(data, flags)
        if not self._end.connected and self._end.peer is None:
            number = errno.ENOTCONN if self._end.is_unix else errno.EDESTADDRREQ
            raise failure(number)
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
        if self._stream and not flags:
            data: bytes | None = self._end.receive(size, False)
            if data is not None:
                return data
        return self._receive(size, flags)[0]

    def _receive(self, size: int, flags: int) -> tuple[bytes, Any]:
        """Up to `size` bytes or one datagram, waiting for it if the socket waits; and who sent it."""
        if flags & ~(HARMLESS | PEEK | WAIT_ALL | TRUNCATE):
            raise unsimulated(f"socket.recv(..., flags={flags})", "MSG_PEEK, MSG_DONTWAIT and MSG_WAITALL are")
        if size < 0:
            raise ValueError("negative buffersize in recv")
        end = self._end
        parts = b""
        while True:
            if self._stream:
                data = end.receive(size - len(parts), bool(flags & PEEK))
                if data is not None:
                    parts += data
                    if not (flags & WAIT_ALL and data and len(parts) < size):
                        return parts, None
            else:
                entry = end.receive(bool(flags & PEEK))
                if entry is not None:
                    return entry[0][:size], entry[1]
            try:
                self._wait(IN | ERROR | HANG_UP, flags)
            except BlockingIOError:
                if parts:
                    return parts, None
                raise

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As `socket.recv_into`."""
        return self.recvfrom_into(buffer, nbytes, flags)[0]

    def recvfrom(self, size: int, flags: int = 0) -> tuple[bytes, Any]:
        """As `socket.recvfrom`."""
        return self._receive(size, flags)

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        """As `socket.recvfrom_into`."""
        view = memoryview(buffer).cast("B")
        if nbytes < 0:
            raise ValueError("negative buffersize in recv_into")
        if nbytes > len(view):
            raise ValueError("buffer too small for requested bytes")
        data, address = self._receive(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data), address

    def recvmsg(self, size: int, ancillary: int = 0, flags: int = 0) -> tuple[bytes, list[Any], int, Any]:
        """As `socket.recvmsg`; nothing ever comes beside the bytes."""
        data, address = self._receive(size, flags)
        return data, [], 0, address

    def sendmsg(self, buffers: Any, ancillary: Any = (), flags: int = 0, address: Any = None) -> int:
        """As `socket.sendmsg`, without ancillary data."""
        if list(ancillary):
            raise unsimulated("socket.sendmsg() with ancillary data", "no descriptors can be passed")
        data = b"".join(buffers)
        return self.send(data, flags) if address is None else self.sendto(data, flags, address)

    def recvmsg_into(self, buffers: Any, ancillary: int = 0, flags: int = 0) -> tuple[int, list[Any], int, Any]:
        """As `socket.recvmsg_into`; nothing ever comes beside the bytes."""
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        data, address = self._receive(sum(map(len, views)), flags)
        rest = data
        for view in views:
            part = rest[: len(view)]
            view[: len(part)] = part
            rest = rest[len(part) :]
        return len(data), [], 0, address

    def sendto(self, data: Any, *args: Any) -> int:
        """As `socket.sendto`."""
        if len(args) not in (1, 2):
            raise TypeError(f"sendto() takes 2 or 3 arguments ({1 + len(args)} given)")
        address, flags = args[-1], args[0] if len(args) == 2 else 0
        if self._stream:
            if self._end.state == CONNECTED:
                if self._end.is_unix:
                    raise failure(errno.EISCONN)
                return self.send(data, flags)
            raise failure(errno.EOPNOTSUPP if self._end.is_unix else errno.EPIPE)
        return self._send_datagram(bytes(data), address, flags)

    def _send_datagram(self, data: bytes, address: Any, flags: int) -> int:
        end: Datagram = self._end
        end.raise_error()
        if end.shut_write:
            raise failure(errno.EPIPE)
        network = self._world.network
        if not end.is_unix:
            target = end.remote if address is None else names.resolve(end.host, self.family, address, "sendto")
            network.send_datagram(end, self, data, target)
            return len(data)
        if len(data) > 212_960:
            raise failure(errno.EMSGSIZE)
        while True:
            if address is None:
                receiver = end.peer or end.host.unix.get(end.remote)
            else:
                receiver = end.host.unix.get(_path(address))
                if receiver is None and not os.path.exists(_path(address)):
                    raise failure(errno.ENOENT)
            if not isinstance(receiver, Datagram) or receiver.closed:
                raise failure(errno.ECONNREFUSED)
            if network.send_unix(end, data, receiver):
                return len(data)
            self._wait(OUT, flags)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """As `socket.sendfile`."""
        return self._sendfile_use_send(file, offset, count)  # type: ignore[attr-defined, no-any-return]

    def _wait(self, bits: int, flags: int) -> None:
        """Block as long as the socket's timeout allows; raise what a socket raises that does not."""
        seconds = self.gettimeout()
        if seconds == 0.0 or flags & DONT_WAIT:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        if not self._world.wait_for(self._end, bits, seconds):
            raise TimeoutError("timed out")

    # -- connections ----------------------------------------------------------------------------------------------

    def connect(self, address: Any) -> None:
        """As `socket.connect`."""
        number = self.connect_ex(address)
        if number:
            raise failure(number)

    def connect_ex(self, address: Any) -> int:
        """As `socket.connect_ex`."""
        end = self._end
        if not self._stream:
            return self._connect_datagram(end, address)
        if end.state == CONNECTED:
            if end.fresh:
                end.fresh = False
                return 0
            return errno.EISCONN
        if end.error:
            number: int = end.error
            end.error = 0
            return number
        if end.state == CONNECTING:
            return errno.EALREADY
        if end.state == LISTENING:
            return errno.EISCONN if not end.is_unix else errno.EINVAL
        network = self._world.network
        if end.is_unix:
            while (number := network.connect_unix(end, _path(address))) == errno.EAGAIN and self.gettimeout() != 0.0:
                self._world.sleep(1_000_000)
            return number
        number = network.connect(end, self, names.resolve(end.host, self.family, address, "connect"))
        if number == errno.EINPROGRESS and self.gettimeout() != 0.0:
            self._wait(OUT | ERROR, 0)
            if end.error:
                number, end.error = end.error, 0
            else:
                number, end.fresh = 0, False
        return number

    def _connect_datagram(self, end: Datagram, address: Any) -> int:
        if end.is_unix:
            return int(self._world.network.connect_unix(end, _path(address)))
        target = names.resolve(end.host, self.family, address, "connect")
        if self._world.network.find(end.host, target[0]) is None:
            return errno.ENETUNREACH
        end.host.bind_ephemeral(end, self, target[0])
        end.remote, end.connected = target, True
        return 0

    def bind(self, address: Any) -> None:
        """As `socket.bind`. A Unix socket's name appears in the file system, as it does in the real world."""
        end = self._end
        if end.local is not None:
            raise failure(errno.EINVAL)
        if end.is_unix:
            path = _path(address)
            if path[:1] == "\0":
                if path in end.host.unix:
                    raise failure(errno.EADDRINUSE)
            else:
                RealSocket.bind(self, address)
                self._shared.unix_path = path
                self._world.paths.append(path)
            end.host.unix[path] = end
            end.local = path
        else:
            end.host.bind(end, self, names.resolve(end.host, self.family, address, "bind"))
        if self._stream:
            end.state = BOUND

    def listen(self, backlog: int = 128) -> None:
        """As `socket.listen`."""
        end = self._end
        if not self._stream:
            raise failure(errno.EOPNOTSUPP)
        if end.state not in (NEW, BOUND, LISTENING) or (end.is_unix and end.local is None):
            raise failure(errno.EINVAL)
        if not end.is_unix:
            if end.local is None:
                end.host.bind(end, self, ("0.0.0.0", 0) if self.family == real.AF_INET else ("::", 0, 0, 0))
            own = [port for port in end.host.tcp[end.local[1]] if port.end is end]
            for other in end.host.tcp[end.local[1]]:
                if other.end is not end and other.end.state == LISTENING and other.conflicts(own[0]):
                    raise failure(errno.EADDRINUSE)
        end.state = LISTENING
        end.backlog = max(0, backlog)
        end.queue = end.queue or []

    def accept(self) -> tuple[RealSocket, Any]:
        """As `socket.accept`."""
        end = self._end
        if not self._stream:
            raise failure(errno.EOPNOTSUPP)
        while True:
            if end.state != LISTENING:
                raise failure(errno.EINVAL)
            if end.queue:
                break
            self._wait(IN, 0)
        server: Stream = end.queue.pop(0)
        sock = adopt(self._world, server, self.family, self.type, self.proto)
        if real.getdefaulttimeout() is None and self.gettimeout():
            sock.setblocking(True)
        if server.is_unix:
            end.changed()
        return sock, server.remote

    def shutdown(self, how: int) -> None:
        """As `socket.shutdown`."""
        end = self._end
        if how not in (real.SHUT_RD, real.SHUT_WR, real.SHUT_RDWR):
            raise failure(errno.EINVAL)
        read, write = how != real.SHUT_WR, how != real.SHUT_RD
        if self._stream:
            if end.state == LISTENING and read:
                RealSocket.setsockopt(self, real.SOL_SOCKET, real.SO_REUSEADDR, 1)
                end.close(True)
                end.host.unbind(end)
                end.state = BOUND
                end.changed()
                return
            end.shutdown(read, write)
        elif not end.connected and end.peer is None:
            raise failure(errno.ENOTCONN)
        else:
            end.shut_read |= read
            end.shut_write |= write
            end.changed()

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
        connected = end.state == CONNECTED if self._stream else end.connected or end.peer is not None
        if not connected or (self._stream and end.eof and end.shut_write and not end.is_unix):
            raise failure(errno.ENOTCONN)
        return end.remote if end.remote is not None else ""

    # -- options --------------------------------------------------------------------------------------------------

    def getsockopt(self, level: int, option: int, size: int | None = None) -> Any:
        """As `socket.getsockopt`; the real socket's, except for what the simulation decides."""
        if level == real.SOL_SOCKET:
            end = self._end
            if option == real.SO_ERROR:
                number, end.error = end.error, 0
                return struct.pack("i", number) if size else number
            if option == real.SO_ACCEPTCONN:
                return int(self._stream and end.state == LISTENING)
            if option == getattr(real, "SO_PEERCRED", None) and end.is_unix:
                return struct.pack("3i", os.getpid(), os.getuid(), os.getgid())[: size or 0]
        return (
            RealSocket.getsockopt(self, level, option)
            if size is None
            else RealSocket.getsockopt(self, level, option, size)
        )

    def setsockopt(self, level: int, option: int, *value: Any) -> None:
        """As `socket.setsockopt`, on the real socket."""
        if (level, option) in MULTICAST:
            raise unsimulated("joining a multicast group", "use datagrams to one address")
        RealSocket.setsockopt(self, level, option, *value)
        if level == real.SOL_SOCKET and option == real.SO_SNDBUF and self._stream:
            self._end.window = RealSocket.getsockopt(self, level, option) + 65536

    # -- life -----------------------------------------------------------------------------------------------------

    def dup(self) -> SimSocket:
        """As `socket.dup`."""
        number = os.dup(self.fileno())
        self._world.kernel.ends[number] = self._end
        self._shared.count += 1
        sock = self.__class__(self.family, self.type, self.proto, fileno=number)
        sock.settimeout(self.gettimeout())
        return sock

    def _real_close(self, _ss: type[RealSocket] = RealSocket) -> None:
        number = self.fileno()
        if number >= 0:
            self._release(number)
        RealSocket._real_close(self)  # type: ignore[attr-defined]

    def _release(self, number: int) -> None:
        end, here = self._end, self._world
        if here.kernel.ends.pop(number, None) is None:
            return
        for watch in [watch for watch in end.watches if watch.fd == number]:
            watch.poll.forget(watch)
        self._shared.count -= 1
        if self._shared.count == 0:
            release(here, end, self._stream and end.state == CONNECTED and self._lingers_not())

    def _lingers_not(self) -> bool:
        on, seconds = struct.unpack("ii", RealSocket.getsockopt(self, real.SOL_SOCKET, real.SO_LINGER, 8))
        return bool(on) and seconds == 0

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


def release(here: world.World, end: End, abort: bool) -> None:
    """The last descriptor of `end` is gone."""
    here.shared.pop(end, None)
    if isinstance(end, Stream):
        if end.state in (NEW, BOUND, LISTENING, CONNECTING) or (end.local is not None and end.listener is None):
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
        first.remote = second.remote = ""
    else:
        first, second = Datagram(here.kernel, machine, True), Datagram(here.kernel, machine, True)
        first.peer, second.peer = second, first
    return adopt(here, first, family, type, proto), adopt(here, second, family, type, proto)


def fromfd(fd: int, family: int, type: int, proto: int = 0) -> SimSocket:
    """As `socket.fromfd`."""
    here = world.current
    assert here is not None
    end = here.kernel.ends.get(fd)
    if end is None:
        raise unsimulated(f"socket.fromfd({fd})", "that descriptor is not of a simulated socket")
    number = os.dup(fd)
    here.kernel.ends[number] = end
    here.shared[end].count += 1
    return SimSocket(family, type, proto, fileno=number)


def _path(address: Any) -> str:
    """A Unix address as text."""
    if isinstance(address, (bytes, bytearray)):
        return os.fsdecode(bytes(address))
    if not isinstance(address, str):
        raise TypeError(f"a bytes-like object is required, not {type(address).__name__!r}")
    return address


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
