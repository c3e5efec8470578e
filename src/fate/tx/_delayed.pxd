cimport cython

from fate._native cimport clock_ns
from fate.core.engine cimport Engine
from fate.core.handle cimport TimerHandle
from fate.core.timers cimport Timers

cdef double SOON
cdef double ROUNDING
cdef int READY


cdef class DelayedCall(TimerHandle):
    cdef bint _moved
    cdef readonly int called
    cdef object _time
    cdef public object seconds
    cdef public object func
    cdef public tuple args
    cdef public dict kw
    cdef public object creator

    cdef int _check_active(self) except -1
    cdef int _move(self, double when) except -1


@cython.locals(call=DelayedCall, now=double, timers=Timers)
cdef DelayedCall schedule(Engine engine, seconds, double delay, func, tuple args, dict kw)

cdef int check(Engine engine, func) except -1
