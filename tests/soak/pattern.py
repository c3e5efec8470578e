"""The bytes that the pouring server sends, which its clients know beforehand."""

POUR = 4 << 20
PERIOD = bytes((7 * n + (n >> 8)) % 251 for n in range(251 * 256))


def pattern(start: int, count: int) -> bytes:
    """Bytes ``start`` to ``start + count`` of the endless pattern."""
    offset = start % len(PERIOD)
    times = (offset + count) // len(PERIOD) + 1
    return (PERIOD * times)[offset : offset + count]
