cimport cython

from fate.core.engine cimport Engine, Poll
from fate.core.handle cimport Handle

cdef unsigned int IN
cdef unsigned int OUT
cdef unsigned int BROKEN
cdef char SOURCE
cdef Py_ssize_t CALL
cdef Py_ssize_t WARM


cdef class Descriptors(Handle)


cdef class Descriptor:
    cdef readonly Descriptors owner
    cdef readonly object selectable
    cdef readonly int fd
    cdef Handle handle
    cdef readonly bint reading
    cdef readonly bint writing
    cdef readonly bint armed
    cdef bint plain_reader
    cdef bint plain_writer

    @cython.locals(reads=bint)
    cdef int _work(self, unsigned int events) except -1
    cdef int _try(self) except -1

    @cython.locals(own=dict)
    cdef object _receive(self)

    @cython.locals(own=dict, pieces=list)
    cdef object _send(self)

    cdef int _arm(self) except -1


cdef class Descriptors(Handle):
    cdef readonly object reactor
    cdef readonly list corked
    cdef Engine _engine
    cdef Poll _poll
    cdef dict _known
    cdef bint _due
    cdef bint _flushing

    @cython.locals(descriptor=Descriptor)
    cdef Descriptor _get(self, object selectable)

    @cython.locals(descriptor=Descriptor)
    cpdef add_reader(self, object selectable)

    @cython.locals(descriptor=Descriptor, engine=Engine)
    cpdef add_writer(self, object selectable)

    @cython.locals(descriptor=Descriptor)
    cpdef remove_reader(self, object selectable)

    @cython.locals(descriptor=Descriptor)
    cpdef remove_writer(self, object selectable)

    cdef int _let_go(self, Descriptor descriptor) except -1

    @cython.locals(corked=list, descriptor=Descriptor, flushing=bint)
    cpdef flush(self)


cdef list _contexts()
