"""The transport of a child process: asyncio's, with its beginning and its end done anew.

asyncio connects the pipes in a task of its own, which others may cancel: then nobody ever hears of the child again.
Here they are connected at once, with nothing to wait for, unless the program has put something of its own in the place
of `loop.connect_read_pipe` or `connect_write_pipe`. And `Process.wait()` waits for the child alone: a grandchild
may hold its pipes for as long as it likes.

Signals are sent by the pidfd, which stands for the very child: its number is another's as soon as its exit code has
been read, by whomever.
"""

from __future__ import annotations

import functools
import os
import signal
import warnings
from asyncio import transports
from asyncio.base_subprocess import ReadSubprocessPipeProto, WriteSubprocessPipeProto
from asyncio.log import logger
from asyncio.unix_events import _UnixSubprocessTransport  # type: ignore[attr-defined]
from collections import deque
from contextlib import suppress
from typing import Any

from fate.net.connections import Connections

Pipes: Any = transports.SubprocessTransport
PATIENCE = 0.01  # seconds that an exit waits to be told for the pipes to end too, as most do at once
CONNECT = {"connect_read_pipe": Connections.connect_read_pipe, "connect_write_pipe": Connections.connect_write_pipe}
SOON = 0.05  # seconds after which nobody but others holds the pipes of a child that has ended


def _has_others(group: int) -> bool:
    """Whether there is a process in `group` besides the one that leads it. True if that cannot be told."""
    try:
        numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return True
    for number in numbers:
        with suppress(OSError):  # it has ended meanwhile, or is none of our affair
            if number != group and os.getpgid(number) == group:
                return True
    return False


class Waiters(set[Any]):
    """Futures, put in by either name that asyncio uses: it has a list before Python 3.14."""

    append = set.add


class ChildTransport(_UnixSubprocessTransport):  # type: ignore[misc]
    """asyncio's transport of a child process. What it sends reaches the very child, or nobody: it asks no `Popen`,
    which would read the exit code.

    A protocol with `holds_number` keeps the child's number, which is its process group's too, from being given to
    another process until its `connection_lost` has been called, if somebody is left of that group: see `kill_group`.
    """

    _pidfd = -1  # given by who watches the child
    _looking: Any = None  # the timer of `_look_at_group`
    _exit_waiters: Any
    _pending_calls: Any
    _pid: Any
    _pipes: dict[int, Any]
    _proc: Any

    def __init__(
        self,
        loop: Any,
        protocol: Any,
        args: Any,
        shell: bool,
        stdin: Any,
        stdout: Any,
        stderr: Any,
        bufsize: int,
        waiter: Any = None,
        extra: Any = None,
        **options: Any,
    ) -> None:
        """The arguments are asyncio's. Raises what `subprocess.Popen` does."""
        Pipes.__init__(self, extra)
        self._loop = loop
        self._protocol = protocol
        self._proc = None
        self._pid = self._returncode = None
        self._closed = self._finished = False
        self._is_zombie = False  # it has ended, its exit code is known, and its number is its own still
        self._exit_waiters = Waiters()
        self._pending_calls = deque[Any]()
        self._pipes = {}
        try:
            self._start(args=args, shell=shell, stdin=stdin, stdout=stdout, stderr=stderr, bufsize=bufsize, **options)
        except BaseException:
            self._closed = True
            raise
        self._pid = self._proc.pid
        self._extra["subprocess"] = self._proc
        if loop.get_debug():
            logger.debug("process %r created: pid %s", args if isinstance(args, (bytes, str)) else args[0], self._pid)
        if not self._connects_by_program():
            self._connect(waiter)

    def _connects_by_program(self) -> bool:
        """Whether the program, and not Fate, says how pipes are connected."""
        return any(getattr(getattr(self._loop, name), "__func__", None) is not usual for name, usual in CONNECT.items())

    async def _connect_by_program(self, waiter: Any) -> None:
        """As `_connect`, in the task of who starts the child. What is raised in between leaves no pipe open."""
        loop, proc = self._loop, self._proc
        try:
            for fd, pipe, kind, connect in (
                (0, proc.stdin, WriteSubprocessPipeProto, loop.connect_write_pipe),
                (1, proc.stdout, ReadSubprocessPipeProto, loop.connect_read_pipe),
                (2, proc.stderr, ReadSubprocessPipeProto, loop.connect_read_pipe),
            ):
                if pipe is not None:
                    _, self._pipes[fd] = await connect(functools.partial(kind, self, fd), pipe)
        except BaseException:
            for fd, pipe in enumerate((proc.stdin, proc.stdout, proc.stderr)):
                if pipe is not None and fd not in self._pipes:
                    pipe.close()
            raise
        loop.call_soon(self._begin, waiter)

    def _connect(self, waiter: Any) -> None:
        """Make the transports of the pipes; tell the protocol of them when they are there."""
        loop, proc = self._loop, self._proc
        try:
            for fd, pipe, kind, make in (
                (0, proc.stdin, WriteSubprocessPipeProto, loop._make_write_pipe_transport),
                (1, proc.stdout, ReadSubprocessPipeProto, loop._make_read_pipe_transport),
                (2, proc.stderr, ReadSubprocessPipeProto, loop._make_read_pipe_transport),
            ):
                if pipe is not None:
                    protocol: Any = kind(self, fd)
                    protocol.pipe = make(pipe, protocol)
                    self._pipes[fd] = protocol
        except BaseException:
            self.close()
            for pipe in (proc.stdin, proc.stdout, proc.stderr):
                if pipe is not None:
                    pipe.close()
            proc.wait()
            raise
        loop.call_soon(self._begin, waiter)

    def _begin(self, waiter: Any) -> None:
        calls, self._pending_calls = self._pending_calls, None
        try:
            self._protocol.connection_made(self)
        finally:
            for callback, data in calls:
                self._loop.call_soon(callback, *data)
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    # -- the end -------------------------------------------------------------------------------------------------

    def _process_exited(self, returncode: int) -> None:
        if self._returncode is not None:
            return  # told twice, for an interrupt
        waiters, self._exit_waiters = self._exit_waiters, Waiters()  # since Python 3.14 asyncio tells them at once
        super()._process_exited(returncode)
        self._exit_waiters = waiters
        if not self._finished or self._pending_calls is not None:  # its pipes are open, or were never connected
            self._loop.call_later(PATIENCE, self._tell_exit)

    def _tell_exit(self) -> None:
        for waiter in self._exit_waiters or ():
            if not waiter.done():
                waiter.set_result(self._returncode)

    def _call_connection_lost(self, exc: Any) -> None:
        self._tell_exit()
        self._exit_waiters = Waiters()
        try:
            super()._call_connection_lost(exc)
        finally:
            self._let_go()

    def _hold_number(self) -> None:
        self._looking = self._loop.call_later(SOON, self._look_at_group)

    def _look_at_group(self) -> None:
        """The child has ended a while ago, and somebody has its pipes still: not one of its group, it may be."""
        if not _has_others(self._pid):
            self._let_go()

    def _give_number_back(self) -> None:
        """The exit code has been told."""
        if self._is_zombie and self._pidfd >= 0 and getattr(self._protocol, "holds_number", False):
            self._hold_number()
        else:
            self._let_go()

    def _let_go(self) -> None:
        """Give the pidfd back, and the child's number with it, if its exit code is known."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        pidfd = self._pidfd
        self._pidfd = -1
        if self._is_zombie:
            self._is_zombie = False
            kind, number = (os.P_PIDFD, pidfd) if pidfd >= 0 else (os.P_PID, self._pid)
            with suppress(ChildProcessError):
                os.waitid(kind, number, os.WEXITED | os.WNOHANG)
        if pidfd >= 0:
            os.close(pidfd)

    def _is_there(self) -> bool:
        """Whether the child runs. Raises ChildProcessError if there is no such child any more, as far as known."""
        kind, number = (os.P_PIDFD, self._pidfd) if self._pidfd >= 0 else (os.P_PID, self._pid)
        return os.waitid(kind, number, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def send_signal(self, number: int) -> None:
        """Send it to the child, unless that has ended. Raises ProcessLookupError once the connection is lost."""
        self._check_proc()
        if self._proc.returncode is not None:
            return
        with suppress(ChildProcessError, ProcessLookupError):
            if self._pidfd >= 0:
                signal.pidfd_send_signal(self._pidfd, number)
            else:
                self._is_there()
                os.kill(self._pid, number)

    def terminate(self) -> None:
        """Ask the child to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the child."""
        self.send_signal(signal.SIGKILL)

    def kill_group(self) -> None:
        """Kill the process group that the child leads, if it still leads it: not once its exit code has been read, for
        then the number may be an innocent group's. Raises PermissionError."""
        if self._pidfd < 0 and self._returncode is not None:
            return
        with suppress(ChildProcessError, ProcessLookupError):
            self._is_there()
            os.killpg(self._pid, signal.SIGKILL)

    def __del__(self) -> None:
        try:
            if not self._closed:
                try:
                    warnings.warn(f"unclosed transport {self!r}", ResourceWarning, stacklevel=1, source=self)
                finally:
                    self.close()
        finally:
            self._let_go()

    def close(self) -> None:
        """Close the pipes, and kill the child if it runs."""
        if self._closed:
            return
        self._closed = True
        loop = self._loop
        for protocol in self._pipes.values():
            if loop is not None and not loop.is_closed():
                protocol.pipe.close()
            elif protocol.pipe._pipe is not None:  # nobody can be told of its end any more
                protocol.pipe._pipe.close()
        if self._proc is not None and self._returncode is None:
            if loop.get_debug():
                logger.warning("Close running child process: kill %r", self)
            with suppress(PermissionError, ChildProcessError, ProcessLookupError):  # it may be another user's, or gone
                if self._is_there():
                    vars(self._proc).get("kill", self.kill)()  # the program's own, if it has put one there


async def start(loop: Any, watch: Any, protocol: Any, args: Any, *how: Any, extra: Any = None, **options: Any) -> Any:
    """Start a child and wait until its protocol has been told.

    watch: called with the child's process id and its transport, when it has started.
    The other arguments are those of asyncio's `_make_subprocess_transport`.
    """
    waiter = loop.create_future()
    options = {**options, "waiter": waiter, "extra": extra}
    transport = ChildTransport(loop, protocol, args, *how, **options)
    watch(transport.get_pid(), transport)
    try:
        if transport._connects_by_program():
            await transport._connect_by_program(waiter)
        await waiter
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        transport.close()
        if not isinstance(error, GeneratorExit):  # else nothing runs this any more
            await transport._wait()
        raise
    return transport
