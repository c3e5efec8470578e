"""Deferreds: the whole of `twisted.internet.defer`, under its names, without Twisted and without a loop.

The map: `deferred` is the Deferred; `stepper` and `inline` run generators and coroutines that wait for Deferreds;
`gather`, `racing` and `locks` stand on those; `filelock` is a lock between processes; `failure` and `frames` carry
errors; `debug`, `report` and `story` tell of them; `futures` bridges to asyncio, `misuse` has Twisted's warnings,
`timeouts` and `subclasses` small parts, `errors` the exceptions. This module holds the public names and nothing else;
`__init__.pyi` has their types.
"""

from fate.defer.debug import DebugInfo
from fate.defer.deferred import (
    Deferred,
    getDebugging,
    getStory,
    passthru,
    setDebugging,
    setStory,
)
from fate.defer.errors import (
    AlreadyCalledError,
    AlreadyTryingToLockError,
    CallbackError,
    CancelledError,
    FailureGroup,
    FirstError,
    NoCurrentExceptionError,
    NotACoroutineError,
    QueueOverflow,
    QueueUnderflow,
    TimeoutError,
    WaitsForItselfError,
)
from fate.defer.failure import Failure
from fate.defer.filelock import DeferredFilesystemLock
from fate.defer.gather import FAILURE, SUCCESS, DeferredList, gatherResults
from fate.defer.inline import (
    ensureDeferred,
    execute,
    fail,
    fromAwaitable,
    inlineCallbacks,
    maybeDeferred,
    succeed,
    timeout,
)
from fate.defer.locks import DeferredLock, DeferredQueue, DeferredSemaphore
from fate.defer.misuse import returnValue
from fate.defer.racing import race
from fate.defer.report import logError
from fate.defer.story import Story

__all__ = [
    "FAILURE",
    "SUCCESS",
    "AlreadyCalledError",
    "AlreadyTryingToLockError",
    "CallbackError",
    "CancelledError",
    "DebugInfo",
    "Deferred",
    "DeferredFilesystemLock",
    "DeferredList",
    "DeferredLock",
    "DeferredQueue",
    "DeferredSemaphore",
    "Failure",
    "FailureGroup",
    "FirstError",
    "NoCurrentExceptionError",
    "NotACoroutineError",
    "QueueOverflow",
    "QueueUnderflow",
    "Story",
    "TimeoutError",
    "WaitsForItselfError",
    "ensureDeferred",
    "execute",
    "fail",
    "fromAwaitable",
    "gatherResults",
    "getDebugging",
    "getStory",
    "inlineCallbacks",
    "logError",
    "maybeDeferred",
    "passthru",
    "race",
    "returnValue",
    "setDebugging",
    "setStory",
    "succeed",
    "timeout",
]
