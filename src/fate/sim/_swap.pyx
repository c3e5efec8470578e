# Swapping what builtin functions do, and how futures hash, for the threads of a universe only.
#
# A builtin function is a pointer in a table that every reference to the function shares, so swapping the pointer
# reaches `from time import monotonic`, default arguments and closures alike (the idea is time-machine's). Every other
# thread of the process goes on getting the real function. The same names stand in `_swap.py`, made with ctypes, for
# the uncompiled build.

cdef extern from *:
    """
    #define FATE_SLOTS 130
    typedef struct {
        PyMethodDef *method;
        PyCFunction original;
        PyCFunction trampoline;
        PyObject *replacement;
        PyObject *only;  /* for which object all other threads get */
        PyObject *outside;  /* this */
        int bound;
        int resting;  /* the threads of a universe get the original, too */
    } fate_slot;
    static fate_slot fate_slots[FATE_SLOTS];
    static __thread int fate_inside = 0;  /* 1: in a universe; 2: in one, and calls the original now */

    /* What the present thread gets; NULL: the original. */
    static inline PyObject *fate_ours(int i, PyObject *self) {
        if (fate_inside == 1) return fate_slots[i].resting ? NULL : fate_slots[i].replacement;
        return fate_inside == 0 && self == fate_slots[i].only ? fate_slots[i].outside : NULL;
    }
    static PyObject *fate_call(int i, PyObject *ours, PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
        PyObject *stack[16];
        Py_ssize_t k, total = n + (names == NULL ? 0 : PyTuple_GET_SIZE(names));
        if (!fate_slots[i].bound)
            return PyObject_Vectorcall(ours, args, (size_t)n, names);
        if (total > 15) {
            PyErr_SetString(PyExc_TypeError, "too many arguments");
            return NULL;
        }
        stack[0] = self;
        for (k = 0; k < total; k++) stack[k + 1] = args[k];
        return PyObject_Vectorcall(ours, stack, (size_t)(n + 1), names);
    }
    static PyObject *fate_call_tuple(int i, PyObject *ours, PyObject *self, PyObject *args, PyObject *names) {
        PyObject *all, *result;
        Py_ssize_t k, n = PyTuple_GET_SIZE(args);
        if (!fate_slots[i].bound)
            return PyObject_Call(ours, args, names);
        all = PyTuple_New(n + 1);
        if (all == NULL) return NULL;
        Py_INCREF(self);
        PyTuple_SET_ITEM(all, 0, self);
        for (k = 0; k < n; k++) {
            PyObject *item = PyTuple_GET_ITEM(args, k);
            Py_INCREF(item);
            PyTuple_SET_ITEM(all, k + 1, item);
        }
        result = PyObject_Call(ours, all, names);
        Py_DECREF(all);
        return result;
    }
    #define FATE_TRAMPOLINES(i) \\
        static PyObject *fate_none_##i(PyObject *self, PyObject *unused) { \\
            PyObject *ours = fate_ours(i, self); \\
            return ours ? fate_call(i, ours, self, NULL, 0, NULL) : fate_slots[i].original(self, unused); } \\
        static PyObject *fate_one_##i(PyObject *self, PyObject *arg) { \\
            PyObject *ours = fate_ours(i, self); \\
            return ours ? fate_call(i, ours, self, &arg, 1, NULL) : fate_slots[i].original(self, arg); } \\
        static PyObject *fate_tuple_##i(PyObject *self, PyObject *args) { \\
            PyObject *ours = fate_ours(i, self); \\
            return ours ? fate_call_tuple(i, ours, self, args, NULL) : fate_slots[i].original(self, args); } \\
        static PyObject *fate_keys_##i(PyObject *self, PyObject *args, PyObject *keys) { \\
            PyObject *ours = fate_ours(i, self); \\
            return ours ? fate_call_tuple(i, ours, self, args, keys) \\
                : ((PyCFunctionWithKeywords)(void (*)(void))fate_slots[i].original)(self, args, keys); } \\
        static PyObject *fate_fast_##i(PyObject *self, PyObject *const *args, Py_ssize_t n) { \\
            PyObject *ours = fate_ours(i, self); \\
            return ours ? fate_call(i, ours, self, args, n, NULL) \\
                : ((PyObject *(*)(PyObject *, PyObject *const *, Py_ssize_t))(void (*)(void))fate_slots[i].original)( \\
                    self, args, n); } \\
        static PyObject *fate_fast_keys_##i(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) { \\
            PyObject *ours = fate_ours(i, self); \\
            return ours ? fate_call(i, ours, self, args, n, names) \\
                : ((PyObject *(*)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *))(void (*)(void)) \\
                    fate_slots[i].original)(self, args, n, names); } \\
        static PyObject *fate_of_class_##i( \\
            PyObject *self, PyTypeObject *cls, PyObject *const *args, size_t n, PyObject *names) { \\
            PyObject *ours = fate_ours(i, self); \\
            return ours ? fate_call(i, ours, self, args, (Py_ssize_t)n, names) \\
                : ((PyCMethod)(void (*)(void))fate_slots[i].original)(self, cls, args, n, names); }
    #define FATE_TABLE(i) { (PyCFunction)fate_none_##i, (PyCFunction)fate_one_##i, (PyCFunction)fate_tuple_##i, \\
        (PyCFunction)(void (*)(void))fate_keys_##i, (PyCFunction)(void (*)(void))fate_fast_##i, \\
        (PyCFunction)(void (*)(void))fate_fast_keys_##i, (PyCFunction)(void (*)(void))fate_of_class_##i },
    #define FATE_TEN(M, a) M(a##0) M(a##1) M(a##2) M(a##3) M(a##4) M(a##5) M(a##6) M(a##7) M(a##8) M(a##9)
    #define FATE_ALL(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) FATE_TEN(M, 1) FATE_TEN(M, 2) \\
        FATE_TEN(M, 3) FATE_TEN(M, 4) FATE_TEN(M, 5) FATE_TEN(M, 6) FATE_TEN(M, 7) FATE_TEN(M, 8) FATE_TEN(M, 9) \\
        FATE_TEN(M, 10) FATE_TEN(M, 11) FATE_TEN(M, 12)
    FATE_ALL(FATE_TRAMPOLINES)
    static PyCFunction fate_table[FATE_SLOTS][7] = { FATE_ALL(FATE_TABLE) };

    static PyMethodDef *fate_method_of(PyObject *function) {
        if (PyCFunction_Check(function))
            return ((PyCFunctionObject *)function)->m_ml;
        if (Py_TYPE(function) == &PyMethodDescr_Type || Py_TYPE(function) == &PyClassMethodDescr_Type)
            return ((PyMethodDescrObject *)function)->d_method;
        return NULL;
    }

    /* Prepares a slot; 0, or -1 if the function has no pointer of a kind that is known here. */
    static int fate_prepare(int i, PyObject *function, PyObject *replacement, PyObject *only, PyObject *outside, int bound) {
        PyMethodDef *method = fate_method_of(function);
        int kind;
        if (method == NULL) return -1;
        switch (method->ml_flags & (METH_VARARGS | METH_FASTCALL | METH_NOARGS | METH_O | METH_KEYWORDS | METH_METHOD)) {
            case METH_NOARGS: kind = 0; break;
            case METH_O: kind = 1; break;
            case METH_VARARGS: kind = 2; break;
            case METH_VARARGS | METH_KEYWORDS: kind = 3; break;
            case METH_FASTCALL: kind = 4; break;
            case METH_FASTCALL | METH_KEYWORDS: kind = 5; break;
            case METH_METHOD | METH_FASTCALL | METH_KEYWORDS: kind = 6; break;
            default: return -1;
        }
        Py_INCREF(function);  /* the table must outlive the process */
        Py_INCREF(replacement);
        fate_slots[i].method = method;
        fate_slots[i].original = method->ml_meth;
        fate_slots[i].trampoline = fate_table[i][kind];
        fate_slots[i].replacement = replacement;
        Py_INCREF(only);
        Py_INCREF(outside);
        fate_slots[i].only = only;
        fate_slots[i].outside = outside == Py_None ? NULL : outside;
        fate_slots[i].bound = bound;
        return 0;
    }
    static void fate_swap(int count, int on) {
        int i;
        for (i = 0; i < count; i++) {
            fate_slots[i].method->ml_meth = on ? fate_slots[i].trampoline : fate_slots[i].original;
            fate_slots[i].resting = 0;
        }
    }
    static void fate_rest(int first, int count) {
        int i;
        for (i = first; i < first + count && i < FATE_SLOTS; i++)
            fate_slots[i].resting = 1;
    }
    static void fate_set_inside(int inside) { fate_inside = inside; }
    static int fate_get_inside(void) { return fate_inside; }

    /* How futures hash: by a number that each gets when it is first hashed, kept in its __dict__. */
    #define FATE_TYPES 64
    static hashfunc fate_hashes[FATE_TYPES];
    static PyTypeObject *fate_types[FATE_TYPES];
    static int fate_type_count = 0;
    static long long fate_number = 0;
    static PyObject *fate_key = NULL;

    static Py_hash_t fate_hash(PyObject *self) {
        PyObject *dict, *number;
        Py_hash_t value;
        if (fate_inside != 1) return PyBaseObject_Type.tp_hash(self);
        dict = PyObject_GenericGetDict(self, NULL);
        if (dict == NULL) return -1;
        number = PyDict_GetItemWithError(dict, fate_key);
        if (number != NULL) {
            value = (Py_hash_t)PyLong_AsSsize_t(number);
        } else {
            value = (Py_hash_t)++fate_number;
            number = PyLong_FromSsize_t(value);
            if (number == NULL || PyDict_SetItem(dict, fate_key, number) < 0) value = -1;
            Py_XDECREF(number);
        }
        Py_DECREF(dict);
        return value;
    }
    static int fate_take_type(PyObject *type, PyObject *key) {
        PyTypeObject *cls = (PyTypeObject *)type;
        if (!PyType_Check(type) || fate_type_count >= FATE_TYPES || cls->tp_hash != PyBaseObject_Type.tp_hash) return -1;
        Py_INCREF(type);
        Py_INCREF(key);
        fate_key = key;
        fate_hashes[fate_type_count] = cls->tp_hash;
        fate_types[fate_type_count++] = cls;
        return 0;
    }
    static void fate_swap_hashes(int on) {
        int i;
        fate_number = 0;
        for (i = 0; i < fate_type_count; i++)
            fate_types[i]->tp_hash = on ? fate_hash : fate_hashes[i];
    }
    """
    int fate_prepare(int i, object function, object replacement, object only, object outside, int bound)
    void fate_swap(int count, int on)
    void fate_rest(int first, int count)
    void fate_set_inside(int inside)
    int fate_get_inside()
    int fate_take_type(object type, object key)
    void fate_swap_hashes(int on)
    int FATE_SLOTS


cdef int _count = 0


def prepare(function, replacement, bint bound, bint raises, only=None, outside=None) -> bool:
    """Have `replacement` called in place of the builtin `function` while swapped; say whether that can be.

    bound: give it the object that the method is called on, first. raises: it may raise; here, it always may.
    outside: what threads that are in no universe get meanwhile for the object `only`; for others, the builtin.
    """
    global _count
    if _count >= FATE_SLOTS:
        raise RuntimeError(f"{FATE_SLOTS} functions are replaced already: add a FATE_TEN to FATE_ALL in _swap.pyx")
    if fate_prepare(_count, function, replacement, only, outside, bound) < 0:
        return False
    _count += 1
    return True


def prepare_hash(cls) -> bool:
    """Have objects of `cls` hash by number while swapped; say whether that can be."""
    return fate_take_type(cls, "_fate_number") == 0


def swap(bint on):
    """Put all replacements in place, or the originals."""
    fate_swap(_count, on)
    fate_swap_hashes(on)


def exchange(list places, bint on):
    """Put what is replaced into its places, or the originals: (a dict, a key, the original, the replacement) each."""
    cdef tuple place
    for place in places:
        (<dict?>place[0])[place[1]] = place[3] if on else place[2]


def prepared() -> int:
    """How many functions are."""
    return _count


def rest(int first, int count):
    """Have the threads of a universe get the originals of so many functions, until all are swapped the next time.

    first: how many were prepared before them.
    """
    fate_rest(first, count)


def set_inside(bint inside):
    """Whether the present thread gets the replacements."""
    fate_set_inside(inside)


def call_real(function, args, kwargs):
    """What `function` gives where the present thread gets the originals meanwhile."""
    if fate_get_inside() != 1:
        return function(*args, **kwargs)
    fate_set_inside(2)
    try:
        return function(*args, **kwargs)
    finally:
        fate_set_inside(1)


def get_inside() -> bool:
    """Whether the present thread gets the replacements."""
    return fate_get_inside() == 1
