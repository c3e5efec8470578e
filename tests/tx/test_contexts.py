"""The context that a timed call runs in."""

from __future__ import annotations

import contextvars

from fate.tx.reactor import FateReactor


def test_a_timed_call_keeps_its_context_whatever_dies_as_it_is_made(reactor: FateReactor) -> None:
    variable: contextvars.ContextVar[object] = contextvars.ContextVar("variable")
    seen: list[object] = []
    other = contextvars.copy_context()
    other.run(variable.set, "other")

    def schedule() -> None:
        reactor.callLater(0, lambda: seen.append(variable.get()))

    class Mortal:
        def __del__(self) -> None:
            other.run(schedule)

    def mine() -> None:
        variable.set(Mortal())
        reactor.callLater(0, print).cancel()
        variable.set("mine")
        schedule()

    contextvars.copy_context().run(mine)
    reactor.callLater(0, reactor.stop)
    reactor.run()
    assert sorted(map(str, seen)) == ["mine", "other"]
