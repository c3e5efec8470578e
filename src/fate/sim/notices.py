"""What is to be told while runs go on, to whoever listens: once each, for a search has a thousand runs.

Nobody listens by default. `fate explore` does, and writes it to the terminal.
"""

from __future__ import annotations

from collections.abc import Callable

listener: Callable[[str], object] | None = None
_told: set[str] = set()


def tell(text: str) -> None:
    """Say something, if it has not been said in this process."""
    if listener is not None and text not in _told:
        _told.add(text)
        listener(text)
