"""Those who are no event loop of asyncio's: one module each, with its own echo server.

A module here offers ``serve(job, sock, load)``, with ``serve.foreign = True``: be ready to answer on the socket, call
``load(pid)``, with the id of the process that serves, which starts the load generator and returns a descriptor, and
serve until that descriptor is readable. Unavailable is raised for a job that there is no server for.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

from benchmarks.jobs import Job
from benchmarks.registry import Unavailable

Load = Callable[[int], int]


class Serve(Protocol):
    foreign: bool

    def __call__(self, job: Job, sock: socket.socket, load: Load) -> None: ...


def foreign(serve: Callable[[Job, socket.socket, Load], None]) -> Serve:
    """Marks a server as no factory of event loops."""
    serve.foreign = True  # type: ignore[attr-defined]
    return serve  # type: ignore[return-value]


def only(job: Job, *transports: str) -> None:
    """Raise Unavailable unless it is the plain protocol server on one of ``transports``."""
    if job.style != "protocol" or job.transport not in transports:
        raise Unavailable("no such server here")
