"""Signals: whose they are, and whose is the process's one wake-up descriptor.

asyncio has a signal's number written to the loop's self-pipe, by `signal.set_wakeup_fd`, and each loop sets that and
resets it as if it were alone. Here a loop takes the descriptor while it runs in the main thread or has handlers, gives
it back to who had it before, and touches neither it nor a signal that has become another's meanwhile.
"""

from __future__ import annotations

import os
import signal
import socket
import weakref
from asyncio import SelectorEventLoop
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

NOBODY = -1
_takers: list[Any] = []  # sockets of loops, and descriptors of others, in the order in which they took the descriptor
_orphans: list[socket.socket] = []  # of loops that were closed in other threads, which cannot reset the descriptor


class Other:
    """A wake-up descriptor that is no Fate's: a number, and the file that it was."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._file = _identity(fd)

    def fileno(self) -> int:
        """The descriptor; -1 if it is another file's by now."""
        return self._fd if self._file is not None and _identity(self._fd) == self._file else NOBODY


def _identity(fd: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _taker_of(fd: int) -> Any:
    for taker in _takers:
        if taker.fileno() == fd:
            return taker
    return None


def take_wakeup(sock: socket.socket, from_others: bool) -> None:
    """Have signals written to `sock`, unless it is in the hands of somebody who is no Fate and `from_others` is False.

    Raises ValueError outside of the main thread.
    """
    before = signal.set_wakeup_fd(sock.fileno(), warn_on_full_buffer=False)
    while _orphans:
        orphan = _orphans.pop()
        _takers.remove(orphan)
        if orphan.fileno() == before:
            before = NOBODY
        orphan.close()
    if before not in (NOBODY, sock.fileno()) and _taker_of(before) is None:
        if not from_others:
            signal.set_wakeup_fd(before)
            return
        _takers.append(Other(before))
    if sock in _takers:
        _takers.remove(sock)
    _takers.append(sock)


def leave_wakeup(sock: socket.socket) -> None:
    """`sock` needs signals no longer: whoever had them before gets them again.

    Raises ValueError outside of the main thread.
    """
    if sock not in _takers:
        return
    now = signal.set_wakeup_fd(NOBODY)
    _takers.remove(sock)
    if now not in (NOBODY, sock.fileno()):
        signal.set_wakeup_fd(now)  # somebody has taken it since
        return
    while _takers:
        fd = _takers[-1].fileno()
        if fd >= 0:
            try:
                signal.set_wakeup_fd(fd, warn_on_full_buffer=isinstance(_takers[-1], Other))
            except (OSError, ValueError):
                fd = NOBODY  # a file that blocks by now
        if isinstance(_takers[-1], Other) or fd < 0:
            _takers.pop()  # what is no Fate's is where it was
        if fd >= 0:
            return


class Heard:
    """A signal's handler: tells the loop that registered it, unless the byte in that loop's self-pipe does."""

    def __init__(self, loop: Any, below: Any) -> None:
        self.loop = weakref.ref(loop)  # one that nobody closes can be collected
        self.below = below  # whose the signal was before

    def wanted(self, number: int) -> bool:
        """Whether its loop still wants the signal."""
        loop = self.loop()
        return loop is not None and not loop._closed and number in loop._signal_handlers

    def __call__(self, number: int, frame: Any) -> None:
        loop = self.loop()
        if loop is None or not self.wanted(number):
            return
        now = signal.set_wakeup_fd(NOBODY)
        if now != NOBODY:
            signal.set_wakeup_fd(now, warn_on_full_buffer=_taker_of(now) is None)
        if now != loop._csock.fileno():
            loop._handle_signal(number)


class SignalCalls(SelectorEventLoop):
    """What `Fate` has in place of asyncio's ways with signals."""

    _heard: dict[int, Heard]  # by number: the handlers that are this loop's
    if TYPE_CHECKING:
        _csock: socket.socket
        _signal_handlers: dict[int, Any]
        _thread_id: int | None
        _closed: bool
        _check_signal: Callable[[int], None]

    def _hear_signals(self) -> None:
        """Have every signal wake the poll: of one that came just before it, Python would tell us only after it."""
        with suppress(ValueError):  # only the main thread gets signals
            take_wakeup(self._csock, False)

    def _unhear_signals(self) -> None:
        if not self._signal_handlers:
            with suppress(ValueError):
                leave_wakeup(self._csock)

    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> None:  # type: ignore[override]
        """As asyncio's. The loop is told too when another loop, or the program, has taken the wake-up descriptor."""
        below = None
        if not self._closed:
            with suppress(ValueError, OSError, TypeError):  # asyncio's says it in its own words
                take_wakeup(self._csock, True)
                below = signal.getsignal(sig)
        try:
            super().add_signal_handler(sig, callback, *args)
        except BaseException:
            self._after_signals()
            raise
        if below is self._heard.get(sig) and isinstance(below, Heard):
            below = below.below
        self._heard[sig] = heard = Heard(self, below)
        signal.signal(sig, heard)
        signal.siginterrupt(sig, False)  # as asyncio's; `signal.signal` has made it True

    def remove_signal_handler(self, sig: int) -> bool:
        """As asyncio's; a signal that has become another's meanwhile stays that one's."""
        heard = self._heard.get(sig)
        if heard is None or sig not in self._signal_handlers:
            return super().remove_signal_handler(sig)
        below = heard.below
        while isinstance(below, Heard) and not below.wanted(sig):
            below = below.below
        others = signal.set_wakeup_fd(NOBODY)
        if others != NOBODY:
            signal.set_wakeup_fd(others, warn_on_full_buffer=False)
        if signal.getsignal(sig) is not heard:
            del self._signal_handlers[sig]
        elif isinstance(below, Heard):
            del self._signal_handlers[sig]
            signal.signal(sig, below)
            signal.siginterrupt(sig, False)
        else:
            super().remove_signal_handler(sig)
            if others not in (NOBODY, self._csock.fileno()):
                signal.set_wakeup_fd(others, warn_on_full_buffer=_taker_of(others) is None)
        del self._heard[sig]
        self._after_signals()
        return True

    def _after_signals(self) -> None:
        """Give the wake-up descriptor back if it is not needed any more, after asyncio may have reset it."""
        if not self._closed:
            self._unhear_signals()
            if self._thread_id is not None:
                self._hear_signals()

    def _let_go_of_signals(self) -> None:
        """The loop is about to be closed."""
        try:
            for number in list(self._heard):
                self.remove_signal_handler(number)
            if hasattr(self, "_csock"):  # a loop in a universe has none
                leave_wakeup(self._csock)
        except ValueError:  # not the main thread: signals go on being written to a number that must stay what it is
            self._heard.clear()
            self._signal_handlers.clear()
            if self._csock in _takers:
                _orphans.append(self._csock)
                self._csock = self._csock.dup()
