"""Packet fuses: they burn when a particular packet arrives.

A packet is a UDP datagram, or a line on a TCP connection (without its line ending). The fuse listens at an address,
or on a socket that it is given. Any number of fuses of one Fate wait at the same place, each for packets of its own
kind. The sockets themselves live in `fate.net.receiver`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from fate.core.fuse import Fuse
from fate.net.receiver import receiver_at

if TYPE_CHECKING:
    from fate.loop import Fate

Match = bytes | re.Pattern[bytes] | Callable[[bytes], object]


class Packet(NamedTuple):
    """What a packet fuse burned with.

    data: the datagram, or the line without its ending.
    sender: the socket address it came from, `(host, port)` for IPv4.
    """

    data: bytes
    sender: Any


class PacketFuse(Fuse):
    """Burns when a matching datagram or line arrives; its value is the `Packet`.

    source: where to listen: `(host, port)`, IPv4 or IPv6, port 0 for any free one; or a socket: a bound UDP socket, a
        listening TCP socket, or a connected one.
    match: the whole datagram or line as bytes, a compiled bytes pattern that must match all of it, or a function of
        it; None: any packet.
    prefix: instead of `match`, how the datagram or line begins. On TCP it burns as soon as a line begins so, without
        waiting for its end, and the packet's data is the prefix itself.
    protocol: "udp" or "tcp" where `source` is an address.
    `address` is where it listens. Several fuses of one Fate may wait at one address, or on one socket: each packet
    burns all that it matches. What was opened is closed with the last of them, so packets that come later are lost;
    where they must not be, give a socket of your own, which is left as it was.
    Raises AddressInUseError, OutOfDescriptorsError or another SourceError if it cannot listen, TypeError or ValueError
    for arguments that make no sense. A function that raises counts as no match and is reported to the loop's
    exception handler; so is a moment without descriptors for a new connection.
    """

    def __init__(
        self, fate: Fate, source: Any, match: Match | None = None, *, prefix: bytes | None = None, protocol: str = "udp"
    ) -> None:
        self._accepts = _matcher(match, prefix)
        self.prefix = prefix
        self.exact = match if type(match) is bytes else None  # all that it matches, if that is one packet
        receiver = receiver_at(fate, source, protocol)
        super().__init__(fate)
        self.address = receiver.address
        self.what = f"packet at {self.address!r}"
        self._release = lambda: receiver.leave(self)
        receiver.join(self)

    def offer(self, data: bytes, sender: Any) -> None:
        """Burn if the packet matches. For receivers."""
        try:
            matches = self._accepts(data)
        except Exception as error:  # the user's function
            self._fate.call_exception_handler(
                {"message": f"{self!r}: the match function failed on {data[:80]!r}", "exception": error}
            )
            return
        if matches and not self.is_over():
            self.burn(Packet(data, sender))


def _matcher(match: Match | None, prefix: bytes | None) -> Callable[[bytes], object]:
    if match is not None and prefix is not None:
        raise TypeError("a packet fuse takes match or prefix, not both")
    if prefix is not None:
        if not isinstance(prefix, bytes):
            raise TypeError(f"prefix is bytes, not {prefix!r}")
        start = prefix
        return lambda data: data.startswith(start)
    if match is None:
        return lambda data: True
    if isinstance(match, bytes):
        whole = match
        return lambda data: data == whole
    if isinstance(match, re.Pattern):
        if not isinstance(match.pattern, bytes):
            raise TypeError(f"packets are bytes, and {match!r} is a pattern for text: write rb'...'")
        return match.fullmatch
    if not callable(match):
        raise TypeError(f"match is bytes, a bytes pattern or a function of the packet, not {match!r}")
    return match
