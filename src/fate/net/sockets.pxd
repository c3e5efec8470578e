cimport cython

from fate.core.engine cimport Engine
from fate.core.handle cimport Handle
from fate.net._calls cimport fd_of
from fate.net._socket_calls cimport fillable, receive, receive_into
from fate.net._socket_calls cimport send as send_out
from fate.net.poll cimport EpollPoll

cdef char SOURCE
cdef bint COMPILED
cdef tuple INTERNET


cdef extern from *:
    """
    /* `__next__` as C can say it: a future to wait for, or the end, which is an exception only if it has a value. */
    static PyObject *fate_wait_next(PyObject *self) {
        struct __pyx_obj_4fate_3net_7sockets_Wait *wait = (struct __pyx_obj_4fate_3net_7sockets_Wait *)self;
        PyObject *result = ((struct __pyx_vtabstruct_4fate_3net_7sockets_Wait *)wait->__pyx_base.__pyx_vtab)->_step(wait);
        if (result == NULL || (PyObject *)wait->_engine != Py_None) return result;
        if (PyTuple_Check(result) || PyExceptionInstance_Check(result)) {
            PyObject *end = PyObject_CallOneArg(PyExc_StopIteration, result);
            if (end != NULL) PyErr_SetObject(PyExc_StopIteration, end);
            Py_XDECREF(end);
        } else if (result != Py_None) {
            PyErr_SetObject(PyExc_StopIteration, result);
        }
        Py_DECREF(result);
        return NULL;
    }

    static void fate_have_steps(PyTypeObject *cls) { cls->tp_iternext = fate_wait_next; }
    """
    void fate_have_steps(type cls)


cdef inline int _have_steps(type cls):
    fate_have_steps(cls)
    return 0


cdef class Wait(Handle):
    cdef Engine _engine
    cdef object _socket
    cdef object _waiter
    cdef int _fd
    cdef bint _begun
    cdef bint _watched
    cdef bint _full

    cdef int _prepare(self, Engine loop, object sock) except -1
    cdef object _name(self)
    cdef object _try(self)
    @cython.locals(engine=Engine, tried=bint)
    cdef object _step(self)
    cdef object _wait_too(self)
    cdef object _reused(self)
    cdef object _result(self, object tried)
    @cython.locals(engine=Engine)
    cdef int _end(self, bint keep) except -1
    @cython.locals(poll=EpollPoll)
    cdef bint _may_try(self) except -1
    @cython.locals(engine=Engine, poll=EpollPoll)
    cdef int _watch(self, bint tried) except -1
    @cython.locals(poll=EpollPoll)
    cdef int _unwatch(self, bint keep) except -1


cdef class Receiving(Wait):
    cdef Py_ssize_t _size


cdef class Filling(Wait):
    cdef object _buffer


cdef class Calling(Wait):
    cdef object _called
    cdef object _call
    cdef tuple _arguments
    cdef bint _receives


cdef class WaitToSend(Wait):
    pass


cdef class Sending(WaitToSend):
    cdef object _data
    cdef Py_ssize_t _done

    @cython.locals(sent=Py_ssize_t, size=Py_ssize_t)
    cdef object _try(self)


cdef class SendingTo(WaitToSend):
    cdef object _data
    cdef object _address


@cython.locals(wait=Receiving)
cdef Receiving _receiving(object loop, object sock, Py_ssize_t size)
@cython.locals(wait=Filling)
cdef Filling _filling(object loop, object sock, object buffer)
@cython.locals(wait=Calling)
cdef Calling _calling(object loop, object sock, object call, tuple args, object name, bint receives=*)
@cython.locals(wait=Sending)
cdef Sending _sending(object loop, object sock, object data)
@cython.locals(wait=SendingTo)
cdef SendingTo _sending_to(object loop, object sock, object data, object address)
cdef bint _serves(Engine loop, object sock) except -1


cdef class SocketCalls(Engine):
    pass
