"""A universe's sockets do what Linux's do: hypothesis's scripts, and those that once showed a difference.

`python -m tests.sim.fidelity` plays ten thousand; here are the same few each time.
"""

from __future__ import annotations

import sys

import pytest

from tests.sim.fidelity import compare, search

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the universe's kernel is modelled on Linux's")

MENDED = {
    "a Unix stream's sender is told of even where no byte is asked for": [
        ("pair", 2, 0),
        ("bind_as", 1, 1),
        ("send", 1, 1),
        ("recvfrom", 0, 5, 0),
        ("recvfrom", 0, 1, 0),
        ("recvfrom", 0, 5, 0),
    ],
    "a port is kept for a while after its connection": [
        ("connected", 0, 0),
        ("close", 1),
        ("new", 0, 0),
        ("bind", 2, 0, 3),
    ],
    "a listener that is shut down may listen again": [("listener", 0, 1), ("shutdown", 0, 0), ("listen", 0, 1)],
    "what waits in a backlog is reset with it": [("listener", 0, 1), ("new", 0, 0), ("connect", 1, 0), ("close", 0)],
    "a full backlog keeps a client waiting": [
        ("listener", 0, 0),
        *[step for n in (1, 2) for step in (("new", 0, 0), ("connect", n, 0))],
        ("connect", 2, 0),
        ("accept", 0),
        ("getpeername", 2),
    ],
    "after a refusal connect says so once, and then tries anew": [
        ("new", 0, 0),
        ("connect_to", 0, 0, 1),
        ("get", 0, 7),
        ("connect_to", 0, 0, 1),
        ("connect_to", 0, 0, 1),
        ("connect_to", 0, 0, 1),
    ],
    "a socket may talk to itself": [
        ("new", 0, 0),
        ("bind", 0, 0, 0),
        ("connect", 0, 0),
        ("send", 0, 2),
        ("recv", 0, 6, 0),
        ("shutdown", 0, 1),
        ("recv", 0, 6, 0),
    ],
    "shut down both ways and sent to: both are reset": [
        ("connected", 0, 0),
        ("shutdown", 0, 2),
        ("send", 1, 2),
        ("send", 0, 1),
    ],
    "an end that has come hides the reset": [
        ("connected", 0, 0),
        ("shutdown", 0, 1),
        ("reset", 0),
        ("recv", 1, 2, 0),
        ("get", 1, 7),
    ],
    "an IPv6 listener takes IPv4": [
        ("new", 1, 0),
        ("bind", 0, 1, 0),
        ("listen", 0, 2),
        ("new", 0, 0),
        ("connect_to", 1, 0, 3),
        ("accept", 0),
        ("getsockname", 2),
        ("getpeername", 1),
    ],
    "a bound IPv6 address is for IPv6 only": [("new", 1, 0), ("bind", 0, 0, 0), ("get", 0, 11), ("set", 0, 5, 0)],
    "accepted sockets have their listener's options": [
        ("new", 0, 0),
        ("set", 0, 2, 1),
        ("bind", 0, 0, 0),
        ("listen", 0, 1),
        ("new", 0, 0),
        ("connect", 1, 0),
        ("accept", 0),
        ("get", 2, 2),
    ],
    "only whom it is connected to can refuse a datagram": [
        ("connected", 0, 1),
        ("sendto_host", 0, 0, 1),
        ("get", 0, 7),
    ],
    "eleven datagrams wait at a Unix socket": [
        ("new", 2, 1),
        ("bind", 0, 0, 0),
        ("new", 2, 1),
        *[("sendto", 1, 1, 0)] * 12,
        ("recv", 0, 3, 0),
        ("sendto", 1, 1, 0),
    ],
    "a Unix pair of datagrams is full by weight": [("pair", 2, 1), ("fill", 0), ("recv", 1, 6, 0), ("send", 0, 1)],
    "abstract Unix names are bytes": [
        ("new", 2, 0),
        ("bind", 0, 1, 3),
        ("listen", 0, 1),
        ("new", 2, 0),
        ("connect", 1, 0),
    ],
    "shutting down reading stops the other end's writing": [
        ("pair", 2, 0),
        ("shutdown", 0, 0),
        ("send", 1, 1),
        ("recv", 0, 1, 0),
    ],
    "closed sockets are bad descriptors": [
        ("new", 0, 0),
        ("close", 0),
        *[(name, 0) for name in ("getsockname", "getpeername", "accept", "dup", "from_fd", "facts")],
        ("send", 0, 1),
        ("recv", 0, 1, 0),
        ("poll", 0, 1),
        ("connect_ex", 0, 0),
        ("shutdown", 0, 0),
        ("get", 0, 7),
    ],
    "a datagram that is cut says so": [("connected", 0, 1), ("send", 0, 4), ("recvmsg", 1, 2, 0)],
    "with a timeout Python waits before it calls": [
        ("listener", 0, 1),
        ("wait", 0, 1),
        ("recv", 0, 1, 0),
        ("send", 0, 1),
    ],
    "what is left of a read comes before what came later": [
        ("connected", 0, 0),
        ("send", 0, 2),
        ("recv", 1, 1, 0),
        *[("send", 0, 0)] * 2,
        ("recv", 1, 3, 0),
    ],
    "a datagram is from whatever its sender is called when it is read": [
        ("new", 2, 1),
        ("bind", 0, 0, 0),
        ("new", 2, 1),
        ("sendto", 1, 1, 0),
        ("bind", 1, 1, 0),
        ("close", 1),
        ("recvfrom", 0, 3, 0),
    ],
    "an IPv4 address on an IPv6 socket needs a port": [("new", 1, 1), ("connect_to", 0, 3, 0), ("send", 0, 1)],
    "an IPv6-only socket cannot reach IPv4, whatever the port": [
        ("new", 1, 1),
        ("set", 0, 5, 1),
        ("sendto_host", 0, 3, 0),
    ],
    "an address that was bound stays when connecting fails": [
        ("new", 0, 0),
        ("bind", 0, 3, 0),
        *[("connect_to", 0, 0, 1), ("getsockname", 0)] * 4,
        ("listen", 0, 1),
        ("getsockname", 0),
    ],
    "what is shut down before connecting stays so, and is no end of the connection": [
        ("listener", 0, 1),
        ("new", 0, 0),
        ("shutdown", 1, 2),
        ("connect", 1, 0),
        ("accept", 0),
        ("send", 1, 1),
        ("send", 2, 1),
        ("recv", 2, 2, 0),
        ("shutdown", 1, 1),
        ("recv", 2, 2, 0),
    ],
    "what was shut down and talks to itself has ended": [
        ("new", 0, 0),
        ("bind", 0, 0, 0),
        ("shutdown", 0, 2),
        ("connect", 0, 0),
        ("shutdown", 0, 0),
        *[("connect", 0, 0)] * 2,
    ],
    "to connect to 0.0.0.0 is to connect to where one is bound": [
        ("new", 0, 0),
        ("bind", 0, 3, 0),
        ("connect_to", 0, 1, 2),
        ("getpeername", 0),
    ],
    "an IPv6 socket that is bound to an IPv4 address reaches IPv4 only": [
        *[("new", 1, 1), ("bind", 0, 3, 0)],
        *[("new", 1, 0), ("bind", 1, 3, 0)],
        *[(name, 0, host, 2) for host in (0, 1) for name in ("sendto_host", "connect_to")],
        *[("connect_to", 1, host, 2) for host in (0, 1)],
    ],
}


@pytest.mark.parametrize("script", MENDED.values(), ids=MENDED)
def test_what_once_differed_does_not_any_more(script):
    assert compare(script) is None


def test_scripts_of_socket_calls_do_the_same_in_both_worlds():
    _, found = search(300, None)
    assert not found, "\n\n".join(str(differences[0]) for differences in found.values())
