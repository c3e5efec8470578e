"""The numbers that the simulated kernel's modules share: readiness, the states of a connection, what a link carries.

A module of their own, because a compiled module's C constants are not to be seen from outside.
"""

from __future__ import annotations

IN = 0x001  # readiness, in epoll's bits
OUT = 0x004
ERROR = 0x008
HANG_UP = 0x010

NEVER = 0x7FFFFFFFFFFFFFFF  # a time in nanoseconds

NEW = 0  # the states of a stream socket
BOUND = 1
LISTENING = 2
CONNECTING = 3
CONNECTED = 4
CLOSED = 5

DATA = 0  # what travels on a link
FIN = 1
RESET = 2
ROOM = 3  # the reader has made room for a sender that waits

BLOCKED = -1  # what `send` says when it would block
WINDOW = 256 * 1024  # bytes on their way or unread, at most
