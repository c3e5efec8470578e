# cython: wraparound=False, nonecheck=False
"""The Deferred: a result that is not there yet, and the pipeline it will go through.

The meaning, and the names, are those of `twisted.internet.defer.Deferred`. What waits for a Deferred is one of three: a
callback, or a pair of them; another Deferred whose callback returned this one; or a `Continuation` (a generator that
awaits it, a DeferredList). All are run by one loop, `_run`, without recursion.

Entries are kept in `_first` and `_rest`: a callback alone is (callback, args, kwargs), a pair is two of those. Once
somebody has asked for the list `_callbacks`, which shows pairs only, as Twisted's does, that list is what counts.
Generators live in `stepper`, bridges to asyncio in `futures`, groups in `gather`. Nothing here knows a loop.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping
from types import GenericAlias, MappingProxyType
from typing import TYPE_CHECKING, Any

from fate._native import Made, Notes, compiled, invoke, is_instance, recycle
from fate.defer import debug, futures, report
from fate.defer.debug import DebugInfo
from fate.defer.errors import AlreadyCalledError, CallbackError, CancelledError, WaitsForItselfError
from fate.defer.failure import Failure
from fate.defer.frames import safe_repr
from fate.defer.misuse import callbacks_asked_for, may_fire_elsewhere, returned_itself, wrong_thread
from fate.defer.story import Kind, Story, place
from fate.defer.timeouts import add_timeout

TITLE = 200  # so many characters of the present result stand in a story's title
COMPACT = 64  # forget the consumed part of a long list of callbacks when it is so long


class Sentinel:
    """A value that is only ever compared by identity."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> str:
        return EXPORTED[self.name]  # a copy is the same one


EXPORTED = {"NO_RESULT": "ABSENT", "CONTINUE": "WAITS_ON"}


def passthru(arg: Any) -> Any:
    """Return the argument."""
    return arg


def _failthru_function(arg: Any) -> Any:
    return arg


NO_RESULT = Sentinel("NO_RESULT")
ABSENT = NO_RESULT  # under a name that other modules can import: what the .pxd declares is C's own
CONTINUE = Sentinel("CONTINUE")
WAITS_ON = CONTINUE
NO_KWARGS: Mapping[str, Any] = MappingProxyType({})
_passthru = passthru
_failthru = _failthru_function
PASSTHRU = (passthru, (), NO_KWARGS)
FAILTHRU = (_failthru, (), NO_KWARGS)

ADDED, FIRED, LOST, MADE = int(Kind.ADDED), int(Kind.FIRED), int(Kind.LOST), int(Kind.MADE)
RAISED, RETURNED, WAITS = int(Kind.RAISED), int(Kind.RETURNED), int(Kind.WAITS)
_compiled = compiled()
_failure_class: Any = Failure
_starter: Any = None
_debugging = False
_storying = os.environ.get("FATE_STORY", "0") not in ("", "0")


def use_failure(cls: Any) -> None:
    """Have Deferreds make Failures of class `cls`: `fate.defer.Failure`, or Twisted's."""
    global _failure_class
    _failure_class = cls


def failure_class() -> Any:
    """The class of the Failures that Deferreds make."""
    return _failure_class


def is_failure(made: Any) -> bool:
    """Whether it is a Failure, of the class in use."""
    return is_instance(made, _failure_class)


def use_starter(starter: Any) -> None:
    """`starter(generator)` makes a Deferred of a generator or coroutine: `stepper` gives it, which builds on this."""
    global _starter
    _starter = starter


def setDebugging(on: bool) -> None:
    """Record the stacks of who makes and who fires each Deferred, and the variables of frames in Failures. Slow."""
    global _debugging
    _debugging = bool(on)


def getDebugging() -> bool:
    """Whether `setDebugging` is on."""
    return bool(_debugging)


def setStory(on: bool) -> None:
    """Have each Deferred made from now on keep its story (`Deferred.story`). FATE_STORY=1 does so from the start."""
    global _storying
    _storying = bool(on)


def getStory() -> bool:
    """Whether `setStory` is on."""
    return bool(_storying)


def failure_of(error: BaseException) -> Any:
    """A Failure of an exception."""
    return _failure_class(error, None, None, True) if _debugging else _failure_class(error)


def _failure_with_variables(error: BaseException) -> Any:
    return _failure_class(error, None, None, True)


class Continuation:
    """What waits for a Deferred and is not a callback. It may be called like one, too.

    follow: after `resume`, a Deferred that has just got its result, whose callbacks are to run now, or None.
    """

    if TYPE_CHECKING:
        follow: Deferred | None

    def __init__(self) -> None:
        self.follow = None

    def resume(self, result: Any) -> Any:
        """The Deferred has `result`: what becomes of that."""
        raise NotImplementedError

    def give_up(self, deferred: Deferred) -> Any:
        """`deferred`, whose canceller this is, is cancelled. Returns what is to be cancelled next, or None."""

    def __call__(self, result: Any) -> Any:
        value = self.resume(result)
        follow = self.follow
        if follow is not None:
            self.follow = None
            follow._run()
        return value


class Chained(Continuation):
    """Fires a Deferred with the result of the one that it waits for."""

    __slots__ = ("deferred",)

    def __init__(self, deferred: Deferred) -> None:
        self.follow = None
        self.deferred = deferred

    def resume(self, result: Any) -> Any:
        """Fire it; the one that was waited for is left with None."""
        if self.deferred._fire(result):
            self.follow = self.deferred


class Deferred(Made):
    """A result that is not there yet. Callbacks get it when it is, each what the one before returned.

    called: whether it has been fired. result: the present result, absent before that. paused: how many calls of `pause`
    have not been taken back.
    """

    __slots__ = (
        "__dict__", "__weakref__", "_canceller", "_chainedTo", "_debug", "_debugInfo", "_first", "_index", "_listed",
        "_notes", "_rest", "_result", "_runningCallbacks", "_suppressAlreadyCalled", "called", "paused",
    )  # fmt: skip

    _asyncio_future_blocking = futures.AwaitedByTask("_asyncio_future_blocking")
    get_loop = futures.AwaitedByTask("get_loop")
    add_done_callback = futures.AwaitedByTask("add_done_callback")

    if TYPE_CHECKING:
        called: bool
        paused: int
        _canceller: Any
        _chainedTo: Deferred | None
        _debug: int
        _debugInfo: DebugInfo | None
        _first: Any
        _index: int
        _listed: bool
        _notes: Notes | None
        _rest: list[Any] | None
        _result: Any
        _runningCallbacks: bool
        _suppressAlreadyCalled: bool

    def __init__(self, canceller: Callable[[Any], object] | None = None) -> None:
        """
        canceller: called with this Deferred when it is cancelled before it is fired, to stop what would fire it. If it
            does not fire the Deferred, or there is none, that fails with CancelledError.
        """
        self._prepare(canceller)

    def _prepare(self, canceller: Any) -> int:
        self._canceller = canceller
        self._result = NO_RESULT
        if not _compiled:  # in C they are there from the start
            self._first = self._rest = self._chainedTo = self._debugInfo = self._notes = None
            self._index = self.paused = self._debug = 0
            self._listed = self.called = self._runningCallbacks = self._suppressAlreadyCalled = False
        self._made_here()
        if _debugging:
            self._debugInfo = DebugInfo()
            self._debugInfo.creator = debug.stack()
        if _storying:
            self._notes = Notes()
            self._notes.happened(MADE)
        return 0

    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias:
        return GenericAlias(cls, item)

    # -- what waits ---------------------------------------------------------------------------------------------

    def _append(self, entry: Any) -> int:
        if self._rest is None:
            if self._first is None:
                self._first = entry
                return 0
            self._rest = []
        self._rest.append(_pair(entry) if self._listed else entry)
        return 0

    def _take(self) -> Any:
        """The next entry after the first, which is taken out; None if there is none. There is a list of them."""
        rest: list[Any] = self._rest  # type: ignore[assignment]  # see above
        if self._listed:
            return _checked(rest.pop(0)) if rest else None
        index = self._index
        entry = rest[index]
        index += 1
        if index == len(rest):
            self._rest = None
            index = 0
        else:
            rest[index - 1] = None
            if index == COMPACT:
                del rest[:index]
                index = 0
        self._index = index
        return entry

    def _idle(self) -> bool:
        """Whether it has a result that is there for the taking: nothing waits, nothing runs."""
        return (
            self.called
            and not self.paused
            and not self._runningCallbacks
            and self._first is None
            and (self._rest is None or len(self._rest) == 0)
        )

    def _steal(self) -> Any:
        """Take the result, as a callback that returns None does."""
        result = self._result
        self._result = None
        if self._debugInfo is not None:
            self._debugInfo.failResult = None
        return result

    @property
    def _callbacks(self) -> list[Any]:
        if not self._listed:
            entries = [] if self._first is None else [self._first]
            if self._rest is not None:
                entries += self._rest[self._index :]
            self._first = None
            self._index = 0
            self._rest = [_pair(entry) for entry in entries]
            self._listed = True
        return self._rest  # type: ignore[return-value]  # once listed, it is a list

    @_callbacks.setter
    def _callbacks(self, entries: list[Any]) -> None:
        if not isinstance(entries, list):
            raise TypeError(f"_callbacks is a list of pairs of callbacks, not {entries!r}")
        self._first = None
        self._index = 0
        self._rest = entries
        self._listed = True

    @property
    def callbacks(self) -> list[Any]:
        """Deprecated, as in Twisted: nobody's business."""
        callbacks_asked_for()
        return self._callbacks

    @property
    def result(self) -> Any:
        """The present result. Raises AttributeError before there is one."""
        if self._result is NO_RESULT:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute 'result': it has not been fired yet")
        return self._result

    @result.setter
    def result(self, value: Any) -> None:
        self._result = value

    @result.deleter
    def result(self) -> None:
        self._result = NO_RESULT

    @property
    def debug(self) -> bool:
        """Whether stacks and variables are recorded; set it for one Deferred, or `setDebugging` for all."""
        return bool(_debugging) if self._debug == 0 else self._debug == 1

    @debug.setter
    def debug(self, on: bool) -> None:
        self._debug = 1 if on else 2

    # -- adding callbacks ---------------------------------------------------------------------------------------

    def addCallbacks(
        self,
        callback: Callable[..., Any],
        errback: Callable[..., Any] | None = None,
        callbackArgs: Any = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Any = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred:
        """Have `callback(result, *callbackArgs, **callbackKeywords)` called, or `errback` if the result is a Failure.

        What it returns, or the Failure of what it raises, is the next result; if that is a Deferred, its result will
        be. Returns this Deferred. Raises CallbackError if one cannot be called.
        """
        if errback is None:
            errback = _failthru
        if not callable(callback):
            raise _not_callable(callback)
        if not callable(errback):
            raise _not_callable(errback)
        if self.called and self._is_elsewhere():
            raise wrong_thread(self)
        self._append(
            (
                (callback, tuple(callbackArgs) if callbackArgs else (), callbackKeywords or NO_KWARGS),
                (errback, tuple(errbackArgs) if errbackArgs else (), errbackKeywords or NO_KWARGS),
            )
        )
        if self._notes is not None:
            self._notes.added(ADDED, callback)
            if errback is not _failthru:
                self._notes.added(ADDED, errback)
        if self.called:
            self._run()
        return self

    def addCallback(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred:
        """Have `callback(result, *args, **kwargs)` called unless the result is a Failure. See `addCallbacks`."""
        if not callable(callback):
            raise _not_callable(callback)
        if self.called and self._is_elsewhere():
            raise wrong_thread(self)
        self._append((callback, args, kwargs or NO_KWARGS))
        if self._notes is not None:
            self._notes.added(ADDED, callback)
        if self.called:
            self._run()
        return self

    def addErrback(self, errback: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred:
        """Have `errback(failure, *args, **kwargs)` called if the result is a Failure. See `addCallbacks`."""
        if not callable(errback):
            raise _not_callable(errback)
        if self.called and self._is_elsewhere():
            raise wrong_thread(self)
        self._append((PASSTHRU, (errback, args, kwargs or NO_KWARGS)))
        if self._notes is not None:
            self._notes.added(ADDED, errback)
        if self.called:
            self._run()
        return self

    def addBoth(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred:
        """Have `callback(result, *args, **kwargs)` called whatever the result is. See `addCallbacks`."""
        if not callable(callback):
            raise _not_callable(callback)
        if self.called and self._is_elsewhere():
            raise wrong_thread(self)
        call = (callback, args, kwargs or NO_KWARGS)
        self._append((call, call))
        if self._notes is not None:
            self._notes.added(ADDED, callback)
        if self.called:
            self._run()
        return self

    def addTimeout(
        self, timeout: float, clock: Any, onTimeoutCancel: Callable[[Any, float], Any] | None = None
    ) -> Deferred:
        """Cancel it `timeout` seconds from now, unless what has been added so far is through by then.

        clock: has `callLater(seconds, f)`, as reactors have. onTimeoutCancel: called with the result and `timeout` when
        the time is over; by default CancelledError becomes TimeoutError. Returns this Deferred.
        """
        return add_timeout(self, timeout, clock, onTimeoutCancel)  # type: ignore[no-any-return]  # it is this one

    def chainDeferred(self, d: Deferred) -> Deferred:
        """Fire `d` with this one's result when that is there. Returns this Deferred."""
        d._chainedTo = self
        if type(d) is Deferred:  # without recursion, however many follow each other
            if self.called and self._is_elsewhere():
                raise wrong_thread(self)
            call = (CONTINUE, (Chained(d),), NO_KWARGS)
            self._append((call, call))
            if self._notes is not None:
                self._notes.added(ADDED, d.callback)
            if self.called:
                self._run()
            return self
        return self.addCallbacks(d.callback, d.errback)

    # -- firing -------------------------------------------------------------------------------------------------

    def callback(self, result: Any) -> None:
        """Fire it with `result`, and run the callbacks. Raises AlreadyCalledError if it has been fired."""
        if self._fire(result):
            self._run()

    def errback(self, fail: Any = None) -> None:
        """Fire it with a Failure: `fail`, or one made of the exception `fail`, by default of the one being handled.

        Raises AlreadyCalledError if it has been fired, NoCurrentExceptionError if there is no exception.
        """
        if fail is None:
            fail = _failure_class(None, None, None, self.debug)
        elif not is_instance(fail, _failure_class):
            fail = _failure_class(fail)
        if self._fire(fail):
            self._run()

    def _startRunCallbacks(self, result: Any) -> None:
        if self._fire(result):
            self._run()

    def _fire(self, result: Any) -> int:
        """Take `result` and run nothing yet. Gives 0 if it was cancelled before and nobody wants the result."""
        if self.called:
            if self._suppressAlreadyCalled:
                self._suppressAlreadyCalled = False
                return 0
            raise _already_called(self)
        if self._is_elsewhere() and not may_fire_elsewhere(self._callbacks):
            raise wrong_thread(self)
        if _debugging or self._debug == 1:
            if self._debugInfo is None:
                self._debugInfo = DebugInfo()
            self._debugInfo.invoker = debug.stack()
        if self._notes is not None:
            self._notes.fired(FIRED, result)
        self.called = True
        self._canceller = None  # it is not called any more, and often refers to this Deferred
        self._result = result
        return 1

    def pause(self) -> None:
        """Run no callbacks until `unpause` is called as often as this."""
        self.paused += 1

    def unpause(self) -> None:
        """Take a `pause` back."""
        self.paused -= 1
        if not self.paused and self.called:
            self._run()

    def cancel(self, msg: Any = NO_RESULT) -> None:
        """Give it up: call the canceller, or cancel the Deferred it waits for. Once it has its result, nothing.

        msg: given by asyncio when it cancels a task that awaits this; the task will say that it was cancelled.
        """
        if msg is not NO_RESULT:
            futures.given_up_by_task(self)
            try:
                self.cancel()
            except Exception as error:  # nobody expects one of `task.cancel()`
                report.reporter().log(failure_of(error), "Exception raised from user supplied canceller")
                if not self.called:
                    self._suppressAlreadyCalled = True
                    self.errback(_failure_class(CancelledError()))
        else:
            self._cancel()

    def _cancel(self) -> int:
        """Cancel what this one waits for in the end: each gives what is to be cancelled next."""
        current = known = self  # one of those before, to tell a circle (Brent, 1980)
        steps = until = 1
        while True:
            if current.called:
                other = current._result
                if not isinstance(other, Deferred):
                    return 0
            else:
                if current._is_elsewhere() and not may_fire_elsewhere(current._callbacks):
                    raise wrong_thread(current)
                other = None
                canceller = current._canceller
                if canceller is None:
                    current._suppressAlreadyCalled = True
                elif isinstance(canceller, Continuation):
                    other = canceller.give_up(current)
                else:
                    canceller(current)
                if not current.called:
                    current.errback(_failure_class(CancelledError()))
                if other is None:
                    return 0
            if type(other) is not Deferred:
                other.cancel()
                return 0
            current = other
            if current is known:
                raise WaitsForItselfError(f"{current!r} waits for itself, through others: no cancelling ends that")
            if steps == until:
                known = current
                until *= 2
                steps = 0
            steps += 1

    # -- running callbacks --------------------------------------------------------------------------------------

    def _runCallbacks(self) -> None:
        self._run()

    def _run(self) -> int:
        """Run what waits, as far as it can run now."""
        if self._runningCallbacks or self.paused:
            return 0
        current = self
        chain: list[Any] | None = None  # those whose turn was interrupted: each gave `current` or the next its result
        current._chainedTo = None
        while True:
            entry = current._first
            if entry is not None:
                current._first = None
            elif current._rest is not None:
                entry = current._take()
            if entry is not None:
                value = current._result
                failed = is_instance(value, _failure_class)
                is_call = type(entry) is tuple
                if is_call:
                    call = entry
                    if len(call) == 2:
                        call = call[1] if failed else call[0]
                    elif failed:
                        continue
                    callback = call[0]
                    if callback is _failthru or callback is _passthru:
                        continue
                    if callback is CONTINUE:
                        entry = call[1][0]
                        is_call = False
                if not is_call:
                    if isinstance(entry, Deferred):
                        # It waited for this one: it gets the result, and its turn comes first.
                        follow = entry
                        follow._result = current._steal()
                        follow.paused -= 1
                    else:
                        step = entry
                        current._runningCallbacks = True
                        try:
                            result = step.resume(value)
                        except BaseException as error:  # as of any callback
                            result = _failure_class(error)
                        current._result = result
                        follow = step.follow
                        if follow is None:
                            current._runningCallbacks = False
                            continue
                        step.follow = None
                    if follow.paused or follow._runningCallbacks:
                        current._runningCallbacks = False
                        continue
                    # `current` stays as it is, running if it is: nothing else may run its callbacks meanwhile. One that
                    # runs gets its result once more when its turn comes back: another may have taken it.
                    if chain is None:
                        chain = []
                    if current._runningCallbacks:
                        chain.append(result)
                    chain.append(current)
                    current = follow
                    current._chainedTo = None
                    continue
                current._runningCallbacks = True
                keywords = call[2]
                result = invoke(
                    callback,
                    value,
                    call[1],
                    None if keywords is NO_KWARGS else keywords,
                    _failure_class if not _debugging and current._debug != 1 else _failure_with_variables,
                )
                if current._notes is not None:
                    current._note_result(callback, result)
                if result is current:
                    result = returned_itself(callback, current, _failure_class)
                current._runningCallbacks = False
                current._result = result
                if not isinstance(result, Deferred):
                    continue
                inner = result
                if not (inner._result is NO_RESULT or inner.paused or isinstance(inner._result, Deferred)):
                    current._result = inner._steal()
                    continue
                current.paused += 1
                current._chainedTo = inner
                inner._append(current)
                if current._notes is not None:
                    current._notes.happened(WAITS)
            # `current` is through, or waits for another.
            if current._debugInfo is not None or is_instance(current._result, _failure_class):
                current._settle()
            while True:
                if chain is None or not chain:
                    return 0
                current = chain.pop()
                if current._runningCallbacks:
                    current._runningCallbacks = False
                    current._result = chain.pop()
                    break
                if not current.paused:  # one whose turn was over may have paused it
                    break

    def _note_result(self, callback: Any, result: Any) -> int:
        if is_instance(result, _failure_class):
            self._notes.failed(RAISED, callback, result.type)  # type: ignore[union-attr]
        else:
            self._notes.gave(RETURNED, callback, result)  # type: ignore[union-attr]
        return 0

    def _settle(self) -> int:
        """See to it that an error which is left is reported if it is lost."""
        if is_instance(self._result, _failure_class):
            if self._debugInfo is None:
                self._debugInfo = DebugInfo()
            self._debugInfo.failResult = self._result
            self._debugInfo.notes = self._notes
            if self._notes is None:
                self._debugInfo.made_by = self._made_by()
                self._debugInfo.fired_by = Notes()
                self._debugInfo.fired_by.happened(LOST)
        elif self._debugInfo is not None:
            self._debugInfo.failResult = None
        return 0

    # -- being copied --------------------------------------------------------------------------------------------

    _state: tuple[str, ...] = (
        "_callbacks", "_canceller", "_chainedTo", "_debugInfo", "_notes", "_result", "_runningCallbacks",
        "_suppressAlreadyCalled", "called", "paused",
    )  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:
        state = {name: getattr(self, name) for name in self._state}
        return _blank, (type(self),), state | {"_callbacks": list(self._callbacks)} | vars(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    # -- being looked at ----------------------------------------------------------------------------------------

    def story(self) -> Story:
        """What has happened to it, to be printed: who made it, added callbacks, fired it, and what each returned.

        While stories are off (`setStory`) there is nothing to tell.
        """
        return Story(_described(self, _shortened), self._notes)

    def __repr__(self) -> str:
        return _described(self, repr)

    # -- awaiting, and being made of what can be awaited -----------------------------------------------------------

    def __iter__(self) -> Any:
        return wait_for(self)

    def __await__(self) -> Any:
        return wait_for(self)

    def asFuture(self, loop: Any) -> Any:
        """An asyncio Future of `loop` that gets the result, and leaves None; cancelling it cancels this Deferred."""
        return futures.as_future(self, loop)

    @classmethod
    def fromFuture(cls, future: Any) -> Any:
        """A Deferred that gets the result of an asyncio Future (or Task); cancelling it cancels that."""
        return futures.from_future(cls, future)

    @classmethod
    def fromCoroutine(cls, coro: Any) -> Any:
        """A Deferred that gets what the coroutine (or generator) `coro` returns, which starts to run at once.

        It may await Deferreds and, under a running asyncio loop, Futures. Raises NotACoroutineError if it is neither.
        """
        return futures.from_coroutine(coro, _starter)


def wait_for(deferred: Deferred) -> Generator[Any, Any, Any]:
    """What `await deferred` does: yield it until it has a result, return that or raise it."""
    while not deferred.called or deferred.paused:
        yield deferred
    result = deferred._result
    if is_instance(result, _failure_class):
        if deferred._debugInfo is not None:
            deferred._debugInfo.failResult = None
        raise result.value.with_traceback(result.tb)
    return result


def new_deferred(canceller: Any) -> Deferred:
    """`Deferred(canceller)`, without the ceremony of a call."""
    deferred = Deferred.__new__(Deferred)
    deferred._prepare(canceller)
    return deferred


def fired_deferred(result: Any) -> Deferred:
    """A Deferred that has been fired with `result`; nothing waits for it yet."""
    deferred = Deferred.__new__(Deferred)
    deferred._prepare(None)
    deferred.called = True
    deferred._result = result
    if deferred._notes is not None:
        deferred._notes.fired(FIRED, result)
    return deferred


def _blank(cls: Any) -> Any:
    deferred: Deferred = cls.__new__(cls)
    deferred._prepare(None)
    return deferred


def _pair(entry: Any) -> Any:
    """An entry as Twisted has them."""
    if type(entry) is tuple:
        return entry if len(entry) == 2 else (entry, FAILTHRU)
    call = (CONTINUE, (entry,), NO_KWARGS)
    return (call, call)


def _checked(entry: Any) -> Any:
    """An entry of a list that others may have changed; one that cannot be called becomes one that raises TypeError."""
    try:
        for_result, for_failure = entry
        pair = (_checked_call(*for_result), _checked_call(*for_failure))
    except (TypeError, ValueError):
        call = (_malformed_entry, (entry,), NO_KWARGS)
        pair = (call, call)
    return pair


def _checked_call(callback: Any, args: Any, kwargs: Any) -> Any:
    if callback is CONTINUE:
        (waits,) = args
        if not isinstance(waits, (Continuation, Deferred)):
            raise TypeError
    return callback, tuple(args or ()), dict(kwargs) if kwargs else NO_KWARGS


def _malformed_entry(_: Any, entry: Any) -> None:
    raise TypeError(
        f"_callbacks has an entry {entry!r}; each is a pair (for results, for Failures) of (callable, arguments, "
        "keyword arguments)"
    )


def _described(deferred: Deferred, shown: Callable[[Any], str]) -> str:
    """What `repr` of it says; `shown` tells of the result."""
    if deferred._chainedTo is not None:
        state = f" waiting on Deferred at 0x{id(deferred._chainedTo):x}"
    elif deferred._result is NO_RESULT:
        state = ""
    else:
        state = f" current result: {shown(deferred._result)}"
    return f"<{type(deferred).__name__} at 0x{id(deferred):x}{state}>"


def _shortened(result: Any) -> str:
    """A result in a story: one line, whatever its `repr` says or raises."""
    text = safe_repr(result)
    return text if len(text) <= TITLE else f"{text[:TITLE]}..."


def _not_callable(what: Any) -> CallbackError:
    return CallbackError(f"a callback must be callable, not {what!r}: pass the function itself, do not call it")


def _already_called(deferred: Deferred) -> AlreadyCalledError:
    if deferred.debug:
        if deferred._debugInfo is None:
            deferred._debugInfo = DebugInfo()
        return AlreadyCalledError("\n" + deferred._debugInfo._getDebugTracebacks())
    if deferred._notes is not None:
        return AlreadyCalledError(f"this Deferred has been fired already. {deferred.story()}")
    error = AlreadyCalledError()
    error.made_by = place(*deferred._made_by())
    return error


recycle(Deferred, True, 1024)
