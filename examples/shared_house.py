"""A Twisted protocol and an asyncio service under one roof: one process, one thread, one loop.

    python examples/shared_house.py

The door is Twisted's: a LineReceiver that takes orders. The kitchen is asyncio's: a task that takes them from a queue,
asks a clock that Twisted keeps, and cooks. A guest, who knows only asyncio's streams, comes in and orders.
Twisted itself is needed: pip install fate-loop[twisted]
"""

import asyncio

import fate.tx

fate.tx.install()  # before anything imports twisted.internet.reactor

from twisted.internet import defer, endpoints, protocol, reactor, task  # noqa: E402
from twisted.protocols.basic import LineOnlyReceiver  # noqa: E402

from fate.tools import in_thread  # noqa: E402


class Kitchen:
    """An asyncio service: `orders` holds what is to be cooked, and the Future of each dish."""

    def __init__(self):
        self.orders = asyncio.Queue()

    async def cook(self):
        while True:
            dish, ready = await self.orders.get()
            await task.deferLater(reactor, 0.01, lambda: None).asFuture(asyncio.get_running_loop())
            ready.set_result(await in_thread(str.upper, dish))  # heavy work: not in the loop's thread

    def order(self, dish):
        """For Twisted's code: a Deferred of the dish."""
        ready = asyncio.get_running_loop().create_future()
        self.orders.put_nowait((dish, ready))
        return defer.Deferred.fromFuture(ready)


class Door(LineOnlyReceiver):
    """A Twisted protocol: each line is an order."""

    delimiter = b"\n"

    @defer.inlineCallbacks
    def lineReceived(self, line):  # noqa: N802
        dish = yield self.factory.kitchen.order(line.decode())
        self.sendLine(f"Here is your {dish}.".encode())


async def guest(port, *dishes):
    """An asyncio client."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for dish in dishes:
        writer.write(f"{dish}\n".encode())
    for _ in dishes:
        print((await reader.readline()).decode(), end="")
    writer.close()
    await writer.wait_closed()


async def main():
    kitchen = Kitchen()
    cooking = asyncio.create_task(kitchen.cook())
    factory = protocol.ServerFactory.forProtocol(Door)
    factory.kitchen = kitchen
    door = await endpoints.TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory).asFuture(reactor.loop)
    await guest(door.getHost().port, "tea", "bread and butter")
    cooking.cancel()
    await defer.maybeDeferred(door.stopListening).asFuture(reactor.loop)


def start():
    """Twisted waits for asyncio's task, and stops when it is done."""
    global service
    service = asyncio.ensure_future(main())  # kept, since asyncio keeps no task alive by itself
    done = defer.Deferred.fromFuture(service)
    done.addErrback(lambda failure: failure.printTraceback())
    done.addCallback(lambda _: reactor.stop())


reactor.callWhenRunning(start)
reactor.run()
