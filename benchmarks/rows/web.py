"""Web servers under ``wrk`` with 64 connections: CPU a request of the server's process, kernel and all.

wrk runs on the other core, with one thread. Where it is not installed, the load generator of the network rows asks
instead; the details and a note below the table say which it was.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import shutil
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.bench import Bench, run_until_readable
from benchmarks.jobs import Job, bind
from benchmarks.load import build
from benchmarks.registry import Measured, Times, Unavailable
from benchmarks.rows.network import LARGE_BLOCK, TURN, LoadGenerator, add_twice, cpu

CONNECTIONS = 64
BODY = b"Hello, world!"
SECONDS = 1  # the least that wrk knows

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


def load_command(port: int, size: int = len(BODY)) -> list[str]:
    options = [f"--port={port}", f"--connections={CONNECTIONS}"]
    if shutil.which("wrk"):
        return [sys.executable, "-m", "benchmarks.load.wrk", *options, f"--seconds={SECONDS}"]
    return [str(build("echo")), "--http", *options, f"--size={size}", f"--seconds={TURN}"]


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
    load = LoadGenerator(load_command(sock.getsockname()[1]), bench.load_core, bench.turns)
    serving = loop.run_until_complete(start(sock))
    run_until_readable(loop, load.start(os.getpid()))
    del serving
    found = json.loads(load.output())
    return Measured(cpu(found), found)


add_twice("uvicorn", "uvicorn with httptools, 64 connections", uvicorn, (Times(1.5),), of_turn=cpu)
add_twice("aiohttp", "aiohttp server, 64 connections", aiohttp, (Times(1.3),), of_turn=cpu)
