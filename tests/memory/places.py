"""Every place in compiled code that reads or writes memory on trust, found in the sources.

Cython checks indexes, casts to its own classes and None (`setup.py`: `nonecheck`); what it does not check is written in
the words below: C functions that look at no type and no bound, casts, and copies. A place is a function or macro of a
file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "fate"
WORDS = re.compile(
    r"Py(?:List|Tuple|Bytes|Unicode|Function|Method|Descr)_(?:GET|SET)_\w+|PyBytes_AS_STRING|PyUnicode_DATA|Py_SET_SIZE"
    r"|Py_SET_REFCNT|ob_refcnt|Py_REFCNT|PyMem_\w+|\bmem(?:cpy|cmp|set|move)\b|content\(|_PyBytes_Resize"
    r"|\.buf\b|PyObject_GC_(?:Del|Track|UnTrack)|PyObject_Init|FATE_VARIABLES\("
    r"|\((?:const )?(?:struct )?[A-Za-z_]\w* \*{1,2}\)"  # a cast in C
    r"|<(?:object|bytes|dict|list|tuple|[A-Z]\w*|\w+ \*{1,2})>(?=[\w&(*])"  # a cast in Cython
    r"|\b(?:fate_\w+|vector|stack|few|arguments|items|more|_?users|_notes|_few|_buffer|_levels)\[(?!\d|FATE|FEW)"
    r"|boundscheck=False|nonecheck=False"
)
BEGINS = re.compile(
    r"^\s*(?:cdef inline|cdef|cpdef|def)\s+(?:[\w.]+ ?\*{0,2}\s+)*?\*{0,2}(\w+)\(.*\)?"
    r"|^\s*static (?:inline )?(?:const )?(?:struct |unsigned )?\w+ \*{0,2}(?:__attribute__\(\(.*?\)\) )?(\w+)\("
    r"|^\s*#\s*define (\w+)"
    r"|^\s*cdef class (\w+)"
)
SKIPPED = re.compile(r"^\s*(?:#(?!\s*(?:define|cython))|/\*|\*|from |cimport )")


def places() -> Iterator[tuple[str, str]]:
    """(file, function) of each, in order; the file relative to `src/fate`."""
    for path in sorted([*SOURCE.rglob("*.pyx"), *SOURCE.rglob("*.pxd"), *SOURCE.rglob("*.py")]):
        if path.suffix == ".py" and not path.with_suffix(".pxd").exists():
            continue
        seen: set[str] = set()
        name = "the module"
        for line in path.read_text().splitlines():
            begins = None if path.suffix == ".py" else BEGINS.match(line)
            if begins:
                name = next(filter(None, begins.groups()))
            words = line.startswith("# cython:") if path.suffix == ".py" else not SKIPPED.match(line)
            if words and WORDS.search(line) and name not in seen:
                seen.add(name)
                yield str(path.relative_to(SOURCE)), name


if __name__ == "__main__":
    for file, name in places():
        print(f"`{file}` {name}")
