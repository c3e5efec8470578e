"""The simulated kernel: virtual time, what will happen when, and who waits for which descriptor.

Time is one integer, nanoseconds since the universe began. It passes only where a kernel lets a program wait: while a
loop polls, a thread sleeps or a blocking call waits. What will happen is a heap of (when, number, action, argument);
what happens at the same time happens in the order in which it was decided.

`Poll` is what a Fate polls: the engine's interface, so that no call of Python's stands between a socket that became
readable and the handle that waits for it. What an `End` of a connection does lives in `stream` and `datagram`; who
else may run while somebody waits (other hosts, other threads) is told by `Waits`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from fate.core.engine import Poll as EnginePoll
from fate.core.handle import Handle
from fate.sim.decisions import Decisions
from fate.sim.states import FREE_LOOKS, FREE_TURNS, IN, NEVER, OUT, PART_OF_SPIN, SPIN_NS

STEPS = 50_000  # after so many steps of time garbage is collected: at the same moment in every run of a seed
NO_OPTIONS: dict[tuple[int, int], Any] = {}
FIRST_SPINS, FIRST_SPIN_NS = 4, 110_000  # but for the first, which have the engine poll that often (`Engine._look`)
LONG_SPIN = 1024  # after so many it is looked at, every LOOK_AT polls, whether anything changes
LOOK_AT = 16
LOOK_NS = 1000  # a read costs so much then, and more where there are hundreds of thousands


class End:
    """One open socket as the kernel sees it: what it is ready for, and who wants to know."""

    if TYPE_CHECKING:
        kernel: Kernel
        watches: list[Watch]
        host: Any
        options: dict[
            tuple[int, int], Any
        ]  # what was set; never changed, but replaced: a listener's are its children's

    def __init__(self, kernel: Kernel, host: Any) -> None:
        self.kernel = kernel
        self.host = host
        self.watches = []
        self.options = NO_OPTIONS

    def raise_if_gone(self) -> int:
        """Raise if it has no descriptor any more: `traffic.Gone`, which stands in its place then, does."""
        return 0

    def read_ended(self) -> bool:
        """Whether nothing can come any more, as POLLRDHUP tells it."""
        return False

    def mask(self) -> int:
        """What it is ready for, as epoll's bits."""
        return 0

    def take(self, item: tuple[Any, ...]) -> int:
        """Something has come, see `Kernel.bring`."""
        raise NotImplementedError

    def changed(self) -> int:
        """Have everybody who watches it look again."""
        for watch in self.watches:
            if not watch.listed:
                watch.listed = True
                watch.poll.hot.append(watch)
        if self.kernel.waits is not None:
            self.kernel.waits.changed(self)
        return 0


class Watch:
    """One descriptor in one poll: who reads, who writes, and whether it is among those to look at."""

    __slots__ = ("end", "events", "fd", "listed", "poll", "reader", "writer")

    if TYPE_CHECKING:
        reader: Handle | None
        writer: Handle | None

    def __init__(self, poll: Poll, fd: int, end: End) -> None:
        self.poll = poll
        self.fd = fd
        self.end = end
        self.reader = None
        self.writer = None
        self.listed = False
        self.events = 0


class Waits:
    """Who else lives in the universe, as far as the kernel needs it: other hosts and other threads."""

    def changed(self, end: End) -> None:
        """`end` may be ready now."""

    def run_others(self) -> bool:
        """Give everybody else who can go on a turn; say whether anybody did anything."""
        return False

    def next_wake(self) -> int:
        """When the first of them wants to go on, in nanoseconds; NEVER: none does."""
        return NEVER

    def stuck(self) -> bool:
        """Nothing can happen any more, says the waiter: raise, or return True if it can after all."""
        return False


class Kernel:
    """The clock and the future of one universe.

    decisions: chance. limit: the virtual time at which the universe is given up, in nanoseconds.
    """

    if TYPE_CHECKING:
        waits: Waits | None
        history: list[tuple[Any, ...]] | None

    def __init__(self, decisions: Decisions, limit: int) -> None:
        self.now = 0
        self.decisions = decisions
        self.limit = limit
        self.order = 0.0  # the probability that what is ready at the same time comes in another order
        self.ends: dict[int, End] = {}
        self.waits = None
        self.history = None
        self.idle_polls = 0
        self.steps = 0  # how often time has passed
        self.most_steps = NEVER  # the universe is given up after so many
        self._heap: list[tuple[int, int, Any, Any]] = []  # of actions, and of ends to bring something to
        self._number = 0
        self.looks = 0  # how often the clock was read since time has passed
        self.spin_until = NEVER  # when what spins may find that something has changed
        self._spin_ns = SPIN_NS
        self._spun_from = 0
        self.on_spin: Callable[[], bool] | None = None  # says whether nothing has changed, and sets `spin_until`
        self.on_limit: Callable[[], object] | None = None  # both raise
        self.on_stuck: Callable[[], object] | None = None

    def read_clock(self) -> int:
        """The present virtual time in nanoseconds. Who reads it all the time, waits: time passes, as on a machine."""
        self.looks += 1
        if self.looks > FREE_LOOKS:
            self.now += LOOK_NS + self.looks // 200
        return self.now

    def at(self, when: int, action: Callable[[Any], object], argument: Any) -> int:
        """Have `action(argument)` called at `when`, after all that was put there before."""
        self._number += 1
        heappush(self._heap, (when, self._number, action, argument))
        return 0

    def bring(self, when: int, end: End, item: tuple[Any, ...]) -> int:
        """Have `end.take(item)` called at `when`, after all that was put there before."""
        self._number += 1
        heappush(self._heap, (when, self._number, end, item))
        return 0

    def run_due(self) -> int:
        """Let everything happen that is due; say how much that was."""
        heap = self._heap
        count = 0
        while heap:
            entry = heap[0]
            when: int = entry[0]
            if when > self.now:
                break
            heappop(heap)
            action = entry[2]
            if isinstance(action, End):
                end = action
                end.take(entry[3])
            else:
                action(entry[3])
            count += 1
        return count

    def next_event(self) -> int:
        """When the next thing happens; NEVER: nothing will."""
        if not self._heap:
            return NEVER
        when: int = self._heap[0][0]
        return when

    def go_to(self, when: int) -> int:
        """Let time pass until `when`."""
        if when > self.limit or self.steps >= self.most_steps:
            self.now = min(when, self.limit)
            if self.on_limit is not None:
                self.on_limit()
        if when > self.now:
            self.now = when
            self.looks = 0
            self.steps += 1
            if self.steps % STEPS == 0:
                gc.collect(1)
        return 0

    def spin(self) -> int:
        """Somebody has polled and did not wait: after a while that takes time, as it does on a machine."""
        self.idle_polls += 1
        spins = self.idle_polls - FREE_TURNS
        if spins <= 0:
            return 0
        if spins <= FIRST_SPINS:
            self._spin_ns, self._spun_from = SPIN_NS, self.now
            self.go_to(self.now + FIRST_SPIN_NS)
            return 0
        if spins > LONG_SPIN and spins % LOOK_AT == 0 and self.on_spin is not None:
            longer = max(SPIN_NS, min(self._spin_ns * 5 // 4, (self.now - self._spun_from) // PART_OF_SPIN))
            self._spin_ns = longer if self.on_spin() else SPIN_NS
        when = self.now + self._spin_ns
        if self._spin_ns > SPIN_NS:
            next_event = min(self.next_event(), self.spin_until)
            if next_event <= self.now:  # it happens before the next look
                self._spin_ns, when = SPIN_NS, self.now + SPIN_NS
            elif next_event < when:
                when = next_event
        self.go_to(when)
        return 0

    def forget(self) -> int:
        """Drop the future: the universe has ended."""
        self._heap.clear()
        self.ends.clear()
        self.waits = None
        self.on_limit = self.on_stuck = self.on_spin = None
        return 0


class Poll(EnginePoll):
    """How a Fate waits in a universe.

    boot_ns: what its host's monotonic clock is ahead of the universe's.
    driven: this loop is not the one that lets time pass: it notes until when it would sleep, in `wake`, and returns.
    """

    if TYPE_CHECKING:
        hot: list[Watch]

    def __init__(self, kernel: Kernel, label: str, driven: bool, boot_ns: int) -> None:
        self.kernel = kernel
        self.boot_ns = boot_ns
        self.label = "order " + label
        self.driven = driven
        self.hot = []
        self.watches: dict[int, Watch] = {}
        self.woken = False
        self.asleep = False
        self.wake = 0
        self.closed = False

    def read_clock(self) -> int:
        """The host's monotonic clock, in nanoseconds."""
        return self.kernel.read_clock() + self.boot_ns

    def poll(self, timeout_ns: int, ready: list[Handle]) -> int:
        """Wait up to `timeout_ns` (0: do not wait; negative: for ever); append the handles of what came to `ready`."""
        kernel = self.kernel
        if self.driven:
            return self._poll_driven(timeout_ns, ready)
        if timeout_ns == 0:
            if kernel.waits is not None:
                kernel.waits.run_others()
            kernel.spin()
        if kernel._heap:
            kernel.run_due()
        count = self._collect(ready) if self.hot else 0
        if count:
            kernel.idle_polls = 0
            return count
        if timeout_ns == 0 or self.woken:
            self.woken = False
            return 0
        kernel.idle_polls = 0
        deadline = kernel.now + timeout_ns if timeout_ns > 0 else NEVER
        count = self._wait(deadline, ready)
        self.woken = False
        return count

    def _wait(self, deadline: int, ready: list[Handle]) -> int:
        kernel = self.kernel
        while True:
            others = kernel.waits is not None and kernel.waits.run_others()
            if self.hot:
                count = self._collect(ready)
                if count:
                    return count
            if self.woken or kernel.now >= deadline:
                return 0
            if others:
                continue
            when = kernel.next_event()
            if kernel.waits is not None:
                wake = kernel.waits.next_wake()
                if wake < when:
                    when = wake
            if deadline < when:
                when = deadline
            if when == NEVER:
                if kernel.waits is None or not kernel.waits.stuck():
                    kernel.on_stuck()  # type: ignore[misc]
                continue
            kernel.go_to(when)
            kernel.run_due()

    def _poll_driven(self, timeout_ns: int, ready: list[Handle]) -> int:
        count = self._collect(ready) if self.hot else 0
        if count or timeout_ns == 0 or self.woken:
            self.woken = False
            self.asleep = False
            return count
        self.asleep = True
        self.wake = self.kernel.now + timeout_ns if timeout_ns > 0 else NEVER
        return 0

    def _collect(self, ready: list[Handle]) -> int:
        """Append the handles of what is ready; those that are stay on the list, for readiness is level-triggered."""
        kernel = self.kernel
        hot = self.hot
        keep: list[Watch] = []
        self.hot = keep
        count = 0
        for watch in hot:
            mask = watch.end.mask()
            found = False
            reader = watch.reader
            if reader is not None and mask & ~OUT:
                found = True
            writer = watch.writer
            if writer is not None and mask & ~IN:
                found = True
            if found:
                watch.events = mask
                keep.append(watch)
                count += 1
            else:
                watch.listed = False
        if count > 1 and kernel.order > 0.0:
            keep = self._shuffle(keep)
        for watch in keep:
            reader = watch.reader
            if reader is not None and watch.events & ~OUT:
                ready.append(reader)
                if reader is watch.writer:
                    continue
            writer = watch.writer
            if writer is not None and watch.events & ~IN:
                ready.append(writer)
        return count

    def _shuffle(self, keep: list[Watch]) -> list[Watch]:
        """The same in an order that was decided: nothing says which of several ready descriptors comes first."""
        count = len(keep)
        orders = 1
        for size in range(2, min(count, 12) + 1):
            orders *= size
        value = self.kernel.decisions.decide(self.label, orders, self.kernel.order, self.kernel.now)
        if value == 0:
            return keep
        rest = list(keep)
        shuffled: list[Watch] = []
        for size in range(min(count, 12), 0, -1):  # the digits of `value` in the factorial number system
            shuffled.append(rest.pop(value % size))
            value //= size
        return shuffled + rest

    def events(self, fd: int) -> int:
        """What came last for `fd`, as epoll's bits; 0 if nothing did."""
        watch = self.watches.get(fd)
        return 0 if watch is None else watch.events

    def _watch(self, fd: int) -> Watch:
        if self.closed:
            raise ValueError("the poll is closed")
        watch = self.watches.get(fd)
        if watch is None:
            end = self.kernel.ends.get(fd)
            if end is None:
                raise _foreign(fd)
            watch = self.watches[fd] = Watch(self, fd, end)
            end.watches.append(watch)
        return watch

    def _settle(self, watch: Watch) -> int:
        """Somebody wants `watch` or no longer does."""
        if watch.reader is None and watch.writer is None:
            self.watches.pop(watch.fd, None)
            if watch in watch.end.watches:
                watch.end.watches.remove(watch)
        elif not watch.listed:
            watch.listed = True
            self.hot.append(watch)
        return 0

    def set_reader(self, fd: int, handle: Handle | None) -> Handle | None:
        """Have `handle` queued whenever `fd` is readable; None: nobody. Returns the one before, not cancelled."""
        if handle is None and fd not in self.watches:
            return None
        watch = self._watch(fd)
        before = watch.reader
        watch.reader = handle
        self._settle(watch)
        return before

    def set_writer(self, fd: int, handle: Handle | None) -> Handle | None:
        """Have `handle` queued whenever `fd` is writable; None: nobody. Returns the one before, not cancelled."""
        if handle is None and fd not in self.watches:
            return None
        watch = self._watch(fd)
        before = watch.writer
        watch.writer = handle
        self._settle(watch)
        return before

    def forget(self, watch: Watch) -> int:
        """The descriptor was closed: as with epoll, nobody waits for it any more."""
        watch.reader = watch.writer = None
        return self._settle(watch)

    def get_key(self, fileobj: Any) -> Any:
        """What is watched of a descriptor, as selectors have it; its data is (reader, writer). KeyError if nothing."""
        import selectors

        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        watch = self.watches[fd]
        mask = (selectors.EVENT_READ if watch.reader else 0) | (selectors.EVENT_WRITE if watch.writer else 0)
        return selectors.SelectorKey(fd, fd, mask, (watch.reader, watch.writer))

    def get_map(self) -> dict[int, Any]:
        """The watched descriptors: fd to key."""
        return {fd: self.get_key(fd) for fd in self.watches}

    def close(self) -> None:
        """Let go of everything. A second call does nothing."""
        self.closed = True
        for watch in self.watches.values():
            if watch in watch.end.watches:
                watch.end.watches.remove(watch)
        self.watches.clear()
        self.hot = []


def _foreign(fd: int) -> Exception:
    from fate.sim.errors import unsimulated

    return unsimulated(
        f"waiting for the real descriptor {fd}", "sockets and socket pairs that are made inside the universe work"
    )
