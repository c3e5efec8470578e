"""How Fate waits for descriptors: which handle wants to know when one is readable or writable.

`EpollPoll` asks Linux's epoll itself, level-triggered and with nanosecond timeouts. `SelectorPoll` does the same on
any `selectors.BaseSelector`: kqueue on macOS, or a simulated kernel. Both append the handles to the engine's queue.
Neither reads or writes a byte.
"""

from __future__ import annotations

import selectors
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fate._native import Epoll
from fate.core.engine import Poll
from fate.core.handle import Handle

EPOLLIN = 0x001
EPOLLOUT = 0x004


class Watch:
    """One descriptor: the mask that the kernel knows, the handle for each direction, and what came last."""

    __slots__ = ("events", "fd", "mask", "reader", "writer")

    if TYPE_CHECKING:
        reader: Handle | None
        writer: Handle | None

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.mask = 0
        self.events = 0
        self.reader = None
        self.writer = None


def watchers(poll: Any, fd: int) -> tuple[Handle | None, Handle | None]:
    """Who waits for `fd` with `poll`: reader and writer."""
    try:
        key = poll.get_key(fd)
    except KeyError:
        return None, None
    reader, writer = key.data
    return reader, writer


class EpollPoll(Poll):
    """Waits by epoll. Descriptors are integers; errors of the kernel come out as OSError."""

    def __init__(self) -> None:
        self._epoll = Epoll()
        self._watches: dict[int, Watch] = {}
        self.closed = False

    def poll(self, timeout_ns: int, ready: list[Handle]) -> int:
        """Wait up to `timeout_ns` (0: do not wait; negative: for ever); append the handles of what came to `ready`."""
        count = self._epoll.wait(timeout_ns)
        for index in range(count):
            watch = self._watches.get(self._epoll.fd(index))
            if watch is None:
                continue
            events = watch.events = self._epoll.events(index)
            # An error or a hang-up concerns whoever is there, as in the standard library's selectors.
            handle = watch.reader
            if handle is not None and events & ~EPOLLOUT:
                ready.append(handle)
                if handle is watch.writer:  # one handle for both: once is enough
                    continue
            handle = watch.writer
            if handle is not None and events & ~EPOLLIN:
                ready.append(handle)
        return count

    def events(self, fd: int) -> int:
        """What came last for `fd`, as epoll's bits; 0 if it is not watched."""
        watch = self._watches.get(fd)
        return 0 if watch is None else watch.events

    def _update(self, watch: Watch) -> int:
        """Tell the kernel what is wanted of `watch` now."""
        mask = 0
        if watch.reader is not None:
            mask |= EPOLLIN
        if watch.writer is not None:
            mask |= EPOLLOUT
        if mask == watch.mask:
            return 0
        if mask == 0:
            del self._watches[watch.fd]
            try:
                self._epoll.unregister(watch.fd)
            except OSError:
                pass  # closed already: the kernel forgot it by itself
        elif watch.mask == 0:
            try:
                self._epoll.register(watch.fd, mask)
            except FileExistsError:
                self._epoll.modify(watch.fd, mask)
            self._watches[watch.fd] = watch
        else:
            try:
                self._epoll.modify(watch.fd, mask)
            except FileNotFoundError:  # closed behind our back, and the number was given to another file
                self._epoll.register(watch.fd, mask)
            except OSError:
                if mask & ~watch.mask:
                    raise
                # closed behind our back: nothing to take away
        watch.mask = mask
        return 0

    def _watch(self, fd: int) -> Watch:
        if self.closed:
            raise ValueError("the poll is closed")
        watch = self._watches.get(fd)
        return Watch(fd) if watch is None else watch

    def set_reader(self, fd: int, handle: Handle | None) -> Handle | None:
        """Have `handle` queued whenever `fd` is readable; None: nobody. Returns the one before, not cancelled."""
        watch = self._watch(fd)
        before = watch.reader
        watch.reader = handle
        try:
            self._update(watch)
        except BaseException:
            watch.reader = before
            raise
        return before

    def set_writer(self, fd: int, handle: Handle | None) -> Handle | None:
        """Have `handle` queued whenever `fd` is writable; None: nobody. Returns the one before, not cancelled."""
        watch = self._watch(fd)
        before = watch.writer
        watch.writer = handle
        try:
            self._update(watch)
        except BaseException:
            watch.writer = before
            raise
        return before

    def add_reader(self, fd: int, handle: Handle) -> None:
        """Have `handle` queued whenever `fd` is readable; the one it replaces is cancelled."""
        before = self.set_reader(fd, handle)
        if before is not None:
            before.cancel()

    def add_writer(self, fd: int, handle: Handle) -> None:
        """Have `handle` queued whenever `fd` is writable; the one it replaces is cancelled."""
        before = self.set_writer(fd, handle)
        if before is not None:
            before.cancel()

    def remove_reader(self, fd: int) -> bool:
        """Let go of `fd`'s reader; say whether there was one."""
        watch = self._watches.get(fd)
        if watch is None or watch.reader is None:
            return False
        watch.reader.cancel()
        watch.reader = None
        self._update(watch)
        return True

    def remove_writer(self, fd: int) -> bool:
        """Let go of `fd`'s writer; say whether there was one."""
        watch = self._watches.get(fd)
        if watch is None or watch.writer is None:
            return False
        watch.writer.cancel()
        watch.writer = None
        self._update(watch)
        return True

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """What is watched of a descriptor or file object, as selectors have it; its data is (reader, writer).

        Raises KeyError if nothing is.
        """
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        watch = self._watches[fd]
        mask = (selectors.EVENT_READ if watch.reader else 0) | (selectors.EVENT_WRITE if watch.writer else 0)
        return selectors.SelectorKey(fd, fd, mask, (watch.reader, watch.writer))

    def get_map(self) -> Mapping[int, selectors.SelectorKey]:
        """The watched descriptors: fd to key."""
        return {fd: self.get_key(fd) for fd in self._watches}

    def close(self) -> None:
        """Give the descriptor of the epoll back. A second call does nothing."""
        self.closed = True
        self._watches.clear()
        self._epoll.close()


class SelectorPoll(Poll):
    """Waits by any selector of the standard library's kind."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self.selector = selector
        self._events: dict[int, int] = {}

    def poll(self, timeout_ns: int, ready: list[Handle]) -> int:
        """Wait up to `timeout_ns` (0: do not wait; negative: for ever); append the handles of what came to `ready`."""
        timeout = None if timeout_ns < 0 else timeout_ns / 1e9
        events = self.selector.select(timeout)
        for key, mask in events:
            reader, writer = key.data
            self._events[key.fd] = (EPOLLIN if mask & selectors.EVENT_READ else 0) | (
                EPOLLOUT if mask & selectors.EVENT_WRITE else 0
            )
            if mask & selectors.EVENT_READ and reader is not None:
                ready.append(reader)
                if reader is writer:
                    continue
            if mask & selectors.EVENT_WRITE and writer is not None:
                ready.append(writer)
        return len(events)

    def events(self, fd: int) -> int:
        """What came last for `fd`, as the bits for reading and writing that epoll has; 0 if nothing did."""
        return self._events.get(fd, 0)

    def _handles(self, fd: int) -> tuple[Handle | None, Handle | None]:
        try:
            key = self.selector.get_key(fd)
        except KeyError:
            return None, None
        reader, writer = key.data
        return reader, writer

    def _update(self, fd: int, known: bool, reader: Handle | None, writer: Handle | None) -> None:
        mask = (selectors.EVENT_READ if reader else 0) | (selectors.EVENT_WRITE if writer else 0)
        if not mask:
            self.selector.unregister(fd)
            self._events.pop(fd, None)
        elif known:
            self.selector.modify(fd, mask, (reader, writer))
        else:
            self.selector.register(fd, mask, (reader, writer))

    def set_reader(self, fd: int, handle: Handle | None) -> Handle | None:
        """Have `handle` queued whenever `fd` is readable; None: nobody. Returns the one before, not cancelled."""
        reader, writer = self._handles(fd)
        if handle is not reader:
            self._update(fd, bool(reader or writer), handle, writer)
        return reader

    def set_writer(self, fd: int, handle: Handle | None) -> Handle | None:
        """Have `handle` queued whenever `fd` is writable; None: nobody. Returns the one before, not cancelled."""
        reader, writer = self._handles(fd)
        if handle is not writer:
            self._update(fd, bool(reader or writer), reader, handle)
        return writer

    def add_reader(self, fd: int, handle: Handle) -> None:
        """Have `handle` queued whenever `fd` is readable; the one it replaces is cancelled."""
        before = self.set_reader(fd, handle)
        if before is not None:
            before.cancel()

    def add_writer(self, fd: int, handle: Handle) -> None:
        """Have `handle` queued whenever `fd` is writable; the one it replaces is cancelled."""
        before = self.set_writer(fd, handle)
        if before is not None:
            before.cancel()

    def remove_reader(self, fd: int) -> bool:
        """Let go of `fd`'s reader; say whether there was one."""
        reader, writer = self._handles(fd)
        if reader is None:
            return False
        self._update(fd, True, None, writer)
        reader.cancel()
        return True

    def remove_writer(self, fd: int) -> bool:
        """Let go of `fd`'s writer; say whether there was one."""
        reader, writer = self._handles(fd)
        if writer is None:
            return False
        self._update(fd, True, reader, None)
        writer.cancel()
        return True

    def get_key(self, fd: int) -> selectors.SelectorKey:
        """The selector's key of `fd`; its data is (reader, writer). KeyError if it is not watched."""
        return self.selector.get_key(fd)

    def get_map(self) -> Mapping[int, selectors.SelectorKey]:
        """The selector's map."""
        mapping: Any = self.selector.get_map()
        return mapping or {}

    def close(self) -> None:
        """Close the selector."""
        self.selector.close()
