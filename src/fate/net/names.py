"""Names and addresses: `loop.getaddrinfo` and `loop.getnameinfo`.

What is numeric already never leaves the loop: Python's own `socket.getaddrinfo` answers for it without asking
anybody. What is a name is looked up in a thread. These threads are Fate's own, THREADS at most: in asyncio's default
executor, which has few threads as well, slow work of the program's would keep every connection waiting.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio import base_events
from concurrent.futures import ThreadPoolExecutor
from typing import Any

THREADS = 8


def is_numeric(host: object, port: object) -> bool:
    """Whether `socket.getaddrinfo` answers for both without looking anything up."""
    if isinstance(port, (str, bytes)):
        if not port.isascii() or not (port.isdigit() or not port):
            return False
    elif port is not None and not isinstance(port, int):
        return False
    if host is None:
        return True
    try:
        text = host.decode("ascii") if isinstance(host, bytes) else host
    except UnicodeDecodeError:
        return False
    if not isinstance(text, str):
        return False
    if ":" in text:
        return _is_of(socket.AF_INET6, text.partition("%")[0])  # the zone is the name or number of an interface
    return _is_of(socket.AF_INET, text)


def _is_of(family: int, text: str) -> bool:
    try:
        socket.inet_pton(family, text)
    except (OSError, ValueError):
        return False
    return True


def resolver() -> Any:
    """The `socket` module as asyncio has it: where that is replaced, in a test, names are looked up there."""
    return base_events.socket  # type: ignore[attr-defined]


class NameCalls(asyncio.SelectorEventLoop):
    """What `Fate` has in place of asyncio's look-ups."""

    _names: ThreadPoolExecutor | None

    def _look_up(self, call: Any, *args: Any) -> asyncio.Future[Any]:
        if self._names is None:
            self._names = ThreadPoolExecutor(THREADS, thread_name_prefix="fate looks up names")
        return self.run_in_executor(self._names, call, *args)

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        if is_numeric(host, port):
            return resolver().getaddrinfo(host, port, family, type, proto, flags)
        call = self._getaddrinfo_debug if self.get_debug() else resolver().getaddrinfo  # type: ignore[attr-defined]
        return await self._look_up(call, host, port, family, type, proto, flags)

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> Any:
        if flags & socket.NI_NUMERICHOST and flags & socket.NI_NUMERICSERV and is_numeric(*sockaddr[:2]):
            return resolver().getnameinfo(sockaddr, flags)
        return await self._look_up(resolver().getnameinfo, sockaddr, flags)

    def close(self) -> None:
        super().close()
        if self._names is not None:
            self._names.shutdown(wait=False)
            self._names = None
