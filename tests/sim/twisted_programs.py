"""Twisted's programs, and those of `fate.reactor`, in universes: a program of its own, for a process has one reactor.

Each function tells what it saw; printed is, by name, what each saw in two universes of one seed, and what failed there.
"""

import json
import signal
import sys
import threading
import time

import fate.tx

fate.tx.install()

import treq  # noqa: E402  # after install()
from twisted.internet import defer, error, protocol, reactor, task, threads  # noqa: E402
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol  # noqa: E402
from twisted.protocols.basic import LineReceiver  # noqa: E402
from twisted.web import resource, server  # noqa: E402

import fate.reactor  # noqa: E402
from fate import sim  # noqa: E402

seen = []


class Echo(LineReceiver):
    def lineReceived(self, line):
        if line == b"quit":
            self.transport.loseConnection()
        elif line == b"fail":
            raise LookupError("no such line")
        else:
            self.sendLine(line.upper())


class Client(LineReceiver):
    def __init__(self):
        self.lines = defer.DeferredQueue()
        self.ended = defer.Deferred()

    def lineReceived(self, line):
        self.lines.put(line)

    def connectionLost(self, reason):
        self.ended.callback(type(reason.value).__name__)


def listen():
    return reactor.listenTCP(0, protocol.ServerFactory.forProtocol(Echo), interface="127.0.0.1").getHost().port


async def connect(port, host="127.0.0.1"):
    return await connectProtocol(TCP4ClientEndpoint(reactor, host, port), Client())


class Page(resource.Resource):
    isLeaf = True

    def render_GET(self, request):
        return b"this is " + request.path

    def render_POST(self, request):
        reactor.callLater(3600, self.answer, request)
        return server.NOT_DONE_YET

    def answer(self, request):
        request.write(request.content.read()[::-1])
        request.finish()


def twisted(function):
    async def main():
        await fate.tx.run(function)

    return main


@twisted
async def lines(reactor):
    client = await connect(listen())
    client.sendLine(b"hello")
    seen.append((await client.lines.get()).decode())
    client.sendLine(b"quit")
    seen.append(await client.ended)


@twisted
async def hours(reactor):
    began, clock = reactor.seconds(), time.monotonic()
    await task.deferLater(reactor, 7200, lambda: None)
    seen.append([round(reactor.seconds() - began), round(time.monotonic() - clock), round(began)])


@twisted
async def workers(reactor):
    began = time.time()
    await defer.gatherResults([threads.deferToThread(time.sleep, 60) for _ in range(3)])
    seen.append([round(time.time() - began), await threads.deferToThread(threads.blockingCallFromThread, reactor, int)])


@twisted
async def pages(reactor):
    reactor.listenTCP(80, server.Site(Page()))
    answer = await treq.get("http://localhost/here")
    seen.append([answer.code, await answer.text()])
    answer = await treq.post("http://127.0.0.1/", data=b"abc")
    seen.append([answer.code, await answer.text()])


@twisted
async def ended_by_a_crash(reactor):
    sim.current().host("server", reactor_on_its_host)
    await task.deferLater(reactor, 1, lambda: None)
    client = await connect(8000, "server")
    client.sendLine(b"who")
    seen.append((await client.lines.get()).decode())
    sim.current().hosts["server"].crash()
    seen.append(await client.ended)


async def reactor_on_its_host():
    await fate.tx.run(lambda reactor: reactor.listenTCP(8000, protocol.ServerFactory.forProtocol(Echo)) and None)


@twisted
async def error_in_a_protocol(reactor):
    client = await connect(listen())
    client.sendLine(b"fail")
    seen.append(await client.ended)


@twisted
async def error_that_nobody_handles(reactor):
    defer.fail(LookupError("lost"))
    looped = defer.fail(LookupError("lost in a circle"))
    looped.me = looped
    await task.deferLater(reactor, 1, lambda: None)


@twisted
async def waits_for_ever(reactor):
    await defer.Deferred()


@twisted
async def raises(reactor):
    await task.deferLater(reactor, 1, lambda: None)
    raise LookupError("as it is")


@twisted
def stops(reactor):
    reactor.addSystemEventTrigger("before", "shutdown", task.deferLater, reactor, 5, seen.append, "shut down")
    reactor.callLater(1, reactor.stop)


async def unchanged():
    """As a script of Twisted's ends: reactor.run()."""
    port, began = listen(), time.time()
    client = Client()
    task.deferLater(reactor, 1, connectProtocol, TCP4ClientEndpoint(reactor, "127.0.0.1", port), client)
    client.lines.get().addCallback(lambda line: (seen.append(line.decode()), reactor.callLater(60, reactor.stop)))
    reactor.callLater(2, lambda: client.sendLine(b"hello"))
    reactor.run()
    seen.append(round(time.time() - began))


async def signalled():
    reactor.callLater(5, sim.current().main.signal, signal.SIGTERM)
    began = time.time()
    reactor.run()
    seen.append(round(time.time() - began))


async def run_on_another_host():
    async def server():
        reactor.run()

    sim.current().host("server", server)
    await fate.tx.run(lambda reactor: task.deferLater(reactor, 1, lambda: None))


async def without_twisted():
    class Shout(fate.reactor.LineReceiver):
        def lineReceived(self, line):
            self.sendLine(line.upper())

    class Ask(fate.reactor.LineReceiver):
        def connectionMade(self):
            self.sendLine(b"hello")

        def lineReceived(self, line):
            seen.append(line.decode())
            fate.reactor.callLater(60, fate.reactor.stop)

    served, asked = fate.reactor.Factory(), fate.reactor.ClientFactory()
    served.protocol, asked.protocol = Shout, Ask
    began = time.time()
    port = fate.reactor.listenTCP(0, served, interface="127.0.0.1").getHost().port
    fate.reactor.connectTCP("127.0.0.1", port, asked)
    fate.reactor.deferToThread(time.sleep, 5).addCallback(lambda _: seen.append(round(time.time() - began)))
    fate.reactor.run()
    seen.append(round(time.time() - began))


SCENARIOS = [
    lines, hours, workers, pages, ended_by_a_crash, error_in_a_protocol, error_that_nobody_handles, waits_for_ever,
    raises, stops, unchanged, signalled, run_on_another_host, without_twisted,
]  # fmt: skip
NAMES = [name for name, value in list(globals().items()) if any(value is each for each in SCENARIOS)]


def once(name):
    seen.clear()
    result = sim.attempt(globals()[name], 3, history=True)
    failures = [(failure.kind, type(failure.error).__name__, failure.message) for failure in result.failures]
    return {"seen": list(seen), "failures": failures, "seconds": round(result.seconds)}, result.events


def real_world():
    """Both reactors are what they were."""
    assert not reactor.running
    assert not reactor.getDelayedCalls()
    reactor.callLater(0, reactor.stop)
    reactor.run()
    fate.reactor.callLater(0, fate.reactor.stop)
    fate.reactor.run()
    return [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]


def main():
    out = {}
    for name in NAMES:
        (first, events), (second, again) = once(name), once(name)
        out[name] = first
        assert (first, events) == (second, again), name
    out["real_world"] = real_world()
    json.dump(out, sys.stdout)


if __name__ == "__main__":
    assert error.ConnectionDone
    main()
