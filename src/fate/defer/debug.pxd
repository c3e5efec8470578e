from fate._native cimport Notes


cdef int _alive


cdef class DebugInfo:
    cdef public object failResult
    cdef public object creator
    cdef public object invoker
    cdef public Notes notes
    cdef public object made_by
    cdef public Notes fired_by
    cdef public bint given_up
