"""asyncio's streams on Fate's transports: each scenario does the same as on asyncio's own loop."""

from __future__ import annotations

import asyncio
import gc
import inspect
import socket
import ssl
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from fate import Fate
from fate.net import readers

AUTHORITY = trustme.CA()
SERVER = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
CLIENT = ssl.create_default_context()
AUTHORITY.issue_cert("localhost").configure_cert(SERVER)
AUTHORITY.configure_trust(CLIENT)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
LIMIT = 100
SCENARIOS: list[Callable[..., Any]] = []


def scenario(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function(here, there)`: two ends of one connection; what it returns must be the same on both loops."""
    SCENARIOS.append(function)
    return function


async def connected(secure: bool) -> tuple[Any, Streams, Streams]:
    accepted: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result((reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=LIMIT, ssl=SERVER if secure else None)
    port = server.sockets[0].getsockname()[1]
    options: dict[str, Any] = {"ssl": CLIENT, "server_hostname": "localhost"} if secure else {}
    client = await asyncio.open_connection("127.0.0.1", port, limit=LIMIT, **options)
    return server, client, await accepted


async def outcome(awaitable: Any) -> Any:
    """What it returns, or what it raises, in words."""
    try:
        return await awaitable
    except Exception as error:
        return type(error).__name__, str(error), getattr(error, "partial", None)


async def turned(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0)


def play(loop: Any, function: Callable[..., Any], secure: bool) -> Any:
    async def main() -> Any:
        server, here, there = await connected(secure)
        try:
            return await asyncio.wait_for(function(here, there), 20)
        finally:
            for _, writer in (here, there):
                writer.transport.abort()
            server.close()
            await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main())


@scenario
async def sizes(here: Streams, there: Streams) -> Any:
    here[1].write(b"0123456789" * 5)
    found = [
        await there[0].readexactly(3),
        await there[0].read(4),
        await there[0].read(0),
        await there[0].readexactly(0),
    ]
    found.append(await there[0].readexactly(43))
    return [*found, there[0].at_eof()]


@scenario
async def the_whole(here: Streams, there: Streams) -> Any:
    for number in range(50):
        here[1].write(b"%d " % number * 20)
        await here[1].drain()
    here[1].close()
    return await there[0].read(), await there[0].read(), await there[0].read(5), there[0].at_eof()


@scenario
async def lines(here: Streams, there: Streams) -> Any:
    here[1].write(b"one\ntwo\nthree;four")
    here[1].close()
    found = [await there[0].readline(), await there[0].readuntil(b"o"), await there[0].readuntil(b";")]
    return [*found, await outcome(there[0].readuntil(b";")), await there[0].readline()]


@scenario
async def too_long_a_line(here: Streams, there: Streams) -> Any:
    here[1].write(b"x" * 150 + b"\n" + b"y" * 10)
    await turned(lambda: len(there[0]._buffer) == 161)  # type: ignore[attr-defined]
    return [await outcome(there[0].readuntil(b"\n")), await outcome(there[0].readline()), await there[0].read(100)]


@scenario
async def too_little(here: Streams, there: Streams) -> Any:
    here[1].write(b"abc")
    here[1].close()
    return [await outcome(there[0].readexactly(10)), await outcome(there[0].readexactly(1)), await there[0].read(1)]


@scenario
async def wrong_sizes(here: Streams, there: Streams) -> Any:
    return await outcome(there[0].readexactly(-1))


@scenario
async def two_readers(here: Streams, there: Streams) -> Any:
    first = asyncio.ensure_future(there[0].read(10))
    await asyncio.sleep(0)
    second = [
        await outcome(there[0].read(10)),
        await outcome(there[0].readexactly(1)),
        await outcome(there[0].readline()),
    ]
    here[1].write(b"for the first")
    return await first, second


@scenario
async def cancelled_reads_lose_nothing(here: Streams, there: Streams) -> Any:
    for read in (there[0].read(10), there[0].readexactly(10), there[0].readline()):
        task = asyncio.ensure_future(read)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    task = asyncio.ensure_future(there[0].read(10))
    await asyncio.sleep(0)
    here[1].write(b"abcdef")
    await turned(lambda: there[0]._buffer)  # type: ignore[attr-defined]
    task.cancel()  # it has been told, and has not run
    return await asyncio.gather(task, return_exceptions=True) == [b"abcdef"], bytes(there[0]._buffer)  # type: ignore[attr-defined]


@scenario
async def much_is_left_to_the_peer(here: Streams, there: Streams) -> Any:
    there[1].transport.set_write_buffer_limits(high=1000)
    transport = here[0]._transport  # type: ignore[attr-defined]
    there[1].write(b"x" * 1000)
    await turned(lambda: not transport.is_reading())
    paused = here[0]._paused  # type: ignore[attr-defined]
    await here[0].readexactly(950)
    return paused, transport.is_reading(), await here[0].readexactly(50)


@scenario
async def more_than_the_limit_at_once(here: Streams, there: Streams) -> Any:
    data = bytes(range(256)) * 1000
    task = asyncio.ensure_future(there[0].readexactly(len(data)))
    for start in range(0, len(data), 5000):
        here[1].write(data[start : start + 5000])
        await here[1].drain()
    return await task == data


@scenario
async def a_reset(here: Streams, there: Streams) -> Any:
    task = asyncio.ensure_future(outcome(there[0].read(10)))
    await asyncio.sleep(0)
    there[0].set_exception(ConnectionResetError("gone"))
    return (
        await task,
        await outcome(there[0].read(1)),
        await outcome(there[0].readexactly(1)),
        repr(there[0].exception()),
    )


@scenario
async def drained_after_the_end(here: Streams, there: Streams) -> Any:
    here[1].transport.abort()
    await here[1].wait_closed()
    here[1].write(b"into the void")
    return await outcome(here[1].drain())


@scenario
async def drained_while_full(here: Streams, there: Streams) -> Any:
    here[1].transport.set_write_buffer_limits(high=0)
    size = 8 << 20
    here[1].write(bytes(size))
    drain = asyncio.ensure_future(here[1].drain())
    await asyncio.sleep(0)
    waits = not drain.done()
    read = len(await there[0].readexactly(size))
    await drain
    return waits, read


@scenario
async def fed_by_hand(here: Streams, there: Streams) -> Any:
    here[0].feed_data(b"")
    here[0].feed_data(b"by hand")
    here[0].feed_eof()
    try:
        here[0].feed_data(b"late")
    except AssertionError as error:
        return await here[0].read(), str(error), here[0].at_eof()
    return None


@scenario
async def iterated(here: Streams, there: Streams) -> Any:
    here[1].write(b"a\nb\nc")
    here[1].close()
    return [line async for line in there[0]]


@scenario
async def seen_from_outside(here: Streams, there: Streams) -> Any:
    reading = there[0].read(3)
    task = asyncio.ensure_future(reading)
    await asyncio.sleep(0)
    seen = [inspect.iscoroutine(reading), task.get_stack()[-1].f_code.co_name, reading.__qualname__]
    words = repr(there[0]).split()
    here[1].write(b"abc")
    return seen, words[0], words[1][:7], isinstance(there[0], asyncio.StreamReader), await task


@scenario
async def replaced_by_the_program(here: Streams, there: Streams) -> Any:
    got: list[bytes] = []
    protocol: Any = there[1].transport.get_protocol()
    protocol.data_received = got.append
    here[1].write(b"elsewhere")
    await turned(lambda: got)
    return got, bytes(there[0]._buffer)  # type: ignore[attr-defined]


@scenario
async def watched_by_the_program(here: Streams, there: Streams) -> Any:
    got: list[bytes] = []
    feed = there[0].feed_data

    def spy(data: bytes) -> None:
        got.append(data)
        feed(data)

    there[0].feed_data = spy  # type: ignore[method-assign,assignment]
    here[1].write(b"seen")
    return await there[0].readexactly(4), got


@scenario
async def given_another_reader(here: Streams, there: Streams) -> Any:
    another = asyncio.StreamReader()
    protocol: Any = there[1].transport.get_protocol()
    protocol._stream_reader_wr = weakref.ref(another)
    here[1].write(b"to another")
    return await another.readexactly(10), bytes(there[0]._buffer)  # type: ignore[attr-defined]


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("function", SCENARIOS, ids=lambda function: function.__name__)
def test_streams_are_asyncios(function: Callable[..., Any], secure: bool) -> None:
    assert play(Fate, function, secure) == play(asyncio.SelectorEventLoop, function, secure)


def test_it_is_fates_own_reader() -> None:
    async def look(here: Streams, there: Streams) -> Any:
        return [type(reader) for reader, _ in (here, there)]

    assert play(Fate, look, False) == [readers.StreamReader] * 2
    assert play(Fate, look, True) == [readers.StreamReader] * 2


def test_readers_and_protocols_of_other_classes_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(asyncio.StreamReader):
        pass

    class OwnProtocol(asyncio.StreamReaderProtocol):
        pass

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        kinds = []
        for reader, kind in ((Own(), asyncio.StreamReaderProtocol), (asyncio.StreamReader(), OwnProtocol)):
            ours, theirs = socket.socketpair()
            transport, protocol = await loop.create_connection(lambda: kind(reader), sock=ours)
            theirs.send(b"abc")
            assert await reader.readexactly(3) == b"abc"
            kinds.append((type(reader), type(protocol)))
            transport.close()
            theirs.close()
        return kinds

    with asyncio.Runner(loop_factory=Fate) as runner:
        assert runner.run(main()) == [(Own, asyncio.StreamReaderProtocol), (asyncio.StreamReader, OwnProtocol)]

    async def look(here: Streams, there: Streams) -> Any:
        return type(here[0])

    monkeypatch.setattr(asyncio.StreamReader, "feed_data", lambda self, data: None)
    assert play(Fate, look, False) is asyncio.StreamReader


def test_what_comes_for_a_reader_that_is_no_more_is_dropped() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        protocol = asyncio.StreamReaderProtocol(reader := asyncio.StreamReader())
        transport, _ = await loop.create_connection(lambda: protocol, sock=ours)
        inbox: Any = reader._inbox  # type: ignore[attr-defined]
        del reader
        gc.collect()
        with theirs:
            protocol.data_received(b"nobody")
            assert not inbox._buffer
            transport.close()

    with asyncio.Runner(loop_factory=Fate) as runner:
        runner.run(main())
