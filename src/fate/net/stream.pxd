cimport cython

from fate._native cimport copy_of
from fate.core.engine cimport Engine
from fate.core.handle cimport Handle
from fate.net._calls cimport (
    Seated, Table, enter, fd_of, give_back, leave, name_of, no_delay, peer_of, receive, receive_into, send, send_pieces, unpack,
)
from fate.net.pieces cimport Pieces

cdef bint COMPILED
cdef Py_ssize_t CORK
cdef Py_ssize_t CALL
cdef Py_ssize_t WARM
cdef Py_ssize_t SMALL
cdef Py_ssize_t LARGE
cdef Py_ssize_t MUCH
cdef int EBADF
cdef int PATIENCE
cdef tuple INTERNET
cdef tuple TCP
cdef object BUFFERED
cdef object CONTRACT
cdef bint ATTACH_NAMES_IT


cdef class Stream(Seated):
    cdef dict __dict__  # made when somebody assigns to `write`, or keeps something here
    cdef Engine _engine
    cdef object _socket
    cdef public object _protocol
    cdef public object _server
    cdef dict _info
    cdef object _peer
    cdef object _name
    cdef bytes _first
    cdef Pieces _pieces
    cdef Handle _writer
    cdef public object _empty_waiter
    cdef Py_ssize_t _offset
    cdef Py_ssize_t _size
    cdef readonly Py_ssize_t _high_water
    cdef readonly Py_ssize_t _low_water
    cdef public int _conn_lost
    cdef int _want
    cdef public bint _closing
    cdef public bint _paused
    cdef public bint _eof
    cdef public bint _protocol_paused
    cdef bint _buffered
    cdef bint _watched
    cdef bint _edge
    cdef bint _corked
    cdef bint _owns_context
    cdef bint _has_one_context
    cdef bint _missed
    cdef bint _told
    cdef bint _lost

    @cython.locals(entered=bint)
    cdef object _fire(self)
    cdef object _read_failed(self, object failure)
    cdef int _settle(self) except -1
    cdef int _watch(self) except -1
    cdef int _unwatch(self) except -1

    @cython.locals(count=Py_ssize_t, data=bytes)
    cdef int _read(self) except -1

    @cython.locals(count=Py_ssize_t)
    cdef int _read_into(self) except -1
    cdef int _read_end(self) except -1

    @cython.locals(size=Py_ssize_t, total=Py_ssize_t, engine=Engine, plain=bytes)
    cpdef write(self, object data)
    @cython.locals(fd=int, table=Table)
    cpdef _take_place(self)
    cdef int _write_to_nobody(self) except -1

    @cython.locals(pieces=Pieces)
    cdef int _keep(self, object data, Py_ssize_t size) except -1

    @cython.locals(sent=Py_ssize_t)
    cdef int _send(self, object data, Py_ssize_t size) except -1

    @cython.locals(number=int)
    cdef int _flush(self) except -1

    @cython.locals(size=Py_ssize_t, sent=Py_ssize_t, first=bytes, pieces=Pieces)
    cdef int _push_out(self) except -1

    cdef int _drop(self) except -1
    cdef int _uncork(self) except -1

    @cython.locals(engine=Engine)
    cdef int _wait(self) except -1

    @cython.locals(writer=Handle)
    cdef int _unwait(self) except -1
    cpdef _maybe_pause_protocol(self)
    cpdef _maybe_resume_protocol(self)
    cpdef close(self)
    cdef int _give_up(self, object error, object context) except -1
    cpdef _fatal_error(self, object exc, object message=*)
    cdef int _fail(self, object error, object message, object context) except -1
    cpdef _call_connection_lost(self, object exc)
    cdef int _tell(self) except -1
