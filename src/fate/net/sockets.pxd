cimport cython

from fate.net._socket_calls cimport receive, receive_into, send
from fate.net.poll cimport EpollPoll, Handle


cdef class Reading:
    cdef int fd
    cdef object loop
    cdef object waiter
    cdef EpollPoll poll
    cdef Handle handle
    cdef public bint keep


cdef class Writing(Reading):
    pass
