cimport cython

cdef Py_ssize_t RECORD
cdef object WRAPPED
cdef object FLUSHING
cdef object ENDED
cdef object AGAIN


cdef class Core:
    cdef public object _app_protocol
    cdef public object _incoming
    cdef public object _outgoing
    cdef public object _state
    cdef public object _tls
    cdef public object _transport
    cdef public object _write_backlog
    cdef public object _feed
    cdef public object _read
    cdef public object _write
    cdef public object _drain
    cdef public Py_ssize_t _came
    cdef public bint _drained
    cdef public Py_ssize_t _incoming_high_water
    cdef public Py_ssize_t _outgoing_high_water
    cdef public Py_ssize_t _write_buffer_size
    cdef public long _conn_lost
    cdef public bint _app_protocol_is_buffer
    cdef public bint _app_reading_paused
    cdef public bint _app_writing_paused
    cdef public bint _ssl_reading_paused
    cdef public bint _ssl_writing_paused

    @cython.locals(empty=bint)
    cpdef _do_read(self)

    @cython.locals(room=Py_ssize_t, pieces=list, closed=bint, ended=bint, empty=bint)
    cdef bint _decrypt(self) except -1

    @cython.locals(size=Py_ssize_t, count=Py_ssize_t)
    cdef int _write_one(self, object data) except -1

    @cython.locals(size=Py_ssize_t)
    cdef int _take(self, object data) except -1
    cdef int _encrypt(self) except -1

    @cython.locals(size=Py_ssize_t, count=Py_ssize_t)
    cpdef _do_write(self)

    cpdef _process_outgoing(self)
    cdef int _push(self, Py_ssize_t size) except -1
