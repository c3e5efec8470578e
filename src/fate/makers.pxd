from fate._native cimport call_with
from fate.core.engine cimport Engine


cdef class Makers(Engine):
    cdef dict _for_me
