"""TLS: the standard library's SSLProtocol, on small buffers.

Its own 256 KiB are kept for each connection, and as much is allocated for each read: mapped, faulted in and unmapped,
with glibc's defaults, which costs more than the cipher. A TLS record has 16 KiB at most.
"""

from __future__ import annotations

from asyncio import sslproto


class TLSProtocol(sslproto.SSLProtocol):
    """asyncio's SSLProtocol; what it reads at a time is one record."""

    max_size = 16 * 1024
