"""Commands, lines, and the small reactor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from benchmarks.growth.operations.common import nothing
from benchmarks.growth.registry import operation
from fate import Fate
from fate.tools import lines, run_command


def printing(n: int, line: str = "") -> list[str]:
    return ["sh", "-c", f"yes '{line}' | head -n {n}"]


def run(loop: Fate, make: Any) -> Any:
    async def main() -> Any:
        return await make()

    return loop.run_until_complete(main())


@operation("output of run_command, kept")
def command_output(loop: Fate, n: int) -> Iterator[None]:
    yield
    output = run(loop, lambda: run_command(printing(n, "a line of output")))
    assert len(output) == 17 * n
    yield


@operation("lines of run_command's output")
def command_lines(loop: Fate, n: int) -> Iterator[None]:
    count = 0

    def on_line(line: str) -> None:
        nonlocal count
        count += 1

    yield
    run(loop, lambda: run_command(printing(n), on_line=on_line))
    assert count == n
    yield


@operation("one line of run_command's output, so many kilobytes long", most=20_000)
def command_long_line(loop: Fate, n: int) -> Iterator[None]:
    yield
    run(
        loop,
        lambda: run_command(
            ["sh", "-c", f"head -c {n * 1024} /dev/zero | tr '\\0' x"], on_line=len, max_line=(n + 1) * 1024
        ),
    )
    yield


@operation("lines of a pipe")
def pipe_lines(loop: Fate, n: int) -> Iterator[None]:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    left = b"\n" * n

    def write() -> None:
        nonlocal left
        left = left[os.write(writing, left[:65536]) :]
        if not left:
            loop.remove_writer(writing)
            os.close(writing)

    loop.add_writer(writing, write)

    async def main() -> None:
        assert await lines(reading, lambda line: None) == n

    yield
    loop.run_until_complete(main())
    yield
    os.close(reading)


def line_receiver(name: str, title: str, pieces: Any, most: int = 100_000) -> None:
    def work(loop: Fate, n: int) -> Iterator[None]:
        from types import SimpleNamespace

        from fate.reactor.protocols import LineReceiver

        class Lines(LineReceiver):
            delimiter = b"\n"
            MAX_LENGTH = 1 << 40
            count = 0

            def lineReceived(self, line: bytes) -> None:  # noqa: N802
                self.count += 1

        receiver: Any = Lines()
        receiver.transport = SimpleNamespace(disconnecting=False)
        given = pieces(n)
        yield
        for piece in given:
            receiver.dataReceived(piece)
        yield

    work.__name__ = name
    operation(title, most)(work)


@operation("delayed calls of the small reactor made, and cancelled newest first")
def reactor_calls_cancelled(loop: Fate, n: int) -> Iterator[None]:
    from fate.reactor.core import Reactor

    reactor = Reactor()
    yield
    calls = [reactor.callLater(60, nothing) for _ in range(n)]
    for call in reversed(calls):
        call.cancel()
    yield


line_receiver("line_receiver_one_piece", "LineReceiver: short lines in one piece", lambda n: [b"\n" * n])
line_receiver("line_receiver_bytes", "LineReceiver: a long line byte by byte", lambda n: [b"x"] * n)
line_receiver("line_receiver_kilobytes", "LineReceiver: a long line by kilobytes", lambda n: [b"x" * 1024] * n, 20_000)
