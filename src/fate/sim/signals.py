"""Signals on a host: `signal.signal`, `os.kill` and their kin. No real signal is sent, and none is handled.

A host gets a signal from `Host.signal`, or from its own program. The handler is the one that the program gave to
`loop.add_signal_handler`, else to `signal.signal`. What would send or await a real signal is refused.
"""

from __future__ import annotations

import errno
import os
import signal
from typing import TYPE_CHECKING, Any, NoReturn

from fate.sim import world
from fate.sim.errors import HostError, unsimulated

if TYPE_CHECKING:
    from fate.sim.hosts import Host

INSTEAD = "send signals with fate.sim.current().hosts[name].signal(number)"
IGNORED = frozenset({signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH})  # by default
REFUSED = ["alarm", "pause", "pidfd_send_signal", "pthread_kill", "pthread_sigmask", "setitimer", "siginterrupt"]
REFUSED += ["sigtimedwait", "sigwait", "sigwaitinfo"]


def _host() -> Host:
    here = world.current
    assert here is not None
    return here.host


def set_handler(signalnum: int, handler: Any) -> Any:
    """`signal.signal` on the present host."""
    _check_thread("signal")
    number = _check(signalnum)
    if number in (signal.SIGKILL, signal.SIGSTOP):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    if not callable(handler) and handler not in (signal.SIG_IGN, signal.SIG_DFL):
        raise TypeError("signal handler must be signal.SIG_IGN, signal.SIG_DFL, or a callable object")
    before = get_handler(number)
    _host().loop.handlers[number] = handler
    return before


def get_handler(signalnum: int) -> Any:
    """`signal.getsignal` on the present host."""
    number = _check(signalnum)
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    return _host().loop.handlers.get(number, usual)


def set_wakeup_fd(fd: int, *, warn_on_full_buffer: bool = True) -> NoReturn:
    """`signal.set_wakeup_fd`: no signal comes that could be written there."""
    _check_thread("set_wakeup_fd")
    raise unsimulated("signal.set_wakeup_fd()", "use loop.add_signal_handler() or signal.signal()")


def _check_thread(call: str) -> None:
    here = world.current
    if here is not None and here.threads is not None and here.threads.current is not None:
        raise ValueError(f"{call} only works in main thread of the main interpreter")


def raise_signal(signalnum: int) -> None:
    """`signal.raise_signal` on the present host."""
    send(_host(), _check(signalnum))


def kill(pid: int, signalnum: int) -> None:
    """`os.kill`: of the program itself, or of a child that is played."""
    host = _host()
    child = host.loop.processes.get(pid)
    if child is not None:
        child.send_signal(_check(signalnum) if signalnum else 0)
        return
    if pid != host.pid:
        if pid > world.FIRST_PID:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        raise unsimulated(f"os.kill({pid}, {signalnum})", INSTEAD)
    if signalnum:
        send(host, _check(signalnum))


def send(host: Host, number: int) -> None:
    """Have the handler of `host` called: soon, or at once where it is one of `signal.signal` and of the present host.

    Raises HostError if there is none, and the signal would end the program.
    """
    loop = host.loop
    handler = loop.signals.get(number)
    if handler is not None:
        loop.call_soon_threadsafe(handler[0], *handler[1])
        return
    plain = host.loop.handlers.get(number, signal.SIG_DFL)
    if plain is signal.SIG_IGN or (plain is signal.SIG_DFL and number in IGNORED):
        return
    if plain is signal.SIG_DFL or plain is signal.default_int_handler:
        name = signal.Signals(number).name
        raise HostError(f"host {host.name!r} has no handler for signal {name}, which would end it: crash() does that")
    if host.world.host is host:
        plain(number, None)
    else:
        loop.call_soon_threadsafe(plain, number, None)


def killpg(group: int, signalnum: int) -> None:
    """`os.killpg`: everybody is alone in a group."""
    kill(group, signalnum)


def getpid() -> int:
    """`os.getpid`: the present host's."""
    return _host().pid


def getppid() -> int:
    """`os.getppid`: that of init."""
    return 1


def _check(signalnum: int) -> int:
    number = int(signalnum)
    if not 1 <= number < signal.NSIG:
        raise ValueError("signal number out of range")
    return number


BUILTINS: list[tuple[Any, Any, bool]] = [(os.getpid, getpid, False), (os.getppid, getppid, False)]
