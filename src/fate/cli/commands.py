"""Installed commands that are Python scripts, for `fate run`: where one is, and whose.

A script says in its first line which Python runs it; where that path is long or has a space in it, pip writes two
lines for the shell instead.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from importlib.util import find_spec
from shutil import which

__all__ = ["belongs_here", "is_module", "script_of"]

FOR_THE_SHELL = re.compile(rb"""#!/bin/sh\n'''exec' (.*) "\$0" "\$@"\n""")


def script_of(name: str) -> str | None:
    """Returns the path of an installed command that is a Python script: beside this Python first, then on PATH."""
    beside = os.path.join(os.path.dirname(sys.executable), name)
    for path in (beside, which(name)):
        if path is not None and os.path.isfile(path) and _interpreter(path) is not None:
            return path
    return None


def belongs_here(script: str) -> bool:
    """Says whether a script is run by this Python's installation."""
    interpreter = _interpreter(script)
    if interpreter is None:
        return False
    mine, its = (os.path.realpath(os.path.dirname(path)) for path in (sys.executable, interpreter))
    return mine == its


def is_module(name: str) -> bool:
    """Says whether `-m name` could find something. Nothing is imported."""
    first = name.partition(".")[0]
    try:
        return first.isidentifier() and find_spec(first) is not None
    except (ImportError, ValueError):
        return False


def _interpreter(script: str) -> str | None:
    """Returns the Python that a script names, None where it is no Python script."""
    try:
        with open(script, "rb") as file:
            head = file.read(4096)
    except OSError:
        return None
    shell = FOR_THE_SHELL.match(head)
    if shell:
        words = shlex.split(os.fsdecode(shell[1]))
    elif head.startswith(b"#!"):
        words = os.fsdecode(head[2:].partition(b"\n")[0]).split()
    else:
        return None
    if words and os.path.basename(words[0]) == "env":
        words = [found for word in words[1:] if (found := which(word)) is not None]
    if not words or not re.match("python|pypy", os.path.basename(words[0])):
        return None
    return words[0]
