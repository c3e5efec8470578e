"""Loops with a fault each, to show that the soak finds it."""

import asyncio
import itertools
import os
from collections.abc import Callable
from typing import Any

from fate import Fate

Factory = Callable[[], Any]


class Broken(Fate):
    """Does something wrong with each protocol that a server makes."""

    def spoil(self, protocol: Any) -> None:
        """To be overridden."""

    async def create_server(self, protocol_factory: Factory, *args: Any, **kwargs: Any) -> asyncio.Server:
        def spoiled() -> Any:
            protocol = protocol_factory()
            self.spoil(protocol)
            return protocol

        return await super().create_server(spoiled, *args, **kwargs)


class Leaking(Broken):
    """Keeps a descriptor of every hundredth connection."""

    served = itertools.count()

    def spoil(self, protocol: Any) -> None:
        if next(self.served) % 100 == 0:
            os.dup(0)


class Corrupting(Broken):
    """Changes one byte in many."""

    def spoil(self, protocol: Any) -> None:
        received = protocol.data_received
        if type(protocol).__name__ == "Echo":
            protocol.data_received = lambda data: received(data.replace(b"abc", b"abd"))


class Swallowing(Broken):
    """Does not report what a callback of call_later raises."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if "call_later" not in str(context.get("exception")):
            super().call_exception_handler(context)


class Hoarding(Broken):
    """Never forgets a connection's first 20 kB."""

    hoard: list[bytes] = []  # noqa: RUF012 (one for all)

    def spoil(self, protocol: Any) -> None:
        self.hoard.append(os.urandom(1) * 20_000)
