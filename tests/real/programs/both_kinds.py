"""A Twisted web server that asks another through aiohttp, and an aiohttp server that asks it through Twisted."""

import asyncio
import sys

if "twisted.internet.reactor" not in sys.modules:
    from twisted.internet import asyncioreactor

    asyncioreactor.install()

import aiohttp
from aiohttp import web
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred
from twisted.web.client import Agent, HTTPConnectionPool, readBody
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site


class Backend(Resource):
    isLeaf = True

    def render_GET(self, request):
        def answer(_):
            request.write(b"backend %s" % request.path)
            request.finish()

        task.deferLater(reactor, 0.001).addCallback(answer)
        return NOT_DONE_YET


class Front(Resource):
    """A Twisted resource whose client is aiohttp."""

    isLeaf = True

    def __init__(self, session, backend):
        super().__init__()
        self.session, self.backend = session, backend

    def render_GET(self, request):
        def answer(text):
            request.write(f"front of {text}".encode())
            request.finish()

        def failed(failure):
            request.setResponseCode(502)
            request.write(failure.type.__name__.encode())
            request.finish()

        fetched = Deferred.fromFuture(asyncio.ensure_future(self.fetch(request.path.decode())))
        fetched.addCallbacks(answer, failed)
        return NOT_DONE_YET

    async def fetch(self, path):
        if path == "/slow":
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        async with self.session.get(f"{self.backend}{path}") as response:
            return await response.text()


async def main():
    loop = asyncio.get_running_loop()
    pool = HTTPConnectionPool(reactor, persistent=False)
    agent = Agent(reactor, pool=pool)

    def serve(resource):
        port = reactor.listenTCP(0, Site(resource), interface="127.0.0.1")
        return port, f"http://127.0.0.1:{port.getHost().port}"

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        backend, address = serve(Backend())
        front, front_address = serve(Front(session, address))

        async def handle(request):
            """aiohttp's server, whose client is Twisted."""
            response = await agent.request(b"GET", f"{front_address}{request.path}".encode()).asFuture(loop)
            body = await readBody(response).asFuture(loop)
            return web.Response(status=response.code, text=f"aiohttp of {body.decode()}")

        runner = web.AppRunner(app(handle))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        number = runner.addresses[0][1]

        async def get(path):
            async with session.get(f"http://127.0.0.1:{number}{path}") as response:
                return response.status, await response.text()

        print(await asyncio.gather(*(get(f"/{page}") for page in range(20))))
        print(await get("/slow"))
        await runner.cleanup()
        for port in (front, backend):
            await Deferred.asFuture(port.stopListening(), loop)


def app(handle):
    made = web.Application()
    made.router.add_get("/{tail:.*}", handle)
    return made


def start():
    print(type(reactor).__name__, Deferred.__module__)
    done = Deferred.fromFuture(asyncio.ensure_future(main()))
    done.addErrback(lambda failure: failure.printTraceback(sys.stderr))
    done.addBoth(lambda _: reactor.stop())


reactor.callWhenRunning(start)
reactor.run()
