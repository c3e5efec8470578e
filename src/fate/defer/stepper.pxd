cimport cython

from fate._native cimport Ended, advance, copy_context, recycle, throw
from fate.defer.deferred cimport Continuation, Deferred, failure_of, is_failure, new_deferred

cdef set _plain


cdef class Stepper(Continuation):
    cdef public object generator
    cdef object context
    cdef public Deferred deferred
    cdef public object waiting_on
    cdef bint adding
    cdef object got

    @cython.locals(step=object, other=Deferred, end=Ended)
    cdef int _run(self, object result) except -1

    cdef int _finish(self, Ended end) except -1


@cython.locals(stepper=Stepper, deferred=Deferred, follow=Deferred)
cpdef Deferred start(object generator)
