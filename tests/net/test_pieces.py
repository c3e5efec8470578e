"""The queue of bytes that streams and pipes send from."""

from __future__ import annotations

import random
from collections.abc import Callable

from growth import in_proportion

from fate.net.pieces import Pieces


def test_what_is_taken_is_what_was_added_in_whichever_amounts() -> None:
    draw = random.Random(1865)
    for _ in range(200):
        pieces = Pieces()
        left = b""
        for _ in range(draw.randint(1, 30)):
            if draw.random() < 0.6:
                piece = bytes(draw.choices(b"abc", k=draw.randint(1, 9)))
                pieces.add(piece)
                left += piece
            elif left:
                count = draw.randint(0, len(left))
                pieces.take(count)
                left = left[count:]
            assert b"".join(pieces.rest()) == left
        pieces.clear()
        assert pieces.rest() == []


def test_what_was_taken_is_not_kept_alive() -> None:
    pieces = Pieces()
    for _ in range(10):
        pieces.add(b"piece")
    pieces.take(12)
    assert [piece for piece in pieces.waiting if piece is not None] == [b"piece"] * 8


def test_many_pieces_are_taken_one_by_one_in_proportion() -> None:
    def make(count: int) -> Callable[[], None]:
        pieces = Pieces()
        for _ in range(count):
            pieces.add(b"piece")

        def take() -> None:
            for _ in range(count):
                pieces.take(5)

        return take

    assert in_proportion(make, 2000)
