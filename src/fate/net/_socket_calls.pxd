cpdef object receive(object sock, int fd, Py_ssize_t size)
cpdef bint fillable(object buffer) except -1
cpdef Py_ssize_t receive_into(object sock, int fd, object buffer) except -2
cpdef Py_ssize_t send(object sock, int fd, object data, Py_ssize_t start) except -2
cpdef int receive_datagrams(object sock, int fd, bint internet, int most, list into) except -1
cpdef int send_datagram(object sock, int fd, int family, object data, object address) except -2
