from libc.stdint cimport int64_t

from fate._native cimport recycle


cdef class Handle
cdef class TimerHandle(Handle)


cdef class Owner:
    cdef int _forget_timer(self, TimerHandle timer) except -1
    cdef object _context_of(self, Handle handle)
    cdef double _now(self) except? -1.0
    cdef int _file_again(self, TimerHandle timer) except -1


cdef class Handle:
    cdef object __weakref__
    cdef public object _callback
    cdef public tuple _args
    cdef object _snapshot
    cdef public Owner _loop
    cdef public int64_t id
    cdef public int64_t cause
    cdef public char _cancelled
    cdef char _kind
    # TimerHandle's place among the timers fills the padding here. With one word more a timer takes 16 bytes more:
    # that is why the stack of debug mode is kept by the loop.
    cdef public short _slot
    cdef public int _index
    cdef int _empty(self) except -1
    cdef object _fire(self)
    cdef int _settle(self, object context) except -1


cdef class TimerHandle(Handle):
    cdef public double _when
    cdef bint _before(self, TimerHandle other) except -1
