"""Bytes in and out: CPU a request of the server's process, under a load generator on another core.

The row's process is the server; the generator (``load/echo.c``) runs beside it and reads this process's CPU from
schedstat while it is idle, before and after. It spins, so a busy server never sleeps. The garbage collector is left
as Python sets it.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from typing import cast

from benchmarks.bench import Bench
from benchmarks.load import build
from benchmarks.registry import Group, Measured, Times, Unavailable, row


class Echo(asyncio.Protocol):
    """Writes back what it reads."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.write = cast(asyncio.Transport, transport).write  # uvloop's are not subclasses

    def data_received(self, data: bytes) -> None:
        self.write(data)


@row("protocol echo, 1 KiB, 100 connections", "µs", Group.NETWORK, Times(1.0, "asyncio-trim"))
def protocol_echo(bench: Bench) -> Measured:
    return serve(bench, Echo, connections=100, size=1024)


def serve(
    bench: Bench, protocol: Callable[[], asyncio.BaseProtocol], *, connections: int, size: int, depth: int = 1
) -> Measured:
    """CPU µs a request of this process, as an echo server, with ``depth`` messages in flight a connection."""
    if bench.load_core is None:
        raise Unavailable("needs a second core for the load generator")
    program = build("echo")
    loop = bench.new_event_loop()
    try:
        server = loop.run_until_complete(loop.create_server(protocol, "127.0.0.1", 0, backlog=1024))
        options = {
            "port": server.sockets[0].getsockname()[1],
            "connections": connections,
            "size": size,
            "depth": depth,
            "seconds": 2 * bench.scale,
            "pid": os.getpid(),
            "core": bench.load_core,
        }
        result = under_load(loop, [str(program), *(f"--{name}={value}" for name, value in options.items())])
    finally:
        loop.close()
    result["server_busy"] = round(result["server_cpu_ns"] / result["seconds"] / 1e9, 3)
    return Measured(result["server_cpu_ns"] / result["requests"] / 1000, result)


def under_load(loop: asyncio.AbstractEventLoop, command: list[str]) -> dict[str, float]:
    """Run the loop until the load generator has said its piece, and return that."""
    load = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert load.stdout is not None
    loop.add_reader(load.stdout.fileno(), loop.stop)
    try:
        loop.run_forever()
    finally:
        loop.remove_reader(load.stdout.fileno())
        output, errors = load.communicate(timeout=10)
    if load.returncode:
        raise RuntimeError(f"the load generator failed: {errors.strip()}")
    result: dict[str, float] = json.loads(output)
    return result
