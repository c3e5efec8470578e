"""A Klein server and a treq client that ask each other for JSON, for a stream, and for trouble."""

import json
import sys

import treq
from klein import Klein
from twisted.internet import reactor, task
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, gatherResults, inlineCallbacks
from twisted.internet.error import ConnectionRefusedError
from twisted.web.client import ResponseFailed, ResponseNeverReceived
from twisted.web.server import Site

app = Klein()


@app.route("/sum", methods=["POST"])
def add(request):
    numbers = json.loads(request.content.read())
    request.setHeader("content-type", "application/json")
    return json.dumps({"sum": sum(numbers)})


@app.route("/later/<int:number>")
async def later(request, number):
    await task.deferLater(reactor, 0.001 * number)
    return f"number {number}"


@app.route("/stream")
@inlineCallbacks
def stream(request):
    for part in range(50):
        request.write(b"%d " % part * 1000)
        yield task.deferLater(reactor, 0)


@app.route("/broken")
def broken(request):
    raise ZeroDivisionError("as it was told to")


@app.route("/missing")
def missing(request):
    raise KeyError("nothing here")


@app.handle_errors(KeyError)
def key_error(request, failure):
    request.setResponseCode(410)
    return f"gone: {failure.value}"


@app.route("/never")
def never(request):
    return Deferred()


@app.route("/cut")
def cut(request):
    request.setHeader("content-length", "100")
    request.write(b"half")
    request.transport.abortConnection()
    return Deferred()


async def talk(port):
    def url(path):
        return f"http://127.0.0.1:{port}/{path}"

    response = await treq.post(url("sum"), json=[1, 2, 39])
    print("JSON:", response.code, await response.json())

    responses = await gatherResults([treq.get(url(f"later/{number}")) for number in range(30)])
    print("many:", await gatherResults([treq.text_content(response) for response in responses]))

    sizes = []
    response = await treq.get(url("stream"), unbuffered=True)
    await treq.collect(response, lambda data: sizes.append(len(data)))
    print("stream:", response.code, sum(sizes), len(sizes) > 1)

    for path in ("broken", "missing", "nowhere"):
        response = await treq.get(url(path))
        print(path + ":", response.code, len(await response.content()) > 0)

    for path in ("never", "cut"):
        try:
            response = await treq.get(url(path), timeout=0.2 if path == "never" else None)
            print(path + ":", response.code, await response.content())
        except (CancelledError, ResponseFailed, ResponseNeverReceived) as error:
            reasons = [failure.type.__name__ for failure in getattr(error, "reasons", [])]
            print(path + ":", type(error).__name__, reasons)


async def main():
    port = reactor.listenTCP(0, Site(app.resource()), interface="127.0.0.1")
    number = port.getHost().port
    try:
        await talk(number)
    finally:
        await port.stopListening()
    try:
        await treq.get(f"http://127.0.0.1:{number}/", persistent=False)
    except ConnectionRefusedError as error:
        print("closed:", type(error).__name__)


def start():
    print(type(reactor).__name__, Deferred.__module__)
    done = ensureDeferred(main())
    done.addErrback(lambda failure: failure.printTraceback(sys.stderr))
    done.addBoth(lambda _: reactor.stop())


reactor.callWhenRunning(start)
reactor.run()
