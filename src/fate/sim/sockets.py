"""`socket.socket` as programs in a universe get it.

Each simulated socket wraps a real one that is never bound to an internet address and never connected: its options,
its `fileno()`, its timeouts and its families are the operating system's own, and what travels is the universe's. One
that two objects share (`dup`, `fileno=`) is one `End` in the kernel's table, closed with the last of them: see
`holders`. Here are a socket's beginning, its connections, its options and its end; `traffic` has its bytes.

The rules of the ends live in `stream` and `datagram`, addresses in `names`, who is reached in `network`.
"""

from __future__ import annotations

import errno
import os
import socket as real
import struct
import warnings
from itertools import count
from typing import Any

from fate.sim import clocks, world
from fate.sim.apart import Apart
from fate.sim.datagram import Datagram
from fate.sim.errors import unsimulated
from fate.sim.holders import Shared, duplicate, let_go
from fate.sim.kernel import End
from fate.sim.network import ONLY_V6, failure, only_v6, unix_key
from fate.sim.states import (
    BOUND,
    CONNECTED,
    CONNECTING,
    IN,
    LEFT,
    LISTENING,
    NEW,
    TOLD,
    UNTRIED,
)
from fate.sim.stream import Stream
from fate.sim.traffic import GONE, RealSocket, Traffic

FAMILIES = (real.AF_INET, real.AF_INET6, real.AF_UNIX)
PROTOCOLS = (-1, 0, real.IPPROTO_TCP, real.IPPROTO_UDP)
TYPES = (real.SOCK_STREAM, real.SOCK_DGRAM)
TIMED_OUT = -1
_bind = RealSocket.bind
MULTICAST = {
    (level, getattr(real, name))
    for level, name in [
        (real.IPPROTO_IP, "IP_ADD_MEMBERSHIP"),
        (real.IPPROTO_IPV6, "IPV6_JOIN_GROUP"),
    ]
    if hasattr(real, name)
}


class SimSocket(Traffic, metaclass=Apart, real=RealSocket):
    """A socket of a universe."""

    __slots__ = ()

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
                clocks.real(_bind, self, target)
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
                return struct.pack("3i", self._world.host.pid, os.getuid(), os.getgid())[: size or 0]
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
