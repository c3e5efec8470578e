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
from fate.sim.states import BOUND, CONNECTED, CONNECTING, LISTENING, NEW, OVER, TRIED
from fate.sim.stream import Stream

if TYPE_CHECKING:
    from fate.sim.faults import Faults

FIRST_PORT = 40_000  # the first that port 0 gives
LAST_PORT = 60_999
RETRY_NS = 1_000_000_000  # a connection that found the queue full is tried again after so long, then twice that...
V4_ANY, V6_ANY = "0.0.0.0", "::"
LOCAL = ("127.0.0.1", "::1")
MAPPED = "::ffff:"
ONLY_V6 = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
SWEEP = 100  # connections that have faded, before they are looked at for the first time
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
        self.unix: dict[Any, Any] = {}
        self.fading: list[Stream] = []  # finished first, and closed: their ports are not free yet
        self._sweep_at = SWEEP
        self._next_port = FIRST_PORT

    def has(self, ip: str) -> bool:
        """Whether `ip` is an address of this machine."""
        return ip in (V4_ANY, V6_ANY, self.ipv4, self.ipv6, "::1") or ip.startswith("127.")

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

    def bind(self, end: Any, address: tuple[Any, ...], by_program: bool = False) -> None:
        """Give `end` a local address. address: as `resolve` made it; port 0: any free one."""
        ip, port = address[0], address[1]
        known = self.has(plain(ip))
        if not known and len(address) == 2:  # IPv4 looks at this first, IPv6 last
            raise failure(errno.EADDRNOTAVAIL)
        if plain(ip) != ip and only_v6(end):
            raise failure(errno.EINVAL)
        if end.bound or (isinstance(end, Stream) and end.state not in (NEW, OVER)):
            raise failure(errno.EINVAL)
        if not known:
            raise failure(errno.EADDRNOTAVAIL)
        table = self.table(end)
        if port == 0:
            port = self.free_port(table)
        elif self.is_taken(end, ip, port):
            raise failure(errno.EADDRINUSE)
        end.locked = end.locked or address[1] != 0
        table.setdefault(port, []).append(Port(end, ip))
        end.local = (ip, port, *address[2:])
        if by_program:
            end.home = ip
        elif not end.home:
            end.home = V4_ANY if len(address) == 2 else V6_ANY
        end.bound = True
        if len(address) > 2 and ip != V6_ANY and plain(ip) == ip and by_program:
            end.options = {**end.options, ONLY_V6: 1}  # so says Linux

    def is_taken(self, end: Any, ip: str, port: int) -> bool:
        """Whether another socket keeps `end` from having that address (Linux's inet_csk_bind_conflict)."""
        mine = Port(end, ip)
        if any(other.conflicts(mine) for other in self.table(end).get(port, ())):
            return True
        if not isinstance(end, Stream):
            return False
        self._sweep()
        accepted = [
            other
            for known in self.network.kernel.ends.values()
            if isinstance(known, Stream) and known.host is self
            for other in (known, *(known.queue or ()))
            if other.listener is not None and other.state == CONNECTED
        ]
        return any(
            Port(other, other.local[0]).conflicts(mine)
            for other in (*self.fading, *accepted)
            if isinstance(other.local, tuple) and other.local[1] == port
        )

    def fade(self, end: Stream) -> None:
        """A connection that `end` finished first is closed: its port is not free at once."""
        self.fading.append(end)
        if len(self.fading) > self._sweep_at:
            self._sweep()
            self._sweep_at = 2 * len(self.fading) + SWEEP

    def _sweep(self) -> None:
        now = self.network.kernel.now
        self.fading = [end for end in self.fading if end.until > now]

    def unbind(self, end: Any) -> None:
        """Take `end` from the table of ports."""
        local = end.local
        end.bound = False
        if isinstance(local, tuple):
            table = self.table(end)
            left = [entry for entry in table.get(local[1], ()) if entry.end is not end]
            if left:
                table[local[1]] = left
            else:
                table.pop(local[1], None)
        elif local is not None and self.unix.get(unix_key(end, local)) is end:
            del self.unix[unix_key(end, local)]

    def bind_ephemeral(self, end: Any, target: str) -> None:
        """Give `end` a port, if it has none, and the address that reaches `target`."""
        ip = self.source_for(target)
        if not end.bound:
            self.bind_free(end, ip)
        elif end.local[0] in (V4_ANY, V6_ANY):
            self.move(end, ip)

    def bind_free(self, end: Any, ip: str) -> None:
        """Give `end` a free port at `ip`, or where the program has bound it before a connection that is over."""
        ip = ip if end.home in ("", V4_ANY, V6_ANY) else end.home
        self.bind(end, (ip, 0) if ":" not in ip else (ip, 0, 0, 0))

    def move(self, end: Any, ip: str) -> None:
        """Give `end` another local address with the same port."""
        end.local = (ip, *end.local[1:])
        for port in self.table(end).get(end.local[1], ()):
            if port.end is end:
                port.move(ip)

    def source_for(self, target: str) -> str:
        """The address of this machine from which `target` is reached."""
        ip = plain(target)
        prefix = target[: len(target) - len(ip)]
        if ":" in ip:
            return "::1" if ip in (V6_ANY, "::1") else self.ipv6
        return prefix + ("127.0.0.1" if ip == V4_ANY or ip.startswith("127.") else self.ipv4)

    def listeners(self, ip: str, port: int) -> list[Stream]:
        """Who accepts connections to that address: the most exact ones only."""
        entries = [e for e in self.tcp.get(port, ()) if e.end.state == LISTENING]
        exact = [e.end for e in entries if e.ip == ip]
        return exact or [e.end for e in entries if e.covers(ip)]

    def receiver(self, ip: str, port: int, sender: tuple[Any, ...]) -> Datagram | None:
        """Who gets a datagram to that address from `sender`: the most exact one, and of several the youngest."""
        fits = [entry for entry in self.udp.get(port, ()) if entry.end.hears(plain(sender[0]), sender[1])]
        exact = [entry.end for entry in fits if entry.ip == ip]
        found = exact or [entry.end for entry in fits if entry.covers(ip)]
        connected = [end for end in found if end.connected]
        receiver: Datagram | None = (connected or found or [None])[-1]
        return receiver


class Port:
    """One socket in a table of ports."""

    __slots__ = ("dual", "end", "ip")

    def __init__(self, end: Any, ip: str) -> None:
        self.end = end
        self.move(ip)

    def move(self, ip: str) -> None:
        """It has that address now."""
        self.ip = plain(ip)
        self.dual = ip == V6_ANY and not only_v6(self.end)

    def covers(self, ip: str) -> bool:
        """Whether what is for `ip` comes here, by a wildcard."""
        return (self.ip == V6_ANY and (":" in ip or self.dual)) or (self.ip == V4_ANY and ":" not in ip)

    def overlaps(self, newer: Port) -> bool:
        """Whether something could be for both (Linux's inet_rcv_saddr_equal, with its asymmetry)."""
        if self.ip == newer.ip or self.covers(newer.ip) or newer.covers(self.ip):
            return True
        return newer.ip == V4_ANY and not only_v6(self.end)

    def conflicts(self, newer: Port) -> bool:
        """Whether it keeps `newer` from being bound."""
        mine, theirs = self.end, newer.end
        if mine is theirs or not self.overlaps(newer):
            return False
        listening = isinstance(mine, Stream) and mine.state == LISTENING
        if option(mine, socket.SO_REUSEADDR) and option(theirs, socket.SO_REUSEADDR) and not listening:
            return False
        return not (option(mine, socket.SO_REUSEPORT) and option(theirs, socket.SO_REUSEPORT))


def option(end: Any, number: int) -> bool:
    """Whether an option of the level SOL_SOCKET is on."""
    return bool(end.options.get((socket.SOL_SOCKET, number)))


def unix_key(end: Any, path: str | bytes) -> Any:
    """Under what a Unix socket is kept: abstract names of streams and of datagrams are not the same."""
    return path if isinstance(path, str) else (path, isinstance(end, Datagram))


def only_v6(end: Any) -> bool:
    """Whether a socket wants nothing of IPv4."""
    return bool(end.options.get(ONLY_V6))


def plain(ip: str) -> str:
    """An address without the prefix that makes an IPv6 address of one of IPv4."""
    return ip[len(MAPPED) :] if ip.startswith(MAPPED) else ip


def is_mapped(end: Any) -> bool:
    """Whether an IPv6 socket is at an address of IPv4: it reaches no others."""
    return end.local is not None and plain(end.local[0]) != end.local[0]


def reached(end: Any, ip: str) -> str:
    """Whom `end` reaches at `ip`: the address of nobody in particular leads to itself."""
    if ip == V4_ANY:
        return LOCAL[0] if end.local is None or end.local[0] == V4_ANY else str(end.local[0])
    if ip == V6_ANY:
        return MAPPED + LOCAL[0] if is_mapped(end) else LOCAL[1]
    return ip


def as_seen_by(local: tuple[Any, ...], address: tuple[Any, ...]) -> tuple[Any, ...]:
    """`address` as a socket at `local` sees it: an IPv6 socket sees those of IPv4 with a prefix."""
    if len(local) == len(address):
        return address
    if len(local) == 2:
        return (plain(address[0]), address[1])
    return (MAPPED + address[0], address[1], 0, 0)


def addresses_of(number: int) -> tuple[str, str]:
    """The addresses of the machine of that number, from 1 on: IPv4 and IPv6."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", f"fd00::{number:x}"


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
        ipv4, ipv6 = addresses_of(len(self.machines) + 1)
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
        ip = plain(ip)
        return source if source.has(ip) else self.by_address.get(ip)

    def way(self, source: str, target: str) -> Link:
        """What is between two machines that are not the same. Raises KeyError for a name that is none."""
        link = self.link(self.machines[source], self.machines[target])
        assert link is not None
        return link

    # -- TCP ------------------------------------------------------------------------------------------------------

    def connect(self, end: Stream, address: tuple[Any, ...]) -> int:
        """Begin to connect; the error number that `connect` shows, 0 when it is done."""
        source: Machine = end.host
        ip, port = address[0], address[1]
        target = self.find(source, ip)
        if target is None or (plain(ip) != ip and only_v6(end)):
            return errno.ENETUNREACH
        ip = reached(end, ip)
        if ":" in plain(ip) and is_mapped(end):
            return errno.EAFNOSUPPORT
        source.bind_ephemeral(end, ip)
        end.remote = (ip, port, *address[2:])
        end.state = CONNECTING
        end.told = TRIED
        end.error = 0
        end.eof = False
        link = self.link(source, target)
        if link is not None:
            link.start(end, self._arrive_syn, (end, target, 0))
        elif end.local[:2] == end.remote[:2]:  # TCP allows that: it talks to itself
            end.join(end, None, None)
            end.told = TRIED
            end.established()
            if end.shut_write:  # Linux looks at this only where both ends have called
                end.end_sending()
        else:
            self._arrive_syn((end, target, 0))
        return errno.EINPROGRESS

    def _arrive_syn(self, request: tuple[Stream, Machine, int]) -> None:
        end, target, _ = request
        if end.state != CONNECTING:
            return
        ip, port = plain(end.remote[0]), end.remote[1]
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
        server.local = as_seen_by(listener.local, client.remote)
        server.remote = as_seen_by(listener.local, client.local)
        server.listener = listener
        server.options = listener.options
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

    def connect_unix(self, end: Any, path: str | bytes) -> int:
        """Connect to the Unix socket at `path`; the error number, 0 when it is done."""
        if not path:
            return errno.EINVAL
        target = self.find_unix(end, path)
        if target is None:
            return errno.ECONNREFUSED if isinstance(path, bytes) or os.path.exists(path) else errno.ENOENT
        if isinstance(end, Datagram) is not isinstance(target, Datagram):
            return errno.EPROTOTYPE
        if isinstance(end, Datagram):
            if target.peer not in (None, end):
                return errno.EPERM
            end.connect_to(target)
            return 0
        if target.state != LISTENING or target.shut_read:
            return errno.ECONNREFUSED
        if len(target.queue) > target.backlog:
            return errno.EAGAIN
        if end.state not in (NEW, BOUND):
            return errno.EISCONN if end.state == CONNECTED else errno.EINVAL
        server = Stream(self.kernel, end.host, True)
        server.local = target.local
        server.listener = target
        end.name, server.name = f"unix<-{path!s}", f"unix->{path!s}"
        end.join(server, None, None)
        target.queue.append(server)
        target.changed()
        return 0

    def find_unix(self, end: Any, path: str | bytes) -> Any:
        """The Unix socket that `end` finds at `path`, which is bytes if it is abstract."""
        found = end.host.unix.get(unix_key(end, path))
        return found if found is None or isinstance(path, bytes) or os.path.exists(path) else None

    def unix_receiver(self, end: Datagram, path: str | bytes | None) -> Datagram:
        """Who gets a Unix datagram sent to `path`; None: to the one it is connected to."""
        receiver: Any
        if path is None:
            receiver = end.peer
            if receiver.closed:
                end.peer = None
                end.leave(receiver)
                raise failure(errno.ECONNREFUSED)
        else:
            receiver = self.find_unix(end, path)
            if receiver is None:
                there = isinstance(path, bytes) or os.path.exists(path)
                raise failure(errno.ECONNREFUSED if there else errno.ENOENT)
            if not isinstance(receiver, Datagram):
                raise failure(errno.EPROTOTYPE)
        if receiver.peer not in (None, end):
            raise failure(errno.EPERM)
        if receiver.shut_read:
            raise failure(errno.EPIPE)
        found: Datagram = receiver
        return found

    def send_unix(self, end: Datagram, data: bytes, target: Datagram) -> bool:
        """Send a Unix datagram; False: it would block."""
        if not target.has_room(end):
            return False
        target.deliver((data, None), end)
        return True

    # -- datagrams ------------------------------------------------------------------------------------------------

    def connect_datagram(self, end: Datagram, address: tuple[Any, ...]) -> int:
        """Have a UDP socket send to `address` and hear nobody else; the error number, 0 when it is done."""
        if self.find(end.host, address[0]) is None or (plain(address[0]) != address[0] and only_v6(end)):
            return errno.ENETUNREACH
        ip = reached(end, address[0])
        if ":" in plain(ip) and is_mapped(end):
            return errno.EAFNOSUPPORT
        end.host.bind_ephemeral(end, ip)
        end.remote, end.connected = (ip, *address[1:]), True
        return 0

    def send_datagram(self, end: Datagram, data: bytes, address: tuple[Any, ...] | None) -> None:
        """Send a UDP datagram. address: None: where it is connected to."""
        source: Machine = end.host
        if not end.bound:
            source.bind_free(end, V4_ANY if end.family == socket.AF_INET else V6_ANY)
        if len(data) > MAX_DATAGRAM:
            raise failure(errno.EMSGSIZE)
        if address is None and not end.connected:
            raise failure(errno.EDESTADDRREQ)
        ip, port = (address or end.remote)[:2]
        mapped = plain(ip) != ip
        if mapped and only_v6(end):
            raise failure(errno.ENETUNREACH)
        if port == 0 and (mapped or address is not None):
            raise failure(errno.EINVAL)
        if ip == "255.255.255.255" and not option(end, socket.SO_BROADCAST):
            raise failure(errno.EACCES)
        ip = reached(end, ip)
        target = self.find(source, ip)
        if target is None:
            raise failure(errno.ENETUNREACH)
        if ":" in plain(ip) and is_mapped(end):
            raise failure(errno.EAFNOSUPPORT)
        end.raise_error()
        if end.shut_write:
            raise failure(errno.EPIPE)
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
        receiver = target.receiver(plain(ip), port, sender)
        if receiver is not None:
            receiver.deliver((data, as_seen_by(receiver.local, sender)))
            return
        back = self.link(target, end.host)
        if back is None:
            end.refuse((plain(ip), port))
        else:
            back.throw(end.refuse, (plain(ip), port), b"")
