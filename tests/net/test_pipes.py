"""Pipes: what is written arrives, and the protocol is told what asyncio's own transports tell it.

Every test runs on Fate and on asyncio, so that what it asks for is what asyncio gives.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import pty
import tempfile
import termios
import threading
import weakref
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import DEADLINE, examples

from fate import Fate
from fate.net.pipes import ReadPipe, WritePipe

HUGE = 3_000_000  # more than a pipe holds, and a socket
LOOPS = {"fate": Fate, "asyncio": asyncio.SelectorEventLoop}


class Told(asyncio.Protocol):
    """Notes what it is told; of data, all of it."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.events: list[Any] = []
        self.data = bytearray()
        self.more: asyncio.Future[None] | None = None
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes and data
        self.data += data
        if self.more is not None and not self.more.done():
            self.more.set_result(None)

    def eof_received(self) -> None:
        self.events.append("eof")

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.events.append(("lost", type(exc)))
        self.lost.set_result(exc)

    async def until(self, size: int) -> None:
        """Until so many bytes have come."""
        while len(self.data) < size:
            self.more = asyncio.get_running_loop().create_future()
            await self.more


class Ends:
    """A pipe, or a pair of sockets, with a transport at each end."""

    def __init__(self, reader: Told, writer: Told) -> None:
        self.reader, self.writer = reader, writer
        self.source, self.sink = reader.transport, writer.transport

    async def over(self) -> None:
        await self.reader.lost
        await self.writer.lost


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> Iterator[Any]:
    loop = LOOPS[request.param]()
    yield loop
    loop.close()


def run(loop: Any, coroutine: Any) -> Any:
    async def within() -> Any:
        async with asyncio.timeout(DEADLINE):
            return await coroutine

    return loop.run_until_complete(within())


async def read_end(fd: int) -> Told:
    _, told = await asyncio.get_running_loop().connect_read_pipe(Told, os.fdopen(fd, "rb", 0))
    return cast("Told", told)


async def write_end(fd: int) -> Told:
    _, told = await asyncio.get_running_loop().connect_write_pipe(Told, os.fdopen(fd, "wb", 0))
    return cast("Told", told)


async def both() -> Ends:
    read, write = os.pipe()
    return Ends(await read_end(read), await write_end(write))


def pattern(size: int, seed: int = 0) -> bytes:
    return (bytes(range(251)) * (size // 251 + 2))[seed % 251 :][:size]


def test_fates_pipes_are_its_own() -> None:
    loop = Fate()

    async def main() -> None:
        ends = await both()
        assert type(ends.source) is ReadPipe and type(ends.sink) is WritePipe
        assert isinstance(ends.source, asyncio.ReadTransport) and isinstance(ends.sink, asyncio.WriteTransport)
        ends.sink.close()
        await ends.over()
        assert "closed" in repr(ends.source) and "closed" in repr(ends.sink)

    run(loop, main())
    loop.close()


@pytest.mark.parametrize("size", [1, 1000, 4096, 70_000, HUGE])
def test_what_is_written_arrives(loop: Any, size: int) -> None:
    async def main() -> None:
        ends = await both()
        sent = pattern(size)
        for _ in range(3):
            ends.sink.write(sent)
        await ends.reader.until(3 * size)
        assert ends.reader.data == 3 * sent
        assert ends.sink.get_write_buffer_size() == 0
        ends.sink.close()
        await ends.over()
        assert ends.reader.events == ["made", "eof", ("lost", type(None))]
        assert ends.writer.events[-1] == ("lost", type(None))

    run(loop, main())


def test_buffers_may_change_after_the_write(loop: Any) -> None:
    async def main() -> None:
        ends = await both()
        ends.source.pause_reading()
        ends.sink.write(b"")
        ends.sink.write(bytes(HUGE))  # the pipe is full
        for kind in (bytearray, lambda data: memoryview(bytearray(data))):
            buffer = kind(b"abc" * 100)
            ends.sink.write(buffer)
            buffer[:] = b"xyz" * 100
        ends.sink.writelines([b"1", bytearray(b"2"), memoryview(b"3")])
        ends.source.resume_reading()
        ends.sink.write_eof()
        await ends.over()
        assert bytes(ends.reader.data[HUGE:]) == b"abc" * 200 + b"123"

    run(loop, main())


def test_flow_control(loop: Any) -> None:
    async def main() -> None:
        ends = await both()
        ends.sink.set_write_buffer_limits(high=1000, low=10)
        ends.source.pause_reading()
        ends.sink.write(bytes(65536))  # what the pipe holds
        assert ends.sink.get_write_buffer_size() == 0
        ends.sink.write(bytes(1000))
        assert ends.writer.events == ["made"]
        ends.sink.write(b"1")
        assert ends.writer.events == ["made", "pause"]
        assert ends.sink.get_write_buffer_size() == 1001
        ends.source.resume_reading()
        await ends.reader.until(65536 + 1001)
        await asyncio.sleep(0)
        assert ends.writer.events == ["made", "pause", "resume"]
        ends.sink.close()
        await ends.over()

    run(loop, main())


def test_resume_writing_comes_at_the_low_water_mark(loop: Any) -> None:
    async def main() -> None:
        ends = await both()
        left: list[int] = []
        ends.writer.resume_writing = lambda: left.append(ends.sink.get_write_buffer_size())  # type: ignore[method-assign]
        ends.sink.set_write_buffer_limits(high=200_000, low=100_000)
        ends.sink.write(bytes(65536 + 200_001))
        ends.sink.close()
        await ends.over()
        assert len(left) == 1 and 0 <= left[0] <= 100_000
        assert (left[0] > 0) == isinstance(loop, Fate)  # asyncio waits until nothing is left

    run(loop, main())


def test_resume_writing_may_write(loop: Any) -> None:
    async def main() -> None:
        ends = await both()
        parts = [pattern(HUGE, seed) for seed in range(3)]
        rest = parts[1:]

        def resume() -> None:
            if rest:
                ends.sink.write(rest.pop(0))
            else:
                ends.sink.close()

        ends.writer.resume_writing = resume  # type: ignore[method-assign]
        ends.sink.write(parts[0])
        await ends.over()
        assert ends.reader.data == b"".join(parts)

    run(loop, main())


def test_the_reader_goes_while_something_waits(loop: Any) -> None:
    async def main() -> None:
        ends = await both()
        ends.source.pause_reading()
        ends.sink.write(bytes(HUGE))
        ends.source.close()
        assert isinstance(await ends.writer.lost, BrokenPipeError)
        assert ends.sink.get_write_buffer_size() == 0
        ends.sink.write(b"to nobody")

    run(loop, main())


def test_the_reader_goes_while_nothing_waits(loop: Any) -> None:
    async def main() -> None:
        ends = await both()
        ends.source.close()
        assert await ends.writer.lost is None

    run(loop, main())


def test_a_write_after_the_reader_went_is_a_broken_pipe(loop: Any) -> None:
    async def main() -> None:
        read, write = os.pipe()
        writer = await write_end(write)
        os.close(read)
        writer.transport.write(b"x")  # in the same turn, before the loop knows
        assert writer.transport.is_closing()
        assert isinstance(await writer.lost, BrokenPipeError)
        assert writer.events == ["made", ("lost", BrokenPipeError)]

    run(loop, main())


def test_close_writes_what_waits_and_abort_does_not(loop: Any) -> None:
    async def main(abort: bool) -> int:
        ends = await both()
        ends.source.pause_reading()
        ends.sink.write(bytes(HUGE))
        ends.sink.abort() if abort else ends.sink.close()
        ends.sink.write(b"too late")
        ends.source.resume_reading()
        await ends.over()
        assert ends.writer.events[-1] == ("lost", type(None))
        ends.sink.write(b"far too late")
        ends.sink.close()
        if isinstance(loop, Fate):  # asyncio's raises an AttributeError
            ends.sink.abort()
        return len(ends.reader.data)

    assert run(loop, main(abort=False)) == HUGE
    assert run(loop, main(abort=True)) == 65536  # what was in the pipe


def test_writes_to_nobody_are_counted_and_told(loop: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        ends = await both()
        ends.sink.close()
        for _ in range(10):
            ends.sink.write(b"x")
        await ends.over()

    run(loop, main())
    assert "pipe closed by peer" in caplog.text


def test_another_protocol_takes_over(loop: Any) -> None:
    async def main() -> None:
        ends = await both()
        other = Told()
        ends.sink.write(b"one")
        await ends.reader.until(3)
        ends.source.set_protocol(other)
        assert ends.source.get_protocol() is other
        ends.sink.write(b"two")
        await other.until(3)
        ends.sink.close()
        await other.lost
        assert (bytes(ends.reader.data), bytes(other.data)) == (b"one", b"two")
        assert other.events == ["eof", ("lost", type(None))]

    run(loop, main())


def test_paused_inside_data_received(loop: Any) -> None:
    async def main() -> None:
        ends = await both()
        receive = ends.reader.data_received

        def pause(data: bytes) -> None:
            receive(data)
            ends.source.pause_reading()
            asyncio.get_running_loop().call_soon(ends.source.resume_reading)

        ends.reader.data_received = pause  # type: ignore[method-assign]
        ends.sink.write(bytes(HUGE))
        await ends.reader.until(HUGE)
        assert not ends.source._paused or len(ends.reader.data) == HUGE
        ends.source.close()
        await ends.over()

    run(loop, main())


def test_an_error_of_the_protocol_is_reported_and_reading_goes_on(loop: Any) -> None:
    reports: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reports.append(context))

    async def main() -> None:
        ends = await both()
        receive = ends.reader.data_received

        def fail(data: bytes) -> None:
            receive(data)
            if data == b"bad":
                raise LookupError("bad")

        ends.reader.data_received = fail  # type: ignore[method-assign]
        ends.sink.write(b"bad")
        await ends.reader.until(3)
        ends.sink.write(b"good")
        await ends.reader.until(7)
        ends.sink.close()
        await ends.over()

    run(loop, main())
    assert [type(report["exception"]) for report in reports] == [LookupError]


def test_a_failed_read_is_reported_and_ends_it(loop: Any) -> None:
    reports: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reports.append(context))

    async def main() -> None:
        ends = await both()
        with tempfile.TemporaryDirectory() as folder:
            directory = os.open(folder, os.O_RDONLY)
            os.dup2(directory, ends.source.get_extra_info("pipe").fileno())  # which cannot be read
            os.close(directory)
        ends.source.pause_reading()
        if isinstance(loop, Fate):
            loop.call_soon(ends.source._hot.receive, ends.source)
        else:
            loop.call_soon(ends.source._read_ready)
        assert isinstance(await ends.reader.lost, IsADirectoryError)
        await ends.writer.lost

    run(loop, main())
    assert [report["message"] for report in reports] == ["Fatal read error on pipe transport"]


def test_what_is_no_pipe_is_refused(loop: Any) -> None:
    async def main() -> None:
        with tempfile.TemporaryFile() as file:
            with pytest.raises(ValueError, match="pipes/sockets only"):
                await loop.connect_read_pipe(Told, file)
            with pytest.raises(ValueError, match="only for pipes, sockets and character devices"):
                await loop.connect_write_pipe(Told, file)

    run(loop, main())


def test_a_terminal(loop: Any) -> None:
    async def main() -> None:
        master, slave = pty.openpty()
        attributes = termios.tcgetattr(slave)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        reader, writer = await read_end(slave), await write_end(master)
        writer.transport.write(b"a line\n")
        await reader.until(7)
        assert reader.data == b"a line\n"
        reader.transport.close()
        writer.transport.close()
        await reader.lost
        await writer.lost

    run(loop, main())


def test_the_write_method_alone_keeps_the_pipe_open(loop: Any) -> None:
    async def main() -> None:
        read, write = os.pipe()
        told = await write_end(write)
        put = told.transport.write
        told.transport = None
        gc.collect()
        put(b"still here")
        assert os.read(read, 100) == b"still here"
        os.close(read)
        await told.lost

    run(loop, main())


def test_an_unclosed_pipe_is_told_of(loop: Any) -> None:
    async def main() -> None:
        read, write = os.pipe()
        told = await write_end(write)
        loop._remove_reader(write)
        with pytest.warns(ResourceWarning, match="unclosed transport"):
            told.transport = None  # which nobody else has
        assert os.read(read, 1) == b""  # it was closed
        os.close(read)

    run(loop, main())


def test_a_pipe_that_was_made_small(loop: Any) -> None:
    async def main() -> None:
        ends = await both()
        fcntl.fcntl(ends.sink.get_extra_info("pipe").fileno(), fcntl.F_SETPIPE_SZ, 4096)
        parts = [pattern(1000, seed) for seed in range(200)]
        for part in parts:
            ends.sink.write(part)
        ends.sink.close()
        await ends.over()
        assert ends.reader.data == b"".join(parts)

    run(loop, main())


def test_many_small_writes_while_the_pipe_is_full(loop: Any) -> None:
    async def main() -> None:
        ends = await both()
        ends.source.pause_reading()
        ends.sink.write(pattern(70_000))
        parts = [pattern(1 + number % 3, number) for number in range(5000)]
        for part in parts:
            ends.sink.write(part)
        ends.source.resume_reading()
        ends.sink.close()
        await ends.over()
        assert ends.reader.data == pattern(70_000) + b"".join(parts)

    run(loop, main())


def test_a_lost_pipe_lets_go_of_its_protocol(loop: Any) -> None:
    async def main() -> None:
        ends = await both()
        transports = ends.source, ends.sink
        ends.sink.close()
        await ends.over()
        kept = [weakref.ref(ends.reader), weakref.ref(ends.writer)]
        del ends
        gc.collect()
        assert [ref() for ref in kept] == [None, None] and transports

    run(loop, main())


@pytest.mark.parametrize("ends", [("abort", "abort"), ("close", "abort"), ("write_eof", "abort", "close")], ids=str)
def test_a_pipe_that_is_ended_twice_in_a_turn_is_lost_once(ends: tuple[str, ...]) -> None:
    """On asyncio it is lost twice, and the second time fails."""
    loop = Fate()
    errors: list[Any] = []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    reading, writing = os.pipe()

    async def main() -> list[Any]:
        transport, protocol = await loop.connect_write_pipe(Told, os.fdopen(writing, "wb", 0))
        for end in ends:
            getattr(transport, end)()
        await protocol.lost
        await asyncio.sleep(0)
        return protocol.events

    try:
        assert loop.run_until_complete(main()) == ["made", ("lost", type(None))]
        assert errors == []
    finally:
        os.close(reading)
        loop.close()


def test_a_pipe_that_somebody_has_made_block_holds_up_no_thread(loop: Any) -> None:
    async def main() -> None:
        read, write = os.pipe()
        writer = await write_end(write)
        os.set_blocking(write, True)
        got: list[int] = []

        def drain() -> None:
            while data := os.read(read, 65536):
                got.append(len(data))

        thread = threading.Thread(target=drain)
        thread.start()
        writer.transport.write(bytes(HUGE))
        writer.transport.close()
        await writer.lost
        await asyncio.to_thread(thread.join)
        os.close(read)
        assert sum(got) == HUGE

    run(loop, main())


deeds = st.one_of(
    st.tuples(st.just("write"), st.sampled_from([0, 1, 700, 4096, 65536, HUGE]), st.sampled_from([bytes, bytearray])),
    st.tuples(st.sampled_from(["pause", "resume", "turn", "other protocol"])),
    st.tuples(st.just("limits"), st.sampled_from([(0, 0), (1, 0), (HUGE, 0), (None, None)])),
)
ends_by = st.sampled_from(["close", "write_eof", "abort", "reader closes", "reader closes at once"])


async def play(script: list[tuple[Any, ...]], end: str) -> tuple[Any, ...]:
    ends = await both()
    readers = [ends.reader]
    written = 0
    for number, (name, *rest) in enumerate(script):
        if name == "write":
            ends.sink.write(rest[1](pattern(rest[0], number)))
            written += rest[0]
        elif name == "pause":
            ends.source.pause_reading()
        elif name == "resume":
            ends.source.resume_reading()
        elif name == "limits":
            high, low = rest[0]
            ends.sink.set_write_buffer_limits(high=high, low=low)
        elif name == "other protocol":
            readers.append(Told())
            ends.source.set_protocol(readers[-1])
        else:
            await asyncio.sleep(0)
    if end == "reader closes at once":
        ends.source.close()
    elif end == "reader closes":
        ends.source.resume_reading()
        while sum(len(reader.data) for reader in readers) < written:
            await asyncio.sleep(0)
        ends.source.close()
    else:
        getattr(ends.sink, end)()
        ends.source.resume_reading()
    await ends.writer.lost
    await readers[-1].lost
    data = b"".join(reader.data for reader in readers)
    told = [[event for event in reader.events if event != "made"] for reader in readers]
    sure = end in ("close", "write_eof", "reader closes")  # else how much came in time is the kernel's affair
    losses = [event for event in ends.writer.events if type(event) is tuple]
    return len(data) if sure else None, hash(data) if sure else None, told, losses


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(deeds, max_size=8), ends_by)
def test_random_scripts_go_as_on_asyncio(script: list[tuple[Any, ...]], end: str) -> None:
    found = []
    for kind in LOOPS.values():
        loop = kind()
        try:
            found.append(run(loop, play(script, end)))
        finally:
            loop.close()
    assert found[0] == found[1]


def test_a_pipe_that_is_lost_before_its_first_turn_watches_nothing_afterwards() -> None:
    """asyncio's does, whoever has the number by then."""
    loop: Any = Fate()

    async def main() -> None:
        reading, writing = os.pipe()
        transport = loop._make_write_pipe_transport(os.fdopen(writing, "wb", 0), Told())
        transport.abort()
        await asyncio.sleep(0.001)
        assert not loop.remove_reader(writing) and not loop.remove_writer(writing)
        os.close(reading)

    run(loop, main())
    loop.close()
