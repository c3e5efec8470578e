"""A program that ends with something open, which nobody closed, ends in silence: it is too late to tell."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, os, socket, ssl, sys, fate

kept = []

async def keep(loop, what):
    if what == "server":
        kept.append(await loop.create_server(asyncio.Protocol, "127.0.0.1", 0))
    elif what == "connection":
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        kept.append(await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname()))
    elif what == "streams":
        server = await asyncio.start_server(lambda reader, writer: kept.append(writer), "127.0.0.1", 0)
        kept.append(await asyncio.open_connection(*server.sockets[0].getsockname()))
        while len(kept) < 2:
            await asyncio.sleep(0.001)
    elif what == "tls":
        near, far = socket.socketpair()
        context = ssl.create_default_context()
        kept.append(asyncio.ensure_future(loop.create_connection(asyncio.Protocol, sock=near, ssl=context,
                                                                server_hostname="localhost")))
        kept.append(far)
        await asyncio.sleep(0.01)
    elif what == "datagrams":
        kept.append(await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)))
    elif what == "pipes":
        reading, writing = os.pipe()
        kept.append(await loop.connect_read_pipe(asyncio.Protocol, os.fdopen(reading, "rb", 0)))
        kept.append(await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(writing, "wb", 0)))
    elif what == "fuses":
        near, far = socket.socketpair()
        kept.extend([near, far, loop.get_fuse(), loop.get_fuse(9), loop.get_fuse(readable=near)])
        kept[-1].set_handler(print)
        kept.append(kept[2] | kept[3])

loop = fate.Fate()
asyncio.set_event_loop(loop)
loop.run_until_complete(keep(loop, sys.argv[1]))
print("end")
"""


@pytest.mark.parametrize("what", ["loop", "server", "connection", "streams", "tls", "datagrams", "pipes", "fuses"])
def test_what_is_open_when_the_program_ends_makes_no_noise(what: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, what],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if what == "tls":  # asyncio tells of a task that is still at it
        assert "rror" not in ended.stderr and "xception" not in ended.stderr, ended.stderr
    else:
        assert ended.stderr == ""
    assert (ended.returncode, ended.stdout) == (0, "end\n")
