"""Web servers under ``wrk`` with 64 connections: CPU a request of the server's process, kernel and all.

wrk runs on the other core, with one thread. Where it is not installed, the load generator of the network rows asks
instead; the details and a note below the table say which it was.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import shutil
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, run_until_readable
from benchmarks.jobs import Job, bind
from benchmarks.load import build
from benchmarks.registry import Measured, Times, Unavailable
from benchmarks.rows.network import LARGE_BLOCK, LoadGenerator, add_twice

CONNECTIONS = 64
BODY = b"Hello, world!"
SECONDS, LEAST_SECONDS = 2, 1

Start = Callable[[socket.socket], Awaitable[object]]


def uvicorn(bench: Bench, *, trim: bool = False) -> Measured:
    module = needed("uvicorn")
    needed("httptools")

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(BODY)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": BODY})

    async def start(sock: socket.socket) -> object:
        config = module.Config(app, http="httptools", ws="none", lifespan="off", access_log=False, log_level="critical")
        server = module.Server(config)
        serving = asyncio.ensure_future(server.serve(sockets=[sock]))
        while not server.started:
            await asyncio.sleep(0)
        return serving

    return under_wrk(bench, start, trim)


def aiohttp(bench: Bench, *, trim: bool = False) -> Measured:
    """The low-level server, ``web.Server``: less of aiohttp, more of the loop."""
    web = needed("aiohttp.web")

    async def hello(request: Any) -> Any:
        return web.Response(body=BODY, content_type="text/plain")

    async def start(sock: socket.socket) -> object:
        runner = web.ServerRunner(web.Server(hello, access_log=None))
        await runner.setup()
        await web.SockSite(runner, sock).start()
        return runner

    return under_wrk(bench, start, trim)


def needed(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Unavailable(str(error)) from error


def own_cpu() -> int:
    """Nanoseconds of CPU of this process's threads, as the kernel's scheduler counts them."""
    return sum(int(file.read_text().split()[0]) for file in Path("/proc/self/task").glob("*/schedstat"))


def load_command(port: int, seconds: float) -> tuple[str, list[str]]:
    wrk = shutil.which("wrk")
    if wrk:
        url = f"http://127.0.0.1:{port}/"
        return "wrk", [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", url]
    options = [f"--port={port}", f"--connections={CONNECTIONS}", f"--size={len(BODY)}", f"--seconds={seconds}"]
    return "our load generator", [str(build("echo")), "--http", *options]


def requests_of(client: str, output: str) -> int:
    if client != "wrk":
        return int(json.loads(output)["requests"])
    found = re.search(r"^\s*(\d+) requests in", output, re.MULTILINE)
    if found is None or "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"wrk: {output.strip()}")
    return int(found[1])


def under_wrk(bench: Bench, start: Start, trim: bool) -> Measured:
    if bench.load_core is None:
        raise Unavailable("needs a second core for the load generator")
    if getattr(bench.new_event_loop, "foreign", False):
        raise Unavailable("no event loop of asyncio's")
    if trim:
        bytearray(LARGE_BLOCK)
    loop = bench.new_event_loop()
    asyncio.set_event_loop(loop)
    sock = bind(Job())
    seconds = max(SECONDS * bench.scale, LEAST_SECONDS)
    client, command = load_command(sock.getsockname()[1], seconds)
    load = LoadGenerator(command, bench.load_core)
    serving = loop.run_until_complete(start(sock))
    before, began = own_cpu(), time.monotonic()
    run_until_readable(loop, load.start())
    cpu, elapsed = own_cpu() - before, time.monotonic() - began
    del serving
    requests = requests_of(client, load.output())
    details = {"client": client, "requests": requests, "requests_per_second": requests / elapsed}
    return Measured(cpu / requests / 1000, details)


add_twice("uvicorn", "uvicorn with httptools, 64 connections", uvicorn, (Times(1.5),))
add_twice("aiohttp", "aiohttp server, 64 connections", aiohttp, (Times(1.3),))
