"""A Deferred's story, for people: who made it, who added which callback, who fired it, what each step returned.

While stories are on (`setStory(True)`, or FATE_STORY=1 in the environment) each Deferred has a `fate._native.Notes`,
in which a note costs some 20 ns. Notes hold no object of the program's: of a callback its code, of a value its type, or
itself where that is a short constant. So a story keeps nothing alive. Here notes become lines of text; where they are
taken is `deferred`.
"""

from __future__ import annotations

import os
from enum import IntEnum
from types import CodeType
from typing import Any, NamedTuple

from fate._native import Notes, skip_frames
from fate.defer.frames import safe_repr

FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep

TYPE_ONLY = 16
"""Set in a note's kind: of the value only the type was kept."""

skip_frames(FOLDER, os.path.dirname(FOLDER[:-1]) + os.sep)


class Kind(IntEnum):
    """What a step of a story is."""

    MADE = 0
    ADDED = 1
    FIRED = 2
    RETURNED = 3
    RAISED = 4
    WAITS = 5
    LOST = 6


class Step(NamedTuple):
    """One line of a story.

    what: of a callback its name and place, of a value its text or type. file, line, function: where it was done; of
    RETURNED and RAISED, the callback that did.
    """

    kind: Kind
    what: str
    file: str
    line: int
    function: str

    def where(self) -> str:
        """The place, as text."""
        return _where(self.function, self.file, self.line)

    def __str__(self) -> str:
        name = self.kind.name.lower()
        if self.kind in (Kind.RETURNED, Kind.RAISED):
            return f"{name:9} {self.what}, {self.where()}"
        return f"{name:9} {self.what + ' ' if self.what else ''}by {self.where()}"


def _where(function: str, file: str, line: int) -> str:
    return f"{function} at {file}:{line}" if file else function or "the interpreter"


def place(code: CodeType | None, instruction: int) -> str:
    """What is at an instruction, as text."""
    if code is None:
        return _where("", "", 0)
    return _where(code.co_qualname, code.co_filename, line_of(code, instruction))


class Story:
    """What happened to one Deferred, in order. `str()` of it is made to be printed; `steps` is for programs.

    Of a very long story the first 63 steps are kept, and the last.
    """

    def __init__(self, title: str, notes: Notes | None) -> None:
        self.title = title
        self.told = notes is not None
        self.steps = [] if notes is None else [_step(*note) for note in notes.told()]

    def __str__(self) -> str:
        if not self.told:
            return f"{self.title}: its story was not recorded (fate.defer.setStory(True), or FATE_STORY=1)"
        return "\n".join([f"{self.title}:", *(f"  {step}" for step in self.steps)])

    def __repr__(self) -> str:
        return f"<Story of {self.title}, {len(self.steps)} steps>"


def line_of(code: CodeType, instruction: int) -> int:
    """The line of the instruction at an offset in bytes; the first one if that is not known."""
    for start, end, line in code.co_lines():
        if start <= instruction < end and line is not None:
            return line
    return code.co_firstlineno


def _step(number: int, what: Any, code: Any, instruction: int) -> Step:
    kind = Kind(number & ~TYPE_ONLY)
    text = _text(kind, what, bool(number & TYPE_ONLY))
    if isinstance(code, CodeType):
        return Step(kind, text, code.co_filename, line_of(code, instruction), code.co_qualname)
    return Step(kind, text, "", 0, code or "")


def _text(kind: Kind, what: Any, type_only: bool) -> str:
    if kind is Kind.WAITS:
        return "for another Deferred"
    if kind in (Kind.MADE, Kind.LOST):
        return ""
    if kind is Kind.ADDED:
        return f"{what.co_qualname} ({what.co_filename}:{what.co_firstlineno})" if isinstance(what, CodeType) else what
    if kind is Kind.RAISED:
        return str(getattr(what, "__qualname__", what))
    text = f"a {getattr(what, '__qualname__', what)}" if type_only else safe_repr(what)
    return f"with {text}" if kind is Kind.FIRED else text
