cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        int fd
    struct epoll_event:
        uint32_t events
        epoll_data_t data


cpdef bint compiled() noexcept
cpdef int64_t clock_ns() noexcept
cpdef object run_in_context(object context, object callback, tuple args)
cpdef bint can_share() except -1
cpdef bint shares(object snapshot) noexcept
cpdef object copy_context()
cpdef object copy_of(object context)
cpdef object recycle(type cls, bint tracked, int limit)
cpdef object track(object made)


cpdef object invoke(object callback, object result, tuple args, object kwargs, object failed)
cpdef object advance(object generator, object context, object value)
cpdef object throw(object generator, object context, object error)
cpdef object skip_frames(str folder)


cpdef bint is_instance(object made, object cls) noexcept


@cython.freelist(64)
cdef class Ended:
    cdef readonly object value
    cdef readonly object error


cdef class Made:
    cdef object _maker
    cdef int _instruction
    cdef uint64_t _thread

    cdef int _made_here(self) except -1
    cdef bint _is_elsewhere(self) except -1
    cpdef object _made_by(self)


cdef enum:
    FEW = 8

# Strong references, all of them to objects that refer to nothing of the program's.
cdef struct FateNote:
    PyObject *what
    PyObject *code
    int instruction
    int kind


cdef class Notes:
    cdef FateNote *_notes
    cdef int _count
    cdef int _room
    cdef FateNote _few[FEW]

    cdef FateNote *_new(self, int kind) except NULL
    cpdef int happened(self, int kind) except -1
    cpdef int added(self, int kind, object callback) except -1
    cpdef int fired(self, int kind, object value) except -1
    cpdef int gave(self, int kind, object callback, object value) except -1
    cpdef int failed(self, int kind, object callback, object cls) except -1


cdef class Epoll:
    cdef readonly int _fd
    cdef bint _has_pwait2
    cdef epoll_event _buffer[256]

    cdef int _control(self, int operation, int fd, uint32_t events) except -1
    cpdef int register(self, int fd, uint32_t events) except -1
    cpdef int modify(self, int fd, uint32_t events) except -1
    cpdef int unregister(self, int fd) except -1
    cpdef int wait(self, int64_t timeout_ns) except -1
    cdef inline int fd(self, int index) noexcept:
        return self._buffer[index].data.fd
    cdef inline uint32_t events(self, int index) noexcept:
        return self._buffer[index].events
    cpdef close(self)
