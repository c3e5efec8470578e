"""Fetches many pages at once, and shows how far it is.

    python examples/many_pages.py          # 100 pages
    python examples/many_pages.py 1000

The pages come from a small, slow web server in the same process: it thinks for up to half a second over each page,
on the same loop that fetches them. Nobody waits for anybody.
"""

import argparse
import asyncio
import random
import sys
import time

import fate

AT_ONCE = 200  # connections; each takes two of the process's descriptors here


class SlowServer:
    """Serves a page for any path, each after a while of its own."""

    def __init__(self) -> None:
        self.thought = 0.0  # seconds, all pages together

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        path = request.split()[1].decode()
        seconds = random.uniform(0.0, 0.5)
        self.thought += seconds
        await asyncio.sleep(seconds)
        page = f"<h1>Page {path}</h1>\n" * random.randint(1, 200)
        writer.write(f"HTTP/1.0 200 OK\r\nContent-Length: {len(page)}\r\n\r\n{page}".encode())
        writer.close()


async def get_page(host: str, port: int, path: str) -> str:
    """Ask for one page and return its text."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        head, _, page = (await reader.read()).partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.0 200"):
            raise ValueError(f"{path}: {head.splitlines()[:1]}")
        return page.decode()
    finally:
        writer.close()


def show(done: int, pages: int) -> None:
    """A bar that grows in place on a terminal, a line for each tenth elsewhere."""
    if sys.stdout.isatty():
        bar = "#" * (40 * done // pages)
        print(f"\r[{bar:40}] {done}/{pages}", end="" if done < pages else "\n", flush=True)
    elif done * 10 // pages > (done - 1) * 10 // pages:
        print(f"{done}/{pages}", flush=True)


async def main(pages: int) -> None:
    slow = SlowServer()
    server = await asyncio.start_server(slow.answer, "127.0.0.1", 0, backlog=AT_ONCE)
    host, port = server.sockets[0].getsockname()
    room = asyncio.Semaphore(AT_ONCE)

    async def fetch(number: int) -> int:
        async with room:
            return len(await get_page(host, port, f"/{number}"))

    started = time.perf_counter()
    size = 0
    for done, page in enumerate(asyncio.as_completed([fetch(number) for number in range(pages)]), start=1):
        size += await page
        show(done, pages)
    took = time.perf_counter() - started
    server.close()
    print(f"{pages} pages, {size:,} bytes, in {took:.1f} s; one after the other they take {slow.thought:.1f} s.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fetch many pages at once.")
    parser.add_argument("pages", type=int, nargs="?", default=100)
    fate.run(main(parser.parse_args().pages))
