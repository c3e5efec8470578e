cdef Py_ssize_t RECORD
cdef object WRAPPED
cdef object FLUSHING
cdef object ENDED
cdef object AGAIN
