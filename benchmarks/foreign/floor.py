"""The floor of any Python loop: ``load/floor.c``, a C loop that calls a Python protocol."""

from __future__ import annotations

import os
import socket

from benchmarks.foreign import Load, foreign, only
from benchmarks.jobs import Job
from benchmarks.load import load_extension
from benchmarks.servers import Echo


@foreign
def serve(job: Job, sock: socket.socket, load: Load) -> None:
    only(job, "tcp", "unix")
    load_extension("floor").serve(sock.fileno(), load(os.getpid()), Echo)
