"""Trio, with its socket streams."""

from __future__ import annotations

import os
import socket

import trio

from benchmarks.foreign import Load, foreign, only
from benchmarks.jobs import Job


async def echo(stream: trio.SocketStream) -> None:
    try:
        while data := await stream.receive_some(1 << 16):
            await stream.send_all(data)
    except trio.BrokenResourceError:
        pass


async def main(sock: socket.socket, load: Load) -> None:
    async with trio.open_nursery() as nursery:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        nursery.start_soon(trio.serve_listeners, echo, [listener])
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.wait_readable(load(os.getpid()))
        nursery.cancel_scope.cancel()


@foreign
def serve(job: Job, sock: socket.socket, load: Load) -> None:
    only(job, "tcp")
    trio.run(main, sock, load)
