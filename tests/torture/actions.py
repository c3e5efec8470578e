"""What is done to the loop: every public call, and those that programs make though they should not.

Each takes two small numbers. Groups, for `--without`: calls, byhand, turns, runs, readers, streams, buffers, sendfile,
tls, servers, factories, sockets, reuse, wrappers, datagrams, pipes, fuses, deferreds, signals, memory, loops, private,
interrupts.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import signal
import socket
import sys
import weakref
from typing import Any

from fate import Fate, compiled, defer
from fate.core.handle import Handle
from fate.errors import LoopClosedError
from tests.torture.buffers import SENT, room
from tests.torture.model import LONGEST, Call, Thrown
from tests.torture.world import (
    ACTIONS,
    CONNECTIONS,
    REAL,
    SIZES,
    USUAL,
    VARIABLE,
    Box,
    Buffered,
    Counting,
    Derived,
    Link,
    Plain,
    Slotted,
    Stopper,
    Telegrams,
    Token,
    Watched,
    World,
    Wrapper,
    action,
    tcp_pair,
    unix_pair,
)

__all__ = ["ACTIONS"]
DELAYS = [-1.0, 0, 0.0, 1e-9, 1e-5, 0.0005, 0.001, 0.002]
FLOOD = [10, 100, 1100, 2500]


def _ask(world: World, link: Link, name: str, *args: Any) -> Any:
    """Call a method of the transport's, if it has it: pipes have but half of them."""
    method = getattr(link.transport, name, None)
    return None if method is None else world.attempt(method, *args)


def _over(link: Link) -> bool:
    return link.lost > 0 or link.transport is None or link.transport.is_closing()


def _took(world: World, link: Link, name: str, *args: Any) -> bool:
    method = getattr(link.transport, name, None)
    return method is not None and world.took(method, *args)


# -- calls ------------------------------------------------------------------------------------------------------


def _runner(world: World, loop: Fate, call: Call, place: str) -> Any:
    schedule = world.schedules[id(loop)]

    def run(*ignored: Any) -> None:
        world.guard(schedule.runs, call, loop.time() if call.when is not None else 0.0)
        world.spring(place)

    return run


def _soon(world: World, *args: Any, threadsafe: bool = False, **how: Any) -> None:
    loop = world.loop
    if loop.is_closed():
        world.attempt(loop.call_soon, print)
        return
    call = world.schedule.soon()
    method = loop.call_soon_threadsafe if threadsafe else loop.call_soon
    call.handle = world.attempt(method, _runner(world, loop, call, "call"), *args, **how)
    call.maybe = call.handle is None or bool(how)
    world.calls.append(call)
    del world.calls[:-30]


@action("calls")
def call_soon(world: World, first: int, second: int) -> None:
    _soon(world, *range(first % 3), threadsafe=second % 8 == 0)


@action("calls")
def call_soon_in_context(world: World, first: int, second: int) -> None:
    # Copies: in a turn within a turn a context that is entered cannot be entered again, here as in asyncio.
    contexts = [kept.copy() for kept in world.kept if isinstance(kept, contextvars.Context)]
    wrong = 7 if compiled else None  # uncompiled, any error says so
    odd: list[Any] = [None, contextvars.copy_context(), wrong, contextvars.Context(), *contexts]
    context = odd[first % len(odd)]
    world.bad_calls += context == 7
    _soon(world, context=context)


@action("calls")
def call_later(world: World, first: int, second: int) -> None:
    loop = world.loop
    if loop.is_closed():
        world.attempt(loop.call_later, 0.0, print)
        return
    delay = DELAYS[first % len(DELAYS)]
    now = loop.time()
    call = world.schedule.timer(now, now)
    run = _runner(world, loop, call, "timer")
    if second % 2:
        call.when = now + delay
        call.handle = loop.call_at(call.when, run)
    else:
        call.handle = loop.call_later(delay, run)
        call.when = call.handle.when()
    world.calls.append(call)
    del world.calls[:-30]


@action("calls")
def cancel_call(world: World, first: int, second: int) -> None:
    call = world.pick(world.calls, -1 - first % 8)
    if call is not None and call.handle is not None:
        if not call.ran:
            call.cancelled = True
        call.handle.cancel()


@action("byhand")
def run_by_hand(world: World, first: int, second: int) -> None:
    call = world.pick(world.calls, -1 - first % 4)
    if call is not None and call.handle is not None and not call.cancelled:
        call.by_hand += 1
        world.bad_calls += call.maybe  # its context may be none
        world.attempt(call.handle._run)


@action("calls")
def look_at_handle(world: World, first: int, second: int) -> None:
    call = world.pick(world.calls, first)
    if call is not None and call.handle is not None:
        handle = call.handle
        repr(handle)
        world.kept.append(handle.get_context())
        world.kept.append(weakref.ref(handle, lambda ref: world.spring("weak")))
        handle.cancelled()
        hash(handle)
        del world.kept[:-12]


@action("calls")
def forget_calls(world: World, first: int, second: int) -> None:
    for call in world.calls:
        call.handle = None
    world.calls.clear()


def _flood(world: World, count: int, nested: str) -> None:
    """More callbacks than the queue keeps before it forgets its beginning; in the middle, one that turns the loop."""
    loop = world.loop
    if loop.is_closed() or len(loop._queue) > 20_000:
        return
    token = Token(world, False)
    try:
        for _ in range(count):
            loop.call_soon(token)
        if nested:
            world.traps.setdefault("call", []).insert(0, (nested, count, count))
            _soon(world)
            for _ in range(count):
                loop.call_soon(token)
    except LoopClosedError:
        pass  # by what the collector ran in between


@action("calls")
def flood(world: World, first: int, second: int) -> None:
    _flood(world, FLOOD[first % len(FLOOD)], "nested_turn" if second % 2 else "")


@action("runs")
def flood_around_run(world: World, first: int, second: int) -> None:
    _flood(world, FLOOD[first % len(FLOOD)] + second % 2, "nested_run")


@action("calls")
def call_what_is_no_callback(world: World, first: int, second: int) -> None:
    odd = [7, None, "print", object(), Handle]
    world.bad_calls += 1
    world.attempt(world.loop.call_soon, odd[first % len(odd)])
    for delay in ("soon", None, float("nan"), float("inf"), 1e300, -1e300, 10**400):
        handle = world.attempt(world.loop.call_later, delay, world.spring, "timer")
        if handle is not None:
            handle.cancel()


@action("calls")
def set_variable(world: World, first: int, second: int) -> None:
    VARIABLE.set(Token(world, bool(second % 2)) if first % 2 else first)


@action("calls")
def ask_loop(world: World, first: int, second: int) -> None:
    loop = world.loop
    repr(loop)
    if not loop.is_closed():
        repr(loop.scheduled()[:5])
    world.attempt(loop.set_debug, first % 8 == 0)


class Watching:
    """An instrument."""

    def __init__(self, world: World) -> None:
        self.world = world

    def before(self, handle: Any) -> None:
        self.world.about += 1
        try:
            self.world.spring("handler")
        finally:
            self.world.about -= 1

    def after(self, handle: Any) -> None:
        self.world.spring("handler")


@action("calls")
def set_instrument(world: World, first: int, second: int) -> None:
    odd = [None, Watching(world), object()]
    world.attempt(world.loop.set_instrument, odd[first % 3])


@action("calls")
def throw(world: World, first: int, second: int) -> None:
    if world.depth > 1:
        raise Thrown


@action("interrupts")
def interrupt(world: World, first: int, second: int) -> None:
    if world.depth > 1 and asyncio._get_running_loop() is not None:
        world.interrupts += 1
        raise KeyboardInterrupt


# -- turns ------------------------------------------------------------------------------------------------------


@action("turns")
def turns(world: World, first: int, second: int) -> None:
    world.turn(world.loop, 1 + first % 4)


@action("turns")
def more_turns(world: World, first: int, second: int) -> None:
    world.turn(world.loop, 3 + first % 8)


@action("turns")
def nested_turn(world: World, first: int, second: int) -> None:
    """Turn the loop in the ways that are not for programs, also while it turns."""
    for _ in range(1 + second % 3):
        _by_hand(world, ["_run_once", "turn", "full_turn"][first % 3])


@action("runs")
def nested_run(world: World, first: int, second: int) -> None:
    """Run the engine as its loop does, also while it runs."""
    _by_hand(world, "run_turns")
    if first % 2 and not world.loop.is_closed():
        world.loop._stopping = False


def _by_hand(world: World, name: str) -> None:
    if world.loop.is_closed() or world.about:  # what is about to run would be overtaken by what comes after it
        return
    with Stopper(world.loop, 0):
        try:
            world.attempt(getattr(world.loop, name))
        except KeyboardInterrupt:
            if world.depth > 1 or not world.interrupts:
                raise
            world.interrupts -= 1


@action("turns")
def run_again(world: World, first: int, second: int) -> None:
    loop = world.loop
    if loop.is_running() or asyncio._get_running_loop() is not None:
        world.attempt(loop.run_forever)
        world.attempt(loop.run)


@action("turns")
def settle_now(world: World, first: int, second: int) -> None:
    world.attempt(world.loop.settle)


@action("turns")
def stop(world: World, first: int, second: int) -> None:
    if world.loop.is_running():
        world.loop.stop()


@action("turns")
def wait_a_moment(world: World, first: int, second: int) -> None:
    loop = world.loop
    if not loop.is_closed() and not loop.is_running() and asyncio._get_running_loop() is None:
        world.run(loop, 0.0005)


# -- private things ---------------------------------------------------------------------------------------------


@action("private")
def run_handle(world: World, first: int, second: int) -> None:
    odd: list[Any] = [None, 7, object(), asyncio.Handle(print, (), world.loop), Handle.__new__(Handle)]
    world.bad_calls += first % len(odd) == 4  # that one is run, and has nothing to call
    world.attempt(world.loop.run_handle, odd[first % len(odd)])


@action("private")
def prepare(world: World, first: int, second: int) -> None:
    loop = world.loop
    odd: list[Any] = [None, 7, object(), Handle.__new__(Handle)]
    world.attempt(loop.prepare, odd[first % len(odd)])
    world.attempt(loop.make_handle, odd[first % len(odd)], None)
    world.attempt(loop.make_handle, print, ())


@action("private")
def blank_objects(world: World, first: int, second: int) -> None:
    """Objects that were made without their makers."""
    blank = Handle.__new__(Handle)
    for method in (blank._run, blank.get_context, blank.cancelled, blank.cancel, blank.__repr__):
        world.attempt(method)
    transport = world.pick([link.transport for link in world.links if link.transport is not None], first)
    if type(transport).__name__ == "Stream":
        empty = type(transport).__new__(type(transport))
        for name in (
            "write",
            "writelines",
            "close",
            "abort",
            "write_eof",
            "pause_reading",
            "get_extra_info",
            "__repr__",
        ):
            method = getattr(empty, name)
            args = {"write": (b"x",), "writelines": ([b"x"],), "get_extra_info": ("socket",)}.get(name, ())
            try:
                method(*args)
            except Exception:
                pass  # it may be anything but a crash
        empty.__class__  # noqa: B018


@action("private")
def put_transport(world: World, first: int, second: int) -> None:
    """asyncio's `loop._transports`, which its own `sendfile` writes to."""
    link = world.link(first)
    if link is None or link.transport is None:
        return
    transports = world.loop._transports
    fd = [link.transport._sock_fd if hasattr(link.transport, "_sock_fd") else 5, -1, -7, 1000, 5000][second % 5]
    try:
        before = transports.get(fd)
        transports[fd] = link.transport
        if before is None:
            if second // 5 % 2:
                del transports[fd]
        else:
            transports[fd] = before
    except (KeyError, ValueError, TypeError, OverflowError, IndexError):
        pass
    list(transports)
    len(transports)


@action("private")
def ask_selector(world: World, first: int, second: int) -> None:
    selector = world.loop._selector
    if selector is None:
        return  # the loop is closed
    odd = [-1, 0, 5, 10**6, 2**31 - 1, 2**40, None, "x", world]
    what = odd[first % len(odd)]
    for method in (selector.get_key, selector.events, selector.remove_reader, selector.let_go):
        if method == selector.remove_reader and what in (0, 5):
            continue  # somebody's
        try:
            method(what)
        except (KeyError, AttributeError, OverflowError):
            pass
        except Exception as error:
            if not isinstance(error, (TypeError, ValueError, OSError)):
                world.wrong(f"{method} raised {error!r}")
    world.attempt(selector.get_map)


# -- watched descriptors ----------------------------------------------------------------------------------------


def _watched(world: World, number: int) -> Watched:
    if not world.watched or (number % 4 == 0 and len(world.watched) < 3):
        first, second = tcp_pair() if number % 3 == 0 else unix_pair()
        first.setblocking(False)
        second.setblocking(False)
        world.sockets += [first, second]
        made = Watched(first, second)
        base = 100 + 2 * world.number()
        made.into.number, made.out.number = base, base + 1
        made.into.name, made.out.name = "sock_recv", "sock_sendall"
        world.watched.append(made)
        return made
    return world.watched[number % len(world.watched)]


@action("readers")
def add_reader(world: World, first: int, second: int) -> None:
    watched = _watched(world, first)
    if watched.task is not None:
        watched.sure = False

    def told(*ignored: Any) -> None:
        watched.told += 1
        world.spring("reader")

    what = watched.sock if second % 2 else watched.sock.fileno()
    if world.took(world.loop.add_reader, what, told):
        watched.reading = True
        watched.told = 0
        watched.sure = watched.sure and len(world.loops) == 1


@action("readers")
def add_writer(world: World, first: int, second: int) -> None:
    watched = _watched(world, first)

    def told(*ignored: Any) -> None:
        world.spring("reader")
        if watched.sock.fileno() >= 0 and second % 4:
            world.attempt(world.loop.remove_writer, watched.sock)

    watched.sure = False
    world.attempt(world.loop.add_writer, watched.sock if second % 2 else watched.sock.fileno(), told)


@action("readers")
def remove_reader(world: World, first: int, second: int) -> None:
    watched = _watched(world, first)
    watched.reading = False
    world.attempt(world.loop.remove_reader, watched.sock if second % 2 else watched.sock.fileno())
    if second % 3 == 0:
        world.attempt(world.loop.remove_writer, watched.sock)


@action("readers")
def watch_odd(world: World, first: int, second: int) -> None:
    odd = [-1, -2, None, "x", 1.5, 2**31, 2**40, 10**6, world, open(os.devnull), True]  # noqa: SIM115
    loop = world.loop
    what = odd[first % (len(odd) - 1)]
    for method in (loop.add_reader, loop.add_writer):
        try:
            world.attempt(method, what, Token(world, False))
        except OverflowError:
            pass
    for method in (loop.remove_reader, loop.remove_writer):
        world.attempt(method, what)
    odd[9].close()


@action("readers")
def watch_foreign(world: World, first: int, second: int) -> None:
    """A descriptor that a transport uses: refused."""
    link = world.link(first)
    if link is None or link.sock is None or link.sock.fileno() < 0:
        return
    fd = link.sock.fileno()
    method = [world.loop.add_reader, world.loop.remove_reader, world.loop.add_writer, world.loop.remove_writer][
        second % 4
    ]
    args = (Token(world, False),) if second % 2 == 0 else ()
    if world.took(method, fd, *args):
        link.blurs()
        for loop in world.loops:
            if not loop.is_closed():
                world.attempt(loop._remove_reader, fd)
                world.attempt(loop._remove_writer, fd)


@action("readers")
def peer_of_watched_sends(world: World, first: int, second: int) -> None:
    watched = _watched(world, first)
    if watched.peer.fileno() >= 0:
        data = watched.into.next(SIZES[second % 6])
        try:
            watched.into.sends(watched.peer.send(data))
        except OSError:
            pass


@action("readers")
def empty_watched(world: World, first: int, second: int) -> None:
    watched = _watched(world, first)
    if watched.sock.fileno() >= 0 and watched.task is None:
        try:
            world.guard(watched.into.comes, watched.sock.recv(SIZES[second % len(SIZES)]))
        except OSError:
            pass


# -- closing behind the loop's back -----------------------------------------------------------------------------


@action("reuse")
def close_watched(world: World, first: int, second: int) -> None:
    """A socket is closed that is watched, or waited for; its number goes to the next one."""
    watched = _watched(world, first)
    watched.sock.close()
    if second % 2:
        watched.peer.close()
    if watched in world.watched:
        world.watched.remove(watched)


@action("reuse")
def close_behind(world: World, first: int, second: int) -> None:
    """The socket of a transport is closed behind it."""
    link = world.link(first)
    if link is not None and link.sock is not None:
        link.loses()
        link.abused = True
        world.attempt(link.sock.close)


@action("reuse")
def close_box_behind(world: World, first: int, second: int) -> None:
    box = world.pick(world.boxes, first)
    if box is not None:
        box.abused = box.abused or second % 8 == 0
        box.sock.close()


@action("reuse")
def duplicate_over(world: World, first: int, second: int) -> None:
    """Another socket is put in the place of a transport's, under its number."""
    link = world.link(first)
    other = world.link(second)
    if link is None or link.sock is None or link.sock.fileno() < 0 or other is link:
        return
    link.blurs()
    a, b = unix_pair()
    world.sockets.append(b)
    a.setblocking(False)  # or it is the kernel that waits
    os.dup2(a.fileno(), link.sock.fileno())
    a.close()


@action("reuse")
def close_peer(world: World, first: int, second: int) -> None:
    link = world.link(first)
    if link is not None and link.peer is not None:
        link.out.loses()
        if second % 2 and link.peer.fileno() >= 0:
            link.into.loses()
            world.attempt(link.peer.setsockopt, socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        link.peer.close()


# -- streams ----------------------------------------------------------------------------------------------------


def _factory(world: World, link: Link, number: int) -> Any:
    def make() -> Any:
        world.current = link  # type: ignore[attr-defined]
        world.spring("factory", link)
        link.protocol = (Buffered if number % 3 == 0 else Plain)(link, True)
        return link.protocol

    return make


def _link(world: World, number: int, loop: Any = None) -> Link | None:
    open_links = [link for link in world.links if not link.lost]
    if len(world.links) > 6:
        world.forget_ended()
    if len(open_links) >= CONNECTIONS or len(world.links) > 12 or world.loop.is_closed():
        return None
    first, second = unix_pair() if number % 2 == 0 else tcp_pair()
    first.setblocking(False)
    second.setblocking(False)
    if number % 4 == 0:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    world.sockets += [first, second]
    link = Link(world, world.number(), world.loop, first, second)
    link.filling = number // 4
    world.links.append(link)
    return link


def _connected(world: World, link: Link) -> Any:
    def done(result: Any) -> None:
        link.transport = result[0]

    return done


@action("streams")
def connect(world: World, first: int, second: int) -> None:
    link = _link(world, first)
    if link is not None:
        make = _factory(world, link, second)
        if second % 2:
            world.start(world.loop.connect_accepted_socket(make, link.sock), _connected(world, link))
        else:
            world.start(world.loop.create_connection(make, sock=link.sock), _connected(world, link))
        if first % 2:
            world.turn(world.loop, 3)


@action("streams")
def make_transport(world: World, first: int, second: int) -> None:
    """asyncio's own way of making one, which programs use too."""
    link = _link(world, first)
    if link is not None:
        protocol = (Buffered if second % 3 == 0 else Plain)(link, True)
        link.transport = world.attempt(world.loop._make_socket_transport, link.sock, protocol)
        if link.transport is None:
            world.links.remove(link)


@action("wrappers")
def make_transport_of_odd_socket(world: World, first: int, second: int) -> None:
    link = _link(world, first)
    if link is None:
        return
    cls = [Wrapper, Slotted, Derived, Counting][second % 4]
    if issubclass(cls, REAL):
        old = link.sock
        odd = cls(old.family, old.type, old.proto, fileno=old.detach())
        odd.setblocking(False)
        link.sock = odd
        world.sockets.append(odd)
    else:
        odd = cls(inner=link.sock)
    protocol = (Buffered if second % 3 == 0 else Plain)(link, True)
    if first % 2:
        socket.socket = cls  # type: ignore[misc]
    link.transport = world.attempt(world.loop._make_socket_transport, odd, protocol)
    if first % 4 == 1:
        socket.socket = REAL  # type: ignore[misc]
    if link.transport is None:
        world.links.remove(link)


@action("wrappers")
def replace_socket_class(world: World, first: int, second: int) -> None:
    socket.socket = [REAL, Wrapper, Slotted, Derived, Counting][first % 5]  # type: ignore[misc, assignment]


@action("wrappers")
def receive_on_odd_socket(world: World, first: int, second: int) -> None:
    watched = _watched(world, first)
    if watched.task is None and watched.sock.fileno() >= 0:
        odd: Any = [Wrapper, Slotted][second % 2](inner=watched.sock)
        _receive(world, watched, world.loop.sock_recv, odd, 100)


@action("factories")
def close_in_factory(world: World, first: int, second: int) -> None:
    """Within a factory: the socket that it makes a protocol for is closed."""
    link = getattr(world, "current", None)
    if link is not None and link.sock is not None:
        link.loses()
        link.abused = True
        link.sock.close()


@action("factories")
def throw_in_factory(world: World, first: int, second: int) -> None:
    link = _link(world, first)
    if link is not None:
        world.links.remove(link)

        def make() -> Any:
            if second % 2:
                link.sock.close()
            if second // 2 % 2:
                raise Thrown
            return [None, 7, object][second % 3]

        async def refused() -> None:
            try:
                if second // 4 % 2:
                    await world.loop.connect_accepted_socket(make, link.sock)
                else:
                    await world.loop.create_connection(make, sock=link.sock)
            except AttributeError:
                pass  # what it gives is no protocol

        world.start(refused())


@action("factories")
def refuse_in_factory(world: World, first: int, second: int) -> None:
    """A factory that closes the socket and goes on, as who refuses a connection does."""
    link = _link(world, first)
    if link is not None:
        link.loses()
        link.abused = True

        def make() -> Any:
            link.sock.close()
            return (Buffered if second % 3 == 0 else Plain)(link, True)

        world.start(world.loop.connect_accepted_socket(make, link.sock), _connected(world, link))


@action("streams")
def write(world: World, first: int, second: int) -> None:
    _write(world, world.link(first), SIZES[second % len(SIZES)], 0)


@action("streams")
def write_twice(world: World, first: int, second: int) -> None:
    for _ in range(2):
        _write(world, world.link(first), SIZES[second % 6], 0)


@action("buffers")
def write_odd(world: World, first: int, second: int) -> None:
    _write(world, world.link(first), SIZES[second % 7], second)


@action("buffers")
def write_odd_things(world: World, first: int, second: int) -> None:
    for index in range(3):
        _write(world, world.link(first), 10 + index, second)


def _write(world: World, link: Link | None, size: int, kind: int) -> None:
    if link is None or link.out.sent + size > LONGEST or link.secured:
        return
    make, sure = SENT[kind % len(SENT)]
    data = link.out.next(size)
    before = _over(link)
    if before:
        link.out.loses()
    try:
        odd = make(data)
    except ValueError:
        return
    if not sure:
        link.out.blurs()
    link.out.sends(len(data))  # counted before: it may write again within
    marker = link.out.sent
    if _took(world, link, "write", odd):
        if _over(link):
            link.out.loses()
    elif link.out.sent == marker:
        link.out.sent -= len(data)
    else:
        link.out.blurs()


@action("buffers")
def writelines(world: World, first: int, second: int) -> None:
    link = world.link(first)
    if link is None or link.out.sent > LONGEST // 2 or link.secured:
        return
    pieces = []
    for index in range(second % 5):
        data = link.out.next(SIZES[(second + index) % 6])
        make, sure = SENT[(second * (index + 1)) % len(SENT)]
        pieces.append(make(data) if sure else data)
        link.out.sends(len(data))
    if _over(link):
        link.out.loses()
    link.out.blurs() if any(type(piece) is not bytes for piece in pieces) else None
    before = link.out.sent - sum(len(piece) for piece in pieces if type(piece) is bytes)
    given: Any = pieces if second % 7 else (piece for piece in pieces)
    if second % 11 == 0:
        given = [7, None]
        _ask(world, link, "writelines", given)
        link.out.sent = before
        return
    if not _took(world, link, "writelines", given):
        link.out.sent = max(before, 0)
    elif _over(link):
        link.out.loses()


@action("buffers")
def next_buffer(world: World, first: int, second: int) -> None:
    link = world.link(first)
    if link is not None:
        link.filling = second


@action("buffers")
def spoil_buffer(world: World, first: int, second: int) -> None:
    """The buffer that a protocol has given is released or made shorter."""
    link = world.link(first)
    buffer = getattr(link.protocol, "buffer", None) if link is not None else None
    if isinstance(buffer, memoryview):
        world.attempt(buffer.release)
    elif isinstance(buffer, bytearray):
        world.attempt(buffer.clear)
    if buffer is not None and link is not None:
        link.blurs()


def _method(name: str, *args: Any, loses: bool = False) -> Any:
    def do(world: World, first: int, second: int) -> None:
        link = world.link(first)
        if link is not None:
            if loses:
                link.loses()
            method = getattr(link.transport, name, None)
            if method is not None:
                world.attempt(method, *args)

    do.__name__ = name
    return do


@action("streams")
def write_eof(world: World, first: int, second: int) -> None:
    link = world.link(first)
    if link is not None and hasattr(link.transport, "write_eof"):
        _ask(world, link, "write_eof")


@action("streams")
def close_transport(world: World, first: int, second: int) -> None:
    link = world.link(first)
    if link is not None:
        link.into.loses()
        _ask(world, link, "close")


@action("streams")
def abort(world: World, first: int, second: int) -> None:
    link = world.link(first)
    if link is not None:
        link.loses()
        _ask(world, link, "abort")


pause_reading = action("streams")(_method("pause_reading"))
resume_reading = action("streams")(_method("resume_reading"))


@action("streams")
def set_limits(world: World, first: int, second: int) -> None:
    link = world.link(first)
    if link is not None:
        limits: list[Any] = [
            (None, None),
            (0, 0),
            (10, 5),
            (5, 10),
            (-1, None),
            (1 << 20, None),
            (1 << 70, 0),
            ("x", 1),
        ]
        high, low = limits[second % len(limits)]
        try:
            _ask(world, link, "set_write_buffer_limits", high, low)
        except OverflowError:
            pass
        _ask(world, link, "get_write_buffer_limits")
        _ask(world, link, "get_write_buffer_size")


@action("streams")
def set_protocol(world: World, first: int, second: int) -> None:
    link = world.link(first)
    if link is not None and not link.secured and link.made:
        link.protocol = (Buffered if second % 2 else Plain)(link, False)
        _ask(world, link, "set_protocol", link.protocol)


@action("streams")
def set_no_protocol(world: World, first: int, second: int) -> None:
    link = world.link(first)
    if link is not None and second % 4 == 0 and not link.secured and link.made:
        before = link.transport.get_protocol()
        _ask(world, link, "set_protocol", [None, 7][second // 4 % 2])
        if not link.lost:
            _ask(world, link, "set_protocol", before)


@action("streams")
def ask_transport(world: World, first: int, second: int) -> None:
    link = world.link(first)
    if link is not None:
        transport = link.transport
        names = ["socket", "sockname", "peername", "ssl_object", "sslcontext", "nothing", 7]
        world.attempt(transport.get_extra_info, names[second % len(names)])
        repr(transport)
        for name in ("is_closing", "is_reading", "get_protocol", "can_write_eof"):
            method = getattr(transport, name, None)
            if method is not None:
                world.attempt(method)
        world.kept.append(weakref.ref(transport, lambda ref: world.spring("weak")))
        del world.kept[:-12]


@action("streams")
def drop_transport(world: World, first: int, second: int) -> None:
    """The program lets go of a transport."""
    link = world.link(first)
    if link is not None:
        if link.lost == 0:
            link.loses()
            link.abused = True
            if second % 4:
                _ask(world, link, "abort")
        link.transport = None
        link.protocol = None
        if link.lost and link in world.links:
            world.links.remove(link)


@action("sendfile")
def abandon(world: World, first: int, second: int) -> None:
    """Give up a connection, and all that is done with it, in one order or another."""
    link = world.link(first)
    if link is None:
        return
    link.loses()
    transport = link.transport

    def cancel() -> None:
        for task, loop in list(world.tasks):
            if not loop.is_closed():
                task.cancel()

    ends = [
        lambda: world.attempt(getattr(transport, "abort", transport.close)),
        cancel,
        lambda: world.attempt(link.sock.close) if link.sock is not None else None,
    ]
    begin = (0, 0, 1, 2)[second % 4]
    for index in range(1 + second // 4 % 3):
        ends[(begin + index) % 3]()
        world.turn(world.loop, 1 + second // 12 % 4)
    link.abused = True
    link.transport = link.protocol = None
    ends.clear()
    transport = None
    gc.collect()


@action("streams")
def peer_sends(world: World, first: int, second: int) -> None:
    link = world.link(first)
    if link is not None and link.peer is not None and link.peer.fileno() >= 0 and not link.secured:
        data = link.into.next(SIZES[second % len(SIZES)])
        try:
            if data:
                link.into.sends(link.peer.send(data))
        except OSError:
            pass


@action("streams")
def peer_receives(world: World, first: int, second: int) -> None:
    link = world.link(first)
    if link is not None:
        world.drain(link)


@action("streams")
def peer_ends(world: World, first: int, second: int) -> None:
    link = world.link(first)
    if link is not None and link.peer is not None:
        world.attempt(link.peer.shutdown, socket.SHUT_WR)


# -- files ------------------------------------------------------------------------------------------------------


@action("sendfile")
def sendfile(world: World, first: int, second: int) -> None:
    link = world.link(first)
    if link is None or link.lost or link.secured or link.out.sent > LONGEST // 2:
        return
    file = open(os.memfd_create("torture"), "r+b", buffering=0)  # noqa: SIM115
    world.sockets.append(file)
    size = [400_000, 100, 70_000, 400_000, 0][second % 5]
    offset = link.out.sent
    file.seek(offset)
    file.write(link.out.next(size))
    size = min(size, LONGEST - offset)
    link.out.loses()  # of what is cancelled nobody can say how much was sent

    transport, loop, busy = link.transport, world.loop, link.sending
    link.sending += 1
    if busy:
        link.out.blurs()

    async def send() -> None:
        sent = 0
        if link.out.sent != offset:  # somebody wrote before it began
            link.out.blurs()
        link.out.sent += size  # whoever writes meanwhile is refused
        try:
            sent = await loop.sendfile(transport, file, offset, size or None, fallback=bool(second % 2))
        except KeyError:
            if not busy:
                raise  # asyncio's own answer to a second one
        finally:
            link.sending -= 1
            if sent != size:
                link.out.blurs()
            file.close()

    world.start(send())
    if second // 8 % 4:
        world.turn(world.loop, 3)


@action("sendfile")
def sock_sendfile(world: World, first: int, second: int) -> None:
    watched = _watched(world, first)
    if watched.sock.fileno() < 0:
        return
    file = open(os.memfd_create("torture"), "r+b", buffering=0)  # noqa: SIM115
    world.sockets.append(file)
    file.write(bytes(500_000))
    file.seek(0)
    watched.out.blurs()
    watched.sure = False
    world.start(world.loop.sock_sendfile(watched.sock, file))


@action("streams")
def cancel_task(world: World, first: int, second: int) -> None:
    entry = world.pick(world.tasks, -1 - first)
    if entry is not None and not entry[1].is_closed():
        entry[0].cancel()


# -- servers ----------------------------------------------------------------------------------------------------


@action("servers")
def serve(world: World, first: int, second: int) -> None:
    if len(world.servers) >= 2 or world.loop.is_closed():
        return
    loop = world.loop

    def make() -> Any:
        link = Link(world, world.number(), loop, None, None)
        link.into.blurs()
        link.abused = True
        world.links.append(link)
        world.spring("factory", link)
        return (Buffered if second % 3 == 0 else Plain)(link, True)

    listener = REAL()
    listener.bind(("127.0.0.1", 0))
    listener.setblocking(False)
    world.sockets.append(listener)
    world.start(loop.create_server(make, sock=listener), world.servers.append)
    world.turn(loop, 3)


@action("servers")
def visit(world: World, first: int, second: int) -> None:
    server = world.pick(world.servers, first)
    if server is not None and server.sockets and len(world.links) < 12:
        client = REAL()
        client.setblocking(False)
        world.sockets.append(client)
        try:
            client.connect(server.sockets[0].getsockname())
        except OSError:
            pass
        try:
            client.send(b"hello")
        except OSError:
            pass
        if second % 4 == 0:
            client.close()


@action("servers")
def close_server(world: World, first: int, second: int) -> None:
    server = world.pick(world.servers, first)
    if server is not None:
        names = ["close", "close_clients", "abort_clients", "is_serving", "get_loop"]
        method = getattr(server, names[second % len(names)], None)
        if method is not None:
            world.attempt(method)
        if second % 3 == 0:
            world.start(server.wait_closed())
        elif second % 3 == 1:
            world.start(server.serve_forever())


# -- TLS --------------------------------------------------------------------------------------------------------


def _contexts() -> Any:
    import functools
    import ssl

    import trustme

    @functools.cache
    def made() -> Any:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA(key_type=trustme.KeyType.ECDSA).issue_cert("localhost").configure_cert(server)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.verify_mode = ssl.CERT_NONE
        return server, client

    return made


_tls = None


def tls() -> Any:
    """The contexts of a server and of a client."""
    global _tls
    if _tls is None:
        _tls = _contexts()
    return _tls()


@action("tls")
def start_tls(world: World, first: int, second: int) -> None:
    """On a connection whose peer knows nothing of it."""
    link = world.link(first)
    if link is None or link.lost:
        return
    link.blurs()
    link.secured = True
    server, client = tls()
    protocol = (Buffered if second % 3 == 0 else Plain)(link, False)
    context: Any = [client, server, None, 7][second % 4]
    world.start(
        world.loop.start_tls(
            link.transport, protocol, context, server_side=second % 4 == 1, ssl_handshake_timeout=0.05
        ),
        lambda transport: setattr(link, "transport", transport),
    )


@action("tls")
def connect_with_tls(world: World, first: int, second: int) -> None:
    """Both ends in the loop."""
    if len([link for link in world.links if not link.lost]) >= CONNECTIONS or world.loop.is_closed():
        return
    server, client = tls()
    ends = tcp_pair()
    for index, sock in enumerate(ends):
        sock.setblocking(False)
        world.sockets.append(sock)
        link = Link(world, world.number(), world.loop, sock, None)
        link.blurs()
        link.secured = True
        world.links.append(link)
        make = _factory(world, link, first + index)
        if index:
            world.start(world.loop.connect_accepted_socket(make, sock, ssl=server), _connected(world, link))
        else:
            world.start(
                world.loop.create_connection(make, sock=sock, ssl=client, server_hostname="localhost"),
                _connected(world, link),
            )
    world.turn(world.loop, 4 + second % 8)


@action("tls")
def write_secured(world: World, first: int, second: int) -> None:
    link = world.link(first)
    if link is not None and link.secured:
        make, _ = SENT[second % len(SENT)]
        try:
            odd = make(bytes(SIZES[second % len(SIZES)]))
        except ValueError:
            return
        if isinstance(odd, (bytes, bytearray, memoryview)) or "Pipe" not in type(link.transport).__name__:
            _ask(world, link, "write", odd)  # asyncio's pipes assert that it is


# -- sockets ----------------------------------------------------------------------------------------------------


def _receive(world: World, watched: Watched, method: Any, *args: Any, came: Any = None) -> None:
    """Have a task receive; there is at most one for a socket."""
    if world.loop.is_closed():
        return
    watched.reading = False
    watched.task = object()

    async def receive() -> None:
        try:
            result = await method(*args)
            if came is None:
                world.guard(watched.into.comes, result) if result else None
            else:
                came(result)
        finally:
            watched.task = None

    world.start(receive())
    if not world.tasks:
        watched.task = None


@action("sockets")
def sock_recv(world: World, first: int, second: int) -> None:
    watched = _watched(world, first)
    if watched.task is None and watched.sock.fileno() >= 0:
        _receive(world, watched, world.loop.sock_recv, watched.sock, SIZES[second % len(SIZES)])


@action("sockets")
def sock_recv_into(world: World, first: int, second: int) -> None:
    watched = _watched(world, first)
    if watched.task is None and watched.sock.fileno() >= 0:
        buffer = bytearray(SIZES[second % len(SIZES)])

        def came(count: int) -> None:
            world.guard(watched.into.comes, bytes(buffer[:count]))

        _receive(world, watched, world.loop.sock_recv_into, watched.sock, buffer, came=came)


@action("sockets")
def sock_odd(world: World, first: int, second: int) -> None:
    """Calls that are refused, or make no sense, or are never awaited."""
    watched = _watched(world, first)
    loop = world.loop
    watched.sure = False
    watched.into.blurs()
    watched.out.blurs()
    calls: list[Any] = [
        lambda: loop.sock_recv(watched.sock, -1),
        lambda: loop.sock_recv(watched.sock, 0),
        lambda: loop.sock_recv(watched.sock, "x"),
        lambda: loop.sock_recv(watched.sock, 1 << 62),
        lambda: loop.sock_recv(None, 5),
        lambda: loop.sock_recv(watched.sock.fileno(), 5),
        lambda: loop.sock_recv_into(watched.sock, room(second)),
        lambda: loop.sock_recvfrom_into(watched.sock, room(second)),
        lambda: loop.sock_recvfrom(watched.sock, 1000),
        lambda: loop.sock_sendall(watched.sock, None),
        lambda: loop.sock_sendto(watched.sock, b"x", ("127.0.0.1", 0)),
        lambda: loop.sock_connect(watched.sock, ("127.0.0.1", 1)),
        lambda: loop.sock_accept(watched.sock),
        lambda: loop.sock_sendall(watched.sock, SENT[second % len(SENT)][0](bytes(1000))),
        lambda: loop.sock_recv(watched.peer, 10),
    ]
    made = world.attempt(calls[second % len(calls)])
    if made is None:
        return

    async def wait() -> None:
        try:
            await made
        except (MemoryError, OverflowError, AttributeError):
            pass

    if first % 5:
        world.start(wait())
    else:
        world.attempt(made.close)
        world.attempt(made.send, None)


@action("sockets")
def drive_by_hand(world: World, first: int, second: int) -> None:
    """What `sock_recv` gives, driven as a coroutine."""
    watched = _watched(world, first)
    watched.sure = False
    watched.into.blurs()
    if watched.sock.fileno() < 0 or world.loop.is_closed() or asyncio._get_running_loop() is None:
        return
    made = world.attempt(world.loop.sock_recv, watched.sock, 100)
    if made is None:
        return
    steps = [lambda: made.send(None), lambda: made.throw(Thrown), made.close, lambda: next(iter(made.__await__()))]
    for index in range(3):
        try:
            steps[(second + index) % 4]()
        except StopIteration:
            pass
        except (Thrown, RuntimeError, OSError, TypeError, ValueError):
            pass
    made.close()


@action("sockets")
def sock_sendall(world: World, first: int, second: int) -> None:
    watched = _watched(world, first)
    if watched.sock.fileno() < 0 or world.loop.is_closed() or watched.out.sent > LONGEST // 2:
        return
    size = SIZES[second % len(SIZES)]

    async def send() -> None:
        data = watched.out.next(size)
        watched.out.loses()  # if it is broken off, nobody can say how much was sent
        watched.out.sends(size)
        if watched.sending:
            watched.out.blurs()
        watched.sending += 1
        done = False
        try:
            await world.loop.sock_sendall(watched.sock, data)
            done = True
        finally:
            watched.sending -= 1
            if not done:
                watched.out.blurs()

    world.start(send())


@action("sockets")
def peer_of_watched_receives(world: World, first: int, second: int) -> None:
    watched = _watched(world, first)
    try:
        while watched.peer.fileno() >= 0 and (data := watched.peer.recv(1 << 17)):
            world.guard(watched.out.comes, data)
    except OSError:
        pass


@action("sockets")
def accept_and_connect(world: World, first: int, second: int) -> None:
    if world.loop.is_closed():
        return
    listener, client = REAL(), REAL()
    world.sockets += [listener, client]
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    listener.setblocking(False)
    client.setblocking(False)
    world.start(world.loop.sock_accept(listener), lambda taken: world.sockets.append(taken[0]))
    if second % 4:
        world.start(world.loop.sock_connect(client, listener.getsockname()))
    if second % 3 == 0:
        world.turn(world.loop, 2)
        listener.close()


# -- datagrams --------------------------------------------------------------------------------------------------


@action("datagrams")
def open_box(world: World, first: int, second: int) -> None:
    if len(world.boxes) >= 4 or world.loop.is_closed():
        return
    if first % 4 == 0:
        sock, peer = unix_pair(socket.SOCK_DGRAM)
        to = None
    else:
        sock, peer = REAL(type=socket.SOCK_DGRAM), REAL(type=socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        peer.bind(("127.0.0.1", 0))
        to = peer.getsockname()
        if first % 4 == 1:
            sock.connect(to)
            to = None
    sock.setblocking(False)
    peer.setblocking(False)
    world.sockets += [sock, peer]
    box = Box(world, world.number(), sock, peer, to)
    world.boxes.append(box)

    def make() -> Any:
        world.spring("factory")
        if second % 16 == 0:
            sock.close()
        return Telegrams(box)

    world.start(world.loop.create_datagram_endpoint(make, sock=sock))
    if second % 2:
        world.turn(world.loop, 3)


@action("datagrams")
def send_datagram(world: World, first: int, second: int) -> None:
    box = world.pick(world.boxes, first)
    if box is not None and box.transport is not None:
        world.attempt(box.transport.sendto, box.text(b"out", SIZES[second % 5]), box.to)


@action("datagrams")
def send_odd_datagram(world: World, first: int, second: int) -> None:
    box = world.pick(world.boxes, first)
    if box is not None and box.transport is not None:
        box.abused = True
        make, _ = SENT[second % len(SENT)]
        odd = world.attempt(make, b"datagram")
        to: Any = [box.to, ("127.0.0.1", -1), ("127.0.0.1", 1 << 40), ("nowhere", 1), 7, b"\0x", ("\0", 0)][first % 7]
        try:
            world.attempt(box.transport.sendto, odd, to)
        except (OverflowError, AttributeError):
            pass


@action("datagrams")
def receive_datagram(world: World, first: int, second: int) -> None:
    box = world.pick(world.boxes, first)
    if box is not None and box.peer.fileno() >= 0 and box.sock.fileno() >= 0:
        try:
            name = box.sock.getsockname()
            text = box.text(b"in", SIZES[second % 6])
            box.peer.sendto(text, name) if isinstance(name, tuple) else box.peer.send(text)
        except OSError:
            pass


@action("datagrams")
def act_on_box(world: World, first: int, second: int) -> None:
    box = world.pick(world.boxes, first)
    if box is not None and box.transport is not None:
        names = ["close", "abort", "pause_reading", "resume_reading", "is_closing", "get_write_buffer_size", "__repr__"]
        method = getattr(box.transport, names[second % len(names)], None)
        if method is not None:
            world.attempt(method)
        if second % 5 == 0 and not box.lost:
            world.attempt(box.transport.set_protocol, Telegrams(box))


@action("datagrams")
def forget_box(world: World, first: int, second: int) -> None:
    box = world.pick(world.boxes, first)
    if box is not None and box.lost:
        world.boxes.remove(box)
        box.sock.close()
        box.peer.close()


# -- pipes ------------------------------------------------------------------------------------------------------


@action("pipes")
def open_pipe(world: World, first: int, second: int) -> None:
    if len([link for link in world.links if not link.lost]) >= CONNECTIONS or world.loop.is_closed():
        return
    read, write = os.pipe()
    mine, other = (read, write) if first % 2 else (write, read)
    file = open(mine, "rb" if first % 2 else "wb", 0)  # noqa: SIM115
    os.set_blocking(other, False)
    end = open(other, "wb" if first % 2 else "rb", 0)  # noqa: SIM115
    world.sockets += [file, end]
    link = Link(world, world.number(), world.loop, None, None)
    link.blurs()
    link.secured = True  # its bytes are looked at by tests of pipes
    world.links.append(link)
    make = _factory(world, link, 1)
    method = world.loop.connect_read_pipe if first % 2 else world.loop.connect_write_pipe
    world.start(method(make, file), _connected(world, link))
    world.kept.append(end)
    world.turn(world.loop, 2)
    if second % 4 == 0 and link.made:
        file.close()


@action("pipes")
def use_pipe(world: World, first: int, second: int) -> None:
    for end in world.kept:
        if hasattr(end, "readinto") or hasattr(end, "write"):
            try:
                if end.closed:
                    continue
                if second % 8 == 0:
                    end.close()
                elif "r" in end.mode:
                    end.read(5000)
                else:
                    end.write(bytes(SIZES[second % 7]))
            except (OSError, ValueError, AttributeError):
                pass
    link = world.link(first)
    if link is not None and link.secured and hasattr(link.transport, "write"):
        make, _ = SENT[second % len(SENT)]
        odd = world.attempt(make, bytes(SIZES[first % len(SIZES)]))
        if isinstance(odd, (bytes, bytearray, memoryview)):  # asyncio asserts that it is
            _ask(world, link, "write", odd)


# -- fuses and Deferreds ----------------------------------------------------------------------------------------


class Lit:
    """A fuse, and what its handlers must have been told."""

    def __init__(self, fuse: Any) -> None:
        self.fuse = fuse
        self.calls = 0


@action("fuses")
def get_fuse(world: World, first: int, second: int) -> None:
    loop = world.loop
    watched = _watched(world, second)
    how: dict[str, Any] = [
        {},
        {"seconds": 0},
        {"seconds": 0.0005},
        {"readable": watched.sock},
        {"writable": watched.sock},
        {"signal": signal.SIGUSR2},
        {"seconds": -1},
        {"seconds": float("nan")},
        {"readable": -1},
        {"process": 0},
        {},
    ][first % 11]
    if "readable" in how or "writable" in how:
        watched.sure = False
    fuse = world.attempt(loop.get_fuse, **how)
    if fuse is not None:
        world.fuses.append(Lit(fuse))
        del world.fuses[:-6]


@action("fuses")
def act_on_fuse(world: World, first: int, second: int) -> None:
    lit = world.pick(world.fuses, first)
    if lit is None:
        return
    fuse = lit.fuse

    def handler(*ignored: Any) -> None:
        lit.calls += 1
        world.spring("fuse")

    acts: list[Any] = [
        lambda: fuse.burn(second),
        lambda: fuse.fail(Thrown()),
        lambda: fuse.fail(7),
        fuse.cancel,
        lambda: fuse.add_handler(handler),
        lambda: fuse.set_handler(handler, 1, 2),
        lambda: fuse.add_handler(None),
        lambda: fuse.remove_handler(handler),
        fuse.call_handler,
        fuse.is_burned,
        lambda: fuse.value,
        lambda: fuse.error,
        lambda: fuse.set_time(world.loop.time()),
        lambda: repr(fuse),
        world.loop.check_fuses,
    ]
    world.attempt(acts[second % len(acts)])


@action("fuses")
def combine_fuses(world: World, first: int, second: int) -> None:
    one, other = world.pick(world.fuses, first), world.pick(world.fuses, second)
    if one is not None and other is not None:
        made = world.attempt(lambda: one.fuse | other.fuse if first % 2 else one.fuse & other.fuse)
        if made is not None:
            world.fuses.append(Lit(made))


@action("fuses")
def await_fuse(world: World, first: int, second: int) -> None:
    lit = world.pick(world.fuses, first)
    if lit is not None:

        async def wait() -> None:
            await lit.fuse

        world.start(wait())


@action("deferreds")
def make_deferred(world: World, first: int, second: int) -> None:
    made = defer.Deferred(lambda deferred: world.spring("handler")) if first % 2 else defer.Deferred()
    world.deferreds.append(made)
    del world.deferreds[:-5]


@action("deferreds")
def act_on_deferred(world: World, first: int, second: int) -> None:
    deferred = world.pick(world.deferreds, first)
    other = world.pick(world.deferreds, second)
    if deferred is None:
        return

    def step(result: Any) -> Any:
        world.spring("fuse")
        return [result, other, deferred, None][second % 4]

    acts: list[Any] = [
        lambda: deferred.callback(second),
        lambda: deferred.errback(Thrown()),
        lambda: deferred.callback(other),
        deferred.cancel,
        deferred.pause,
        deferred.unpause,
        lambda: deferred.addCallback(step),
        lambda: deferred.addErrback(step),
        lambda: deferred.addBoth(step),
        lambda: deferred.addCallbacks(step, step),
        lambda: deferred.addCallback(7),
        lambda: deferred.chainDeferred(other),
        lambda: defer.gatherResults([deferred, other]),
        lambda: repr(deferred),
        lambda: deferred.addErrback(lambda failure: None),
    ]
    try:
        world.attempt(acts[second % len(acts)])
    except (AssertionError, RecursionError):
        pass


# -- signals ----------------------------------------------------------------------------------------------------


@action("signals")
def handle_signal(world: World, first: int, second: int) -> None:
    loop = world.loop
    if second % 3:
        world.attempt(loop.add_signal_handler, signal.SIGUSR1, world.spring, "signal")
    else:
        world.attempt(loop.remove_signal_handler, signal.SIGUSR1)
    world.attempt(loop.add_signal_handler, [-1, 0, 1000, "x"][first % 4], print)


@action("signals")
def send_signal(world: World, first: int, second: int) -> None:
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        if signal.getsignal(number) not in (signal.SIG_DFL, None):
            os.kill(os.getpid(), number)


# -- memory -----------------------------------------------------------------------------------------------------


@action("memory")
def collect(world: World, first: int, second: int) -> None:
    gc.collect()


@action("memory")
def collect_always(world: World, first: int, second: int) -> None:
    world.threshold = [(1, 1, 1), (2, 5, 5), USUAL][first % 3]


@action("memory")
def drop_token(world: World, first: int, second: int) -> None:
    """Something that calls back in when it goes, in a circle or at once."""
    token: Any = Token(world, bool(first % 2))
    if second % 2:
        token.self = token
    if second % 3 == 0 and not world.loop.is_closed():
        world.loop.call_soon(token, token)
    if second % 5 == 0:
        token.ref = weakref.ref(token, lambda ref: world.spring("weak"))


@action("memory")
def bury(world: World, first: int, second: int) -> None:
    world.graveyard.clear()


@action("memory")
def write_many_and_drop(world: World, first: int, second: int) -> None:
    for _ in range(20):
        bytes(SIZES[second % 5])


# -- loops ------------------------------------------------------------------------------------------------------


@action("loops")
def open_another_loop(world: World, first: int, second: int) -> None:
    if len(world.loops) < 3:
        world.open_loop()


@action("loops")
def change_loop(world: World, first: int, second: int) -> None:
    world.loops.insert(0, world.loops.pop())


@action("loops")
def close_loop(world: World, first: int, second: int) -> None:
    """With things open."""
    loop = world.loop
    world.attempt(loop.close)
    if loop.is_closed():
        for watched in world.watched:
            watched.sure = False
            watched.task = None
        if all(other.is_closed() for other in world.loops):
            world.open_loop()


if sys.platform != "linux":
    raise ImportError("the torture is written for Linux")
