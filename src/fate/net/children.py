"""Child processes and pipes: what Fate does in place of asyncio's Unix loop.

A child's end is told by a descriptor (Linux's pidfd) that the loop watches like any other: no thread a child, no
signal, and it works in any thread. A child watcher of the program's own is honoured; asyncio's default ones, which
start a thread for each child or do the same as here, are not asked. Starting a child is `subprocess.Popen`'s work; its
pipes are `pipes`'.

A process's number is another's as soon as its exit code has been read, by whomever. So the code is read, and signals
are sent, by the pidfd, which stands for the very child, and what a `Popen` has read is asked of it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import warnings
from asyncio import SelectorEventLoop, events, log, unix_events
from contextlib import nullcontext, suppress
from typing import Any

from fate.net import processes
from fate.net.pipes import ReadPipe, WritePipe

DEFAULTS = tuple(
    getattr(unix_events, name) for name in ("ThreadedChildWatcher", "PidfdChildWatcher") if hasattr(unix_events, name)
)
HAS_WATCHERS = sys.version_info < (3, 14)  # which programs may set
IN_THREADS: Any = getattr(unix_events, "_ThreadedChildWatcher", ())  # what asyncio has since then where pidfd is no use
READ_BY_OTHERS = 255  # what asyncio gives for an exit code that somebody else has read


def can_watch() -> bool:
    """Whether this system tells of a child's end by a descriptor."""
    try:
        pidfd = os.pidfd_open(os.getpid())
    except (AttributeError, OSError):  # another system, an old kernel, or forbidden by seccomp
        return False
    try:
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:  # it can be asked, and is no child of its own
        return True
    except OSError:
        return False
    finally:
        os.close(pidfd)
    return True


def exit_code(pidfd: int, pid: int, popen: Any = None, keep: bool = False) -> int | None:
    """Read the exit code of a child that has ended: negative for the signal that killed it.

    pidfd: its descriptor; -1 if there is none, and then `pid` is trusted.
    popen: its `subprocess.Popen`, which may have read the code already, and is told of it.
    keep: leave it to be read again: until then no other process gets the child's number.
    Returns None if it is no child of this process, or somebody else has read the code.
    """
    kind, number = (os.P_PIDFD, pidfd) if pidfd >= 0 else (os.P_PID, pid)
    with nullcontext() if popen is None else popen._waitpid_lock:
        if popen is not None and popen.returncode is not None:
            code: int = popen.returncode
            return code
        try:
            result = os.waitid(kind, number, os.WEXITED | os.WNOHANG | (os.WNOWAIT if keep else 0))
        except ChildProcessError:
            return None
        if result is None:
            return None
        code = result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
        if popen is not None:
            popen.returncode = code
        return code


def has_own_watcher() -> bool:
    """Whether the program has set a child watcher, or a policy that has one."""
    if not HAS_WATCHERS:
        return False
    policy: Any = events.get_event_loop_policy()
    standard: Any = asyncio.DefaultEventLoopPolicy.get_child_watcher  # type: ignore[attr-defined,unused-ignore]
    if type(policy).get_child_watcher is not standard:
        return True
    watcher = policy._watcher
    return watcher is not None and type(watcher) not in DEFAULTS


class ChildCalls(SelectorEventLoop):
    """What `Fate` has in place of asyncio's ways with children and pipes."""

    _children: dict[int, processes.ChildTransport]  # those that are watched, by their descriptors
    _can_watch: bool | None  # None: not asked yet
    _watcher: Any  # asyncio's, since Python 3.14

    def _make_read_pipe_transport(self, pipe: Any, protocol: Any, waiter: Any = None, extra: Any = None) -> Any:
        return ReadPipe(self, pipe, protocol, waiter, extra)

    def _make_write_pipe_transport(self, pipe: Any, protocol: Any, waiter: Any = None, extra: Any = None) -> Any:
        return WritePipe(self, pipe, protocol, waiter, extra)

    async def _make_subprocess_transport(self, *arguments: Any, **options: Any) -> Any:
        if self._can_watch is None:
            self._can_watch = can_watch()
        if not HAS_WATCHERS:
            by_thread = not self._can_watch or isinstance(self._watcher, IN_THREADS)
            watching = self._watch_in_thread if by_thread else self._watch_child
            return await processes.start(self, watching, *arguments, **options)
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
                watcher.add_child_handler(pid, self._child_watcher_callback, transport)

            return await processes.start(self, watch, *arguments, **options)

    def _watch_child(self, pid: int, transport: Any) -> None:
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:  # no descriptor left: a thread needs none
            self._watch_in_thread(pid, transport)
            return
        self._children[pidfd] = transport
        transport._pidfd = pidfd
        self._add_reader(pidfd, self._child_ended, pidfd, transport)  # type: ignore[attr-defined]

    def _watch_in_thread(self, pid: int, transport: Any) -> None:
        waiting = threading.Thread(target=self._wait_for_child, args=(pid, transport), name=f"waitpid-{pid}")
        waiting.daemon = True
        waiting.start()

    def _wait_for_child(self, pid: int, transport: Any) -> None:
        """In a thread of its own; the exit code is left to the loop's."""
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        with suppress(RuntimeError):  # the loop was closed
            self.call_soon_threadsafe(self._child_ended, -1, transport)

    def _child_ended(self, pidfd: int, transport: Any) -> None:
        """The child has ended. An interrupt does not keep that from being told: it is told twice, if need be."""
        try:
            self._read_exit_code(transport)
        except BaseException:
            self._read_exit_code(transport)
            raise
        finally:
            if pidfd >= 0:
                self._remove_reader(pidfd)  # type: ignore[attr-defined]
                self._children.pop(pidfd, None)
            transport._give_number_back()

    def _read_exit_code(self, transport: Any) -> None:
        pid = transport.get_pid()
        code = exit_code(transport._pidfd, pid, transport._proc, keep=True)
        transport._is_zombie = code is not None
        if code is None:
            code = READ_BY_OTHERS
            log.logger.warning("child process pid %d exit status already read:  will report returncode 255", pid)
        self._child_watcher_callback(pid, code, transport)

    def _child_watcher_callback(self, pid: int, returncode: int, transport: Any) -> None:
        # A watcher of the program's own finds nothing to read where asyncio's transport has asked a `Popen` before.
        if returncode == READ_BY_OTHERS and transport._proc is not None:
            returncode = transport._proc.returncode or returncode
        super()._child_watcher_callback(pid, returncode, transport)  # type: ignore[misc]

    def close(self) -> None:
        super().close()
        while self._children:  # who they belong to has them waited for, when another child is started
            self._children.popitem()[1]._let_go()
