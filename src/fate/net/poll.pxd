from libc.stdint cimport int64_t, uint32_t

cimport cython

from fate._native cimport Epoll, clock_ns
from fate.core.engine cimport Poll
from fate.core.handle cimport Handle

cdef int64_t SPIN_LEAST
cdef int VAIN
cdef uint32_t EPOLLIN
cdef uint32_t EPOLLOUT
cdef uint32_t MORE
cdef uint32_t EDGE


cdef class Watch:
    cdef readonly int fd
    cdef public uint32_t mask
    cdef public uint32_t events
    cdef public uint32_t generation
    cdef public int vain
    cdef public bint doubtful
    cdef public bint edge
    cdef public object owner
    cdef public Handle reader
    cdef public Handle writer


cdef class EpollPoll(Poll):
    cdef Epoll _epoll
    cdef list _watches
    cdef uint32_t _generation
    cdef readonly int64_t _spin
    cdef readonly int64_t _spin_now
    cdef bint closed

    @cython.locals(count=int, index=int, events=uint32_t, watches=list, watch=Watch, handle=Handle, haunted=bint)
    cpdef int poll(self, int64_t timeout_ns, list ready) except -1

    @cython.locals(count=int, began=int64_t, before=Py_ssize_t)
    cdef int _wait_spinning(self, int64_t timeout_ns, list ready) except -1

    @cython.locals(watch=Watch, mask=uint32_t, epoll=Epoll)
    cdef int _renew(self) except -1

    @cython.locals(watch=Watch)
    cpdef remind(self)

    @cython.locals(mask=uint32_t)
    cdef int _update(self, Watch watch, Handle newcomer) except -1
    cdef int _ask(self, Watch watch) except -1

    @cython.locals(handle=Handle)
    cdef int _outdated(self, Watch watch, Handle newcomer) except -1

    @cython.locals(generation=uint32_t)
    cdef int _register(self, Watch watch, uint32_t mask) except -1

    @cython.locals(watch=Watch)
    cdef Watch _kept(self, object sock, int fd)

    @cython.locals(watch=Watch)
    cpdef bint in_vain(self, object sock, int fd) except -1

    @cython.locals(watch=Watch, before=Handle)
    cpdef bint wait_again(self, object sock, int fd, Handle handle, bint tried) except -1

    @cython.locals(watch=Watch)
    cpdef int wait_to_read(self, object sock, int fd, Handle handle, bint tried) except -1

    @cython.locals(watch=Watch)
    cpdef int let_go(self, int fd) except -1

    @cython.locals(watch=Watch)
    cpdef int end_reading(self, int fd, Handle handle, bint keep, bint more) except -1

    @cython.locals(watch=Watch)
    cdef Watch _watch(self, int fd)
    cdef Watch _find(self, int fd)
    cdef int _keep(self, Watch watch) except -1

    @cython.locals(watch=Watch)
    cpdef unsigned int events(self, int fd) except? 0xffffffff

    @cython.locals(watch=Watch, before=Handle)
    cdef Handle _read_by(self, int fd, Handle handle, bint edge)
    cpdef Handle set_reader(self, int fd, Handle handle)

    @cython.locals(watch=Watch)
    cpdef drop_reader(self, int fd, Handle handle)

    @cython.locals(watch=Watch)
    cpdef drop_writer(self, int fd, Handle handle)

    @cython.locals(before=Handle)
    cpdef set_source(self, int fd, Handle source)

    @cython.locals(watch=Watch, before=Handle)
    cpdef Handle set_writer(self, int fd, Handle handle)
