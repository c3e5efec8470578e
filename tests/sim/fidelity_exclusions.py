"""Where a universe's sockets differ from Linux's, and why that is right as it is.

Each entry says as narrowly as it can which differences it is about.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.sim.socket_scripts import FULL_STREAM

if TYPE_CHECKING:
    from tests.sim.fidelity import Difference

SENDING = {"send", "sendall", "sendmsg", "sendto", "sendto_host", "fill"}
WOULD_BLOCK = {("BlockingIOError", 11), ("TimeoutError", None)}
READ_HANG_UP = getattr(select, "POLLRDHUP", 0)


class Exclusion(NamedTuple):
    """A difference that stays. fits: whether a `fidelity.Difference` is one."""

    name: str
    reason: str
    fits: Callable[[Difference], bool]


def _filled(difference: Difference) -> bool:
    return any(outcome[0] == FULL_STREAM for outcome in difference.before)


def _masks_differ_in(difference: Difference) -> int:
    """The bits in which what is ready differs; 0 if something else does."""
    bits = 0
    for real, simulated in zip(difference.real[1], difference.simulated[1], strict=True):
        bits |= real ^ simulated
    return bits


def _room(difference: Difference) -> bool:
    """How much was taken, or that nothing was."""
    results: list[Any] = [difference.real[0], difference.simulated[0]]
    return (
        _filled(difference)
        and difference.step[0] in SENDING
        and all(result is None or isinstance(result, int) or result in WOULD_BLOCK for result in results)
    )


def _same_but_for(bits: int) -> Callable[[Difference], bool]:
    def fits(difference: Difference) -> bool:
        same = difference.real[0] == difference.simulated[0]
        differing = _masks_differ_in(difference)
        return _filled(difference) and same and differing != 0 and not differing & ~bits

    return fits


def _reset_by_unsent(difference: Difference) -> bool:
    both = difference.step[0] == "shutdown" and difference.step[2] == 2
    return both and _filled(difference) and difference.real[0] == difference.simulated[0]


EXCLUSIONS = (
    Exclusion(
        "room",
        "How much more a connection takes that has been full and is not any more depends on a machine's memory, and "
        "Linux counts memory, not bytes. A universe has one window a connection.",
        _room,
    ),
    Exclusion(
        "writable",
        "For the same reason a connection that has been full is writable again at another moment.",
        _same_but_for(select.POLLOUT),
    ),
    Exclusion(
        "end behind data",
        "What does not fit into the receiver's buffer waits at the sender, and so does the end behind it. In a "
        "universe all is at the receiver, so POLLRDHUP tells of the end before the data is read; reading is the same.",
        _same_but_for(READ_HANG_UP),
    ),
    Exclusion(
        "reset by what waits",
        "For the same reason: data that waits at the sender resets a connection that its receiver has shut down.",
        _reset_by_unsent,
    ),
)
