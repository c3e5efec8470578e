"""Names of hosts in a universe: `getaddrinfo` and its kin, answered from the universe's own table.

"localhost" and numeric addresses are known everywhere; each host of the universe is known by its name. Nobody outside
is ever asked.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fate.sim import world

if TYPE_CHECKING:
    from fate.sim.network import Machine

LOCALHOSTS = ("localhost", "localhost.localdomain", "ip6-localhost")
KINDS = ((socket.SOCK_STREAM, socket.IPPROTO_TCP), (socket.SOCK_DGRAM, socket.IPPROTO_UDP), (socket.SOCK_RAW, 0))


def family_of(text: str) -> int:
    """AF_INET or AF_INET6 for a numeric address, 0 for anything else."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text.partition("%")[0])
        except (OSError, ValueError):
            continue
        return family
    return 0


def addresses(machine: Machine, host: str) -> list[tuple[int, str]]:
    """What `host` is: (family, address) pairs, IPv6 first, as Linux sorts them. Empty: nobody knows it."""
    family = family_of(host)
    if family:
        return [(family, host)]
    with suppress(OSError, ValueError):
        return [(socket.AF_INET, socket.inet_ntoa(socket.inet_aton(host)))]  # such as "127.1"
    name = host.rstrip(".").lower()
    if name in LOCALHOSTS:
        return [(socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")]
    known = {key.lower(): found for key, found in machine.network.machines.items()}.get(name)
    if known is None:
        return []
    if known is machine and name == "main":  # every machine knows itself
        return [(socket.AF_INET, known.ipv4)]
    return [(socket.AF_INET, known.ipv4), (socket.AF_INET6, known.ipv6)]


def unknown(host: object) -> socket.gaierror:
    """The error that says that nobody knows `host`."""
    return socket.gaierror(socket.EAI_NONAME, f"Name or service not known: the universe has no host {host!r}")


def look_up(
    machine: Machine, host: Any, port: Any, family: int = 0, kind: int = 0, proto: int = 0, flags: int = 0
) -> list[tuple[Any, ...]]:
    """`socket.getaddrinfo`, as `machine` would be answered. Raises socket.gaierror."""
    if isinstance(host, (bytes, bytearray)):
        host = host.decode("ascii")
    if isinstance(port, bytes):
        port = port.decode("ascii")
    if host is None or host == "":
        passive = bool(flags & socket.AI_PASSIVE) or host == ""
        found = [(2, "0.0.0.0"), (10, "::")] if passive else [(10, "::1"), (2, "127.0.0.1")]
        found = [(socket.AF_INET if number == 2 else socket.AF_INET6, ip) for number, ip in found]
    else:
        if flags & socket.AI_NUMERICHOST and not family_of(host):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = addresses(machine, host)
    found = [entry for entry in found if family in (0, entry[0])]
    if not found:
        if host is not None and family_of(host):
            raise socket.gaierror(socket.EAI_ADDRFAMILY, "Address family for hostname not supported")
        raise unknown(host)
    number = _port(port)
    kinds = [pair for pair in KINDS if kind in (0, pair[0]) and (proto in (0, pair[1]) or pair[1] == 0)]
    if kind and not kinds:
        raise socket.gaierror(socket.EAI_SOCKTYPE, "ai_socktype not supported")
    canonical = str(host) if flags & socket.AI_CANONNAME and host else ""
    return [
        (
            socket.AddressFamily(entry[0]),
            socket.SocketKind(pair[0]),
            pair[1] or proto,
            canonical,
            (entry[1], number) if entry[0] == socket.AF_INET else (entry[1], number, 0, 0),
        )
        for entry in found
        for pair in kinds
    ]


def _port(port: Any) -> int:
    if port is None or port == "":
        return 0
    if isinstance(port, int):
        return port
    if port.isdigit():
        return int(port)
    try:
        return socket.getservbyname(port)
    except OSError:
        raise socket.gaierror(socket.EAI_SERVICE, "Servname not supported for ai_socktype") from None


def resolve(machine: Machine, family: int, address: Any, call: str) -> tuple[Any, ...]:
    """The numeric form of what a program gave to `bind`, `connect` or `sendto`. Raises as `socket` does."""
    if not isinstance(address, tuple):
        raise TypeError(f"{call}(): AF_INET address must be tuple, not {type(address).__name__}")
    if len(address) < 2 or len(address) > (2 if family == socket.AF_INET else 4):
        raise TypeError(f"{call}(): wrong number of arguments in the address {address!r}")
    host, port = address[0], address[1]
    if isinstance(host, (bytes, bytearray)):
        host = host.decode("ascii")
    if not isinstance(port, int):
        raise TypeError(f"an integer is required for the port, not {port!r}")
    if not 0 <= port <= 65535:
        raise OverflowError(f"{call}(): port must be 0-65535.")
    if host == "":
        ip = "0.0.0.0" if family == socket.AF_INET else "::"
    elif host == "<broadcast>":
        ip = "255.255.255.255"
    elif (family == socket.AF_INET) == (host[:1].isdigit() and ":" not in host) and family_of(host) == family:
        ip = host
    else:
        found = [entry for entry in addresses(machine, host) if entry[0] == family]
        if not found:
            if family_of(host):
                raise socket.gaierror(socket.EAI_ADDRFAMILY, "Address family for hostname not supported")
            raise unknown(host)
        ip = found[0][1]
    if family == socket.AF_INET:
        return (ip, port)
    return (ip, port, *(address[2:] + (0, 0))[:2])


# -- what a program may call as a function of the module `socket` ---------------------------------------------------


def getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> list[Any]:
    """As `socket.getaddrinfo`, answered by the universe."""
    here = world.current
    assert here is not None
    here.host.ask_names(str(host))
    return look_up(here.host.machine, host, port, family, type, proto, flags)


def gethostbyname(name: str) -> str:
    """As `socket.gethostbyname`, answered by the universe."""
    address: str = getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
    return address


def gethostbyname_ex(name: str) -> tuple[str, list[str], list[str]]:
    """As `socket.gethostbyname_ex`, answered by the universe."""
    return name, [], [entry[4][0] for entry in getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)]


def gethostbyaddr(address: str) -> tuple[str, list[str], list[str]]:
    """As `socket.gethostbyaddr`, answered by the universe."""
    here = world.current
    assert here is not None
    ip = gethostbyname(address) if not family_of(address) else address
    if ip.startswith("127.") or ip == "::1":
        return "localhost", [], [ip]
    machine = here.network.by_address.get(ip)
    if machine is None:
        raise socket.herror(1, "Unknown host")
    return machine.name, [], [ip]


def gethostname() -> str:
    """The name of the host that runs now."""
    here = world.current
    assert here is not None
    return here.host.name


def getnameinfo(address: tuple[Any, ...], flags: int) -> tuple[str, str]:
    """As `socket.getnameinfo`, answered by the universe."""
    host = str(address[0])
    if not flags & socket.NI_NUMERICHOST:
        try:
            host = gethostbyaddr(host)[0]
        except socket.herror:
            if flags & socket.NI_NAMEREQD:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None
    return host, str(address[1])
