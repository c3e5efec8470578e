# The few system and C-API calls that plain Python source cannot make, and nothing else.
#
# Here: the monotonic clock in nanoseconds, a call inside a context, and epoll with nanosecond timeouts.
# The same names, with the same meaning, stand in `_native.py` for the uncompiled build.
# This is the only file in the Cython dialect; every other compiled module is a `.py` with a `.pxd`.

from contextvars import ContextVar

from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from libc.errno cimport EINTR, ENOENT, ENOSYS, EBADF, EPERM, errno
from libc.time cimport time_t
from posix.unistd cimport close as close_fd


cdef extern from * nogil:
    """
    #include <time.h>
    #include <unistd.h>
    #include <sys/epoll.h>
    #include <sys/syscall.h>

    #ifndef SYS_epoll_pwait2
    #  if defined(__alpha__)
    #    define SYS_epoll_pwait2 551
    #  else
    #    define SYS_epoll_pwait2 441
    #  endif
    #endif

    static inline int64_t fate_clock_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000000000LL + now.tv_nsec;
    }

    /* The kernel's struct has 64-bit fields on every architecture. */
    struct fate_timespec { int64_t seconds, nanoseconds; };

    static inline int fate_epoll_pwait2(int fd, struct epoll_event *buffer, int size, int64_t ns) {
        struct fate_timespec timeout = { ns / 1000000000LL, ns % 1000000000LL };
        return (int)syscall(SYS_epoll_pwait2, fd, buffer, size, &timeout, NULL, (size_t)0);
    }

    /* A context's variables are one immutable map: two contexts that have the same one say the same. Python has no
       call that tells, so this reads where CPython keeps it; `can_share` below tries whether that is so here. */
    #if !defined(PYPY_VERSION) && !defined(Py_GIL_DISABLED) && PY_VERSION_HEX < 0x030e0000
    #  define FATE_KNOWS_CONTEXT 1
        struct fate_context { PyObject_HEAD; PyObject *outer, *variables; };
        static inline int fate_shares(PyObject *snapshot) {
            PyObject *current = PyThreadState_Get()->context;
            return current != NULL && snapshot != Py_None &&
                ((struct fate_context *)current)->variables == ((struct fate_context *)snapshot)->variables;
        }
    #else
    #  define FATE_KNOWS_CONTEXT 0
        static inline int fate_shares(PyObject *snapshot) { return 0; }
    #endif

    /* Calls `callback(*args)` inside `context`, or a copy of it; gives None, or the exception that came out of it. */
    static PyObject *fate_run_in_context(PyObject *context, PyObject *callback, PyObject *args, int copy) {
        PyObject *result = NULL;
        if (copy) {
            context = PyContext_Copy(context);
        } else {
            Py_INCREF(context);
        }
        if (context != NULL && PyContext_Enter(context) == 0) {
            result = PyObject_Vectorcall(callback, &PyTuple_GET_ITEM(args, 0),
                                         (size_t)PyTuple_GET_SIZE(args), NULL);
            if (PyContext_Exit(context) != 0) Py_CLEAR(result);
        }
        Py_XDECREF(context);
        if (result != NULL) {
            Py_DECREF(result);
            Py_RETURN_NONE;
        }
    #if PY_VERSION_HEX >= 0x030c0000
        return PyErr_GetRaisedException();
    #else
        {
            PyObject *type, *value, *traceback;
            PyErr_Fetch(&type, &value, &traceback);
            PyErr_NormalizeException(&type, &value, &traceback);
            if (traceback != NULL) {
                PyException_SetTraceback(value, traceback);
                Py_DECREF(traceback);
            }
            Py_DECREF(type);
            return value;
        }
    #endif
    }

    /* Freelists: dead objects of a few types are kept for the next ones, linked through their reference counts.
       A type that is derived from one of them inherits the functions, and has no list. */
    #define FATE_TYPES 4
    static struct fate_freelist {
        PyTypeObject *type;
        PyObject *first;
        int count, tracked, limit;
    } fate_freelists[FATE_TYPES];

    static inline struct fate_freelist *fate_freelist_of(PyTypeObject *type) {
        for (int i = 0; i < FATE_TYPES; i++)
            if (fate_freelists[i].type == type) return &fate_freelists[i];
        return NULL;
    }

    static PyObject *fate_alloc(PyTypeObject *type, Py_ssize_t items) {
        struct fate_freelist *list = fate_freelist_of(type);
        PyObject *made;
        if (list == NULL) return PyType_GenericAlloc(type, items);
        made = list->first;
        if (made != NULL) {
            list->first = *(PyObject **)made;
            list->count--;
            memset(made, 0, (size_t)type->tp_basicsize);
            PyObject_Init(made, type);
        } else {
            made = (PyObject *)PyType_GenericAlloc(type, items);
            if (made == NULL) return NULL;
            PyObject_GC_UnTrack(made);
        }
        if (list->tracked) PyObject_GC_Track(made);
        return made;
    }

    static void fate_free(void *dead) {
        struct fate_freelist *list = fate_freelist_of(Py_TYPE((PyObject *)dead));
        if (list == NULL || list->count >= list->limit) {
            PyObject_GC_Del(dead);
            return;
        }
        *(PyObject **)dead = list->first;
        list->first = (PyObject *)dead;
        list->count++;
    }

    static void fate_recycle(PyTypeObject *type, int tracked, int limit) {
        struct fate_freelist *list = fate_freelist_of(NULL);
        if (type->tp_flags & Py_TPFLAGS_HEAPTYPE || list == NULL || fate_freelist_of(type) != NULL) return;
        list->type = type;
        list->tracked = tracked;
        list->limit = limit;
        type->tp_alloc = fate_alloc;
        type->tp_free = fate_free;
    }
    """
    int64_t fate_clock_ns()
    int fate_epoll_pwait2(int fd, epoll_event *buffer, int size, int64_t ns)

cdef extern from *:
    bint FATE_KNOWS_CONTEXT
    bint fate_shares(object snapshot)
    object fate_run_in_context(object context, object callback, object args, bint copy)
    object PyContext_CopyCurrent()
    void fate_recycle(type cls, int tracked, int limit)
    void PyObject_GC_Track(object made)

cdef extern from "sys/epoll.h" nogil:
    enum:
        EPOLL_CLOEXEC
        EPOLL_CTL_ADD
        EPOLL_CTL_MOD
        EPOLL_CTL_DEL
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int op, int fd, epoll_event *event)
    int epoll_wait(int epfd, epoll_event *events, int maxevents, int timeout)

cpdef bint compiled() noexcept:
    """Whether this is the compiled build."""
    return True


cpdef int64_t clock_ns() noexcept:
    """Nanoseconds on `time.monotonic()`'s clock."""
    return fate_clock_ns()


cpdef object run_in_context(object context, object callback, tuple args, bint copy):
    """Call `callback(*args)` inside `context`, or a copy of it; return None, or the exception that it raised."""
    return fate_run_in_context(context, callback, args, copy)


cpdef bint shares(object snapshot) noexcept:
    """Whether `snapshot`, a context or None, still says what the current context does."""
    return fate_shares(snapshot)


cpdef bint can_share() except -1:
    """Whether `shares` can tell on this Python."""
    if not FATE_KNOWS_CONTEXT:
        return False
    return PyContext_CopyCurrent().run(_tells_contexts_apart)


def _tells_contexts_apart():
    variable = ContextVar("variable")
    before = PyContext_CopyCurrent()
    same = fate_shares(before)
    variable.set(1)
    return same and not fate_shares(before)


cpdef object copy_context():
    """A copy of the current `contextvars` context."""
    return PyContext_CopyCurrent()


cpdef object recycle(type cls, bint tracked, int limit):
    """Keep up to `limit` dead objects of `cls` for new ones; if not `tracked`, the garbage collector does not look at them.

    An untracked object's owner must break its cycles. A ready handle lives for a turn and is emptied when it has run:
    looking at thousands of them would cost more than running them.
    """
    fate_recycle(cls, tracked, limit)


cpdef object track(object made):
    """Have the garbage collector look at an object of an untracked class after all."""
    PyObject_GC_Track(made)


cdef class Epoll:
    """One epoll descriptor, level-triggered; `wait` fills a buffer that `fd(i)` and `events(i)` read."""

    def __cinit__(self):
        self._has_pwait2 = True
        self._fd = epoll_create1(EPOLL_CLOEXEC)
        if self._fd < 0:
            PyErr_SetFromErrno(OSError)

    def __dealloc__(self):
        if self._fd >= 0:
            close_fd(self._fd)

    def fileno(self):
        return self._fd

    cdef int _control(self, int operation, int fd, uint32_t events) except -1:
        cdef epoll_event event
        if self._fd < 0:
            raise ValueError("I/O operation on closed epoll object")
        event.events = events
        event.data.fd = fd
        if epoll_ctl(self._fd, operation, fd, &event) < 0:
            PyErr_SetFromErrno(OSError)
        return 0

    cpdef int register(self, int fd, uint32_t events) except -1:
        return self._control(EPOLL_CTL_ADD, fd, events)

    cpdef int modify(self, int fd, uint32_t events) except -1:
        return self._control(EPOLL_CTL_MOD, fd, events)

    cpdef int unregister(self, int fd) except -1:
        return self._control(EPOLL_CTL_DEL, fd, 0)

    cpdef int wait(self, int64_t timeout_ns) except -1:
        """Wait for events: 0 polls and keeps the GIL, negative waits for ever. Returns how many came.

        A signal ends the wait early, after its Python handler has run.
        """
        cdef int count
        cdef int64_t ms
        if self._fd < 0:
            raise ValueError("I/O operation on closed epoll object")
        if timeout_ns == 0:
            count = epoll_wait(self._fd, self._buffer, 256, 0)
        else:
            with nogil:
                if timeout_ns < 0:
                    count = epoll_wait(self._fd, self._buffer, 256, -1)
                else:
                    count = -1
                    if self._has_pwait2:
                        count = fate_epoll_pwait2(self._fd, self._buffer, 256, timeout_ns)
                        if count < 0 and (errno == ENOSYS or errno == EPERM):
                            self._has_pwait2 = False
                    if not self._has_pwait2:
                        ms = (timeout_ns + 999999) // 1000000
                        count = epoll_wait(self._fd, self._buffer, 256, <int>min(ms, 2000000000))
        if count < 0:
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)
            count = 0
        PyErr_CheckSignals()
        return count

    cpdef close(self):
        if self._fd >= 0:
            close_fd(self._fd)
            self._fd = -1
