"""Bad input: each wrong use gets a typed error that says what, why and what to do, and the loop goes on.

What is wrong with the sources of fuses is in `test_sources.py`, with packet fuses in `net/test_packet.py`, with
programs that `fate run` cannot start in `cli/`.
"""

from __future__ import annotations

import asyncio
import math
import socket
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from support import Log, VirtualFate, printed, turns

import fate
from fate import Fate
from fate.errors import (
    AddressInUseError,
    FateError,
    ForeignFuseError,
    FuseHandlerError,
    FuseTimeError,
    LoopClosedError,
    LoopRunningError,
    WrongThreadError,
)


def goes_on(loop: Fate) -> bool:
    """Whether `loop` still burns a fuse and runs a task."""

    async def main() -> bool:
        return await loop.get_fuse(0) is None

    return loop.run_until_complete(main())


# -- times ------------------------------------------------------------------------------------------------------------

WRONG_DELAYS = {
    "negative": (-1, "cannot be negative: -1; 0 burns in the next turn"),
    "a little negative": (-1e-9, "cannot be negative"),
    "nan": (math.nan, r"must be finite, not nan; a fuse burned by hand is fate.get_fuse\(\)"),
    "infinite": (math.inf, "must be finite, not inf"),
    "minus infinite": (-math.inf, "must be finite, not -inf"),
    "huge": (10**400, "must be finite, and no float holds so large an integer"),
    "text": ("1", "is a number of seconds, not '1'"),
    "bool": (True, "is a number of seconds, not True"),
    "decimal": (Decimal(1), "is a number of seconds, not Decimal"),
}


@pytest.mark.parametrize("name", WRONG_DELAYS)
def test_a_fuses_wrong_delay(loop: Fate, name: str) -> None:
    delay, message = WRONG_DELAYS[name]
    with pytest.raises(FuseTimeError, match=f"a fuse's delay {message}") as caught:
        loop.get_fuse(delay)
    assert isinstance(caught.value, ValueError)
    assert loop.fuses == []
    assert goes_on(loop)


def test_a_wrong_delay_in_a_callback_is_reported_and_the_loop_turns_on(loop: Fate, reports: list) -> None:
    loop.call_soon(loop.get_fuse, -1)
    turns(loop, 2)
    assert [type(report["exception"]) for report in reports] == [FuseTimeError]
    assert goes_on(loop)


@pytest.mark.parametrize("delay", [-1, -math.inf, math.nan, 0])
def test_asyncios_own_calls_keep_asyncios_meaning_of_what_is_not_in_the_future(
    virtual: VirtualFate, log: Log, delay: float
) -> None:
    virtual.call_later(delay, log.append, "later")
    virtual.call_at(virtual.time() + delay, log.append, "at")
    turns(virtual, 2)
    assert sorted(log) == ["at", "later"]
    assert virtual.time() == 0


def test_asyncios_own_calls_keep_asyncios_meaning_of_never(virtual: VirtualFate, log: Log) -> None:
    timer = virtual.call_later(math.inf, log.append, "never")
    virtual.call_later(1e6, virtual.stop)
    virtual.run_forever()
    assert log == []
    timer.cancel()
    assert virtual.run_until_complete(asyncio.sleep(-1, "sleep too")) == "sleep too"


# -- another Fate -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("combine", [lambda a, b: a | b, lambda a, b: a & b])
def test_fuses_of_two_fates_do_not_combine(loop: Fate, virtual: VirtualFate, combine: Callable[..., object]) -> None:
    ours, theirs = loop.get_fuse(), virtual.get_fuse()
    with pytest.raises(ForeignFuseError, match=r"belongs to another Fate.*only fuses of one Fate combine"):
        combine(ours, theirs)
    assert loop.fuses == [ours]
    assert virtual.fuses == [theirs]
    assert goes_on(loop)


@pytest.mark.parametrize("burned", [False, True])
def test_a_fuse_of_another_fate_cannot_be_awaited(loop: Fate, virtual: VirtualFate, burned: bool) -> None:
    theirs = virtual.get_fuse()
    if burned:
        theirs.burn()

    async def main() -> None:
        with pytest.raises(ForeignFuseError, match="does not run here: await it in a task of its own loop"):
            await theirs

    loop.run_until_complete(main())
    assert goes_on(loop)
    assert goes_on(virtual)


# -- handlers ---------------------------------------------------------------------------------------------------------


async def coroutine_function() -> None: ...


@pytest.mark.parametrize("method", ["set_handler", "add_handler"])
@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (None, "takes something to call, not None: pass the function itself"),
        ("explode", "takes something to call, not 'explode'"),
        (coroutine_function, "is a coroutine function: await the fuse in a task instead"),
    ],
)
def test_a_handler_that_cannot_be_called(loop: Fate, log: Log, method: str, handler: Any, message: str) -> None:
    fuse = loop.get_fuse()
    fuse.set_handler(log.note("the one before"))
    with pytest.raises(FuseHandlerError, match=message) as caught:
        getattr(fuse, method)(handler)
    assert isinstance(caught.value, TypeError)
    fuse.burn()
    turns(loop, 2)
    assert log == ["the one before"]
    assert goes_on(loop)


# -- threads ----------------------------------------------------------------------------------------------------------

THREADED: dict[str, Callable[[Fate, fate.Fuse], object]] = {
    "get_fuse": lambda loop, fuse: loop.get_fuse(1),
    "get_packet_fuse": lambda loop, fuse: loop.get_packet_fuse(("127.0.0.1", 0)),
    "check_fuses": lambda loop, fuse: loop.check_fuses(),
    "set_handler": lambda loop, fuse: fuse.set_handler(int),
    "add_handler": lambda loop, fuse: fuse.add_handler(int),
    "remove_handler": lambda loop, fuse: fuse.remove_handler(int),
    "call_handler": lambda loop, fuse: fuse.call_handler(),
    "set_time": lambda loop, fuse: fuse.set_time(1),
    "burn": lambda loop, fuse: fuse.burn(),
    "fail": lambda loop, fuse: fuse.fail(ValueError()),
    "cancel": lambda loop, fuse: fuse.cancel(),
    "compound": lambda loop, fuse: fuse | fuse,
}


@pytest.mark.parametrize("name", THREADED)
def test_a_wrong_thread_while_the_loop_runs(loop: Fate, name: str) -> None:
    fuse = loop.get_fuse()
    caught: list[BaseException] = []

    def thread() -> None:
        try:
            THREADED[name](loop, fuse)
        except FateError as error:
            caught.append(error)
        loop.call_soon_threadsafe(loop.stop)

    worker = threading.Thread(target=thread, name="the worker")
    loop.call_soon(worker.start)
    loop.run_forever()
    worker.join()
    (error,) = caught
    assert type(error) is WrongThreadError
    assert isinstance(error, RuntimeError)
    assert "'the worker'" in str(error)
    assert "use fate.call_soon_threadsafe(...)" in str(error)
    assert loop.fuses == [fuse]
    assert not fuse.is_over()
    assert goes_on(loop)


# -- running and closed -----------------------------------------------------------------------------------------------

RUNS: dict[str, Callable[[Fate], object]] = {
    "run": Fate.run,
    "run_forever": Fate.run_forever,
    "run_until_complete": lambda loop: loop.run_until_complete(loop.create_future()),
}


@pytest.mark.parametrize("name", RUNS)
def test_running_while_it_runs(loop: Fate, name: str) -> None:
    async def main() -> None:
        with pytest.raises(LoopRunningError, match=r"already running: call run\(\) once"):
            RUNS[name](loop)

    loop.run_until_complete(main())
    assert goes_on(loop)


@pytest.mark.parametrize("name", RUNS)
def test_running_while_another_runs_in_the_thread(loop: Fate, virtual: VirtualFate, name: str) -> None:
    async def main() -> None:
        with pytest.raises(LoopRunningError, match="another loop is running in this thread: await instead"):
            RUNS[name](virtual)

    loop.run_until_complete(main())
    assert goes_on(loop)
    assert goes_on(virtual)


def test_closing_while_it_runs(loop: Fate) -> None:
    async def main() -> None:
        fuse = loop.get_fuse(0)
        with pytest.raises(RuntimeError, match="Cannot close a running event loop"):
            loop.close()
        await fuse

    loop.run_until_complete(main())
    assert goes_on(loop)


CLOSED: dict[str, Callable[[Fate], object]] = {
    **RUNS,
    "run_until_complete": lambda loop: loop.run_until_complete(asyncio.Future(loop=loop)),
    "get_fuse": lambda loop: loop.get_fuse(1),
    "get_fuse by hand": lambda loop: loop.get_fuse(),
    "get_fuse readable": lambda loop: loop.get_fuse(readable=0),
    "get_packet_fuse": lambda loop: loop.get_packet_fuse(("127.0.0.1", 0)),
    "check_fuses": Fate.check_fuses,
    "shutdown": Fate.shutdown,
    "call_soon": lambda loop: loop.call_soon(int),
    "call_soon_threadsafe": lambda loop: loop.call_soon_threadsafe(int),
    "call_later": lambda loop: loop.call_later(1, int),
    "call_at": lambda loop: loop.call_at(1, int),
    "add_reader": lambda loop: loop.add_reader(0, int),
    "add_writer": lambda loop: loop.add_writer(0, int),
}


@pytest.mark.parametrize("name", CLOSED)
def test_use_after_close(name: str) -> None:
    loop = Fate()
    loop.close()
    with pytest.raises(LoopClosedError, match=r"Event loop is closed: make another with fate.new_event_loop\(\)"):
        CLOSED[name](loop)
    assert loop.fuses == []


def test_a_fuse_of_a_closed_fate() -> None:
    loop = Fate()
    fuse = loop.get_fuse()
    loop.close()
    assert fuse.cancelled()
    for use in (fuse.burn, fuse.cancel, lambda: fuse.set_time(1), lambda: fuse.set_handler(int), lambda: fuse | fuse):
        with pytest.raises(LoopClosedError, match="make another"):
            use()


def test_a_coroutine_for_a_closed_fate_is_refused() -> None:
    loop = Fate()
    loop.close()
    coroutine = coroutine_function()
    with pytest.raises(LoopClosedError):
        loop.run_until_complete(coroutine)
    coroutine.close()


# -- ports and descriptors --------------------------------------------------------------------------------------------


def test_a_port_in_use(loop: Fate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = taken.getsockname()
        with pytest.raises(AddressInUseError, match=f"{address[1]}.*in use.*choose another port, or 0") as caught:
            loop.get_packet_fuse(address, protocol="tcp")
        assert isinstance(caught.value, OSError)

        async def serve() -> None:
            with pytest.raises(OSError, match="in use"):
                await asyncio.start_server(print, *address)

        loop.run_until_complete(serve())
    assert goes_on(loop)


STARVED = """
    import asyncio, errno, os, resource, signal, socket, sys
    import fate
    from fate.errors import OutOfDescriptorsError

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))

    def take(leave=0):
        taken = []
        try:
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError as error:
            assert error.errno == errno.EMFILE
        for _ in range(leave):
            os.close(taken.pop())
        return taken

    def give_back(taken):
        while taken:
            os.close(taken.pop())

    loop = fate.Fate()
    asyncio.set_event_loop(loop)
"""


@pytest.mark.parametrize("left", range(4))
def test_no_descriptors_for_a_fate(left: int) -> None:
    """A Fate needs three: epoll's own and two to wake it. Whatever it got before it failed, it gives back."""
    program = f"""
    taken = take(leave={left})
    try:
        made = fate.Fate()
    except OutOfDescriptorsError as error:
        assert error.errno == errno.EMFILE
        print(error)
    else:
        print("made")
        made.close()
    again = [os.open("/dev/null", os.O_RDONLY) for _ in range({left})]
    give_back(taken)
    give_back(again)
    fate.Fate().close()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    """
    out = printed(STARVED + program)
    if left < 3:
        assert "cannot make an event loop" in out
        assert "raise the limit (ulimit -n)" in out
    else:
        assert out == "made"


def test_no_descriptors_for_a_fuse() -> None:
    program = """
    address = ("127.0.0.1", 0)
    loop.get_packet_fuse(address).cancel()  # what else is needed has been loaded
    taken = take()
    for make in (lambda: loop.get_packet_fuse(address), lambda: loop.get_packet_fuse(address, protocol="tcp"),
                 lambda: loop.get_fuse(process=os.getpid())):
        try:
            make()
        except OutOfDescriptorsError as error:
            print(error)
    assert loop.fuses == []
    loop.run_until_complete(asyncio.sleep(0))
    give_back(taken)
    loop.get_packet_fuse(address).cancel()
    loop.close()
    """
    lines = printed(STARVED + program).splitlines()
    assert len(lines) == 3
    assert all(line.endswith("close what is not needed, or raise the limit (ulimit -n)") for line in lines)


def test_no_descriptors_for_a_storm_of_connections_and_the_server_serves_again() -> None:
    """Clients wait in the kernel's queue meanwhile; the server says so, goes on with others, and serves them later."""
    program = """
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))

    async def echo(reader, writer):
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()

    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 0, backlog=100)
        address = server.sockets[0].getsockname()
        clients = [socket.create_connection(address, timeout=20) for _ in range(10)]
        taken = take()
        while not reports:
            await asyncio.sleep(0.001)
        assert reports[0]["exception"].errno == errno.EMFILE
        assert "out of system resource" in reports[0]["message"]
        assert await loop.get_fuse(0.001) is None
        give_back(taken)
        for number, client in enumerate(clients):
            client.setblocking(False)
            await loop.sock_sendall(client, b"%d\\n" % number)
            assert await loop.sock_recv(client, 10) == b"%d\\n" % number
            client.close()
        server.close()
        await server.wait_closed()
        print("served again")

    loop.run_until_complete(main())
    loop.close()
    """
    assert printed(STARVED + program) == "served again"


def test_no_descriptors_for_a_connection_to_a_packet_fuse_and_it_burns_later() -> None:
    program = """
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))

    async def main():
        fuse = loop.get_packet_fuse(("127.0.0.1", 0), b"ignite", protocol="tcp")
        with socket.create_connection(fuse.address) as client:
            client.sendall(b"ignite\\n")
            taken = take()
            while not reports:
                await asyncio.sleep(0.001)
            assert type(reports[0]["exception"]) is OutOfDescriptorsError, reports
            give_back(taken)
            print((await fuse).data.decode(), len(reports))

    loop.run_until_complete(main())
    loop.close()
    """
    assert printed(STARVED + program) == "ignite 1"
