"""What a universe does not simulate is refused, with the call and its place, and never passed through in silence."""

from __future__ import annotations

import array
import fcntl
import multiprocessing
import os
import select
import signal
import socket
import ssl
import struct
import subprocess
import termios

import pytest

from fate import sim
from fate.sim.errors import UnsimulatedError


def pair_and(call):
    """A call with the two ends of a socket pair."""

    def do():
        ours, theirs = socket.socketpair()
        with ours, theirs:
            return call(ours, theirs)

    return do


REFUSED = {
    "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
    "multipath TCP": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262),
    "sequenced packets": lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET),
    "descriptors in messages": pair_and(
        lambda a, b: a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", 0))])
    ),
    "urgent data": pair_and(lambda a, b: a.send(b"x", socket.MSG_OOB)),
    "a flag of recv": pair_and(lambda a, b: a.recv(1, socket.MSG_TRUNC)),
    "os.writev": pair_and(lambda a, b: os.writev(a.fileno(), [b"x"])),
    "os.readv": pair_and(lambda a, b: os.readv(a.fileno(), [bytearray(1)])),
    "os.sendfile": pair_and(lambda a, b: os.sendfile(a.fileno(), 0, 0, 1)),
    "FIONREAD": pair_and(lambda a, b: fcntl.ioctl(a.fileno(), termios.FIONREAD, array.array("i", [0]))),
    "blocking TLS": pair_and(lambda a, b: ssl.create_default_context().wrap_socket(a, server_hostname="x")),
    "fromfd of a file": lambda: socket.fromfd(0, socket.AF_INET, socket.SOCK_STREAM),
    "select.epoll": lambda: select.epoll(),
    "select of a real descriptor": lambda: select.select([0], [], [], 0),
    "signal.alarm": lambda: signal.alarm(1),
    "signal.setitimer": lambda: signal.setitimer(signal.ITIMER_REAL, 1),
    "os.kill of another process": lambda: os.kill(1, signal.SIGTERM),
    "os.fork": lambda: os.fork(),
    "os.system": lambda: os.system("true"),
    "subprocess": lambda: subprocess.run(["true"], check=False),
    "multiprocessing": lambda: multiprocessing.get_context("spawn").Process(target=print).start(),
    "locks between processes": lambda: multiprocessing.get_context("spawn").Lock(),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_refused(call):
    async def main():
        call()

    with pytest.raises(
        UnsimulatedError, match=r"is not simulated in a universe \(called at .*test_refused\.py:\d+\); "
    ):
        sim.run(main)


def test_a_descriptor_is_its_socket():
    async def main():
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        number = ours.detach()
        assert os.write(number, b"hello") == 5
        assert os.read(theirs.fileno(), 3) == b"hel"
        twin = os.dup(number)
        os.close(number)
        again = socket.socket(fileno=twin)
        again.send(b"!")
        assert theirs.recv(10) == b"lo!"
        with pytest.raises(BlockingIOError):
            os.read(theirs.fileno(), 1)
        again.close()
        with theirs:
            return theirs.recv(10)

    assert sim.run(main) == b""
