"""What Twisted warns of, in its words, so that filters written for those go on working.

Nothing here is compiled: a warning names the line that caused it by counting Python frames.
"""

from __future__ import annotations

import inspect
import threading
import warnings
from typing import Any, NoReturn

from fate._native import compiled
from fate.defer.story import place
from fate.errors import WrongThreadError

CALLER = 1 if compiled() else 2  # compiled functions have no frame


def deprecated(name: str, since: str, instead: str = "", frames: int = 2) -> None:
    """Warn that `twisted.internet.defer.<name>` is deprecated, on behalf of the code `frames` above."""
    advice = f"; please use {instead} instead" if instead else ""
    warnings.warn(
        f"twisted.internet.defer.{name} was deprecated in Twisted {since}{advice}", DeprecationWarning, frames + 1
    )


def callbacks_asked_for() -> None:
    """Somebody reads `Deferred.callbacks`."""
    deprecated("Deferred.callbacks", "25.5.0", frames=1 + CALLER)


def may_fire_elsewhere(entries: list[Any]) -> bool:
    """Whether all that waits wakes its loop itself, so that it does not matter in which thread that is called."""
    return all(getattr(call[0], "thread_safe", False) for entry in entries for call in entry)


def wrong_thread(deferred: Any) -> WrongThreadError:
    """A Deferred that was made in the thread of a loop, which runs, is used in another."""
    return WrongThreadError(
        f"this Deferred was made by {place(*deferred._made_by())} in the thread of a loop, which runs; its callbacks "
        f"would run in thread {threading.current_thread().name!r}. Hand the call to the loop: "
        "reactor.callFromThread(d.callback, result), or loop.call_soon_threadsafe(d.callback, result)"
    )


def returned_itself(callback: Any, deferred: Any, failure: Any) -> Any:
    """Warn of a callback that returned the Deferred it was called by; what is then its result."""
    message = (
        "Callback returned the Deferred it was attached to; this breaks the callback chain and will raise an "
        "exception in the future."
    )
    try:
        function = inspect.unwrap(getattr(callback, "__func__", callback))
        code = getattr(function, "__code__", None)
        file, line = (code.co_filename, max(line or 0 for _, _, line in code.co_lines())) if code else ("<unknown>", 0)
        warnings.warn_explicit(
            message,
            DeprecationWarning,
            file,
            line,
            module=getattr(function, "__module__", None),
            registry=getattr(function, "__globals__", {}).setdefault("__warningregistry__", {}),
        )
    except Exception as error:  # errors are made of warnings, or the callback's attributes raise: as if it had raised
        return failure(error)
    return deferred


class ReturnValue(BaseException):
    """How `returnValue` leaves a generator."""

    def __init__(self, value: Any) -> None:
        self.value = value


def returnValue(val: Any) -> NoReturn:
    """Deprecated, as in Twisted: have the inlineCallbacks function return `val`. Use `return`."""
    deprecated("returnValue", "24.7.0", "standard return statement")
    raise ReturnValue(val)


def returned_value(error: ReturnValue) -> Any:
    """The value of a `returnValue`; a warning if not the generator called it but something the generator called."""
    outer = error.__traceback__
    if outer is not None and outer.tb_next is not None and outer.tb_next.tb_next is not None:
        inner = outer
        while inner.tb_next is not None and inner.tb_next.tb_next is not None:
            inner = inner.tb_next
        warnings.warn_explicit(
            f"returnValue() in {inner.tb_frame.f_code.co_name!r} causing {outer.tb_frame.f_code.co_name!r} to exit: "
            "returnValue should only be invoked by functions decorated with inlineCallbacks",
            DeprecationWarning,
            inner.tb_frame.f_code.co_filename,
            inner.tb_lineno,
        )
    error.__traceback__ = None  # its frames hold the generator's variables
    return error.value
