"""Commands: `run_command` runs one and gives what it printed.

The child is asyncio's, on the loop's own watcher; it leads a process group of its own, so that a time limit or a
cancellation ends whatever it has started too, and what has not left the group. The rule here: when the Deferred fires,
the child has been waited for and every descriptor to it is closed. Talking to a child at length is `fate.reactor`'s
spawnProcess, or asyncio's.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process, SubprocessStreamProtocol
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from fate.errors import CommandFailedError, CommandSizeError, CommandStartError, CommandTimeoutError
from fate.loop import Fate
from fate.net.processes import ChildTransport
from fate.tools.ground import Turns, checked_callable, current_fate, deferred_of, settled
from fate.tools.reading import CHUNK, MAX_LINE, Splitter


class Output(bytes):
    """What a command printed on its standard output, as bytes; `str()` of it, and so `print`, gives text.

    code: the exit code, negative for the signal that killed it. errors: bytes, its standard error. command: its words.
    """

    code: int
    errors: bytes
    command: tuple[Any, ...]

    def __new__(cls, data: bytes, code: int, errors: bytes, command: Sequence[Any]) -> Output:
        output = super().__new__(cls, data)
        output.code = code
        output.errors = errors
        output.command = tuple(command)
        return output

    def __reduce__(self) -> tuple[Any, ...]:
        return (Output, (bytes(self), self.code, self.errors, self.command))

    def text(self, encoding: str = "utf-8") -> str:
        """As text; what cannot be decoded becomes U+FFFD."""
        return self.decode(encoding, "replace")

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<Output of {_shown(self.command)}: code {self.code}, {len(self):,} bytes>"


def run_command(
    command: str | Sequence[str | bytes | os.PathLike[str]],
    *,
    stdin: Any = None,
    on_line: Callable[[str], Any] | None = None,
    timeout: float | None = None,
    check: bool = False,
    max_size: int | None = None,
    max_line: int = MAX_LINE,
    encoding: str = "utf-8",
    merge_errors: bool = False,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> Any:
    """Run a command to its end.

    command: its words, or a line that is split into words as a shell does. No shell sees it: where you want one, give
        ["sh", "-c", line].
    stdin: bytes or text that it reads, or an open file (or descriptor) that it gets; nothing by default. That it does
        not read all of it is no error.
    on_line: called with each line that it prints, without the line's end, when it prints it; then the output is not
        kept. If it returns something that can be awaited, reading goes on when that is there, and the command waits.
    timeout: seconds until it is killed with its whole process group: all that it has started, but for those that have
        left the group (`setsid`, daemons), which live on and are not waited for.
    check: make an exit code other than 0 an error.
    max_size: bytes that it may print to both its outputs and that are kept; None: as many as there are.
    max_line: bytes in one line, with `on_line`.
    encoding: of the lines, and of a `stdin` that is text.
    merge_errors: put its standard error where its standard output goes, in the order in which it writes.
    cwd, env: its current directory and its whole environment; by default this process's.

    Returns a Deferred, which can be awaited, of its `Output`. Cancelling that kills the group too, and it fires when
    all is cleaned up. It fails with CommandStartError, CommandTimeoutError, CommandSizeError, LineTooLongError,
    CommandFailedError, and with whatever `on_line` raises, each time when the group has been killed. A command that
    has become another user's, as `sudo` does, cannot be killed: it is let go of.
    Raises NoFateError, and TypeError or ValueError for arguments that make no sense.
    """
    if on_line is not None:
        checked_callable("on_line", on_line)
    if timeout is not None and not timeout > 0:
        raise ValueError(f"a command's timeout is a number of seconds, more than 0: {timeout!r}")
    loop = current_fate()
    splitter = Splitter(encoding, max_line) if on_line is not None else None
    run = Run(loop, command, on_line, splitter, max_size)
    options: dict[str, Any] = {
        "stdin": DEVNULL
        if stdin is None
        else PIPE
        if isinstance(stdin, (str, bytes, bytearray, memoryview))
        else stdin,
        "stdout": PIPE,
        "stderr": STDOUT if merge_errors else PIPE,
        "cwd": cwd,
        "env": env,
        "start_new_session": True,
    }
    given = stdin.encode(encoding) if isinstance(stdin, str) else stdin
    return deferred_of(loop, run.run(given if options["stdin"] is PIPE else None, options, timeout, check))


class Child(SubprocessStreamProtocol):
    """asyncio's protocol for a child with streams, which also tells when everything of it is closed."""

    holds_number = True  # until then: its group may live longer than the child, and must be found by that number

    def __init__(self, loop: Fate) -> None:
        super().__init__(CHUNK, loop)
        self.closed = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.closed.set()


class Run:
    """One command on its way."""

    def __init__(
        self,
        loop: Fate,
        command: str | Sequence[Any],
        on_line: Callable[[str], Any] | None,
        splitter: Splitter | None,
        max_size: int | None,
    ) -> None:
        self.loop = loop
        self.command = _words(command)
        self.on_line = on_line
        self.splitter = splitter
        self.max_size = max_size
        self.size = 0
        self.out: list[bytes] = []
        self.err: list[bytes] = []

    async def run(self, data: bytes | None, options: Mapping[str, Any], timeout: float | None, check: bool) -> Output:
        """Start it, see it through, and clean up whatever happens."""
        transport, child = await self._start(options)
        process = Process(transport, child, self.loop)
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                await self._talk(process, data)
        except TimeoutError as error:
            if not limit.expired():
                raise  # a handler's own
            raise CommandTimeoutError(
                f"{_shown(self.command)} did not end in {timeout:g} seconds, and was killed",
                command=self.command,
                output=self._output(-signal.SIGKILL),
            ) from error
        finally:
            if _killed(transport):
                # Not `transport.close()` first: that looks whether the child is dead, and takes its exit code with it.
                await process.wait()
                transport.close()
                await child.closed.wait()
        output = self._output(transport.get_returncode() or 0)
        if check and output.code:
            raise CommandFailedError(_failed(output), command=self.command, output=output)
        return output

    async def _start(self, options: Mapping[str, Any]) -> tuple[asyncio.SubprocessTransport, Child]:
        try:
            if not self.command:
                raise ValueError("it has no words")
            return await self.loop.subprocess_exec(lambda: Child(self.loop), *self.command, **options)
        except (OSError, ValueError, TypeError, AttributeError) as error:  # the last of an `env` that is no mapping
            raise _cannot_start(self.command, options["cwd"], error) from error

    async def _talk(self, process: Process, data: bytes | None) -> None:
        """Until both its outputs are at their end, and it is too."""
        feeding = self.loop.create_task(_feed(process.stdin, data))
        reading = [self.loop.create_task(self._read_out(process.stdout))]
        if process.stderr is not None:
            reading.append(self.loop.create_task(self._read_err(process.stderr)))
        try:
            await asyncio.gather(*reading)
            await process.wait()
        finally:
            for task in (feeding, *reading):
                task.cancel()
            await asyncio.gather(feeding, *reading, return_exceptions=True)

    async def _read_out(self, stream: asyncio.StreamReader | None) -> None:
        assert stream is not None
        turns = Turns(self.loop)
        while data := await stream.read(CHUNK):
            if self.splitter is None:
                self._keep(self.out, data)
            else:
                await self._tell(self.splitter.feed(data), turns)
        if self.splitter is not None:
            await self._tell(self.splitter.end(), turns)

    async def _tell(self, lines: Any, turns: Turns) -> None:
        assert self.on_line is not None
        for line in lines:
            result = self.on_line(line)
            if result is not None:
                await settled(result)
            if turns.over():
                await turns.turn()

    async def _read_err(self, stream: asyncio.StreamReader) -> None:
        while data := await stream.read(CHUNK):
            self._keep(self.err, data)

    def _keep(self, where: list[bytes], data: bytes) -> None:
        self.size += len(data)
        if self.max_size is not None and self.size > self.max_size:
            raise CommandSizeError(
                f"{_shown(self.command)} printed more than {self.max_size:,} bytes, which is what max_size allows,"
                " and was killed",
                command=self.command,
                output=self._output(-signal.SIGKILL),
            )
        where.append(data)

    def _output(self, code: int) -> Output:
        return Output(b"".join(self.out), code, b"".join(self.err), self.command)


async def _feed(stream: asyncio.StreamWriter | None, data: bytes | None) -> None:
    """Write `data` and close. That the child has closed its end, or has ended, is its own business."""
    if stream is None:
        return
    with suppress(BrokenPipeError, ConnectionResetError):
        if data:
            stream.write(data)
            await stream.drain()
        stream.close()
        await stream.wait_closed()


def _killed(transport: asyncio.SubprocessTransport) -> bool:
    """Kill what is left of the group, if anything may be. False if we may not: then the child is let go of."""
    pipes = [pipe for pipe in map(transport.get_pipe_transport, range(3)) if pipe is not None]
    allowed = True
    if transport.get_returncode() is None or not all(pipe.is_closing() for pipe in pipes):
        try:
            if isinstance(transport, ChildTransport):
                transport.kill_group()
            elif transport.get_returncode() is None:  # a child that is played, in a universe
                os.killpg(transport.get_pid(), signal.SIGKILL)
        except ProcessLookupError:
            pass
        except PermissionError:  # it has become another user's, as `sudo` does
            allowed = False
    for pipe in pipes:  # one that is paused, because nobody reads, would never come to its end
        pipe.close()
    return allowed


def _words(command: str | Sequence[Any]) -> tuple[Any, ...]:
    if isinstance(command, str):
        try:
            return tuple(shlex.split(command))
        except ValueError as error:
            raise ValueError(f"the command line {command!r} cannot be split into words: {error}") from error
    if isinstance(command, (bytes, os.PathLike)):
        return (command,)
    return tuple(command)


def _shown(command: Sequence[Any]) -> str:
    """The command as one would type it, not too long."""
    line = shlex.join(os.fsdecode(word) if isinstance(word, (bytes, os.PathLike)) else str(word) for word in command)
    return line if len(line) <= 200 else line[:200] + "..."


def _failed(output: Output) -> str:
    how = f"ended with exit code {output.code}" if output.code > 0 else f"was killed by signal {-output.code}"
    last = output.errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
    return f"{_shown(output.command)} {how}" + (f": {last[:500]}" if last else "")


def _cannot_start(command: Sequence[Any], cwd: Any, error: Exception) -> CommandStartError:
    number = getattr(error, "errno", None)
    reason = getattr(error, "strerror", None) or str(error)
    if isinstance(error, FileNotFoundError):
        no_place = cwd is not None and not os.path.isdir(cwd)
        reason = f"there is no directory {os.fspath(cwd)!r}" if no_place else "there is no such command"
        word = os.fsdecode(command[0])
        if not no_place and os.sep in word and os.path.isfile(os.path.join(os.fsdecode(cwd or ""), word)):
            reason = "what its first line names to run it, or its loader, does not exist"
    return CommandStartError(f"cannot start {_shown(command) or 'a command'}: {reason}", command=command, errno=number)
