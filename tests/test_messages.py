"""What a user reads after a mistake: the reason in words, once, and nothing beside it."""

from __future__ import annotations

import gc
import socket

import pytest

import fate
from fate.errors import ForeignFuseError, LoopRunningError, SourceError

NO_NAME = "no.such.host.invalid"


def test_a_source_error_is_told_in_words_and_its_number_is_kept(loop: fate.Fate) -> None:
    with pytest.raises(SourceError) as caught:
        loop.get_fuse(readable="not a socket")
    assert str(caught.value) == "cannot wait for 'not a socket': it is no descriptor, and has none"
    assert caught.value.errno == 0


def test_a_port_in_use_is_told_in_words_and_its_number_is_kept(loop: fate.Fate) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        address = other.getsockname()
        with pytest.raises(fate.errors.AddressInUseError) as caught:
            loop.get_packet_fuse(address)
    assert str(caught.value).startswith(f"cannot listen for udp packets at {address!r}: Address already in use; ")
    assert caught.value.errno is not None
    assert caught.value.errno > 0


def test_a_name_that_is_not_known_is_said_to_be_unknown(loop: fate.Fate, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(SourceError, match=r"Name or service not known$"):
        loop.get_packet_fuse((NO_NAME, 0))


def test_a_fuse_that_cannot_be_made_says_so_once(loop: fate.Fate) -> None:
    """Every warning is an error here: one about the fuse that was half made would fail the test."""
    other = fate.Fate()
    for wrong, error in (
        (lambda: loop.get_packet_fuse("127.0.0.1:80"), TypeError),
        (lambda: loop.get_fuse(1) | other.get_fuse(1), ForeignFuseError),
        (fate.Fuse, TypeError),
    ):
        with pytest.raises(error):
            wrong()
        gc.collect()
    other.close()


def test_a_run_inside_a_run_leaves_nothing_behind() -> None:
    """No loop that is made in vain, and no coroutine of it that is never awaited."""

    async def inner() -> None:
        raise AssertionError("it does not get here")

    async def outer() -> None:
        coroutine = inner()
        with pytest.raises(LoopRunningError, match="await the coroutine instead"):
            fate.run(coroutine)
        coroutine.close()

    fate.run(outer())
    gc.collect()
