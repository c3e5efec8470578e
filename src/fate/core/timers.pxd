cimport cython
from libc.stdint cimport int64_t, uint64_t

from fate._native cimport compiled, pop_last
from fate.core.handle cimport TimerHandle

cdef bint COMPILED
cdef int SLOTS
cdef int LEVELS
cdef int64_t LAST_TICK
cdef double TICKS_PER_SECOND
cdef double END
cdef int NEAR
cdef int READY
cdef uint64_t ONE
cdef Py_ssize_t CROWD

cdef int64_t _tick_of(double when) noexcept


cdef class Level:
    cdef int shift
    cdef uint64_t occupied
    cdef readonly list slots


cdef class Timers:
    cdef readonly Py_ssize_t count
    cdef int64_t _tick
    cdef list _levels
    cdef list _near
    cdef list _moving
    cdef bint _heaped

    @cython.locals(tick=int64_t, difference=int64_t, index=int64_t, level=int, slots=list, lists=list, near=list, lane=Level, heaped=bint)
    cpdef int add(self, TimerHandle handle) except -1

    @cython.locals(slots=list, index=int, number=int, last=TimerHandle, lane=Level, heaped=bint)
    cpdef int remove(self, TimerHandle handle) except -1

    @cython.locals(target=int64_t, near=list, handle=TimerHandle, last=TimerHandle, size=Py_ssize_t, singly=Py_ssize_t)
    cpdef int collect(self, double now, list ready) except -1

    @cython.locals(near=list, handle=TimerHandle, due=Py_ssize_t, first=Py_ssize_t, index=Py_ssize_t)
    cdef int _collect_many(self, double now, list ready) except -1

    cdef int _advance(self, int64_t target) except -1

    @cython.locals(near=list, above=Py_ssize_t, other=TimerHandle)
    cdef int _rise(self, TimerHandle handle, Py_ssize_t index) except -1

    @cython.locals(near=list, size=Py_ssize_t, below=Py_ssize_t, other=TimerHandle, right=TimerHandle)
    cdef int _sink(self, TimerHandle handle, Py_ssize_t index) except -1

    @cython.locals(near=list, handle=TimerHandle, index=Py_ssize_t)
    cdef int _order(self) except -1

    @cython.locals(difference=int64_t, top=int, number=int, digit=int64_t, mask=uint64_t, lane=Level, slots=list, lists=list, handle=TimerHandle)
    cdef int _move(self, int64_t target) except -1

    @cython.locals(handle=TimerHandle, found=dict)
    cdef int _file_anew(self) except -1

    @cython.locals(slots=list, index=Py_ssize_t)
    cdef Py_ssize_t _place_of(self, TimerHandle handle, object slots) except -2

    @cython.locals(lane=Level, slots=list, earliest=double, handle=TimerHandle, start=int64_t, shift=int, number=int, index=int)
    cpdef double deadline(self) except? -1.0

    @cython.locals(lane=Level, handle=TimerHandle)
    cpdef clear(self)
