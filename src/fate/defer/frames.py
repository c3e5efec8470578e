"""Tracebacks as lists of frames, and texts that never raise: what `Failure` shows.

Also a traceback made of such a list, for a Failure that has let go of its own. Nothing here knows Deferreds.
"""

from __future__ import annotations

import builtins
import linecache
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

Frame = tuple[str, str, int, Any, Any]
"""Function, file, line, and what was captured of its local and global variables: (name, value) each."""


def qualified_name(thing: Any) -> str:
    """The full name of a class; for anything else its text."""
    if isinstance(thing, type):
        return thing.__qualname__ if thing.__module__ == "builtins" else f"{thing.__module__}.{thing.__qualname__}"
    return safe_str(thing)


def safe_str(thing: object) -> str:
    """`str(thing)`, or what can be said if that raises."""
    try:
        return thing.decode("utf-8", "replace") if isinstance(thing, bytes) else str(thing)
    except BaseException as error:  # other people's __str__: whatever it raises, the report must go out
        return f"<{type(thing).__qualname__} instance at 0x{id(thing):x}, its str() raised {type(error).__qualname__}>"


def safe_repr(thing: object) -> str:
    """`repr(thing)`, or what can be said if that raises."""
    try:
        return repr(thing)
    except BaseException as error:  # as in safe_str
        return f"<{type(thing).__qualname__} instance at 0x{id(thing):x}, its repr() raised {type(error).__qualname__}>"


def frames_of(traceback: TracebackType | None, capture: bool) -> list[Frame]:
    """The frames of `traceback`, outermost first; with their variables if `capture`."""
    frames: list[Frame] = []
    while traceback is not None:
        frame, code = traceback.tb_frame, traceback.tb_frame.f_code
        local: Any = ()
        world: Any = ()
        if capture:
            local = _captured(frame.f_locals)
            world = [] if frame.f_locals is frame.f_globals else _captured(frame.f_globals)
        frames.append((code.co_name, code.co_filename, traceback.tb_lineno, local, world))
        traceback = traceback.tb_next
    return frames


def drop_waiting(traceback: TracebackType | None) -> None:
    """Take Fate's own step, in which a coroutine waits for a Deferred, out of that coroutine's traceback.

    One such step, the uppermost: those below have been taken out where their coroutines ended.
    """
    while traceback is not None and traceback.tb_next is not None:
        code = traceback.tb_next.tb_frame.f_code
        if code.co_name == "wait_for" and code.co_filename.endswith("fate/defer/deferred.py"):
            traceback.tb_next = traceback.tb_next.tb_next
            return
        traceback = traceback.tb_next


def _captured(variables: Any) -> list[tuple[str, object]]:
    return [(name, value) for name, value in variables.items() if name != "__builtins__"]


def write_frames(frames: Sequence[Frame], write: Callable[[str], object], detail: str, captured: bool) -> None:
    """Write `frames` in "default", "brief" or "verbose" detail; `captured` says whether variables are there."""
    for name, file, line, local, world in frames:
        if detail == "brief":
            write(f"{file}:{line}:{name}\n")
        elif detail == "default":
            write(f'  File "{file}", line {line}, in {name}\n    {linecache.getline(file, line).strip()}\n')
        else:
            write(f"{file}:{line}: {name}(...)\n")
            if captured:
                write(" [ Locals ]\n")
                for variable, value in local:
                    write(f"  {variable} : {safe_repr(value)}\n")
                write(" ( Globals )\n")
                for variable, value in world:
                    write(f"  {variable} : {safe_repr(value)}\n")
    if detail == "verbose" and not captured:
        write(" [Capture of Locals and Globals disabled (use captureVars=True)]\n")


class FakeCode:
    """What `traceback` and debuggers read of a code object."""

    co_firstlineno = co_argcount = co_flags = co_posonlyargcount = co_kwonlyargcount = co_nlocals = co_stacksize = 0
    co_varnames = co_cellvars = co_freevars = co_names = co_consts = ()
    co_code = co_lnotab = b""

    def __init__(self, name: str, file: str) -> None:
        self.co_name = self.co_qualname = name
        self.co_filename = file

    def co_positions(self) -> tuple[tuple[None, None, None, None], ...]:
        """Nothing is known of columns."""
        return ((None, None, None, None),)


class FakeFrame:
    """What `traceback` and debuggers read of a frame."""

    f_lasti = 0
    f_trace = None

    def __init__(self, frame: Frame, back: FakeFrame | None) -> None:
        name, file, line, local, world = frame
        self.f_code = FakeCode(name, file)
        self.f_lineno = line
        self.f_locals = dict(local or {})
        self.f_globals = dict(world or {})
        self.f_builtins = vars(builtins).copy()
        self.f_back = back


class FakeTraceback:
    """What `traceback` and debuggers read of a traceback."""

    tb_next: FakeTraceback | None = None

    def __init__(self, frame: FakeFrame) -> None:
        self.tb_frame = frame
        self.tb_lineno = frame.f_lineno
        self.tb_lasti = 0


def fake_traceback(frames: Sequence[Frame]) -> FakeTraceback:
    """A traceback that looks like `frames`, of which there is at least one."""
    first = last = FakeTraceback(FakeFrame(frames[0], None))
    for frame in frames[1:]:
        last.tb_next = FakeTraceback(FakeFrame(frame, last.tb_frame))
        last = last.tb_next
    return first
