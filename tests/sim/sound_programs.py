"""Programs without a mistake: whatever befalls them, they end, or say what has happened to them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

PORT = 7


async def serve_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while line := await reader.readline():
            await asyncio.sleep(0.01)
            writer.write(line.upper())
            await writer.drain()
    finally:
        writer.close()


async def ask(line: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    try:
        writer.write(line)
        answer = await reader.readline()
        if not answer.endswith(b"\n"):
            raise ConnectionError("the server has closed the connection")
        return answer
    finally:
        writer.close()


async def request_with_a_timeout() -> None:
    async with await asyncio.start_server(serve_lines, "127.0.0.1", PORT):
        async with asyncio.timeout(0.05):
            assert await ask(b"hello\n") == b"HELLO\n"


async def request_with_wait_for() -> None:
    async with await asyncio.start_server(serve_lines, "127.0.0.1", PORT):
        assert await asyncio.wait_for(ask(b"hello\n"), 0.05) == b"HELLO\n"


async def retries_with_backoff() -> None:
    async with await asyncio.start_server(serve_lines, "127.0.0.1", PORT):
        for attempt in range(4):
            try:
                async with asyncio.timeout(0.05):
                    assert await ask(b"hello\n") == b"HELLO\n"
                return
            except (OSError, EOFError):
                if attempt == 3:
                    raise
                await asyncio.sleep(0.5 * 2**attempt)


async def retries_within_a_time() -> None:
    async with await asyncio.start_server(serve_lines, "127.0.0.1", PORT), asyncio.timeout(5):
        while True:
            try:
                await ask(b"hello\n")
                return
            except (OSError, EOFError):
                await asyncio.sleep(2)


class Pool:
    """Two connections for all."""

    def __init__(self) -> None:
        self.places = asyncio.Semaphore(2)
        self.busy = 0

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        async with self.places:
            self.busy += 1
            try:
                assert self.busy <= 2, "too many at once"
                yield
            finally:
                self.busy -= 1


async def pool_under_a_semaphore() -> None:
    pool = Pool()

    async def use() -> None:
        async with pool.place():
            await asyncio.sleep(0.01)

    await asyncio.gather(*(use() for _ in range(5)), return_exceptions=True)
    async with asyncio.timeout(30):
        await pool.places.acquire()
        await pool.places.acquire()


async def pool_of_connections() -> None:
    pool = Pool()

    async def use() -> None:
        async with asyncio.timeout(20), pool.place():
            await ask(b"hello\n")

    async with await asyncio.start_server(serve_lines, "127.0.0.1", PORT):
        done = await asyncio.gather(*(use() for _ in range(4)), return_exceptions=True)
    for each in done:
        assert each is None or isinstance(each, (OSError, EOFError, asyncio.CancelledError)), each


async def workers_and_a_queue() -> None:
    jobs: asyncio.Queue[int] = asyncio.Queue(3)
    done: list[int] = []

    async def work() -> None:
        while True:
            job = await jobs.get()
            try:
                await asyncio.sleep(0.01)
                done.append(job)
            finally:
                jobs.task_done()

    workers = [asyncio.create_task(work(), name=f"worker-{n}") for n in range(2)]
    try:
        async with asyncio.timeout(30):
            for number in range(6):
                await jobs.put(number)
            await jobs.join()
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def task_group() -> None:
    found: list[int] = []

    async def look(number: int) -> None:
        async with asyncio.timeout(1):
            await asyncio.sleep(0.01 * number)
        found.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(look(number))


async def task_group_whose_children_are_awaited() -> None:
    async def look(number: int) -> int:
        await asyncio.sleep(0.01 * number)
        return number

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(look(number)) for number in range(3)]
    assert [task.result() for task in tasks] == [0, 1, 2]


async def gathered_and_shielded() -> None:
    async def save() -> None:
        await asyncio.sleep(0.02)

    await asyncio.gather(asyncio.sleep(0.01), save())
    task = asyncio.create_task(save())
    await asyncio.shield(task)
    other = asyncio.create_task(save())
    guarded = asyncio.shield(other)
    await guarded


async def awaited_twice() -> None:
    async def save() -> str:
        await asyncio.sleep(0.01)
        return "saved"

    task = asyncio.create_task(save())
    await asyncio.wait([task])
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert await task == "saved"


class Job:
    """A task that others may wait for, each as long as it likes."""

    __slots__ = ("_task",)

    def __init__(self, seconds: float) -> None:
        self._task = asyncio.create_task(asyncio.sleep(seconds, "done"))

    async def _result(self) -> str:
        return await self._task

    async def wait(self) -> str:
        return await asyncio.shield(self._result())

    async def wait_plainly(self) -> str:
        return await self._task


async def shielded_by_an_object() -> None:
    job = Job(0.01)
    assert await job.wait() == "done"
    assert await job.wait_plainly() == "done"


async def first_that_answers() -> None:
    async def answer(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    tasks = [asyncio.create_task(answer(seconds)) for seconds in (0.01, 0.02)]
    for each in asyncio.as_completed(tasks):
        await each
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def graceful_shutdown() -> None:
    stopping = asyncio.Event()
    ticks: list[float] = []

    async def tick() -> None:
        while not stopping.is_set():
            ticks.append(asyncio.get_running_loop().time())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await stopping.wait()

    async with await asyncio.start_server(serve_lines, "127.0.0.1", PORT) as server:
        ticker = asyncio.create_task(tick(), name="ticker")
        with contextlib.suppress(OSError, EOFError):
            await ask(b"hello\n")
        await asyncio.sleep(2.5)
        stopping.set()
        await asyncio.wait([ticker])
        server.close()


async def supervised() -> None:
    """A worker that dies is started again; who waits for its result is patient."""
    results: asyncio.Queue[int] = asyncio.Queue()

    async def work() -> None:
        for number in range(3):
            await asyncio.sleep(0.01)
            results.put_nowait(number)

    async def supervise() -> None:
        for _ in range(1000):
            worker = asyncio.create_task(work())
            await asyncio.wait([worker])
            if not worker.cancelled():
                return

    await supervise()
    async with asyncio.timeout(30):
        for _ in range(3):
            await results.get()


async def single_flight() -> None:
    """Several ask for the same; whoever goes away takes nothing from the others."""
    running: dict[str, asyncio.Task[str]] = {}

    async def load(key: str) -> str:
        await asyncio.sleep(0.05)
        return key.upper()

    def forget(task: asyncio.Task[str]) -> None:
        running.pop("key", None)

    async def get(key: str) -> str:
        for _ in range(100):
            if key not in running:
                running[key] = asyncio.create_task(load(key), name="load")
                running[key].add_done_callback(forget)
            task = running[key]
            await asyncio.wait([task])
            if not task.cancelled():
                return task.result()
        raise LookupError(key)

    first = asyncio.create_task(get("key"))
    await asyncio.sleep(0.01)
    assert await get("key") == "KEY"
    await asyncio.wait([first])


async def condition_and_lock() -> None:
    ready = asyncio.Condition()
    items: list[int] = []

    async def take() -> int:
        async with ready:
            await ready.wait_for(lambda: bool(items))
            return items.pop()

    takers = [asyncio.create_task(take()) for _ in range(2)]
    await asyncio.sleep(0.01)
    async with ready:
        items.extend([1, 2])
        ready.notify_all()
    await asyncio.gather(*takers, return_exceptions=True)
    async with asyncio.timeout(30), ready:
        pass


async def jobs_in_threads() -> None:
    def work() -> int:
        return 7

    async with asyncio.timeout(0.05):
        assert await asyncio.to_thread(work) == 7


SOUND: list[Callable[[], Awaitable[None]]] = [
    request_with_a_timeout,
    request_with_wait_for,
    retries_with_backoff,
    retries_within_a_time,
    pool_under_a_semaphore,
    pool_of_connections,
    workers_and_a_queue,
    task_group,
    task_group_whose_children_are_awaited,
    gathered_and_shielded,
    awaited_twice,
    shielded_by_an_object,
    first_that_answers,
    graceful_shutdown,
    supervised,
    single_flight,
    condition_and_lock,
    jobs_in_threads,
]
