from libc.stdint cimport int64_t, uint32_t


cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        int fd
    struct epoll_event:
        uint32_t events
        epoll_data_t data


cpdef bint compiled() noexcept
cpdef int64_t clock_ns() noexcept
cpdef object run_in_context(object context, object callback, tuple args, bint copy)
cpdef bint can_share() except -1
cpdef bint shares(object snapshot) noexcept
cpdef object copy_context()
cpdef object recycle(type cls, bint tracked, int limit)
cpdef object track(object made)


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
