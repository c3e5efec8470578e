"""What a fuse can wait for in the world: a readable or writable descriptor, a signal, a child process.

Each function here arms a fuse (`fuse.burn` when it happens) and gives it what lets go again (`fuse._release`).
Several fuses may wait for the same thing. Packets live in `fate.net.packet`, time in `fate.core`.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fate.core.fuse import Fuse
from fate.errors import SourceError, source_error
from fate.net.children import exit_code
from fate.net.poll import watchers

if TYPE_CHECKING:
    from fate.core.handle import Handle
    from fate.loop import Fate

INT_LIMIT = 2**31  # what C calls an int ends before it: descriptors and process ids


class Shared:
    """The fuses that wait for one thing: a descriptor's direction, or a signal."""

    def __init__(self, disarm: Callable[[], object]) -> None:
        self.disarm = disarm
        self.fuses: dict[Fuse, Any] = {}
        self.sources: dict[int, tuple[Any, dict[Fuse, None]]] = {}  # the files, by id, and who waits for each

    def join(self, fuse: Fuse, source: Any) -> None:
        """Let `fuse` wait too."""
        self.fuses[fuse] = source
        if not isinstance(source, int):
            self.sources.setdefault(id(source), (source, {}))[1][fuse] = None

    def leave(self, fuse: Fuse) -> None:
        """It waits no longer."""
        key = id(self.fuses.pop(fuse, None))
        if key in self.sources:
            waiting = self.sources[key][1]
            waiting.pop(fuse, None)
            if not waiting:
                del self.sources[key]

    def burn(self) -> None:
        try:
            self._burn()
        except BaseException:  # an interrupt: a signal comes once, and all that wait for it shall hear of it
            self._burn()
            raise

    def _burn(self) -> None:
        for fuse, value in list(self.fuses.items()):
            if not fuse.is_over():
                fuse.burn(value)

    def fail_closed(self, fd: int) -> None:
        """Fail the fuses whose file was closed while they waited: its number is another file's now."""
        for source, waiting in list(self.sources.values()):
            if _number(source) != fd:
                for fuse in list(waiting):
                    fuse.fail(SourceError(0, f"{source!r} was closed while {fuse!r} waited for it"))


Arm = Callable[[Shared], Callable[[], object]]  # starts waiting, and gives what stops it


def attach(fate: Fate, fuse: Fuse, kind: str, source: Any) -> None:
    """Arm `fuse` for `source`; `kind` is "readable", "writable", "signal" or "process".

    Raises SourceError if it cannot be waited for; the fuse is cancelled then.
    """
    fuse.what = f"{kind}={source!r}"
    try:
        _KINDS[kind](fate, fuse, source)
    except BaseException:
        fuse.cancel()
        raise


def _share(fate: Fate, fuse: Fuse, key: tuple[str, int], value: Any, arm: Arm) -> None:
    """Let `fuse` wait under `key`; the first one there arms it, the last one to leave disarms it."""
    shared = fate._sources.get(key)
    if shared is not None:
        shared.fail_closed(key[1])
        shared = fate._sources.get(key)
    if shared is None:
        shared = Shared(lambda: None)
        shared.disarm = arm(shared)
        fate._sources[key] = shared
    shared.join(fuse, value)

    def release() -> None:
        shared.leave(fuse)
        if not shared.fuses and fate._sources.get(key) is shared:
            shared.disarm()  # first: an interrupt may have it done twice, and shall not have it left out
            fate._sources.pop(key, None)

    fuse._release = release


def _readable(fate: Fate, fuse: Fuse, source: Any) -> None:
    fd = _descriptor(source)

    def arm(shared: Shared) -> Callable[[], object]:
        if watchers(fate._poll, fd)[0] is not None:
            raise SourceError(0, f"cannot wait until {source!r} is readable: somebody else reads from it on this loop")
        handle = _ready(fate, fate._add_reader, fd, shared, source)
        return lambda: _disarm(fate, fate._poll.drop_reader, fd, handle)

    _share(fate, fuse, ("readable", fd), source, arm)


def _writable(fate: Fate, fuse: Fuse, source: Any) -> None:
    fd = _descriptor(source)

    def arm(shared: Shared) -> Callable[[], object]:
        if watchers(fate._poll, fd)[1] is not None:
            raise SourceError(0, f"cannot wait until {source!r} is writable: somebody else writes to it on this loop")
        handle = _ready(fate, fate._add_writer, fd, shared, source)
        return lambda: _disarm(fate, fate._poll.drop_writer, fd, handle)

    _share(fate, fuse, ("writable", fd), source, arm)


def _number(source: Any) -> Any:
    """What `source` has for a descriptor; -1 for one that is closed."""
    try:
        return source.fileno()
    except (AttributeError, ValueError, OSError):
        return -1


def _descriptor(source: Any) -> int:
    try:
        fd = source if isinstance(source, int) else source.fileno()
    except (AttributeError, ValueError, OSError) as error:
        raise SourceError(0, f"cannot wait for {source!r}: it is no descriptor, and has none") from error
    if isinstance(fd, bool) or not isinstance(fd, int) or not 0 <= fd < INT_LIMIT:
        raise SourceError(0, f"cannot wait for {source!r}: its descriptor is {fd!r}; is it closed?")
    return fd


def _ready(fate: Fate, add: Callable[..., Handle], fd: int, shared: Shared, source: Any) -> Handle:
    try:
        fate._ensure_fd_no_transport(fd)
        return add(fd, shared.burn)
    except PermissionError as error:
        raise SourceError(
            error.errno, f"cannot wait for {source!r}: a regular file is always ready, just read or write it"
        ) from error
    except OSError as error:
        raise source_error(error, f"wait for {source!r}") from error
    except RuntimeError as error:
        raise SourceError(0, f"cannot wait for {source!r}: {error}") from error


def _disarm(fate: Fate, drop: Callable[[int, Handle], None], fd: int, handle: Handle) -> None:
    """By the handle: if the file was closed, the number may be another's, who goes on waiting."""
    if not fate.is_closed():
        drop(fd, handle)
    handle.cancel()


def _signal(fate: Fate, fuse: Fuse, number: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int):
        raise SourceError(0, f"cannot wait for signal {number!r}: give its number, such as signal.SIGHUP")

    def arm(shared: Shared) -> Callable[[], object]:
        if number in fate._signal_handlers:
            raise SourceError(0, f"cannot wait for signal {number!r}: it has a handler on this loop already")
        try:
            fate.add_signal_handler(number, shared.burn)
        except (RuntimeError, ValueError, TypeError) as error:
            hint = (
                "" if threading.current_thread() is threading.main_thread() else "; only the main thread gets signals"
            )
            raise SourceError(0, f"cannot wait for signal {number!r}: {error}{hint}") from error
        handle = fate._signal_handlers.get(number)  # none in a universe

        def disarm() -> None:
            if fate._signal_handlers.get(number) is handle:  # else another has taken its place
                fate.remove_signal_handler(number)

        return disarm

    _share(fate, fuse, ("signal", number), number, arm)


def _process(fate: Fate, fuse: Fuse, child: Any) -> None:
    if isinstance(child, asyncio.subprocess.Process):
        _wait_as_asyncio(fate, fuse, child)
        return
    if isinstance(child, subprocess.Popen) and child.poll() is not None:  # its process id may be another's by now
        fate.call_soon(_burn_unless_over, fuse, child.returncode)
        return
    pid = child.pid if isinstance(child, subprocess.Popen) else child
    if isinstance(pid, bool) or not isinstance(pid, int) or not 0 < pid < INT_LIMIT:
        raise SourceError(0, f"cannot wait for process {child!r}: give a process id, a Popen or an asyncio Process")
    if hasattr(os, "pidfd_open"):
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            raise source_error(error, f"wait for process {pid}") from error

        opened = True

        def release() -> None:  # perhaps twice, if an interrupt came
            nonlocal opened
            fate._remove_reader(pidfd)
            if opened:
                opened = False; os.close(pidfd)  # noqa: E702  # fmt: skip  # nothing comes between them

        codes: list[int | None] = []

        def ended() -> None:  # perhaps again, if an interrupt came: so the code is kept before it is read away
            if not codes:
                popen = child if isinstance(child, subprocess.Popen) else None
                codes.append(exit_code(pidfd, pid, popen, keep=True))
            exit_code(pidfd, pid)
            fuse.burn(codes[0])

        fuse._release = release
        fate._add_reader(pidfd, ended)
        return

    def wait() -> None:
        code = _exit_code(child)
        try:
            fate.call_soon_threadsafe(_burn_unless_over, fuse, code)
        except RuntimeError:
            pass  # the loop was closed meanwhile

    threading.Thread(target=wait, name=f"fate waits for process {pid}", daemon=True).start()


def _wait_as_asyncio(fate: Fate, fuse: Fuse, child: asyncio.subprocess.Process) -> None:
    task = fate.create_task(child.wait())

    def done(task: asyncio.Task[int]) -> None:
        if task.cancelled() or fuse.is_over():
            return
        error = task.exception()
        if error is None:
            fuse.burn(task.result())
        else:
            fuse.fail(SourceError(0, f"cannot wait for {child!r}: {error}"))

    task.add_done_callback(done)
    fuse._release = task.cancel


def _burn_unless_over(fuse: Fuse, value: Any) -> None:
    if not fuse.is_over():
        fuse.burn(value)


def _exit_code(child: Any) -> int | None:
    """Wait for a child and give its exit code; None if it is not ours, or somebody else was told."""
    if isinstance(child, subprocess.Popen):
        return child.wait()
    try:
        _, status = os.waitpid(child, 0)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status)


_KINDS = {
    "readable": _readable,
    "writable": _writable,
    "signal": _signal,
    "process": _process,
}
