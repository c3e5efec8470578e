# No C types here, but it is compiled.
from libc.stdint cimport int64_t

cimport cython

from fate.sim.decisions cimport Decisions
from fate.sim.kernel cimport Kernel
from fate.sim.stream cimport Carrier, Stream

cdef int64_t LOOPBACK_NS
cdef int64_t LATENCY_NS
cdef int64_t LATENCY_STEP_NS
cdef int64_t LATENCY_STEPS
cdef int DATA, RESET


cdef class Link(Carrier):
    cdef readonly Kernel kernel
    cdef readonly str source
    cdef readonly str target
    cdef readonly object strike
    cdef readonly str way
    cdef public bint cut
    cdef public int64_t extra
    cdef readonly int64_t latency
    cdef list _held
    cdef list _starts
    cdef double _late
    cdef str _late_label
    cdef double _split
    cdef str _split_label
    cdef double _reset
    cdef str _reset_label
    cdef dict _chances
    cdef bint _strikes

    cdef int64_t _decide(self, str kind, int64_t bound) except? -1

    @cython.locals(took=int64_t, kernel=Kernel)
    cdef int64_t _delay(self) except? -1

    @cython.locals(at=int64_t, kernel=Kernel)
    cpdef int carry(self, Stream source, int kind, bytes data) except -1

    @cython.locals(when=int64_t)
    cdef int _send(self, Stream source, int kind, bytes data) except -1

    @cython.locals(peer=Stream)
    cdef int _break(self, Stream source) except -1

    @cython.locals(now=int64_t, value=int64_t, seconds=int64_t)
    cdef int _strike(self) except -1
