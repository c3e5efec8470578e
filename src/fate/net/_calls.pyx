# The system calls of the stream transports: recv, send, sendmsg and accept4 on bare descriptors, read and write on
# pipes, and the two C-API calls that enter and leave a context. Nothing here waits, and the GIL is kept, for none of these
# blocks; but writes on pipes go without it, for others can make a pipe block.
#
# The same names with the same meaning stand in `_calls.py` for the uncompiled build. A call that would have to wait
# says so by its result, since an exception costs more than the call. So do those that read and write streams when they
# fail, since where nothing is raised nothing need be caught; every other error is an OSError that is raised.

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.errno cimport EAGAIN, EINTR, errno
from libc.string cimport memset

import _io
import _socket
import os

from fate.core.handle cimport Handle
from fate.net import addresses


cdef extern from * nogil:
    """
    #include <errno.h>
    #include <netinet/in.h>
    #include <netinet/tcp.h>
    #include <stdint.h>
    #include <sys/socket.h>
    #include <sys/uio.h>
    #include <unistd.h>

    #define FATE_SHARED 65536      /* what one read into the shared buffer takes at most */
    #define FATE_PIECES 64         /* what one sendmsg takes at most */
    static char fate_shared[FATE_SHARED] __attribute__((aligned(4096)));

    /* AMD's processors copy (`rep movsb`, Zen 3 to 5) a fifth as fast to a place that lies less than 32 bytes further in
       its page than the source does in its own; and what the kernel has of a large message begins with a page. */
    static inline int fate_slow_to_fill(const char *place) { return (uintptr_t)place % 4096 - 1u < 31u; }

    /* As recv, and no signal ends it. */
    static inline ssize_t fate_recv(int fd, void *buffer, size_t size) {
        ssize_t count;
        do count = recv(fd, buffer, size, MSG_DONTWAIT); while (count < 0 && errno == EINTR);
        return count;
    }

    static inline ssize_t fate_read(int fd, void *buffer, size_t size) {
        ssize_t count;
        do count = read(fd, buffer, size); while (count < 0 && errno == EINTR);
        return count;
    }

    /* A socket object of CPython's begins with its descriptor, which is cheaper to read than to ask for: of `_socket.socket`
       and whatever is derived from it, which the type of the object itself tells, not its `__class__`. */
    static PyTypeObject *fate_socket_type = NULL;
    static PyTypeObject *fate_seen_type = NULL; /* the last that was found to be derived from it; a reference */

    static inline int fate_is_socket(PyObject *sock) {
        PyTypeObject *type = Py_TYPE(sock);
        if (type == fate_seen_type) return 1;
        if (fate_socket_type == NULL || !PyType_IsSubtype(type, fate_socket_type)) return 0;
        Py_INCREF(type);
        Py_XSETREF(fate_seen_type, type);
        return 1;
    }

    static inline int fate_fd_of(PyObject *sock) { /* of what `fate_is_socket` */
    #ifdef PYPY_VERSION
        return -1;
    #else
        return *(int *)((char *)sock + sizeof(PyObject));
    #endif
    }
    """
    enum:
        FATE_SHARED
        FATE_PIECES
        MSG_DONTWAIT
        MSG_NOSIGNAL
        SOCK_CLOEXEC
        SOCK_NONBLOCK
        IPPROTO_TCP
        TCP_NODELAY
    char *fate_shared
    bint fate_slow_to_fill(const char *place)
    struct iovec:
        void *iov_base
        size_t iov_len
    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen
    struct sockaddr:
        pass
    struct sockaddr_storage:
        pass
    PyTypeObject *fate_socket_type
    bint fate_is_socket(object sock)
    int fate_fd_of(object sock)
    Py_ssize_t fate_recv(int fd, void *buffer, size_t size)
    Py_ssize_t fate_read(int fd, void *buffer, size_t size)
    Py_ssize_t sys_write "write"(int fd, const void *buffer, size_t size)
    Py_ssize_t sys_send "send"(int fd, const void *buffer, size_t size, int flags)
    Py_ssize_t writev(int fd, const iovec *vector, int size)
    Py_ssize_t sendmsg(int fd, const msghdr *message, int flags)
    int accept4(int fd, sockaddr *address, unsigned int *size, int flags)
    int getpeername(int fd, sockaddr *address, unsigned int *size)
    int getsockname(int fd, sockaddr *address, unsigned int *size)
    int setsockopt(int fd, int level, int option, const void *value, unsigned int size)

cdef extern from "Python.h":
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1
    int _PyBytes_Resize(PyObject **bytes, Py_ssize_t size) except -1
    PyObject *new_bytes "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size) except NULL
    char *content "PyBytes_AS_STRING"(PyObject *made)
    void drop "Py_DECREF"(PyObject *made)

# What a turn reads is let go of when the turn ends, all together: more than malloc keeps at hand, so that it joins the
# pieces and cuts them again for the next turn, which is a fifth of what an echo of 1 KiB takes outside the kernel.
cdef extern from *:
    """
    static inline void fate_unhash(PyObject *data) {
        _Py_COMP_DIAG_PUSH
        _Py_COMP_DIAG_IGNORE_DEPR_DECLS
        ((PyBytesObject *)data)->ob_shash = -1;
        _Py_COMP_DIAG_POP
    }

    #define FATE_LEAST 480         /* shorter ones are pymalloc's, which is as fast */
    #define FATE_MOST 4096
    #define FATE_KEPT (256 * 1024) /* bytes in all */

    /* By length, 64 to a list. The next one's address stands in the bytes themselves. */
    static PyObject *fate_dead[FATE_MOST / 64 + 2];
    static Py_ssize_t fate_dead_size;

    static inline PyObject *fate_bytes(const char *from, Py_ssize_t size) {
        PyObject **list, *made;
        if (size < FATE_LEAST || size > FATE_MOST) return PyBytes_FromStringAndSize(from, size);
        list = &fate_dead[size / 64];
        if (*list == NULL || Py_SIZE(*list) < size) list++; /* where all are long enough */
        if ((made = *list) == NULL) return PyBytes_FromStringAndSize(from, size);
        memcpy(list, PyBytes_AS_STRING(made), sizeof *list);
        fate_dead_size -= Py_SIZE(made);
        Py_SET_SIZE(made, size);
        memcpy(PyBytes_AS_STRING(made), from, (size_t)size);
        PyBytes_AS_STRING(made)[size] = 0;
        return made;
    }

    static inline void fate_give_back(PyObject *data) {
        PyObject **list;
        Py_ssize_t size;
        if (Py_REFCNT(data) != 1 || !PyBytes_CheckExact(data)) return;
        size = Py_SIZE(data);
        if (size < FATE_LEAST || size > FATE_MOST || fate_dead_size + size > FATE_KEPT) return;
        Py_INCREF(data);
        list = &fate_dead[size / 64];
        fate_unhash(data);
        memcpy(PyBytes_AS_STRING(data), list, sizeof *list);
        *list = data;
        fate_dead_size += size;
    }
    """
    object fate_bytes(const char *start, Py_ssize_t size)
    void fate_give_back(object data)


cdef inline bint not_ready() noexcept:
    return errno == EAGAIN or errno == EINTR


cdef object failed():
    """The error of a call that failed; None if it would only have had to wait."""
    return None if not_ready() else OSError(errno, os.strerror(errno))


cpdef int enter(object context) except -1:
    """Enter `context`, for `leave` to leave it again."""
    return PyContext_Enter(context)


cpdef int leave(object context) except -1:
    """Leave `context`, the last that was entered."""
    return PyContext_Exit(context)


cdef bint begins_with_it() except -1:
    """Whether `fate_fd_of` tells the truth on this Python; from then on it is known what a socket is."""
    global fate_socket_type
    try:
        sock = _socket.socket()
    except OSError:
        return False
    cdef bint open = fate_fd_of(sock) == sock.fileno()
    sock.close()
    if open and fate_fd_of(sock) == -1:
        fate_socket_type = <PyTypeObject *>_socket.socket  # a static type, or kept by its module: it is never freed
        Py_INCREF(_socket.socket)
        return True
    return False


cdef bint FAST = begins_with_it()


cpdef int fd_of(object sock) except -2:
    """The descriptor of a socket as it is now: -1 once somebody has closed it."""
    return fate_fd_of(sock) if FAST and fate_is_socket(sock) else sock.fileno()


cdef extern from * nogil:
    """
    /* So does a FileIO: one of that very type. */
    static PyTypeObject *fate_file_type = NULL;

    static inline int fate_is_file(PyObject *file) {
        return Py_TYPE(file) == fate_file_type;
    }
    """
    PyTypeObject *fate_file_type
    bint fate_is_file(object file)


cdef bint files_begin_with_it() except -1:
    """As `begins_with_it`; from then on it is known what a file is."""
    global fate_file_type
    try:
        file = _io.FileIO("/dev/null")
    except OSError:
        return False
    cdef bint open = fate_fd_of(file) == file.fileno()
    file.close()
    if open and fate_fd_of(file) == -1:
        fate_file_type = <PyTypeObject *>_io.FileIO  # a static type, or kept by its module: it is never freed
        Py_INCREF(_io.FileIO)
        return True
    return False


files_begin_with_it()


cpdef int fd_of_file(object file) except -2:
    """The descriptor of a file object as it is now: -1 once somebody has closed it."""
    return number_of(file)


cdef inline int number_of(object file) except -2:
    return fate_fd_of(file) if fate_is_file(file) else asked_number(file)


cdef int asked_number(object file) except -2:
    try:
        return file.fileno()
    except ValueError:
        return -1


cpdef object receive(int fd, Py_ssize_t room):
    """Read up to `room` bytes: b"" at the end of the stream, None if nothing has come; the error, if there is one.

    Up to 64 KiB go through a buffer that all share, so that the bytes are made at the size that came. More goes into
    bytes of `room` that are shortened.
    """
    cdef PyObject *made
    cdef PyObject *other
    cdef Py_ssize_t count
    if room <= FATE_SHARED:
        count = fate_recv(fd, fate_shared, room)
        return fate_bytes(fate_shared, count) if count >= 0 else failed()
    made = new_bytes(NULL, room)
    if fate_slow_to_fill(content(made)):
        other = new_bytes(NULL, room)
        drop(made)
        made = other
    count = fate_recv(fd, content(made), room)
    if count < 0:
        error = failed()
        drop(made)
        return error
    if count != room:
        _PyBytes_Resize(&made, count)
    result = <object>made
    drop(made)
    return result


cdef object bytes_of(const char *start, Py_ssize_t size):
    """`size` bytes, a copy of those at `start`; bytes that were given back, where there are some."""
    return fate_bytes(start, size)


cpdef int give_back(object data) except -1:
    """Keep `data`, which the caller is about to let go of, for what is read next, if it is bytes that nobody else has."""
    fate_give_back(data)
    return 0


cpdef Py_ssize_t receive_into(int fd, object buffer) except -2:
    """Read into `buffer`: how many bytes, 0 at the end of the stream, -1 if nothing has come."""
    cdef Py_buffer view
    cdef Py_ssize_t count
    PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
    count = fate_recv(fd, view.buf, view.len)
    PyBuffer_Release(&view)
    if count < 0:
        if not not_ready():
            PyErr_SetFromErrno(OSError)
        return -1
    return count


cpdef Py_ssize_t send(int fd, object data, Py_ssize_t offset) except? -1:
    """Send what is in `data` from `offset` on: how many bytes were taken; below 0: what failed, as -errno."""
    cdef Py_buffer view
    cdef Py_ssize_t count
    if type(data) is bytes:
        count = sys_send(fd, PyBytes_AS_STRING(data) + offset, PyBytes_GET_SIZE(data) - offset,
                         MSG_DONTWAIT | MSG_NOSIGNAL)
    else:
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        count = sys_send(fd, <char *>view.buf + offset, view.len - offset, MSG_DONTWAIT | MSG_NOSIGNAL)
        PyBuffer_Release(&view)
    if count < 0:
        return 0 if not_ready() else -errno
    return count


cpdef object read_pipe(object file, Py_ssize_t room):
    """As `receive`, from any file that does not block, up to 64 KiB; its descriptor is asked for each time."""
    cdef Py_ssize_t count = fate_read(number_of(file), fate_shared, min(room, FATE_SHARED))
    return fate_bytes(fate_shared, count) if count >= 0 else failed()


cpdef Py_ssize_t write_pipe(object file, bytes data) except? -1:
    """As `send`, all of `data`, to any file; its descriptor is asked for each time.

    Without the GIL, and so is the next: whoever shares the open file, another process too, can make it block again.
    """
    cdef const char *start = PyBytes_AS_STRING(data)
    cdef Py_ssize_t count, size = PyBytes_GET_SIZE(data)
    cdef int fd = number_of(file)
    with nogil:
        count = sys_write(fd, start, size)
    if count < 0:
        return 0 if not_ready() else -errno
    return count


cpdef Py_ssize_t write_pieces(object file, list pieces, Py_ssize_t first, Py_ssize_t offset) except? -1:
    """As `write_pipe`, of the bytes in `pieces` from the one numbered `first` on, and of that from `offset` on."""
    cdef iovec vector[FATE_PIECES]
    cdef Py_ssize_t count, index, size = min(len(pieces) - first, FATE_PIECES)
    for index in range(size):
        piece = <bytes>pieces[first + index]
        vector[index].iov_base = PyBytes_AS_STRING(piece) + offset
        vector[index].iov_len = PyBytes_GET_SIZE(piece) - offset
        offset = 0
    cdef int fd = number_of(file)
    with nogil:
        count = writev(fd, vector, size)
    if count < 0:
        return 0 if not_ready() else -errno
    return count


cpdef Py_ssize_t send_pieces(int fd, list pieces, Py_ssize_t first, Py_ssize_t offset) except? -1:
    """As `send`, of the bytes in `pieces` from the one numbered `first` on, and of that from `offset` on, in one call."""
    cdef iovec vector[FATE_PIECES]
    cdef msghdr message
    cdef Py_ssize_t count, index, size = min(len(pieces) - first, FATE_PIECES)
    for index in range(size):
        piece = <bytes>pieces[first + index]
        vector[index].iov_base = PyBytes_AS_STRING(piece) + offset
        vector[index].iov_len = PyBytes_GET_SIZE(piece) - offset
        offset = 0
    memset(&message, 0, sizeof(message))
    message.msg_iov = vector
    message.msg_iovlen = size
    count = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)
    if count < 0:
        return 0 if not_ready() else -errno
    return count


cdef object told(sockaddr_storage *address, unsigned int size):
    return PyBytes_FromStringAndSize(<char *>address, min(size, sizeof(sockaddr_storage)))


cpdef object accept(object listener, int fd):
    """Take the next connection of a listening socket: its descriptor, non-blocking, and its peer; None if there is none."""
    cdef sockaddr_storage address
    cdef unsigned int size = sizeof(address)
    cdef int made = accept4(fd, <sockaddr *>&address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK)
    if made < 0:
        if not not_ready():
            PyErr_SetFromErrno(OSError)
        return None
    return made, told(&address, size)


cpdef object peer_of(object sock, int fd):
    """The address of the other side, packed; None if there is none."""
    cdef sockaddr_storage address
    cdef unsigned int size = sizeof(address)
    return told(&address, size) if getpeername(fd, <sockaddr *>&address, &size) == 0 else None


cpdef object name_of(object sock, int fd):
    """The socket's own address, packed; None if there is none."""
    cdef sockaddr_storage address
    cdef unsigned int size = sizeof(address)
    return told(&address, size) if getsockname(fd, <sockaddr *>&address, &size) == 0 else None


cpdef object unpack(object packed):
    """An address as the socket module has it, from what `accept`, `peer_of` and `name_of` give."""
    return None if packed is None else addresses.decode(packed)


cpdef int no_delay(object sock, int fd) except -1:
    """Send small writes at once (TCP_NODELAY)."""
    cdef int on = 1
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))
    return 0


cdef class Table:
    """Which transport uses which descriptor. It keeps none alive: see `Seated`, which alone puts something in."""

    def __cinit__(self):
        self._size = 0
        self._users = NULL

    def __dealloc__(self):
        PyMem_Free(self._users)

    cpdef object get(self, int fd):
        """Who uses `fd`; None: nobody."""
        if 0 <= fd < self._size and self._users[fd] != NULL:
            return <object>self._users[fd]
        return None

    cpdef list descriptors(self):
        """The descriptors that are used."""
        cdef int fd
        return [fd for fd in range(self._size) if self._users[fd] != NULL]


cdef class Seated(Handle):
    """A handle that has one place in a table: that of its descriptor.

    The table borrows it. So it keeps the table (by a reference that the collector knows nothing of, for it must be there
    when this object goes), and leaves its place in its destructor at the latest, whoever frees it and whatever it did.
    """

    def __cinit__(self):
        self._table = NULL
        self._sock_fd = -1

    def __dealloc__(self):
        self._rise()

    cdef int _sit(self, Table table, int fd) except -1:
        """Use `fd` from now on, and no other. Raises ValueError if there is no such descriptor."""
        cdef int size
        cdef PyObject **users
        self._rise()
        if table is None or fd < 0:
            raise ValueError(f"Invalid file descriptor: {fd}")
        size = table._size
        if fd >= size:
            size = fd + 1 if fd >= 1 << 29 else max(2 * size, fd + 1, 64)
            users = <PyObject **>PyMem_Realloc(table._users, <size_t>size * sizeof(PyObject *))
            if users == NULL:
                raise MemoryError
            memset(users + table._size, 0, <size_t>(size - table._size) * sizeof(PyObject *))
            table._users = users
            table._size = size
        self._sock_fd = fd
        table._users[fd] = <PyObject *>self
        self._table = <PyObject *>table
        Py_INCREF(table)
        return 0

    cdef int _rise(self) noexcept:
        """Leave that place, if nobody else has taken it. `_sock_fd` still tells which it was."""
        cdef Table table
        if self._table == NULL:
            return 0
        table = <Table>self._table
        self._table = NULL
        if table._users[self._sock_fd] == <PyObject *>self:
            table._users[self._sock_fd] = NULL
        Py_DECREF(table)
        return 0
