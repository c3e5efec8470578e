"""The simulated network: machines with addresses, their ports, and what travels between them.

A `Machine` has addresses, tables of ports and of Unix sockets, and names that it knows. `Network` finds the machine of
an address, and connects. What is between two machines, or between a machine and itself where faults are drawn, is a
`Link`; it decides what arrives when. What the two ends of a connection then do is `stream`'s and `datagram`'s.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, Any

from fate.sim.datagram import Datagram
from fate.sim.kernel import Kernel
from fate.sim.links import Link
from fate.sim.states import CONNECTING, LISTENING
from fate.sim.stream import Stream

if TYPE_CHECKING:
    from fate.sim.faults import Faults

FIRST_PORT = 40_000  # the first that port 0 gives
LAST_PORT = 60_999
RETRY_NS = 1_000_000_000  # a connection that found the queue full is tried again after so long, then twice that...
V4_ANY, V6_ANY = "0.0.0.0", "::"
LOCAL = ("127.0.0.1", "::1")
MAX_DATAGRAM = 65_507


def failure(number: int) -> OSError:
    """The operating system's error of that number."""
    return OSError(number, os.strerror(number))


class Machine:
    """One computer: its addresses, ports and Unix sockets.

    name: as others resolve it. ipv4, ipv6: its addresses besides 127.0.0.1 and ::1.
    """

    def __init__(self, network: Network, name: str, ipv4: str, ipv6: str) -> None:
        self.network = network
        self.name = name
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.up = True
        self.tcp: dict[int, list[Any]] = {}
        self.udp: dict[int, list[Any]] = {}
        self.unix: dict[str, Any] = {}
        self._next_port = FIRST_PORT

    def has(self, ip: str) -> bool:
        """Whether `ip` is an address of this machine."""
        return ip in (V4_ANY, V6_ANY, self.ipv4, self.ipv6, "::1") or ip.startswith(("127.", "::ffff:127."))

    def free_port(self, table: dict[int, list[Any]]) -> int:
        """A port that nobody has."""
        for _ in range(LAST_PORT - FIRST_PORT + 1):
            port = self._next_port
            self._next_port = port + 1 if port < LAST_PORT else FIRST_PORT
            if not table.get(port):
                return port
        raise failure(errno.EADDRINUSE)

    def table(self, end: Any) -> dict[int, list[Any]]:
        """The ports that `end` is among."""
        return self.tcp if isinstance(end, Stream) else self.udp

    def bind(self, end: Any, sock: socket.socket, address: tuple[Any, ...]) -> None:
        """Give `end` a local address. address: as `resolve` made it; port 0: any free one."""
        ip, port = address[0], address[1]
        if not self.has(ip):
            raise failure(errno.EADDRNOTAVAIL)
        table = self.table(end)
        if port == 0:
            port = self.free_port(table)
        entry = Port(end, sock, ip)
        others = table.setdefault(port, [])
        for other in others:
            if other.conflicts(entry):
                raise failure(errno.EADDRINUSE)
        others.append(entry)
        end.local = (ip, port, *address[2:])

    def unbind(self, end: Any) -> None:
        """Take `end` from the table of ports."""
        local = end.local
        if isinstance(local, tuple):
            table = self.table(end)
            left = [entry for entry in table.get(local[1], ()) if entry.end is not end]
            if left:
                table[local[1]] = left
            else:
                table.pop(local[1], None)
        elif local is not None and self.unix.get(local) is end:
            del self.unix[local]

    def bind_ephemeral(self, end: Any, sock: socket.socket, target: str) -> None:
        """Give `end` a port and the address that reaches `target`."""
        if end.local is not None:
            return
        ip = self.source_for(target)
        address = (ip, 0) if ":" not in ip else (ip, 0, 0, 0)
        self.bind(end, sock, address)

    def source_for(self, target: str) -> str:
        """The address of this machine from which `target` is reached."""
        local = target.startswith("127.") or target in (V4_ANY, V6_ANY, "::1") or self.has(target)
        if ":" in target:
            return "::1" if local and target in (V6_ANY, "::1") else self.ipv6 if not local else target
        return "127.0.0.1" if local and target in (V4_ANY, "127.0.0.1") else target if local else self.ipv4

    def listeners(self, ip: str, port: int) -> list[Stream]:
        """Who accepts connections to that address: the most exact ones only."""
        entries = [e for e in self.tcp.get(port, ()) if e.end.state == LISTENING]
        exact = [e.end for e in entries if e.ip == ip]
        return exact or [e.end for e in entries if e.covers(ip)]

    def receivers(self, ip: str, port: int) -> list[Datagram]:
        """Who gets datagrams to that address."""
        entries = self.udp.get(port, ())
        exact = [e.end for e in entries if e.ip == ip]
        return exact or [e.end for e in entries if e.covers(ip)]


class Port:
    """One socket in a table of ports."""

    __slots__ = ("dual", "end", "ip", "sock")

    def __init__(self, end: Any, sock: socket.socket, ip: str) -> None:
        self.end = end
        self.sock = sock
        self.ip = ip
        self.dual = ip == V6_ANY and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)

    def covers(self, ip: str) -> bool:
        """Whether what is for `ip` comes here, by a wildcard."""
        return (self.ip == V6_ANY and (":" in ip or self.dual)) or (self.ip == V4_ANY and ":" not in ip)

    def conflicts(self, other: Port) -> bool:
        """Whether both cannot be bound at once."""
        if not (self.ip == other.ip or self.covers(other.ip) or other.covers(self.ip)):
            return False
        mine, theirs = self.sock, other.sock
        if _option(mine, socket.SO_REUSEPORT) and _option(theirs, socket.SO_REUSEPORT):
            return False
        both = _option(mine, socket.SO_REUSEADDR) and _option(theirs, socket.SO_REUSEADDR)
        listening = isinstance(self.end, Stream) and self.end.state == LISTENING
        return listening or not both


def _option(sock: socket.socket, option: int) -> bool:
    return sock.fileno() >= 0 and bool(sock.getsockopt(socket.SOL_SOCKET, option))


class Network:
    """All machines of a universe and what is between them.

    faults: what may go wrong between them; None: nothing, and what one machine sends itself arrives at once.
    """

    def __init__(self, kernel: Kernel, faults: Faults | None) -> None:
        self.kernel = kernel
        self.faults = faults
        self.machines: dict[str, Machine] = {}
        self.by_address: dict[str, Machine] = {}
        self._links: dict[tuple[str, str], Link] = {}
        self._turn = 0
        self.strike: Any = None

    def add(self, name: str) -> Machine:
        """A new machine with the next free addresses."""
        number = len(self.machines) + 1
        ipv4, ipv6 = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", f"fd00::{number:x}"
        machine = Machine(self, name, ipv4, ipv6)
        self.machines[name] = self.by_address[ipv4] = self.by_address[ipv6] = machine
        return machine

    def part(self) -> None:
        """The universe has ended: let go of what refers back."""
        self.strike = None
        self.machines.clear()
        self.by_address.clear()
        self._links.clear()

    def link(self, source: Machine, target: Machine) -> Link | None:
        """What takes things from one machine to the other; None: nothing is between them."""
        if source is target and self.faults is None:
            return None
        key = (source.name, target.name)
        link = self._links.get(key)
        if link is None:
            link = self._links[key] = Link(self.kernel, source.name, target.name, self.faults, self.strike)
        return link

    def find(self, source: Machine, ip: str) -> Machine | None:
        """The machine that has `ip`, seen from `source`."""
        return source if source.has(ip) else self.by_address.get(ip.removeprefix("::ffff:"))

    def way(self, source: str, target: str) -> Link:
        """What is between two machines that are not the same. Raises KeyError for a name that is none."""
        link = self.link(self.machines[source], self.machines[target])
        assert link is not None
        return link

    # -- TCP ------------------------------------------------------------------------------------------------------

    def connect(self, end: Stream, sock: socket.socket, address: tuple[Any, ...]) -> int:
        """Begin to connect; the error number that `connect` shows, 0 when it is done."""
        source: Machine = end.host
        ip, port = address[0], address[1]
        target = self.find(source, ip)
        if target is None:
            return errno.ENETUNREACH
        source.bind_ephemeral(end, sock, ip)
        if ip in (V4_ANY, V6_ANY):
            ip = LOCAL[ip == V6_ANY]
        end.remote = (ip, port, *address[2:])
        end.state = CONNECTING
        end.fresh = True
        link = self.link(source, target)
        if link is None:
            self._arrive_syn((end, target, 0))
        else:
            link.start(end, self._arrive_syn, (end, target, 0))
        return errno.EINPROGRESS

    def _arrive_syn(self, request: tuple[Stream, Machine, int]) -> None:
        end, target, _ = request
        if end.state != CONNECTING:
            return
        ip, port = end.remote[0], end.remote[1]
        back = self.link(target, end.host)
        listeners = target.listeners(ip, port) if target.up else []
        if not listeners:
            if not target.up:
                self._try_again(request)
            elif back is None:
                end.fail(errno.ECONNREFUSED)
            else:
                back.answer(end, end.fail, errno.ECONNREFUSED)
            return
        self._turn += 1
        listener = listeners[self._turn % len(listeners)] if len(listeners) > 1 else listeners[0]
        queue = listener.queue
        if queue is None or len(queue) > listener.backlog:
            self._try_again(request)
            return
        server = self._server_end(listener, target, end)
        end.join(server, self.link(end.host, target), back)
        queue.append(server)
        if self.kernel.history is not None:
            self.kernel.history.append((self.kernel.now, "connect", end.name))
        if back is None:
            end.established()
        else:
            end.state = CONNECTING
            back.answer(end, end.established, None)
        listener.changed()

    def _server_end(self, listener: Stream, target: Machine, client: Stream) -> Stream:
        server = Stream(self.kernel, target, False)
        server.local = client.remote
        server.remote = client.local
        server.listener = listener
        server.name = f"{client.host.name}->{target.name}"
        client.name = f"{target.name}->{client.host.name}"
        return server

    def _try_again(self, request: tuple[Stream, Machine, int]) -> None:
        """As TCP does: after one second, two, four..., and after about two minutes it gives up."""
        end, target, tries = request
        when = self.kernel.now + (RETRY_NS << tries)
        if tries < 6:
            self.kernel.at(when, self._arrive_syn, (end, target, tries + 1))
        else:
            self.kernel.at(when, end.fail, errno.ETIMEDOUT)

    # -- Unix sockets ---------------------------------------------------------------------------------------------

    def connect_unix(self, end: Any, path: str) -> int:
        """Connect to the Unix socket at `path`; the error number, 0 when it is done."""
        target = end.host.unix.get(path)
        if target is None:
            return errno.ECONNREFUSED if path[:1] == "\0" or os.path.exists(path) else errno.ENOENT
        if isinstance(end, Datagram):
            if not isinstance(target, Datagram):
                return errno.EPROTOTYPE
            end.connected = True
            end.remote = path
            return 0
        if isinstance(target, Datagram):
            return errno.EPROTOTYPE
        if target.state != LISTENING or target.queue is None:
            return errno.ECONNREFUSED
        if len(target.queue) > target.backlog:
            return errno.EAGAIN
        server = Stream(self.kernel, end.host, True)
        server.local, server.remote = path, end.local or ""
        server.listener = target
        end.remote = path
        end.name, server.name = f"unix<-{path}", f"unix->{path}"
        end.fresh = False
        end.join(server, None, None)
        target.queue.append(server)
        target.changed()
        return 0

    # -- datagrams ------------------------------------------------------------------------------------------------

    def send_datagram(self, end: Datagram, sock: socket.socket, data: bytes, address: tuple[Any, ...]) -> None:
        """Send a UDP datagram."""
        if len(data) > MAX_DATAGRAM:
            raise failure(errno.EMSGSIZE)
        source: Machine = end.host
        ip, port = address[0], address[1]
        if ip == "255.255.255.255" and not _option(sock, socket.SO_BROADCAST):
            raise failure(errno.EACCES)
        if port == 0:
            raise failure(errno.EINVAL)
        if ip in (V4_ANY, V6_ANY):
            ip = LOCAL[ip == V6_ANY]
        source.bind_ephemeral(end, sock, ip)
        target = self.find(source, ip)
        if target is None:
            raise failure(errno.ENETUNREACH)
        sender = end.local
        if sender[0] in (V4_ANY, V6_ANY):
            sender = (source.source_for(ip), *sender[1:])
        packet = (end, target, ip, port, data, sender)
        link = self.link(source, target)
        if link is None:
            self._arrive_datagram(packet)
        else:
            link.throw(self._arrive_datagram, packet, data)

    def _arrive_datagram(self, packet: tuple[Datagram, Machine, str, int, bytes, tuple[Any, ...]]) -> None:
        end, target, ip, port, data, sender = packet
        if not target.up:
            return
        fits = [
            receiver
            for receiver in target.receivers(ip, port)
            if not receiver.connected or receiver.remote[:2] == sender[:2]
        ]
        if fits:
            chosen = [receiver for receiver in fits if receiver.connected] or fits
            chosen[-1].deliver((data, sender))
            return
        back = self.link(target, end.host)
        if back is None:
            end.refuse()
        else:
            back.throw(end.refuse, None, b"")

    def send_unix(self, end: Datagram, data: bytes, target: Datagram) -> bool:
        """Send a Unix datagram; False: it would block."""
        if not target.has_room(len(data)):
            end.wait_for(target)
            return False
        target.deliver((data, end.local))
        return True
