# The calls that receive and send on non-blocking sockets, by descriptor and without giving up the GIL for small ones.
#
# Here: bytes of a stream in objects of their exact size, datagrams with their senders' addresses, sends.
# None of them ever blocks, and none allocates a buffer that is given back at once: glibc maps, faults in and unmaps
# buffers of 128 KiB and more, which costs more than the message.
# The same names, with the same meaning, stand in `_socket_calls.py` for the uncompiled build.

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EAGAIN, errno
from libc.string cimport memcpy

from socket import SOCK_STREAM

from fate.net._calls cimport bytes_of

cdef tuple BLOCKED = (BlockingIOError, InterruptedError)


cdef extern from * nogil:
    """
    #ifndef _GNU_SOURCE
    #  define _GNU_SOURCE
    #endif
    #include <arpa/inet.h>
    #include <errno.h>
    #include <netinet/in.h>
    #include <stddef.h>
    #include <string.h>
    #include <sys/ioctl.h>
    #include <sys/socket.h>
    #include <sys/un.h>

    #define FATE_PART (64 * 1024)          /* the longest UDP datagram */
    #define FATE_LARGE (256 * 1024)        /* one read of a stream, and the longest datagram of another kind */
    #define FATE_PEERS 512                 /* addresses remembered, a power of two, */
    #define FATE_WAYS 4                    /* each in one of so many places */

    /* What all receiving shares, under the GIL. The kernel gives pages to what is used of it. */
    static char fate_room[FATE_LARGE] __attribute__((aligned(4096)));

    union fate_address {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un un;
    };

    static ssize_t fate_recv(int fd, void *into, size_t size) {
        ssize_t got;
        do got = recv(fd, into, size, MSG_DONTWAIT); while (got < 0 && errno == EINTR);
        return got;
    }

    static ssize_t fate_send(int fd, const void *data, size_t size) {
        ssize_t sent;
        do sent = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL); while (sent < 0 && errno == EINTR);
        return sent;
    }

    static int fate_waiting(int fd) { /* bytes that could be read at once */
        int count = 0;
        return ioctl(fd, FIONREAD, &count) < 0 ? 0 : count;
    }
    """
    enum:
        FATE_PART
        FATE_LARGE
    char *fate_room
    ssize_t fate_recv(int fd, void *into, size_t size)
    ssize_t fate_send(int fd, const void *data, size_t size)
    int fate_waiting(int fd)


cdef extern from *:
    """
    /* Addresses that came lately, each with the tuple that Python has for it. Whoever sends to that very tuple, as
       servers do, is spared reading it: where it stands is found by the tuple's own address. */
    static struct fate_peer { struct sockaddr_in6 address; PyObject *told; } fate_peers[FATE_PEERS];
    static struct fate_peer *fate_peer_of[FATE_PEERS];
    static unsigned fate_next_way;

    static inline struct fate_peer **fate_place_of(PyObject *told) {
        return &fate_peer_of[((uintptr_t)told >> 4 ^ (uintptr_t)told >> 13) & (FATE_PEERS - 1)];
    }

    static PyObject *fate_ip_told(const union fate_address *from) {
        char text[INET6_ADDRSTRLEN];
        if (from->any.sa_family == AF_INET) {
            if (inet_ntop(AF_INET, &from->v4.sin_addr, text, sizeof text) == NULL) return PyErr_SetFromErrno(PyExc_OSError);
            return Py_BuildValue("si", text, (int)ntohs(from->v4.sin_port));
        }
        if (inet_ntop(AF_INET6, &from->v6.sin6_addr, text, sizeof text) == NULL) return PyErr_SetFromErrno(PyExc_OSError);
        return Py_BuildValue("siII", text, (int)ntohs(from->v6.sin6_port), (unsigned)ntohl(from->v6.sin6_flowinfo),
                             (unsigned)from->v6.sin6_scope_id);
    }

    /* An address as `socket` tells it. */
    static PyObject *fate_told(const union fate_address *from, socklen_t length) {
        struct sockaddr_in6 key;
        struct fate_peer *first, *peer;
        PyObject *told;
        uint32_t hash;
        if (length < (socklen_t)sizeof from->any.sa_family) Py_RETURN_NONE;
        if (length > (socklen_t)sizeof *from) length = (socklen_t)sizeof *from; /* the kernel says how much there was */
        if (from->any.sa_family == AF_UNIX) {
            length -= (socklen_t)offsetof(struct sockaddr_un, sun_path);
            if (length == 0 || from->un.sun_path[0] == 0) return PyBytes_FromStringAndSize(from->un.sun_path, length);
            return PyUnicode_DecodeFSDefaultAndSize(from->un.sun_path, (Py_ssize_t)strnlen(from->un.sun_path, length));
        }
        memset(&key, 0, sizeof key);
        if (from->any.sa_family == AF_INET) {
            key.sin6_family = AF_INET;
            key.sin6_port = from->v4.sin_port;
            key.sin6_flowinfo = from->v4.sin_addr.s_addr;
            hash = key.sin6_port * 0x9e3779b1u ^ key.sin6_flowinfo * 0x85ebca6bu;
        } else {
            uint32_t words[4];
            key = from->v6;
            memcpy(words, &key.sin6_addr, sizeof words);
            hash = key.sin6_port * 0x9e3779b1u
                ^ (words[0] ^ words[1] * 3 ^ words[2] * 5 ^ words[3] * 7) * 0x85ebca6bu;
        }
        first = &fate_peers[(hash >> 16 ^ hash) & (FATE_PEERS - FATE_WAYS)];
        for (peer = first; peer < first + FATE_WAYS; peer++) {
            if (peer->told != NULL && memcmp(&peer->address, &key, sizeof key) == 0) {
                *fate_place_of(peer->told) = peer;
                return Py_NewRef(peer->told);
            }
        }
        told = fate_ip_told(from);
        if (told == NULL) return NULL;
        peer = first + fate_next_way++ % FATE_WAYS;
        peer->address = key;
        Py_XSETREF(peer->told, told);
        *fate_place_of(told) = peer;
        return Py_NewRef(told);
    }

    /* As recvfrom, and no signal ends it. One for each datagram: on Linux 6 recvmmsg costs a tenth more. */
    static ssize_t fate_receive_one(int fd, size_t room, union fate_address *from, socklen_t *length) {
        ssize_t got;
        *length = sizeof *from;
        do got = recvfrom(fd, fate_room, room, MSG_DONTWAIT, &from->any, length); while (got < 0 && errno == EINTR);
        return got;
    }

    /* A numeric address of Python's as the kernel has it: its length, or 0 if that needs more thought. */
    static socklen_t fate_address_of(int family, PyObject *told, union fate_address *to) {
        Py_ssize_t size, length;
        const char *host;
        long port;
        int overflow;
        struct fate_peer *peer = *fate_place_of(told);
        if (peer != NULL && peer->told == told && peer->address.sin6_family == family) {
            if (family == AF_INET6) {
                to->v6 = peer->address;
                return sizeof to->v6;
            }
            memset(&to->v4, 0, sizeof to->v4);
            to->v4.sin_family = AF_INET;
            to->v4.sin_port = peer->address.sin6_port;
            to->v4.sin_addr.s_addr = peer->address.sin6_flowinfo;
            return sizeof to->v4;
        }
        if (!PyTuple_CheckExact(told) || (size = PyTuple_GET_SIZE(told)) < 2) return 0;
        if (!PyUnicode_CheckExact(PyTuple_GET_ITEM(told, 0)) || !PyLong_CheckExact(PyTuple_GET_ITEM(told, 1))) return 0;
        host = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(told, 0), &length);
        if (host == NULL) {
            PyErr_Clear();
            return 0;
        }
        port = PyLong_AsLongAndOverflow(PyTuple_GET_ITEM(told, 1), &overflow);
        if (overflow || port < 0 || port > 65535) return 0;
        if (family == AF_INET) {
            if (size != 2) return 0;
            memset(&to->v4, 0, sizeof to->v4);
            to->v4.sin_family = AF_INET;
            to->v4.sin_port = htons((uint16_t)port);
            if ((Py_ssize_t)strlen(host) != length || inet_pton(AF_INET, host, &to->v4.sin_addr) != 1) return 0;
            return sizeof to->v4;
        }
        if (family == AF_INET6 && size <= 4) {
            long more[2] = {0, 0};
            Py_ssize_t index;
            memset(&to->v6, 0, sizeof to->v6);
            for (index = 2; index < size; index++) {
                if (!PyLong_CheckExact(PyTuple_GET_ITEM(told, index))) return 0;
                more[index - 2] = PyLong_AsLongAndOverflow(PyTuple_GET_ITEM(told, index), &overflow);
                if (overflow || more[index - 2] < 0) return 0;
            }
            if (more[0] > 0xfffff || more[1] > 0xffffffffL) return 0;
            to->v6.sin6_family = AF_INET6;
            to->v6.sin6_port = htons((uint16_t)port);
            to->v6.sin6_flowinfo = htonl((uint32_t)more[0]);
            to->v6.sin6_scope_id = (uint32_t)more[1];
            if ((Py_ssize_t)strlen(host) != length || inet_pton(AF_INET6, host, &to->v6.sin6_addr) != 1) return 0;
            return sizeof to->v6;
        }
        return 0;
    }

    /* Sends one datagram to a numeric address, or to the peer if that is None: 0, an errno, or -1: it needs more
       thought. -2: an exception is set. */
    static int fate_send_one(int fd, int family, PyObject *data, PyObject *told) {
        union fate_address to;
        socklen_t length = 0;
        Py_buffer view;
        ssize_t sent;
        int held = !PyBytes_CheckExact(data);
        if (told != Py_None && (length = fate_address_of(family, told, &to)) == 0) return -1;
        if (!held) {
            view.buf = PyBytes_AS_STRING(data);
            view.len = PyBytes_GET_SIZE(data);
        } else if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
            PyErr_Clear();
            return -1;
        }
        do sent = sendto(fd, view.buf, (size_t)view.len, MSG_DONTWAIT | MSG_NOSIGNAL, length ? &to.any : NULL, length);
        while (sent < 0 && errno == EINTR);
        if (held) {
            int error = errno;
            PyBuffer_Release(&view);
            errno = error;
        }
        return sent >= 0 ? 0 : errno == EAGAIN || errno == EWOULDBLOCK ? -1 : errno;
    }
    """
    union fate_address:
        pass
    Py_ssize_t fate_receive_one(int fd, size_t room, fate_address *source, unsigned int *length)
    object fate_told(const fate_address *source, unsigned int length)
    int fate_send_one(int fd, int family, object data, object told)


cdef bint blocked() except -1:
    """After a call that failed: whether it would have blocked. Any other reason is raised."""
    if errno == EAGAIN:
        return True
    PyErr_SetFromErrno(OSError)


cpdef object receive(object sock, int fd, Py_ssize_t size):
    """What a stream has, up to `size` bytes, which are at least 1; b"" at its end, None if there is nothing yet."""
    cdef ssize_t got, more
    cdef char *rest
    if size > FATE_LARGE and sock.type != SOCK_STREAM:  # a datagram comes in one piece, or its rest is lost
        try:
            return sock.recv(size)
        except BLOCKED:
            return None
    got = fate_recv(fd, fate_room, min(size, FATE_LARGE))
    if got < 0:
        blocked()
        return None
    if got < FATE_LARGE or size == FATE_LARGE:
        return bytes_of(fate_room, got)
    more = min(fate_waiting(fd), size - got)
    if more <= 0:
        return PyBytes_FromStringAndSize(fate_room, got)
    data = PyBytes_FromStringAndSize(NULL, got + more)
    rest = PyBytes_AS_STRING(data)
    memcpy(rest, fate_room, got)
    rest += got
    with nogil:
        more = fate_recv(fd, rest, more)
    if more < 0:
        more = 0  # an error is told again by the next call; nor is the stream at its end before that says so
    return data if got + more == len(data) else data[: got + more]


cpdef bint fillable(object buffer) except -1:
    """Whether something can be received into it."""
    cdef Py_buffer view
    cdef bint room
    try:
        PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
    except (BufferError, TypeError, ValueError):
        return False
    room = view.len > 0
    PyBuffer_Release(&view)
    return room


cpdef Py_ssize_t receive_into(object sock, int fd, object buffer) except -2:
    """Receive into a writable buffer: the number of bytes, 0 at the end of the stream, -1 if there is nothing yet."""
    cdef Py_buffer view
    cdef ssize_t got
    cdef bint wrong = False
    try:
        PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
    except (BufferError, TypeError):
        wrong = True
    if wrong:
        return sock.recv_into(buffer)  # which says it as asyncio does
    try:
        if view.len == 0:
            return 0
        if view.len <= FATE_PART:
            got = fate_recv(fd, view.buf, view.len)
        else:
            with nogil:
                got = fate_recv(fd, view.buf, view.len)
        if got < 0:
            blocked()
    finally:
        PyBuffer_Release(&view)
    return got


cpdef Py_ssize_t send(object sock, int fd, object data, Py_ssize_t start) except -2:
    """Send what can be sent of `data` from byte `start` on: the number of bytes, -1 if it would block."""
    cdef Py_buffer view
    cdef ssize_t sent
    cdef char *rest
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        start = min(start, view.len)
        rest = <char *>view.buf + start
        if view.len - start <= FATE_PART:
            sent = fate_send(fd, rest, view.len - start)
        else:
            with nogil:
                sent = fate_send(fd, rest, view.len - start)
        if sent < 0:
            blocked()
    finally:
        PyBuffer_Release(&view)
    return sent


cpdef int receive_datagrams(object sock, int fd, bint internet, int most, list into) except -1:
    """Append (data, address, data, address, ...) of the datagrams that are there, `most` at most, to `into`.

    internet: no datagram is longer than 64 KiB, else 256 KiB.
    Returns 0 if there may be more, or the errno of what came after them, such as EAGAIN.
    """
    cdef fate_address source
    cdef unsigned int length
    cdef Py_ssize_t got
    cdef int left
    for left in range(most):
        got = fate_receive_one(fd, FATE_PART if internet else FATE_LARGE, &source, &length)
        if got < 0:
            return errno
        # The copy comes first: a tuple may start the garbage collector, and that may let another thread receive.
        data = bytes_of(fate_room, got)
        into.append(data)
        into.append(fate_told(&source, length))
    return 0


cpdef int send_datagram(object sock, int fd, int family, object data, object address) except -2:
    """Send `data`, which is not empty, to a numeric `address`, or to the peer if that is None.

    Returns 0 when it is sent, the errno of what failed, or -1 if it would block or needs more thought than this.
    """
    return fate_send_one(fd, family, data, address)
