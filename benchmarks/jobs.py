"""What an echo server is asked to do, and the socket it is given for it.

The socket is bound here, in the same way for everyone, so that no loop is measured on its choice of a backlog or a
buffer size. Who answers on it: ``servers`` for asyncio's loops, ``foreign`` for everybody else.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.registry import Unavailable

BACKLOG = 4096
RECEIVE_BUFFER = 4 << 20
"""Of a datagram server: the kernel's default is too small for one datagram of 1 KiB from each of 100 clients."""


@dataclass(frozen=True)
class Job:
    """Echo ``size`` bytes over ``connections``, ``depth`` messages in flight on each.

    ``transport`` is tcp, unix, udp or tls; ``style`` how the program is written: protocol, buffered, streams or sock.
    ``rate`` is messages a second over all connections, at set times; 0: as fast as they are answered.
    """

    transport: str = "tcp"
    style: str = "protocol"
    connections: int = 100
    size: int = 1024
    depth: int = 1
    rate: float = 0.0


def bind(job: Job) -> socket.socket:
    """A socket that does not block, listening unless it is for datagrams."""
    if job.transport == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(f"{tempfile.mkdtemp(prefix='fate-bench-')}/echo")
    else:
        # Named by its protocol, as getaddrinfo would: asyncio sets TCP_NODELAY only on sockets that say they are TCP.
        kind, protocol = (
            (socket.SOCK_DGRAM, socket.IPPROTO_UDP)
            if job.transport == "udp"
            else (socket.SOCK_STREAM, socket.IPPROTO_TCP)
        )
        sock = socket.socket(socket.AF_INET, kind, protocol)
        sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    if job.transport == "udp":
        force = getattr(socket, "SO_RCVBUFFORCE", 33)
        try:
            sock.setsockopt(socket.SOL_SOCKET, force, RECEIVE_BUFFER)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    else:
        sock.listen(BACKLOG)
    return sock


def load_options(job: Job, sock: socket.socket) -> list[str]:
    """For the load generator."""
    address = sock.getsockname()
    options = [f"--connections={job.connections}", f"--size={job.size}", f"--depth={job.depth}", f"--rate={job.rate}"]
    if job.transport == "unix":
        return [*options, f"--unix={address}"]
    options.append(f"--port={address[1]}")
    return options + [f"--{job.transport}"] * (job.transport in ("udp", "tls"))


def certificate() -> Path:
    """A PEM file with a new self-made certificate for localhost (an elliptic curve's) and its key.

    Raises Unavailable without the package trustme.
    """
    try:
        import trustme
    except ImportError as error:
        raise Unavailable(f"no certificate for TLS: {error}") from error
    file = Path(tempfile.mkdtemp(prefix="fate-bench-")) / "certificate.pem"
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(file))
    return file


def server_context(file: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(str(file))
    return context
