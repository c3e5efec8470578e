cimport cython

from fate._native cimport Made, Notes, invoke, is_instance, recycle
from fate.defer.debug cimport DebugInfo

cdef object _failure_class
cdef object _starter
cdef bint _compiled
cdef int ADDED, FIRED, LOST, MADE, RAISED, RETURNED, WAITS
cdef bint _debugging
cdef bint _storying
cdef object NO_RESULT
cdef object CONTINUE
cdef object NO_KWARGS
cdef tuple FAILTHRU
cdef tuple PASSTHRU
cdef object _passthru
cdef object _failthru


cdef class Continuation:
    cdef public Deferred follow
    cpdef object resume(self, object result)
    cpdef object give_up(self, Deferred deferred)


cdef class Chained(Continuation):
    cdef Deferred deferred


cdef class Deferred(Made):
    cdef dict __dict__
    cdef object __weakref__
    cdef public object _result
    cdef public object _canceller
    cdef object _first
    cdef list _rest
    cdef Py_ssize_t _index
    cdef public Deferred _chainedTo
    cdef public DebugInfo _debugInfo
    cdef public Notes _notes
    cdef public int paused
    cdef public bint called
    cdef public bint _runningCallbacks
    cdef public bint _suppressAlreadyCalled
    cdef bint _listed
    cdef char _debug

    cdef int _prepare(self, object canceller) except -1
    cdef int _append(self, object entry) except -1
    @cython.locals(rest=list, index=Py_ssize_t)
    cdef object _take(self)
    cdef bint _idle(self) except -1
    cdef object _steal(self)
    cdef int _fire(self, object result) except -1
    cdef int _settle(self) except -1
    cdef int _note_result(self, object callback, object result) except -1
    @cython.locals(current=Deferred, known=Deferred, steps=Py_ssize_t, until=Py_ssize_t)
    cdef int _cancel(self) except -1
    @cython.locals(current=Deferred, inner=Deferred, follow=Deferred, step=Continuation, chain=list, call=tuple, is_call=bint, failed=bint)
    cdef int _run(self) except -1


@cython.locals(deferred=Deferred)
cpdef Deferred new_deferred(object canceller)
@cython.locals(deferred=Deferred)
cpdef Deferred fired_deferred(object result)
@cython.locals(deferred=Deferred)
cpdef object _blank(object cls)
cpdef object failure_of(object error)
cpdef bint is_failure(object made)
