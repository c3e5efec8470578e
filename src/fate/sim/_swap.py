"""Swapping what builtin functions do, and how futures hash, for the threads of a universe only.

The same names with the same meaning as `_swap.pyx`, which replaces this module when Fate is compiled; here the
pointers are written by ctypes. Every reference to a builtin function shares them, so `from time import monotonic`,
default arguments and closures are reached alike (the idea is time-machine's).
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

VARARGS, KEYWORDS, NOARGS, ONE, FASTCALL, METHOD = 0x01, 0x02, 0x04, 0x08, 0x80, 0x200
OBJECT = ctypes.py_object
POINTER, SIZE = ctypes.c_void_p, ctypes.c_ssize_t
METHOD_AT = 2 * ctypes.sizeof(POINTER)  # PyCFunctionObject.m_ml, right after the head
DESCRIPTOR_AT = 5 * ctypes.sizeof(POINTER)  # PyMethodDescrObject.d_method
HASH_AT = 15 * ctypes.sizeof(POINTER)  # PyTypeObject.tp_hash

_inside: set[int] = set()
_original: set[int] = set()  # threads of a universe that call an original now
_slots: list[tuple[Any, int, int]] = []  # where the pointer is, the original, the replacement
_resting: set[int] = set()  # the numbers of those of which the threads of a universe get the originals, too
_hashes: list[tuple[Any, int]] = []
_kept: list[Any] = []
_number = [0]


class _Method(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("function", POINTER), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p)]


def _safely(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """ctypes cannot hand on an exception: it is raised in this thread as soon as the interpreter looks."""
    try:
        return call(*args, **kwargs)
    except BaseException as error:
        _raise_soon(error)
        return None


def _raise_soon(error: BaseException) -> None:
    class Told(type(error)):  # type: ignore[misc]  # only a class can be raised so: one that makes this very error
        def __new__(cls) -> Any:
            return error

    Told.__name__ = type(error).__name__
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(threading.get_ident()), OBJECT(Told))


def _trampoline(
    number: int, flags: int, original: int, replacement: Callable[..., Any], bound: bool, only: Any, outside: Any
) -> Any:
    def ours(me: Any) -> Any:
        """What the present thread gets; None: the original."""
        if threading.get_ident() not in _inside:
            return outside if me is only and threading.get_ident() not in _original else None
        return None if number in _resting else replacement

    def first(self: Any) -> tuple[Any, ...]:
        return (self,) if bound else ()

    def items(pointer: int | None, size: int) -> list[Any]:
        return list((OBJECT * size).from_address(pointer)) if pointer and size else []

    def call(mine: Any, me: Any, args: int | None, n: int, names: int | None) -> Any:
        keys: tuple[str, ...] = ctypes.cast(names, OBJECT).value if names else ()
        values = items(args, n + len(keys))
        return _safely(mine, *first(me), *values[:n], **dict(zip(keys, values[n:], strict=True)))

    # The second argument of NOARGS, and missing keywords, are NULL: they come as integers.
    if flags == NOARGS:
        kind = ctypes.PYFUNCTYPE(OBJECT, OBJECT, POINTER)
        real = partial(_safely, kind(original))
        return kind(lambda me, _: _safely(mine, *first(me)) if (mine := ours(me)) else real(me, None))
    if flags == ONE:
        kind = ctypes.PYFUNCTYPE(OBJECT, OBJECT, OBJECT)
        real = partial(_safely, kind(original))
        return kind(lambda me, arg: _safely(mine, *first(me), arg) if (mine := ours(me)) else real(me, arg))
    if flags == VARARGS:
        kind = ctypes.PYFUNCTYPE(OBJECT, OBJECT, OBJECT)
        real = partial(_safely, kind(original))
        return kind(lambda me, args: _safely(mine, *first(me), *args) if (mine := ours(me)) else real(me, args))
    if flags == VARARGS | KEYWORDS:
        kind = ctypes.PYFUNCTYPE(OBJECT, OBJECT, OBJECT, POINTER)
        real = partial(_safely, kind(original))

        def with_keywords(me: Any, args: Any, keys: int | None) -> Any:
            mine = ours(me)
            if not mine:
                return real(me, args, keys)
            named = ctypes.cast(keys, OBJECT).value if keys else {}
            return _safely(mine, *first(me), *args, **named)

        return kind(with_keywords)
    if flags == FASTCALL:
        kind = ctypes.PYFUNCTYPE(OBJECT, OBJECT, POINTER, SIZE)
        real = partial(_safely, kind(original))
        return kind(
            lambda me, args, n: _safely(mine, *first(me), *items(args, n)) if (mine := ours(me)) else real(me, args, n)
        )
    if flags == FASTCALL | KEYWORDS:
        kind = ctypes.PYFUNCTYPE(OBJECT, OBJECT, POINTER, SIZE, POINTER)
        real = partial(_safely, kind(original))

        def fast_with_keywords(me: Any, args: int | None, n: int, names: int | None) -> Any:
            mine = ours(me)
            return call(mine, me, args, n, names) if mine else real(me, args, n, names)

        return kind(fast_with_keywords)
    if flags == METHOD | FASTCALL | KEYWORDS:
        kind = ctypes.PYFUNCTYPE(OBJECT, OBJECT, POINTER, POINTER, SIZE, POINTER)
        real = partial(_safely, kind(original))

        def of_class(me: Any, cls: int | None, args: int | None, n: int, names: int | None) -> Any:
            mine = ours(me)
            return call(mine, me, args, n, names) if mine else real(me, cls, args, n, names)

        return kind(of_class)
    return None


def prepare(
    function: Any,
    replacement: Callable[..., Any],
    bound: bool,
    raises: bool,
    only: Any = None,
    outside: Callable[..., Any] | None = None,
) -> bool:
    """Have `replacement` called in place of the builtin `function` while swapped; say whether that can be.

    bound: give it the object that the method is called on, first. raises: it may raise, which ctypes cannot hand on.
    outside: what threads that are in no universe get meanwhile for the object `only`; for others, the builtin.
    """
    if raises:
        return False
    name = type(function).__name__
    if name == "builtin_function_or_method":
        at = METHOD_AT
    elif name in ("method_descriptor", "classmethod_descriptor"):
        at = DESCRIPTOR_AT
    else:
        return False
    method = _Method.from_address(POINTER.from_address(id(function) + at).value or 0)
    flags = method.flags & (VARARGS | KEYWORDS | NOARGS | ONE | FASTCALL | METHOD)
    original = method.function
    trampoline = _trampoline(len(_slots), flags, original, replacement, bound, only, outside)
    if trampoline is None:
        return False
    _kept.append((function, trampoline))
    address = ctypes.cast(trampoline, POINTER).value
    assert address is not None
    _slots.append((method, original, address))
    return True


@ctypes.PYFUNCTYPE(SIZE, OBJECT)  # type: ignore[untyped-decorator]
def _number_hash(future: Any) -> int:
    if threading.get_ident() not in _inside:
        address = id(future)
        return ctypes.c_ssize_t((address >> 4) | ((address & 15) << 60)).value
    known: int | None = getattr(future, "_fate_number", None)  # they have attributes of their own, but no __dict__
    if known is None:
        _number[0] += 1
        known = future._fate_number = _number[0]
    return known


def prepare_hash(cls: type) -> bool:
    """Have objects of `cls` hash by number while swapped; say whether that can be."""
    slot = POINTER.from_address(id(cls) + HASH_AT)
    if slot.value != POINTER.from_address(id(object) + HASH_AT).value:
        return False
    _hashes.append((slot, slot.value or 0))
    return True


def swap(on: bool) -> None:
    """Put all replacements in place, or the originals."""
    for method, original, replacement in _slots:
        method.function = replacement if on else original
    _resting.clear()
    _number[0] = 0
    address = ctypes.cast(_number_hash, POINTER).value
    for slot, before in _hashes:
        slot.value = address if on else before


def exchange(places: list[tuple[dict[str, Any], str, Any, Any]], on: bool) -> None:
    """Put what is replaced into its places, or the originals: (a dict, a key, the original, the replacement) each."""
    for names, name, original, ours in places:
        names[name] = ours if on else original


def prepared() -> int:
    """How many functions are."""
    return len(_slots)


def rest(first: int, count: int) -> None:
    """Have the threads of a universe get the originals of so many functions, until all are swapped the next time.

    first: how many were prepared before them.
    """
    _resting.update(range(first, first + count))


def set_inside(inside: bool) -> None:
    """Whether the present thread gets the replacements."""
    if inside:
        _inside.add(threading.get_ident())
    else:
        _inside.discard(threading.get_ident())


def call_real(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """What `function` gives where the present thread gets the originals meanwhile."""
    ident = threading.get_ident()
    if ident not in _inside:
        return function(*args, **kwargs)
    _inside.discard(ident)
    _original.add(ident)
    try:
        return function(*args, **kwargs)
    finally:
        _original.discard(ident)
        _inside.add(ident)


def get_inside() -> bool:
    """Whether the present thread gets the replacements."""
    return threading.get_ident() in _inside
