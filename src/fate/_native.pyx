# cython: nonecheck=False
# The few system and C-API calls that plain Python source cannot make, and nothing else.
#
# Here: the monotonic clock in nanoseconds, calls whose exceptions come back as objects (inside a context, of a
# callback, one step of a generator), where the running code is, and epoll with nanosecond timeouts.
# The same names, with the same meaning, stand in `_native.py` for the uncompiled build.
# The other files in the Cython dialect are `net/_calls.pyx`, `net/_socket_calls.pyx` and `sim/_swap.pyx`; every other
# compiled module is a `.py` with a `.pxd`.

import sys
from contextvars import ContextVar

from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from cpython.object cimport PyObject_TypeCheck, PyTypeObject
from libc.errno cimport EINTR, ENOENT, ENOSYS, EBADF, EPERM, errno
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.ref cimport Py_INCREF, PyObject, Py_XDECREF
from libc.string cimport memcpy
from libc.time cimport time_t
from posix.unistd cimport close as close_fd


cdef extern from * nogil:
    """
    #include <time.h>
    #include <sched.h>
    #include <unistd.h>
    #include <sys/epoll.h>
    #include <sys/syscall.h>
    #if !defined(PYPY_VERSION) && PY_VERSION_HEX < 0x030c0000 /* later there are functions for it */
    #  ifndef Py_BUILD_CORE
    #    define Py_BUILD_CORE 1
    #  endif
    #  include "internal/pycore_frame.h"
    #endif

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

    /* Looks again and again for `ns` nanoseconds, letting others have the processor in between. */
    static int fate_epoll_spin(int fd, struct epoll_event *buffer, int size, int64_t ns) {
        int64_t end = fate_clock_ns() + ns;
        for (;;) {
            int count = epoll_wait(fd, buffer, size, 0);
            if (count != 0 || fate_clock_ns() >= end) return count;
            sched_yield();
        }
    }

    static PyObject *fate_pop_last(PyObject *items) {
        Py_ssize_t last = PyList_GET_SIZE(items) - 1;
    #if !defined(PYPY_VERSION) && !defined(Py_GIL_DISABLED)
        if (last >= 0 && ((PyListObject *)items)->allocated <= 8) {
            PyObject *item = PyList_GET_ITEM(items, last);
            Py_SET_SIZE(items, last);
            return item;
        }
    #endif
        return PyObject_CallMethod(items, "pop", NULL);
    }

    /* A method that `cls` inherits, as if it were its own: Python calls that without asking for the class's bases. */
    static PyObject *fate_own(PyTypeObject *cls, PyObject *method) {
        if (!Py_IS_TYPE(method, &PyMethodDescr_Type) || !PyType_IsSubtype(cls, PyDescr_TYPE(method))) {
            PyErr_SetString(PyExc_TypeError, "it inherits no such method");
            return NULL;
        }
        return PyDescr_NewMethod(cls, ((PyMethodDescrObject *)method)->d_method);
    }

    /* Calls `callback(result, *args, **kwargs)`; an exception becomes `failed(exception)`. */
    #define FATE_ARGUMENTS 8
    static PyObject *fate_invoke(PyObject *callback, PyObject *result, PyObject *args, PyObject *kwargs,
                                 PyObject *failed) {
        PyObject *few[FATE_ARGUMENTS + 2], **arguments = few, *made = NULL, *named = NULL, *error;
        Py_ssize_t count = PyTuple_GET_SIZE(args), index;
        if (kwargs == Py_None) {
            named = NULL;
        } else if (PyDict_CheckExact(kwargs)) {
            if (PyDict_GET_SIZE(kwargs) != 0) named = Py_NewRef(kwargs);
        } else if (PyObject_Size(kwargs) != 0) {
            PyErr_Clear();
            named = PyDict_New();
            if (named == NULL || PyDict_Update(named, kwargs) < 0) goto raised;
        }
        if (count > FATE_ARGUMENTS) {
            arguments = PyMem_New(PyObject *, (size_t)count + 2);
            if (arguments == NULL) {
                arguments = few;
                PyErr_NoMemory();
                goto raised;
            }
        }
        arguments[1] = result;
        for (index = 0; index < count; index++) arguments[index + 2] = PyTuple_GET_ITEM(args, index);
        made = PyObject_VectorcallDict(callback, arguments + 1, (size_t)(count + 1) | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                       named);
    raised:
        if (arguments != few) PyMem_Free(arguments);
        Py_XDECREF(named);
        if (made != NULL) return made;
        error = fate_raised();
        made = PyObject_CallOneArg(failed, error);
        Py_DECREF(error);
        return made;
    }

    /* One step of a generator or coroutine inside `context`; `state`: 0 yielded, 1 returned, 2 raised. */
    static PyObject *fate_advance(PyObject *generator, PyObject *context, PyObject *value, int thrown, int *state) {
        static PyObject *throw_name = NULL;
        PyObject *result = NULL;
        PySendResult sent = PYGEN_ERROR;
        if (PyContext_Enter(context) == 0) {
            if (!thrown) {
                sent = PyIter_Send(generator, value, &result);
            } else {
                if (throw_name == NULL) throw_name = PyUnicode_InternFromString("throw");
                result = PyObject_CallMethodOneArg(generator, throw_name, value);
                if (result != NULL) {
                    sent = PYGEN_NEXT;
                } else if (PyErr_ExceptionMatches(PyExc_StopIteration)) {
                    PyObject *stop = fate_raised();
                    result = Py_NewRef(((PyStopIterationObject *)stop)->value ? ((PyStopIterationObject *)stop)->value
                                                                              : Py_None);
                    Py_DECREF(stop);
                    sent = PYGEN_RETURN;
                }
            }
            PyContext_Exit(context);
        }
        *state = sent == PYGEN_NEXT ? 0 : sent == PYGEN_RETURN ? 1 : 2;
        return sent == PYGEN_ERROR ? fate_raised() : result;
    }

    /* The code that Python runs now (a new reference, or NULL) and the instruction in it. To ask PyEval_GetFrame would
       cost a frame object for each call of the code that is running; so this reads where CPython keeps it. */
    static inline PyCodeObject *fate_running(int *instruction) {
    #if defined(PYPY_VERSION) || PY_VERSION_HEX >= 0x03100000
        PyFrameObject *frame = PyEval_GetFrame();
        if (frame == NULL) return NULL;
        *instruction = PyFrame_GetLasti(frame);
        return PyFrame_GetCode(frame);
    #elif PY_VERSION_HEX < 0x030c0000
        struct _PyInterpreterFrame *frame = PyThreadState_Get()->cframe->current_frame;
        if (frame == NULL) return NULL;
        *instruction = _PyInterpreterFrame_LASTI(frame) * (int)sizeof(_Py_CODEUNIT);
        return (PyCodeObject *)Py_NewRef(frame->f_code);
    #else
    #  if PY_VERSION_HEX < 0x030d0000
        struct _PyInterpreterFrame *frame = PyThreadState_Get()->cframe->current_frame;
    #  else
        struct _PyInterpreterFrame *frame = PyThreadState_Get()->current_frame;
    #  endif
        PyObject *code;
        if (frame == NULL) return NULL;
        code = PyUnstable_InterpreterFrame_GetCode(frame);
        if (code == NULL || !PyCode_Check(code)) {
            Py_XDECREF(code);
            return NULL;
        }
        *instruction = PyUnstable_InterpreterFrame_GetLasti(frame);
        return (PyCodeObject *)code;
    #endif
    }

    static inline int fate_is_in(PyCodeObject *code, PyObject *folder) {
        PyObject *file = code->co_filename;
        Py_ssize_t length = PyUnicode_GET_LENGTH(folder);
        return PyUnicode_GET_LENGTH(file) > length && PyUnicode_KIND(file) == PyUnicode_KIND(folder)
            && memcmp(PyUnicode_DATA(file), PyUnicode_DATA(folder), (size_t)length * PyUnicode_KIND(folder)) == 0;
    }

    /* The code and instruction that Python runs now, outside the folder `skipped`; a new reference, or NULL. */
    static PyObject *fate_place(PyObject *skipped, int *instruction) {
        PyCodeObject *code;
        PyFrameObject *frame;
        *instruction = -1;
        code = fate_running(instruction);
        if (code != NULL && !fate_is_in(code, skipped)) return (PyObject *)code;
        Py_XDECREF((PyObject *)code);
        *instruction = -1;
        frame = PyEval_GetFrame();
        Py_XINCREF((PyObject *)frame);
        while (frame != NULL) {
            PyFrameObject *back;
            code = PyFrame_GetCode(frame);
            if (!fate_is_in(code, skipped)) {
                *instruction = PyFrame_GetLasti(frame);
                Py_DECREF((PyObject *)frame);
                return (PyObject *)code;
            }
            Py_DECREF((PyObject *)code);
            back = PyFrame_GetBack(frame);
            Py_DECREF((PyObject *)frame);
            frame = back;
        }
        return NULL;
    }

    /* Whether a profiler looks at this thread. Since 3.12 most of them are told by sys.monitoring. To ask that takes a
       hundred instructions, so it is not asked in the next `*rest` calls when there was none. */
    static PyObject *fate_get_tool = NULL, *fate_profiler_id = NULL;
    static inline int fate_profiled(int *rest) {
    #if defined(PYPY_VERSION)
        return 0;
    #else
        PyObject *tool;
        if (PyThreadState_Get()->c_profilefunc != NULL) return 1;
        if (fate_get_tool == NULL || --*rest > 0) return 0;
        tool = PyObject_CallOneArg(fate_get_tool, fate_profiler_id);
        if (tool == NULL) return -1;
        Py_DECREF(tool);
        *rest = tool == Py_None ? 8 : 0;
        return tool != Py_None;
    #endif
    }

    /* Which thread this is; unlike the system's numbers, these are not used again. */
    static inline uint64_t fate_thread(void) {
    #ifdef PYPY_VERSION
        return (uint64_t)PyThread_get_thread_ident();
    #else
        return PyThreadState_Get()->id;
    #endif
    }

    /* The name of a type, or the type itself where it lives for ever. A new reference. */
    static PyObject *fate_type_told(PyObject *type) {
        if (((PyTypeObject *)type)->tp_flags & Py_TPFLAGS_HEAPTYPE)
            return Py_NewRef(((PyHeapTypeObject *)type)->ht_qualname);
        return Py_NewRef(type);
    }

    /* Of a value: a short constant itself, of all else the type, and then a bit in `kind`. */
    #define FATE_TYPE_ONLY 16
    static PyObject *fate_value_told(PyObject *value, int *kind) {
        PyTypeObject *type = Py_TYPE(value);
        if (value == Py_None || type == &PyLong_Type || type == &PyBool_Type || type == &PyFloat_Type
            || (type == &PyUnicode_Type && PyUnicode_GET_LENGTH(value) <= 200)
            || (type == &PyBytes_Type && PyBytes_GET_SIZE(value) <= 200)) {
            return Py_NewRef(value);
        }
        *kind |= FATE_TYPE_ONLY;
        return fate_type_told((PyObject *)type);
    }

    /* Of a callback: its code, or its name. */
    static PyObject *fate_callback_told(PyObject *callback) {
        PyObject *name;
        if (PyMethod_Check(callback)) callback = PyMethod_GET_FUNCTION(callback);
        if (PyFunction_Check(callback)) return Py_NewRef(PyFunction_GET_CODE(callback));
        name = PyObject_GetAttrString(callback, "__qualname__");
        if (name != NULL && PyUnicode_CheckExact(name)) return name;
        Py_XDECREF(name);
        PyErr_Clear();
        return PyUnicode_FromString(Py_TYPE(callback)->tp_name);
    }

    /* Each type has functions of its own; a compiled subclass that inherits them is served by Python's. */
    #define FATE_FREELISTS 8
    static struct fate_freelist fate_freelists[FATE_FREELISTS];

    static inline PyObject *fate_alloc(struct fate_freelist *list, PyTypeObject *type, Py_ssize_t items) {
        PyObject *made = list->first;
        if (type != list->type) return PyType_GenericAlloc(type, items);
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

    static inline void fate_free(struct fate_freelist *list, PyObject *dead) {
        if (Py_TYPE(dead) != list->type) {
            PyObject_GC_Del(dead);
        } else {
            fate_keep(list, dead);
        }
    }

    #define FATE_FREELIST(n) \
        static PyObject *fate_alloc_##n(PyTypeObject *type, Py_ssize_t items) { \
            return fate_alloc(&fate_freelists[n], type, items); } \
        static void fate_free_##n(void *dead) { fate_free(&fate_freelists[n], (PyObject *)dead); }
    FATE_FREELIST(0) FATE_FREELIST(1) FATE_FREELIST(2) FATE_FREELIST(3)
    FATE_FREELIST(4) FATE_FREELIST(5) FATE_FREELIST(6) FATE_FREELIST(7)
    static const allocfunc fate_allocs[] = {fate_alloc_0, fate_alloc_1, fate_alloc_2, fate_alloc_3,
                                            fate_alloc_4, fate_alloc_5, fate_alloc_6, fate_alloc_7};
    static const freefunc fate_frees[] = {fate_free_0, fate_free_1, fate_free_2, fate_free_3,
                                          fate_free_4, fate_free_5, fate_free_6, fate_free_7};

    static struct fate_freelist *fate_recycle(PyTypeObject *type, int tracked, int limit) {
        static struct fate_freelist none;
        int slot = 0;
        while (slot < FATE_FREELISTS && fate_freelists[slot].type != NULL) slot++;
        if (type->tp_flags & Py_TPFLAGS_HEAPTYPE || slot == FATE_FREELISTS) return &none;
        fate_freelists[slot].type = type;
        fate_freelists[slot].tracked = tracked;
        fate_freelists[slot].limit = limit;
        type->tp_alloc = fate_allocs[slot];
        type->tp_free = fate_frees[slot];
        return &fate_freelists[slot];
    }
    """
    int64_t fate_clock_ns()
    int fate_epoll_pwait2(int fd, epoll_event *buffer, int size, int64_t ns)
    int fate_epoll_spin(int fd, epoll_event *buffer, int size, int64_t ns)

cdef extern from *:
    object fate_own(type cls, object method)
    object fate_pop_last(list items)
    object PyObject_Call(object function, object args, object kwargs)
    object PyMethod_New(object method, object made)
    object fate_invoke(object callback, object result, object args, object kwargs, object failed)
    object fate_advance(object generator, object context, object value, int thrown, int *state)
    PyObject *fate_place(object skipped, int *instruction)
    uint64_t fate_thread() noexcept
    PyObject *fate_get_tool, *fate_profiler_id
    int fate_profiled(int *rest) except -1
    PyObject *fate_type_told(object cls)
    PyObject *fate_value_told(object value, int *kind)
    PyObject *fate_callback_told(object callback)
    fate_freelist *fate_recycle(type cls, int tracked, int limit)
    void PyObject_GC_Track(object made)
    int PyObject_GC_IsTracked(object made)

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


cpdef object run_in_context(object context, object callback, tuple args):
    """Call `callback(*args)` inside `context`; return None, or the exception that it raised."""
    return fate_run_in_context(context, callback, args)


cpdef bint can_share() except -1:
    """Whether it can be told on this Python that two contexts say the same."""
    if not FATE_KNOWS_CONTEXT:
        return False
    return PyContext_CopyCurrent().run(_tells_contexts_apart)


def _tells_contexts_apart():
    variable = ContextVar("variable")
    before = PyContext_CopyCurrent()
    same = fate_shares(<PyObject *>before)
    variable.set(1)
    return same and not fate_shares(<PyObject *>before)


cpdef object bind(object method, object made):
    """`method`, which takes an object, for the object `made`."""
    return PyMethod_New(method, made)


cpdef object copy_context():
    """A copy of the current `contextvars` context."""
    return PyContext_CopyCurrent()


cpdef object copy_of(object context):
    """A copy of `context`."""
    return PyContext_Copy(context)


cdef class SharedContext:
    """The context of callbacks that are scheduled one after the other while no context variable is set.

    They share a snapshot when they are scheduled and one copy of it when they run, for as long as none of them can
    tell: it sets no variable and keeps nothing of the copy. `fate.core.engine` has one, and the reasons.
    """

    cdef int _enter(self, object snapshot) except -1:
        self.leave()
        if self._copy is None or not fate_still(<PyObject *>self._copy, <PyObject *>snapshot, 1):
            self._copy = PyContext_Copy(snapshot)
        PyContext_Enter(self._copy)
        self._inside = True
        return 0

    cpdef int leave(self) except -1:
        """Be outside the copy, if one has been entered."""
        if self._inside:
            self._inside = False
            PyContext_Exit(self._copy)
        return 0

    cpdef object current(self):
        """The context that has been entered, or None. While somebody keeps it, it serves nobody else."""
        return self._copy if self._inside else None

    cpdef object forget(self):
        """Keep nothing alive."""
        self._snapshot = None
        if not self._inside:
            self._copy = None


cdef class Freelist:
    """Dead objects of one class, kept for the next ones; `fate.core.handle` has them."""


cpdef Freelist recycle(type cls, bint tracked, int limit):
    """Keep up to `limit` dead objects of `cls` for new ones; if not `tracked`, the garbage collector does not look at them.

    An untracked object's owner must break its cycles. A ready handle lives for a turn and is emptied when it has run:
    looking at thousands of them would cost more than running them.
    """
    cdef Freelist made = Freelist.__new__(Freelist)
    made._list = fate_recycle(cls, tracked, limit)
    return made


cpdef object pop_last(list items):
    """`items.pop()`. A short list keeps its room for the next item: allocating it anew costs as much as a timer."""
    return fate_pop_last(items)


cpdef object call_with(object function, tuple args, dict kwargs):
    """`function(*args, **kwargs)`, for one that leaves `kwargs` as it is: it gets the dict itself."""
    return PyObject_Call(function, args, kwargs)


cpdef object own(type cls, object method):
    """`method`, compiled and inherited by `cls`, as a method of its own, which is cheaper to call."""
    return fate_own(cls, method)


cpdef object track(object made):
    """Have the garbage collector look at an object of an untracked class after all; None is left alone."""
    if made is not None and not PyObject_GC_IsTracked(made):
        PyObject_GC_Track(made)


cpdef bint is_instance(object made, object cls) noexcept:
    """`isinstance(made, cls)` for a single class, not asking `made` for another `__class__`."""
    return isinstance(cls, type) and PyObject_TypeCheck(made, <PyTypeObject *>cls)


cpdef object invoke(object callback, object result, tuple args, object kwargs, object failed):
    """`callback(result, *args, **kwargs)`, or `failed(exception)` if it raises."""
    return fate_invoke(callback, result, args, kwargs, failed)


cdef class Ended:
    """How a generator ended: it returned `value`, or raised `error`."""


cdef object ended(object result, int state):
    cdef Ended end
    if state == 0:
        return result
    end = Ended.__new__(Ended)
    if state == 1:
        end.value = result
    else:
        end.error = result
    return end


cpdef object advance(object generator, object context, object value):
    """Send `value` into a generator or coroutine, inside `context`; what it yields, or an `Ended`."""
    cdef int state = 0
    cdef object result = fate_advance(generator, context, value, False, &state)
    return ended(result, state) if state else result


cpdef object throw(object generator, object context, object error):
    """As `advance`, throwing the exception `error` into it."""
    cdef int state = 0
    cdef object result = fate_advance(generator, context, error, True, &state)
    return ended(result, state) if state else result


cdef enum:
    MADE = 0  # as in `fate.defer.story`
    MOST = 64  # notes in one story: the first ones, and the last

cdef str skipped = "\0"
cdef str package = "\0"


cpdef object skip_frames(str folder, str whole):
    """From now on those who fire are looked for past frames whose code lies in `folder`, which ends with a separator.

    All others are looked for past those in `whole`: a Deferred that one of Fate's tools makes, its caller has made.
    """
    global skipped, package
    skipped = folder
    package = whole


loop_threads = set()
"""The numbers of the threads in which a Fate runs."""


def this_thread():
    """The number of this thread, not used again for another (the system's are)."""
    return fate_thread()


cdef class Made:
    """What is known of something from its making on: which code made it, and in which thread."""

    cdef int _made_here(self) except -1:
        cdef PyObject *code = fate_place(package, &self._instruction)
        self._thread = fate_thread()
        if code != NULL:
            self._maker = <object>code
            Py_XDECREF(code)
        return 0

    cdef bint _is_elsewhere(self) except -1:
        """Whether this is not the thread it was made in, and that runs a Fate now."""
        return self._thread != fate_thread() and self._thread in loop_threads

    cpdef object _made_by(self):
        """The code that made it, or None, and the instruction."""
        return self._maker, self._instruction


cdef class Notes:
    """What happened to one Deferred, in order. Keeps nothing of the program's alive; `fate.defer.story` reads it."""

    def __cinit__(self):
        self._notes = self._few
        self._room = FEW

    def __dealloc__(self):
        cdef int index
        for index in range(self._count):
            Py_XDECREF(self._notes[index].what)
            Py_XDECREF(self._notes[index].code)
        if self._notes != self._few:
            PyMem_Free(self._notes)

    cdef FateNote *_new(self, int kind) except NULL:
        cdef FateNote *notes
        if self._count == self._room:
            if self._count >= MOST:
                self._count -= 1  # the last one makes room for those that follow, each in its turn
                Py_XDECREF(self._notes[self._count].what)
                Py_XDECREF(self._notes[self._count].code)
            else:
                notes = <FateNote *>PyMem_Malloc(2 * self._room * sizeof(FateNote))
                if notes == NULL:
                    raise MemoryError
                memcpy(notes, self._notes, self._count * sizeof(FateNote))
                if self._notes != self._few:
                    PyMem_Free(self._notes)
                self._notes = notes
                self._room *= 2
        notes = self._notes + self._count
        self._count += 1
        notes.kind = kind
        notes.what = notes.code = NULL
        notes.instruction = -1
        return notes

    cpdef int happened(self, int kind) except -1:
        """Something was done here."""
        cdef FateNote *new = self._new(kind)
        new.code = fate_place(package if kind == MADE else skipped, &new.instruction)
        return 0

    cpdef int added(self, int kind, object callback) except -1:
        """A callback was added here."""
        cdef FateNote *new = self._new(kind)
        new.what = fate_callback_told(callback)
        new.code = fate_place(package, &new.instruction)
        return 0

    cpdef int fired(self, int kind, object value) except -1:
        """It was fired here, with `value`."""
        cdef FateNote *new = self._new(kind)
        new.what = fate_value_told(value, &new.kind)
        new.code = fate_place(skipped, &new.instruction)
        return 0

    cpdef int gave(self, int kind, object callback, object value) except -1:
        """`callback` returned `value`."""
        cdef FateNote *new = self._new(kind)
        new.what = fate_value_told(value, &new.kind)
        new.code = fate_callback_told(callback)
        return 0

    cpdef int failed(self, int kind, object callback, object cls) except -1:
        """`callback` raised a `cls`."""
        cdef FateNote *new = self._new(kind)
        new.what = fate_type_told(cls if isinstance(cls, type) else type(cls))
        new.code = fate_callback_told(callback)
        return 0

    def told(self):
        """A list of (kind, what, code, instruction)."""
        cdef int index
        return [
            (
                self._notes[index].kind,
                None if self._notes[index].what == NULL else <object>self._notes[index].what,
                None if self._notes[index].code == NULL else <object>self._notes[index].code,
                self._notes[index].instruction,
            )
            for index in range(self._count)
        ]


# Compiled code can call nothing that a profiler sees; this is Python's own.
exec(compile("def wait(epoll, timeout_ns):\n    return epoll.poll(timeout_ns)\n", __file__, "exec"), globals())
cdef object _wait_seen = globals().pop("wait")
if hasattr(sys, "monitoring"):
    fate_get_tool = <PyObject *>sys.monitoring.get_tool
    fate_profiler_id = <PyObject *>sys.monitoring.PROFILER_ID
    Py_INCREF(<object>fate_get_tool)  # for ever
    Py_INCREF(<object>fate_profiler_id)


cdef class Epoll:
    """One epoll descriptor, level-triggered; `wait` fills a buffer that `fd(i)` and `events(i)` read.

    The generation that a descriptor was registered with comes back with its events, where `tells_generations`.
    """

    tells_generations = True

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

    cdef int _control(self, int operation, int fd, uint32_t events, uint32_t generation) except -1:
        cdef epoll_event event
        if self._fd < 0:
            raise ValueError("I/O operation on closed epoll object")
        event.events = events
        event.data.u64 = (<uint64_t>generation << 32) | <uint32_t>fd
        if epoll_ctl(self._fd, operation, fd, &event) < 0:
            PyErr_SetFromErrno(OSError)
        return 0

    cpdef int register(self, int fd, uint32_t events, uint32_t generation) except -1:
        return self._control(EPOLL_CTL_ADD, fd, events, generation)

    cpdef int modify(self, int fd, uint32_t events, uint32_t generation) except -1:
        return self._control(EPOLL_CTL_MOD, fd, events, generation)

    cpdef int unregister(self, int fd) except -1:
        return self._control(EPOLL_CTL_DEL, fd, 0, 0)

    cpdef int wait(self, int64_t timeout_ns) except -1:
        """Wait for events: 0 polls and keeps the GIL, negative waits for ever. Returns how many came.

        A signal ends the wait early, after its Python handler has run. Where something came handlers have run before
        it was taken: one that raises, or turns the loop, would lose it. A profiler sees the wait as a call of `poll`.
        """
        cdef int count
        cdef int64_t ms
        PyErr_CheckSignals()
        if self._fd < 0:
            raise ValueError("I/O operation on closed epoll object")
        if timeout_ns == 0:
            count = epoll_wait(self._fd, self._buffer, 256, 0)
        elif fate_profiled(&self._unasked) and not self._seen:
            return _wait_seen(self, timeout_ns)
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
        if count == 0:
            self._unasked = 0  # timers, which may be far apart
        if count <= 0:
            if count < 0 and errno != EINTR:
                PyErr_SetFromErrno(OSError)
            count = 0
            PyErr_CheckSignals()
        return count

    def poll(self, int64_t timeout_ns):
        """As `wait`, which calls this by way of Python where a profiler looks on."""
        self._seen = True
        try:
            return self.wait(timeout_ns)
        finally:
            self._seen = False

    cpdef int spin(self, int64_t ns) except -1:
        """As `wait`, not sleeping but looking again and again, without the GIL."""
        cdef int count
        PyErr_CheckSignals()
        if self._fd < 0:
            raise ValueError("I/O operation on closed epoll object")
        with nogil:
            count = fate_epoll_spin(self._fd, self._buffer, 256, ns)
        if count <= 0:
            if count < 0 and errno != EINTR:
                PyErr_SetFromErrno(OSError)
            count = 0
            PyErr_CheckSignals()
        return count

    cpdef close(self):
        if self._fd >= 0:
            close_fd(self._fd)
            self._fd = -1
