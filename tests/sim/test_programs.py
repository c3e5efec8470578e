"""Libraries as they are, in a universe, on 127.0.0.1 and localhost."""

from __future__ import annotations

import asyncio
import ssl
import struct
import time

import aiohttp
import anyio
import anyio.to_thread
import asyncpg
import httpx
import pytest
import redis.asyncio
import trustme
import uvicorn
import websockets
from aiohttp import web

import fate
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


class ToyPostgres:
    """As much of PostgreSQL's protocol as `select shout($1), count($1)` and statements without a result ask for.

    context: of TLS; None: the server has none. executed: the statements that gave no result.
    """

    INT4, TEXT = 23, 25

    def __init__(self, context):
        self.context = context
        self.executed = []

    async def serve(self, reader, writer):
        async def startup():
            return await reader.readexactly(struct.unpack("!i", await reader.readexactly(4))[0] - 4)

        def tell(kind, body=b""):
            writer.write(kind + struct.pack("!i", len(body) + 4) + body)

        if (body := await startup()) == struct.pack("!i", 80877103):  # SSLRequest
            writer.write(b"N" if self.context is None else b"S")
            if self.context is not None:
                await writer.start_tls(self.context)
            body = await startup()
        assert b"user\0lachesis\0" in body
        tell(b"R", struct.pack("!i", 0))  # authenticated
        for setting in (b"server_version\x0016.1\0", b"client_encoding\0UTF8\0", b"TimeZone\0UTC\0"):
            tell(b"S", setting)
        tell(b"K", struct.pack("!ii", 1, 2))
        tell(b"Z", b"I")
        while (kind := await reader.readexactly(1)) != b"X":
            body = await reader.readexactly(struct.unpack("!i", await reader.readexactly(4))[0] - 4)
            self.answer(kind, body, tell)
        writer.close()

    def answer(self, kind, body, tell):
        match kind:
            case b"Q":
                self.executed.append(body.rstrip(b"\0").decode())
                tell(b"C", b"DO\0")
                tell(b"Z", b"I")
            case b"P":
                tell(b"1")
            case b"D":
                tell(b"t", struct.pack("!hi", 1, self.TEXT))
                columns = [(b"shout", self.TEXT, -1), (b"count", self.INT4, 4)]
                described = [name + struct.pack("!xihihih", 0, 0, oid, size, -1, 1) for name, oid, size in columns]
                tell(b"T", struct.pack("!h", len(columns)) + b"".join(described))
            case b"B":
                _, _, rest = body.partition(b"\0")
                _, _, rest = rest.partition(b"\0")
                formats = struct.unpack_from("!h", rest)[0]
                at = 2 + 2 * formats + 2
                size = struct.unpack_from("!i", rest, at)[0]
                value = rest[at + 4 : at + 4 + size]
                tell(b"2")
                fields = [value.decode().upper().encode(), struct.pack("!i", len(value.decode()))]
                row = b"".join(struct.pack("!i", len(field)) + field for field in fields)
                tell(b"D", struct.pack("!h", len(fields)) + row)
            case b"E":
                tell(b"C", b"SELECT 1\0")
            case b"S":
                tell(b"Z", b"I")


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("run", [fate.run, sim.run], ids=["real", "universe"])
def test_asyncpg_and_a_toy_server(contexts, run, tls, host):
    async def main():
        toy = ToyPostgres(contexts[0] if tls else None)
        server = await asyncio.start_server(toy.serve, host, 0)
        port = server.sockets[0].getsockname()[1]
        connection = await asyncpg.connect(
            host=host, port=port, user="lachesis", database="threads", ssl=contexts[1] if tls else "prefer"
        )
        tag = await connection.execute("do nothing")
        rows = [await connection.fetchrow("select shout($1), count($1)", word) for word in ("spin", "mes\u00fcre")]
        await connection.close()
        server.close()
        await server.wait_closed()
        return tag, toy.executed, [dict(row) for row in rows]

    told = [{"shout": "SPIN", "count": 4}, {"shout": "MES\u00dcRE", "count": 6}]
    assert run(main() if run is fate.run else main) == ("DO", ["do nothing"], told)


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
