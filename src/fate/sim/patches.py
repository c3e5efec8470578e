"""What a program finds in place of the real thing while a universe runs, and that nothing of it stays.

Builtin functions are swapped where every reference to them looks (`_swap`); classes and functions of Python's are put
into every module that has them under a name of its own, so `from socket import socket` is no way out. Finding those
places takes a moment, so it is done again only when modules were imported since. What is not simulated is refused.
"""

from __future__ import annotations

import _multiprocessing  # type: ignore[import-not-found]
import _posixsubprocess
import _signal  # type: ignore[import-not-found]  # typeshed has only `signal`, which wraps it
import _socket
import asyncio
import os
import select
import selectors
import signal
import socket
import ssl
import sys
import threading
import time
import uuid
import warnings
from asyncio import base_subprocess, mixins, selector_events
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from fate import singletons
from fate.loop import Fate
from fate.sim import (
    _swap,
    clocks,
    descriptors,
    executors,
    foreigners,
    locks,
    names,
    selecting,
    signals,
    sockets,
    threads,
    tls,
    world,
)
from fate.sim.apart import choose
from fate.sim.errors import unsimulated
from fate.sim.generator import GENERATOR
from fate.sim.loop import UniverseFate

socket_class = socket.socket


def _refuse(call: str, instead: str) -> Callable[..., NoReturn]:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise unsimulated(call, instead)

    return refuse


CHILDREN = "use asyncio.create_subprocess_exec(), and have the program played: fate.sim.current().program(name, play)"
REFUSED: list[tuple[Any, str, str, str]] = [  # the builtin, its name, how to tell of it, and what to do instead
    (getattr(module, name), name, f"{shown}.{name}()", why)
    for module, shown, names, why in [
        (os, "os", ["fork", "forkpty", "posix_spawn", "posix_spawnp", "system", "execv", "execve"], CHILDREN),
        (_posixsubprocess, "_posixsubprocess", ["fork_exec"], CHILDREN),
        (os, "os", ["_exit", "abort"], "it would end the process that all runs are in: raise SystemExit"),
        (_signal, "signal", signals.REFUSED, signals.INSTEAD),
        (select, "select", ["epoll"], "use asyncio, or the module selectors"),
        (time, "time", ["clock_settime", "clock_settime_ns"], "the fault `clock` sets clocks forward and back"),
        (_socket, "socket", ["sethostname"], "a host has the name that universe.host() gave it"),
        (_socket, "socket", ["if_nameindex", "if_nametoindex", "if_indextoname"], "a host has addresses and no cards"),
    ]
    for name in names
    if hasattr(module, name)
]
REAL_SOCKET = "make sockets inside the universe, by socket.socket()"
RAISING: list[tuple[Any, Any]] = [  # builtins whose replacement may raise; some are default arguments, as in Twisted
    (clocks.SLEEP, clocks.sleep),
    (os.kill, signals.kill),
    (os.killpg, signals.killpg),
    (_signal.raise_signal, signals.raise_signal),
    (_signal.set_wakeup_fd, signals.set_wakeup_fd),
    (_socket.getaddrinfo, names.getaddrinfo),
    (_socket.gethostbyname, names.gethostbyname),
    (_socket.gethostbyname_ex, names.gethostbyname_ex),
    (_socket.gethostbyaddr, names.gethostbyaddr),
    (_socket.gethostname, names.gethostname),
    (_socket.getnameinfo, names.getnameinfo),
    *descriptors.REPLACED,
]
_warn = warnings.warn


def warn(message: Any, category: Any = None, stacklevel: int = 1, source: Any = None, **others: Any) -> None:
    """`warnings.warn`: what was dropped without being closed counts as left behind, too."""
    kind = type(message) if isinstance(message, Warning) else category
    here = world.current
    inside = here is not None and _swap.get_inside()
    if inside and kind is ResourceWarning and str(message).lower().startswith("unclosed"):
        assert here is not None
        here.dropped += (str(message),)
        with suppress(ResourceWarning):  # where warnings are errors: `__del__` may raise none
            clocks.real(_warn, message, category, stacklevel + 2, source, **others)
        return
    clocks.real(_warn, message, category, stacklevel + 2, source, **others)


WARNERS: tuple[Any, ...] = (  # what they have as a default argument is not found by name
    asyncio.BaseEventLoop,
    base_subprocess.BaseSubprocessTransport,
    selector_events._SelectorTransport,  # type: ignore[attr-defined]
    Fate,
)
METHODS = (  # of real sockets: refused
    "_accept", "bind", "connect", "connect_ex", "listen", "recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg",
    "recvmsg_into", "send", "sendall", "sendmsg", "sendto", "shutdown",
)  # fmt: skip


def _get_loop(self: Any) -> Any:
    """`asyncio.mixins._LoopBoundMixin._get_loop`: a lock or queue of before is of the loop that needs it first."""
    bound = self._loop
    if isinstance(bound, UniverseFate) and bound.is_closed():  # of another universe
        self._loop = None
    return _real_get_loop(self)


_real_get_loop = mixins._LoopBoundMixin._get_loop  # type: ignore[attr-defined]
ATTRIBUTES: list[tuple[Any, str, Any]] = [
    (threading.Thread, "join", threads.join),
    (ssl.SSLSocket, "_create", classmethod(tls.create)),
    (selectors.SelectSelector, "_select", staticmethod(choose(select.select, selecting.select))),
    (mixins._LoopBoundMixin, "_get_loop", _get_loop),
    *executors.METHODS,
    *selecting.METHODS,
]
"""What is put into classes: the class, the name, and what is there in a universe."""


def _refuse_semaphores(*args: Any, **kwargs: Any) -> NoReturn:
    raise unsimulated("a lock or semaphore of multiprocessing", CHILDREN)


_refuse_semaphores.SEM_VALUE_MAX = _multiprocessing.SemLock.SEM_VALUE_MAX  # type: ignore[attr-defined]


def replacements() -> list[tuple[Any, Any]]:
    """Objects of Python's that are replaced: (the real one, the universe's)."""
    return [
        (socket.socket, sockets.SimSocket),
        (socket.socketpair, sockets.socketpair),
        (socket.fromfd, sockets.fromfd),
        (socket.getaddrinfo, names.getaddrinfo),
        (uuid.getnode, clocks.uuid1_node),
        (signal.signal, signals.set_handler),
        (signal.getsignal, signals.get_handler),
        (_multiprocessing.SemLock, _refuse_semaphores),
        *threads.replacements(),
        *selecting.replacements(),
    ]


class Patches:
    """Everything that is swapped, prepared once in a process and then put in place and taken away quickly."""

    def __init__(self) -> None:
        pairs = replacements()
        for builtin, replacement, bound in [*clocks.BUILTINS, *signals.BUILTINS]:
            _swap.prepare(builtin, replacement, bound, False, *GENERATOR.apart(builtin))
        for builtin, replacement in [*locks.BUILTINS, *selecting.BUILTINS]:
            _swap.prepare(builtin, replacement, True, True)  # uncompiled, they stay
        self._warners = []
        if not _swap.prepare(_warn, warn, False, True):
            pairs.append((_warn, warn))
            self._warners = [cls.__del__ for cls in WARNERS if cls.__del__.__defaults__ == (_warn,)]
        for builtin, replacement in [
            *RAISING,
            *[(builtin, _refuse(call, instead)) for builtin, _, call, instead in REFUSED],
        ]:
            if not _swap.prepare(builtin, replacement, False, True):
                pairs.append((builtin, replacement))
        self._methods = []
        for name in METHODS:
            refuse = _refuse(f"socket.{name.lstrip('_')}() of a socket of the real world", REAL_SOCKET)
            if not _swap.prepare(getattr(_socket.socket, name), refuse, False, True):
                self._methods.append((name, choose(getattr(_socket.socket, name), refuse)))
        GENERATOR.prepare()
        for cls in (asyncio.Future, asyncio.Task):
            _swap.prepare_hash(cls)
        self._replacements = {id(original): (original, choose(original, ours)) for original, ours in pairs}
        self._attributes = [(cls, name, cls.__dict__[name], ours) for cls, name, ours in ATTRIBUTES]
        singletons.concerns = _swap.get_inside
        self._modules = 0
        self._places: list[tuple[dict[str, Any], str, Any, Any]] = []
        self._uuid: Any = None
        self._zone: str | None = ""  # TZ as it was; "": it has not been changed

    def _find(self) -> None:
        """Find every module's names for what is replaced."""
        foreigners.there(sys.modules)
        places = []
        for module in list(sys.modules.values()):
            if module is None or getattr(module, "__name__", "").startswith("fate.sim"):
                continue
            names = getattr(module, "__dict__", None)
            if type(names) is not dict:
                continue
            for name, value in list(names.items()):
                found = self._replacements.get(id(value))
                if found is not None and found[0] is value:
                    places.append((names, name, value, found[1]))
        by_the_machine = getattr(uuid, "_generate_time_safe", None)
        if by_the_machine is not None:
            places.append((uuid.__dict__, "_generate_time_safe", by_the_machine, None))
        self._places = places
        self._modules = len(sys.modules)

    def put(self, seed: int) -> None:
        """Put everything in place; the module `random` begins anew from `seed`."""
        if len(sys.modules) != self._modules:
            self._find()
        _swap.exchange(self._places, True)
        GENERATOR.arm(seed)
        self._uuid, uuid._last_timestamp = uuid._last_timestamp, None  # type: ignore[attr-defined]
        for name, refuse in self._methods:
            setattr(socket_class, name, refuse)
        for function in self._warners:
            function.__defaults__ = (warn,)
        for cls, name, _, ours in self._attributes:
            setattr(cls, name, ours)
        if time.timezone or time.daylight:
            self._move_to_utc()
        _swap.swap(True)
        _swap.set_inside(True)

    def take_away(self) -> None:
        """Have everything as it was. What modules that were imported meanwhile have got is put right, too."""
        _swap.set_inside(False)
        _swap.swap(False)
        for cls, name, before, _ in self._attributes:
            setattr(cls, name, before)
        tls.take_away()
        for name, _ in self._methods:
            delattr(socket_class, name)
        for function in self._warners:
            function.__defaults__ = (_warn,)
        _swap.exchange(self._places, False)
        uuid._last_timestamp = self._uuid  # type: ignore[attr-defined]
        GENERATOR.disarm()
        if self._zone != "":
            self._move_back()
        if len(sys.modules) != self._modules:
            self._clean()

    def _move_to_utc(self) -> None:
        """Have local time be UTC for what C code makes of it, such as `datetime.fromtimestamp` and `time.mktime`."""
        self._zone = os.environ.get("TZ")
        os.environ["TZ"] = "UTC0"
        time.tzset()

    def _move_back(self) -> None:
        if self._zone is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = self._zone
        self._zone = ""
        time.tzset()

    def _clean(self) -> None:
        back = {id(ours): (ours, original) for original, ours in self._replacements.values()}
        for module in list(sys.modules.values()):
            names = getattr(module, "__dict__", None)
            if type(names) is not dict or names.get("__name__", "").startswith("fate.sim"):
                continue
            for name, value in list(names.items()):
                found = back.get(id(value))
                if found is None or found[0] is not value:
                    continue
                names[name] = found[1]


_prepared: list[Patches] = []


def patches() -> Patches:
    """The one of this process."""
    if not _prepared:
        _prepared.append(Patches())
    return _prepared[0]
