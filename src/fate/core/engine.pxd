from libc.stdint cimport int64_t

cimport cython

from fate._native cimport can_share, clock_ns, compiled, copy_context, copy_of, run_in_context, shares, track
from fate.core.handle cimport Handle, Owner, TimerHandle
from fate.core.timers cimport Timers

cdef int FAST_TURNS
cdef int64_t FAST_NS
cdef bint COMPILED
cdef bint SHARES
cdef char ONCE
cdef char SHARING
cdef char LASTING
cdef char SOURCE
cdef short READY


cdef class Poll:
    cpdef int poll(self, int64_t timeout_ns, list ready) except -1
    cpdef unsigned int events(self, int fd) except? 0xffffffff
    cpdef Handle set_reader(self, int fd, Handle handle)
    cpdef Handle set_writer(self, int fd, Handle handle)


cdef class Engine(Owner):
    cdef readonly Poll _poll
    cdef readonly Timers _timers
    cdef readonly list _queue
    cdef readonly Py_ssize_t _head
    cdef public int64_t _last_id
    cdef readonly int64_t _current_id
    cdef readonly object _instrument
    cdef object _snapshot
    cdef object _clock
    cdef Handle _unsettled
    cdef list _unsettled_too
    cdef bint _asleep
    cdef bint _turning
    cdef int _fast_turns
    cdef int _fast_limit
    cdef int64_t _polled_at
    cdef public bint _closed
    cdef public bint _debug
    cdef public bint _stopping
    cdef public object _thread_id

    cdef int _forget_timer(self, TimerHandle timer) except -1
    cdef object _context_of(self, Handle handle)
    cdef int _file_again(self, TimerHandle timer) except -1
    cpdef int prepare(self, Handle handle) except -1
    cpdef bint prepare_source(self, Handle source) except -1
    cdef double _now(self) except? -1.0

    @cython.locals(handle=Handle)
    cpdef Handle make_handle(self, object callback, tuple args)

    @cython.locals(handle=Handle)
    cdef Handle _push(self, object callback, tuple args, object context)

    @cython.locals(timer=TimerHandle)
    cdef TimerHandle _push_timer(self, double when, object callback, tuple args, object context)

    @cython.locals(queue=list, timeout=int64_t, now=int64_t, elapsed=int64_t, pending=Py_ssize_t, wait=double, handle=Handle, index=Py_ssize_t, first=Py_ssize_t)
    cdef int _look(self) except -1

    @cython.locals(queue=list, handle=Handle, head=Py_ssize_t, end=Py_ssize_t, nested=bint)
    cdef int _turn(self) except -1

    cdef int _run(self, Handle handle) except -1
    cpdef int settle_later(self, Handle handle) except -1

    @cython.locals(handle=Handle, more=list)
    cdef int _settle(self, object context) except -1
    cdef object _run_plainly(self, Handle handle)

    cdef object _run_watched(self, Handle handle, object instrument)
