"""Raises an exception between any two steps of a run, and looks whether anything is lost.

A *world* is a loop with callbacks, timers, fuses, calls of another thread and a TCP connection that carries bytes both
ways, and a model of what must come of them: each callback once, each byte once and in order. `world.run()` is ended by
the exception; then no loop runs in the thread, hooks, signals and the wake-up descriptor are as they were, and
a second run brings about all that the first had not.

Uncompiled the exception comes at the n-th line of Fate's that runs outside the program's own callbacks (`at_line`), for
each n. Compiled it comes from a signal's handler, by a timer (`by_timer`).

    python -m tests.interrupts --count 10000       # which of the two it is, the build says
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import signal
import socket
import sys
import threading
import time
import warnings
from asyncio import runners
from collections import Counter
from collections.abc import Callable
from functools import partial
from opcode import opmap
from pathlib import Path
from types import FrameType
from typing import Any

import fate
from fate import Deferred, Fate

PACKAGE = str(Path(fate.__file__).parent)
RUNNERS = runners.__file__
ASYNCIO = str(Path(RUNNERS).parent)
NOP = opmap["NOP"]
STUCK = 1.5  # seconds after which a run that should have ended counts as stuck
SIZES = (10, 5_000, 100, 80_000, 1)


class Interrupt(KeyboardInterrupt):
    """What is raised."""


def pattern(first: int, size: int) -> bytes:
    """Bytes that tell their place."""
    return b"".join(b"%08d" % index for index in range(first // 8, (first + size) // 8 + 1))[first % 8 :][:size]


class Shield:
    """Inside it, no exception comes: what the program itself does is its own affair."""

    def __init__(self) -> None:
        self.depth = 0

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *exc: object) -> None:
        self.depth -= 1

    def over(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, shielded."""

        def shielded(*args: Any) -> Any:
            with self:
                return call(*args)

        return shielded


shield = Shield()


class End(asyncio.BaseProtocol):
    """One end of the connection: it sends in several turns, and keeps what comes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.got = bytearray()
        self.sent = 0
        self.chunks: list[int] = list(SIZES)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def send(self) -> None:
        size = self.chunks.pop(0)
        self.transport.write(pattern(self.sent, size))
        self.sent += size

    def complete(self, other: End) -> bool:
        return not other.chunks and len(self.got) >= other.sent


class Streamed(End, asyncio.Protocol):
    """It is given what comes."""

    def data_received(self, data: bytes) -> None:
        with shield:
            self.got += data


class Buffered(End, asyncio.BufferedProtocol):
    """It gives the buffer that is read into."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.buffer = bytearray(30_000)

    def get_buffer(self, hint: int) -> Any:
        with shield:
            return memoryview(self.buffer)

    def buffer_updated(self, size: int) -> None:
        with shield:
            self.got += self.buffer[:size]


class World:
    """A loop with something of everything, and the model of what must come of it.

    ends: of what kind the two ends of the connection are. article: `Fate.run()` runs it, as in the article.
    """

    spared = ""

    def __init__(self, ends: tuple[type[End], type[End]] = (Streamed, Streamed), *, article: bool = False) -> None:
        self.before = state()
        self.kinds = ends
        self.article = article
        self.loop = loop = Fate()
        loop.set_exception_handler(lambda loop, context: self.reports.append(context))
        self.reports: list[Any] = []
        self.seen: list[Any] = []
        self.wanted: Counter[Any] = Counter()
        self.ends: list[End] = []
        loop.run_until_complete(self.connect())
        for index in range(5):
            loop.call_soon(*self.mark("soon", index))
        loop.call_soon(shield.over(self.more))
        for index, delay in enumerate((0, 0.0002, 0.0007, 0.0007, 0.0021)):
            loop.call_later(delay, *self.mark("timer", index))
        loop.call_later(0.0003, self.seen.append, "never").cancel()
        fuse = loop.get_fuse(0.0005)
        self.fuses = [fuse, loop.get_fuse()]
        for number, one in enumerate(self.fuses):
            for index in range(3):
                append, what = self.mark("handler", number, index)
                one.add_handler(append, what)
        # Burned by the loop itself: what is cut short before it began is burned later, and else it is burned.
        self.burned = [loop.get_fuse() for _ in range(4)]
        a, b, c, d = self.burned
        self.compounds = [a & b, (a | c) & d, a & b & c & d]
        for number, one in enumerate([*self.burned, *self.compounds]):
            append, what = self.mark("burned", number)
            one.add_handler(append, what)
            one._watch(shield.over(partial(self.tell, self.mark("told", number)[1])))
            loop.call_soon(one.burn, number) if number < 4 else None
        self.deferred: Deferred = Deferred()
        for index in range(4):
            append, what = self.mark("deferred", index)
            self.deferred.addCallback(lambda result, append=append, what=what: append(what))
        if fate.compiled:
            loop.call_soon(self.deferred.callback, None)
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(*self.mark("thread")))
        thread.start()
        thread.join()
        loop.call_soon(shield.over(self.send))
        self.deadline = 0.0
        self.over = False
        loop.call_later(0.001, shield.over(self.look))

    def mark(self, *what: Any) -> tuple[Callable[[Any], None], Any]:
        """A callback that is to be called once, and its argument."""
        self.wanted[what] += 1
        return self.seen.append, what

    def tell(self, what: Any) -> None:
        """A fuse is over: whoever watches may be told twice."""
        if what not in self.seen:
            self.seen.append(what)

    async def connect(self) -> None:
        loop = self.loop
        with socket.create_server(("127.0.0.1", 0)) as listener:
            near = socket.create_connection(listener.getsockname())
            far, _ = listener.accept()
        for kind, sock in zip(self.kinds, (near, far), strict=True):
            sock.setblocking(False)
            _, end = await loop.connect_accepted_socket(partial(kind, self), sock)
            self.ends.append(end)

    def more(self) -> None:
        for index in range(3):
            self.loop.call_soon(*self.mark("more", index))
        self.fuses[1].burn()

    def send(self) -> None:
        for end in self.ends:
            end.send()
        if self.ends[0].chunks:
            self.loop.call_soon(shield.over(self.send))

    def complete(self) -> bool:
        a, b = self.ends
        return Counter(self.seen) >= self.wanted and a.complete(b) and b.complete(a)

    def look(self) -> None:
        if self.over:
            return
        if self.complete() or (self.deadline and time.monotonic() > self.deadline):
            self.loop.stop()
        else:
            self.loop.call_later(0.001, shield.over(self.look))

    def run(self) -> None:
        """The run that is interrupted."""
        self.turn()

    def turn(self) -> None:
        self.loop.run() if self.article else self.loop.run_forever()

    def check(self) -> list[str]:
        """What is wrong after the run, and after another one."""
        wrong = state_differs(self.before)
        if self.loop.is_running():
            wrong.append("the loop says that it runs")
        self.deadline = time.monotonic() + STUCK
        for one in self.burned:
            if not one.is_over() and not self.handle_of(one):
                one.burn()
        if not self.deferred.called and not self.handle_of(self.deferred):
            self.deferred.callback(None)
        try:
            handle = self.loop.call_later(STUCK + 1, self.loop.stop)
            if not self.complete():
                self.turn()
            handle.cancel()
            self.over = True
            self.loop.run_until_complete(asyncio.sleep(0))
        except BaseException as error:
            wrong.append(f"it does not run again: {error!r}")
        for end, other in zip(self.ends, reversed(self.ends), strict=True):
            if end.got != pattern(0, other.sent):
                wrong.append(f"{len(end.got)} bytes of {other.sent} came")
        if Counter(self.seen) != self.wanted:
            wrong.append(f"lost: {self.wanted - Counter(self.seen)}, too often: {Counter(self.seen) - self.wanted}")
        wrong += [f"reported: {report}" for report in self.reports]
        wrong += [f"again: {what}" for what in state_differs(self.before)]
        return wrong

    def handle_of(self, owner: object) -> bool:
        """Whether a method of it waits to be called."""
        return any(getattr(handle._callback, "__self__", None) is owner for handle in self.loop.scheduled())

    def close(self) -> None:
        for end in self.ends:
            end.transport.abort()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


class Program:
    """`fate.run` of a coroutine, or a Runner: nothing is left of it, whatever ended it."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.spared = RUNNERS if how == "runner" else ""  # what asyncio's own leaves behind is its affair
        self.before = state()
        self.made: list[Any] = []

    async def main(self) -> int:
        self.made.append(asyncio.get_running_loop())
        for _ in range(3):
            await asyncio.sleep(0)
        await asyncio.sleep(0.0005)
        return 1

    def run(self) -> None:
        main = self.main()
        try:
            if self.how == "fate.run":
                fate.run(main)
            elif self.how == "runner":
                with asyncio.Runner(loop_factory=Fate) as runner:
                    runner.run(main)
            else:
                loop = Fate()
                try:
                    loop.run_until_complete(main)
                finally:
                    loop.close()
        finally:
            main.close() if not self.made else None

    def check(self) -> list[str]:
        if self.how == "runner":  # which asyncio itself may leave
            signal.signal(signal.SIGINT, self.before[-1])
        return state_differs(self.before)

    def close(self) -> None:
        for loop in self.made:
            if not loop.is_closed():
                loop.close()


def state() -> tuple[Any, ...]:
    """What a run changes and puts back."""
    wake_up: Any = signal.set_wakeup_fd(-1)
    try:
        signal.set_wakeup_fd(wake_up)
    except OSError:
        wake_up = f"{wake_up}, which is closed"
    return (
        asyncio._get_running_loop(),
        sys.get_asyncgen_hooks(),
        sys.get_coroutine_origin_tracking_depth(),
        wake_up,
        signal.getsignal(signal.SIGINT),
    )


def state_differs(before: tuple[Any, ...]) -> list[str]:
    names = ("running loop", "hooks of async generators", "origin tracking", "wake-up descriptor", "SIGINT's handler")
    now = state()
    return [f"{name}: {new!r}, not {old!r}" for name, old, new in zip(names, before, now, strict=True) if new != old]


class Lines:
    """Counts the lines of Fate's that run outside the shield, and raises at the n-th."""

    def __init__(self, stop_at: int, error: Callable[[], BaseException], spared: str) -> None:
        self.stop_at = stop_at
        self.spared = spared
        self.error = error
        self.count = 0
        self.place = ""

    def _mine(self, frame: FrameType) -> bool:
        name = frame.f_code.co_filename
        caller = "" if frame.f_back is None else frame.f_back.f_code.co_filename
        if frame.f_back is not None and frame.f_back.f_code.co_name in ("_turn", "_run_plainly"):
            caller = ""  # these run what is not Fate's, and call it not themselves
        if name == self.spared or (frame.f_code.co_name == "call_soon" and not caller.startswith(PACKAGE)):
            return False  # asyncio's futures forget whom they wake when it raises, with each loop that is Python's
        return name.startswith((PACKAGE, RUNNERS))

    def call(self, frame: FrameType, event: str, arg: Any) -> Any:
        return self.line if self._mine(frame) else None

    def line(self, frame: FrameType, event: str, arg: Any) -> Any:
        # Where a `try` begins stands an instruction that does nothing. No signal is handled there, and what a trace
        # function raises at an inner one is caught by no `finally` around it.
        if event == "line" and not shield.depth and frame.f_code.co_code[frame.f_lasti] != NOP:
            self.count += 1
            if self.count == self.stop_at:
                self.place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"
                sys.settrace(None)
                raise self.error()
        return self.line


def at_line(
    make: Callable[[], Any], number: int, error: Callable[[], BaseException] = Interrupt
) -> tuple[str, list[str]]:
    """Make a world, run it, raise at line `number`. Returns where it was, "" if it ended before, and what is wrong."""
    world = make()
    lines = Lines(number, error, world.spared)
    ended = ""
    sys.settrace(lines.call)
    try:
        world.run()
    except BaseException as raised:
        ended = lines.place or f"nowhere, {raised!r}"
    finally:
        sys.settrace(None)
    wrong = world.check()
    world.close()
    return ended, wrong


def by_timer(
    make: Callable[[], Any], phase: float, error: Callable[[], BaseException] = Interrupt
) -> tuple[str, list[str]]:
    """As `at_line`, `phase` seconds after the run began and then 2,000 times a second until the exception is out."""

    places: list[str] = []

    def strike(number: int, frame: Any) -> None:
        name = frame.f_code.co_filename if frame is not None else PACKAGE
        if not shield.depth and name.startswith((PACKAGE, ASYNCIO)) and name != world.spared:  # else the program's
            places.append(f"{Path(name).name}:{frame.f_lineno} {frame.f_code.co_name}" if frame is not None else "C")
            raise error()

    world = make()
    ended = ""
    old = signal.signal(signal.SIGALRM, strike)
    try:
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, phase, 0.0005)
                world.run()
            finally:
                shield.depth += 1
                signal.setitimer(signal.ITIMER_REAL, 0)
        finally:
            shield.depth = 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)
            shield.depth = 0
    except BaseException as raised:
        ended = f"{type(raised).__name__} ({', '.join(places)})"
    wrong = world.check()
    world.close()
    return ended, wrong


KINDS: dict[str, Callable[[], Any]] = {
    "world": World,
    "buffered": lambda: World((Buffered, Streamed)),
    "article": lambda: World(article=True),
    "fate.run": lambda: Program("fate.run"),
    "runner": lambda: Program("runner"),
    "run_until_complete": lambda: Program("run_until_complete"),
}


def inject(
    count: int, *, kinds: dict[str, Callable[[], Any]] = KINDS, chance: random.Random
) -> tuple[int, Counter[str]]:
    """Raise `count` times. Returns how many exceptions came, and what was wrong, by kind and place."""
    came = 0
    wrong: Counter[str] = Counter()
    weights = [12 if name == "world" else 4 if name in ("buffered", "article") else 1 for name in kinds]
    longest: dict[str, int] = {}
    number: Counter[str] = Counter()
    tries = 0
    while came < count and tries < 20 * count:
        tries += 1
        (name,) = chance.choices(list(kinds), weights)
        if fate.compiled:
            place, faults = by_timer(kinds[name], chance.uniform(2e-6, 3e-3))
        else:
            number[name] += 1
            n = number[name] if number[name] < longest.get(name, 1 << 30) else chance.randint(1, longest[name])
            place, faults = at_line(kinds[name], n)
            if not place:
                longest.setdefault(name, n)
        came += bool(place)
        for fault in faults:
            wrong[f"{name} at {place}: {fault}"] += 1
    return came, wrong


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Interrupt runs of Fate, and look whether anything is lost.")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable()  # what was cut short is told of
    warnings.simplefilter("ignore")
    began = time.monotonic()
    came, wrong = inject(options.count, chance=random.Random(options.seed))
    for fault, times in wrong.most_common(40):
        print(times, fault[:300])
    print(
        f"{'compiled' if fate.compiled else 'uncompiled'}, Python {sys.version.split()[0]}: {came} raised, "
        f"{sum(wrong.values())} wrong, {time.monotonic() - began:.0f} s"
    )
    sys.exit(bool(wrong))
