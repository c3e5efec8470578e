cimport cython

from fate.net._calls cimport fd_of, give_back
from fate.net._socket_calls cimport receive_datagrams, send_datagram

cdef int EAGAIN
cdef int MOST
cdef bint COMPILED


cdef class Datagrams:
    cdef object _transport
    cdef object _sock
    cdef object _buffer
    cdef object _address
    cdef list _batch
    cdef Py_ssize_t _next
    cdef int _family
    cdef int _error
    cdef int _most
    cdef bint _internet
    cdef bint _connected
    cdef public bint paused
    cdef public bint closing
    cdef public object protocol

    cpdef bint waiting(self)

    @cython.locals(batch=list, index=Py_ssize_t, error=int, fd=int)
    cpdef receive(self, transport)

    @cython.locals(error=int)
    cpdef sendto(self, data, addr=*)
