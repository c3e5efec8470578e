"""Twisted on its epoll reactor."""

from __future__ import annotations

import os
import socket

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.protocol import Factory, Protocol

from benchmarks.foreign import Load, foreign, only
from benchmarks.jobs import Job


class Echo(Protocol):
    def connectionMade(self) -> None:  # noqa: N802
        self.transport.setTcpNoDelay(True)
        self.write = self.transport.write

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        self.write(data)


@foreign
def serve(job: Job, sock: socket.socket, load: Load) -> None:
    only(job, "tcp")
    reactor = EPollReactor()
    reactor.adoptStreamPort(sock.fileno(), socket.AF_INET, Factory.forProtocol(Echo))
    stop = load(os.getpid())

    class Stopper:
        def fileno(self) -> int:
            return stop

        def doRead(self) -> None:  # noqa: N802
            reactor.removeReader(self)
            reactor.stop()

        def connectionLost(self, reason: object) -> None:  # noqa: N802
            pass

        def logPrefix(self) -> str:  # noqa: N802
            return "load"

    reactor.addReader(Stopper())
    reactor.run(installSignalHandlers=False)
