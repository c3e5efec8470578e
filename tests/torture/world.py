"""The world that is tortured: a few loops, connections, sockets, fuses, and the actions that are done to them.

An action is a method with two small numbers, marked `@action`. It picks what it acts on by those numbers, so that any
sequence of actions is a legal one, can be written down, cut shorter, and played again. Any action can also be put off
to a *place*: it is done by the next callback of that kind, inside the loop, a protocol, a destructor.

What is called is allowed to refuse: the errors in ALLOWED. Everything else that comes out of the loop is a fault.
"""

from __future__ import annotations

import _socket
import asyncio
import contextvars
import gc
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from fate import Fate, defer
from fate.errors import FateError, LoopClosedError
from tests.torture.buffers import content, room
from tests.torture.model import Call, Difference, Flow, Schedule, Thrown

ALLOWED = (
    OSError, RuntimeError, ValueError, TypeError, BufferError, OverflowError, NotImplementedError,
    asyncio.InvalidStateError, FateError, defer.AlreadyCalledError,
)  # fmt: skip
PLACES = [
    "call", "timer", "reader", "made", "received", "received", "buffer", "updated", "eof", "lost", "paused", "resumed",
    "factory", "handler", "deleted", "weak", "task", "fuse", "signal",
]  # fmt: skip
SIZES = [1, 3, 10, 100, 600, 4000, 5000, 30_000, 70_000, 150_000, 300_000]
DEPTH = 3  # so many actions inside each other
CONNECTIONS = 4
DEADLINE = 3.0  # seconds of real time, for what must come to come
ROUNDS = 300  # and at least so many looks: where the processors are busy, seconds say little
VARIABLE: contextvars.ContextVar[Any] = contextvars.ContextVar("VARIABLE")
REAL = socket.socket
USUAL = gc.get_threshold()

ACTIONS: dict[str, tuple[Callable[..., None], str]] = {}


def action(group: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a method of the world an action; `--without GROUP` leaves it out."""

    def mark(method: Callable[..., None]) -> Callable[..., None]:
        ACTIONS[method.__name__] = (method, group)
        return method

    return mark


class Wrapper:
    """A socket in a way of its own, as gevent and tests put in the place of `socket.socket`."""

    def __init__(self, *args: Any, inner: Any = None, **how: Any) -> None:
        self.inner = REAL(*args, **how) if inner is None else inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Slotted(Wrapper):
    """The same, whose memory is laid out otherwise."""

    __slots__ = ("inner",)


class Derived(REAL):
    """A subclass that does nothing of its own."""


class Counting(REAL):
    """A subclass that does."""

    def send(self, *args: Any) -> int:
        return super().send(*args)

    def fileno(self) -> int:
        return super().fileno()


class Token:
    """Something that springs a trap when it goes, and may come back to life."""

    def __init__(self, world: World, rises: bool) -> None:
        self.world = world
        self.rises = rises

    def __call__(self, *ignored: Any) -> None:
        pass

    def __del__(self) -> None:
        world = self.world
        if self.rises and len(world.graveyard) < 8:
            world.graveyard.append(self)
        world.spring("deleted")


class Link:
    """A transport of the loop's at one end of a pair of sockets, the machine at the other."""

    def __init__(self, world: World, number: int, loop: Fate, sock: Any, peer: socket.socket | None) -> None:
        self.world = world
        self.loop = loop
        self.sock = sock
        self.peer = peer
        self.out = Flow(2 * number, f"link {number}, to the peer")
        self.into = Flow(2 * number + 1, f"link {number}, from the peer")
        self.transport: Any = None
        self.made = 0
        self.lost = 0
        self.paused = False
        self.abused = False
        self.filling = 0
        self.protocol: Any = None
        self.secured = False
        self.sending = 0
        self.drained = False

    def loses(self) -> None:
        self.out.loses()
        self.into.loses()

    def blurs(self) -> None:
        self.abused = True
        self.out.blurs()
        self.into.blurs()

    def quiet(self) -> bool:
        """Nothing can be done to it any more."""
        return self.transport is None or self.lost > 0 or self.loop.is_closed()


class Listening:
    """What both kinds of protocols do."""

    def __init__(self, link: Link, first: bool) -> None:
        self.link = link
        self.first = first

    def connection_made(self, transport: Any) -> None:
        link = self.link
        link.made += 1
        if link.made > 1 and not link.secured:
            raise Difference("connection_made was called twice")
        if link.transport is None:
            link.transport = transport
        link.world.spring("made", link)

    def connection_lost(self, error: BaseException | None) -> None:
        link = self.link
        link.lost += 1
        if link.lost > 1:
            link.world.wrong("connection_lost was called twice")
        if not link.made:
            link.world.wrong("connection_lost before connection_made")
        if not link.abused and error is not None:
            link.loses()
        link.world.spring("lost", link)

    def pause_writing(self) -> None:
        if self.link.paused:
            self.link.world.wrong("pause_writing twice")
        self.link.paused = True
        self.link.world.spring("paused", self.link)

    def resume_writing(self) -> None:
        if not self.link.paused:
            self.link.world.wrong("resume_writing without pause_writing")
        self.link.paused = False
        self.link.world.spring("resumed", self.link)

    def eof_received(self) -> bool:
        self.link.world.guard(self.link.into.ends)
        self._alive("eof_received")
        self.link.world.spring("eof", self.link)
        return self.link.filling % 2 == 0

    def _alive(self, what: str) -> None:
        if self.link.lost:
            self.link.world.wrong(f"{what} after connection_lost")
        if not self.link.made:
            self.link.world.wrong(f"{what} before connection_made")


class Plain(Listening, asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        self._alive("data_received")
        if type(data) is not bytes or not data:
            self.link.world.wrong(f"data_received({data!r})")
        self.link.world.guard(self.link.into.comes, data)
        self.link.world.spring("received", self.link)


class Buffered(Listening, asyncio.BufferedProtocol):
    buffer: Any = None

    def get_buffer(self, hint: int) -> Any:
        self._alive("get_buffer")
        link = self.link
        self.buffer = room(link.filling)
        link.world.spring("buffer", link)
        return self.buffer

    def buffer_updated(self, count: int) -> None:
        self._alive("buffer_updated")
        self.link.world.guard(self.link.into.comes, content(self.buffer, count))
        self.link.world.spring("updated", self.link)


class Telegrams(asyncio.DatagramProtocol):
    """A protocol of datagrams, each of which begins with whose it is."""

    def __init__(self, box: Box) -> None:
        self.box = box

    def connection_made(self, transport: Any) -> None:
        self.box.transport = transport
        self.box.world.spring("made")

    def datagram_received(self, data: bytes, address: Any) -> None:
        if self.box.lost:
            self.box.world.wrong("datagram_received after connection_lost")
        self.box.checks(data, b"in")
        self.box.world.spring("received")

    def error_received(self, error: OSError) -> None:
        self.box.world.spring("handler")

    def connection_lost(self, error: BaseException | None) -> None:
        self.box.lost += 1
        if self.box.lost > 1:
            self.box.world.wrong("connection_lost of a datagram transport was called twice")
        self.box.world.spring("lost")


class Box:
    """A datagram transport and a bare socket."""

    def __init__(self, world: World, number: int, sock: socket.socket, peer: socket.socket, to: Any) -> None:
        self.world = world
        self.number = number
        self.sock = sock
        self.peer = peer
        self.to = to
        self.transport: Any = None
        self.lost = 0
        self.abused = False
        self.sent = 0

    def text(self, way: bytes, size: int) -> bytes:
        self.sent += 1
        return b"%s %d of %d " % (way, self.sent, self.number) + b"." * size

    def checks(self, data: bytes, way: bytes) -> None:
        if self.abused:
            return
        parts = data.split(b" ")
        if len(parts) < 4 or parts[0] != way or parts[3] != b"%d" % self.number:
            self.world.wrong(f"datagram of box {self.number}: {data[:40]!r}")


class Watched:
    """A pair of sockets whose first the loop watches by `add_reader` and `add_writer`."""

    def __init__(self, sock: socket.socket, peer: socket.socket) -> None:
        self.sock = sock
        self.peer = peer
        self.reading = False
        self.told = 0
        self.sure = True
        self.into = Flow(0, "")
        self.out = Flow(0, "")
        self.task: Any = None
        self.sending = 0


class Stopper:
    """Stops a loop, and again if somebody within has taken that back: it never waits for ever."""

    def __init__(self, loop: Fate, delay: float) -> None:
        self.loop = loop
        self.delay = delay
        self.done = False

    def __enter__(self) -> None:
        self.task = asyncio.current_task(self.loop)  # no other can make a step while it is, so as nest_asyncio does
        if self.task is not None:
            asyncio.tasks._leave_task(self.loop, self.task)  # type: ignore[attr-defined]
        if self.delay:
            self.loop.call_later(self.delay, self.stop)
        else:
            self.loop.call_soon(self.stop)

    def stop(self) -> None:
        if not self.done and not self.loop.is_closed():
            self.loop.stop()
            self.loop.call_later(0.001, self.stop)

    def __exit__(self, *error: object) -> None:
        self.done = True
        if self.task is not None:
            asyncio.tasks._enter_task(self.loop, self.task)  # type: ignore[attr-defined]


class Patience:
    """How long to wait for what must come."""

    def __init__(self) -> None:
        self.deadline = time.monotonic() + DEADLINE
        self.rounds = 0

    def ends(self) -> bool:
        """Wait a moment, unless it has been long enough."""
        self.rounds += 1
        if self.rounds > ROUNDS and time.monotonic() > self.deadline:
            return True
        time.sleep(0.0005)
        return False


class World:
    """Everything that one example has made."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.traps: dict[str, list[tuple[str, int, int]]] = {}
        self.depth = 0
        self.numbers = 0
        self.meek = False
        self.interrupts = 0
        self.about = 0  # so many handles are about to run, of which an instrument is being told
        self.threshold = USUAL
        self.bad_calls = 0
        self.graveyard: list[Any] = []
        self.kept: list[Any] = []
        self.links: list[Link] = []
        self.boxes: list[Box] = []
        self.watched: list[Watched] = []
        self.sockets: list[Any] = []  # everything to be closed at the end
        self.tasks: list[tuple[Any, Fate]] = []
        self.servers: list[Any] = []
        self.fuses: list[Any] = []
        self.deferreds: list[Any] = []
        self.loops: list[Fate] = []
        self.schedules: dict[int, Schedule] = {}
        self.calls: list[Call] = []
        self.signals = 0
        self.hook, sys.unraisablehook = sys.unraisablehook, self.unraisable
        self.open_loop()

    # -- faults -------------------------------------------------------------------------------------------------

    def wrong(self, what: str) -> None:
        """Note a difference from the model."""
        if len(self.faults) < 20:
            self.faults.append(what)

    def guard(self, call: Callable[..., None], *args: Any) -> None:
        """Call what may raise a `Difference`, inside the loop, which would swallow it."""
        try:
            call(*args)
        except Difference as difference:
            self.wrong(str(difference))

    def check(self) -> None:
        """Raise what has been noted."""
        if self.faults:
            raise Difference("; ".join(self.faults))

    def unraisable(self, told: Any) -> None:
        if not isinstance(told.exc_value, (Thrown, KeyboardInterrupt, ResourceWarning, LoopClosedError)):
            self.wrong(f"unraisable in {told.object!r}: {told.exc_value!r}")

    def told(self, loop: Any, context: dict[str, Any]) -> None:
        """The loops' exception handler."""
        error = context.get("exception")
        transport = context.get("transport")
        for link in self.links:
            if transport is not None and link.transport is transport:
                link.loses()
        message = context["message"]
        if message.startswith("Instrument"):
            return
        if message.startswith("protocol.resume_writing") and isinstance(error, AssertionError):
            return  # asyncio's TLS, when it begins while writing is paused
        if (
            message == "protocol.pause_writing() failed"
            and isinstance(error, AttributeError)
            and "sslproto" in _place(error)
        ):
            return  # asyncio's TLS, when a transport that is lost gets other limits
        if error is not None and not isinstance(error, (Thrown, *ALLOWED, asyncio.CancelledError)):
            self.wrong(f"{message}: {error!r} {_place(error)}")
        elif transport is None and message.startswith("Exception in callback"):
            if isinstance(error, (Thrown, OSError, RuntimeError, ValueError)):
                pass
            elif isinstance(error, asyncio.InvalidStateError) and "_call_connection_lost" in message:
                pass  # TODO: asyncio's own, until streams have it right
            elif self.bad_calls:
                self.bad_calls -= 1
            else:
                self.wrong(f"{message}: {error!r} {_place(error)}")
        if message.startswith("Fatal"):  # what was being written is lost, and the handler may write more
            for link in self.links:
                if link.transport is transport:
                    link.out.blurs()
        self.spring("handler")

    # -- doing --------------------------------------------------------------------------------------------------

    def do(self, name: str, first: int, second: int) -> None:
        """Do an action, at the top or within another."""
        place, _, name = name.rpartition("@")
        if place:
            self.traps.setdefault(place, []).append((name, first, second))
            return
        if self.depth >= DEPTH:
            return
        outermost = self.depth == 0
        self.depth += 1
        if outermost:
            gc.set_threshold(*self.threshold)  # the tests' own machinery shall not pay for it
        try:
            ACTIONS[name][0](self, first, second)
        finally:
            self.depth -= 1
            if outermost:
                gc.set_threshold(*USUAL)

    def spring(self, place: str, link: Link | None = None) -> None:
        """The program is at `place` now: do what was put off to it."""
        waiting = self.traps.get(place)
        if self.meek or not waiting or self.depth >= DEPTH:
            return
        name, first, second = waiting.pop(0)
        try:
            self.do(name, first, second)
        except (Thrown, KeyboardInterrupt):
            if link is not None:
                link.loses()
            raise

    def attempt(self, call: Callable[..., Any], *args: Any, **how: Any) -> Any:
        """Call the loop; it may refuse."""
        try:
            return call(*args, **how)
        except (Thrown, *ALLOWED):
            return None
        except Exception as error:
            self.wrong(f"{getattr(call, '__qualname__', call)} raised {error!r} {_place(error)}")
            return None

    def took(self, call: Callable[..., Any], *args: Any, **how: Any) -> bool:
        """As `attempt`; whether it was not refused."""
        try:
            call(*args, **how)
        except (Thrown, *ALLOWED):
            return False
        except Exception as error:
            self.wrong(f"{getattr(call, '__qualname__', call)} raised {error!r} {_place(error)}")
            return False
        return True

    def start(self, coroutine: Any, then: Callable[[Any], None] | None = None) -> None:
        """Have the loop run a coroutine."""
        loop = self.loop
        if loop.is_closed() or len(self.tasks) > 12:
            coroutine.close()
            return

        async def guarded() -> Any:
            self.spring("task")
            return await coroutine

        def done(task: Any) -> None:
            self.tasks = [entry for entry in self.tasks if entry[0] is not task]
            if task.cancelled():
                return
            error = task.exception()
            if error is None:
                if then is not None:
                    then(task.result())
            elif not isinstance(error, (Thrown, KeyboardInterrupt, *ALLOWED)):
                self.wrong(f"a task ended with {error!r} {_place(error)}")

        task = self.attempt(loop.create_task, guarded())
        if task is not None:
            task.add_done_callback(done)
            self.tasks.append((task, loop))

    # -- picking ------------------------------------------------------------------------------------------------

    @property
    def loop(self) -> Fate:
        return self.loops[-1]

    @property
    def schedule(self) -> Schedule:
        return self.schedules[id(self.loop)]

    def link(self, number: int) -> Link | None:
        """One of the connections that can be used."""
        usable = [link for link in self.links if link.transport is not None]
        return usable[number % len(usable)] if usable else None

    def pick(self, things: list[Any], number: int) -> Any:
        return things[number % len(things)] if things else None

    def number(self) -> int:
        self.numbers += 1
        return self.numbers % 32

    def open_loop(self) -> None:
        loop = Fate()
        loop.set_exception_handler(self.told)
        self.loops.append(loop)
        self.schedules[id(loop)] = Schedule()

    def turn(self, loop: Fate, count: int) -> None:
        """Turn a loop, in the way that a program would, or an abuser's."""
        for _ in range(count):
            if loop.is_closed():
                return
            if loop.is_running() or asyncio._get_running_loop() is not None:
                return
            self.run(loop, 0)

    def run(self, loop: Fate, delay: float) -> None:
        """Run a loop that does not run, and stop it after a while."""
        if loop.is_turning():  # by hand
            self.attempt(loop.run_forever)  # it is refused
            return
        with Stopper(loop, delay):
            try:
                loop.run_forever()
            except KeyboardInterrupt:
                if not self.interrupts:
                    raise
                self.interrupts -= 1
            except Exception as error:
                self.wrong(f"run_forever raised {error!r} {_place(error)}")

    # -- the end ------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Let all come to its end, and compare."""
        try:
            self.settle()
        finally:
            self.close()
        self.check()

    def settle(self) -> None:
        self.meek = True
        socket.socket = REAL  # type: ignore[misc]
        patience = Patience()
        for link in self.links:
            if link.transport is not None and not link.quiet():
                link.filling = 0
                if hasattr(link.transport, "resume_reading"):
                    self.attempt(link.transport.resume_reading)
        while True:
            for loop in self.loops:
                self.turn(loop, 4)
            for link in self.links:
                self.drain(link)
            for box in self.boxes:
                self.empty(box)
            if self.faults or not self.owed():
                break
            if patience.ends():
                for what in self.owed():
                    self.wrong(what)
                break
        for task, _ in list(self.tasks):
            self.attempt(task.cancel)
        for server in self.servers:
            self.attempt(server.close)
        for thing in [*self.links, *self.boxes]:
            if thing.transport is not None:
                self.attempt(getattr(thing.transport, "abort", thing.transport.close))
        patience = Patience()
        while True:
            for loop in self.loops:
                self.turn(loop, 3)
            if all(task.done() or loop.is_closed() for task, loop in self.tasks):
                break
            if patience.ends():  # not at once: one that copies a file ends when its thread has done its part
                break
        for link in self.links:
            if link.made and not link.lost and not link.quiet() and not link.secured and not self.faults:
                self.wrong(f"{link.out.name}: connection_lost never came")
        for task, loop in self.tasks:
            if not loop.is_closed() and not task.done() and not self.faults:
                self.wrong(f"a task does not end: {task!r}, {_waits(task.get_coro())}")

    def owed(self) -> list[str]:
        """What has still to come."""
        found = []
        for loop in self.loops:
            if not loop.is_closed():
                left = self.schedules[id(loop)].left()
                found += [f"callback {call.number} never ran" for call in left[:1]]
        for link in self.links:
            if link.loop.is_closed() or link.abused:
                continue
            if link.out.lacks() and link.peer is not None and link.peer.fileno() >= 0:
                found.append(f"{link.out.name}: {link.out.came} of {link.out.sent} bytes came")
            open_still = link.transport is not None and not link.lost and not link.transport.is_closing()
            if link.into.lacks() and open_still and link.made:
                found.append(f"{link.into.name}: {link.into.came} of {link.into.sent} bytes came")
        for watched in self.watched:
            if watched.sure and watched.reading and not watched.told and _readable(watched.sock):
                found.append("a reader is not told")
        return found

    def drain(self, link: Link) -> None:
        """Read what has come to the peer."""
        if link.drained:
            return  # it is being done: what the collector runs in the midst of it must not take what comes next
        peer = link.peer
        link.drained = True
        try:
            while peer is not None and peer.fileno() >= 0 and not link.out.ended:
                data = peer.recv(1 << 18)
                if data:
                    self.guard(link.out.comes, data)
                else:
                    self.guard(link.out.ends)
        except BlockingIOError:
            pass
        except OSError:
            link.loses()
            link.out.ended = True
        finally:
            link.drained = False

    def forget_ended(self) -> None:
        """Let go of connections that have ended, and of which nothing is owed."""
        for link in list(self.links):
            if link.lost:
                self.drain(link)
                if not link.out.lacks():
                    self.links.remove(link)
                    if link.peer is not None:
                        link.peer.close()

    def empty(self, box: Box) -> None:
        while box.peer.fileno() >= 0:
            try:
                box.checks(box.peer.recv(1 << 16), b"out")
            except OSError:
                return

    def close(self) -> None:
        self.meek = True
        socket.socket = REAL  # type: ignore[misc]
        asyncio._set_running_loop(None)
        for loop in self.loops:
            self.attempt(loop.close)
        self.links_gone = self.links
        for sock in self.sockets:
            try:
                sock.close()
            except OSError:
                pass
        self.traps.clear()
        for things in (self.graveyard, self.kept, self.links, self.boxes, self.watched, self.tasks, self.servers):
            things.clear()  # type: ignore[attr-defined]
        for things in (self.fuses, self.deferreds, self.loops, self.calls, self.sockets):
            things.clear()
        self.schedules.clear()
        gc.collect()
        gc.freeze()  # what is left is not the loop's, and need not be looked through again and again
        sys.unraisablehook = self.hook


def _waits(coroutine: Any) -> str:
    """Where a coroutine waits."""
    places = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None:
            places.append(f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno} {frame.f_code.co_name}")
        else:
            places.append(repr(coroutine))
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return f"({', '.join(places)})"


def _place(error: BaseException) -> str:
    """Where an error was raised, the last two places."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{os.path.basename(code.co_filename)}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return f"({', '.join(places[-3:])})"


def _readable(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


def tcp_pair() -> tuple[Any, Any]:
    """Two ends of a TCP connection."""
    first, listener = REAL(), REAL()  # the first free number is the first one's
    try:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        first.connect(listener.getsockname())
        second, _ = listener.accept()
    finally:
        listener.close()
    return first, second


def unix_pair(kind: int = socket.SOCK_STREAM) -> tuple[Any, Any]:
    """Two sockets of a pair, also where another class is in the place of `socket.socket`."""
    first, second = _socket.socketpair(socket.AF_UNIX, kind)
    return tuple(REAL(socket.AF_UNIX, kind, 0, end.detach()) for end in (first, second))  # type: ignore[return-value]
