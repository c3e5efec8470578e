"""The ceiling: ``load/server.c``, in a process of its own on the server's core."""

from __future__ import annotations

import os
import select
import socket
import subprocess

from benchmarks.foreign import Load, foreign, only
from benchmarks.jobs import Job, certificate
from benchmarks.load import build


@foreign
def serve(job: Job, sock: socket.socket, load: Load) -> None:
    only(job, "tcp", "unix", "udp", "tls")
    with_tls = job.transport == "tls"
    core = min(os.sched_getaffinity(0))
    command = [str(build("server", tls=with_tls)), f"--fd={sock.fileno()}", f"--core={core}"]
    command += ["--udp"] * (job.transport == "udp") + [f"--tls={certificate()}"] * with_tls
    with subprocess.Popen(command, pass_fds=[sock.fileno()], stdin=subprocess.PIPE, start_new_session=True) as server:
        select.select([load(server.pid)], [], [])
        server.kill()
