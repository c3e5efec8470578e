"""Bytes in and out: CPU a request of the server's process, under a load generator on another core.

The row's process is the server; the generator (``load/echo.c``) runs beside it and reads this process's CPU from
schedstat while it is idle, before and after. It spins, so a busy server never sleeps. All loops' servers are there at
the same time and are asked in turn, a tenth of a second each, many times: what the machine's neighbours do meets all
alike. The garbage collector is left as Python sets it.

Each job is measured twice: as it is, and "without the artefact" in a process that frees one block of 8 MB first. glibc
then stops mapping and unmapping a large buffer a message, which is most of what stock asyncio pays for a ``recv`` of
256 KiB.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from benchmarks import servers
from benchmarks.bench import Bench, pin, run_until_readable, take_precedence
from benchmarks.jobs import Job, bind, load_options
from benchmarks.load import build
from benchmarks.registry import AsCheapAsAny, Group, Measured, Row, Target, Times, Unavailable, add

LARGE_BLOCK = 8 << 20
TURN = 0.1
"""Seconds that a server is asked before it is the next one's turn."""
FLOOR = Times(0.926, "floor")
"""Within 8 % of a C loop that calls a Python protocol."""

LATENCY_RATE = 10_000


class Measure(Protocol):
    """Measures a row; ``trim``: without the artefact."""

    def __call__(self, bench: Bench, *, trim: bool) -> Measured: ...


def add_twice(
    name: str,
    title: str,
    measure: Measure,
    targets: tuple[Target, ...],
    trimmed_targets: tuple[Target, ...] | None = None,
    of_turn: Callable[[Mapping[str, Any]], float] | None = None,
) -> None:
    """The row, and the row without the artefact, which has the same targets if no others are given.

    The quick mode has the second only where its targets are its own.
    """
    other = targets if trimmed_targets is None else trimmed_targets
    quick = trimmed_targets is not None
    whole, trimmed = partial(measure, trim=False), partial(measure, trim=True)
    row = partial(Row, unit="µs", group=Group.NETWORK, of_turn=of_turn)
    add(row(name, title, measure=whole, targets=(*targets, AsCheapAsAny())))
    add(row(f"{name}-trimmed", f"{title} *", measure=trimmed, targets=(*other, AsCheapAsAny()), quick=quick))


def job_row(
    name: str, title: str, job: Job, *targets: Target, trimmed_targets: tuple[Target, ...] | None = None
) -> None:
    add_twice(name, title, partial(measure, job, cpu), targets, trimmed_targets, cpu)


def measure(job: Job, value: Callable[[Mapping[str, Any]], float], bench: Bench, *, trim: bool = False) -> Measured:
    result = serve(bench, job, trim=trim)
    return Measured(value(result), result)


def cpu(found: Mapping[str, Any]) -> float:
    """CPU µs a request of the server."""
    return float(found["server_cpu_ns"] / found["requests"] / 1000)


def latency(share: str, found: Mapping[str, Any]) -> float:
    """Microseconds."""
    return float(found["latency_us"][share])


def serve(bench: Bench, job: Job, *, trim: bool) -> dict[str, Any]:
    """Serve ``job`` on the bench's loop under load; what the load generator found."""
    if bench.load_core is None:
        raise Unavailable("needs a second core for the load generator")
    if trim:
        bytearray(LARGE_BLOCK)
    sock = bind(job)
    options = [*load_options(job, sock), f"--seconds={TURN}"]
    load = LoadGenerator([str(build("echo", tls=job.transport == "tls")), *options], bench.load_core, bench.turns)
    if getattr(bench.new_event_loop, "foreign", False):
        bench.new_event_loop(job, sock, load.start)  # type: ignore[call-arg]
    else:
        serve_on_loop(bench.new_event_loop(), job, sock, load)
    result: dict[str, Any] = json.loads(load.output())
    return result


def serve_on_loop(loop: asyncio.AbstractEventLoop, job: Job, sock: socket.socket, load: LoadGenerator) -> None:
    asyncio.set_event_loop(loop)
    serving = loop.run_until_complete(servers.start(loop, job, sock))
    run_until_readable(loop, load.start(os.getpid()))
    del serving  # the process ends after this; closing a thousand connections politely measures nothing


class LoadGenerator:
    """The process that asks, on a core of its own, and its findings.

    turns: a descriptor on which it is told when to ask; it asks once if there is none.
    """

    def __init__(self, command: list[str], core: int, turns: int | None = None) -> None:
        self.command = command if turns is None else [*command, f"--turns={turns}"]
        self.core = core
        self.inherited = () if turns is None else (turns,)
        self.process: subprocess.Popen[str] | None = None

    def start(self, server: int | None = None) -> int:
        """Begin to ask; a descriptor that is readable at the end. ``server``: the process whose CPU time to read."""
        command = self.command if server is None else [*self.command, f"--pid={server}"]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            pass_fds=self.inherited,
            preexec_fn=self.settle,
        )
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def settle(self) -> None:
        pin(self.core)
        take_precedence()

    def output(self) -> str:
        assert self.process is not None
        output, errors = self.process.communicate(timeout=10)
        if self.process.returncode:
            raise RuntimeError(f"the load generator failed: {errors.strip()}")
        return output


ECHO = Job()
job_row("protocol-10", "protocol echo, 1 KiB, 10 connections", Job(connections=10), Times(1.12), FLOOR)
job_row("protocol-100", "protocol echo, 1 KiB, 100 connections", ECHO, Times(1.12), FLOOR)
job_row("protocol-1000", "protocol echo, 1 KiB, 1000 connections", Job(connections=1000), Times(1.12), FLOOR)
job_row("protocol-10k", "protocol echo, 10 KiB, 100 connections", Job(size=10 << 10), Times(1.1))
job_row("protocol-100k", "protocol echo, 100 KiB, 10 connections", Job(size=100 << 10, connections=10), Times(1.1))
job_row("pipeline", "16-deep pipeline, 1 KiB, 100 connections", Job(depth=16), Times(1.1))
job_row("buffered", "buffered protocol echo, 1 KiB, 100 connections", Job(style="buffered"), Times(1.1))
job_row("streams", "streams echo, 1 KiB, 100 connections", Job(style="streams"), Times(1.2))
job_row(
    "sock",
    "sock_recv (1 MB) and sock_sendall, 1 KiB, 100 connections",
    Job(style="sock"),
    Times(3.2),
    trimmed_targets=(Times(1.4),),
)
job_row("udp", "UDP echo, 1 KiB, 100 clients", Job(transport="udp"), Times(1.25))
job_row("unix", "Unix socket echo, 1 KiB, 100 connections", Job(transport="unix"), Times(1.2))
job_row("tls", "TLS echo, 1 KiB, 100 connections", Job(transport="tls"), Times(2.4), trimmed_targets=(Times(1.1),))
job_row("one-connection", "protocol echo, 1 KiB, one connection", Job(connections=1))
AT_A_RATE = Job(rate=LATENCY_RATE, depth=64)
for share in ("p50", "p99"):
    add(
        Row(
            f"latency-{share}",
            f"{share} latency, {LATENCY_RATE:,} requests/s, 100 connections",
            "µs",
            Group.NETWORK,
            partial(measure, AT_A_RATE, partial(latency, share)),
            targets=(AsCheapAsAny(),),
            of_turn=partial(latency, share),
        )
    )
