"""How fast a universe is: messages over simulated TCP, callbacks, and whole tiny universes a second.

    python benchmarks/sim/speed.py

The time is the process's own CPU time, and each figure the best of five.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import fate
import fate.sim

MESSAGES = 50_000
SLEEPS = 200_000
UNIVERSES = 1_000
cpu = time.process_time


class Pong(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Send it back."""
        self.transport.write(data)  # type: ignore[attr-defined]


class Ping(Pong):
    """Sends back what comes, so often."""

    count = 0
    done: asyncio.Future[None]

    def data_received(self, data: bytes) -> None:
        """Send it back, or be done."""
        self.count += 1
        if self.count < MESSAGES:
            self.transport.write(data)  # type: ignore[attr-defined]
        else:
            self.done.set_result(None)


async def protocols() -> None:
    """Ping-pong between two protocols."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Pong, "127.0.0.1", 0)
    transport, ping = await loop.create_connection(Ping, *server.sockets[0].getsockname())
    ping.done = loop.create_future()
    transport.write(b"0123456789")
    await ping.done
    transport.close()
    server.close()


async def streams() -> None:
    """Ping-pong between two tasks with streams."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for _ in range(MESSAGES):
        writer.write(b"0123456789")
        await reader.read(100)
    writer.close()
    server.close()


async def sleeps() -> None:
    """Nothing but callbacks."""
    for _ in range(SLEEPS):
        await asyncio.sleep(0)


async def tiny() -> None:
    """Three tasks and two seconds."""
    await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))


def universes() -> None:
    """Many tiny universes."""
    for seed in range(UNIVERSES):
        fate.sim.run(tiny, seed)


def best(work: Callable[[], object]) -> float:
    """Seconds of CPU time that `work` takes."""
    times = []
    for _ in range(5):
        before = cpu()
        work()
        times.append(cpu() - before)
    return min(times)


def main() -> None:
    """Print the figures."""
    print("compiled" if fate.compiled else "not compiled")
    for name, count, work in [
        ("messages a second, protocols", 2 * MESSAGES, lambda: fate.sim.run(protocols)),
        ("messages a second, streams", 2 * MESSAGES, lambda: fate.sim.run(streams)),
        ("sleep(0) a second", SLEEPS, lambda: fate.sim.run(sleeps)),
        ("tiny universes a second", UNIVERSES, universes),
    ]:
        print(f"{name:32} {count / best(work):12,.0f}", flush=True)


if __name__ == "__main__":
    main()
