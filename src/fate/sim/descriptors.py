"""What the functions of `os` and `fcntl` do with the descriptor of a simulated socket.

`close` and `dup` do to the simulated end what they do to the descriptor; `read` and `write` receive and send. Others
would reach the real socket below, which is connected to nothing: they are refused. All other descriptors are files,
pipes and the like, which are real, and may be used as long as nobody has to wait for them; real sockets may not.
"""

from __future__ import annotations

import fcntl
import io
import os
import select
import socket
import stat
import sys
from collections.abc import Callable
from typing import Any

from fate.sim import holders, sockets, world
from fate.sim.clocks import real
from fate.sim.errors import unsimulated

FIONBIO = 0x5421


def _is_ours(fd: Any) -> bool:
    here = world.current
    return here is not None and isinstance(fd, int) and fd in here.kernel.ends


_close, _closerange, _read, _write, _ioctl = os.close, os.closerange, os.read, os.write, fcntl.ioctl
_open, _input, _poll = io.open, input, select.poll
STANDARD = (0, 1, 2)


def close(fd: int) -> None:
    """`os.close`."""
    if _is_ours(fd):
        assert world.current is not None
        holders.let_go(world.current, fd)
    real(_close, fd)


def closerange(low: int, high: int) -> None:
    """`os.closerange`."""
    here = world.current
    assert here is not None
    for fd in [fd for fd in here.kernel.ends if low <= fd < high]:
        close(fd)
    real(_closerange, low, high)


def dup(fd: int) -> int:
    """`os.dup`."""
    return holders.duplicate(fd)


def read(fd: int, size: int) -> bytes:
    """`os.read`."""
    if not _is_ours(fd):
        _check(fd, "read", True)
        data: bytes = real(_read, fd, size)
        return data
    received: bytes = _borrowed(fd, lambda sock, flags: sock.recv(size, flags))
    return received


def write(fd: int, data: Any) -> int:
    """`os.write`."""
    if not _is_ours(fd):
        _check(fd, "write", False)
        size: int = real(_write, fd, data)
        return size
    sent: int = _borrowed(fd, lambda sock, flags: sock.send(data, flags))
    return sent


def _check(fd: int, call: str, waits: bool) -> None:
    """Refuse to touch a real socket, and to wait for something of the real world."""
    kind = stat.S_IFMT(os.fstat(fd).st_mode)
    if kind == stat.S_IFSOCK and fd not in STANDARD:
        raise unsimulated(f"os.{call}() of the real socket {fd}", "make sockets inside the universe")
    if waits and kind in (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR) and os.get_blocking(fd):
        poll = real(_poll)
        poll.register(fd, select.POLLIN)
        if not real(poll.poll, 0):
            raise unsimulated(f"waiting for the real descriptor {fd} in os.{call}()", "use socket.socketpair()")


def open_file(file: Any, *args: Any, **kwargs: Any) -> Any:
    """`open`: of files, which are real."""
    if _is_ours(file):
        raise unsimulated("open() of a socket's descriptor", "use socket.makefile()")
    return real(_open, file, *args, **kwargs)


def ask(prompt: object = "", /) -> str:
    """`input`: from what a program has put in the place of the real `sys.stdin`."""
    if sys.stdin is sys.__stdin__ and sys.stdin is not None:
        raise unsimulated("input() from the terminal", "put another object in the place of sys.stdin")
    line: str = real(_input, prompt)
    return line


def _borrowed(fd: int, call: Callable[[sockets.SimSocket, int], Any]) -> Any:
    sock = sockets.SimSocket(fileno=fd)
    try:
        return call(sock, 0 if os.get_blocking(fd) else socket.MSG_DONTWAIT)
    finally:
        sock.detach()


def ioctl(fd: Any, request: int, *rest: Any) -> Any:
    """`fcntl.ioctl`."""
    number = fd if isinstance(fd, int) else fd.fileno()
    if _is_ours(number) and request != FIONBIO:
        raise unsimulated(f"fcntl.ioctl() of a socket, request {request:#x}", "socket.recv(..., MSG_PEEK) is")
    return real(_ioctl, fd, request, *rest)


def _refused(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def refuse_sockets(*args: Any, **kwargs: Any) -> Any:
        if any(_is_ours(value) for value in (*args[:2], *kwargs.values())):
            raise unsimulated(f"os.{name}() of a socket's descriptor", "use the socket's own methods")
        return real(function, *args, **kwargs)

    return refuse_sockets


REPLACED: list[tuple[Any, Any]] = [
    (os.close, close),
    (os.closerange, closerange),
    (os.dup, dup),
    (os.read, read),
    (os.write, write),
    (fcntl.ioctl, ioctl),
    (io.open, open_file),
    (input, ask),
    *[
        (getattr(os, name), _refused(name, getattr(os, name)))
        for name in ("readv", "writev", "sendfile", "splice", "dup2")
        if hasattr(os, name)
    ],
]
