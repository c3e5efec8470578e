"""The process that is soaked: servers on one loop, with signals, threads, forks, and too few descriptors at times.

Run by ``soak.py``. It prints its addresses and then, for each line "count" on its standard input, what it has counted
once every connection has gone; it ends with its standard input. The clients are in ``clients.py``.
"""

import argparse
import asyncio
import collections
import ctypes
import errno
import gc
import importlib
import itertools
import json
import os
import random
import re
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from pattern import POUR, pattern

BACKLOG = 4096
CHUNK = 1 << 16
FEW_DESCRIPTORS, SCARCE_SECONDS = 8, 0.3
TICK = 0.01
FAULTS = ("connection_made", "data_received", "eof_received", "connection_lost")
"""A client of the faulty service says by its first byte which callback shall raise; the first of them always may."""


class Deliberate(Exception):
    """Raised on purpose; the loop has to report each, once, and go on."""


counts: collections.Counter[str] = collections.Counter()
unexpected: list[str] = []


def deliberate(where: str) -> Deliberate:
    counts["raised"] += 1
    return Deliberate(where)


class Echo(asyncio.Protocol):
    """Writes back what it reads, and after the end of it closes; what a slow peer leaves unread stops the reading."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        counts["made"] += 1

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        counts["lost"] += 1


class Pouring(Echo):
    """Writes what ``pattern`` says, for as long as the transport lets it, and then closes: POUR bytes in all."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.paused = False
        self.written = 0
        self.pour()

    def pour(self) -> None:
        while not (self.paused or self.transport.is_closing()) and self.written < POUR:
            self.transport.write(pattern(self.written, CHUNK))
            self.written += CHUNK
            counts["most buffered"] = max(counts["most buffered"], self.transport.get_write_buffer_size())
        if self.written >= POUR:
            asyncio.get_running_loop().call_soon(self.transport.close)  # asyncio's must not be closed in resume_writing

    def data_received(self, data: bytes) -> None:
        pass

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.pour()


class Faulty(Echo):
    """Raises where its client asks it to."""

    fault = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if random.random() < 0.1:
            raise deliberate("connection_made")

    def data_received(self, data: bytes) -> None:
        if not self.fault:
            self.fault = FAULTS[data[0] % len(FAULTS)]
        if self.fault == "data_received":
            raise deliberate("data_received")

    def eof_received(self) -> None:
        if self.fault == "eof_received":
            raise deliberate("eof_received")

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        if self.fault == "connection_lost":
            raise deliberate("connection_lost")


class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        counts["datagrams"] += 1
        self.transport.sendto(data, addr)


async def stream_echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    counts["made"] += 1
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        counts["lost"] += 1


def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, Deliberate):
        counts["reported"] += 1
    elif isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        counts["refused for want of descriptors"] += 1
    elif isinstance(error, ConnectionError):
        counts["connection errors reported"] += 1
    else:
        unexpected.append(f"{context.get('message')}: {error!r}")


def calls_from_threads(loop: asyncio.AbstractEventLoop, stop: threading.Event) -> None:
    def count() -> None:
        counts["calls run"] += 1

    made = 0
    while not stop.wait(0.001):
        for _ in range(10):
            loop.call_soon_threadsafe(count)
            made += 1
    loop.call_soon_threadsafe(counts.update, {"calls made": made})


async def faults() -> None:
    """Exceptions in callbacks that are no protocol's."""
    loop = asyncio.get_running_loop()

    def fail(where: str) -> None:
        raise deliberate(where)

    def fail_as_reader() -> None:
        loop.remove_reader(ours)
        raise deliberate("reader")

    while True:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            loop.call_soon(fail, "call_soon")
            loop.call_later(0.001, fail, "call_later")
            theirs.send(b"x")
            loop.add_reader(ours, fail_as_reader)
            await asyncio.sleep(0.05)
            loop.remove_reader(ours)


async def children() -> None:
    """Children by asyncio, and by a bare fork."""
    while True:
        try:
            process = await asyncio.create_subprocess_exec("/bin/sh", "-c", "exit 7")
            if await process.wait() != 7:
                unexpected.append(f"a child's exit status was lost: {process.returncode}")
            counts["children"] += 1
            if not (child := os.fork()):
                os._exit(0)
            os.waitpid(child, 0)
            counts["forks"] += 1
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                unexpected.append(f"a child could not be started: {error!r}")
        await asyncio.sleep(0.1)


async def scarcity() -> None:
    """Now and then no descriptors for a while."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        while True:
            await asyncio.sleep(2)
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest_descriptor() + FEW_DESCRIPTORS, hard))
            counts["times of scarcity"] += 1
            await asyncio.sleep(SCARCE_SECONDS)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def highest_descriptor() -> int:
    return max(int(name) for name in os.listdir("/proc/self/fd"))


def memory() -> int:
    """Anonymous bytes of the process, after malloc has given back what it can."""
    gc.collect()
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    found = re.search(r"^Anonymous:\s+(\d+) kB$", Path("/proc/self/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def taken() -> dict[str, Any]:
    """What the process holds: descriptors, bytes, and objects by type."""
    bytes_held = memory()
    kinds = collections.Counter(f"{type(thing).__module__}.{type(thing).__qualname__}" for thing in gc.get_objects())
    return {"descriptors": len(os.listdir("/proc/self/fd")), "memory": bytes_held, "objects": dict(kinds)}


class Soaked:
    """The servers and the disturbances, started and stopped together."""

    def __init__(self, loop: asyncio.AbstractEventLoop, folder: str, patience: float) -> None:
        self.loop = loop
        self.patience = patience
        self.folder = folder
        self.tasks: list[asyncio.Task[None]] = []
        self.threads: list[threading.Thread] = []
        self.stop = threading.Event()

    async def serve(self) -> dict[str, Any]:
        """Start the servers, for good; their addresses."""
        loop, addresses = self.loop, {}
        self.servers: list[Any] = []
        services: dict[str, Callable[[], Echo]] = {"echo": Echo, "pour": Pouring, "faulty": Faulty}
        for name, protocol in services.items():
            server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=BACKLOG)
            addresses[name] = server.sockets[0].getsockname()
            self.servers.append(server)
        streams = await asyncio.start_server(stream_echo, "127.0.0.1", 0, backlog=BACKLOG)
        addresses["streams"] = streams.sockets[0].getsockname()
        self.servers.append(streams)
        addresses["unix"] = f"{self.folder}/echo"
        self.servers.append(await loop.create_unix_server(Echo, addresses["unix"], backlog=BACKLOG))
        self.servers.append(await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", 0)))
        addresses["datagrams"] = self.servers[-1][0].get_extra_info("sockname")
        loop.add_signal_handler(signal.SIGALRM, counts.update, {"signals": 1})
        return addresses

    def disturb(self) -> None:
        self.stop.clear()
        self.tasks = [self.loop.create_task(work()) for work in (faults, children, scarcity)]
        self.threads = [threading.Thread(target=calls_from_threads, args=(self.loop, self.stop)) for _ in range(2)]
        for thread in self.threads:
            thread.start()
        signal.setitimer(signal.ITIMER_REAL, TICK, TICK)

    async def calm(self) -> None:
        """No more disturbances; wait until every connection has gone."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.stop.set()
        for thread in self.threads:
            await self.loop.run_in_executor(None, thread.join)
        for task in self.tasks:
            task.cancel()
        for task in self.tasks:
            with suppress(asyncio.CancelledError):
                await task
        self.tasks, self.threads = [], []
        end = time.monotonic() + self.patience
        while self.unsettled() and time.monotonic() < end:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.1)  # what the last connections scheduled

    def unsettled(self) -> bool:
        pairs = (("made", "lost"), ("raised", "reported"), ("calls made", "calls run"))
        return any(counts[one] != counts[other] for one, other in pairs)

    async def main(self) -> None:
        reader = asyncio.StreamReader()
        await self.loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        print(json.dumps(await self.serve()), flush=True)
        await self.loop.run_in_executor(None, time.monotonic)  # the executor's thread, before anything is counted
        for _ in itertools.count():
            self.disturb()
            if not await reader.readline():
                break
            await self.calm()
            held = taken()
            print(json.dumps({"counts": dict(counts), "unexpected": unexpected[:20], **held}), flush=True)
        await self.calm()


def main() -> None:
    parser = argparse.ArgumentParser(description="The process that is soaked; see soak.py.")
    parser.add_argument("--loop", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--patience", type=float, required=True)
    options = parser.parse_args()
    random.seed(options.seed)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    module, _, attribute = options.loop.partition(":")
    loop = getattr(importlib.import_module(module), attribute)()
    asyncio.set_event_loop(loop)
    loop.set_exception_handler(report)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        loop.run_until_complete(Soaked(loop, folder, options.patience).main())


if __name__ == "__main__":
    main()
