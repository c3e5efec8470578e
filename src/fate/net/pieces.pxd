cimport cython


cdef class Pieces:
    cdef readonly list waiting
    cdef readonly Py_ssize_t head
    cdef public Py_ssize_t offset

    cpdef int add(self, bytes piece) except -1

    @cython.locals(waiting=list, size=Py_ssize_t, head=Py_ssize_t, place=Py_ssize_t, length=Py_ssize_t, piece=bytes)
    cpdef int take(self, Py_ssize_t count) except -1
    cpdef int clear(self) except -1
    cpdef list rest(self)
