"""Scripts of socket calls: what they can say, who writes them, and what running one gives.

A script is a list of steps, a step the name of a method of `Player` and small integers; sockets are told by number, so
any list of steps is a script. `Player.play` runs one on whatever `socket` and `select` are at the moment: the real
kernel's, or a universe's. Ports, descriptors and paths are told by the order in which they appear, so that two runs can
be compared. After each step every open socket is polled, and that is part of what the step gave.

Nothing here compares: `fidelity.py` does.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

Step = tuple[Any, ...]
PATIENCE = 0.004  # seconds: the timeout of a socket that waits
POLLED = select.POLLIN | select.POLLOUT | select.POLLPRI | getattr(select, "POLLRDHUP", 0)
FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
HOSTS = {
    socket.AF_INET: ("127.0.0.1", "0.0.0.0", "", "127.0.0.2", "localhost", "192.0.2.99", "::1", "bad name", "1.2.3"),
    socket.AF_INET6: ("::1", "::", "", "::ffff:127.0.0.1", "::1", "2001:db8::1", "127.0.0.1", "bad name", ":::"),
}
ELSEWHERE = ("192.0.2.99", "2001:db8::1", "1.2.3")  # where that leads, and whether it does, the real network knows
NOBODYS_PORT = 1
FULL_STREAM = "a full stream"
OPTIONS = {
    "REUSEADDR": (socket.SOL_SOCKET, socket.SO_REUSEADDR),
    "REUSEPORT": (socket.SOL_SOCKET, socket.SO_REUSEPORT),
    "KEEPALIVE": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "BROADCAST": (socket.SOL_SOCKET, socket.SO_BROADCAST),
    "TYPE": (socket.SOL_SOCKET, socket.SO_TYPE),
    "DOMAIN": (socket.SOL_SOCKET, socket.SO_DOMAIN),
    "PROTOCOL": (socket.SOL_SOCKET, socket.SO_PROTOCOL),
    "ERROR": (socket.SOL_SOCKET, socket.SO_ERROR),
    "ACCEPTCONN": (socket.SOL_SOCKET, socket.SO_ACCEPTCONN),
    "OOBINLINE": (socket.SOL_SOCKET, socket.SO_OOBINLINE),
    "NODELAY": (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    "V6ONLY": (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY),
    "TTL": (socket.IPPROTO_IP, socket.IP_TTL),
    "NONSENSE": (socket.SOL_SOCKET, 9999),
}
OPTION_NAMES = tuple(OPTIONS)
SETTABLE = ("REUSEADDR", "REUSEPORT", "KEEPALIVE", "BROADCAST", "NODELAY", "V6ONLY", "TTL", "TYPE", "NONSENSE")
FLAGS = (0, 0, 0, socket.MSG_PEEK, socket.MSG_DONTWAIT, socket.MSG_WAITALL, socket.MSG_NOSIGNAL)
SIZES = (1, 2, 5, 10, 100, 0, 1000)


class Player:
    """Runs one script.

    folder: where Unix sockets' paths are. settle: seconds to wait after each step, for a kernel that is slow to tell.
    """

    def __init__(self, folder: Path, settle: float = 0.0) -> None:
        self.folder = folder
        self.settle = settle
        self.sockets: list[socket.socket] = []
        self.ports: dict[int, str] = {}
        self.letters = 0

    def play(self, script: list[Step]) -> list[Any]:
        """What each step gave."""
        outcomes = []
        try:
            for name, *arguments in script:
                before = len(self.sockets)
                try:
                    result = self.told(getattr(self, name)(*arguments))
                except OSError as error:
                    result = (type(error).__name__, error.errno)
                except Exception as error:  # whatever it is, it is compared
                    result = (type(error).__name__, None)
                if self.settle:
                    time.sleep(self.settle)
                outcomes.append((result, self.ready(), len(self.sockets) - before))
        finally:
            for sock in self.sockets:
                sock.close()
            for path in self.folder.iterdir():
                path.unlink()
        return outcomes

    # -- what is compared -----------------------------------------------------------------------------------------

    def told(self, thing: Any) -> Any:
        """`thing` with ports and paths by the order in which they appeared."""
        if isinstance(thing, socket.socket):
            return "a socket"
        if (
            isinstance(thing, tuple)
            and len(thing) in (2, 4)
            and isinstance(thing[0], str)
            and isinstance(thing[1], int)
        ):
            if thing[1] in (0, NOBODYS_PORT) or thing[0] == "full":
                return thing
            return (thing[0], self.ports.setdefault(thing[1], f"port {len(self.ports)}"), *thing[2:])
        if isinstance(thing, (list, tuple)):
            return type(thing)(self.told(part) for part in thing)
        if isinstance(thing, bytes) and thing[:6] == b"\0fate-":
            return b"abstract " + thing[-1:]
        if isinstance(thing, str):
            return thing.replace(str(self.folder), "folder")
        return thing

    def ready(self) -> list[int]:
        """What every open socket is ready for."""
        poll = select.poll()
        numbers = [sock.fileno() for sock in self.sockets]
        for number in numbers:
            if number >= 0:
                poll.register(number, POLLED)
        ready = dict(poll.poll(0))
        return [-1 if number < 0 else ready.get(number, 0) for number in numbers]

    # -- arguments ------------------------------------------------------------------------------------------------

    def pick(self, number: int) -> socket.socket:
        if not self.sockets:
            self.sockets.append(self.quiet(socket.socket()))
        return self.sockets[number % len(self.sockets)]

    def quiet(self, sock: socket.socket) -> socket.socket:
        sock.setblocking(False)
        return sock

    def keep(self, *socks: socket.socket) -> str:
        self.sockets.extend(map(self.quiet, socks))
        return "made"

    def bytes(self, size: int) -> bytes:
        self.letters += 1
        return bytes([97 + self.letters % 26]) * size

    def address(self, sock: socket.socket, host: int, port: int) -> Any:
        """Somewhere to bind `sock` to, or to connect it to. port: 0: any; 1: nobody's; else that of a socket."""
        if sock.family == socket.AF_UNIX:
            name = f"{host % 3}"
            if port % 4 == 3:
                return f"\0fate-{os.getpid()}-{name}"
            return str(self.folder / name)
        hosts = HOSTS[sock.family]
        return (hosts[host % len(hosts)], self.port(port))

    def port(self, number: int) -> int:
        if number in (0, NOBODYS_PORT):
            return number
        known = list(self.ports)
        return known[number % len(known)] if known else 0

    def where(self, number: int) -> Any:
        """The address of a socket."""
        sock = self.pick(number)
        try:
            address = sock.getsockname()
            self.told(address)
        except OSError:
            return ("127.0.0.1", NOBODYS_PORT)
        return address if address else str(self.folder / "nobody")

    # -- steps: making sockets ------------------------------------------------------------------------------------

    def new(self, family: int, kind: int) -> str:
        return self.keep(socket.socket(FAMILIES[family], KINDS[kind]))

    def listener(self, family: int, backlog: int) -> str:
        sock = socket.socket(FAMILIES[family])
        self.sockets.append(self.quiet(sock))
        sock.bind(self.address(sock, 0, 0))
        self.told(sock.getsockname())
        sock.listen(backlog)
        return "made"

    def connected(self, family: int, kind: int) -> str:
        """Two ends of one connection; of TCP, and without the listener."""
        if FAMILIES[family] == socket.AF_UNIX:
            return self.keep(*socket.socketpair(socket.AF_UNIX, KINDS[kind]))
        home = (HOSTS[FAMILIES[family]][0], 0)
        one, two = socket.socket(FAMILIES[family], KINDS[kind]), socket.socket(FAMILIES[family], KINDS[kind])
        one.bind(home)
        self.told(one.getsockname())
        if KINDS[kind] == socket.SOCK_DGRAM:
            two.bind(home)
            self.told(two.getsockname())
            two.connect(one.getsockname())
            one.connect(two.getsockname())
            return self.keep(one, two)
        one.listen()
        two.connect(one.getsockname())
        server, address = one.accept()
        one.close()
        self.told(address)
        return self.keep(server, two)

    def pair(self, family: int, kind: int) -> str:
        """`socketpair`."""
        if FAMILIES[family] != socket.AF_UNIX:
            family = 2
        return self.keep(*socket.socketpair(FAMILIES[family], KINDS[kind]))

    def accept(self, number: int) -> Any:
        sock, address = self.pick(number).accept()
        result = (sock.getblocking(), sock.gettimeout(), sock.family, sock.type, self.told(address))
        self.keep(sock)
        return result

    def dup(self, number: int) -> str:
        return self.keep(self.pick(number).dup())

    def from_detached(self, number: int) -> str:
        return self.keep(socket.socket(fileno=self.pick(number).detach()))

    def from_fd(self, number: int) -> str:
        sock = self.pick(number)
        return self.keep(socket.fromfd(sock.fileno(), sock.family, sock.type))

    # -- steps: names ---------------------------------------------------------------------------------------------

    def bind(self, number: int, host: int, port: int) -> Any:
        sock = self.pick(number)
        return sock.bind(self.address(sock, host, port)) or sock.getsockname()

    def bind_as(self, number: int, other: int) -> Any:
        sock = self.pick(number)
        return sock.bind(self.where(other)) or sock.getsockname()

    def listen(self, number: int, backlog: int) -> Any:
        return self.pick(number).listen(backlog)

    def connect(self, number: int, other: int) -> Any:
        return self.pick(number).connect(self.where(other))

    def connect_ex(self, number: int, other: int) -> Any:
        return self.pick(number).connect_ex(self.where(other))

    def connect_to(self, number: int, host: int, port: int) -> Any:
        sock = self.pick(number)
        address = self.address(sock, host, port)
        if address[0] in ELSEWHERE:
            address = ("", NOBODYS_PORT)
        return sock.connect(address)

    def getsockname(self, number: int) -> Any:
        return self.pick(number).getsockname()

    def getpeername(self, number: int) -> Any:
        return self.pick(number).getpeername()

    # -- steps: bytes ---------------------------------------------------------------------------------------------

    def send(self, number: int, size: int) -> Any:
        return self.pick(number).send(self.bytes(SIZES[size]))

    def sendall(self, number: int, size: int) -> Any:
        return self.pick(number).sendall(self.bytes(SIZES[size]))

    def sendmsg(self, number: int, size: int) -> Any:
        return self.pick(number).sendmsg([self.bytes(SIZES[size]), b"!"])

    def sendto(self, number: int, size: int, other: int) -> Any:
        return self.pick(number).sendto(self.bytes(SIZES[size]), self.where(other))

    def sendto_host(self, number: int, host: int, port: int) -> Any:
        sock = self.pick(number)
        address = self.address(sock, host, port)
        if address[0] in ELSEWHERE:
            address = ("", NOBODYS_PORT)
        return sock.sendto(self.bytes(3), address)

    def recv(self, number: int, size: int, flags: int) -> Any:
        return self.pick(number).recv(SIZES[size], FLAGS[flags])

    def recv_into(self, number: int, size: int, flags: int) -> Any:
        buffer = bytearray(SIZES[size] + 3)
        return self.pick(number).recv_into(buffer, SIZES[size], FLAGS[flags]), bytes(buffer)

    def recvfrom(self, number: int, size: int, flags: int) -> Any:
        return self.pick(number).recvfrom(SIZES[size], FLAGS[flags])

    def recvfrom_into(self, number: int, size: int) -> Any:
        buffer = bytearray(SIZES[size] + 3)
        return self.pick(number).recvfrom_into(buffer, SIZES[size]), bytes(buffer)

    def recvmsg(self, number: int, size: int, flags: int) -> Any:
        data, ancillary, told, address = self.pick(number).recvmsg(SIZES[size], 0, FLAGS[flags])
        return data, ancillary, told, self.told(address)

    def recvmsg_into(self, number: int, size: int) -> Any:
        buffers = [bytearray(2), bytearray(SIZES[size] + 1)]
        size, ancillary, told, address = self.pick(number).recvmsg_into(buffers)
        return size, ancillary, told, self.told(address), bytes(buffers[0]), bytes(buffers[1])

    def fill(self, number: int) -> Any:
        """Send until there is no room, and then have somebody read it all: how much fits is not compared."""
        sock = self.pick(number)
        if sock.type == socket.SOCK_DGRAM and sock.family != socket.AF_UNIX:
            return "datagrams are lost then"
        sock.setblocking(False)
        sent = 0
        try:
            while sent < 64_000_000:
                sent += sock.send(bytes(1000))
        except BlockingIOError:
            return ("full", sent) if sock.type == socket.SOCK_DGRAM else FULL_STREAM
        return "never full"

    def drain(self, number: int) -> Any:
        """Read all there is: how it ends."""
        sock = self.pick(number)
        sock.setblocking(False)
        while sock.recv(100_000):
            pass
        return "end"

    # -- steps: ends ----------------------------------------------------------------------------------------------

    def shutdown(self, number: int, how: int) -> Any:
        return self.pick(number).shutdown(how)

    def close(self, number: int) -> Any:
        return self.pick(number).close()

    def reset(self, number: int) -> Any:
        """Close it so that the other end gets a reset."""
        sock = self.pick(number)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return sock.close()

    # -- steps: options -------------------------------------------------------------------------------------------

    def get(self, number: int, option: int) -> Any:
        return self.pick(number).getsockopt(*OPTIONS[OPTION_NAMES[option]])

    def set(self, number: int, option: int, value: int) -> Any:
        return self.pick(number).setsockopt(*OPTIONS[SETTABLE[option]], value)

    def linger(self, number: int, on: int, seconds: int) -> Any:
        sock = self.pick(number)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", on, seconds))
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)

    def wait(self, number: int, on: int) -> Any:
        """Have its calls wait a moment, or not at all."""
        sock = self.pick(number)
        sock.settimeout(PATIENCE if on else 0.0)
        return sock.getblocking(), sock.timeout == (PATIENCE if on else 0.0)

    def facts(self, number: int) -> Any:
        sock = self.pick(number)
        return sock.family, sock.type, sock.proto, sock.getblocking(), sock.fileno() >= 0

    # -- steps: readiness -----------------------------------------------------------------------------------------

    def select(self, reader: int, writer: int, wait: int) -> Any:
        readers, writers = [self.pick(reader)], [self.pick(writer)]
        found = select.select(readers, writers, readers, PATIENCE * wait)
        return [len(part) for part in found]

    def poll(self, number: int, mask: int) -> Any:
        poll = select.poll()
        poll.register(self.pick(number), (select.POLLIN, select.POLLOUT, select.POLLIN | select.POLLOUT, 0)[mask])
        return [events for _, events in poll.poll(0)]


which = st.integers(0, 7)
family, kind, size = st.integers(0, 2), st.integers(0, 1), st.integers(0, len(SIZES) - 1)
flags, host, port = st.integers(0, len(FLAGS) - 1), st.integers(0, 8), st.integers(0, 7)
backlog = st.sampled_from([0, 1, 2, 5, -1])
MAKING: list[tuple[Callable[..., Any], tuple[Any, ...], int]] = [
    (Player.connected, (family, kind), 5),
    (Player.listener, (family, backlog), 3),
    (Player.new, (family, kind), 3),
    (Player.pair, (family, kind), 1),
]
ACTING: list[tuple[Callable[..., Any], tuple[Any, ...], int]] = [
    *MAKING,
    (Player.accept, (which,), 4),
    (Player.dup, (which,), 1),
    (Player.from_detached, (which,), 1),
    (Player.from_fd, (which,), 1),
    (Player.bind, (which, host, port), 3),
    (Player.bind_as, (which, which), 3),
    (Player.listen, (which, backlog), 3),
    (Player.connect, (which, which), 6),
    (Player.connect_ex, (which, which), 3),
    (Player.connect_to, (which, host, port), 2),
    (Player.getsockname, (which,), 1),
    (Player.getpeername, (which,), 2),
    (Player.send, (which, size), 8),
    (Player.sendall, (which, size), 1),
    (Player.sendmsg, (which, size), 1),
    (Player.sendto, (which, size, which), 4),
    (Player.sendto_host, (which, host, port), 2),
    (Player.recv, (which, size, flags), 8),
    (Player.recv_into, (which, size, flags), 2),
    (Player.recvfrom, (which, size, flags), 3),
    (Player.recvfrom_into, (which, size), 1),
    (Player.recvmsg, (which, size, flags), 1),
    (Player.recvmsg_into, (which, size), 1),
    (Player.fill, (which,), 1),
    (Player.drain, (which,), 2),
    (Player.shutdown, (which, st.integers(-1, 3)), 5),
    (Player.close, (which,), 4),
    (Player.reset, (which,), 2),
    (Player.get, (which, st.integers(0, len(OPTIONS) - 1)), 3),
    (Player.set, (which, st.integers(0, len(SETTABLE) - 1), st.integers(0, 1)), 3),
    (Player.linger, (which, st.integers(0, 1), st.integers(0, 1)), 1),
    (Player.wait, (which, st.integers(0, 1)), 1),
    (Player.facts, (which,), 1),
    (Player.select, (which, which, st.integers(0, 1)), 1),
    (Player.poll, (which, st.integers(0, 3)), 1),
]


def _steps(table: list[tuple[Callable[..., Any], tuple[Any, ...], int]]) -> st.SearchStrategy[Step]:
    weighted = [
        st.tuples(st.just(call.__name__), *arguments) for call, arguments, weight in table for _ in range(weight)
    ]
    return st.one_of(weighted)


SCRIPTS = st.builds(
    list.__add__,
    st.lists(_steps(MAKING), min_size=1, max_size=2),
    st.lists(_steps(ACTING), min_size=8, max_size=40),
)
