/* The floor of every Python loop: C and epoll outside, a Python protocol inside, nothing between them.
 *
 * serve(listener, stop, factory): accepts from the listening descriptor, makes a protocol for each connection by
 * factory(), calls its connection_made(transport) and data_received(bytes), and returns when `stop` is readable. The
 * transport has write(bytes) and nothing else; what the kernel does not take is kept and sent when it can be. No
 * asyncio, no contexts, no handles, no flow control: what a real loop must do beyond this is its own cost.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, RECEIVE = 1 << 18 };
static char buffer[RECEIVE];

typedef struct {
    PyObject_HEAD
    int fd, epoll_fd;
    PyObject *protocol, *received; /* received: its data_received */
    char *rest;
    Py_ssize_t rest_at, rest_end;
} Transport;

static int watch(Transport *t, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = t};
    return epoll_ctl(t->epoll_fd, operation, t->fd, &event);
}

static int send_rest(Transport *t) {
    while (t->rest_at < t->rest_end) {
        ssize_t n = send(t->fd, t->rest + t->rest_at, (size_t)(t->rest_end - t->rest_at), MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN ? 0 : -1;
        t->rest_at += n;
    }
    free(t->rest);
    t->rest = NULL;
    t->rest_at = t->rest_end = 0;
    return watch(t, EPOLL_CTL_MOD, EPOLLIN);
}

static PyObject *transport_write(Transport *t, PyObject *data) {
    if (!PyBytes_CheckExact(data)) {
        PyErr_SetString(PyExc_TypeError, "the floor writes bytes only");
        return NULL;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(data);
    const char *bytes = PyBytes_AS_STRING(data);
    ssize_t n = t->rest ? 0 : send(t->fd, bytes, (size_t)size, MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN) Py_RETURN_NONE; /* the next recv says so too */
        n = 0;
    }
    if (n < size) {
        char *rest = realloc(t->rest, (size_t)(t->rest_end + size - n));
        if (!rest) return PyErr_NoMemory();
        if (!t->rest && watch(t, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT)) {
            free(rest);
            return PyErr_SetFromErrno(PyExc_OSError);
        }
        memcpy(rest + t->rest_end, bytes + n, (size_t)(size - n));
        t->rest = rest;
        t->rest_end += size - n;
    }
    Py_RETURN_NONE;
}

static void transport_dealloc(Transport *t) {
    PyTypeObject *type = Py_TYPE(t);
    Py_XDECREF(t->protocol);
    Py_XDECREF(t->received);
    free(t->rest);
    close(t->fd);
    type->tp_free(t);
    Py_DECREF(type);
}

static PyMethodDef transport_methods[] = {{"write", (PyCFunction)transport_write, METH_O, NULL}, {0}};
static PyType_Slot transport_slots[] = {
    {Py_tp_dealloc, transport_dealloc}, {Py_tp_methods, transport_methods}, {0}};
static PyType_Spec transport_spec = {"floor.Transport", sizeof(Transport), 0, Py_TPFLAGS_DEFAULT, transport_slots};

/* The transport, held by nobody but its protocol and the epoll: it goes when its connection ends. */
static int take_in(int listener, int epoll_fd, PyTypeObject *type, PyObject *factory) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        Transport *t = (Transport *)type->tp_alloc(type, 0);
        if (!t) return -1;
        t->fd = fd;
        t->epoll_fd = epoll_fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        t->protocol = PyObject_CallNoArgs(factory);
        if (!t->protocol || !(t->received = PyObject_GetAttrString(t->protocol, "data_received"))) return -1;
        PyObject *none = PyObject_CallMethod(t->protocol, "connection_made", "O", t);
        if (!none) return -1;
        Py_DECREF(none);
        if (watch(t, EPOLL_CTL_ADD, EPOLLIN)) {
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
    }
    return 0;
}

/* Returns 1 when the connection has ended, -1 with an exception. */
static int pass_on(Transport *t) {
    ssize_t n = recv(t->fd, buffer, RECEIVE, 0);
    if (n < 0 && errno == EAGAIN) return 0;
    if (n <= 0) return 1;
    PyObject *data = PyBytes_FromStringAndSize(buffer, n);
    if (!data) return -1;
    PyObject *none = PyObject_CallOneArg(t->received, data);
    Py_DECREF(data);
    if (!none) return -1;
    Py_DECREF(none);
    return 0;
}

static int turn(int epoll_fd, int listener, PyTypeObject *type, PyObject *factory) {
    struct epoll_event events[EVENTS];
    int n;
    Py_BEGIN_ALLOW_THREADS
    n = epoll_wait(epoll_fd, events, EVENTS, -1);
    Py_END_ALLOW_THREADS
    if (n < 0 && errno != EINTR) PyErr_SetFromErrno(PyExc_OSError);
    if (PyErr_Occurred() || PyErr_CheckSignals()) return -1;
    for (int i = 0; i < n; i++) {
        Transport *t = events[i].data.ptr;
        if (t == NULL) return 1;
        if ((void *)t == (void *)&buffer) {
            if (take_in(listener, epoll_fd, type, factory)) return -1;
            continue;
        }
        int ended = events[i].events & EPOLLOUT ? send_rest(t) != 0 : 0;
        if (!ended && events[i].events & ~(uint32_t)EPOLLOUT) ended = pass_on(t);
        if (ended < 0) return -1;
        if (ended) {
            epoll_ctl(epoll_fd, EPOLL_CTL_DEL, t->fd, NULL);
            Py_DECREF(t);
        }
    }
    return 0;
}

static PyObject *serve(PyObject *module, PyObject *arguments) {
    int listener, stop, done = -1;
    PyObject *factory;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "iiO", &listener, &stop, &factory)) return NULL;
    PyTypeObject *type = (PyTypeObject *)PyType_FromSpec(&transport_spec);
    if (!type) return NULL;
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event listening = {.events = EPOLLIN, .data.ptr = buffer}, stopping = {.events = EPOLLIN};
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &listening) ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, stop, &stopping))
        PyErr_SetFromErrno(PyExc_OSError);
    else
        while (!(done = turn(epoll_fd, listener, type, factory))) {}
    if (epoll_fd >= 0) close(epoll_fd);
    Py_DECREF(type);
    if (done < 0) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"serve", serve, METH_VARARGS, NULL}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "floor", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_floor(void) { return PyModule_Create(&module); }
