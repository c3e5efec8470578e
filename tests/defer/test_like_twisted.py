"""Random programs of Deferreds: what happens, in which order, is what happens with Twisted's own Deferreds.

A program makes a few Deferreds and does things to them. A callback does things as well, to any of them, before it
returns or raises. Each callback notes what it got; at the end each Deferred notes its state.
"""

from __future__ import annotations

import warnings
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from fate import defer as fate

SOME = 4  # Deferreds in a program

which = st.integers(0, SOME - 1)
endings = st.one_of(
    st.sampled_from([("same",), ("value",), ("raise",), ("failure",)]),
    st.tuples(st.just("deferred"), which),
    st.sampled_from([("succeeded",), ("failed",)]),
)


def _actions(callbacks: Any) -> Any:
    return st.one_of(
        st.tuples(st.sampled_from(["callback", "errback", "pause", "unpause", "cancel"]), which),
        st.tuples(st.sampled_from(["callback", "errback"]), which),
        st.tuples(st.just("chain"), which, which),
        st.tuples(st.sampled_from(["addCallback", "addErrback", "addBoth"]), which, callbacks),
        st.tuples(st.just("addCallbacks"), which, callbacks, callbacks),
        st.tuples(st.just("list"), st.lists(which, max_size=3), st.tuples(*[st.booleans()] * 3), callbacks),
    )


plain = st.tuples(st.just(()), endings)
nested = st.tuples(st.lists(_actions(plain), max_size=2).map(tuple), endings)
programs = st.lists(_actions(st.one_of(plain, nested)), min_size=3, max_size=14)
cancellers = st.lists(
    st.one_of(st.none(), st.lists(_actions(plain), max_size=2).map(tuple)), min_size=SOME, max_size=SOME
)


class Wrong(Exception):
    """What callbacks raise."""


class Machine:
    """Runs a program with one library's Deferreds, and keeps a trace of it."""

    def __init__(self, library: Any, failure: Any, cancellers: Any) -> None:
        self.library = library
        self.failure = failure
        self.trace: list[Any] = []
        self.count = 0
        self.inside = 0  # so many callbacks and cancellers
        self.deferreds = [
            library.Deferred(None if actions is None else self.canceller(number, actions))
            for number, actions in enumerate(cancellers)
        ]

    def seen(self, value: Any) -> Any:
        """A value, so that it can be compared with the other library's."""
        if isinstance(value, self.failure):
            sub = getattr(value.value, "subFailure", None)
            return "Failure", value.type.__name__, None if sub is None else (self.seen(sub), value.value.index)
        if isinstance(value, self.library.Deferred):
            return "Deferred", self.deferreds.index(value) if value in self.deferreds else None
        if isinstance(value, (list, tuple)):
            return [self.seen(each) for each in value]
        return value

    def canceller(self, number: int, actions: Any) -> Any:
        calls = 0

        def cancel(deferred: Any) -> None:
            nonlocal calls
            calls += 1
            self.trace.append(("canceller", number, deferred is self.deferreds[number]))
            if calls < 3:  # one that cancels its own Deferred does so as deep as the stack goes
                self.inside += 1
                self.do(actions)
                self.inside -= 1

        return cancel

    def function(self, script: Any) -> Any:
        actions, ending = script
        self.count += 1
        name = self.count

        def callback(value: Any) -> Any:
            self.trace.append((name, self.seen(value)))
            self.inside += 1
            self.do(actions)
            self.inside -= 1
            match ending:
                case ("same",):
                    return value
                case ("value",):
                    return name
                case ("raise",):
                    raise Wrong(name)
                case ("failure",):
                    return self.failure(Wrong(name))
                case ("succeeded",):
                    return self.library.succeed(name)
                case ("failed",):
                    return self.library.fail(Wrong(name))
                case (_, number):
                    return self.deferreds[number]

        return callback

    def do(self, actions: Any) -> None:
        for action in actions:
            try:
                self.act(*action)
            except Exception as error:
                self.trace.append((action[0], type(error).__name__))

    def act(self, what: str, *where: Any) -> None:
        if what == "list":
            members, flags, script = where
            group = self.library.DeferredList([self.deferreds[number] for number in members], *flags)
            group.addBoth(self.function(script)).addErrback(lambda _: None)
            return
        deferred = self.deferreds[where[0]]
        match what:
            case "callback":
                self.count += 1
                deferred.callback(-self.count)
            case "errback":
                deferred.errback(Wrong())
            case "unpause":
                if deferred.paused > self.waiting(deferred):  # only what a program paused itself
                    deferred.unpause()
            case "pause":
                # One that waits, or is run, and is paused besides makes Twisted forget the callbacks of others.
                if not deferred.called or (not self.inside and not self.waiting(deferred)):
                    deferred.pause()
            case "cancel":
                deferred.cancel()
            case "chain":
                deferred.chainDeferred(self.deferreds[where[1]])
            case _:
                getattr(deferred, what)(*map(self.function, where[1:]))

    def waiting(self, deferred: Any) -> int:
        return int(isinstance(getattr(deferred, "result", None), self.library.Deferred))

    def end(self) -> list[Any]:
        for deferred in self.deferreds:
            self.trace.append(
                (
                    bool(deferred.called),
                    deferred.paused,
                    hasattr(deferred, "result"),
                    self.seen(getattr(deferred, "result", None)),
                    len(deferred._callbacks),
                )
            )
        for deferred in self.deferreds:  # nobody is to be told
            deferred._callbacks.clear()
            deferred.result = None
            if deferred._debugInfo is not None:
                deferred._debugInfo.failResult = None
        return self.trace


def trace_of(library: Any, failure: Any, program: Any, cancellers: Any) -> list[Any]:
    machine = Machine(library, failure, cancellers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a Deferred returned by its own callback
        machine.do(program)
    return machine.end()


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(programs, cancellers)
def test_a_program_does_the_same_as_with_twisted(reported: Any, program: Any, cancellers: Any) -> None:
    from twisted.internet import defer as twisted
    from twisted.python.failure import Failure

    theirs = trace_of(twisted, Failure, program, cancellers)
    ours = trace_of(fate, fate.Failure, program, cancellers)
    event(f"{min(len(theirs) - SOME, 10)} notes")
    assert ours == theirs
    reported.lost.clear()
