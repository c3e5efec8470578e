"""Child processes and pipes: what Fate does in place of asyncio's Unix loop.

A child's end is told by a descriptor (Linux's pidfd) that the loop watches like any other: no thread a child, no
signal, and it works in any thread. A child watcher of the program's own is honoured; asyncio's default ones, which
start a thread for each child or do the same as here, are not asked. Starting a child is `subprocess.Popen`'s work; its
pipes are `pipes`'.
"""

from __future__ import annotations

import asyncio
import os
import sys
import warnings
from asyncio import SelectorEventLoop, events, log, unix_events
from typing import Any

from fate.net import processes
from fate.net.pipes import ReadPipe, WritePipe

DEFAULTS = tuple(
    getattr(unix_events, name) for name in ("ThreadedChildWatcher", "PidfdChildWatcher") if hasattr(unix_events, name)
)
THREADED: Any = getattr(unix_events, "ThreadedChildWatcher", None) or getattr(
    unix_events, "_ThreadedChildWatcher", None
)


def can_watch() -> bool:
    """Whether this system tells of a child's end by a descriptor."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):  # another system, an old kernel, or forbidden by seccomp
        return False
    return True


def has_own_watcher() -> bool:
    """Whether the program has set a child watcher, or a policy that has one."""
    standard = (
        getattr(asyncio.DefaultEventLoopPolicy, "get_child_watcher", None) if sys.version_info < (3, 14) else None
    )
    if standard is None:  # Python has no child watchers any more
        return False
    policy: Any = events.get_event_loop_policy()
    if type(policy).get_child_watcher is not standard:
        return True
    watcher = policy._watcher
    return watcher is not None and type(watcher) not in DEFAULTS


class ChildCalls(SelectorEventLoop):
    """What `Fate` has in place of asyncio's ways with children and pipes."""

    _children: dict[int, int]  # the process ids that are watched, by their descriptors
    _can_watch: bool | None  # None: not asked yet
    _threads: Any  # asyncio's watcher by threads, if it was needed

    def _make_read_pipe_transport(self, pipe: Any, protocol: Any, waiter: Any = None, extra: Any = None) -> Any:
        return ReadPipe(self, pipe, protocol, waiter, extra)

    def _make_write_pipe_transport(self, pipe: Any, protocol: Any, waiter: Any = None, extra: Any = None) -> Any:
        return WritePipe(self, pipe, protocol, waiter, extra)

    async def _make_subprocess_transport(self, *arguments: Any, **options: Any) -> Any:
        if self._can_watch is None:
            self._can_watch = can_watch()
        if self._can_watch and not has_own_watcher():
            return await processes.start(self, self._watch_child, *arguments, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            watcher: Any = events.get_child_watcher()  # type: ignore[attr-defined,unused-ignore]
        with watcher as entered:
            if sys.version_info < (3, 12):
                watcher = entered  # as asyncio there has it
            if not watcher.is_active():
                raise RuntimeError("asyncio.get_child_watcher() is not activated: attach it to a loop that runs")

            def watch(pid: int, transport: Any) -> None:
                watcher.add_child_handler(pid, self._child_watcher_callback, transport)  # type: ignore[attr-defined]

            return await processes.start(self, watch, *arguments, **options)

    def _watch_child(self, pid: int, transport: Any) -> None:
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:  # no descriptor left: a thread needs none
            if self._threads is None:
                self._threads = THREADED()
            self._threads.add_child_handler(pid, self._child_watcher_callback, transport)  # type: ignore[attr-defined]
            return
        self._children[pidfd] = pid
        self._add_reader(pidfd, self._child_ended, pidfd, transport)  # type: ignore[attr-defined]

    def _child_ended(self, pidfd: int, transport: Any) -> None:
        pid = self._children.pop(pidfd)
        self._remove_reader(pidfd)  # type: ignore[attr-defined]
        os.close(pidfd)
        try:
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except ChildProcessError:  # somebody else waited for it
            code = 255
            log.logger.warning("child process pid %d exit status already read:  will report returncode 255", pid)
        self._child_watcher_callback(pid, code, transport)  # type: ignore[attr-defined]

    def close(self) -> None:
        super().close()
        while self._children:  # who they belong to has them waited for, when another child is started
            os.close(self._children.popitem()[0])
