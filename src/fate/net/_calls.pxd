from cpython.ref cimport PyObject

from fate.core.handle cimport Handle


cpdef int enter(object context) except -1
cpdef int leave(object context) except -1
cpdef int fd_of(object sock) except -2
cpdef int fd_of_file(object file) except -2
cpdef object receive(int fd, Py_ssize_t room)
cdef object bytes_of(const char *start, Py_ssize_t size)
cpdef int give_back(object data) except -1
cpdef Py_ssize_t receive_into(int fd, object buffer) except -2
cpdef Py_ssize_t send(int fd, object data, Py_ssize_t offset) except? -1
cpdef object read_pipe(object file, Py_ssize_t room)
cpdef Py_ssize_t write_pipe(object file, bytes data) except? -1
cpdef Py_ssize_t write_pieces(object file, list pieces, Py_ssize_t first, Py_ssize_t offset) except? -1
cpdef Py_ssize_t send_pieces(int fd, list pieces, Py_ssize_t first, Py_ssize_t offset) except? -1
cpdef object accept(object listener, int fd)
cpdef object peer_of(object sock, int fd)
cpdef object name_of(object sock, int fd)
cpdef object unpack(object packed)
cpdef int no_delay(object sock, int fd) except -1


cdef class Table:
    cdef PyObject **_users
    cdef int _size

    cpdef object get(self, int fd)
    cpdef list descriptors(self)


cdef class Seated(Handle):
    cdef PyObject *_table
    cdef readonly int _sock_fd

    cdef int _sit(self, Table table, int fd) except -1
    cdef int _rise(self) noexcept
