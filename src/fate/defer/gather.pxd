cimport cython

from fate._native cimport recycle
from fate.defer.deferred cimport Continuation, Deferred, failure_of, is_failure


cdef class Child(Continuation):
    cdef DeferredList group
    cdef Py_ssize_t index


cdef class DeferredList(Deferred):
    cdef public list _deferredList
    cdef public list resultList
    cdef public bint fireOnOneCallback
    cdef public bint fireOnOneErrback
    cdef public bint consumeErrors
    cdef public Py_ssize_t finishedCount
    cdef public bint _values_only

    @cython.locals(child=Child, member=Deferred, index=Py_ssize_t)
    cdef int _gather(self) except -1

    @cython.locals(failed=bint, fired=bint)
    cdef object _finished(self, Child child, object result)


@cython.locals(group=DeferredList)
cpdef object gatherResults(object deferredList, bint consumeErrors=*)
