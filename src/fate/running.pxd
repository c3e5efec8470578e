from fate.core.engine cimport Engine


cdef class Before:
    cdef bint begun
    cdef bint over
    cdef int depth
    cdef object hooks
    cdef object loop


cdef int _begin(Engine loop, Before before) except -1
cdef int _end(Engine loop, Before before) except -1
