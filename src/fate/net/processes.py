"""The transport of a child process: asyncio's, with its beginning and its end done anew.

asyncio connects the pipes in a task of its own, which others may cancel: then nobody ever hears of the child again.
Here they are connected at once, with nothing to wait for, unless the program has put something of its own in the place
of `loop.connect_read_pipe` or `connect_write_pipe`. And `Process.wait()` waits for the child alone: a grandchild
may hold its pipes for as long as it likes.
"""

from __future__ import annotations

import functools
import os
import warnings
from asyncio import transports
from asyncio.base_subprocess import ReadSubprocessPipeProto, WriteSubprocessPipeProto
from asyncio.log import logger
from asyncio.unix_events import _UnixSubprocessTransport  # type: ignore[attr-defined]
from collections import deque
from contextlib import suppress
from signal import SIGKILL, SIGTERM
from typing import Any

from fate.net.connections import Connections

Pipes: Any = transports.SubprocessTransport
LOOK = os.WEXITED | os.WNOHANG | os.WNOWAIT
PATIENCE = 0.01  # seconds that an exit waits to be told for the pipes to end too, as most do at once
CONNECT = {"connect_read_pipe": Connections.connect_read_pipe, "connect_write_pipe": Connections.connect_write_pipe}


class ChildTransport(_UnixSubprocessTransport):  # type: ignore[misc]
    """asyncio's transport of a child process."""

    _exit_waiters: Any
    _pending_calls: Any
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
        self._exit_waiters = []
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
        super()._process_exited(returncode)
        if not self._finished:
            self._loop.call_later(PATIENCE, self._tell_exit)

    def _tell_exit(self) -> None:
        for waiter in self._exit_waiters or ():
            if not waiter.done():
                waiter.set_result(self._returncode)

    def _call_connection_lost(self, exc: Any) -> None:
        self._tell_exit()
        self._exit_waiters = []
        super()._call_connection_lost(exc)

    def send_signal(self, signal: int) -> None:
        """Send it to the child, unless that has ended. Raises ProcessLookupError once the connection is lost."""
        self._check_proc()
        if self._returncode is None:  # nobody has waited for it, so the number is still the child's
            with suppress(ProcessLookupError):
                os.kill(self._proc.pid, signal)

    def terminate(self) -> None:
        """Ask the child to end."""
        self.send_signal(SIGTERM)

    def kill(self) -> None:
        """End the child."""
        self.send_signal(SIGKILL)

    def __del__(self) -> None:
        if not self._closed:
            try:
                warnings.warn(f"unclosed transport {self!r}", ResourceWarning, stacklevel=1, source=self)
            finally:
                self.close()

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
            with suppress(PermissionError, ChildProcessError, ProcessLookupError):  # it has other rights, or is gone
                if self._pid is not None and os.waitid(os.P_PID, self._pid, LOOK) is None:
                    self._proc.kill()  # which would take the exit code of one that has ended


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
    except BaseException:
        transport.close()
        await transport._wait()
        raise
    return transport
