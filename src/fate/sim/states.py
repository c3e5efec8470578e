"""The numbers that the simulated kernel's modules share: readiness, the states of a connection, what a link carries.

A module of their own, because a compiled module's C constants are not to be seen from outside.
"""

from __future__ import annotations

IN = 0x001  # readiness, in epoll's bits
OUT = 0x004
ERROR = 0x008
HANG_UP = 0x010
READ_HANG_UP = 0x2000  # `End.mask` leaves this one out: only `poll` tells it, and only who asks

NEVER = 0x7FFFFFFFFFFFFFFF  # a time in nanoseconds

NEW = 0  # the states of a stream socket
BOUND = 1
LISTENING = 2
CONNECTING = 3
CONNECTED = 4
CLOSED = 5  # no descriptor is left
OVER = 6  # TCP: it has been connected, or tried to be, and is no longer

UNTRIED = 0  # what `connect` has said so far, as Linux keeps it apart from the state itself
TRIED = 1  # that it is on its way
TOLD = 2  # that it is there
LEFT = 3  # that was given up by `shutdown`

DATA = 0  # what travels on a link
FIN = 1
RESET = 2
ROOM = 3  # the reader has made room for a sender that waits

BLOCKED = -1  # what `send` says when it would block
WINDOW = 256 * 1024  # bytes on their way or unread, at most
TIME_WAIT_NS = 60_000_000_000  # so long nobody else may have the port of an end that finished first

# Waiting without saying so: turning again and again, or reading the clock. After a while that takes time.
FREE_TURNS = 256  # so many polls in a row that find nothing cost no time
SPIN_NS = 60_000  # each further one costs so much: the engine polls in every third turn then
PART_OF_SPIN = 64  # where nothing changes meanwhile, up to this part of the time that has been spent so
FREE_LOOKS = 20_000  # so often the clock is read at one instant before that takes time, too
