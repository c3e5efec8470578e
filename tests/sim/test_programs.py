"""Libraries as they are, in a universe, on 127.0.0.1 and localhost."""

from __future__ import annotations

import asyncio
import ssl
import time

import aiohttp
import anyio
import anyio.to_thread
import httpx
import pytest
import redis.asyncio
import trustme
import uvicorn
import websockets
from aiohttp import web

from fate import sim

HOSTS = ["127.0.0.1", "localhost"]


@pytest.fixture(scope="module")
def contexts():
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost", "127.0.0.1", "::1").configure_cert(server)
    authority.configure_trust(client)
    return server, client


@pytest.mark.parametrize("host", HOSTS)
def test_streams_with_tls_and_start_tls(contexts, host):
    server_side, client_side = contexts

    async def main():
        async def plain_then_tls(reader, writer):
            assert await reader.readline() == b"STARTTLS\n"
            writer.write(b"go\n")
            await writer.drain()
            await writer.start_tls(server_side)
            writer.write((await reader.readline()).upper())
            writer.close()

        async def tls(reader, writer):
            writer.write((await reader.readline())[::-1])
            writer.close()

        later = await asyncio.start_server(plain_then_tls, host, 0)
        always = await asyncio.start_server(tls, host, 0, ssl=server_side)
        reader, writer = await asyncio.open_connection(host, later.sockets[0].getsockname()[1])
        writer.write(b"STARTTLS\n")
        assert await reader.readline() == b"go\n"
        await writer.start_tls(client_side, server_hostname=host)
        writer.write(b"secret\n")
        first = await reader.readline()
        writer.close()
        port = always.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(host, port, ssl=client_side)
        writer.write(b"abc\n")
        second = await reader.read()
        writer.close()
        later.close()
        always.close()
        return first, second

    assert sim.run(main) == (b"SECRET\n", b"\ncba")


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("tls", [False, True])
def test_aiohttp(contexts, host, tls):
    async def main():
        async def hello(request):
            await asyncio.sleep(60)
            return web.json_response({"hello": request.match_info["name"], "body": (await request.read()).decode()})

        app = web.Application()
        app.router.add_post("/{name}", hello)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, host, 8080, ssl_context=contexts[0] if tls else None).start()
        url = f"http{'s' * tls}://{host}:8080/world"
        ssl_context = contexts[1] if tls else True
        async with aiohttp.ClientSession() as session, session.post(url, data=b"x" * 1000, ssl=ssl_context) as answer:
            told = await answer.json()
        await runner.cleanup()
        return told

    assert sim.run(main) == {"hello": "world", "body": "x" * 1000}


async def app(scope, receive, send):
    assert scope["type"] == "http"
    await receive()
    await asyncio.sleep(2)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


@pytest.mark.parametrize("host", HOSTS)
def test_uvicorn_and_httpx(host):
    async def main():
        server = uvicorn.Server(uvicorn.Config(app, host=host, port=8000, lifespan="off", log_level="warning"))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        async with httpx.AsyncClient(trust_env=False) as client:
            answers = await asyncio.gather(*[client.get(f"http://{host}:8000/{n}") for n in range(5)])
        server.should_exit = True
        await serving
        return [answer.text for answer in answers]

    assert sim.run(main) == [f"/{n}" for n in range(5)]


@pytest.mark.parametrize("host", HOSTS)
def test_websockets(host):
    async def main():
        async def echo(connection):
            async for message in connection:
                await connection.send(message[::-1])

        url = f"ws://{host}:8765"
        async with websockets.serve(echo, host, 8765), websockets.connect(url, proxy=None) as connection:
            await connection.send("hello")
            return await connection.recv()

    assert sim.run(main) == "olleh"


@pytest.mark.parametrize("host", HOSTS)
def test_redis_and_a_toy_server(host):
    async def main():
        store = {}

        async def serve(reader, writer):
            while head := await reader.readline():
                words = []
                for _ in range(int(head[1:])):
                    size = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(size + 2))[:-2])
                match words[0].upper():
                    case b"SET":
                        store[words[1]] = words[2]
                        writer.write(b"+OK\r\n")
                    case b"GET":
                        value = store.get(words[1])
                        writer.write(b"_\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value))
                    case b"HELLO":
                        writer.write(b"%1\r\n$5\r\nproto\r\n:3\r\n")
                    case _:
                        writer.write(b"+OK\r\n")
            writer.close()

        server = await asyncio.start_server(serve, host, 6379)
        async with redis.asyncio.Redis(host=host) as client:
            await client.set("name", "fate")
            value = await client.get("name"), await client.get("nothing")
        server.close()
        return value

    assert sim.run(main) == (b"fate", None)


@pytest.mark.parametrize("host", HOSTS)
def test_anyio(host):
    async def main():
        listener = await anyio.create_tcp_listener(local_host=host, local_port=5000)

        async def handle(stream):
            async with stream:
                await stream.send(await anyio.to_thread.run_sync(slowly, await stream.receive()))

        def slowly(data):
            time.sleep(30)
            return data.upper()

        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, handle)
            async with await anyio.connect_tcp(host, 5000) as stream:
                await stream.send(b"hello")
                answer = await stream.receive()
            group.cancel_scope.cancel()
        await listener.aclose()
        return answer

    assert sim.run(main) == b"HELLO"
