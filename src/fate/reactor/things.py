"""What a reactor has open: its ports, connections and children."""

from __future__ import annotations

from typing import Any


class Things(set[Any]):
    """Those that are open; each has a method `end()`.

    over: the reactor ends them, and nothing is to be opened any more. A factory that connects again when its connection
        is lost, and a protocol that starts its child again, would otherwise keep it from ending.
    """

    over = False
