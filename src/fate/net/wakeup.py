"""The process's one wake-up descriptor, `signal.set_wakeup_fd`: which loop has it, and who gets it back.

Loops take it and leave it in any order, as programs do that are no loop of Fate's; each that leaves gives it to who had
it before. Python tells who has it only when it is set. A signal's handler that raises may come in between, uncompiled
between any two lines: so who takes it is written down first and crossed out last, and to leave twice does no harm.

Which signals a loop hears, and what it does then, lives in `signals`.
"""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

NOBODY = -1
_takers: list[Any] = []  # sockets of loops, and descriptors of others, in the order in which they took it
_orphans: list[socket.socket] = []  # of loops that were closed in other threads, which cannot reset it
_displaced: list[int] = []  # who had it when it was taken, until that is among the takers


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


def _of_loops() -> list[int]:
    """The descriptors that are Fate's own: nobody is warned when they are full, as the loop wakes anyway."""
    return [taker.fileno() for taker in _takers if not isinstance(taker, Other)]


def holder() -> int:
    """The wake-up descriptor as it is now, -1 for none. Raises ValueError outside of the main thread.

    One that somebody has closed is none, and is taken out.
    """
    ours = _of_loops()
    try:
        found = signal.set_wakeup_fd(NOBODY); signal.set_wakeup_fd(found, warn_on_full_buffer=found not in ours)  # noqa: E702  # fmt: skip
    except OSError:
        return NOBODY
    return found


def give(fd: int) -> bool:
    """Have signals written to `fd`, which had them before. Returns whether that can be: it may be closed by now."""
    try:
        signal.set_wakeup_fd(fd, warn_on_full_buffer=fd not in _of_loops())
    except (OSError, ValueError):  # the latter of a file that blocks by now
        return False
    return True


def hear(loop: Any) -> None:
    """Have every signal wake the poll of a loop that runs: of one that came just before it, Python would tell us only
    after it. In other threads than the main one, and in universes, none comes."""
    sock = getattr(loop, "_csock", None)
    if sock is not None:
        try:
            take(sock, False)
        except ValueError:
            pass


def unhear(loop: Any) -> None:
    """As `leave`, unless the loop has handlers of signals."""
    sock = getattr(loop, "_csock", None)
    if sock is not None and not loop._signal_handlers:
        try:
            leave(sock)
        except ValueError:
            pass


def take(sock: socket.socket, from_others: bool) -> None:
    """Have signals written to `sock`, unless it is in the hands of somebody who is no Fate and `from_others` is False.

    Raises ValueError outside of the main thread.
    """
    again = sock in _takers
    if not again:
        _takers.append(sock)
    try:
        _displaced.append(signal.set_wakeup_fd(sock.fileno(), warn_on_full_buffer=False))
    except ValueError:
        if not again:
            _takers.remove(sock)
        raise
    _bury()
    _settle(sock, from_others, again)
    if again and _takers[-1] is not sock and sock in _takers:
        _takers.append(sock)
        _takers.remove(sock)  # where it was before


def _settle(sock: socket.socket, from_others: bool, stays: bool) -> None:
    """Who was displaced by `sock` becomes one of the takers, or gets it back."""
    while _displaced:
        before = _displaced[-1]
        if before not in (NOBODY, sock.fileno()) and _taker_of(before) is None:
            if from_others:
                _takers.insert(_takers.index(sock), Other(before))
            elif give(before) and not stays and sock in _takers:
                _takers.remove(sock)
        _displaced.pop()


def _bury() -> None:
    """Loops that were closed in other threads have it no longer."""
    while _orphans:
        orphan = _orphans[-1]
        if _displaced and _displaced[-1] == orphan.fileno():
            _displaced[-1] = NOBODY
        if orphan in _takers:
            _takers.remove(orphan)
        _orphans.pop()
        orphan.close()


def leave(sock: socket.socket) -> None:
    """`sock` needs signals no longer: whoever had them before gets them again.

    Raises ValueError outside of the main thread.
    """
    _settle(sock, False, False)  # of a `take` that was cut short
    if sock not in _takers:
        return
    rest = [taker for taker in _takers if taker is not sock]
    kept, ours, put = (NOBODY, sock.fileno()), _of_loops(), signal.set_wakeup_fd
    try:
        now = put(NOBODY); now in kept or put(now, warn_on_full_buffer=now not in ours)  # noqa: E702  # fmt: skip
    except OSError:
        now = NOBODY  # whoever had taken it since has closed it
    while rest and now in kept:  # else somebody has taken it since
        taker = rest.pop()
        fd = taker.fileno()
        given = fd >= 0 and give(fd)
        if given:
            now = fd
        if isinstance(taker, Other) or not given:
            _takers.remove(taker)  # what is no Fate's is where it was
    while sock in _takers:
        _takers.remove(sock)


def abandon(sock: socket.socket) -> bool:
    """A loop is closed in a thread that cannot reset the descriptor: whether its socket must stay what it is."""
    if sock not in _takers:
        return False
    _orphans.append(sock)
    return True
