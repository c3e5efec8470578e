cimport cython

from fate.net._calls cimport fd_of_file, give_back, read_pipe, write_pieces, write_pipe

cdef bint COMPILED
cdef Py_ssize_t READ


cdef class PipeReader:
    cdef object _file
    cdef public object protocol

    cpdef receive(self, transport)


cdef class PipeWriter:
    cdef object _file
    cdef list _pieces
    cdef Py_ssize_t _head
    cdef Py_ssize_t _offset
    cdef Py_ssize_t _size
    cdef public bint closing

    cpdef keep(self, bytes data, Py_ssize_t offset)

    @cython.locals(sent=Py_ssize_t)
    cpdef bint write(self, transport, data) except -1

    @cython.locals(pieces=list, count=Py_ssize_t, sent=Py_ssize_t, place=Py_ssize_t, head=Py_ssize_t)
    cpdef int flush(self) except -1
