"""Child processes, on asyncio's subprocess transports of the reactor's loop.

A child that still runs when the reactor ends is killed then, as asyncio does.
"""

from __future__ import annotations

import asyncio
import errno
import signal
from collections.abc import Mapping, Sequence
from typing import Any, cast

from fate.defer import Failure
from fate.loop import Fate
from fate.reactor.errors import ProcessDone, ProcessExitedAlready, ProcessTerminated, SpawnError
from fate.reactor.protocols import ProcessProtocol
from fate.reactor.things import Things


class ProcessTransport(asyncio.SubprocessProtocol):
    """One child: write to it, signal it. `pid` is None until `connectionMade`, and after its end."""

    def __init__(
        self,
        loop: Fate,
        open_things: Things,
        protocol: ProcessProtocol,
        executable: str,
        args: Sequence[str],
        env: Mapping[str, str] | None,
        path: str | None,
        uid: int | None,
        gid: int | None,
    ) -> None:
        self.pid: int | None = None
        self.proto = protocol
        self._loop = loop
        self._open = open_things
        self._inner: asyncio.SubprocessTransport | None = None
        self._waiting: list[bytes] = []  # written before the child was there
        self._close = False
        self._exited: Failure | None = None
        options: dict[str, Any] = {"executable": executable, "env": env, "cwd": path}
        if uid is not None:
            options["user"] = uid
        if gid is not None:
            options["group"] = gid
        if not open_things.over:
            self._starting = loop.create_task(self._start(list(args) or [executable], options))

    async def _start(self, args: list[str], options: dict[str, Any]) -> None:
        try:
            await self._loop.subprocess_exec(lambda: self, *args, **options)
        except Exception as error:  # OSError mostly; arguments that cannot be give TypeError and ValueError
            number, why = (error.errno, error.strerror) if isinstance(error, OSError) else (errno.EINVAL, error)
            reason = SpawnError(number, f"cannot start {options['executable']!r}: {why}")
            reason.__cause__ = error
            self.proto.processEnded(Failure(reason))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._inner = cast(asyncio.SubprocessTransport, transport)
        self.pid = self._inner.get_pid()
        self._open.add(self)
        for data in self._waiting:
            self._pipe(0).write(data)
        if self._close:
            self._pipe(0).close()
        self.proto.makeConnection(self)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.proto.childDataReceived(fd, data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self.proto.childConnectionLost(fd)

    def process_exited(self) -> None:
        assert self._inner is not None
        code = self._inner.get_returncode()
        assert code is not None
        error: Exception
        if code == 0:
            error = ProcessDone("the process ended with exit code 0")
        elif code > 0:
            error = ProcessTerminated(code, None)
        else:
            error = ProcessTerminated(None, -code)
        self._exited = Failure(error)
        self.pid = None
        self.proto.processExited(self._exited)

    def connection_lost(self, exc: Exception | None) -> None:
        assert self._exited is not None
        self._open.discard(self)
        self.end()
        self.proto.processEnded(self._exited)

    def end(self) -> None:
        """Let go of the child; kill it if it runs."""
        if self._inner is not None:
            self._inner.close()

    def _pipe(self, fd: int) -> Any:
        assert self._inner is not None
        return self._inner.get_pipe_transport(fd)

    def write(self, data: bytes) -> None:
        """Write to the child's standard input. Raises TypeError for anything but bytes."""
        if not isinstance(data, bytes):
            raise TypeError(f"Data must be bytes, not {type(data).__name__}")
        if self._inner is None:
            self._waiting.append(data)
        else:
            self._pipe(0).write(data)

    def writeSequence(self, data: Sequence[bytes]) -> None:
        """Write all pieces, one after the other."""
        self.write(b"".join(data))

    def closeStdin(self) -> None:
        """Close the child's standard input when everything has been written."""
        if self._inner is None:
            self._close = True
        else:
            self._pipe(0).close()

    def loseConnection(self) -> None:
        """Close all three pipes."""
        self.closeStdin()
        if self._inner is not None:
            for fd in (1, 2):
                self._pipe(fd).close()

    def signalProcess(self, signal_id: str | int) -> None:
        """Send a signal: its number, or its name without SIG.

        Raises ProcessExitedAlready, ValueError for a name that does not exist.
        """
        if isinstance(signal_id, str):
            try:
                signal_id = signal.Signals[f"SIG{signal_id}"]
            except KeyError:
                raise ValueError(f"there is no signal SIG{signal_id}") from None
        if self.pid is None or self._inner is None:
            raise ProcessExitedAlready("the process does not run")
        self._inner.send_signal(signal_id)
