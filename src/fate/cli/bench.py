"""`fate bench`: what Fate's loop costs on this machine, beside asyncio and whatever other loops are installed here.

The part of the project's benchmarks that needs no compiler and no checkout: callbacks, timers, tasks, and an echo
server whose clients are a plain Python process. All of it is CPU time of this process, never waiting. Within each
repetition every loop has its turn; ratios are taken inside a repetition, and medians over the repetitions. It takes no
care of cores and priorities as `make bench` does: good for comparing, not for quoting.
"""

from __future__ import annotations

import asyncio
import gc
import platform
import statistics
import subprocess
import sys
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from importlib.util import find_spec
from threading import Thread

import click
import msgspec

from fate.cli.group import version

__all__ = ["Report", "Row", "command", "measure"]

LOOPS = {
    "fate": "fate:new_event_loop",
    "asyncio": "asyncio:SelectorEventLoop",
    "uvloop": "uvloop:new_event_loop",
    "rloop": "rloop:new_event_loop",
    "rsloop": "rsloop:new_event_loop",
    "blazio": "blazio:new_event_loop",
    "talyn": "talyn:Loop",
}
"""What makes each loop; those that are not installed are left out."""

SUBJECT, BASELINE = "fate", "asyncio"
BATCH = 1000
NOISY = 0.15
"""A row in which Fate's ratio spreads by more than this share over the repetitions (without the extremes) is noisy."""

QUICK = 0.1
SIZE, CONNECTIONS = 1024, 50
CLIENTS = """
import selectors, socket, sys
port, rounds, size, count = map(int, sys.argv[1:])
message, ready = bytes(range(256)) * (size // 256), selectors.DefaultSelector()
for _ in range(count):
    sock = socket.create_connection(("127.0.0.1", port))
    ready.register(sock, selectors.EVENT_READ, [rounds, b""])
    sock.sendall(message)
left = count
while left:
    for key, _ in ready.select():
        key.data[1] += key.fileobj.recv(1 << 16)
        if len(key.data[1]) < size:
            continue
        if key.data[1] != message:
            sys.exit("an echo is not what was sent")
        key.data[0], key.data[1] = key.data[0] - 1, b""
        if key.data[0]:
            key.fileobj.sendall(message)
        else:
            left -= 1
print("done")
"""
"""The load: each connection sends, waits for the echo, compares, sends again."""


class Row(msgspec.Struct):
    """One job: the median cost on each loop, and how many times as cheap as asyncio, above 1 is cheaper."""

    job: str
    unit: str
    cost: dict[str, float]
    ratio: dict[str, float]
    noisy: bool


class Report(msgspec.Struct):
    """What `fate bench` found."""

    fate: str
    compiled: bool
    python: str
    platform: str
    repetitions: int
    versions: dict[str, str]
    rows: list[Row]


def nothing() -> None:
    """The callback whose cost is the loop's."""


def call_soon(loop: AbstractEventLoop, count: int) -> None:
    """Callbacks by the thousand."""
    left = count

    def fill() -> None:
        nonlocal left
        if left <= 0:
            loop.stop()
            return
        left -= BATCH
        for _ in range(BATCH):
            loop.call_soon(nothing)
        loop.call_soon(fill)

    loop.call_soon(fill)
    loop.run_forever()


def chain(loop: AbstractEventLoop, count: int) -> None:
    """A callback that schedules the next."""
    left = count

    def again() -> None:
        nonlocal left
        left -= 1
        if left > 0:
            loop.call_soon(again)
        else:
            loop.stop()

    loop.call_soon(again)
    loop.run_forever()


def call_later_and_cancel(loop: AbstractEventLoop, count: int) -> None:
    """Timers that never fire, as timeouts are."""

    async def main() -> None:
        for number in range(count):
            loop.call_later(10, nothing).cancel()
            if number % BATCH == 0:
                await asyncio.sleep(0)

    loop.run_until_complete(main())


def call_soon_threadsafe(loop: AbstractEventLoop, count: int) -> None:
    """Callbacks from another thread."""

    def other() -> None:
        for _ in range(count):
            loop.call_soon_threadsafe(nothing)
        loop.call_soon_threadsafe(loop.stop)

    thread = Thread(target=other)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()


def sleep_zero(loop: AbstractEventLoop, count: int) -> None:
    """One turn of a coroutine."""

    async def main() -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    loop.run_until_complete(main())


def tasks(loop: AbstractEventLoop, count: int) -> None:
    """A task made and awaited."""

    async def main() -> None:
        for _ in range(count):
            await loop.create_task(asyncio.sleep(0))

    loop.run_until_complete(main())


class Echo(asyncio.Protocol):
    """Writes back what it reads."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.write = transport.write  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.write(data)


def echo(loop: AbstractEventLoop, count: int) -> None:
    """An echo server, 1 KiB a request, for clients in another process."""
    server = loop.run_until_complete(loop.create_server(Echo, "127.0.0.1", 0))
    port, rounds = server.sockets[0].getsockname()[1], max(1, count // CONNECTIONS)
    words = [sys.executable, "-I", "-c", CLIENTS, *map(str, (port, rounds, SIZE, CONNECTIONS))]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as clients:
        assert clients.stdout is not None
        output = clients.stdout.fileno()

        def finished() -> None:
            loop.remove_reader(output)
            loop.stop()

        loop.add_reader(output, finished)
        loop.run_forever()
    server.close()
    loop.run_until_complete(asyncio.sleep(0.01))
    if clients.returncode:
        raise click.ClickException("the clients of the echo server failed")


JOBS: dict[str, tuple[Callable[[AbstractEventLoop, int], None], int]] = {
    "call_soon, 1000 then drain": (call_soon, 100 * BATCH),
    "call_soon, a chain of one": (chain, 50_000),
    "call_later + cancel": (call_later_and_cancel, 50_000),
    "call_soon_threadsafe, another thread": (call_soon_threadsafe, 50_000),
    "await sleep(0)": (sleep_zero, 50_000),
    "create_task + await": (tasks, 20_000),
    "protocol echo, 1 KiB, 50 connections": (echo, 10_000),
}
"""The rows: what is done, and how often."""


def measure(job: str, factory: Callable[[], AbstractEventLoop], scale: float = 1.0) -> float:
    """Does a job once on a new loop.

    job: a name in `JOBS`.
    factory: makes the loop; it is closed afterwards.
    scale: how much of the usual count to do.
    Returns nanoseconds of this process's CPU an operation, after a short warm-up.
    """
    work, full = JOBS[job]
    count = max(1, int(full * scale))
    loop = factory()
    asyncio.set_event_loop(loop)
    try:
        work(loop, max(1, count // 20))
        gc.collect()
        gc.freeze()
        begin = time.process_time_ns()
        work(loop, count)
        return (time.process_time_ns() - begin) / count
    finally:
        gc.unfreeze()
        asyncio.set_event_loop(None)
        loop.close()


def _factories(names: tuple[str, ...]) -> dict[str, Callable[[], AbstractEventLoop]]:
    found = {}
    for name, place in LOOPS.items():
        module, _, attribute = place.partition(":")
        if (not names or name in names or name in (SUBJECT, BASELINE)) and find_spec(module):
            found[name] = getattr(import_module(module), attribute)
    missing = set(names) - found.keys()
    if missing:
        raise click.BadParameter(f"not installed here: {', '.join(sorted(missing))}", param_hint="--loop")
    return found


def _row(job: str, costs: dict[str, list[float]]) -> Row:
    ratios = {
        name: [base / own for base, own in zip(costs[BASELINE], costs[name], strict=True)]
        for name in costs
        if name != BASELINE
    }
    inner = sorted(ratios[SUBJECT])[1:-1] or ratios[SUBJECT]
    return Row(
        job=job,
        unit="ns",
        cost={name: round(statistics.median(found), 1) for name, found in costs.items()},
        ratio={name: round(statistics.median(found), 3) for name, found in ratios.items()},
        noisy=max(inner) - min(inner) > NOISY * statistics.median(ratios[SUBJECT]),
    )


def _versions(names: list[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version_of(name)
        except PackageNotFoundError:
            found[name] = version() if name == SUBJECT else platform.python_version()
    return found


def _table(report: Report) -> list[str]:
    names = list(report.versions)
    lines = [f"{'ns of CPU an operation':38}" + "".join(f"{name:>17}" for name in names)]
    for row in report.rows:
        cells = [
            f"{row.cost[name]:,.0f}" + (f" ({row.ratio[name]:.2f})" if name in row.ratio else "") for name in names
        ]
        lines.append(f"{row.job:38}" + "".join(f"{cell:>17}" for cell in cells) + ("  noisy" if row.noisy else ""))
    return lines


@click.command("bench")
@click.option("--loop", "names", multiple=True, help="Beside asyncio, only this one; repeatable.")
@click.option("--repetitions", type=click.IntRange(1), default=5, show_default=True, help="Turns of every loop.")
@click.option("--quick", is_flag=True, help="Do a tenth of everything: to see that it runs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(names: tuple[str, ...], repetitions: int, quick: bool, as_json: bool) -> None:
    """Measure Fate beside asyncio and other loops.

    Those that are installed beside Fate take part: uvloop, rloop, rsloop, blazio, talyn. In brackets stands how many
    times as cheap as asyncio a loop is; above 1 is cheaper.
    """
    import fate

    loops = _factories(names)
    rows = []
    for job in JOBS:
        costs: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(repetitions):
            for name, factory in loops.items():
                costs[name].append(measure(job, factory, QUICK if quick else 1.0))
        rows.append(_row(job, costs))
    report = Report(
        fate=version(),
        compiled=fate.compiled,
        python=platform.python_version(),
        platform=platform.platform(),
        repetitions=repetitions,
        versions=_versions(list(loops)),
        rows=rows,
    )
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report)))
        return
    click.echo("\n".join(_table(report)))
    click.echo(
        "\nIn brackets: how many times as cheap as asyncio. "
        + ", ".join(f"{name} {found}" for name, found in report.versions.items())
        + ("." if fate.compiled else ". Fate is not compiled here.")
    )
