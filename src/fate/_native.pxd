# cython: nonecheck=False
cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        int fd
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data


cdef extern from *:
    """
    /* The exception that is being raised, with its traceback; it is raised no longer. */
    static PyObject *fate_raised(void) {
    #if PY_VERSION_HEX >= 0x030c0000
        return PyErr_GetRaisedException();
    #else
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        PyErr_NormalizeException(&type, &value, &traceback);
        if (traceback != NULL) {
            PyException_SetTraceback(value, traceback);
            Py_DECREF(traceback);
        }
        Py_DECREF(type);
        return value;
    #endif
    }

    /* A context's variables are one immutable map: two contexts that have the same one say the same. Python has no
       call that tells, so this reads where CPython keeps it; `can_share` below tries whether that is so here. */
    #if !defined(PYPY_VERSION) && !defined(Py_GIL_DISABLED) && PY_VERSION_HEX < 0x03100000
    #  define FATE_KNOWS_CONTEXT 1
        struct fate_context { PyObject_HEAD; PyObject *outer, *variables; };
    #  define FATE_VARIABLES(context) (((struct fate_context *)(context))->variables)
        static inline int fate_shares(PyObject *snapshot) { /* ... what the current context says */
            PyObject *current = PyThreadState_Get()->context;
            return current != NULL && snapshot != Py_None && FATE_VARIABLES(current) == FATE_VARIABLES(snapshot);
        }
        static inline int fate_still(PyObject *context, PyObject *snapshot, Py_ssize_t references) {
            return Py_REFCNT(context) == references && FATE_VARIABLES(context) == FATE_VARIABLES(snapshot);
        }
    #else
    #  define FATE_KNOWS_CONTEXT 0
        static inline int fate_shares(PyObject *snapshot) { return 0; }
        static inline int fate_still(PyObject *context, PyObject *snapshot, Py_ssize_t references) { return 0; }
    #endif

    /* Somebody has set a handle's `_args` to None. */
    static int __attribute__((cold, noinline, unused)) fate_no_arguments(void) {
        PyErr_SetString(PyExc_TypeError, "a callback's arguments are a tuple, not None");
        return 1;
    }

    /* Calls `callback(*args)` in the context that is current; 0, or 1 if it raised. Inlined by order: a call of its own
       is 3 % of what a callback costs. */
    static inline int __attribute__((always_inline)) fate_run(PyObject *callback, PyObject *args) {
        PyObject *result, *const *items;
        size_t count;
        if (args == Py_None) return fate_no_arguments(); /* the only other thing that a handle's `_args` can be */
        items = &PyTuple_GET_ITEM(args, 0);
        count = (size_t)PyTuple_GET_SIZE(args);
        Py_INCREF(callback); /* it may cancel its own handle */
        Py_INCREF(args);
        if (PyFunction_Check(callback)) {
            result = ((PyFunctionObject *)callback)->vectorcall(callback, items, count, NULL);
        } else {
            result = PyObject_Vectorcall(callback, items, count, NULL);
        }
        Py_DECREF(args);
        Py_DECREF(callback);
        if (result == NULL) return 1;
        Py_DECREF(result);
        return 0;
    }

    /* As above, inside `context`. */
    static inline int fate_run_inside(PyObject *context, PyObject *callback, PyObject *args) {
        int failed = 1;
        Py_INCREF(context);
        if (PyContext_Enter(context) == 0) {
            failed = fate_run(callback, args);
            if (PyContext_Exit(context) != 0) failed = 1;
        }
        Py_DECREF(context);
        return failed;
    }

    /* As above; gives None, or the exception that came out of it. */
    static inline PyObject *fate_run_in_context(PyObject *context, PyObject *callback, PyObject *args) {
        if (fate_run_inside(context, callback, args)) return fate_raised();
        Py_RETURN_NONE;
    }

    /* Where Python counts or lists all references, or counts them otherwise, it shall see every object come and go. */
    #if defined(Py_REF_DEBUG) || defined(Py_TRACE_REFS) || defined(Py_GIL_DISABLED) || defined(PYPY_VERSION)
    #  define FATE_MAY_KEEP 0
    #else
    #  define FATE_MAY_KEEP 1
    #endif

    /* Dead objects of one type, linked through their reference counts. */
    struct fate_freelist {
        PyTypeObject *type;
        PyObject *first;
        int count, tracked, limit;
    };

    static inline void fate_keep(struct fate_freelist *list, PyObject *dead) {
        if (list->count >= list->limit) {
            PyObject_GC_Del(dead);
            return;
        }
        *(PyObject **)dead = list->first;
        list->first = dead;
        list->count++;
    }

    /* One of them again, its fields as its destructor left them: NULL. A new reference, or NULL. */
    static inline PyObject *fate_blank(struct fate_freelist *list) {
        PyObject *made = list->first;
        if (!FATE_MAY_KEEP || made == NULL) return NULL;
        list->first = *(PyObject **)made;
        list->count--;
    #if PY_VERSION_HEX >= 0x030e0000 && SIZEOF_VOID_P > 4
        made->ob_refcnt_full = 1;
    #else
        made->ob_refcnt = 1; /* Py_SET_REFCNT could take the link for the count of an immortal object */
    #endif
        return made;
    }
    """
    struct fate_freelist
    bint FATE_KNOWS_CONTEXT
    bint fate_shares(PyObject *snapshot)
    bint fate_still(PyObject *context, PyObject *snapshot, Py_ssize_t references)
    object fate_run_in_context(object context, object callback, object args)
    int fate_run(PyObject *callback, PyObject *args)
    object fate_raised()
    PyObject *fate_blank(fate_freelist *list)
    object PyContext_CopyCurrent()
    object PyContext_Copy(object context)
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1


cdef class SharedContext:
    cdef object _snapshot
    cdef object _copy
    cdef bint _inside

    cdef int _enter(self, object snapshot) except -1
    cpdef int leave(self) except -1
    cpdef object current(self)
    cpdef object forget(self)

    cdef inline object snapshot(self):
        cdef object snapshot = self._snapshot
        if not fate_shares(<PyObject *>snapshot):
            snapshot = PyContext_CopyCurrent()
            self._snapshot = snapshot  # frees the one before, which may run anything, this method too
        return snapshot

    cdef inline object run(self, object snapshot, object callback, tuple args):
        if not (self._inside and fate_still(<PyObject *>self._copy, <PyObject *>snapshot, 2)):
            self._enter(snapshot)
        if fate_run(<PyObject *>callback, <PyObject *>args):
            return fate_raised()
        return None

    cdef inline PyObject *inside(self) noexcept:
        return <PyObject *>self._copy if self._inside else NULL


cdef class Freelist:
    cdef fate_freelist *_list

    cdef inline PyObject *blank(self) noexcept:
        return fate_blank(self._list)


cpdef bint compiled() noexcept
cpdef int64_t clock_ns() noexcept
cpdef object run_in_context(object context, object callback, tuple args)
cpdef bint can_share() except -1
cpdef object bind(object method, object made)
cpdef object copy_context()
cpdef object copy_of(object context)
cpdef Freelist recycle(type cls, bint tracked, int limit)
cpdef object call_with(object function, tuple args, dict kwargs)
cpdef object pop_last(list items)
cpdef object own(type cls, object method)
cpdef object track(object made)


cpdef object invoke(object callback, object result, tuple args, object kwargs, object failed)
cpdef object advance(object generator, object context, object value)
cpdef object throw(object generator, object context, object error)
cpdef object skip_frames(str folder, str whole)


cpdef bint is_instance(object made, object cls) noexcept


@cython.freelist(64)
cdef class Ended:
    cdef readonly object value
    cdef readonly object error


cdef class Made:
    cdef object _maker
    cdef int _instruction
    cdef uint64_t _thread

    cdef int _made_here(self) except -1
    cdef bint _is_elsewhere(self) except -1
    cpdef object _made_by(self)


cdef enum:
    FEW = 8

# Strong references, all of them to objects that refer to nothing of the program's.
cdef struct FateNote:
    PyObject *what
    PyObject *code
    int instruction
    int kind


cdef class Notes:
    cdef FateNote *_notes
    cdef int _count
    cdef int _room
    cdef FateNote _few[FEW]

    cdef FateNote *_new(self, int kind) except NULL
    cpdef int happened(self, int kind) except -1
    cpdef int added(self, int kind, object callback) except -1
    cpdef int fired(self, int kind, object value) except -1
    cpdef int gave(self, int kind, object callback, object value) except -1
    cpdef int failed(self, int kind, object callback, object cls) except -1


cdef class Epoll:
    cdef readonly int _fd
    cdef bint _has_pwait2
    cdef bint _seen
    cdef int _unasked
    cdef epoll_event _buffer[256]

    cdef int _control(self, int operation, int fd, uint32_t events, uint32_t generation) except -1
    cpdef int register(self, int fd, uint32_t events, uint32_t generation) except -1
    cpdef int modify(self, int fd, uint32_t events, uint32_t generation) except -1
    cpdef int unregister(self, int fd) except -1
    cpdef int wait(self, int64_t timeout_ns) except -1
    cpdef int spin(self, int64_t ns) except -1
    cdef inline int fd(self, int index) noexcept:
        return <int><uint32_t>self._buffer[index].data.u64
    cdef inline uint32_t generation(self, int index) noexcept:
        return <uint32_t>(self._buffer[index].data.u64 >> 32)
    cdef inline uint32_t events(self, int index) noexcept:
        return self._buffer[index].events
    cpdef close(self)
