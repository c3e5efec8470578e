from libc.stdint cimport int64_t, uint64_t

cimport cython

cdef uint64_t MASK
cdef uint64_t GOLDEN
cdef uint64_t FIRST
cdef uint64_t SECOND
cdef double UNIT
cdef dict _labels

cpdef uint64_t mix(uint64_t state) noexcept
cpdef uint64_t hash_of(str label) except? 0


@cython.final
cdef class Draws:
    cdef uint64_t base
    cdef uint64_t count


@cython.final
cdef class Decisions:
    cdef readonly object seed
    cdef uint64_t base
    cdef readonly dict overrides
    cdef readonly bint drawn
    cdef list _taken
    cdef dict _streams

    @cython.locals(stream=Draws)
    cpdef uint64_t bits(self, str label) except? 0

    @cython.locals(stream=Draws, n=uint64_t, value=int64_t, drawn=uint64_t, taken=list)
    cpdef int64_t decide(self, str label, int64_t bound, double probability, int64_t when) except? -1
