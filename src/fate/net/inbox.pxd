cdef class Done:
    pass


cdef class Inbox:
    cdef object _create_future
    cdef Py_ssize_t _limit
    cdef public bytearray _buffer
    cdef public bint _eof
    cdef public object _waiter
    cdef public object _exception
    cdef public object _transport
    cdef public bint _paused

    cpdef feed(self, object data)
    cpdef bint has(self, Py_ssize_t size) except -1
    cpdef object expect(self, object func_name)
    cpdef expected(self)
    cpdef bytes take(self, Py_ssize_t most)
