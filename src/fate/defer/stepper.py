# cython: nonecheck=False
"""The stepper: drives a generator or coroutine that waits for Deferreds, and fires a Deferred with what it returns.

One stepper runs one generator, step by step, in the context it was started in. A value that is there already goes in
at once, without recursion; for one that is not, the stepper becomes what waits for it. When the generator ends, its
Deferred is handed to the loop that runs callbacks (`Continuation.follow`), so that a thousand generators, each waiting
for the next, end one after the other and not one inside the other.

The decorator and what else programs call live in `inline`.
"""

from __future__ import annotations

from types import CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

from fate._native import Ended, advance, copy_context, recycle, throw
from fate.defer import futures
from fate.defer.deferred import ABSENT, Continuation, Deferred, failure_of, is_failure, new_deferred, use_starter
from fate.defer.frames import drop_waiting
from fate.defer.misuse import ReturnValue, returned_value

PLAIN_TYPES = 200  # remember so many types that are neither coroutines nor generators

_plain: set[type] = set()


class Stepper(Continuation):
    """One generator, and the Deferred of its result."""

    __slots__ = ("adding", "context", "deferred", "generator", "got", "waiting_on")

    if TYPE_CHECKING:
        generator: Any
        context: Any
        deferred: Any
        waiting_on: Any
        adding: bool
        got: Any

    def resume(self, result: Any) -> Any:
        """What the generator waits for has `result`; that is consumed."""
        if self.adding:
            self.got = result
        else:
            self.waiting_on = None
            self._run(result)
        return None

    def give_up(self, deferred: Deferred) -> Any:
        """What the generator waits for; it decides what becomes of `deferred`, through a new one."""
        self.deferred = new_deferred(self)
        call: Any = (_instead, (self.deferred,), {})
        deferred._callbacks.insert(0, (call, call))
        deferred.callback(None)
        return self.waiting_on

    def _run(self, result: Any) -> int:
        while True:
            if is_failure(result):
                step = throw(self.generator, self.context, result.value.with_traceback(result.tb))
            else:
                step = advance(self.generator, self.context, result)
            if type(step) is Ended:
                self._finish(step)
                return 0
            if not isinstance(step, Deferred):
                result = step
                if type(step) in _plain:
                    continue
                if type(step) is CoroutineType or type(step) is GeneratorType or futures.is_coroutine(step):
                    step = start(step)
                elif futures.is_awaited_future(step):
                    if type(self.generator) is GeneratorType:
                        continue
                    self.waiting_on = step
                    futures.resume_when_done(step, self)
                    return 0
                else:
                    if len(_plain) < PLAIN_TYPES and not hasattr(type(step), "_asyncio_future_blocking"):
                        _plain.add(type(step))
                    continue
            if type(step) is Deferred:
                other = step
                if other._idle():
                    result = other._steal()
                    continue
                if not other.called:
                    self.waiting_on = other
                    other._append(self)
                    return 0
            # It has been fired and cannot give its result at once, or its class may have a mind of its own.
            self.adding = True
            self.got = ABSENT
            step.addBoth(self)
            self.adding = False
            result = self.got
            self.got = None
            if result is ABSENT:
                self.waiting_on = step
                return 0

    def _finish(self, end: Ended) -> int:
        """The generator has ended: its Deferred gets the result, and is what follows."""
        deferred = self.deferred
        generator = self.generator
        self.deferred = None
        self.generator = None
        self.context = None
        error = end.error
        if error is None:
            value = end.value
        elif isinstance(error, ReturnValue):
            value = returned_value(error)
        else:
            if type(generator) is not GeneratorType:
                drop_waiting(error.__traceback__)
            value = failure_of(error)
        if deferred._fire(value):
            self.follow = deferred
        return 0


def _instead(_: Any, deferred: Deferred) -> Deferred:
    return deferred


def start(generator: Any) -> Deferred:
    """Run a generator or coroutine up to where it first has to wait; the Deferred of what it returns."""
    stepper = Stepper.__new__(Stepper)
    stepper.follow = None
    stepper.generator = generator
    stepper.context = copy_context()
    stepper.adding = False
    stepper.got = None
    stepper.waiting_on = None
    deferred = new_deferred(stepper)
    stepper.deferred = deferred
    stepper._run(None)
    follow = stepper.follow
    if follow is not None:
        stepper.follow = None
        follow._run()
    return deferred


use_starter(start)
recycle(Stepper, True, 1024)
