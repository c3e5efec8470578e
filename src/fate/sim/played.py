"""Child processes that are played: by an async function of Python's, registered by the program's name.

`universe.program("git", play)` has `asyncio.create_subprocess_exec("git", ...)`, and what stands on it, call
`play(child)` as a task on the same host. Its pipes are simulated connections, which asyncio's own transport of child
processes holds at the other end. What a program does with a real child that has no meaning here is refused.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from asyncio import base_subprocess, tasks
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from fate.sim.errors import unsimulated
from fate.sim.signals import IGNORED

if TYPE_CHECKING:
    from fate.sim.loop import UniverseFate

Play = Callable[["Child"], Awaitable[Any]]
WITHOUT_MEANING = ("close_fds", "restore_signals", "start_new_session", "process_group", "umask")


class Child:
    """A child process as the function that plays it sees it.

    argv: its words, the program's name first. env: its environment. cwd: its directory. pid: its number.
    stdin: a StreamReader. stdout, stderr: StreamWriters.
    What the function returns is the exit status; None: 0. A signal cancels it: if that ends it, the status is -number.
    After SIGKILL nothing that it does is seen any more.
    """

    stdin: asyncio.StreamReader
    stdout: asyncio.StreamWriter
    stderr: asyncio.StreamWriter

    def __init__(self, argv: list[str], env: Mapping[str, str], cwd: str, pid: int) -> None:
        self.argv = argv
        self.env = env
        self.cwd = cwd
        self.pid = pid


class Process:
    """What asyncio's transport of a child process has in place of a `subprocess.Popen`."""

    def __init__(self, loop: UniverseFate, play: Play, child: Child) -> None:
        self.loop = loop
        self.child = child
        self.play = play
        self.pid = child.pid
        self.args = child.argv
        self.returncode: int | None = None
        self.stdin: Any = None  # the parent's ends of what is a pipe
        self.stdout: Any = None
        self.stderr: Any = None
        self.transport: Transport | None = None
        self._ends: list[Any] = []  # the child's ends
        self._writers: list[asyncio.StreamWriter] = []
        self._signal = 0
        self._task: asyncio.Task[None] | None = None

    def open(self, stdin: Any, stdout: Any, stderr: Any) -> None:
        """Make its pipes. Raises UnsimulatedError for what is none."""
        wishes = (("stdin", stdin), ("stdout", stdout), ("stderr", stderr))
        for name, wanted in wishes:
            if wanted not in (None, PIPE, DEVNULL) and (wanted, name) != (STDOUT, "stderr"):
                raise unsimulated(f"{name}={wanted!r} of the program {self.args[0]!r}", "PIPE, DEVNULL and None are")
        for name, wanted in wishes:
            theirs = None
            if wanted == PIPE:
                ours, theirs = socket.socketpair()
                setattr(self, name, ours)
            self._ends.append(theirs)
        self._merged = stderr == STDOUT

    def begin(self) -> None:
        """Have it run, soon. It is no task of the program's: none of its awaits is a fault's."""
        self.loop.processes = {**self.loop.processes, self.pid: self}
        self._task = tasks.Task(self._run(), loop=self.loop, name=self.args[0])

    async def _run(self) -> None:
        child = self.child
        try:
            child.stdin = await self._reader(self._ends[0])
            child.stdout = await self._writer(self._ends[1])
            child.stderr = child.stdout if self._merged else await self._writer(self._ends[2])
            status = await self.play(child)
            for writer in self._writers:
                writer.close()
                await writer.wait_closed()
            self._ended(0 if status is None else int(status))
        except asyncio.CancelledError:
            if not self._signal:
                raise  # the universe ends
            self._ended(-self._signal)
        except (BrokenPipeError, ConnectionResetError):
            self._ended(-signal.SIGPIPE)
        except SystemExit as error:
            self._ended(error.code if isinstance(error.code, int) else 0 if error.code is None else 1)
        except Exception as error:
            message = f"The function that plays {self.args[0]!r} has raised"
            self.loop.call_exception_handler({"message": message, "exception": error, "task": self._task})
            self._ended(1)

    async def _reader(self, end: Any) -> asyncio.StreamReader:
        if end is None:
            reader = asyncio.StreamReader(loop=self.loop)
            reader.feed_eof()
            return reader
        reader, writer = await asyncio.open_connection(sock=end)
        self._writers.append(writer)
        return reader

    async def _writer(self, end: Any) -> asyncio.StreamWriter:
        if end is None:  # nobody reads
            end, other = socket.socketpair()
            await self.loop.connect_accepted_socket(asyncio.Protocol, other)
        _, writer = await asyncio.open_connection(sock=end)
        self._writers.append(writer)
        return writer

    def _ended(self, status: int) -> None:
        if self.returncode is not None:
            return  # it was killed before
        self.loop.processes = {pid: each for pid, each in self.loop.processes.items() if each is not self}
        self.returncode = status
        for writer in self._writers:
            writer.transport.abort()
        assert self.transport is not None
        self.loop.call_soon(self.transport._process_exited, status)

    def forget(self) -> None:
        """Its host has crashed, or its universe ends: nobody is told of it any more."""
        if self.transport is not None:
            self.transport._closed = True  # it would warn that nobody has closed it

    # -- what asyncio's transport calls ---------------------------------------------------------------------------

    def poll(self) -> int | None:
        """Its exit status, None if it has none yet."""
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Cancel the function, or do what the signal does by default."""
        if self.returncode is not None or number in IGNORED or not number:
            return
        if number == signal.SIGSTOP:
            raise unsimulated("stopping a played program", "SIGKILL and signals that end it are")
        assert self._task is not None
        self._signal = self._signal or number
        self._task.cancel()
        if number == signal.SIGKILL:
            self._ended(-number)

    def terminate(self) -> None:
        """End it by SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.send_signal(signal.SIGKILL)


class Transport(base_subprocess.BaseSubprocessTransport):
    """asyncio's transport of a child process, with a played one behind it."""

    def _start(
        self, args: Any, shell: bool, stdin: Any, stdout: Any, stderr: Any, bufsize: int, **options: Any
    ) -> None:
        loop: Any = self._loop
        words = ["sh", "-c", args] if shell else args
        argv = [os.fsdecode(word) for word in ([words] if isinstance(words, (str, bytes)) else words)]
        play = find(loop, argv[0])
        cwd, env = options.pop("cwd", None), options.pop("env", None)
        for name, value in options.items():
            if name not in WITHOUT_MEANING and value not in (None, False, (), -1):
                raise unsimulated(f"{name}={value!r} of the program {argv[0]!r}", "leave it out")
        world = loop.host.world
        world.pids += 1
        environment = {
            os.fsdecode(key): os.fsdecode(value) for key, value in (os.environ if env is None else env).items()
        }
        child = Child(argv, environment, os.fsdecode(cwd or os.getcwd()), world.pids)
        process = Process(loop, play, child)
        process.open(stdin, stdout, stderr)
        process.transport = self
        self._proc: Any = process
        process.begin()


def find(loop: UniverseFate, name: str) -> Play:
    """Who plays a program. Raises UnsimulatedError if nobody does."""
    programs = loop.host.universe.programs
    play: Play | None = programs.get(name) or programs.get(os.path.basename(name))
    if play is None:
        there = f"; there are: {', '.join(programs)}" if programs else ""
        raise unsimulated(
            f"starting the program {name!r}", f"have it played: fate.sim.current().program({name!r}, play){there}"
        )
    return play


async def start(loop: UniverseFate, protocol: Any, *args: Any, **options: Any) -> Transport:
    """What `loop._make_subprocess_transport` does."""
    waiter = loop.create_future()
    transport = Transport(loop, protocol, *args, **{**options, "waiter": waiter})
    try:
        await waiter
    except BaseException as error:
        transport.close()
        if not isinstance(error, GeneratorExit):  # else nothing runs this any more
            await transport._wait()
        raise
    return transport
