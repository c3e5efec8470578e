"""Twisted's reactors: timed calls, calls from threads, a protocol, a web server: one program on all, one a process.

The column of Fate is Twisted on `fate.tx`. Nothing of Twisted is imported before a row asks for it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from threading import Thread
from typing import Any

from benchmarks.bench import Bench, nothing
from benchmarks.load import build
from benchmarks.registry import Group, Measured, Times, Unavailable, row
from benchmarks.rows.network import cpu
from benchmarks.rows.web import load_command

BATCH = 1000
BODY = b"twisted " * 128
FOUR_TIMES = Times(4, "twisted-epoll")


def install(bench: Bench) -> Any:
    """The reactor of this column, as the global one."""
    if bench.module.startswith("twisted"):
        from twisted.internet import epollreactor

        epollreactor.install()
    else:
        import fate.tx

        fate.tx.install()
    from twisted.internet import reactor

    return reactor


def timed(
    bench: Bench, work: Callable[[Any, int, Callable[[], None]], None], operations: int, clock: Callable[[], int]
) -> float:
    """Nanoseconds an operation: `work(reactor, count, done)` calls `done` at its end. A reactor runs only once."""
    reactor = install(bench)

    def piece(count: int) -> None:
        work(reactor, count, reactor.crash)
        reactor.run(installSignalHandlers=False)

    return bench.time_plain(piece, operations, clock=clock)


@row("Twisted: callLater + cancel, 1000 a turn", "ns", Group.REACTOR, FOUR_TIMES, baseline="twisted-epoll")
def twisted_call_later_cancel(bench: Bench) -> float:
    def work(reactor: Any, count: int, done: Callable[[], None]) -> None:
        left = count

        def fill() -> None:
            nonlocal left
            if left <= 0:
                done()
                return
            left -= BATCH
            for _ in range(BATCH):
                reactor.callLater(10, nothing).cancel()
            reactor.callLater(0, fill)

        reactor.callLater(0, fill)

    return timed(bench, work, 30 * BATCH, time.thread_time_ns)


@row("Twisted: callLater(0), a chain of one", "ns", Group.REACTOR, FOUR_TIMES, baseline="twisted-epoll")
def twisted_call_later_turn(bench: Bench) -> float:
    def work(reactor: Any, count: int, done: Callable[[], None]) -> None:
        left = count

        def again() -> None:
            nonlocal left
            left -= 1
            if left:
                reactor.callLater(0, again)
            else:
                done()

        reactor.callLater(0, again)

    return timed(bench, work, 30_000, time.thread_time_ns)


@row("Twisted: callFromThread from another thread", "ns", Group.REACTOR, FOUR_TIMES, baseline="twisted-epoll")
def twisted_call_from_thread(bench: Bench) -> float:
    """CPU of both threads, from the first call until the last callback ran."""

    def work(reactor: Any, count: int, done: Callable[[], None]) -> None:
        def other() -> None:
            for _ in range(count):
                reactor.callFromThread(nothing)
            reactor.callFromThread(done)

        reactor.callLater(0, Thread(target=other).start)

    return timed(bench, work, 50_000, time.process_time_ns)


@row(
    "Twisted: protocol echo, 1 KiB, 100 connections",
    "µs",
    Group.REACTOR,
    Times(1.5, "twisted-epoll"),
    baseline="twisted-epoll",
)
def twisted_echo(bench: Bench) -> Measured:
    """CPU µs a request of this process, as in the rows of the network."""
    reactor = install(bench)
    from twisted.internet.protocol import Factory, Protocol

    class Echo(Protocol):
        def dataReceived(self, data: bytes) -> None:  # noqa: N802
            self.transport.write(data)

    return serve(bench, reactor, Factory.forProtocol(Echo), 1024)


@row(
    "twisted.web: a page of 1 KiB, 64 connections",
    "µs",
    Group.REACTOR,
    Times(1.0, "twisted-epoll"),
    baseline="twisted-epoll",
)
def twisted_web(bench: Bench) -> Measured:
    """CPU µs a request under wrk, as in the rows of `web`; connections stay open, and the server logs nothing."""
    reactor = install(bench)
    from twisted.web.resource import Resource
    from twisted.web.server import Site

    class Page(Resource):
        isLeaf = True  # noqa: N815

        def render_GET(self, request: Any) -> bytes:  # noqa: N802
            return BODY

    class Quiet(Site):
        def log(self, request: Any) -> None:
            pass

    port = reactor.listenTCP(0, Quiet(Page()), backlog=1024, interface="127.0.0.1")
    command = [*load_command(port.getHost().port, len(BODY)), f"--pid={os.getpid()}"]
    found = json.loads(run_under(bench, reactor, command))
    return Measured(cpu(found), found)


def serve(bench: Bench, reactor: Any, factory: Any, size: int) -> Measured:
    """CPU µs a request of this process, under the load generator."""
    program = build("echo")
    port = reactor.listenTCP(0, factory, backlog=1024, interface="127.0.0.1")
    options = {
        "port": port.getHost().port,
        "connections": 100,
        "size": size,
        "depth": 1,
        "seconds": 2 * bench.scale,
        "pid": os.getpid(),
        "core": bench.load_core,
    }
    command = [str(program), *(f"--{name}={value}" for name, value in options.items())]
    result: dict[str, float] = json.loads(run_under(bench, reactor, command))
    result["server_busy"] = round(result["server_cpu_ns"] / result["seconds"] / 1e9, 3)
    return Measured(result["server_cpu_ns"] / result["requests"] / 1000, result)


def run_under(bench: Bench, reactor: Any, command: list[str]) -> str:
    """Run the reactor while `command`, a load generator on a core of its own, works; what that prints."""
    if bench.load_core is None:
        raise Unavailable("needs a second core for the load generator")
    pin = ["taskset", "-c", str(bench.load_core)] if shutil.which("taskset") else []
    load = subprocess.Popen(
        [*pin, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )

    class Said:
        """Stops the reactor when the load generator has said its piece."""

        def fileno(self) -> int:
            assert load.stdout is not None
            return load.stdout.fileno()

        def logPrefix(self) -> str:  # noqa: N802
            return "load"

        def doRead(self) -> None:  # noqa: N802
            reactor.removeReader(self)
            reactor.stop()

        def connectionLost(self, reason: object) -> None:  # noqa: N802
            pass

    reactor.addReader(Said())
    try:
        reactor.run(installSignalHandlers=False)
    finally:
        output, errors = load.communicate(timeout=10)
    if load.returncode:
        raise RuntimeError(f"the load generator failed: {errors.strip()}")
    return output
