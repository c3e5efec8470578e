"""WHAT the simulators run: ordinary asyncio programs, the same for all of them, that know of no simulator.

`seedloop` has no sockets, so its ping-pong is another program, on its own endpoints (see `simulators`).
"""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from typing import Any

PAYLOAD = b"0123456789"


async def ping_pong(host: str, rounds: int) -> None:
    """Two tasks with streams, who send each other ten bytes so often: two messages a round."""
    served = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(rounds):
            writer.write(await reader.readexactly(len(PAYLOAD)))
        writer.close()
        served.set_result(None)

    server = await asyncio.start_server(serve, host, 8080)
    reader, writer = await asyncio.open_connection(host, 8080)
    for _ in range(rounds):
        writer.write(PAYLOAD)
        await reader.readexactly(len(PAYLOAD))
    await served
    writer.close()
    server.close()


async def sleeps(count: int) -> None:
    """Nothing but callbacks."""
    for _ in range(count):
        await asyncio.sleep(0)


async def tiny() -> None:
    """Three tasks and two seconds."""
    await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))


class Thing:
    """A plain object, which hashes by its address."""

    def __init__(self, name: str) -> None:
        self.name = name


async def chance() -> dict[str, str]:
    """Everything whose order or value a program gets from outside: what it was, by name."""
    loop = asyncio.get_running_loop()
    order: list[str] = []

    async def work(name: str) -> str:
        await asyncio.sleep(0)
        order.append(name)
        return name

    tasks = {loop.create_task(work(f"task {number}")) for number in range(20)}
    done, _ = await asyncio.wait(tasks)
    waiting: list[Any] = [loop.create_future() for _ in range(20)]
    for number, future in enumerate(waiting):
        future.set_result(number)
    things = {Thing(f"thing {number}") for number in range(20)}
    return {
        "order in which tasks ran": repr(order),
        "set of tasks": repr([task.result() for task in done]),
        "set of futures": repr([future.result() for future in set(waiting)]),
        "set of objects": repr([thing.name for thing in things]),
        "set of strings": repr(list({f"word {number}" for number in range(20)})),
        "random": repr([random.random(), random.Random().random(), random.getrandbits(64)]),
        "uuid": repr([uuid.uuid4(), uuid.uuid1()]),
        "urandom": os.urandom(16).hex(),
    }
