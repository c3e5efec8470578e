from libc.stdint cimport int64_t, uint32_t

cimport cython

from fate.sim.kernel cimport End, Kernel

cdef uint32_t IN, OUT, ERROR, HANG_UP
cdef int NEW, BOUND, LISTENING, CONNECTING, CONNECTED, CLOSED, OVER
cdef int UNTRIED, TRIED, TOLD, LEFT
cdef int DATA, FIN, RESET, ROOM
cdef Py_ssize_t BLOCKED
cdef Py_ssize_t WINDOW
cdef int64_t TIME_WAIT_NS


cdef class Carrier:
    cpdef int carry(self, Stream source, int kind, bytes data) except -1


@cython.final
cdef class Stream(End):
    cdef public bint is_unix
    cdef public int state
    cdef public Stream peer
    cdef public Carrier link
    cdef public object local
    cdef public object remote
    cdef public int error
    cdef public bint eof
    cdef public bint shut_read
    cdef public bint shut_write
    cdef bint finished
    cdef public bint full
    cdef public int told
    cdef public bint bound
    cdef public str home
    cdef public bint locked
    cdef public int64_t until
    cdef public Py_ssize_t window
    cdef public Py_ssize_t outstanding
    cdef public int64_t arrives
    cdef readonly list rx
    cdef Py_ssize_t rx_offset
    cdef readonly Py_ssize_t rx_size
    cdef public list queue
    cdef public int backlog
    cdef public Stream listener
    cdef public str name

    @cython.locals(size=Py_ssize_t, room=Py_ssize_t)
    cpdef Py_ssize_t send(self, object data) except? -2
    cdef int _cannot_send(self) except -1
    cdef uint32_t _mask_apart(self) except? 0xffffffff
    cpdef int raise_error(self) except -1

    @cython.locals(first=bytes, length=Py_ssize_t)
    cpdef bytes receive(self, Py_ssize_t size, bint peek)
    cdef int _drop(self, Py_ssize_t size) except -1
    cdef bytes _nothing_to_read(self)

    @cython.locals(peer=Stream)
    cdef int _read(self, Py_ssize_t size) except -1
    cpdef int arrive(self, bytes data) except -1
    cdef int _answer_reset(self) except -1
    cpdef int finish(self) except -1
    cpdef int leave(self) except -1
    cpdef int reset(self) except -1
    cpdef int fail(self, int number) except -1
    cpdef int disconnect(self) except -1

    @cython.locals(peer=Stream)
    cpdef int shutdown(self, bint read, bint write) except -1

    cpdef int end_sending(self) except -1

    @cython.locals(peer=Stream)
    cdef int _send_end(self, int kind) except -1

    @cython.locals(server=Stream, waiting=list)
    cpdef int refuse_waiting(self) except -1

    @cython.locals(peer=Stream)
    cpdef int close(self, bint abort) except -1
    cpdef int join(self, Stream peer, Carrier link, Carrier back) except -1
    cpdef int established(self, object _=*) except -1
