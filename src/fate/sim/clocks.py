"""`time`, `datetime.now`, `os.urandom` and their kin, as a program in a universe gets them.

Each function here takes the place of the builtin of the same name while a universe runs, wherever the program got it
from. Virtual time passes in none of them but `sleep`. Local time is UTC.
"""

from __future__ import annotations

import datetime
import os
import ssl
import time
from typing import Any

from fate.sim import world
from fate.sim.generator import GENERATOR

LONGEST_SLEEP_NS = 1 << 62
_gmtime, _asctime, _strftime = time.gmtime, time.asctime, time.strftime
_fromtimestamp = datetime.datetime.fromtimestamp
WALL = {time.CLOCK_REALTIME, getattr(time, "CLOCK_REALTIME_COARSE", time.CLOCK_REALTIME)}


def _here() -> world.World:
    here = world.current
    assert here is not None
    return here


def wall_ns() -> int:
    """`time.time_ns`."""
    return _here().wall_ns()


def wall() -> float:
    """`time.time`."""
    return _here().wall_ns() / 1e9


def monotonic_ns() -> int:
    """`time.monotonic_ns` and `time.perf_counter_ns`."""
    return _here().monotonic_ns()


def monotonic() -> float:
    """`time.monotonic` and `time.perf_counter`."""
    return _here().monotonic_ns() / 1e9


def sleep(seconds: Any) -> None:
    """`time.sleep`: virtual time passes, for this thread alone."""
    ns = int(float(seconds) * 1e9)
    if ns < 0:
        raise ValueError("sleep length must be non-negative")
    _here().sleep(min(ns, LONGEST_SLEEP_NS))


def clock_gettime_ns(clock: int) -> int:
    """`time.clock_gettime_ns`."""
    here = _here()
    return here.wall_ns() if clock in WALL else here.monotonic_ns()


def clock_gettime(clock: int) -> float:
    """`time.clock_gettime`."""
    return clock_gettime_ns(clock) / 1e9


def broken_down(seconds: float | None = None) -> time.struct_time:
    """`time.gmtime` and `time.localtime`."""
    moment: time.struct_time = real(_gmtime, wall() if seconds is None else seconds)
    return moment


def ctime(seconds: float | None = None) -> str:
    """`time.ctime`."""
    return str(real(_asctime, broken_down(seconds)))


def asctime(moment: Any = None) -> str:
    """`time.asctime`."""
    return str(real(_asctime, broken_down() if moment is None else moment))


def strftime(form: str, moment: Any = None) -> str:
    """`time.strftime`."""
    return str(real(_strftime, form, broken_down() if moment is None else moment))


def now(cls: type[datetime.datetime], tz: datetime.tzinfo | None = None) -> datetime.datetime:
    """`datetime.datetime.now`."""
    ns = wall_ns()
    seconds, rest = divmod(ns, 1_000_000_000)
    moment = cls.fromtimestamp(seconds, datetime.UTC if tz is None else tz).replace(microsecond=rest // 1000)
    return moment.replace(tzinfo=None) if tz is None else moment


def utcnow(cls: type[datetime.datetime]) -> datetime.datetime:
    """`datetime.datetime.utcnow`."""
    return now(cls)


def real(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call the real builtin from inside."""
    from fate.sim import _swap

    return _swap.call_real(function, args, kwargs)


def times() -> os.times_result:
    """`os.times`: no processor's time passes."""
    return os.times_result((0.0, 0.0, 0.0, 0.0, monotonic()))


def urandom(size: int) -> bytes:
    """`os.urandom`, and what `secrets`, `uuid` and `random.SystemRandom` make of it."""
    if size < 0:
        raise ValueError("negative argument not allowed")
    decisions = _here().kernel.decisions
    words = [decisions.bits("urandom").to_bytes(8, "little") for _ in range((size + 7) // 8)]
    return b"".join(words)[:size]


def getrandom(size: int, flags: int = 0) -> bytes:
    """`os.getrandom`."""
    return urandom(size)


def seed_random(generator: Any, seed: Any = None) -> None:
    """`random.Random().seed`: without a seed, from the universe's chance."""
    GENERATOR.begin()  # if this is the first time that any is used
    if seed is None:
        seed = _here().kernel.decisions.bits("random")
    real(_random_seed, generator, seed)


def uuid1_node() -> int:
    """`uuid.getnode`: of the host, not of the real machine."""
    return 0x020000000000 + sum(_here().host.name.encode()) % 255


import _random  # noqa: E402

_random_seed = _random.Random.seed
SLEEP = time.sleep  # apart from the others: its replacement may raise
BUILTINS: list[tuple[Any, Any, bool]] = [
    (time.time, wall, False),
    (time.time_ns, wall_ns, False),
    (time.monotonic, monotonic, False),
    (time.monotonic_ns, monotonic_ns, False),
    (time.perf_counter, monotonic, False),
    (time.perf_counter_ns, monotonic_ns, False),
    (time.process_time, monotonic, False),
    (time.process_time_ns, monotonic_ns, False),
    (time.gmtime, broken_down, False),
    (time.localtime, broken_down, False),
    (time.ctime, ctime, False),
    (time.asctime, asctime, False),
    (time.strftime, strftime, False),
    (time.clock_gettime, clock_gettime, False),
    (time.clock_gettime_ns, clock_gettime_ns, False),
    (datetime.datetime.now, now, True),
    (datetime.datetime.utcnow, utcnow, True),
    (os.times, times, False),
    (os.urandom, urandom, False),
    (ssl.RAND_bytes, urandom, False),
    (_random.Random.seed, seed_random, True),
]
if hasattr(time, "thread_time"):
    BUILTINS += [(time.thread_time, monotonic, False), (time.thread_time_ns, monotonic_ns, False)]
if hasattr(os, "getrandom"):
    BUILTINS += [(os.getrandom, getrandom, False)]
