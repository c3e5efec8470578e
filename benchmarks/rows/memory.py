"""What a pending timer holds, what stays when all are cancelled, and what an idle connection holds, in bytes.

Counted from outside, so that an object, a C allocation and an arena weigh the same: the process's anonymous
memory (``/proc/self/smaps_rollup``) after ``malloc_trim``, before and after, divided by 200,000 timers. One callback
serves all; the list that holds the handles exists before, so it is nobody's cost. A connection has been read from and
answered once, as those of a real server have. Its protocol is counted too; the kernel's share is not.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

from benchmarks.bench import Bench, nothing, run_until_readable
from benchmarks.jobs import Job, bind
from benchmarks.registry import AsCheapAsAny, AtMost, Group, Measured, Unavailable, row

TIMERS = 200_000
IDLE = 9_000
SPARE_DESCRIPTORS = 100
CLIENTS = """
import socket, sys
clients = []
for _ in range(int(sys.argv[2])):
    clients.append(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
    clients[-1].send(b"hello")
    clients[-1].recv(5)
print("connected", flush=True)
sys.stdin.read()
"""
ROLLUP = Path("/proc/self/smaps_rollup")


@row("bytes a pending timer", "bytes", Group.MEMORY, AtMost(200), resolution=8)
def timer_bytes(bench: Bench) -> Measured:
    pending, left = timer_memory(bench)
    return Measured(pending, {"left": left})


@row(
    "bytes left a timer after cancel",
    "bytes",
    Group.MEMORY,
    AtMost(0),
    relative=False,
    resolution=2,
    variables={"PYTHONMALLOC": "malloc"},
)
def timer_bytes_left(bench: Bench) -> Measured:
    """With C's malloc under Python: Python's own keeps some 3 MB of free pools here, which are no loop's."""
    pending, left = timer_memory(bench)
    return Measured(left, {"pending": pending})


def timer_memory(bench: Bench) -> tuple[float, float]:
    """Bytes a timer while all are pending, and after all were cancelled and dropped."""
    in_use = memory_gauge()
    loop = bench.new_event_loop()
    handles: list[asyncio.TimerHandle | None] = [None] * TIMERS

    async def schedule(count: int) -> None:
        for index in range(count):
            handles[index] = loop.call_later(3600 + index % 997, nothing)

    async def cancel(count: int) -> None:
        for index in range(count):
            handle, handles[index] = handles[index], None
            assert handle is not None
            handle.cancel()

    async def settle() -> None:
        for _ in range(3):
            await asyncio.sleep(0.001)
        gc.collect()

    def run(count: int) -> tuple[int, int]:
        loop.run_until_complete(schedule(count))
        pending = in_use()
        loop.run_until_complete(cancel(count))
        loop.run_until_complete(settle())
        return pending, in_use()

    try:
        run(100)  # whatever a first timer brings along
        before = in_use()
        pending, left = run(TIMERS)
    finally:
        loop.close()
    return (pending - before) / TIMERS, (left - before) / TIMERS


def memory_gauge() -> Callable[[], int]:
    """A function that says how many anonymous bytes the process holds, after giving back what malloc can."""
    if not ROLLUP.exists():
        raise Unavailable(f"needs {ROLLUP} (Linux)")
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)

    def in_use() -> int:
        if trim is not None:
            trim(0)
        found = re.search(r"^Anonymous:\s+(\d+) kB$", ROLLUP.read_text(), re.MULTILINE)
        if found is None:
            raise Unavailable(f"{ROLLUP} does not count anonymous memory")
        return int(found[1]) * 1024

    return in_use


class Answering(asyncio.Protocol):
    """As small as a protocol that answers can be."""

    __slots__ = ("transport",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


@row(f"bytes an idle connection ({IDLE:,} of them)", "bytes", Group.MEMORY, AtMost(850), AsCheapAsAny(), resolution=20)
def connection_bytes(bench: Bench) -> Measured:
    """Fewer connections where not so many descriptors are allowed; the details say how many."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    count = min(bench.count(IDLE), limit - SPARE_DESCRIPTORS)
    in_use = memory_gauge()
    loop = bench.new_event_loop()
    sock = bind(Job())
    port = sock.getsockname()[1]  # some loops take the socket away
    server = loop.run_until_complete(loop.create_server(Answering, sock=sock))

    def hold(connections: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-S", "-c", CLIENTS, str(port), str(connections)]
        clients = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert clients.stdout is not None
        run_until_readable(loop, clients.stdout.fileno())
        gc.collect()
        return clients

    held = [hold(10)]  # whatever the first connections bring along
    before = in_use()
    held.append(hold(count))
    used = in_use() - before
    for clients in held:
        clients.kill()
    del server
    return Measured(used / count, {"connections": count})
