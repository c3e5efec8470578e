"""Fate itself: the engine, a poll, and the standard library's asyncio control plane, in one object.

`Fate` is an asyncio event loop. What is hot (turns, handles, timers, readiness) is Fate's own and lives in `core` and
`net`; what is not (servers, connections, TLS, subprocesses, signals, executors, name look-ups) is the standard
library's selector loop, which runs on it unchanged. The private names of asyncio that this leans on are listed in
`STDLIB_NAMES` and tested on each supported Python. On top stands the article's API: fuses.
"""

from __future__ import annotations

import asyncio
import os
import select
import selectors
import signal as signals
import socket
import sys
import threading
import time
import warnings
import weakref
from asyncio import (
    SelectorEventLoop,
    StreamReader,
    StreamReaderProtocol,
    base_events,
    coroutines,
    events,
    format_helpers,
    selector_events,
    sslproto,
    unix_events,
)
from collections import deque
from collections.abc import Callable, Coroutine, Hashable, MutableMapping
from contextlib import suppress
from contextvars import Context
from math import ceil
from typing import TYPE_CHECKING, Any, TypeVar

from fate import running, singletons, sources
from fate._native import compiled, is_instance, own
from fate.core.engine import Engine, Instrument, Poll, Time
from fate.core.fuse import Fuse, check_due, check_seconds
from fate.core.handle import Handle, TimerHandle, show_as
from fate.core.instruments import Instruments
from fate.core.record import Recorder
from fate.core.waiting import Ready, Scheduled
from fate.errors import (
    FuseTimeError,
    LoopClosedError,
    LoopOptionError,
    LoopRunningError,
    WrongThreadError,
    source_error,
)
from fate.makers import Makers
from fate.net.children import ChildCalls
from fate.net.connections import Connections, LateProtocol
from fate.net.datagram import SERVED, DatagramTransport
from fate.net.files import FileCalls
from fate.net.names import NameCalls
from fate.net.poll import EpollPoll, SelectorPoll
from fate.net.signals import Heard, SignalCalls
from fate.net.sockets import SOCKET, SocketCalls

if TYPE_CHECKING:
    from fate.net.packet import Match, PacketFuse
    from fate.net.processes import ChildTransport
    from fate.net.receiver import Receiver

T = TypeVar("T")

CLOSED = -1  # the descriptor of a closed socket; at the end of the interpreter the loop's own may be closed before it
STDLIB_NAMES = {
    SelectorEventLoop: [
        "_add_reader", "_remove_reader", "_add_writer", "_remove_writer", "_ensure_fd_no_transport",
        "_make_self_pipe", "_make_socket_transport", "_make_ssl_transport", "_read_from_self", "_write_to_self",
        "_start_serving", "_accept_connection", "_accept_connection2",
        "_create_connection_transport", "_check_sendfile_params", "_sendfile_fallback", "_sendfile_native",
        "_sock_sendfile_fallback", "_sock_sendfile_native", "_check_callback", "_check_closed", "_check_running",
        "_set_coroutine_origin_tracking", "_asyncgen_firstiter_hook", "_asyncgen_finalizer_hook",
    ],
    selector_events: ["_SelectorSocketTransport"],
    base_events.Server: ["_attach", "_detach"],
    StreamReader: ["_wait_for_data", "_maybe_resume_transport"],
    StreamReaderProtocol: ["_drain_helper", "_stream_reader"],
    sslproto: ["SSLAgainErrors", "SSLProtocolState", "_SSLProtocolTransport"],
    sslproto.SSLProtocol: [
        "_call_eof_received", "_control_app_writing", "_control_ssl_reading", "_do_flush", "_do_handshake", "_do_read",
        "_do_read__buffered", "_do_shutdown", "_do_write", "_fatal_error", "_get_app_transport", "_process_outgoing",
        "_start_shutdown", "_write_appdata",
    ],
    asyncio.Handle: ["_run"],
    events: ["_set_running_loop", "_get_running_loop"],
    coroutines: ["_is_debug_mode"],
    format_helpers: ["extract_stack", "_format_callback_source"],
}  # fmt: skip


class Nobody:
    """An instrument that looks at nothing: with one, the engine asks who runs its handles."""

    def before(self, handle: Handle) -> None:
        pass

    def after(self, handle: Handle) -> None:
        pass


class SlowCallbacks:
    """asyncio's debug mode: warn of each callback that took longer than `loop.slow_callback_duration` seconds."""

    def __init__(self, fate: Fate) -> None:
        self.fate = fate
        self.running: list[tuple[Handle, float]] = []  # innermost last: a handle may run another

    def before(self, handle: Handle) -> None:
        self.fate._current_handle = handle
        self.running.append((handle, self.fate.time()))

    def after(self, handle: Handle) -> None:
        took = self.fate.time() - self.running.pop()[1]
        self.fate._current_handle = self.running[-1][0] if self.running else None
        if took >= self.fate.slow_callback_duration:
            base_events.logger.warning(  # type: ignore[attr-defined]
                "Executing %s took %.3f seconds", _describe(handle), took
            )


def _describe(handle: Handle) -> str:
    """The handle for a log: the task it steps, or itself."""
    owner = getattr(handle._callback, "__self__", None)
    return repr(owner) if isinstance(owner, asyncio.Task) else str(handle)


class End:
    """Stops the run that waits for a future when that is done. One that an interrupt has left behind stops no other."""

    __slots__ = ("loop",)

    def __init__(self, loop: Fate) -> None:
        self.loop = loop

    def __call__(self, future: Any) -> None:
        if not future.cancelled() and isinstance(future.exception(), (SystemExit, KeyboardInterrupt)):
            return  # the run has ended with it
        if self.loop._awaited is self:
            self.loop.stop()


class Fate(Makers, SocketCalls, Connections, FileCalls, NameCalls, ChildCalls, SignalCalls):  # type: ignore[misc]  # its handles are not asyncio.Handle
    """The event manager: one object that waits for everything, in one thread. It is an asyncio event loop too.

    selector: any `selectors.BaseSelector` to wait with, or a `Poll` of the engine's own. None, the default: epoll
        where there is one (Linux), and `selectors.DefaultSelector` elsewhere, and in a universe.
    spin: before the loop sleeps it looks for events again and again for up to so many seconds, 1 at most; for less
        while that does not pay. 50e-6 spares most of the time of waking up for answers that come soon, and costs a
        processor that would be idle. 0, the default: it sleeps at once. Only epoll spins.
    Raises LoopOptionError for a `spin` that makes no sense, OutOfDescriptorsError when the process has no file
    descriptors left for it.
    """

    # A loop's dict holds fewer than 30 attributes: with more, CPython shares no keys, and no longer specialises calls
    # of its methods. `call_soon` takes a fifth longer then.
    __slots__ = (
        "_awaited", "_awaiting", "_can_watch", "_children", "_current_handle", "_ended", "_endings", "_fuses_ended",
        "_heard", "_held", "_lit", "_names", "_receivers", "_shut_down", "_sources", "_stacks", "_telling",
    )  # fmt: skip

    time = Time()
    slow_callback_duration: float
    _current_handle: Handle | None
    _observers: tuple[Instrument, ...] = ()
    if TYPE_CHECKING:
        _poll: EpollPoll | SelectorPoll
        _signal_handlers: dict[int, asyncio.Handle]
        _csock: socket.socket
        _check_callback: Callable[[Callable[..., object], str], None]
        _coroutine_origin_tracking_enabled: bool
        _set_coroutine_origin_tracking: Callable[[bool], None]
        _asyncgen_firstiter_hook: Callable[[Any], None]
        _asyncgen_finalizer_hook: Callable[[Any], None]
        _write_to_self: Callable[[], None]

    def __init__(self, selector: selectors.BaseSelector | Poll | None = None, *, spin: float = 0.0) -> None:
        self._closed = True
        spin_ns = _nanoseconds_to_spin(spin)
        self._prepare()
        poll: Any = None
        try:
            if isinstance(selector, Poll):
                poll = selector
            elif selector is not None:
                poll = SelectorPoll(selector)
            elif hasattr(select, "epoll") and singletons.here().loop is None:
                poll = EpollPoll(spin_ns)
            else:
                poll = SelectorPoll(selectors.DefaultSelector())
            Makers.__init__(self, poll, self._virtual_clock())
            if type(self).time is not Engine.time:
                self.keep_time_by(lambda: self.time())
            SelectorEventLoop.__init__(self, poll)
            if isinstance(poll, EpollPoll):
                self._carry_streams()
            poll._serves = weakref.ref(self)
        except OSError as error:
            self._closed = True
            if poll is not None:
                poll.close()
            raise source_error(error, "make an event loop") from error
        except BaseException:  # a signal's handler: it has not begun to be
            self._closed = True
            if poll is not None:
                poll.close()
            raise

    def _prepare(self) -> None:
        """Set what a Fate has besides the engine's and asyncio's."""
        self._endings: deque[Callable[[], object]] = deque()
        self._telling = False
        self._fuses_ended = 0
        self._awaited: End | None = None  # of the run that goes on, and of the next
        self._awaiting: End | None = None
        self._lit: MutableMapping[Fuse, None] | None = None  # made when the first fuse is, as the next two
        self._stacks: MutableMapping[Handle, Any] | None = None  # in debug mode: who made which
        self._sources: dict[tuple[str, int], sources.Shared] = {}
        self._files: MutableMapping[Any, list[Any]] | None = None  # watched, and perhaps closed meanwhile
        self._held: set[object] = set()  # tasks that nobody else holds: asyncio itself refers to them weakly
        self._receivers: dict[Hashable, Receiver] = {}
        self._children: dict[int, ChildTransport] = {}
        self._heard: dict[int, Heard] = {}
        self._can_watch = self._names = None
        self._shut_down = False  # shutdown() came before run()
        self._ended = False  # the article's run() has ended

    # -- what the engine asks of its loop -------------------------------------------------------------------------

    def _virtual_clock(self) -> Callable[[], int] | None:
        """The clock of a subclass that has a `time()` of its own, or of a universe, in nanoseconds."""
        if type(self).time is Engine.time:
            return None if singletons.here().loop is None else time.monotonic_ns
        return lambda: ceil(self.time() * 1e9)

    def _check_closed(self) -> None:
        if self._closed:
            raise LoopClosedError("Event loop is closed: make another with fate.new_event_loop() or fate.Fate()")

    def _check_running(self) -> None:
        if self._thread_id is not None or self.is_turning():
            raise LoopRunningError("This event loop is already running: call run() once, and work in handlers or tasks")
        if events._get_running_loop() is not None:
            raise LoopRunningError(
                "Cannot run the event loop while another loop is running in this thread: await instead"
            )

    def _check_owner(self, what: str) -> None:
        """Raise unless `what` may be called here: the loop is open, and not running in another thread."""
        self._check_closed()
        if self._thread_id is not None and self._thread_id != threading.get_ident():
            raise WrongThreadError(
                f"{what} was called from thread {threading.current_thread().name!r}, and {self!r} runs in another: "
                "use fate.call_soon_threadsafe(...)"
            )

    def _check_call(self, callback: Callable[..., object], method: str, same_thread: bool) -> None:
        self._check_closed()
        if same_thread and self._thread_id is not None and self._thread_id != threading.get_ident():
            raise WrongThreadError(
                f"Non-thread-safe operation invoked on an event loop other than the current one: {method} was called "
                f"from thread {threading.current_thread().name!r}; use call_soon_threadsafe"
            )
        self._check_callback(callback, method)

    def _note_created(self, handle: Handle) -> None:
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_globals.get("__name__") == Engine.__module__:
            frame = frame.f_back
        if self._stacks is None:
            self._stacks = weakref.WeakKeyDictionary()
        self._stacks[handle] = format_helpers.extract_stack(frame)

    def _stack_of(self, handle: Handle) -> Any:
        return None if self._stacks is None else self._stacks.get(handle)

    def _describe_handle(self, handle: Handle) -> str:
        parts = [type(handle).__name__, str(handle.id)]
        if handle.cause:
            parts.append(f"by {handle.cause}")
        if handle._cancelled:
            parts.append("cancelled")
        if isinstance(handle, TimerHandle):
            parts.append(f"when={handle._when}")
        if handle._callback is not None:
            parts.append(format_helpers._format_callback_source(handle._callback, handle._args))
        if handle._source_traceback:
            frame = handle._source_traceback[-1]
            parts.append(f"created at {frame[0]}:{frame[1]}")
        return f"<{' '.join(parts)}>"

    def _callback_failed(self, handle: Handle, error: BaseException) -> None:
        again = getattr(handle._callback, "again", False)
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            if again:
                self.call_soon(handle._callback, *handle._args)
            raise error
        if again:  # a signal's handler may raise anything; should it be no such thing, once is enough
            self.call_soon(_once_more, handle._callback, handle._args)
        if handle._callback is None:
            callback = repr(handle)  # a transport, which reads when it is readable
        else:
            callback = format_helpers._format_callback_source(handle._callback, handle._args)
        context: dict[str, Any] = {"message": f"Exception in callback {callback}", "exception": error, "handle": handle}
        if handle._source_traceback:
            context["source_traceback"] = handle._source_traceback
        for observer in self._observers:
            if isinstance(observer, Recorder):
                context.setdefault("causes", observer.chain(handle.id))
        self.call_exception_handler(context)

    def _instrument_failed(self, instrument: Instrument, error: Exception) -> None:
        self.remove_instrument(instrument)
        message = f"Instrument {instrument!r} failed and was taken away"
        self.call_exception_handler({"message": message, "exception": error})

    def set_instrument(self, instrument: Instrument | None) -> None:
        """Have `instrument.before(handle)` and `instrument.after(handle)` called around every callback.

        instrument: a `Recorder`, or an object of your own. Those that were set before stay: each is told. None takes
            all of them away, and `remove_instrument` one. One that raises is reported to the exception handler and
            taken away.
        Raises WrongThreadError from a thread other than the one that runs the loop.
        """
        if self._thread_id is not None:
            self._check_owner("Fate.set_instrument")
        if instrument is None:
            self._observe()
        elif not any(instrument is other for other in self._observers):
            self._observe(*self._observers, instrument)

    def remove_instrument(self, instrument: Instrument) -> None:
        """Have `instrument` told of nothing any more; nothing happens if it is not.

        Raises WrongThreadError from a thread other than the one that runs the loop.
        """
        if self._thread_id is not None:
            self._check_owner("Fate.remove_instrument")
        self._observe(*(other for other in self._observers if other is not instrument))

    def _observe(self, *observers: Instrument) -> None:
        gone = [one for one in self._observers if not any(one is other for other in observers)]
        self._observers = observers
        self._watch_callbacks()
        for one in gone:
            if isinstance(one, Recorder):
                one.taken_away()

    def _watch_callbacks(self) -> None:
        """Have the engine tell those who shall be told, and the debug mode's own, which measures without the others."""
        present = self._instrument
        known = present.members if isinstance(present, Instruments) else [present]
        slow = next((one for one in known if isinstance(one, SlowCallbacks)), None) or SlowCallbacks(self)
        members = [*self._observers, slow] if self._debug else self._observers
        if not members and self._run_by is not None:
            members = (Nobody(),)
        if isinstance(present, Instruments) and members:
            present.members = members
        elif len(members) > 1:
            Engine.set_instrument(self, Instruments(members, self._instrument_failed))
        else:
            Engine.set_instrument(self, members[0] if members else None)

    def _is_watched_by(self, instrument: Instrument) -> bool:
        present = self._instrument
        return isinstance(present, Instruments) and any(instrument is member for member in present.members)

    def set_debug(self, enabled: bool) -> None:
        """Switch asyncio's debug mode on or off: slow callbacks are logged, and calls from a wrong thread raise."""
        SelectorEventLoop.set_debug(self, enabled)
        self._watch_callbacks()

    def _run_as_asyncio(self, handle: Handle) -> BaseException | None:
        """Run `handle` by what a program has put in the place of `asyncio.Handle._run`, as tools that watch do."""
        if handle._args is None:  # a transport, which reads when it is readable
            shown = asyncio.Handle(self.fire, (handle,), self)
        else:
            shown = asyncio.Handle(handle._callback, handle._args, self, handle.get_context())
        if self._debug and handle._source_traceback:
            shown._source_traceback = handle._source_traceback  # type: ignore[attr-defined]
        try:
            shown._run()
        except BaseException as error:  # the engine decides what becomes of it
            return error
        return None

    def _wake(self) -> None:
        self._write_to_self()

    # -- readiness: asyncio's selector loop calls these ---------------------------------------------------------

    def _add_reader(
        self, fd: Any, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        self._check_closed()
        handle = self.make_handle(callback, args, context)
        number = _fileno(fd)
        self._poll.add_reader(number, handle)
        if number is not fd:
            self._note_file(fd, number, handle, 0)
        return handle

    def _add_writer(
        self, fd: Any, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        self._check_closed()
        handle = self.make_handle(callback, args, context)
        number = _fileno(fd)
        self._poll.add_writer(number, handle)
        if number is not fd:
            self._note_file(fd, number, handle, 1)
        return handle

    def _remove_reader(self, fd: Any) -> bool:
        if self._closed or fd == CLOSED:
            return False
        try:
            number = _fileno(fd)
        except ValueError:
            if self._remove_closed(fd, 0):
                return True
            raise
        return self._poll.remove_reader(number)

    def _remove_writer(self, fd: Any) -> bool:
        if self._closed or fd == CLOSED:
            return False
        try:
            number = _fileno(fd)
        except ValueError:
            if self._remove_closed(fd, 1):
                return True
            raise
        return self._poll.remove_writer(number)

    def _note_file(self, file: Any, number: int, handle: Handle, direction: int) -> None:
        """Remember what was added for a file object, should it be closed before it is removed."""
        if self._files is None:
            self._files = weakref.WeakKeyDictionary()
        with suppress(TypeError):  # it cannot be referred to weakly
            noted = self._files.get(file)
            if noted is None or noted[0] != number:
                noted = self._files[file] = [number, None, None]
            noted[1 + direction] = weakref.ref(handle)

    def _remove_closed(self, file: Any, direction: int) -> bool:
        """Remove what was added for a file object that is closed by now: anyio closes its sockets before it takes them
        out. Who has come to its number since then stays. Returns whether there was something."""
        noted: Any = None
        with suppress(TypeError):
            noted = (self._files or {}).get(file)
        handle = None if noted is None or noted[1 + direction] is None else noted[1 + direction]()
        if handle is None or handle.cancelled():
            return False
        if direction:
            self._poll.drop_writer(noted[0], handle)
        else:
            self._poll.drop_reader(noted[0], handle)
        handle.cancel()
        return True

    def _ensure_fd_no_transport(self, fd: Any) -> None:
        """As asyncio's, but for a transport whose socket was closed: the number is no longer its own."""
        number = fd if isinstance(fd, int) else _number_of(fd)
        try:
            transport = self._transports[number]
        except KeyError:
            return
        if not transport.is_closing() and _number_of(transport.get_extra_info("socket")) == number:
            raise RuntimeError(f"File descriptor {fd!r} is used by transport {transport!r}")

    @property
    def _ready(self) -> Any:
        return Ready(self, self._add_callback)

    @_ready.setter
    def _ready(self, handles: object) -> None:
        pass  # asyncio's constructor makes a deque: the engine has its own

    @property
    def _scheduled(self) -> Any:
        return Scheduled(self)

    @_scheduled.setter
    def _scheduled(self, timers: object) -> None:
        pass

    def _add_callback(self, handle: Any) -> None:
        """Queue a handle that asyncio made itself: those of signal handlers."""
        if is_instance(handle, Handle):
            self.put(handle)
        elif not handle._cancelled:
            self.call_soon(_run_foreign, handle)

    def _add_callback_signalsafe(self, handle: asyncio.Handle) -> None:
        self.call_soon_threadsafe(_run_foreign, handle)

    def _run_once(self) -> None:
        self.turn()

    def _make_datagram_transport(
        self, sock: Any, protocol: Any, address: Any = None, waiter: Any = None, extra: Any = None
    ) -> Any:
        try:
            if type(protocol) is LateProtocol:
                protocol = protocol.make()
            if type(sock) is SOCKET and type(self._poll) is EpollPoll and sock.family in SERVED:
                self._poll.let_go(sock.fileno())
                return DatagramTransport(self, sock, protocol, address, waiter, extra)
            return SelectorEventLoop._make_datagram_transport(  # type: ignore[attr-defined]
                self, sock, protocol, address, waiter, extra
            )
        except BaseException:  # who called has no other way to close it
            sock.close()
            raise

    # -- running --------------------------------------------------------------------------------------------------

    def run_forever(self) -> None:
        """Run until `stop()` or `shutdown()` is called.

        Raises LoopRunningError if a loop runs in this thread, LoopClosedError after `close()`.
        """
        self._check_closed()
        self._check_running()
        if _runs_otherwise() or self._run_by is not None:
            self.run_by(self._run_as_asyncio if _runs_otherwise() else None)
            self._watch_callbacks()
        try:
            running.run(self)
        except KeyboardInterrupt as interrupt:
            _hide_engine(interrupt)
            raise

    def run_until_complete(self, future: Any) -> Any:
        """Run until `future`, or a task made of that coroutine, is done; return its result or raise its exception.

        Raises RuntimeError if `stop()` comes first, else as `run_forever`.
        """
        self._check_closed()
        self._check_running()
        new = not asyncio.isfuture(future)
        task: Any = asyncio.ensure_future(future, loop=self)
        if new:
            task._log_destroy_pending = False  # if it is not done, an exception says so
        end = End(self)
        try:
            task.add_done_callback(end)
            self._awaiting = end
            self.run_forever()
        except BaseException:
            self._awaiting = None
            if new and task.done() and not task.cancelled():
                task.exception()  # nobody but us has it: it shall not be reported as never retrieved
            raise
        finally:
            task.remove_done_callback(end)
        if not task.done():
            raise RuntimeError("Event loop stopped before Future completed.")
        return task.result()

    def close(self) -> None:
        """Cancel all fuses and let go of every descriptor. A closed loop does not open again; closing it twice is fine.

        Raises RuntimeError while the loop runs.
        """
        if self._lit and not self._closed and not self.is_running():
            for fuse in list(self._lit):
                fuse.cancel()
        finalizing: Any = unix_events.sys  # type: ignore[attr-defined]  # asyncio's own says what it does then
        if not self._closed and not self.is_running() and not finalizing.is_finalizing():
            self._let_go_of_signals()
        super().close()
        self._forget_all()

    def _close_self_pipe(self) -> None:
        """As asyncio's, which an interrupt may cut short: it is called again when the loop is closed again then."""
        for name in ("_ssock", "_csock"):
            sock = getattr(self, name)
            if sock is not None:
                if name == "_ssock":
                    self._remove_reader(sock.fileno())
                sock.close()
                setattr(self, name, None)
        self._internal_fds = 0

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if not getattr(self, "_closed", True):  # else an exception came before it had begun to be
            if not self._ended:  # the article's programs end with their run()
                _warn(f"unclosed event loop {self!r}", ResourceWarning, source=self)
            if not self.is_running():
                self.close()

    def _be_wary(self) -> None:
        """Have it told when nothing can happen any more; not in a universe, nor with a clock of the program's own."""
        if singletons.here().loop is None and type(self).time is Engine.time and self._own_time is None:
            self._wary = True

    def _nothing_comes(self) -> None:
        from fate.stuck import last_words

        words = last_words(self)
        if words is not None:
            self._wary = False  # once is enough
            base_events.logger.warning(words)  # type: ignore[attr-defined]

    # -- the article's Fate ---------------------------------------------------------------------------------------

    @property
    def _fuses(self) -> MutableMapping[Fuse, None]:
        if self._lit is None:
            self._lit = weakref.WeakKeyDictionary()  # those out of everyone's reach may go
        return self._lit

    @property
    def fuses(self) -> list[Fuse]:
        """The fuses that are not done with: they burn still, or have burned and wait for a handler. Oldest first."""
        return list(self._fuses)

    def get_fuse(
        self,
        seconds: float | None = None,
        *,
        readable: Any = None,
        writable: Any = None,
        signal: int | None = None,
        process: Any = None,
    ) -> Fuse:
        """Light a fuse: it burns once, `seconds` from now, or because of one thing in the world, or by hand.

        seconds: from now, a finite number, not negative; 0 means the next turn. Its value is None.
        readable, writable: a file descriptor, or anything with `fileno()`. Its value is what was given.
        signal: a signal's number, such as `signal.SIGHUP`; main thread only. Its value is the number.
        process: a child's process id, a `subprocess.Popen`, or an `asyncio.subprocess.Process`. Its value is the exit
            code, negative for the signal that killed it; None for a process that is not a child of this one.
        Give none of them, and it burns by hand: `fuse.burn(value)`.

        Raises FuseTimeError for a delay that makes no sense, SourceError for what cannot be waited for, TypeError for
        more than one thing (make a fuse for each and combine them with `|` or `&`), WrongThreadError from a thread
        other than the loop's, LoopClosedError after `close()`.
        """
        self._check_owner("Fate.get_fuse")
        wanted = {"readable": readable, "writable": writable, "signal": signal, "process": process}
        named = [(name, source) for name, source in wanted.items() if source is not None]
        if len(named) + (seconds is not None) > 1:
            raise TypeError("get_fuse() takes one thing to wait for: make two fuses and combine them with | or &")
        if seconds is not None:
            check_seconds(seconds, "a fuse's delay")
            if seconds < 0:
                raise FuseTimeError(f"a fuse's delay cannot be negative: {seconds!r}; 0 burns in the next turn")
        fuse = Fuse(self)
        if seconds is not None:
            fuse.set_time(self.time() + seconds)
        for name, source in named:
            sources.attach(self, fuse, name, source)
        return fuse

    def get_packet_fuse(
        self,
        address: Any,
        match: Match | None = None,
        *,
        prefix: bytes | None = None,
        protocol: str = "udp",
    ) -> PacketFuse:
        """Light a fuse that burns when a matching packet arrives: a UDP datagram, or a line on a TCP connection.

        address: where to listen: `(host, port)`, port 0 for any free one, which is then in `fuse.address`; or a
            socket: a bound UDP socket, a listening TCP socket, or a connected one.
        match: what matches: bytes for the whole packet, a compiled bytes pattern that must match all of it, or a
            function of it; None: any packet.
        prefix: instead of `match`, how the packet begins.
        protocol: "udp" or "tcp", where `address` is not a socket.
        Returns the fuse; its value will be the `Packet`. It listens until it is over: `cancel()` it when you give up.

        Raises AddressInUseError, OutOfDescriptorsError or another SourceError if it cannot listen, TypeError or
        ValueError for arguments that make no sense, WrongThreadError, LoopClosedError.
        """
        from fate.net.packet import PacketFuse

        self._check_owner("Fate.get_packet_fuse")
        return PacketFuse(self, address, match, prefix=prefix, protocol=protocol)

    def check_fuses(self) -> None:
        """Call the handlers of the fuses that have burned, oldest first, without waiting for any. `run()` does it all
        for you; this is for programs that have a main loop of their own."""
        self._check_owner("Fate.check_fuses")
        check_due(self._fuses)

    def run(self) -> None:
        """Handle events until `shutdown()` is called; return at once if it was called before. It may be run again.

        When nothing can happen any more, because nothing is left that could call a handler, a warning in asyncio's log
        says so, and it goes on waiting.
        Raises LoopRunningError if a loop runs in this thread, LoopClosedError after `close()`.
        """
        self._check_closed()
        self._check_running()
        if not self._shut_down:
            self._be_wary()
            try:
                self.run_forever()
            except KeyboardInterrupt as interrupt:
                _hide_engine(interrupt)
                raise
            finally:
                self._wary = False
        self._shut_down = False
        self._ended = True

    def shutdown(self) -> None:
        """Stop handling events: `run()` returns after the present turn. May be called from any thread."""
        self._check_closed()
        if self._thread_id is None:
            self._shut_down = True
        elif self._thread_id == threading.get_ident():
            self.stop()
        else:
            self.call_soon_threadsafe(self.stop)


def _runs_otherwise() -> bool:
    """Whether a program has put something in the place of `asyncio.Handle._run`, perhaps before Fate was imported."""
    return getattr(asyncio.Handle._run, "__globals__", None) is not vars(events)


def _once_more(callback: Callable[..., object], args: tuple[Any, ...]) -> None:
    callback(*args)


def _nanoseconds_to_spin(spin: Any) -> int:
    if isinstance(spin, bool) or not isinstance(spin, (int, float)):
        raise LoopOptionError(f"spin is a number of seconds, not {spin!r}")
    if not 0 <= spin <= 1:  # nor is NaN
        raise LoopOptionError(f"spin is from 0 to 1 seconds, not {spin!r}; 50e-6 is a good one")
    return int(spin * 1e9)


def _number_of(file: Any) -> int:
    try:
        return int(file.fileno())
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"Invalid file object: {file!r}") from None


def _fileno(fd: Any) -> int:
    """The descriptor of an integer or of a file object, as `selectors` takes them."""
    number = fd if isinstance(fd, int) else _number_of(fd)
    if number < 0:
        raise ValueError(f"Invalid file descriptor: {number}")
    return number


def _hide_engine(error: BaseException) -> None:
    """Take the engine's frames out of a traceback, up to the first that is somebody else's."""
    trace = error.__traceback__
    if trace is None:
        return
    inner = trace.tb_next
    while inner is not None and inner.tb_frame.f_globals.get("__name__", "").startswith("fate."):
        inner = inner.tb_next
    trace.tb_next = inner


def _run_foreign(handle: asyncio.Handle) -> None:
    if not handle._cancelled:
        handle._run()


def _settle_before_fork() -> None:
    """What has been written leaves before a child is forked, which would send it a second time if it went on."""
    loop = events._get_running_loop()
    if isinstance(loop, Fate):
        loop.settle()


show_as(asyncio.Handle, asyncio.TimerHandle, getattr(events, "_ThreadSafeHandle", asyncio.Handle))

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_settle_before_fork)

if compiled():
    for _method in (
        Engine.call_soon,
        Engine.call_soon_threadsafe,
        Engine.call_later,
        Engine.call_at,
        Engine.get_debug,
        Engine.is_running,
        Engine.is_closed,
        Makers.create_future,
        Makers.create_task,
        SocketCalls.sock_recv,
        SocketCalls.sock_sendall,
    ):
        setattr(Fate, _method.__name__, own(Fate, _method))
    del _method


def new_event_loop() -> Fate:
    """Make a Fate. This is what to give wherever something takes a loop factory."""
    return Fate()


def run(main: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """Run a coroutine on a new Fate, close the Fate, and return the coroutine's result, as `asyncio.run` does.

    main: the coroutine. `asyncio.get_running_loop()` in it is the Fate.
    debug: switch asyncio's debug mode on or off; None: as PYTHONASYNCIODEBUG and `-X dev` say.
    When nothing can happen any more that could end the coroutine, a warning in asyncio's log says so.
    Raises whatever the coroutine raises; LoopRunningError if a loop runs in this thread.
    """
    if events._get_running_loop() is not None:
        raise LoopRunningError("fate.run() was called while a loop runs in this thread: await the coroutine instead")
    runner = asyncio.Runner(loop_factory=Fate, debug=debug)
    try:
        try:
            with runner:
                loop: Any = runner.get_loop()
                loop._be_wary()
                return runner.run(main)
        finally:
            _let_go_of_sigint(runner)
    finally:
        _let_go_of_sigint(runner)  # an interrupt may have cut the first one short


def _let_go_of_sigint(runner: asyncio.Runner) -> None:
    """Put Ctrl-C's handler back if an interrupt kept `runner` from doing so."""
    handler = signals.getsignal(signals.SIGINT)
    if getattr(getattr(handler, "func", None), "__self__", None) is runner:
        signals.signal(signals.SIGINT, signals.default_int_handler)
