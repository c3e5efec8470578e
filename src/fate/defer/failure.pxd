cdef int _count


cdef class Failure(BaseException):
    cdef public object type
    cdef public object value
    cdef public object tb
    cdef public object captureVars
    cdef public int count
    cdef public int pickled
    cdef object _frames
    cdef object _parents
