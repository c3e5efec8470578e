"""Files sent to transports and sockets: `loop.sendfile` and `loop.sock_sendfile`.

Two ways, each one coroutine: `_send_file` has the kernel copy from file to socket, `_copy_file` reads the file in a
thread and writes what came. Who calls them says how to wait until more can be sent. Whatever ends a call (the file's
end, an error, a cancellation, the connection's end), the transport is then as it was before, and the file's position
tells how much was sent. A transport keeps its place among the loop's while a file goes through it, so nobody else can
watch its descriptor, and a server can abort it; no descriptor is touched once its owner has closed it.
"""

from __future__ import annotations

import asyncio
import os
from asyncio import SelectorEventLoop, constants, unix_events
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from fate.net.poll import watchers

BLOCKED = (BlockingIOError, InterruptedError)
MOST = 1 << 30  # bytes that the kernel is asked to copy at once
PIECE: int = constants.SENDFILE_FALLBACK_READBUFFER_SIZE
FALLBACK: Any = constants._SendfileMode.FALLBACK
Unavailable = asyncio.SendfileNotAvailableError


class FileCalls(SelectorEventLoop):
    """What `Fate` has in place of asyncio's ways to send a file."""

    _poll: Any
    _add_writer: Callable[..., Any]
    _remove_writer: Callable[[Any], bool]
    _ensure_fd_no_transport: Callable[[Any], None]
    _check_sendfile_params: Callable[..., None]

    async def sendfile(
        self, transport: Any, file: Any, offset: int = 0, count: int | None = None, *, fallback: bool = True
    ) -> int:
        """As asyncio's: send a file, opened in binary mode, through a transport.

        offset: where in the file to begin, in bytes; count: how many bytes at most, None: up to the end.
        fallback: read and write the file where the kernel cannot copy it, as through TLS.
        Returns how many bytes were sent. Raises SendfileNotAvailableError if that cannot be done without `fallback`,
        RuntimeError for a transport that takes no files or is closing, ConnectionError if it ends meanwhile.
        """
        mode = getattr(transport, "_sendfile_compatible", None)
        if mode is FALLBACK and not fallback and not transport.is_closing():
            raise Unavailable(f"fallback is disabled and native sendfile is not supported for transport {transport!r}")
        return await super().sendfile(transport, file, offset, count, fallback=fallback)

    async def _sendfile_native(self, transp: Any, file: Any, offset: int, count: int | None) -> int:
        if not hasattr(transp, "_make_room_waiter"):  # somebody else's
            return await super()._sendfile_native(transp, file, offset, count)  # type: ignore[misc,no-any-return]
        self._check_sendfile_params(transp._sock, file, offset, count)
        waiter = transp._make_empty_waiter()  # from now on it refuses to write
        reading = transp.is_reading()
        transp.pause_reading()
        try:
            await waiter

            def socket_of() -> Any:
                if transp.is_closing():
                    raise ConnectionError("the connection ended while a file was being sent")
                return transp._sock

            return await self._send_file(socket_of, file, offset, count, transp._make_room_waiter)
        finally:
            transp._reset_empty_waiter()
            if reading and not self.is_closed():  # the loop may be, where this is let go of
                transp.resume_reading()

    async def _sock_sendfile_native(self, sock: Any, file: Any, offset: int, count: int | None) -> int:
        self._ensure_fd_no_transport(sock)
        return await self._send_file(lambda: sock, file, offset, count, lambda: self._room(sock))

    async def _room(self, sock: Any) -> None:
        """Wait until `sock` can be written to."""
        fd = sock.fileno()
        waiter = self.create_future()
        handle = self._add_writer(fd, _resolve, waiter)
        try:
            await waiter
        finally:
            if watchers(self._poll, fd)[1] is handle:  # else the number is another's by now
                self._remove_writer(fd)

    async def _send_file(
        self,
        socket_of: Callable[[], Any],
        file: Any,
        offset: int,
        count: int | None,
        room: Callable[[], Awaitable[None]],
    ) -> int:
        """Have the kernel copy the file.

        socket_of: gives the socket, as often as it is used, or raises if there is none any more.
        room: waits until the socket can be written to.
        """
        system: Any = unix_events.os  # type: ignore[attr-defined]  # as asyncio has it, where a test replaces it
        if not hasattr(system, "sendfile"):
            raise Unavailable("os.sendfile() is not available")
        try:
            os.fstat(file.fileno())
        except (AttributeError, OSError) as error:
            raise Unavailable("not a regular file") from error
        sent = 0
        try:
            while True:
                if count is not None and sent >= count:
                    break
                size = MOST if count is None else min(MOST, count - sent)
                sock = socket_of()
                try:
                    taken = self._send_part(sock, file.fileno(), offset + sent, size)
                except BLOCKED:
                    pass
                except OSError as error:
                    if sent == 0:  # no file that the kernel can copy, perhaps
                        raise Unavailable("os.sendfile call failed") from error
                    raise
                else:
                    if taken == 0:
                        break
                    sent += taken
                    if sent == count:
                        break
                await room()
        finally:
            if sent:
                with suppress(OSError, ValueError):  # it was closed meanwhile
                    os.lseek(file.fileno(), offset + sent, os.SEEK_SET)
        return sent

    def _send_part(self, sock: Any, file: int, place: int, size: int) -> int:
        """Send up to `size` bytes of a file from `place` on. Returns how many were taken; 0: there are no more."""
        return os.sendfile(sock.fileno(), file, place, size)

    # -- where the kernel does not copy -------------------------------------------------------------------------------

    async def _sendfile_fallback(self, transp: Any, file: Any, offset: int, count: int | None) -> int:
        stand_in = FlowControl(self, transp)
        try:
            return await self._copy_file(file, offset, count, stand_in.write)
        finally:
            stand_in.leave()

    async def _sock_sendfile_fallback(self, sock: Any, file: Any, offset: int, count: int | None) -> int:
        return await self._copy_file(file, offset, count, lambda piece: self.sock_sendall(sock, piece))

    async def _copy_file(
        self, file: Any, offset: int, count: int | None, write: Callable[[bytes], Awaitable[None]]
    ) -> int:
        """Read the file, piece by piece in a thread, and write it."""
        if offset:
            file.seek(offset)
        else:
            with suppress(AttributeError, OSError):  # what cannot seek is read from where it is
                file.seek(0)
        buffer = bytearray(min(count, PIECE) if count else PIECE)
        sent = 0
        reading: Any = None
        try:
            while True:
                if count and sent >= count:
                    break
                room = memoryview(buffer)[: count - sent if count else None]
                reading = self.run_in_executor(None, file.readinto, room)
                size = await asyncio.shield(reading)
                if not size:
                    break
                await write(bytes(room[:size]))  # a copy: who writes may keep it
                sent += size
        except GeneratorExit:
            reading = None  # it is let go of, and nothing runs it that could wait
            raise
        finally:
            if reading is not None and not reading.done():
                await asyncio.wait([reading])  # the thread would move the file's position afterwards
            if sent and hasattr(file, "seek"):
                with suppress(OSError, ValueError):
                    file.seek(offset + sent)
        return sent


class FlowControl(asyncio.Protocol):
    """Stands in for a transport's protocol while a file is copied to it, and reading is paused."""

    def __init__(self, loop: Any, transport: Any) -> None:
        """transport: what the file is written to."""
        self._loop = loop
        self._transport = transport
        self._protocol = transport.get_protocol()
        self._reading = transport.is_reading()
        self._was_paused = self._paused = bool(transport._protocol_paused)
        self._lost = False
        self._waiter: Any = None
        transport.pause_reading()
        transport.set_protocol(self)

    async def write(self, piece: bytes) -> None:
        """Write it as soon as the transport takes more."""
        while self._paused and not self._lost:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._lost or self._transport.is_closing():
            raise ConnectionError("the connection ended while a file was being sent")
        self._transport.write(piece)

    def leave(self) -> None:
        """Give the transport its protocol back, and tell that what it has missed."""
        if self._lost:
            return
        transport, protocol = self._transport, self._protocol
        transport.set_protocol(protocol)
        if self._reading and not self._loop.is_closed():
            transport.resume_reading()
        if self._paused and not self._was_paused:
            protocol.pause_writing()
        elif self._was_paused and not self._paused:
            protocol.resume_writing()

    def pause_writing(self) -> None:
        """The transport has enough for now."""
        self._paused = True

    def resume_writing(self) -> None:
        """It takes more."""
        self._paused = False
        self._wake()

    def data_received(self, data: bytes) -> None:
        """Somebody has resumed reading."""
        protocol = self._protocol
        if not isinstance(protocol, asyncio.BufferedProtocol):
            protocol.data_received(data)
            return
        left = memoryview(data)
        while len(left):
            room = memoryview(protocol.get_buffer(len(left))).cast("B")
            if not len(room):
                raise RuntimeError("get_buffer() returned an empty buffer")
            size = min(len(room), len(left))
            room[:size] = left[:size]
            protocol.buffer_updated(size)
            left = left[size:]

    def eof_received(self) -> Any:
        """Likewise."""
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, and with it the sending of the file."""
        self._lost = True
        self._wake()
        self._protocol.connection_lost(exc)

    def _wake(self) -> None:
        if self._waiter is not None:
            _resolve(self._waiter)


def _resolve(waiter: Any) -> None:
    if not waiter.done():
        waiter.set_result(None)
