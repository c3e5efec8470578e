"""How Fate waits for descriptors: which handle wants to know when one is readable or writable.

`EpollPoll` asks Linux's epoll itself, with nanosecond timeouts; level-triggered but for sources (`set_source`).
`SelectorPoll` does the same on any `selectors.BaseSelector`: kqueue on macOS, or a simulated kernel. Both append the
handles to the engine's queue. Neither reads or writes a byte.

A number outlives its file. Whoever waits is trusted for as long as the kernel knows the file that it waits for: when
somebody comes to a number where others are, the kernel is asked, and if it has forgotten the file, so are they. And a
handle is let go of by the handle (`drop_reader`), since the number may be another's by then.
"""

from __future__ import annotations

import selectors
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fate._native import Epoll, clock_ns
from fate.core.engine import Poll
from fate.core.handle import Handle
from fate.net._calls import fd_of_file

SPIN_LEAST = 1000  # nanoseconds; less is not worth the while
VAIN = 8  # after a try to read that was in vain so many are left out
EPOLLIN = 0x001
EPOLLOUT = 0x004
MORE = 0x2000 | 0x002 | 0x008 | 0x010  # EPOLLRDHUP, EPOLLPRI, EPOLLERR, EPOLLHUP: read on, though little came
EDGE = 1 << 31 | 0x2000 | 0x002  # EPOLLET, EPOLLRDHUP, EPOLLPRI


class Watch:
    """One descriptor: the mask that the kernel knows, the handle for each direction, and what came last.

    A watch may be *kept*: the kernel still knows it, and nobody waits just now (see `EpollPoll.wait_to_read`).
    """

    __slots__ = ("doubtful", "edge", "events", "fd", "generation", "mask", "owner", "reader", "vain", "writer")

    if TYPE_CHECKING:
        reader: Handle | None
        writer: Handle | None
        owner: weakref.ref[Any] | None

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.mask = 0
        self.edge = False  # the reader need be told once only: it reads until nothing is left
        self.events = 0
        self.generation = 0
        self.reader = None
        self.writer = None
        self.owner = None  # the socket that waited last
        self.vain = 0  # how many of its tries to read before it waits can be left out
        self.doubtful = False  # whether `mask` may be that of a file that was closed meanwhile


def watchers(poll: Any, fd: int) -> tuple[Handle | None, Handle | None]:
    """Who waits for `fd` with `poll`: reader and writer. Those that wait for a file that was closed are forgotten."""
    if isinstance(poll, EpollPoll):
        poll.let_go(fd)
    try:
        key = poll.get_key(fd)
    except KeyError:
        return None, None
    reader, writer = key.data
    return reader, writer


def number_now(poll: Any, file: Any, number: int) -> int:
    """`number`, if it is still that of `file`; -1 if that was closed, and then nobody waits for it any more."""
    if fd_of_file(file) == number or not isinstance(poll, EpollPoll):
        return number
    poll.let_go(number)
    return -1


class EpollPoll(Poll):
    """Waits by epoll. Descriptors are integers; errors of the kernel come out as OSError.

    spin: before it sleeps it looks again and again for up to so many nanoseconds; for fewer or none while that does
        not pay, and then again when it would have.
    """

    def __init__(self, spin: int = 0) -> None:
        self._epoll = Epoll()
        self._spin = spin
        self._spin_now = spin
        self._watches: list[Watch | None] = []  # at the place of its descriptor
        self._generation = 0
        self.closed = False

    def poll(self, timeout_ns: int, ready: list[Handle]) -> int:
        """Wait up to `timeout_ns` (0: do not wait; negative: for ever); append the handles of what came to `ready`."""
        if self._spin and timeout_ns != 0:
            count = self._wait_spinning(timeout_ns, ready)
        else:
            count = self._epoll.wait(timeout_ns)
        haunted = False
        watches = self._watches
        for index in range(count):
            watch = watches[self._epoll.fd(index)]  # nothing is registered that was never there
            if watch is None or self._epoll.generation(index) != watch.generation:
                haunted = True
                continue
            events = watch.events = self._epoll.events(index)
            # An error or a hang-up concerns whoever is there, as in the standard library's selectors.
            handle = watch.reader
            if handle is not None:
                if events & ~EPOLLOUT:
                    ready.append(handle)
                    if watch.edge:
                        handle._index = events & MORE
                    if handle is watch.writer:  # one handle for both: once is enough
                        continue
            elif watch.mask & EPOLLIN and events & ~EPOLLOUT:  # kept, and it would come again and again
                self._update(watch, None)
            handle = watch.writer
            if handle is not None and events & ~EPOLLIN:
                ready.append(handle)
        if haunted:
            self._renew()
        return count

    def _wait_spinning(self, timeout_ns: int, ready: list[Handle]) -> int:
        began = clock_ns()
        if self._spin_now:
            before = len(ready)
            count = self._epoll.spin(self._spin_now if timeout_ns < 0 else min(timeout_ns, self._spin_now))
            if count:
                return count
            self._spin_now >>= 1
            if self._spin_now < SPIN_LEAST:
                self._spin_now = 0
            if len(ready) > before:  # a signal's handler, or another thread
                timeout_ns = 0
            elif timeout_ns > 0:
                timeout_ns = max(0, timeout_ns - (clock_ns() - began))
        count = self._epoll.wait(timeout_ns)
        if count and clock_ns() - began < self._spin:  # spinning would have met it
            self._spin_now = min(self._spin, 2 * self._spin_now + self._spin // 8)
        return count

    def _renew(self) -> int:
        """Begin with a new epoll: the old one tells of a file whose descriptor was closed, but not its duplicates.

        Such a file cannot be taken out of an epoll, and would be told of in every turn.
        """
        try:
            epoll = Epoll()
        except OSError:
            return 0  # no descriptor left: another time
        for watch in [watch for watch in self._watches if watch is not None]:
            self._ask(watch)
        self._epoll.close()
        self._epoll = epoll
        self.watched = 0
        for watch in [watch for watch in self._watches if watch is not None]:
            mask = watch.mask
            watch.mask = 0
            watch.doubtful = False
            try:
                if watch.reader is None and watch.writer is None:
                    self._watches[watch.fd] = None
                elif mask:
                    self._update(watch, None)
            except OSError:
                pass  # it was closed: nothing will come of it
        return 0

    def events(self, fd: int) -> int:
        """What came last for `fd`, as epoll's bits; 0 if it is not watched."""
        watch = self._find(fd)
        return 0 if watch is None else watch.events

    def remind(self) -> None:
        """Tell of all again that sources were told of once: an exception may have kept them from reading."""
        for watch in self._watches:
            if watch is not None and watch.edge and watch.reader is not None and watch.mask:
                try:
                    self._epoll.modify(watch.fd, watch.mask, watch.generation)
                except (OSError, ValueError):
                    pass  # it was closed, or the poll was

    def _ask(self, watch: Watch) -> int:
        """Ask the kernel whether it still watches for `watch`. If not, its file was closed: nobody waits for it."""
        watch.doubtful = True
        return self._update(watch, None)

    def _outdated(self, watch: Watch, newcomer: Handle | None) -> int:
        """Forget who waited with `watch`, for a file that was closed; `newcomer` stays."""
        handle = watch.reader
        if handle is not None and handle is not newcomer:
            watch.reader = None
            watch.edge = False
            handle.cancel()
        handle = watch.writer
        if handle is not None and handle is not newcomer:
            watch.writer = None
            handle.cancel()
        return 0

    def _update(self, watch: Watch, newcomer: Handle | None) -> int:
        """Tell the kernel what is wanted of `watch` now. newcomer: the handle that was put there just now."""
        mask = 0
        if watch.reader is not None:
            mask |= EPOLLIN
        if watch.writer is not None:
            mask |= EPOLLOUT  # level-triggered, both ways: a writer need not try until nothing more is taken
        elif watch.edge:
            mask |= EDGE
        if mask == watch.mask and not watch.doubtful:
            return 0
        if mask == 0:
            self._watches[watch.fd] = None
            try:
                self._epoll.unregister(watch.fd)
            except OSError:
                pass  # closed already: the kernel forgot it by itself
        elif watch.mask == 0:
            self._register(watch, mask)
            self._keep(watch)
        else:
            try:
                self._epoll.modify(watch.fd, mask, watch.generation)
            except FileNotFoundError:  # closed behind our back, and the number was given to another file
                self._outdated(watch, newcomer)
                self.watched -= 1
                watch.mask = 0
                watch.doubtful = False
                return self._update(watch, newcomer)
            except OSError:  # closed behind our back, and nobody has the number: there is nothing to take away
                if newcomer is not None:
                    raise
                if mask == watch.mask:
                    self._outdated(watch, None)
                    self._watches[watch.fd] = None
                    mask = 0
        self.watched += (mask != 0) - (watch.mask != 0)
        watch.mask = mask
        watch.doubtful = False
        return 0

    def _register(self, watch: Watch, mask: int) -> int:
        if self._epoll.tells_generations:
            self._generation = (self._generation + 1) & 0xFFFFFFFF
        generation = self._generation
        try:
            self._epoll.register(watch.fd, mask, generation)
        except FileExistsError:
            self._epoll.modify(watch.fd, mask, generation)
        watch.generation = generation
        return 0

    def _find(self, fd: int) -> Watch | None:
        return self._watches[fd] if 0 <= fd < len(self._watches) else None

    def _keep(self, watch: Watch) -> int:
        lacking = watch.fd + 1 - len(self._watches)
        if lacking > 0:
            self._watches.extend([None] * lacking)
        self._watches[watch.fd] = watch
        return 0

    def _watch(self, fd: int) -> Watch:
        if self.closed:
            raise ValueError("the poll is closed")
        watch = self._find(fd)
        if watch is None:
            return Watch(fd)
        if watch.owner is not None:
            watch.owner = None
            watch.doubtful = True  # whoever comes now need not be who waited last
        return watch

    def _kept(self, sock: Any, fd: int) -> Watch | None:
        """The watch of `fd`, if `sock` was the last to wait there, and the kernel still tells of it."""
        watch = self._find(fd)
        if watch is None or watch.owner is None or watch.owner() is not sock or self.closed:
            return None
        return watch

    def in_vain(self, sock: Any, fd: int) -> bool:
        """Whether `sock`, which is about to read, need not try before it waits: that will be in vain."""
        watch = self._kept(sock, fd)
        if watch is None or watch.vain == 0 or watch.reader is not None or not watch.mask & EPOLLIN or watch.doubtful:
            return False
        watch.vain -= 1
        return True

    def wait_again(self, sock: Any, fd: int, handle: Handle, tried: bool) -> bool:
        """`wait_to_read` if `sock` was the last to wait there. Returns whether it was."""
        watch = self._kept(sock, fd)
        if watch is None:
            return False
        before = watch.reader
        watch.reader = handle
        if before is not None:
            before.cancel()
        try:
            self._update(watch, handle)
        except BaseException:
            watch.reader = None
            raise
        if tried:
            watch.vain = VAIN
        return True

    def wait_to_read(self, sock: Any, fd: int, handle: Handle, tried: bool) -> int:
        """As `add_reader(fd, handle)` for one wait of `sock`, to be ended by `end_reading`.

        The kernel goes on knowing the descriptor between two waits of the same socket, which spares two system calls
        a wait. That is undone when something comes while nobody waits, and when another waits for that number.
        tried: it has just tried to read, in vain.
        """
        self.add_reader(fd, handle)
        if self._epoll.tells_generations:  # else a number that is used again could not be told from the one before
            watch = self._find(fd)
            if watch is not None:
                watch.owner = weakref.ref(sock)
                watch.vain = VAIN if tried else 0
        return 0

    def let_go(self, fd: int) -> int:
        """Nothing is kept of who has waited for `fd`, nor of who waits for a file that was closed: a transport uses it
        from now on."""
        watch = self._find(fd)
        if watch is not None:
            watch.owner = None
            self._ask(watch)
        return 0

    def end_reading(self, fd: int, handle: Handle, keep: bool, more: bool) -> int:
        """`handle`, given to `wait_to_read`, waits no longer.

        keep: its socket is likely to wait again soon; more: but there may be more already.
        """
        watch = self._find(fd)
        if watch is not None and watch.reader is handle:
            watch.reader = None
            if more:
                watch.vain = 0
            if not keep or watch.owner is None:
                self._update(watch, None)
        return 0

    def set_reader(self, fd: int, handle: Handle | None) -> Handle | None:
        """Have `handle` queued whenever `fd` is readable; None: nobody. Returns the one before, not cancelled."""
        return self._read_by(fd, handle, False)

    def set_source(self, fd: int, source: Handle) -> None:
        """Have `source` queued when something has come for the TCP socket `fd`, once for all that has.

        It must read until nothing is left: again, if it got all it asked for, or if its `_index` is not 0: an end, an
        error or urgent data may follow what little came. In return the kernel does not look at each socket a second
        time: edge-triggered, a request of 1 KiB costs 4 % less.
        """
        before = self._read_by(fd, source, True)
        if before is not None and before is not source:
            before.cancel()

    def _read_by(self, fd: int, handle: Handle | None, edge: bool) -> Handle | None:
        if handle is None and self._find(fd) is None:
            return None
        watch = self._watch(fd)
        before = watch.reader
        watch.reader = handle
        watch.edge = edge
        if before is not None and handle is not None and before is not handle:
            watch.doubtful = True  # the file of the one before may have been closed
        try:
            self._update(watch, handle)
        except BaseException:
            watch.reader = before
            raise
        return before

    def drop_reader(self, fd: int, handle: Handle) -> None:
        """Let go of `fd`'s reader if that is `handle`, which is not cancelled: the number may be another's by now."""
        watch = self._find(fd)
        if watch is not None and watch.reader is handle:
            watch.reader = None
            watch.edge = False
            self._update(watch, None)

    def drop_writer(self, fd: int, handle: Handle) -> None:
        """Let go of `fd`'s writer if that is `handle`, which is not cancelled: the number may be another's by now."""
        watch = self._find(fd)
        if watch is not None and watch.writer is handle:
            watch.writer = None
            self._update(watch, None)

    def set_writer(self, fd: int, handle: Handle | None) -> Handle | None:
        """Have `handle` queued whenever `fd` is writable; None: nobody. Returns the one before, not cancelled."""
        if handle is None and self._find(fd) is None:
            return None
        watch = self._watch(fd)
        before = watch.writer
        watch.writer = handle
        if before is not None and handle is not None and before is not handle:
            watch.doubtful = True
        try:
            self._update(watch, handle)
        except BaseException:
            watch.writer = before
            raise
        return before

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """What is watched of a descriptor or file object, as selectors have it; its data is (reader, writer).

        Raises KeyError if nothing is.
        """
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        watch = self._find(fd)
        if watch is None or (watch.reader is None and watch.writer is None):  # kept
            raise KeyError(fd)
        mask = (selectors.EVENT_READ if watch.reader else 0) | (selectors.EVENT_WRITE if watch.writer else 0)
        return selectors.SelectorKey(fd, fd, mask, (watch.reader, watch.writer))

    def get_map(self) -> Mapping[int, selectors.SelectorKey]:
        """The watched descriptors: fd to key."""
        known = [watch for watch in self._watches if watch is not None]
        return {watch.fd: self.get_key(watch.fd) for watch in known if watch.reader or watch.writer}

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
        epoll: Any = getattr(selectors, "EpollSelector", ())
        self._trusts = isinstance(selector, epoll)  # that a number still is the file that it was, if the mask is equal

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

    def _update(self, fd: int, known: bool, reader: Handle | None, writer: Handle | None, replaces: bool) -> bool:
        """Returns False if what is known of `fd` was of a file that was closed: the selector has forgotten it."""
        mask = (selectors.EVENT_READ if reader else 0) | (selectors.EVENT_WRITE if writer else 0)
        if not mask:
            self.selector.unregister(fd)
            self._events.pop(fd, None)
        elif not known:
            self.selector.register(fd, mask, (reader, writer))
        elif replaces and self._trusts:
            self.selector.unregister(fd)
            self.selector.register(fd, mask, (reader, writer))
        else:
            try:
                self.selector.modify(fd, mask, (reader, writer))
            except FileNotFoundError:
                return False
        return True

    def set_reader(self, fd: int, handle: Handle | None) -> Handle | None:
        """Have `handle` queued whenever `fd` is readable; None: nobody. Returns the one before, not cancelled."""
        reader, writer = self._handles(fd)
        if handle is not reader and not self._update(
            fd, bool(reader or writer), handle, writer, bool(handle and reader)
        ):
            if writer is not None:
                writer.cancel()
            if handle is not None:
                self._update(fd, False, handle, None, False)
        return reader

    def set_writer(self, fd: int, handle: Handle | None) -> Handle | None:
        """Have `handle` queued whenever `fd` is writable; None: nobody. Returns the one before, not cancelled."""
        reader, writer = self._handles(fd)
        if handle is not writer and not self._update(
            fd, bool(reader or writer), reader, handle, bool(handle and writer)
        ):
            if reader is not None:
                reader.cancel()
            if handle is not None:
                self._update(fd, False, None, handle, False)
        return writer

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
