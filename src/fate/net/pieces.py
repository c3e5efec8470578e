"""Bytes that are to be sent: what they are (`plain`), and those that wait, in order, by reference, never joined.

The sending is streams' and pipes'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any


def plain(data: Any) -> Any:
    """`data`, if it is bytes-like, so that its length is its number of bytes and it has no gaps.

    A class of the program's own may say of its length what it likes, and a memoryview counts items of any size. What
    is not bytes-like comes back as it is.
    """
    if isinstance(data, memoryview):
        if data.itemsize == data.ndim == 1 and data.c_contiguous:
            return data
        return data.cast("B") if data.c_contiguous else data.tobytes()
    if type(data) in (bytes, bytearray) or not isinstance(data, (bytes, bytearray)):
        return data
    return bytes(memoryview(data))


class Pieces:
    """A queue of bytes objects, of which so many bytes are taken at its front as the kernel took.

    Each piece is put in and taken out once: what was taken stays in the list, as None, until it is half of it.
    """

    __slots__ = ("head", "offset", "waiting")

    if TYPE_CHECKING:
        waiting: list[bytes]  # from `head` on
        head: int
        offset: int  # so much of the first one is gone

    def __init__(self) -> None:
        self.waiting = []
        self.head = self.offset = 0

    def add(self, piece: bytes) -> int:
        """Put `piece`, which is not empty, at the end."""
        self.waiting.append(piece)
        return 0

    def take(self, count: int) -> int:
        """Forget the first `count` bytes; there are so many."""
        waiting = self.waiting
        size = len(waiting)
        head = self.head
        place = self.offset + count
        while head < size:
            piece = waiting[head]
            length = len(piece)
            if place < length:
                break
            place -= length
            waiting[head] = None  # type: ignore[call-overload]  # not a piece any more
            head += 1
        self.offset = place
        if head > size // 2:
            del waiting[:head]
            head = 0
        self.head = head
        return 0

    def tidy(self) -> None:
        """Let go of what is before `head`, if that is half of all."""
        if self.head > len(self.waiting) // 2:
            del self.waiting[: self.head]; self.head = 0  # noqa: E702  # fmt: skip  # no exception comes in between

    def clear(self) -> int:
        """Forget all."""
        self.waiting.clear()
        self.head = self.offset = 0
        return 0

    def rest(self) -> list[bytes]:
        """What waits, as a list of its own."""
        rest = self.waiting[self.head :]
        if self.offset:
            rest[0] = rest[0][self.offset :]
        return rest
