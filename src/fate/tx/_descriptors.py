"""The readers and writers of a reactor: which of Twisted's descriptors wants to hear of what, and how it is told.

A `Descriptor` stands for one of Twisted's selectables. Its handle is queued by the poll, once however much has come,
and then reads and writes as `twisted.internet.posixbase` does: same order, same reasons for a disconnection, and in
the same logging context, which is made only if somebody logs.

A TCP connection that begins to write is not watched at once. It is tried when the turn ends, as Fate's own transports
are (`docs/design.md`, "The cork"), so all that was written to it in this turn leaves in one piece and in most cases no
poll is needed; what the kernel does not take then waits for readiness. Every other writer may rely on being called
only when it is ready, and is.

For a TCP connection whose methods are Twisted's own, `_receive` and `_send` do what its `doRead` and `doWrite` do in
the common case, without the five Python calls that these make.
"""

from __future__ import annotations

from errno import ENOBUFS, EWOULDBLOCK
from typing import TYPE_CHECKING, Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.posixbase import _NO_FILEDESC
from twisted.internet.tcp import Connection
from twisted.python import context, log
from twisted.python.log import ILogContext

from fate.core.engine import Engine, Poll
from fate.core.handle import SOURCE, Handle

IN = 0x001  # epoll's bits
OUT = 0x004
BROKEN = 0x018  # EPOLLERR, EPOLLHUP
CALL = 1024  # what a send weighs beside its bytes, as for Fate's own transports
WARM = 4 * 1024  # so many bytes do not wait for the turn's end


class Descriptor:
    """One selectable that reads or writes, or both. In Twisted's stack of logging contexts it stands for its own."""

    __slots__ = ("armed", "fd", "handle", "owner", "plain_reader", "plain_writer", "reading", "selectable", "writing")

    if TYPE_CHECKING:
        handle: Handle

    def __init__(self, owner: Descriptors, selectable: Any, fd: int) -> None:
        self.owner = owner
        self.selectable = selectable
        self.fd = fd
        self.reading = False
        self.writing = False
        self.armed = False  # the poll looks for its being writable
        self.plain_reader = False
        self.plain_writer = False
        if isinstance(selectable, Connection):
            cls: Any = type(selectable)
            self.plain_reader = cls.doRead is Connection.doRead and cls._dataReceived is Connection._dataReceived
            self.plain_writer = (
                cls.doWrite is FileDescriptor.doWrite
                and cls.writeSomeData is Connection.writeSomeData
                and cls.stopWriting is FileDescriptor.stopWriting
            )

    def __getitem__(self, key: Any) -> Any:
        """The logging context that Twisted's `callWithLogger` would have made."""
        if key is not ILogContext:
            raise KeyError(key)
        contexts = _contexts()
        below = contexts[: max(place for place, entry in enumerate(contexts) if entry is self)]
        outer: dict[str, Any] = {}
        for entry in reversed(below):
            try:
                outer = entry[key]
                break
            except KeyError:
                continue
        try:
            prefix = self.selectable.logPrefix()
        except KeyboardInterrupt:
            raise
        except BaseException:
            prefix = "(buggy logPrefix method)"
            log.err(system=prefix)
        return {**outer, "system": prefix}

    def __call__(self) -> None:
        """Something has come for it."""
        if not (self.reading or self.writing):
            return  # it was removed while this was in the queue
        contexts = _contexts()
        contexts.append(self)
        try:
            self._work(self.owner._poll.events(self.fd))
        except KeyboardInterrupt:
            raise
        except BaseException:  # what the handling of a failure raises
            log.err()
        finally:
            contexts.pop()

    def _work(self, events: int) -> int:
        """Read and write, as `posixbase._PollLikeMixin._doReadOrWrite` does."""
        selectable = self.selectable
        why: Any = None
        reads = False
        if events & BROKEN and not events & IN:
            reads = self.reading
            why = CONNECTION_DONE if reads else CONNECTION_LOST
        else:
            try:
                if selectable.fileno() == -1:
                    why = _NO_FILEDESC
                else:
                    if events & IN and self.reading:
                        why = self._receive() if self.plain_reader else selectable.doRead()
                        reads = True
                    if not why and events & OUT and self.armed:
                        why = selectable.doWrite()
                        reads = False
            except BaseException as error:  # Twisted's own rule: it is logged and costs the connection
                why = error
                log.err()
        if why:
            self.owner.reactor._disconnectSelectable(selectable, why, reads)
        return 0

    def _try(self) -> int:
        """Write what was written during a callback."""
        selectable = self.selectable
        contexts = _contexts()
        contexts.append(self)
        try:
            why = None
            try:
                why = self._send() if self.plain_writer else selectable.doWrite()
            except BaseException as error:
                why = error
                log.err()
            if why:
                self.owner.reactor._disconnectSelectable(selectable, why, False)
            elif self.writing and not self.armed:
                self._arm()
        except KeyboardInterrupt:
            raise
        except BaseException:
            log.err()
        finally:
            contexts.pop()
        return 0

    def _receive(self) -> Any:
        """`Connection.doRead`, or what the instance has in its place (one that connects or aborts has)."""
        connection = self.selectable
        own = connection.__dict__
        if "doRead" in own or "_dataReceived" in own:
            return connection.doRead()
        try:
            data = connection.socket.recv(connection.bufferSize)
        except OSError as error:
            return None if error.args[0] == EWOULDBLOCK else CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        connection.protocol.dataReceived(data)
        return None

    def _send(self) -> Any:
        """`FileDescriptor.doWrite`, which is called itself where more is to do than to send what was written.

        Only while the connection is not watched for being writable.
        """
        connection = self.selectable
        own = connection.__dict__
        if (
            "doWrite" in own
            or "writeSomeData" in own
            or connection.dataBuffer
            or connection.producer is not None
            or connection.disconnecting
            or connection._writeDisconnecting
        ):
            return connection.doWrite()
        pieces = connection._tempDataBuffer
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if len(data) > connection.SEND_LIMIT:
            return connection.doWrite()
        try:
            sent = connection.socket.send(data)
        except OSError as error:
            if error.args[0] != EWOULDBLOCK and error.args[0] != ENOBUFS:
                return CONNECTION_LOST
            sent = 0
        connection._tempDataBuffer = []
        connection._tempDataLen = 0
        if sent == len(data):
            self.writing = False
            self.owner._let_go(self)
        else:
            connection.dataBuffer = data
            connection.offset = sent
        return None

    def _arm(self) -> int:
        self.owner._poll.set_writer(self.fd, self.handle)
        self.armed = True
        return 0


class Descriptors(Handle):
    """All selectables that one reactor watches. A handle, for something is put off to the turn's end."""

    __slots__ = ("_due", "_engine", "_flushing", "_known", "_poll", "corked", "reactor")

    def __init__(self, reactor: Any, engine: Engine) -> None:
        self._callback = self._args = self._snapshot = self._loop = None
        self._cancelled = False
        self._kind = SOURCE
        self.id = self.cause = 0
        self.reactor = reactor
        self.corked: list[Descriptor] = []
        self._engine = engine
        self._poll: Poll = engine._poll
        self._known: dict[Any, Descriptor] = {}
        self._due = False  # a flush is in the queue
        self._flushing = False

    def _get(self, selectable: Any) -> Descriptor:
        descriptor = self._known.get(selectable)
        if descriptor is None:
            descriptor = Descriptor(self, selectable, selectable.fileno())
            descriptor.handle = self._engine.make_handle(descriptor, ())
        return descriptor

    def add_reader(self, selectable: Any) -> None:
        """Have `selectable.doRead` called whenever it is readable. Raises PermissionError for a regular file."""
        descriptor = self._get(selectable)
        if not descriptor.reading:
            self._poll.set_reader(descriptor.fd, descriptor.handle)
            descriptor.reading = True
            self._known[selectable] = descriptor

    def add_writer(self, selectable: Any) -> None:
        """Have `selectable.doWrite` called whenever it is writable. Raises PermissionError for a regular file."""
        descriptor = self._get(selectable)
        if descriptor.writing:
            return
        if not self._flushing and isinstance(selectable, Connection) and selectable.connected:
            engine = self._engine
            self.corked.append(descriptor)
            if not self._due:
                self._due = True
                if engine._current_id == 0:  # outside of a turn, or at its end
                    engine.call_soon(self.flush)
                else:
                    engine.settle_later(self)
            engine._owed += CALL + selectable._tempDataLen
            if selectable._tempDataLen >= WARM:
                engine.hurry()
        else:
            descriptor._arm()
        descriptor.writing = True
        self._known[selectable] = descriptor

    def remove_reader(self, selectable: Any) -> None:
        """No longer."""
        descriptor = self._known.get(selectable)
        if descriptor is not None and descriptor.reading:
            descriptor.reading = False
            self._poll.drop_reader(descriptor.fd, descriptor.handle)
            self._let_go(descriptor)

    def remove_writer(self, selectable: Any) -> None:
        """No longer."""
        descriptor = self._known.get(selectable)
        if descriptor is not None and descriptor.writing:
            descriptor.writing = False
            if descriptor.armed:
                descriptor.armed = False
                self._poll.drop_writer(descriptor.fd, descriptor.handle)
            self._let_go(descriptor)

    def _let_go(self, descriptor: Descriptor) -> int:
        if not descriptor.reading and not descriptor.writing:
            del self._known[descriptor.selectable]
            descriptor.handle.cancel()  # it may be in the queue; and the two hold each other
        return 0

    def _settle(self) -> int:
        self.flush()
        return 0

    def flush(self) -> None:
        """Try every connection that has begun to write."""
        self._due = False
        corked = self.corked
        self.corked = []
        flushing = self._flushing
        self._flushing = True  # a producer that goes on writing now waits for readiness, as all that follow
        try:
            for descriptor in corked:
                if descriptor.writing and not descriptor.armed:
                    descriptor._try()
        finally:
            self._flushing = flushing

    def readers(self) -> list[Any]:
        """All that read."""
        return [selectable for selectable, descriptor in self._known.items() if descriptor.reading]

    def writers(self) -> list[Any]:
        """All that write."""
        return [selectable for selectable, descriptor in self._known.items() if descriptor.writing]


def _contexts() -> list[Any]:
    """This thread's stack of Twisted's logging contexts."""
    try:
        contexts: list[Any] = context.theContextTracker.storage.ct.contexts
    except AttributeError:  # the first use in this thread, or a tracker of somebody's own
        contexts = context.theContextTracker.currentContext().contexts
    return contexts
