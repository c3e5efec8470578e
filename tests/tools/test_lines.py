"""lines: from pipes, terminals, sockets and files, as they come, keeping nobody waiting."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import socket
import ssl
import tty
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support import printed

from fate import Deferred, Fate, defer, errors
from fate.tools import lines
from fate.tools.reading import Splitter

from .conftest import Run


class Pipe:
    """Both ends of something to read lines from."""

    def __init__(self, source: Any, write: int) -> None:
        self.source = source
        self._write = write

    def write(self, data: bytes) -> None:
        os.write(self._write, data)

    def end(self) -> None:
        os.close(self._write)
        self._write = -1

    def close(self) -> None:
        if self._write >= 0:
            self.end()
        self.source.close()


def pipe_of(kind: str) -> Pipe:
    if kind == "pipe":
        read, write = os.pipe()
        return Pipe(os.fdopen(read), write)
    if kind == "terminal":
        write, read = pty.openpty()
        tty.setcbreak(read)
        return Pipe(os.fdopen(read), write)
    ours, other = socket.socketpair()
    if kind == "socket":
        return Pipe(ours, other.detach())
    file = ours.makefile("rb")
    ours.close()
    return Pipe(file, other.detach())


@pytest.fixture(params=["pipe", "terminal", "socket", "socket's file"])
def pipe(nothing_left: None, request: pytest.FixtureRequest) -> Iterator[Pipe]:
    made = pipe_of(request.param)
    yield made
    made.close()


async def all_of(source: Any, **options: Any) -> list[str]:
    return [line async for line in lines(source, **options)]


# -- each kind of source ----------------------------------------------------------------------------------------------


def test_each_line_comes_when_it_is_written(run: Run, pipe: Pipe) -> None:
    async def main() -> list[str]:
        came = []
        source = lines(pipe.source)
        loop = asyncio.get_running_loop()
        for line in ("first", "", "last"):
            loop.call_soon(pipe.write, f"{line}\n".encode())
            came.append(await source.next())
        return came

    assert run(main()) == ["first", "", "last"]


def test_several_lines_at_once_and_pieces_of_one(run: Run, pipe: Pipe) -> None:
    async def main() -> list[str]:
        source = lines(pipe.source)
        pipe.write(b"one\ntwo\nthr")
        came = [await source.next(), await source.next()]
        third = source.next()
        await asyncio.sleep(0)
        pipe.write(b"ee\n")
        return [*came, await third]

    assert run(main()) == ["one", "two", "three"]


def test_the_loop_turns_while_nothing_comes(run: Run, pipe: Pipe) -> None:
    async def main() -> None:
        waiting = lines(pipe.source).next()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.called
        pipe.write(b"at last\n")
        assert await waiting == "at last"

    run(main())


def test_cancelling_loses_no_line(run: Run, pipe: Pipe) -> None:
    async def main() -> None:
        source = lines(pipe.source)
        given_up = source.next()
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(defer.CancelledError):
            await given_up
        pipe.write(b"mine\n")
        assert await source.next() == "mine"

    run(main())


def test_the_end(run: Run) -> None:
    async def main(kind: str) -> None:
        pipe = pipe_of(kind)
        pipe.write(b"a\nb")
        pipe.end()
        source = lines(pipe.source)
        assert [line async for line in source] == ["a", "b"]
        assert await source.next() is None
        assert [line async for line in source] == []
        pipe.close()

    run(main("pipe"))
    run(main("socket"))


def test_a_terminal_that_hangs_up_is_at_its_end(run: Run) -> None:
    pipe = pipe_of("terminal")
    pipe.end()
    assert run(all_of(pipe.source)) == []
    pipe.close()


def test_a_socket_that_is_reset_is_a_typed_error(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as ours:
        other, _ = server.accept()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        other.close()
        with pytest.raises(errors.SourceError, match="reset"):
            run(all_of(ours))


def test_a_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "guests"
    path.write_text("".join(f"guest {n}\n" for n in range(20_000)))
    with path.open() as file:
        assert run(all_of(file)) == [f"guest {n}" for n in range(20_000)]
    with path.open("rb", buffering=0) as file:
        assert run(all_of(file.fileno()))[-1] == "guest 19999"
    with open("/dev/null") as file:
        assert run(all_of(file)) == []


def test_cancelling_loses_no_line_of_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "guests").write_text("Hatter\nHare\n")

    async def main() -> list[str]:
        with (tmp_path / "guests").open() as file:
            source = lines(file)
            for turns in range(6):
                given_up = source.next()
                for _ in range(turns):
                    await asyncio.sleep(0)
                if given_up.called and isinstance(given_up.result, str):
                    return [given_up.result, *[line async for line in source]]
                given_up.cancel()
                with pytest.raises(defer.CancelledError):
                    await given_up
            return [line async for line in source]

    assert run(main()) == ["Hatter", "Hare"]


def test_standard_input_is_the_default() -> None:
    program = """
    import fate, os, sys
    from fate.tools import lines

    async def main():
        print([line async for line in lines()])

    read, write = os.pipe()
    os.dup2(read, 0)
    os.write(write, b"tea?\\nyes\\n")
    os.close(write)
    fate.run(main())
    sys.stdin = None
    try:
        fate.run(main())
    except OSError as error:
        print(type(error).__name__, error)
    """
    assert printed(program).splitlines() == [
        "['tea?', 'yes']",
        "SourceError cannot read lines: the program has no standard input",
    ]


# -- handlers, and several who wait -----------------------------------------------------------------------------------


def test_a_handler_gets_each_line_and_the_deferred_their_number(run: Run, pipe: Pipe) -> None:
    async def main() -> list[str]:
        came: list[str] = []
        enough: Deferred = Deferred()

        def handler(line: str) -> None:
            came.append(line)
            if line == "b":
                enough.callback(None)

        reading = lines(pipe.source, handler)
        assert isinstance(reading, Deferred)
        pipe.write(b"a\nb\n")
        await enough
        reading.cancel()
        with pytest.raises(defer.CancelledError):
            await reading
        return came

    assert run(main()) == ["a", "b"]


def test_the_number_of_lines(run: Run) -> None:
    async def main() -> Any:
        pipe = pipe_of("pipe")
        pipe.write(b"a\nb\nc")
        pipe.end()
        try:
            return await lines(pipe.source, lambda line: None)
        finally:
            pipe.close()

    assert run(main()) == 3


def test_the_next_line_waits_for_what_the_handler_waits_for(run: Run, pipe: Pipe) -> None:
    async def main() -> None:
        came: list[str] = []
        first: Deferred = Deferred()
        began, second = asyncio.Event(), asyncio.Event()

        def handler(line: str) -> Any:
            came.append(line)
            if len(came) == 1:
                began.set()
                return first
            second.set()
            return None

        pipe.write(b"a\nb\n")
        reading = lines(pipe.source, handler)
        await began.wait()
        await asyncio.sleep(0)
        assert came == ["a"]
        first.callback(None)
        await second.wait()
        reading.cancel()
        with pytest.raises(defer.CancelledError):
            await reading

    run(main())


def test_what_the_handler_raises_ends_the_reading(run: Run, pipe: Pipe) -> None:
    async def main() -> None:
        pipe.write(b"7\nx\n8\n")
        with pytest.raises(ValueError, match="'x'"):
            await lines(pipe.source, int)

    run(main())


def test_those_who_wait_get_their_lines_in_order(run: Run, pipe: Pipe) -> None:
    async def main() -> Any:
        source = lines(pipe.source)
        waiting = [source.next() for _ in range(4)]
        pipe.write(b"a\nb\nc\nd\n")
        return await defer.gatherResults(waiting)

    assert run(main()) == ["a", "b", "c", "d"]


def test_two_readers_of_one_source_share_its_lines_and_nobody_blocks(run: Run) -> None:
    async def main() -> None:
        pipe = pipe_of("pipe")
        one, other = lines(pipe.source).next(), lines(pipe.source).next()
        await asyncio.sleep(0)
        pipe.write(b"for one of them\n")
        while not (one.called or other.called):
            await asyncio.sleep(0)
        assert not (one.called and other.called)
        pipe.write(b"for the other\n")
        assert sorted([await one, await other]) == ["for one of them", "for the other"]
        pipe.close()

    run(main())


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [io.StringIO("text"), object(), "a path", -1, 1_000_000, 2**40])
def test_what_no_lines_can_be_read_from(run: Run, source: Any) -> None:
    async def main() -> None:
        lines(source)

    with pytest.raises(errors.SourceError, match="cannot read lines from"):
        run(main())


def test_a_closed_file_and_an_encrypted_socket(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        with (tmp_path / "file").open("w") as file:
            pass
        with pytest.raises(errors.SourceError, match="no descriptor"):
            lines(file)
        ours, other = socket.socketpair()
        safe = ssl.create_default_context().wrap_socket(ours, server_hostname="x", do_handshake_on_connect=False)
        with safe, pytest.raises(errors.SourceError, match="encrypted"):
            lines(safe)
        other.close()

    run(main())


def test_arguments_that_make_no_sense(run: Run, pipe: Pipe) -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match="handler of lines cannot be called: 3"):
            lines(pipe.source, 3)  # type: ignore[call-overload]
        with pytest.raises(LookupError, match="no such"):
            lines(pipe.source, encoding="no such")
        with pytest.raises(ValueError, match="utf-16"):
            lines(pipe.source, encoding="utf-16")

    run(main())


def test_a_line_that_is_too_long_comes_after_those_before_it(run: Run) -> None:
    async def main() -> None:
        pipe = pipe_of("pipe")
        pipe.write(b"short\n" + b"x" * 101)
        source = lines(pipe.source, max_line=100)
        assert await source.next() == "short"
        for _ in range(2):
            with pytest.raises(errors.LineTooLongError, match="longer than 100 bytes"):
                await source.next()
        pipe.close()

    run(main())


def test_a_descriptor_stays_as_it_was(loop: Fate, run: Run, pipe: Pipe) -> None:
    async def main() -> None:
        pipe.write(b"x\n")
        before = os.get_blocking(pipe.source.fileno())
        source = lines(pipe.source)
        waiting = source.next()
        await asyncio.sleep(0)
        assert os.get_blocking(pipe.source.fileno()) == before
        await waiting
        assert loop.fuses == []

    run(main())


# -- the splitter -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_lines_are_the_same_in_whichever_pieces_they_come(size: int) -> None:
    data = "a\r\n\nb\rc\n tä \n\r\nlast".encode()
    splitter = Splitter()
    came = []
    for start in range(0, len(data), size):
        came += splitter.feed(data[start : start + size])
    assert [*came, *splitter.end()] == ["a", "", "b\rc", " tä ", "", "last"]
    assert [*splitter.end()] == []


def test_what_cannot_be_decoded_is_replaced() -> None:
    assert [*Splitter().feed(b"\xff\n")] == ["\ufffd"]
    assert [*Splitter("latin-1").feed(b"\xff\n")] == ["\xff"]


@pytest.mark.parametrize("how", ["handler", "loop", "next"])
def test_the_loop_turns_within_a_flood_of_short_lines(run: Run, how: str) -> None:
    pipe = pipe_of("pipe")
    told: list[str] = []
    between: list[int] = []
    wanted = [str(number) for number in range(8000)]

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def count() -> None:
            between.append(len(told))
            handle[0] = loop.call_soon(count)

        handle = [loop.call_soon(count)]
        pipe.write("\n".join(wanted).encode())
        pipe.end()
        if how == "handler":
            await lines(pipe.source, told.append)
        elif how == "loop":
            async for line in lines(pipe.source):
                told.append(line)
        else:
            source = lines(pipe.source)
            while (line := await source.next()) is not None:
                told.append(line)
        handle[0].cancel()

    run(main())
    pipe.close()
    assert told == wanted
    assert max(after - before for before, after in pairwise(between)) < 100
