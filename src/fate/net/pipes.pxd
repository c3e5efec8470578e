cimport cython

from fate.net._calls cimport give_back, read_pipe, write_pieces, write_pipe
from fate.net.pieces cimport Pieces

cdef bint COMPILED
cdef Py_ssize_t READ


cdef class PipeReader:
    cdef object _file
    cdef public object protocol

    cpdef receive(self, transport)


cdef class PipeWriter:
    cdef object _file
    cdef Pieces _pieces
    cdef Py_ssize_t _size
    cdef public bint closing

    cpdef keep(self, bytes data, Py_ssize_t offset)

    @cython.locals(sent=Py_ssize_t)
    cpdef bint write(self, transport, data) except -1

    @cython.locals(pieces=Pieces, sent=Py_ssize_t)
    cpdef int flush(self) except -1
