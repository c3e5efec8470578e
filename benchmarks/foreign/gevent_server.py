"""gevent: a greenlet a connection."""

from __future__ import annotations

import os
import socket

import gevent.socket
from gevent.server import StreamServer

from benchmarks.foreign import Load, foreign, only
from benchmarks.jobs import Job


def echo(connection: gevent.socket.socket, address: object) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while data := connection.recv(1 << 16):
            connection.sendall(data)
    except ConnectionError:
        pass


@foreign
def serve(job: Job, sock: socket.socket, load: Load) -> None:
    only(job, "tcp")
    server = StreamServer(gevent.socket.socket(fileno=sock.detach()), echo)
    server.start()
    gevent.socket.wait_read(load(os.getpid()))
    server.stop(timeout=0)
