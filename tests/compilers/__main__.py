"""``python -m tests.compilers``: see the package. Needs Cython and setuptools; exit status 1 if something is refused.

Compilers have become stricter: what GCC 14 and clang 16 refuse by default, GCC 12 only warns of. So those warnings are
errors here, whichever compiler it is, and the newest language is tried as well as its default.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
GCC = [f"gcc-{number}" for number in range(12, 17)]
CLANG = [f"clang-{number}" for number in range(14, 23)]
ERRORS = (
    "implicit-function-declaration", "implicit-int", "incompatible-pointer-types", "int-conversion", "return-type",
    "strict-prototypes",
)  # fmt: skip
LANGUAGES = ("", "-std=gnu2x")  # the compiler's own, and C23


def made_from_cython(folder: Path) -> list[Path]:
    """The C sources of all compiled modules."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__"))
    shutil.copy(ROOT / "setup.py", folder)
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copy(ROOT / "README.md", folder)
    shutil.copy(ROOT / "LICENSE", folder)
    # `true` compiles nothing and is content: what is wanted is what is compiled.
    build(folder, CC="true", LDSHARED="true", FATE_REQUIRE_EXT="1")
    return sorted((folder / "build" / "cython").rglob("*.c"))


def build(folder: Path, **variables: str) -> str:
    """What `setup.py build_ext` says."""
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", "made"],
        cwd=folder,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


def compilers() -> Iterator[str]:
    """Those that are here: by their numbers, and whatever `cc` is."""
    yield from (name for name in ["cc", *GCC, *CLANG] if shutil.which(name))


def refusals(compiler: str, source: Path) -> Iterator[str]:
    """What `compiler` says to one source, in each language, if it refuses it."""
    include = sysconfig.get_paths()["include"]
    for language in LANGUAGES:
        done = subprocess.run(
            [
                compiler, "-fsyntax-only", f"-I{include}", f"-I{source.parent}", "-Wno-unused-function",
                *(f"-Werror={error}" for error in ERRORS), *language.split(), str(source),
            ],
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if "error" in line]
            yield f"{compiler} {language}: {said[0] if said else done.stderr[-300:]}"


def without(folder: Path) -> Iterator[str]:
    """What is wrong with what a build says where something is missing."""
    note = folder / "made" / "fate" / "not_compiled.txt"
    empty = folder / "empty"
    empty.mkdir()
    # Headers are hidden from a real compiler by one that looks only where nothing is.
    blind = folder / "blind"
    blind.write_text(f'#!/bin/sh\nexec cc -nostdinc -I"{empty}" "$@"\n')
    headless = folder / "headless"
    headless.write_text(
        '#!/bin/sh\nfor word; do shift; case "$word" in -I*) ;; *) set -- "$@" "$word";; esac; done\nexec cc "$@"\n'
    )
    for script in (blind, headless):
        script.chmod(0o755)
    for name, compiler, says in (
        ("no compiler", "there-is-no-such-compiler", "there is no C compiler (there-is-no-such-compiler)"),
        ("a compiler that fails", "false", "the C compiler (false) does not work"),
        ("no C library", str(blind), "the C library's headers are missing"),
        ("no headers of Python's", str(headless), "Python's headers are missing"),
    ):
        note.unlink(missing_ok=True)
        said = build(folder, CC=compiler)
        kept = note.read_text() if note.exists() else "(no note)"
        if f"NOT COMPILED: {says}" not in said or says not in kept:
            yield f"{name}: it said {said[-300:]!r} and kept {kept!r}"
        if list((folder / "made").rglob("*.so")):
            yield f"{name}: modules were left"


def main() -> int:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        sources = made_from_cython(folder)
        if not sources:
            print("nothing was made from Cython")
            return 1
        wrong: list[str] = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for compiler in compilers():
                refused = [
                    text for found in pool.map(lambda s, c=compiler: list(refusals(c, s)), sources) for text in found
                ]
                verdict = f"refuses {len(refused)}" if refused else "takes all"
                print(f"{compiler}: {verdict} of {len(sources)} sources")
                wrong += refused
        wrong += without(folder)
    print("\n".join(wrong) or "Every compiler here takes the sources, and where one is missing an install says so.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
