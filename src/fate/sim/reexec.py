"""The same string hashes and the same addresses in every process: the interpreter executes itself again.

Sets of strings are ordered by hashes that Python draws anew for each process, and sets of plain objects by where the
operating system puts memory. Both can be fixed, but only before the interpreter starts. `settle` does that, for a
command line to call first. Where address randomisation cannot be switched off, it says what is not covered.
"""

from __future__ import annotations

import ctypes
import os
import sys

from fate.sim.errors import ScenarioError

NO_RANDOM_ADDRESSES = 0x0040000  # ADDR_NO_RANDOMIZE, personality(2)
ASK = 0xFFFFFFFF
MARK = "FATE_SETTLED"
KEPT = ("PATH", "HOME", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "TMPDIR", "PYTHONDONTWRITEBYTECODE")
FIXED = {"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C.UTF-8", MARK: "1"}


def settled() -> bool:
    """Whether this process has been executed again already."""
    return os.environ.get(MARK) == "1"


def fix_addresses() -> bool:
    """Have the next program that this process executes find its memory where it always is; say whether that can be."""
    try:
        personality = ctypes.CDLL(None).personality
    except (OSError, AttributeError):  # not Linux
        return False
    present = personality(ASK)
    return bool(present >= 0 and personality(present | NO_RANDOM_ADDRESSES) >= 0)


def settle(arguments: list[str] | None = None, keep: tuple[str, ...] = ()) -> str:
    """Execute the interpreter again with fixed hashes and addresses; return only in the process that has them.

    arguments: what follows the interpreter's name; None: what this process was started with. keep: names of
        environment variables that the program needs. All others are dropped, for they lie in memory too.
    Returns what is not covered, in words; "" if all is. Raises ScenarioError for a variable that is not set.
    """
    if settled():
        return "" if _addresses_are_fixed() else "the order of sets of plain objects, for addresses are random here"
    for name in keep:
        if name not in os.environ:
            raise ScenarioError(f"there is no environment variable {name!r} to keep: set it, and give its name alone")
    environment = {name: os.environ[name] for name in (*KEPT, *keep) if name in os.environ} | FIXED
    fix_addresses()
    if arguments is None:
        arguments = sys.orig_argv[1:]
    return os.execve(sys.executable, [sys.executable, *arguments], environment)


def _addresses_are_fixed() -> bool:
    try:
        present: int = ctypes.CDLL(None).personality(ASK)
    except (OSError, AttributeError):
        return False
    return present >= 0 and bool(present & NO_RANDOM_ADDRESSES)
