"""The system calls, as the uncompiled build makes them.

The same names with the same meaning as `_native.pyx`, which replaces this module when Fate is compiled:
the monotonic clock in nanoseconds, calls whose exceptions come back as objects (inside a context, of a callback, one
step of a generator), where the running code is, and epoll. Nothing else lives here.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
from sys import _getframe
from threading import get_ident as this_thread
from time import monotonic_ns as clock_ns
from types import FrameType, MethodType
from typing import TYPE_CHECKING, Any

__all__ = [
    "Ended",
    "Epoll",
    "Freelist",
    "Made",
    "Notes",
    "SharedContext",
    "advance",
    "bind",
    "call_with",
    "can_share",
    "clock_ns",
    "compiled",
    "copy_context",
    "copy_of",
    "invoke",
    "is_instance",
    "loop_threads",
    "own",
    "pop_last",
    "recycle",
    "run_in_context",
    "skip_frames",
    "this_thread",
    "throw",
    "track",
]


def compiled() -> bool:
    """Whether this is the compiled build."""
    return False


def copy_of(context: Context) -> Context:
    """A copy of `context`."""
    return context.copy()


def bind(method: Callable[..., Any], made: object) -> Any:
    """`method`, which takes an object, for the object `made`."""
    return MethodType(method, made)


def run_in_context(context: Context, callback: Callable[..., object], args: tuple[Any, ...]) -> BaseException | None:
    """Call `callback(*args)` inside `context`; return None, or the exception that it raised."""
    try:
        context.run(callback, *args)
    except BaseException as error:  # the engine decides what becomes of it
        return error
    finally:
        del context, callback, args  # an exception that is kept keeps this frame too
    return None


def can_share() -> bool:
    """Whether it can be told that two contexts say the same. Only the compiled build can."""
    return False


class SharedContext:
    """Uncompiled, each handle has a context of its own."""

    __slots__ = ()

    def leave(self) -> None:
        """Be outside it: always so."""

    def snapshot(self) -> Context:
        """A copy of the current context."""
        return copy_context()

    def run(self, snapshot: Context, callback: Callable[..., object], args: tuple[Any, ...]) -> BaseException | None:
        """As `run_in_context`."""
        return run_in_context(snapshot, callback, args)

    def current(self) -> Context | None:
        """The context that has been entered: none ever is."""
        return None

    def forget(self) -> None:
        """Keep nothing alive."""


class Freelist:
    """Uncompiled, Python sees to it."""

    __slots__ = ()


def recycle(cls: type, tracked: bool, limit: int) -> Freelist:
    """The compiled build keeps dead handles for new ones, and the garbage collector's eyes off the ready ones."""
    return Freelist()


def call_with(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`function(*args, **kwargs)`, for one that leaves `kwargs` as it is."""
    return function(*args, **kwargs)


def pop_last(items: list[Any]) -> Any:
    """`items.pop()`."""
    return items.pop()


def own(cls: type, method: Any) -> Any:
    """The compiled build makes a method that `cls` inherits cheaper to call."""
    return method


def track(made: object) -> None:
    """The compiled build has the garbage collector look at `made` after all."""


is_instance = isinstance


def invoke(
    callback: Callable[..., Any],
    result: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None,
    failed: Callable[[BaseException], Any],
) -> Any:
    """`callback(result, *args, **kwargs)`, or `failed(exception)` if it raises."""
    try:
        if kwargs is None:
            return callback(result, *args)
        return callback(result, *args, **kwargs)
    except BaseException as error:  # as the compiled build, which leaves no frame of its own in the traceback
        return failed(_without_this_frame(error))


def _without_this_frame(error: BaseException) -> BaseException:
    # Nobody may keep that first entry: its frame has the error among its variables.
    return error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)


class Ended:
    """How a generator ended: it returned `value`, or raised `error`."""

    __slots__ = ("error", "value")

    def __init__(self, value: Any = None, error: BaseException | None = None) -> None:
        self.value = value
        self.error = error


def _step(context: Context, step: Callable[[Any], Any], value: Any) -> Any:
    try:
        return context.run(step, value)
    except StopIteration as stop:
        return Ended(stop.value)
    except BaseException as error:
        return Ended(None, _without_this_frame(error))


def advance(generator: Any, context: Context, value: Any) -> Any:
    """Send `value` into a generator or coroutine, inside `context`; what it yields, or an `Ended`."""
    return _step(context, generator.send, value)


def throw(generator: Any, context: Context, error: BaseException) -> Any:
    """As `advance`, throwing the exception `error` into it."""
    return _step(context, generator.throw, error)


_skipped = "\0"
_package = "\0"


def skip_frames(folder: str, whole: str) -> None:
    """From now on those who fire are looked for past frames whose code lies in `folder`, which ends with a separator.

    All others are looked for past those in `whole`: a Deferred that one of Fate's tools makes, its caller has made.
    """
    global _skipped, _package
    _skipped = folder
    _package = whole


loop_threads: set[int] = set()
"""The numbers of the threads in which a Fate runs."""


class Made:
    """What is known of something from its making on: which code made it, and in which thread."""

    __slots__ = ("_instruction", "_maker", "_thread")

    if TYPE_CHECKING:
        _maker: Any
        _instruction: int
        _thread: int

    def _made_here(self) -> int:
        frame = _getframe(3)  # from here, past `_prepare` and what called that
        code = frame.f_code
        while code.co_filename.startswith(_package) and frame.f_back is not None:
            frame = frame.f_back
            code = frame.f_code
        self._maker = code
        self._instruction = frame.f_lasti
        self._thread = this_thread()
        return 0

    def _is_elsewhere(self) -> bool:
        """Whether this is not the thread it was made in, and that runs a Fate now."""
        return self._thread in loop_threads and self._thread != this_thread()

    def _made_by(self) -> tuple[Any, int]:
        """The code that made it, or None, and the instruction."""
        return self._maker, self._instruction


_MADE = 0  # as in `fate.defer.story`
_SHORT = 200
_MOST = 64
_ATOMS = frozenset((int, float, bool, type(None)))


_TYPE_ONLY = 16


def _value_told(kind: int, value: Any) -> tuple[int, Any]:
    cls = type(value)
    if cls in _ATOMS or ((cls is str or cls is bytes) and len(value) <= _SHORT):
        return kind, value
    return kind | _TYPE_ONLY, cls.__qualname__


def _callback_told(callback: Any) -> Any:
    callback = getattr(callback, "__func__", callback)
    return getattr(callback, "__code__", None) or getattr(callback, "__qualname__", None) or type(callback).__qualname__


class Notes:
    """What happened to one Deferred, in order. Keeps nothing of the program's alive; `fate.defer.story` reads it."""

    __slots__ = ("_notes",)

    def __init__(self) -> None:
        self._notes: list[tuple[int, Any, Any, int]] = []

    def _put(self, kind: int, what: Any, code: Any, instruction: int) -> None:
        if len(self._notes) == _MOST:
            self._notes.pop()  # the last one makes room for those that follow, each in its turn
        self._notes.append((kind, what, code, instruction))

    def _put_here(self, kind: int, what: Any, folder: str) -> None:
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and frame.f_code.co_filename.startswith(folder):
            frame = frame.f_back
        if frame is None:
            self._put(kind, what, None, -1)
        else:
            self._put(kind, what, frame.f_code, frame.f_lasti)

    def happened(self, kind: int) -> None:
        """Something was done here."""
        self._put_here(kind, None, _package if kind == _MADE else _skipped)

    def added(self, kind: int, callback: Any) -> None:
        """A callback was added here."""
        self._put_here(kind, _callback_told(callback), _package)

    def fired(self, kind: int, value: Any) -> None:
        """It was fired here, with `value`."""
        self._put_here(*_value_told(kind, value), _skipped)

    def gave(self, kind: int, callback: Any, value: Any) -> None:
        """`callback` returned `value`."""
        self._put(*_value_told(kind, value), _callback_told(callback), -1)

    def failed(self, kind: int, callback: Any, cls: Any) -> None:
        """`callback` raised a `cls`."""
        self._put(kind, getattr(cls, "__qualname__", None) or type(cls).__qualname__, _callback_told(callback), -1)

    def told(self) -> list[tuple[int, Any, Any, int]]:
        """A list of (kind, what, code, instruction)."""
        return list(self._notes)


class Epoll:
    """One epoll descriptor, level-triggered; `wait` fills a buffer that `fd(i)` and `events(i)` read.

    Python's epoll has no place for a generation: it is always told as 0.
    """

    tells_generations = False

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._buffer: list[tuple[int, int]] = []

    def fileno(self) -> int:
        return self._epoll.fileno()

    def register(self, fd: int, events: int, generation: int) -> int:
        self._epoll.register(fd, events)
        return 0

    def modify(self, fd: int, events: int, generation: int) -> int:
        self._epoll.modify(fd, events)
        return 0

    def unregister(self, fd: int) -> int:
        self._epoll.unregister(fd)
        return 0

    def wait(self, timeout_ns: int) -> int:
        """Wait for events: 0 polls, negative waits for ever. Returns how many came."""
        self._buffer = self._epoll.poll(timeout_ns / 1e9 if timeout_ns >= 0 else -1, 256)
        return len(self._buffer)

    def spin(self, ns: int) -> int:
        """As `wait`, not sleeping but looking again and again."""
        end = clock_ns() + ns
        while not self.wait(0) and clock_ns() < end:
            os.sched_yield()
        return len(self._buffer)

    def fd(self, index: int) -> int:
        return self._buffer[index][0]

    def generation(self, index: int) -> int:
        return 0

    def events(self, index: int) -> int:
        return self._buffer[index][1]

    def close(self) -> None:
        self._epoll.close()
