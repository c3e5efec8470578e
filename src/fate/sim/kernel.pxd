from libc.stdint cimport int64_t, uint32_t

cimport cython

from fate.core.engine cimport Poll as EnginePoll
from fate.core.handle cimport Handle
from fate.sim.decisions cimport Decisions

cdef uint32_t IN
cdef uint32_t OUT
cdef int64_t NEVER
cdef int64_t FREE_TURNS
cdef int64_t SPIN_NS
cdef int64_t FIRST_SPINS
cdef int64_t FIRST_SPIN_NS
cdef int64_t LONG_SPIN
cdef int64_t LOOK_AT
cdef int64_t PART_OF_SPIN
cdef int64_t FREE_LOOKS
cdef int64_t LOOK_NS
cdef int64_t STEPS


cdef class End:
    cdef readonly Kernel kernel
    cdef public object host
    cdef readonly list watches
    cdef public dict options

    cpdef int raise_if_gone(self) except -1
    cpdef bint read_ended(self) except -1
    cpdef uint32_t mask(self) except? 0xffffffff
    cpdef int take(self, tuple item) except -1

    @cython.locals(watch=Watch)
    cpdef int changed(self) except -1


@cython.final
cdef class Watch:
    cdef readonly Poll poll
    cdef readonly int fd
    cdef readonly End end
    cdef public Handle reader
    cdef public Handle writer
    cdef bint listed
    cdef readonly uint32_t events


cdef class Waits:
    cpdef changed(self, End end)
    cpdef bint run_others(self) except -1
    cpdef int64_t next_wake(self) except? -1
    cpdef bint stuck(self) except -1


@cython.final
cdef class Kernel:
    cdef public int64_t now
    cdef readonly Decisions decisions
    cdef public int64_t limit
    cdef public double order
    cdef readonly dict ends
    cdef public Waits waits
    cdef public list history
    cdef public int64_t idle_polls
    cdef public int64_t steps
    cdef public int64_t most_steps
    cdef list _heap
    cdef int64_t _number
    cdef public int64_t looks
    cdef public int64_t spin_until
    cdef int64_t _spin_ns
    cdef int64_t _spun_from
    cdef public object on_spin
    cdef public object on_limit
    cdef public object on_stuck

    cpdef int64_t read_clock(self) except? -1
    cpdef int at(self, int64_t when, object action, object argument) except -1

    cpdef int bring(self, int64_t when, End end, tuple item) except -1

    @cython.locals(heap=list, entry=tuple, when=int64_t, count=int, end=End)
    cpdef int run_due(self) except -1

    @cython.locals(when=int64_t)
    cpdef int64_t next_event(self) except? -1
    cpdef int go_to(self, int64_t when) except -1

    @cython.locals(spins=int64_t, when=int64_t, longer=int64_t, next_event=int64_t)
    cpdef int spin(self) except -1
    cpdef int forget(self) except -1


cdef class Poll(EnginePoll):
    cdef readonly Kernel kernel
    cdef readonly str label
    cdef public bint driven
    cdef readonly int64_t boot_ns
    cdef readonly list hot
    cdef readonly dict watches
    cdef public bint woken
    cdef public bint asleep
    cdef public int64_t wake
    cdef readonly bint closed

    cpdef int64_t read_clock(self) except? -1

    @cython.locals(kernel=Kernel, count=int, deadline=int64_t)
    cpdef int poll(self, int64_t timeout_ns, list ready) except -1

    @cython.locals(kernel=Kernel, others=bint, count=int, when=int64_t, wake=int64_t)
    cdef int _wait(self, int64_t deadline, list ready) except -1

    @cython.locals(count=int)
    cdef int _poll_driven(self, int64_t timeout_ns, list ready) except -1

    @cython.locals(kernel=Kernel, hot=list, keep=list, count=int, watch=Watch, mask=uint32_t, found=bint, reader=Handle, writer=Handle)
    cdef int _collect(self, list ready) except -1
    cdef list _shuffle(self, list keep)

    @cython.locals(watch=Watch)
    cpdef unsigned int events(self, int fd) except? 0xffffffff

    @cython.locals(watch=Watch)
    cdef Watch _watch(self, int fd)
    cdef int _settle(self, Watch watch) except -1
    cpdef int forget(self, Watch watch) except -1

    @cython.locals(watch=Watch, before=Handle)
    cpdef Handle set_reader(self, int fd, Handle handle)

    @cython.locals(watch=Watch, before=Handle)
    cpdef Handle set_writer(self, int fd, Handle handle)
