"""Signals: whose they are.

asyncio has a signal's number written to the loop's self-pipe, by `signal.set_wakeup_fd`, and each loop sets that and
resets it as if it were alone. Here a loop takes the descriptor (see `wakeup`) while it runs in the main thread or has
handlers, and touches no signal that has become another's meanwhile.
"""

from __future__ import annotations

import signal
import socket
import weakref
from asyncio import SelectorEventLoop
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fate.net import wakeup


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
        if wakeup.holder() != loop._csock.fileno():
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

    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> None:  # type: ignore[override]
        """As asyncio's. The loop is told too when another loop, or the program, has taken the wake-up descriptor."""
        below = None
        if not self._closed:
            with suppress(ValueError, OSError, TypeError):  # asyncio's says it in its own words
                wakeup.take(self._csock, True)
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
        others = wakeup.holder()
        if signal.getsignal(sig) is not heard:
            del self._signal_handlers[sig]
        elif isinstance(below, Heard):
            del self._signal_handlers[sig]
            signal.signal(sig, below)
            signal.siginterrupt(sig, False)
        else:
            super().remove_signal_handler(sig)
            if others not in (wakeup.NOBODY, self._csock.fileno()):
                wakeup.give(others)
        del self._heard[sig]
        self._after_signals()
        return True

    def _after_signals(self) -> None:
        """Give the wake-up descriptor back if it is not needed any more, after asyncio may have reset it."""
        if not self._closed:
            wakeup.unhear(self)
            if self._thread_id is not None:
                wakeup.hear(self)

    def _let_go_of_signals(self) -> None:
        """The loop is about to be closed."""
        try:
            for number in list(self._heard):
                self.remove_signal_handler(number)
            if hasattr(self, "_csock"):  # a loop in a universe has none
                wakeup.leave(self._csock)
        except ValueError:  # not the main thread: signals go on being written to a number that must stay what it is
            self._heard.clear()
            self._signal_handlers.clear()
            if wakeup.abandon(self._csock):
                self._csock = self._csock.dup()
