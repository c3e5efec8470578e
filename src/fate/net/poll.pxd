from libc.stdint cimport int64_t, uint32_t

cimport cython

from fate._native cimport Epoll
from fate.core.engine cimport Poll
from fate.core.handle cimport Handle

cdef uint32_t EPOLLIN
cdef uint32_t EPOLLOUT


cdef class Watch:
    cdef readonly int fd
    cdef public uint32_t mask
    cdef public uint32_t events
    cdef public Handle reader
    cdef public Handle writer


cdef class EpollPoll(Poll):
    cdef Epoll _epoll
    cdef dict _watches
    cdef bint closed

    @cython.locals(count=int, index=int, events=uint32_t, watch=Watch, handle=Handle)
    cpdef int poll(self, int64_t timeout_ns, list ready) except -1

    @cython.locals(mask=uint32_t)
    cdef int _update(self, Watch watch) except -1
    cdef Watch _watch(self, int fd)

    @cython.locals(watch=Watch)
    cpdef unsigned int events(self, int fd) except? 0xffffffff

    @cython.locals(watch=Watch, before=Handle)
    cpdef Handle set_reader(self, int fd, Handle handle)

    @cython.locals(watch=Watch, before=Handle)
    cpdef Handle set_writer(self, int fd, Handle handle)
