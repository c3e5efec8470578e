"""What a thread has of the loop that runs in it: which one runs, who is told of async generators, whom signals wake.

It is set before a run and put back after it, whatever ends the run: Ctrl-C, or a signal's handler that raises, may do
so at any moment. Python calls those handlers between two bytecodes, and compiled there are none between the steps here.
Uncompiled, and in the methods of a loop that are Python's, what was cut short is done a second time: each step may be.
"""

from __future__ import annotations

import sys
from asyncio import events
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any

from fate._native import loop_threads, this_thread
from fate.net import wakeup


class Before:
    """What was so before a run."""

    __slots__ = ("begun", "depth", "hooks", "loop", "over")

    if TYPE_CHECKING:
        hooks: Any
        loop: Any

    def __init__(self) -> None:
        self.begun = self.over = False
        self.depth = 0
        self.hooks = self.loop = None


def run(loop: Any) -> None:
    """Turn `loop` until it is stopped, as the loop that runs in this thread."""
    before = Before()
    try:
        try:
            _begin(loop, before)
            loop.run_turns()
        finally:
            _end(loop, before)
    finally:
        _end(loop, before)


def within(loop: Any, call: Callable[[], Any]) -> Any:
    """Call something as if `loop` ran already, and return what it returns."""
    before = events._get_running_loop()
    try:
        try:
            events._set_running_loop(loop)
            return call()
        finally:
            events._set_running_loop(before)
    finally:
        events._set_running_loop(before)


def _begin(loop: Any, before: Before) -> int:
    before.hooks = sys.get_asyncgen_hooks()
    before.depth = sys.get_coroutine_origin_tracking_depth()
    before.loop = events._get_running_loop()
    before.begun = True
    loop._reset()
    loop._thread_id = get_ident()
    loop._awaited = loop._awaiting
    loop._awaiting = None
    loop_threads.add(this_thread())
    if loop._debug:
        loop._set_coroutine_origin_tracking(True)
    wakeup.hear(loop)
    sys.set_asyncgen_hooks(loop._asyncgen_firstiter_hook, loop._asyncgen_finalizer_hook)
    events._set_running_loop(loop)
    return 0


def _end(loop: Any, before: Before) -> int:
    if before.over or not before.begun:
        return 0
    events._set_running_loop(before.loop)
    sys.set_asyncgen_hooks(*before.hooks)
    loop._stopping = False
    loop._thread_id = loop._awaited = None
    loop_threads.discard(this_thread())
    if loop._debug or loop._coroutine_origin_tracking_enabled:
        sys.set_coroutine_origin_tracking_depth(before.depth)
        loop._coroutine_origin_tracking_enabled = False
    wakeup.unhear(loop)
    before.over = True
    return 0
