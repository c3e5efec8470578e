"""Whether an error says no more than that a fault happened: then it is no failure of the program's.

A connection that was reset raises ConnectionResetError, an answer that comes late TimeoutError, a task that was
cancelled CancelledError, and libraries have errors of their own for that. Each is excused only where a fault could have
made it:

- a CancelledError, if the task that was cancelled raised it and who got it was waiting for that very task. Whoever
  shared a future with it has been wronged;
- an error of the network, if there is a network and a fault that breaks or delays something;
- a time-out, if what it waited for was lost on the network or could have been so late. Not if nothing at all was on its
  way any more, as where a wake-up or a place in a pool is lost; nor if it waited far longer than the faults took.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import linecache
import re
import socket
from collections.abc import Iterable
from itertools import islice
from types import FrameType, MemberDescriptorType, TracebackType
from typing import Any

from fate.sim.decisions import Decision
from fate.sim.faults import delay_of
from fate.sim.strikes import TAG, Strikes, Wait

HARMLESS = frozenset({"order", "split", "duplicate"})  # no connection breaks or is late by these
LOSING = frozenset({"reset", "refuse", "loss", "partition", "dns", "clock", "crash"})  # what waits may wait for ever
BROKEN = (ConnectionError, socket.gaierror, EOFError)  # what a program is told of a broken world
CONNECT, TIMEOUT = re.compile("Connect"), re.compile("Timeout|TimedOut")  # by name: libraries have errors of their own
PATIENCE_NS = 10_000_000_000  # so long a program may take to get over one fault, by trying again
UNKNOWN = object()


class Excuses:
    """What the faults of one run excuse.

    faults: those that happened. strikes: what they did to tasks. lasting: coroutines whose tasks, without faults, last
    until the program cancels them: who needs one that was cancelled waits in vain. usual: how many nanoseconds the run
    takes without faults; None: not known. network: there is one.
    """

    def __init__(
        self,
        faults: Iterable[Decision],
        strikes: Strikes,
        lasting: Iterable[str] = (),
        usual: int | None = None,
        network: bool = True,
    ) -> None:
        faults = list(faults)
        self.strikes = strikes
        kinds = {fault.label.partition(" ")[0] for fault in faults} - HARMLESS
        if not strikes.names:
            kinds.discard("cancel")
        self.kinds = frozenset(kinds)
        self.network = network
        self.lasting = not set(lasting).isdisjoint(strikes.names)
        self.most = None if usual is None else usual + sum(delay_of(fault) + PATIENCE_NS for fault in faults)

    def cover(self, error: BaseException | None) -> bool:
        """Whether `error` says no more than that these faults happened."""
        if error is None or not self.kinds or isinstance(error, AssertionError):
            return False
        if isinstance(error, BaseExceptionGroup):
            return all(self.cover(each) for each in error.exceptions)
        if isinstance(error, asyncio.CancelledError):
            return "cancel" in self.kinds and (self.strikes.told_main or is_of_struck(error, self.strikes))
        names = [base.__name__ for base in type(error).__mro__]
        if isinstance(error, TimeoutError) or any(map(TIMEOUT.search, names)):
            return self._is_late(error)
        if isinstance(error, BROKEN) or any(map(CONNECT.search, names)):
            return self.network
        reasons = getattr(error, "reasons", None)  # twisted.web's, each a Failure
        if isinstance(reasons, list) and reasons:
            return all(self.cover(getattr(reason, "value", None)) for reason in reasons)
        cause = error.__cause__
        if cause is not None and not hasattr(cause, TAG) and hasattr(error, TAG):
            _pass_on(error, cause)
        return cause is not None and self.cover(cause)

    # -- time-outs ------------------------------------------------------------------------------------------------

    def _is_late(self, error: BaseException) -> bool:
        if "cancel" in self.kinds and (self.lasting or self._waited_for_struck(error)):
            return True
        wait: Wait | None = getattr(error, TAG, None)
        if wait is None:  # of no task, or of the program's own making
            return self.kinds != {"cancel"}
        losing = not self.kinds.isdisjoint(LOSING) and not wait.turn
        return losing if wait.alone else losing or self.most is None or wait.ns <= self.most

    def _waited_for_struck(self, error: BaseException) -> bool:
        cause = error.__cause__ or error.__context__
        return isinstance(cause, asyncio.CancelledError) and is_of_struck(cause, self.strikes)


def is_of_struck(error: BaseException, strikes: Strikes) -> bool:
    """Whether a CancelledError came from a task that a fault has cancelled, to somebody who awaited that."""
    if not strikes.names:
        return False
    steps: list[TracebackType] = []
    step = error.__traceback__
    while step is not None:
        steps.append(step)
        step = step.tb_next
    index = next((n for n, each in enumerate(steps) if any(each.tb_frame is frame for frame in strikes.frames)), None)
    if index == 0 or not steps:
        return index == 0
    taken = steps[-1 if index is None else index - 1]
    return took(taken.tb_frame, taken.tb_lasti, index is not None, strikes)


def took(frame: FrameType, instruction: int, through: bool, strikes: Strikes) -> bool:
    """Whether a frame got an error from a task that was cancelled. through: it is the very one that that raised."""
    node = expression_at(frame, instruction)
    if isinstance(node, ast.Raise):
        return through and "site-packages" not in frame.f_code.co_filename
    if isinstance(node, ast.Await):
        node = node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "result":
        node = node.func.value
    else:
        return through
    found = look_up(node, frame)
    if found is not UNKNOWN:
        return concerns(found, strikes)
    # a call, of gather, wait_for, shield...: whatever it was given
    return through or any(concerns(look_up(each, frame), strikes) for each in ast.walk(node))


def concerns(thing: Any, strikes: Strikes) -> bool:
    """Whether a future, or one of several, is a task that was cancelled or hears of it."""
    if isinstance(thing, (list, tuple, set, frozenset)):
        return any(concerns(each, strikes) for each in thing)
    if isinstance(thing, asyncio.Future):
        return strikes.concern(thing) or any(concerns(each, strikes) for each in getattr(thing, "_children", ()))
    return False


def expression_at(frame: FrameType, instruction: int) -> ast.AST | None:
    """What a frame evaluated at an instruction: the await, the call or the raise; None: not known."""
    positions = next(islice(frame.f_code.co_positions(), instruction // 2, None), None)
    if positions is None or None in positions:
        return None
    first, last, start, end = positions
    assert first is not None
    assert last is not None
    lines = [linecache.getline(frame.f_code.co_filename, number) for number in range(first, last + 1)]
    encoded = [line.encode() for line in lines]
    encoded[-1] = encoded[-1][:end]
    encoded[0] = encoded[0][start:]
    try:
        tree = ast.parse(f"async def _():\n (\n{b''.join(encoded).decode()}\n)", mode="exec")
    except (SyntaxError, UnicodeDecodeError):
        text = b"".join(encoded).decode(errors="replace").strip()
        return ast.Raise() if text.startswith("raise ") or text == "raise" else None
    return tree.body[0].body[0].value  # type: ignore[attr-defined,no-any-return]


def look_up(node: ast.AST, frame: FrameType) -> Any:
    """What an expression stands for, if that can be told without running any code of the program's; else UNKNOWN."""
    if isinstance(node, ast.Name):
        return frame.f_locals.get(node.id, frame.f_globals.get(node.id, UNKNOWN))
    if isinstance(node, (ast.List, ast.Tuple)):
        return [look_up(each, frame) for each in node.elts]
    if isinstance(node, ast.Attribute):
        return attribute(look_up(node.value, frame), node.attr)
    if isinstance(node, ast.Subscript):
        key = node.slice.value if isinstance(node.slice, ast.Constant) else look_up(node.slice, frame)
        held = look_up(node.value, frame)
        plain = isinstance(key, (str, int, bytes, tuple)) and type(held) in (dict, list, tuple)
        try:
            return held[key] if plain else UNKNOWN
        except (LookupError, TypeError):
            return UNKNOWN
    return UNKNOWN


def attribute(thing: Any, name: str) -> Any:
    """An attribute that an object simply holds; UNKNOWN if it has none, or it would have to be computed."""
    if name.startswith("__") and not name.endswith("__"):
        name = f"_{type(thing).__name__.lstrip('_')}{name}"
    held = getattr(thing, "__dict__", None)
    if isinstance(held, dict) and name in held:
        return held[name]
    slot = next((vars(kind)[name] for kind in type(thing).__mro__ if name in vars(kind)), None)
    if isinstance(slot, MemberDescriptorType):
        with contextlib.suppress(AttributeError):  # not set
            return slot.__get__(thing)
    return UNKNOWN


def _pass_on(error: BaseException, cause: BaseException) -> None:
    """A library has wrapped `cause`: the wait that `error` ended is its."""
    with contextlib.suppress(AttributeError, TypeError):
        setattr(cause, TAG, getattr(error, TAG))
