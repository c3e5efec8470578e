"""DebugInfo: what is known of a Deferred when its error is lost, and the report of that.

A Deferred whose result is a Failure owns a DebugInfo that holds the Failure. When the Deferred goes, so does that, and
whoever goes with a Failure left reports it. Nobody else owns one, so that this happens at once, on the spot, unless the
exception's traceback leads back to the Deferred (a frame on the way has it in a variable): then the garbage collector
finds it, at the latest when the program ends.
"""

from __future__ import annotations

import atexit
import gc
import sys
import traceback
from types import FrameType
from typing import TYPE_CHECKING, Any

from fate._native import Notes
from fate.defer import report
from fate.defer.errors import CancelledError, FirstError
from fate.defer.story import FOLDER, Story, place

_alive = 0
_lost: list[Any] = []  # of what is to be reported: a Failure, who made and fired its Deferred, its notes, and where


class DebugInfo:
    """Held by a Deferred that has failed, or for which debugging is on.

    failResult: the Failure nobody has handled yet, or None. creator, invoker: formatted stacks of who made and who
    fired the Deferred, if debugging is on. notes: its story, if stories are on; if not, made_by: code and
    instruction that made it, and fired_by: where it came to fail.
    given_up: a task that awaited it was cancelled, so that its being cancelled is nobody's to handle.
    """

    if TYPE_CHECKING:
        failResult: Any
        creator: list[str] | None
        invoker: list[str] | None
        notes: Notes | None
        made_by: tuple[Any, int] | None
        fired_by: Notes | None
        given_up: bool

    def __init__(self) -> None:
        global _alive
        _alive += 1
        self.failResult = None
        self.creator = None
        self.invoker = None
        self.notes = None
        self.made_by = None
        self.fired_by = None
        self.given_up = False

    def _getDebugTracebacks(self) -> str:
        return _stacks(self.creator, self.invoker)

    def __del__(self) -> None:
        global _alive
        _alive -= 1
        if self.failResult is not None and not sys.is_finalizing() and not (self.given_up and _is_cancelled(self)):
            _lost.append((self.failResult, self.creator, self.invoker, self.notes, self.made_by, self.fired_by))
            _report_lost()


def _is_cancelled(info: DebugInfo) -> bool:
    error = info.failResult.value
    while isinstance(error, FirstError):
        error = error.subFailure.value
    return isinstance(error, CancelledError)


def _report_lost() -> None:
    """Report what has been lost. Where the stack is too deep for that, it waits for the next time."""
    while _lost:
        failure, creator, invoker, notes, made_by, fired_by = last = _lost.pop()
        try:
            story = None if notes is None else Story("Story of the Deferred", notes)
            where = "" if fired_by is None else Story("", fired_by).steps[-1].where()
            maker = "" if made_by is None else place(*made_by)
            report.reporter().unhandled(failure, _stacks(creator, invoker), story, maker, where)
        except RecursionError:
            _lost.append(last)
            return


def _stacks(creator: list[str] | None, invoker: list[str] | None) -> str:
    text = ""
    if creator is not None:
        text += _indented(" C: ", "Deferred was created:", creator)
    if invoker is not None:
        text += _indented(" I: ", "First Invoker was:", invoker)
    return text


def _indented(prefix: str, title: str, stack: list[str]) -> str:
    lines = [title, *"".join(stack).rstrip().split("\n")]
    return "".join(f"{prefix if number == 0 else prefix.rstrip()}{line}\n" for number, line in enumerate(lines))


def stack() -> list[str]:
    """The formatted stack of the program's code that is running, without Fate's own."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_filename.startswith(FOLDER):
        frame = frame.f_back
    return traceback.format_stack(frame)


@atexit.register
def _find_the_lost() -> None:
    if _alive:
        gc.collect()
    _report_lost()
