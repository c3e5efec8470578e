"""A guard against a program that blocks for real: one that computes for ever, or waits for the world outside.

One real thread of the process looks once a second whether the universe that runs has got on. If a single callback has
run for too long it is interrupted: by a KeyboardInterrupt where that reaches a system call, else by an asynchronous
exception. `take` tells the universe that it was this that ended its program. Threads of a universe that never yield are
`threads`' affair.
"""

from __future__ import annotations

import _thread
import ctypes
import opcode
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from fate.sim import world
from fate.sim.errors import BlockedThreadError, of_the_library, outside

PATIENCE = 8.0  # seconds of real time that one callback may take
PERIOD = 1.0
MOST_TRIES = 10  # so often one is interrupted that catches even that, before the process ends
RAISE = opcode.opmap["RAISE_VARARGS"]

_sleep, _getsignal, _kill = time.sleep, signal.getsignal, signal.pthread_kill  # the real ones
_guarded: list[int] = []  # the thread that runs the universe; empty: no guard yet
_found: list[str] = []
_asked: list[int] = []  # the first Ctrl-C of a search
_heeding: list[bool] = []  # this process is a search's: Ctrl-C is asked for by `_asked` alone
each_second: list[Callable[[], object]] = []  # called by the guard, in its own thread
runs = 0  # universes that have begun in this process


def watch() -> int:
    """A universe begins in this thread: see that there is a guard; return the thread's number."""
    global runs
    runs += 1
    ident = _thread.get_ident()
    _found.clear()
    begin(ident)
    _guarded[0] = ident
    return ident


def begin(ident: int) -> None:
    """See that there is a guard in this process."""
    if not _guarded:
        _guarded.append(ident)
        _thread.start_new_thread(_guard, ())


def is_of_the_user(error: BaseException) -> bool:
    """Whether a KeyboardInterrupt is one of Ctrl-C, and not one that the program has raised itself."""
    if _heeding:
        return bool(_asked)
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    code = b"" if last is None else last.tb_frame.f_code.co_code
    return last is None or not (0 <= last.tb_lasti < len(code) and code[last.tb_lasti] == RAISE)


def _place_of(frame: FrameType) -> str:
    code = frame.f_code
    return f"{Path(code.co_filename).name}:{frame.f_lineno} in {code.co_name}"


def place() -> str:
    """Where the run is that goes on now, in words; "" if none does in this process."""
    here = world.current
    if here is None or not _guarded:
        return ""
    frame = sys._current_frames().get(_guarded[0])
    while frame is not None and of_the_library(frame.f_code.co_filename):
        # what called the universe is no part of the run
        frame = None if frame.f_code.co_qualname.startswith("Universe.") else frame.f_back
    where = "" if frame is None else f"at {_place_of(frame)}, "
    return f"{where}after {here.kernel.now / 1e9:,.0f} s of virtual time and {here.kernel.steps:,} steps"


def take() -> BlockedThreadError | None:
    """The error to raise if the guard has interrupted the program; None: it has not."""
    found = _found[:1]
    _found.clear()
    return BlockedThreadError(found[0]) if found else None


def ignore_ctrl_c() -> None:
    """Have this process leave Ctrl-C to the one that it carries runs for."""
    signal.signal(signal.SIGINT, _ignored)
    _heeding[:] = [True]


@contextmanager
def heeding_ctrl_c() -> Iterator[Callable[[], None]]:
    """Have Ctrl-C wait until the run that is on has ended; a second one breaks it off.

    Yields what to call between two runs: it raises KeyboardInterrupt if there was one. Raised wherever a program
    happens to be, it would be lost in a callback of a weak reference, in a `__del__`, and in every bare `except`.
    """
    _asked.clear()
    before = _getsignal(signal.SIGINT)
    heeds = before is signal.default_int_handler and threading.current_thread() is threading.main_thread()
    if heeds:
        signal.signal(signal.SIGINT, _heeded)
        _heeding[:] = [True]
    try:
        yield _heed
    finally:
        if heeds:
            signal.signal(signal.SIGINT, before)
            _heeding.clear()


def _heed() -> None:
    if _asked:
        raise KeyboardInterrupt


def _heeded(number: int, frame: Any) -> None:
    if _found or _asked:  # by the guard, or for the second time
        raise KeyboardInterrupt
    _asked.append(number)


def _ignored(number: int, frame: Any) -> None:
    if _found:  # by the guard
        raise KeyboardInterrupt


def _guard() -> None:
    before, since, tries = None, 0.0, 0
    while True:
        _sleep(PERIOD)
        for call in each_second:
            call()
        here = world.current
        now = None if here is None else _state(here)
        if now is None or now != before:
            before, since, tries = now, 0.0, 0
            continue
        since += PERIOD
        if since >= PATIENCE:  # and each second from then on: it may catch that
            tries += 1
            if tries > MOST_TRIES and _heeding:
                os.write(2, f"It catches KeyboardInterrupt, too, and cannot be ended: {_found[0]}\n".encode())
                os._exit(2)
            _interrupt(_guarded[0])


def _state(here: world.World) -> tuple[Any, ...] | None:
    """What changes whenever a program gets on; None: nothing to look at."""
    loop = getattr(here.host, "loop", None)
    if loop is None or (here.threads is not None and here.threads.current is not None):
        return None
    kernel = here.kernel
    return id(here), kernel.steps, kernel.idle_polls, loop._last_id, loop._current_id


def _interrupt(ident: int) -> None:
    frame = outside(sys._current_frames().get(ident))
    where = "".join(traceback.format_stack(frame)[-1:]).strip() if frame is not None else "an unknown place"
    _found.append(
        f"the program has blocked its loop for {PATIENCE:g} s of real time: {where}\n"
        "It computes for ever, or waits for something outside of the universe"
    )
    main = threading.main_thread().ident
    if ident == main and _getsignal(signal.SIGINT) in (signal.default_int_handler, _heeded, _ignored):
        _kill(ident, signal.SIGINT)
    else:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(KeyboardInterrupt))


def _forget() -> None:
    _guarded.clear()
    each_second.clear()


os.register_at_fork(after_in_child=_forget)
