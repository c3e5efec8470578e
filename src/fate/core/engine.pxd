# cython: nonecheck=False
from libc.stdint cimport int64_t

cimport cython

from cpython.exc cimport PyErr_Occurred
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.ref cimport Py_DECREF, PyObject

from fate._native cimport (
    Freelist, SharedContext, bind, can_share, clock_ns, compiled, copy_context, copy_of, fate_raised, pop_last, run_in_context, track,
)
from fate.core.handle cimport Handle, Owner, SafeHandle, TimerHandle, fate_filled, fate_is_handle, fate_renumber, fate_run_usual
from fate.core.timers cimport Timers

cdef int FAST_TURNS
cdef int BUSY_TURNS
cdef int64_t FAST_NS
cdef bint COMPILED
cdef bint SHARES
cdef bint WAITS
cdef Freelist HANDLES
cdef char ONCE
cdef char SHARING
cdef char LASTING
cdef char SOURCE
cdef short READY
cdef Py_ssize_t OWED_MOST
cdef Py_ssize_t COMPACT
cdef object TIME


cdef class Poll:
    cdef public int watched
    cdef public object _serves
    cpdef int poll(self, int64_t timeout_ns, list ready) except -1
    cpdef unsigned int events(self, int fd) except? 0xffffffff
    cpdef Handle set_reader(self, int fd, Handle handle)
    cpdef Handle set_writer(self, int fd, Handle handle)
    @cython.locals(before=Handle)
    cpdef add_reader(self, int fd, Handle handle)
    @cython.locals(before=Handle)
    cpdef add_writer(self, int fd, Handle handle)
    @cython.locals(before=Handle)
    cpdef bint remove_reader(self, int fd) except -1
    @cython.locals(before=Handle)
    cpdef bint remove_writer(self, int fd) except -1
    @cython.locals(before=Handle)
    cpdef drop_reader(self, int fd, Handle handle)
    @cython.locals(before=Handle)
    cpdef drop_writer(self, int fd, Handle handle)
    cpdef set_source(self, int fd, Handle source)
    cpdef remind(self)


cdef class Engine(Owner):
    cdef readonly Poll _poll
    cdef readonly Timers _timers
    cdef readonly list _queue
    cdef readonly Py_ssize_t _head
    cdef public int64_t _last_id
    cdef readonly int64_t _current_id
    cdef readonly object _instrument
    cdef readonly object _run_by
    cdef SharedContext _shared
    cdef object _clock
    cdef object _given_clock
    cdef readonly object _own_time
    cdef list _unsettled
    cdef Py_ssize_t _settled
    cdef Py_ssize_t _owed
    cdef bint _asleep
    cdef bint _turning
    cdef int _fast_turns
    cdef int _fast_limit
    cdef int64_t _polled_at
    cdef public bint _closed
    cdef public bint _debug
    cdef public bint _stopping
    cdef public object _thread_id
    cdef public bint _wary
    cdef bint _told

    cdef int _forget_timer(self, TimerHandle timer) except -1
    cdef object _context_of(self, Handle handle)
    cdef object _own_context(self, Handle handle)
    cdef int _file_again(self, TimerHandle timer) except -1
    cpdef int prepare(self, Handle handle) except -1
    cpdef bint prepare_source(self, Handle source) except -1
    cdef double _now(self) except? -1.0
    cdef int _wait_for(self, Handle handle) except -1

    @cython.locals(handle=Handle)
    cpdef Handle make_handle(self, object callback, tuple args, object context=*)

    # The compiled build's way of the usual handle.

    cdef inline Handle _make(self, object callback, tuple args, object context):
        """A handle that has neither id nor cause yet."""
        cdef char kind = ONCE
        cdef PyObject *blank
        cdef Handle handle
        if context is None:
            if SHARES:
                context = self._shared.snapshot()
                kind = SHARING
            else:
                context = copy_context()
        blank = HANDLES.blank()
        if blank != NULL:
            handle = fate_filled(blank, callback, args, context, self)
        else:
            handle = Handle.__new__(Handle)
            handle._callback = callback
            handle._args = args
            handle._snapshot = context
            handle._loop = self
        handle._cancelled = False
        handle._kind = kind
        return handle

    cdef inline Handle _handle(self, object item):
        """What was found in a list of handles, or None; anything else is a TypeError."""
        if item is None or fate_is_handle(<PyObject *>item, Handle):
            return <Handle>item
        raise TypeError(f"a handle is wanted, not {item!r}")

    cdef inline Handle _nth(self, list handles, Py_ssize_t index):
        """The handle at `index` of a list; None if there is none."""
        if index >= PyList_GET_SIZE(handles):
            return None
        return self._handle(<object>PyList_GET_ITEM(handles, index))

    cdef inline void _renumber(self, list queue, Py_ssize_t first) noexcept:
        """As `_number`."""
        self._last_id = fate_renumber(queue, first, Handle, LASTING, self._last_id)

    cdef inline Handle _run_next(self, list queue, Py_ssize_t head, SharedContext shared):
        """Take the handle at `head`. A usual one is run: None. Another one is returned."""
        cdef PyObject *left = fate_run_usual(
            <PyObject *>queue, head, Handle, ONCE, SHARING, shared.inside(), &self._current_id, HANDLES._list
        )
        cdef object taken
        if left == NULL:
            if self._owed >= OWED_MOST:
                self._settle()
            return None
        taken = <object>left
        Py_DECREF(taken)
        if PyErr_Occurred() == NULL:
            return self._handle(taken)
        self._fail(taken, fate_raised(), shared)
        return None

    @cython.locals(handle=Handle)
    cdef Handle _push(self, object callback, tuple args, object context)

    @cython.locals(handle=SafeHandle)
    cdef Handle _push_safely(self, object callback, tuple args, object context)

    @cython.locals(timer=TimerHandle)
    cdef TimerHandle _push_timer(self, double when, object callback, tuple args, object context)

    @cython.locals(queue=list, timeout=int64_t, now=int64_t, elapsed=int64_t, pending=Py_ssize_t, wait=double, handle=Handle, index=Py_ssize_t, first=Py_ssize_t, count=int)
    cdef int _look(self) except -1

    @cython.locals(count=int)
    cdef int _wait_warily(self, list queue) except -1

    @cython.locals(queue=list, shared=SharedContext, outer=SharedContext, fast=bint, handle=Handle, head=Py_ssize_t, end=Py_ssize_t, nested=bint, current=int64_t)
    cdef int _turn(self) except -1

    @cython.locals(queue=list, handle=Handle, index=Py_ssize_t)
    cdef int _number(self, Py_ssize_t first) except -1
    @cython.locals(queue=list, handle=Handle)
    cpdef object take_first(self)
    cpdef object put(self, Handle handle, bint first=*)
    cdef int _reset(self) except -1
    cdef int _fail(self, Handle handle, object error, SharedContext shared) except -1

    @cython.locals(current=int64_t)
    cdef int _run(self, Handle handle, list queue, Py_ssize_t place) except -1
    cdef int settle_later(self, Handle handle) except -1
    cdef int hurry(self) except -1
    cdef int queue_source(self, Handle source) except -1

    @cython.locals(handle=Handle, unsettled=list)
    cdef int _settle(self) except -1
    @cython.locals(current=int64_t)
    cpdef settle(self)
    cdef object _run_plainly(self, Handle handle, list queue, Py_ssize_t place)

    cdef object _run_watched(self, Handle handle, object instrument, list queue, Py_ssize_t place)


cdef class Time:
    @cython.locals(loop=Engine)
    cdef object _of(self, object engine)
