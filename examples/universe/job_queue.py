"""A queue of jobs over TCP, by Twisted: a job is handed to a worker who has gone, and nobody does it.

    fate explore examples/universe/job_queue.py::main          finds a job that gets lost
    fate explore examples/universe/job_queue.py::fixed         finds nothing

The office keeps its jobs in a DeferredQueue. A worker who has waited for a second hangs up and comes again. His place
in the queue remains, and gets the next job. In practice the job comes before that, unless its message is late. The fix
gives the place up when the connection is lost, and puts back every job that the worker has not confirmed.
"""

import fate.tx

fate.tx.install()

from twisted.internet import defer, error, protocol, reactor, task  # noqa: E402  # after install()
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol  # noqa: E402
from twisted.protocols.basic import LineReceiver  # noqa: E402

PORT = 7005
PATIENCE = 1.0  # seconds


class Office(LineReceiver):
    """The server's end of a connection: PUT brings a job, GET asks for one, DONE confirms the last one."""

    def connectionMade(self):
        self.place = None
        self.job = None

    def lineReceived(self, line):
        command, _, job = line.partition(b" ")
        if command == b"PUT":
            self.factory.queue.put(job)
            self.sendLine(b"noted")
        elif command == b"GET":
            self.place = self.factory.queue.get()
            self.place.addCallbacks(self.give, lambda failure: failure.trap(defer.CancelledError))
        else:
            self.job = None

    def give(self, job):
        self.job = job
        self.sendLine(job)

    def connectionLost(self, reason):
        if self.factory.careful and self.place is not None:
            self.place.cancel()
            if self.job is not None:
                self.factory.queue.put(self.job)


class Client(LineReceiver):
    """Says one thing, and gets one answer."""

    def __init__(self):
        self.answer = defer.Deferred()

    def ask(self, line):
        self.sendLine(line)
        return self.answer

    def lineReceived(self, line):
        self.answer.callback(line)

    def connectionLost(self, reason):
        if not self.answer.called:
            self.answer.errback(reason)


def connect():
    return connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", PORT), Client())


async def work():
    """Ask for a job until there is one."""
    while True:
        client = await connect()
        patience = reactor.callLater(PATIENCE, client.transport.loseConnection)
        try:
            job = await client.ask(b"GET")
            client.sendLine(b"DONE")
            return job
        except error.ConnectionDone:
            continue
        finally:
            client.transport.loseConnection()
            if patience.active():
                patience.cancel()


async def one_job(reactor, careful):
    factory = protocol.ServerFactory.forProtocol(Office)
    factory.queue = defer.DeferredQueue()
    factory.careful = careful
    reactor.listenTCP(PORT, factory, interface="127.0.0.1")
    working = defer.ensureDeferred(work())
    customer = await connect()
    assert await task.deferLater(reactor, 0.95, customer.ask, b"PUT sweep the floor") == b"noted"
    try:
        job = await working.addTimeout(60, reactor)
    except defer.TimeoutError:
        raise AssertionError("nobody does the job") from None
    assert job == b"sweep the floor"


async def main():
    await fate.tx.run(one_job, False)


async def fixed():
    await fate.tx.run(one_job, True)
