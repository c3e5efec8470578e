"""A server does the jobs that a client sends it, one by one, until the client says stop.

The worker wakes up now and then, with asyncio.wait_for. Before Python 3.12, a task that is cancelled just as what it
waits for has come goes on as if nobody had cancelled it (gh-86296): "stop" then waits for ever.
"""

import asyncio
import contextlib


async def work(jobs: asyncio.Queue[str], done: list[str]) -> None:
    while True:
        try:
            job = await asyncio.wait_for(jobs.get(), timeout=60)
        except TimeoutError:
            continue  # a quiet minute
        done.append(job)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    jobs: asyncio.Queue[str] = asyncio.Queue()
    done: list[str] = []
    worker = asyncio.create_task(work(jobs, done))
    try:
        while (line := (await reader.readline()).decode().strip()) not in ("", "stop"):
            jobs.put_nowait(line)
    finally:
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker
        writer.write(f"{len(done)} done\n".encode())
        writer.close()


async def main() -> None:
    async with await asyncio.start_server(serve, "127.0.0.1", 7000):
        reader, writer = await asyncio.open_connection("127.0.0.1", 7000)
        try:
            for line in ("wash", "dry", "stop"):
                writer.write(f"{line}\n".encode())
                await asyncio.sleep(0.05)
            await reader.readline()
        finally:
            writer.close()
