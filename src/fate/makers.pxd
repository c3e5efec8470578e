from fate._native cimport call_with, compiled
from fate.core.engine cimport Engine

cdef bint COMPILED
cdef dict TASKS


cdef class Makers(Engine):
    cdef dict _for_me
