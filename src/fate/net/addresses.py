"""Addresses as the kernel packs them, unpacked to what the socket module gives.

A connection keeps its peer's address for ever, and most are never asked for it: packed it is one small object.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from typing import Any

FAMILIES = {socket.AF_INET, socket.AF_INET6, socket.AF_UNIX}  # those that `decode` knows


def decode(packed: bytes) -> Any:
    """The address in `packed`, a `struct sockaddr` of one of FAMILIES: a tuple, a path, or an abstract name's bytes.

    As `socket.getpeername` would have given it; None for an empty one.
    """
    if not packed:
        return None
    family = int.from_bytes(packed[:2], sys.byteorder)
    if family == socket.AF_INET:
        (port,) = struct.unpack_from("!H", packed, 2)
        return socket.inet_ntoa(packed[4:8]), port
    if family == socket.AF_INET6:
        port, flow = struct.unpack_from("!HI", packed, 2)
        (scope,) = struct.unpack_from("=I", packed, 24)
        return socket.inet_ntop(socket.AF_INET6, packed[8:24]), port, flow, scope
    name = packed[2:]
    if name[:1] == b"\0":
        return name
    return os.fsdecode(name.split(b"\0", 1)[0])
