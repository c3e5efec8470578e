"""One seed is one history: within a process, and from process to process."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import subprocess
import sys
import uuid

from fate import sim


class Thing:
    """A plain object: where it lies in memory decides where it stands in a set."""


async def program():
    log = []

    async def work(n):
        await asyncio.sleep(random.random())
        log.append((n, uuid.uuid4().hex, os.urandom(4).hex()))

    tasks = {asyncio.create_task(work(n)) for n in range(10)}
    done, _ = await asyncio.wait(tasks)
    log.append([task.get_name() for task in done])

    async def serve(reader, writer):
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, "localhost", 0)
    port = server.sockets[0].getsockname()[1]

    async def client(n):
        reader, writer = await asyncio.open_connection("localhost", port)
        for _ in range(5):
            writer.write(bytes([n]) * 50)
            log.append((n, len(await reader.read(100))))
            log.append(await asyncio.to_thread(random.randrange, 1000))
        writer.close()

    await asyncio.gather(*map(client, range(5)))
    server.close()
    return log


def history(main, seed=5, faults=("latency", "split", "order", "job")):
    result = sim.attempt(main, seed, faults, history=True, allow=("leftover", "report"))
    assert result.error is None
    return repr((result.value, result.events, result.decisions, result.seconds))


def test_one_seed_is_one_history_in_a_process():
    first = history(program)
    rubbish = [object() for _ in range(12345)]
    assert history(program) == first
    assert rubbish and history(program, 6) != first


async def sets():
    things = [Thing() for _ in range(50)]
    numbers = {thing: n for n, thing in enumerate(things)}
    log = await program()
    return log, [numbers[thing] for thing in set(things)], list({str(n) for n in range(50)})


def test_one_seed_is_one_history_in_every_process():
    code = "from fate.sim.reexec import settle; settle(); from tests.sim import test_determinism as t; t.tell()"
    histories = set()
    for n in range(20):
        environment = {**os.environ, "PYTHONHASHSEED": str(n), "TZ": f"UTC{n - 10:+}", "X" * (n + 1): "y" * (n * 37)}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in [os.getcwd(), *sys.path] if path)
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        histories.add(run.stdout)
    assert len(histories) == 1 and len(histories.pop()) == 65


def tell():
    print(hashlib.sha256(history(sets).encode()).hexdigest())
