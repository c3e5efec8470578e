# What type checkers are told of `fate.defer`: a Deferred knows the type of its result, which a compiled class cannot
# say of itself. The names are those of `__init__.py`, which a test compares.

import asyncio
from abc import ABC
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping, MutableSequence, Sequence
from types import TracebackType
from typing import Any, Concatenate, Generic, Literal, NoReturn, ParamSpec, Protocol, TypeVar, overload

from fate.defer.debug import DebugInfo as DebugInfo
from fate.defer.errors import (
    AlreadyCalledError as AlreadyCalledError,
)
from fate.defer.errors import (
    AlreadyTryingToLockError as AlreadyTryingToLockError,
)
from fate.defer.errors import (
    CallbackError as CallbackError,
)
from fate.defer.errors import (
    CancelledError as CancelledError,
)
from fate.defer.errors import (
    FailureGroup as FailureGroup,
)
from fate.defer.errors import (
    FirstError as FirstError,
)
from fate.defer.errors import (
    NoCurrentExceptionError as NoCurrentExceptionError,
)
from fate.defer.errors import (
    NotACoroutineError as NotACoroutineError,
)
from fate.defer.errors import (
    QueueOverflow as QueueOverflow,
)
from fate.defer.errors import (
    QueueUnderflow as QueueUnderflow,
)
from fate.defer.errors import (
    TimeoutError as TimeoutError,
)
from fate.defer.errors import (
    WaitsForItselfError as WaitsForItselfError,
)
from fate.defer.failure import Failure as Failure
from fate.defer.filelock import DeferredFilesystemLock as DeferredFilesystemLock
from fate.defer.report import logError as logError
from fate.defer.story import Story as Story

_T = TypeVar("_T")
_U = TypeVar("_U")
_V = TypeVar("_V")
_P = ParamSpec("_P")

__all__: list[str]

SUCCESS: Literal[True]
FAILURE: Literal[False]

class _Clock(Protocol):
    def callLater(self, delay: float, callable: Callable[..., object], /, *args: Any, **kw: Any) -> Any: ...

class Deferred(Awaitable[_T]):
    called: bool
    paused: int
    debug: bool
    result: _T | Failure
    def __init__(self, canceller: Callable[[Deferred[Any]], object] | None = None) -> None: ...
    @property
    def callbacks(self) -> list[Any]: ...
    @overload
    def addCallbacks(
        self,
        callback: Callable[..., Deferred[_U]],
        errback: Callable[..., Deferred[_U]] | None = None,
        callbackArgs: Iterable[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Iterable[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[_U]: ...
    @overload
    def addCallbacks(
        self,
        callback: Callable[..., _U | Failure],
        errback: Callable[..., _V | Failure],
        callbackArgs: Iterable[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Iterable[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[_U | _V]: ...
    @overload
    def addCallbacks(
        self,
        callback: Callable[..., _U | Failure],
        errback: None = None,
        callbackArgs: Iterable[Any] | None = None,
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: Iterable[Any] | None = None,
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[_U]: ...
    @overload
    def addCallback(
        self, callback: Callable[Concatenate[_T, _P], NoReturn], *args: _P.args, **kwargs: _P.kwargs
    ) -> Deferred[Any]: ...
    @overload
    def addCallback(
        self, callback: Callable[Concatenate[_T, _P], Deferred[_U]], *args: _P.args, **kwargs: _P.kwargs
    ) -> Deferred[_U]: ...
    @overload
    def addCallback(
        self, callback: Callable[Concatenate[_T, _P], Deferred[_U] | Failure], *args: _P.args, **kwargs: _P.kwargs
    ) -> Deferred[_U]: ...
    @overload
    def addCallback(
        self, callback: Callable[Concatenate[_T, _P], _U | Failure], *args: _P.args, **kwargs: _P.kwargs
    ) -> Deferred[_U]: ...
    @overload
    def addErrback(
        self, errback: Callable[Concatenate[Failure, _P], NoReturn], *args: _P.args, **kwargs: _P.kwargs
    ) -> Deferred[_T]: ...
    @overload
    def addErrback(
        self, errback: Callable[Concatenate[Failure, _P], Deferred[_U]], *args: _P.args, **kwargs: _P.kwargs
    ) -> Deferred[_T | _U]: ...
    @overload
    def addErrback(
        self, errback: Callable[Concatenate[Failure, _P], _U | Failure], *args: _P.args, **kwargs: _P.kwargs
    ) -> Deferred[_T | _U]: ...
    @overload
    def addBoth(
        self, callback: Callable[Concatenate[_T | Failure, _P], Deferred[_U]], *args: _P.args, **kwargs: _P.kwargs
    ) -> Deferred[_U]: ...
    @overload
    def addBoth(
        self, callback: Callable[Concatenate[_T | Failure, _P], _U | Failure], *args: _P.args, **kwargs: _P.kwargs
    ) -> Deferred[_U]: ...
    def addTimeout(
        self, timeout: float, clock: _Clock, onTimeoutCancel: Callable[[Any, float], Any] | None = None
    ) -> Deferred[_T]: ...
    def chainDeferred(self, d: Deferred[_T]) -> Deferred[None]: ...
    def callback(self, result: _T | Failure) -> None: ...
    def errback(self, fail: BaseException | Failure | None = None) -> None: ...
    def pause(self) -> None: ...
    def unpause(self) -> None: ...
    def cancel(self, msg: Any = ...) -> None: ...
    def story(self) -> Story: ...
    def __iter__(self) -> Generator[Deferred[_T], None, _T]: ...
    def __await__(self) -> Generator[Any, None, _T]: ...
    def asFuture(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[_T]: ...
    @classmethod
    def fromFuture(cls, future: asyncio.Future[_U]) -> Deferred[_U]: ...
    @classmethod
    def fromCoroutine(cls, coro: Coroutine[Any, Any, _U] | Generator[Any, Any, _U]) -> Deferred[_U]: ...

class DeferredList(Deferred[list[tuple[bool, Any]]]):
    fireOnOneCallback: bool
    fireOnOneErrback: bool
    consumeErrors: bool
    finishedCount: int
    resultList: list[Any]
    def __init__(
        self,
        deferredList: Iterable[Deferred[Any]],
        fireOnOneCallback: bool = False,
        fireOnOneErrback: bool = False,
        consumeErrors: bool = False,
    ) -> None: ...

class _Acquirable(ABC):
    waiting: Sequence[Deferred[Any]]
    def acquire(self) -> Deferred[Any]: ...
    def release(self) -> None: ...
    @overload
    def run(self, f: Callable[_P, Deferred[_U]], /, *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_U]: ...
    @overload
    def run(self, f: Callable[_P, Coroutine[Any, Any, _U]], /, *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_U]: ...
    @overload
    def run(self, f: Callable[_P, _U], /, *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_U]: ...
    def __aenter__(self) -> Deferred[None]: ...
    def __aexit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> Deferred[bool]: ...

class DeferredLock(_Acquirable):
    locked: bool

class DeferredSemaphore(_Acquirable):
    limit: int
    tokens: int
    def __init__(self, tokens: int) -> None: ...

class DeferredQueue(Generic[_T]):
    size: int | None
    backlog: int | None
    waiting: Sequence[Deferred[_T]]
    pending: MutableSequence[_T]
    def __init__(self, size: int | None = None, backlog: int | None = None) -> None: ...
    def put(self, obj: _T) -> None: ...
    def get(self) -> Deferred[_T]: ...

def ensureDeferred(coro: Coroutine[Any, Any, _T] | Generator[Any, Any, _T] | Deferred[_T]) -> Deferred[_T]: ...
def execute(callable: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_T]: ...
def fail(result: BaseException | Failure | None = None) -> Deferred[Any]: ...
def fromAwaitable(awaitable: Awaitable[_T]) -> Deferred[_T]: ...
def gatherResults(deferredList: Iterable[Deferred[_T]], consumeErrors: bool = False) -> Deferred[list[_T]]: ...
def inlineCallbacks(f: Callable[_P, Generator[Any, Any, _T]]) -> Callable[_P, Deferred[_T]]: ...
@overload
def maybeDeferred(f: Callable[_P, Deferred[_T]], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_T]: ...
@overload
def maybeDeferred(f: Callable[_P, Coroutine[Any, Any, _T]], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_T]: ...
@overload
def maybeDeferred(f: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_T]: ...
def passthru(arg: _T) -> _T: ...
def race(ds: Iterable[Deferred[_T]]) -> Deferred[tuple[int, _T]]: ...
def returnValue(val: Any) -> NoReturn: ...
def succeed(result: _T) -> Deferred[_T]: ...
def timeout(deferred: Deferred[Any]) -> None: ...
def getDebugging() -> bool: ...
def getStory() -> bool: ...
def setDebugging(on: bool) -> None: ...
def setStory(on: bool) -> None: ...
