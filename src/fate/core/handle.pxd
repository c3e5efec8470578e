from libc.stdint cimport int64_t

from cpython.ref cimport PyObject

from fate._native cimport fate_freelist, recycle


cdef class Handle
cdef class SafeHandle(Handle)
cdef class TimerHandle(Handle)


cdef class Owner:
    cdef int _forget_timer(self, TimerHandle timer) except -1
    cdef object _context_of(self, Handle handle)
    cdef double _now(self) except? -1.0
    cdef int _file_again(self, TimerHandle timer) except -1
    cdef int _wait_for(self, Handle handle) except -1


cdef class Handle:
    cdef object __weakref__
    cdef public object _callback
    cdef public tuple _args
    cdef object _snapshot
    cdef public Owner _loop
    cdef public int64_t id
    cdef public int64_t cause
    cdef public char _cancelled
    cdef char _kind
    # TimerHandle's place among the timers fills the padding here. With one word more a timer takes 16 bytes more:
    # that is why the stack of debug mode is kept by the loop. A source's `_index` is the poll's (`Poll.set_source`).
    cdef public short _slot
    cdef public int _index
    cdef int _empty(self) except -1
    cdef object _fire(self)
    cdef int _settle(self) except -1


cdef class SafeHandle(Handle):
    pass


cdef class TimerHandle(Handle):
    cdef public double _when
    cdef bint _before(self, TimerHandle other) except -1


# What Python source cannot say: the way of the usual handle, scheduled by `call_soon` and run once, in C.
cdef extern from *:
    """
    typedef struct __pyx_obj_4fate_4core_6handle_Handle fate_handle;

    /* A handle made from a blank one, whose fields hold nothing yet, not even None. */
    static inline fate_handle *fate_filled(PyObject *blank, PyObject *callback, PyObject *args, PyObject *snapshot,
                                           PyObject *loop) {
        fate_handle *handle = (fate_handle *)blank;
        handle->_callback = Py_NewRef(callback);
        handle->_args = Py_NewRef(args);
        handle->_snapshot = Py_NewRef(snapshot);
        handle->_loop = (void *)Py_NewRef(loop);
        return handle;
    }

    /* Whether something is a handle, or of a class derived from it. */
    static PyTypeObject *fate_seen_handle = NULL; /* the last such class that was found; a reference */

    static inline int fate_is_handle(PyObject *item, PyTypeObject *type) {
        PyTypeObject *own = Py_TYPE(item);
        if (own == type || own == fate_seen_handle) return 1;
        if (!PyType_IsSubtype(own, type)) return 0;
        Py_INCREF(own);
        Py_XSETREF(fate_seen_handle, own);
        return 1;
    }

    /* Gives each handle from queue[first] on that comes many times (`lasting`) the next id, and no cause; the last id. */
    static inline int64_t fate_renumber(PyObject *queue, Py_ssize_t first, PyTypeObject *type, char lasting,
                                        int64_t last_id) {
        Py_ssize_t index, count = PyList_GET_SIZE(queue);
        for (index = first; index < count; index++) {
            fate_handle *handle = (fate_handle *)PyList_GET_ITEM(queue, index);
            if (!fate_is_handle((PyObject *)handle, type) || handle->_kind < lasting) continue;
            handle->id = ++last_id;
            handle->cause = 0;
        }
        return last_id;
    }

    /* Takes queue[head] and runs it if it is a usual handle: one that has a context of its own (`once`), or that
       `context`, which is entered, serves. NULL: it ran. Else a new reference to what was taken: with an exception set
       if it ran and raised, without if it has not run. */
    static inline PyObject *fate_run_usual(PyObject *queue, Py_ssize_t head, PyTypeObject *type, char once, char sharing,
                                           PyObject *context, int64_t *current_id, struct fate_freelist *dead) {
        PyObject *taken;
        fate_handle *handle;
        if ((size_t)head >= (size_t)PyList_GET_SIZE(queue)) return Py_NewRef(Py_None); /* somebody shortened it */
        taken = PyList_GET_ITEM(queue, head);
        handle = (fate_handle *)taken;
        PyList_SET_ITEM(queue, head, Py_NewRef(Py_None));
        if (Py_TYPE(taken) != type || handle->_cancelled || handle->_args == Py_None) return taken;
        if (handle->_kind == sharing) {
            if (context == NULL || !fate_still(context, handle->_snapshot, 2)) return taken;
            *current_id = handle->id;
            if (fate_run(handle->_callback, handle->_args)) return taken;
        } else if (handle->_kind == once) {
            *current_id = handle->id;
            if (fate_run_inside(handle->_snapshot, handle->_callback, handle->_args)) return taken;
        } else {
            return taken;
        }
        if (!FATE_MAY_KEEP || Py_REFCNT(taken) != 1 || handle->__weakref__ != NULL) {
            Py_SETREF(handle->_callback, Py_NewRef(Py_None));
            Py_SETREF(handle->_args, Py_NewRef(Py_None));
            Py_SETREF(handle->_snapshot, Py_NewRef(Py_None));
            Py_SETREF(handle->_loop, (void *)Py_NewRef(Py_None));
            Py_DECREF(taken);
        } else { /* nobody else has it: dead, and kept for the next one */
            PyObject *callback = handle->_callback, *args = handle->_args, *snapshot = handle->_snapshot;
            PyObject *loop = (PyObject *)handle->_loop;
            handle->_callback = handle->_args = handle->_snapshot = NULL;
            handle->_loop = NULL;
            PyObject_GC_UnTrack(taken);
            fate_keep(dead, taken);
            Py_DECREF(loop);
            Py_DECREF(snapshot);
            Py_DECREF(args);
            Py_DECREF(callback);
        }
        return NULL;
    }
    """
    bint fate_is_handle(PyObject *item, type cls)
    int64_t fate_renumber(list queue, Py_ssize_t first, type cls, char lasting, int64_t last_id)
    Handle fate_filled(PyObject *blank, object callback, tuple args, object snapshot, object loop)
    PyObject *fate_run_usual(
        PyObject *queue, Py_ssize_t head, type cls, char once, char sharing, PyObject *context, int64_t *current_id,
        fate_freelist *dead,
    )
