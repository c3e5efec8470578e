"""Real servers, unchanged, run by `fate run` and asked over loopback which loop they stand on."""

from __future__ import annotations

import json
import re
import signal
from typing import Any
from urllib.request import urlopen

import pytest

from .conftest import DEADLINE, FATE, Program, Workshop

AIOHTTP = """
    import asyncio, socket
    from aiohttp import web

    async def kind(request):
        loop = asyncio.get_running_loop()
        return web.json_response([f"{type(loop).__module__}.{type(loop).__qualname__}", await request.text()])

    app = web.Application()
    app.router.add_route("*", "/", kind)
    listener = socket.create_server(("127.0.0.1", 0))
    print("http://127.0.0.1:%d" % listener.getsockname()[1], flush=True)
    web.run_app(app, sock=listener, print=None)
    print("closed")
"""

ASGI = """
    import asyncio, json

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            while (event := await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            return await send({"type": "lifespan.shutdown.complete"})
        body = (await receive())["body"].decode()
        loop = asyncio.get_running_loop()
        answer = json.dumps([f"{type(loop).__module__}.{type(loop).__qualname__}", body]).encode()
        headers = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})
"""


def _ask(address: str, body: str) -> Any:
    with urlopen(address, data=body.encode(), timeout=DEADLINE) as answer:
        return json.load(answer)


def _address(program: Program) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+", program.line(program.process.stderr, holding="http://"))
    assert found is not None
    return found[0]


def test_an_aiohttp_server_runs_on_fate(workshop: Workshop) -> None:
    workshop.write("server.py", AIOHTTP)
    with workshop.started(*FATE, "run", "server.py") as program:
        address = program.line()
        for number in range(3):
            assert _ask(address, f"request {number}") == ["fate.loop.Fate", f"request {number}"]
        done = program.end(signal.SIGTERM)
        assert (done.code, done.out, done.err) == (0, "closed\n", "")


@pytest.mark.parametrize("loop", ["auto", "asyncio", "uvloop", "none"])
def test_uvicorn_runs_on_fate_whichever_loop_it_is_told_to_use(workshop: Workshop, loop: str) -> None:
    workshop.write("app.py", ASGI)
    with workshop.started(*FATE, "run", "-m", "uvicorn", "app:app", "--port", "0", "--loop", loop) as program:
        address = _address(program)
        for number in range(3):
            assert _ask(address, f"request {number}") == ["fate.loop.Fate", f"request {number}"]
        done = program.end(signal.SIGTERM)
        assert "Application shutdown complete" in done.err
        assert "Traceback" not in done.err


def test_uvicorn_in_a_program_runs_on_fate(workshop: Workshop) -> None:
    workshop.write("app.py", ASGI)
    workshop.write(
        "server.py",
        "import uvicorn\nif __name__ == '__main__':\n    uvicorn.run('app:app', port=0)\n    print('closed')\n",
    )
    with workshop.started(*FATE, "run", "server.py") as program:
        assert _ask(_address(program), "request") == ["fate.loop.Fate", "request"]
        assert "Application shutdown complete" in program.end(signal.SIGINT).err


def test_the_workers_of_uvicorn_run_on_fate(workshop: Workshop) -> None:
    workshop.write("app.py", ASGI)
    with workshop.started(*FATE, "run", "-m", "uvicorn", "app:app", "--port", "0", "--workers", "2") as program:
        address = _address(program)
        for _ in range(2):
            program.line(program.process.stderr, holding="startup complete")
        assert _ask(address, "request") == ["fate.loop.Fate", "request"]
        assert program.end(signal.SIGTERM).err.count("Application shutdown complete") == 2
