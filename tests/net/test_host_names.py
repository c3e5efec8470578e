"""Looking up names: what is numeric never leaves the loop, what is a name never blocks it."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest
from support import DEADLINE, turns

from fate import Fate
from fate.net.names import THREADS, is_numeric

NUMERIC: list[tuple[Any, Any]] = [
    ("127.0.0.1", 80), (b"127.0.0.1", 80), ("::1", 80), ("fe80::1%lo", 80), ("fe80::1%1", 80), ("::ffff:1.2.3.4", 80),
    ("127.0.0.1", None), ("127.0.0.1", "80"), ("127.0.0.1", b"80"), (None, 80), ("127.0.0.1", 0),
    ("255.255.255.255", 1),
]  # fmt: skip
NAMES: list[tuple[Any, Any]] = [
    ("localhost", 80), (b"localhost", 80), ("127.0.0.1", "http"), (None, "http"), ("", 80), ("1.2.3", 80), ("café", 80),
    ("127.0.0.1 x", 80), ("127.0.0.1\0", 80), ("::1\0", 80), ("127.0.0.1", "\u0661"), (7, 80), ("127.0.0.1", 1.5),
    (b"\xff", 80),
]  # fmt: skip


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, bool]]:
    """What `socket.getaddrinfo` was asked, and whether in the main thread."""
    asked: list[tuple[Any, bool]] = []
    real = socket.getaddrinfo

    def getaddrinfo(*args: Any, **options: Any) -> Any:
        asked.append((args[0], threading.current_thread() is threading.main_thread()))
        return real(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize(("host", "port"), NUMERIC)
def test_what_is_numeric_is_answered_at_once(
    loop: Fate, looked_up: list[tuple[Any, bool]], host: Any, port: Any
) -> None:
    assert is_numeric(host, port)
    expected = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    looked_up.clear()
    assert loop.run_until_complete(loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)) == expected
    assert looked_up == [(host, True)]
    with pytest.raises(StopIteration):
        loop.getaddrinfo(host, port).send(None)


@pytest.mark.parametrize(("host", "port"), NAMES)
def test_all_else_is_looked_up_in_a_thread(host: Any, port: Any) -> None:
    assert not is_numeric(host, port)


def test_a_name_is_looked_up_in_a_thread(loop: Fate, looked_up: list[tuple[Any, bool]]) -> None:
    found = loop.run_until_complete(loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM))
    assert found == socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
    assert looked_up[0] == ("localhost", False)


def test_options_reach_the_numeric_answer(loop: Fate) -> None:
    options = {"family": socket.AF_INET6, "type": socket.SOCK_DGRAM, "proto": socket.IPPROTO_UDP}
    flags = socket.AI_V4MAPPED | socket.AI_CANONNAME
    found = loop.run_until_complete(loop.getaddrinfo("1.2.3.4", 80, flags=flags, **options))
    assert found == socket.getaddrinfo("1.2.3.4", 80, flags=flags, **options)
    with pytest.raises(socket.gaierror):
        loop.run_until_complete(loop.getaddrinfo("1.2.3.4", 80, family=socket.AF_INET6))


def test_names_are_found_while_the_default_executor_is_busy(loop: Fate) -> None:
    release = threading.Event()

    async def main() -> Any:
        slow = [loop.run_in_executor(None, release.wait, DEADLINE) for _ in range(64)]
        try:
            async with asyncio.timeout(DEADLINE / 2):
                return await loop.getaddrinfo("localhost", 80)
        finally:
            release.set()
            await asyncio.gather(*slow)

    assert loop.run_until_complete(main())


def test_slow_names_do_not_keep_the_default_executor_or_the_loop(loop: Fate, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: release.wait(DEADLINE))

    async def main() -> list[Any]:
        slow = [loop.create_task(loop.getaddrinfo(f"slow{number}", 80)) for number in range(THREADS + 5)]
        await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE / 2):
            assert await loop.run_in_executor(None, len, "four") == 4
        release.set()
        return await asyncio.gather(*slow)

    assert loop.run_until_complete(main()) == [True] * (THREADS + 5)


def test_a_look_up_that_is_given_up(loop: Fate, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: release.wait(DEADLINE))
    task = loop.create_task(loop.getaddrinfo("slow", 80))
    turns(loop, 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    release.set()


def test_names_of_addresses(loop: Fate) -> None:
    numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    with pytest.raises(StopIteration) as done:
        loop.getnameinfo(("127.0.0.1", 80), numeric).send(None)
    assert done.value.value == ("127.0.0.1", "80")
    assert loop.run_until_complete(loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST))[0] == "127.0.0.1"


def test_the_threads_end_with_the_loop() -> None:
    loop = Fate()
    loop.run_until_complete(loop.getaddrinfo("localhost", 80))
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("fate looks up names")]
    loop.close()
    for thread in threads:
        thread.join(DEADLINE)
    assert threads
    assert not any(thread.is_alive() for thread in threads)
