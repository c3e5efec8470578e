"""Compiles Fate's hot modules: each is a plain `.py` with a sibling `.pxd`, and one `.pyx`.

`FATE_PURE=1` skips compiling; `FATE_REQUIRE_EXT=1` makes a failed compile an error. Without either, a failed
compile (no C compiler, no Python headers) leaves Fate uncompiled, and says so: slower, and the same in every other way.
`FATE_SANITIZE=address,undefined` builds in the checks of GCC's sanitizers, for `make sanitize`.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

SOURCE = Path("src")
NOTE = "not_compiled.txt"  # `fate.cli.doctor` reads it
COSTS = "but callbacks, timers and messages take 3 to 9 times as long"
CORES = os.cpu_count() or 1
FLAGS = ["-O3", "-g0", "-fno-plt", "-fno-semantic-interposition"] if sys.platform == "linux" else ["-O3"]
SANITIZERS = [f"-fsanitize={name}" for name in os.environ.get("FATE_SANITIZE", "").split(",") if name]
if SANITIZERS:
    FLAGS = ["-O1", "-g", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all", *SANITIZERS]
DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,  # the types live in the .pxd
    "binding": False,  # method descriptors, the cheapest to call
    "initializedcheck": False,
    "nonecheck": True,
    "cdivision": True,
    "preliminary_late_includes_cy28": True,  # C code of ours that knows our own classes
}


def compiled_modules() -> list[Path]:
    """Every module that has a `.pxd`, the `.pyx` in place of its uncompiled twin."""
    pyx = {path.with_suffix("") for path in SOURCE.rglob("*.pyx")}
    return sorted(
        path.with_suffix(".pyx" if path.with_suffix("") in pyx else ".py")
        for path in SOURCE.rglob("*.pxd")
        if path.name != "__init__.pxd"
    )


def extensions() -> list[Extension]:
    if os.environ.get("FATE_PURE") == "1":
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        if os.environ.get("FATE_REQUIRE_EXT") == "1":
            raise
        return []
    modules = [
        Extension(
            ".".join(path.with_suffix("").relative_to(SOURCE).parts),
            [str(path)],
            extra_compile_args=FLAGS,
            extra_link_args=SANITIZERS,
        )
        for path in compiled_modules()
    ]
    return list(cythonize(modules, compiler_directives=DIRECTIVES, build_dir="build/cython", nthreads=CORES))


class build_all_or_nothing(build_ext):  # noqa: N801 (setuptools names commands so)
    """Either every module compiles or none is kept: compiled and uncompiled modules do not mix.

    Why they did not is written where a person sees it, and into the package, for `fate doctor`.
    """

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            if os.environ.get("FATE_REQUIRE_EXT") == "1":
                raise
            reason = self._reason(error)
            for extension in self.extensions:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
                Path(self.build_lib, self.get_ext_filename(extension.name)).unlink(missing_ok=True)
            self.extensions = []
            note = Path("src/fate" if self.inplace else f"{self.build_lib}/fate", NOTE)
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(reason + "\n")
            tell(
                f"fate: NOT COMPILED: {reason}. Fate runs as plain Python: the same, {COSTS}. `fate doctor` says more."
            )

    def _reason(self, error: Exception) -> str:
        """What is missing, or what the compiler said."""
        command = [*getattr(self.compiler, "compiler_so", ()), *FLAGS] or ["cc"]
        if shutil.which(command[0]) is None:
            return f"there is no C compiler ({command[0]})"
        for source, missing in (
            ("", f"the C compiler ({command[0]}) does not work"),
            ("#include <stdio.h>", "the C library's headers are missing"),
            (
                "#include <Python.h>",
                f"Python's headers are missing (Python.h of {sys.version_info[0]}.{sys.version_info[1]})",
            ),
        ):
            said = self._compile(command, source)
            if said:
                return f"{missing}: {said}"
        return f"the C compiler ({command[0]}) refuses what was made: {self._first_error() or error}"

    def _compile(self, command: list[str], source: str) -> str:
        """What the compiler says to `source`; nothing if it takes it."""
        folders = [f"-I{folder}" for folder in self.compiler.include_dirs]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "tried.c")
            file.write_text(source + "\nint tried;\n")
            words = [*command, *folders, "-c", str(file), "-o", f"{folder}/tried.o"]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        return first_error(done.stderr) or f"exit status {done.returncode}" if done.returncode else ""

    def _first_error(self) -> str:
        """The first error of the first module that does not compile."""
        command = [*self.compiler.compiler_so, *FLAGS]
        said = (
            self._compile(command, f'#include "{Path(made).resolve()}"') for e in self.extensions for made in e.sources
        )
        return next(filter(None, said), "")


def first_error(output: str) -> str:
    """The line of a compiler's output that says what is wrong."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    said = next((line for line in lines if "error" in line), lines[-1] if lines else "")
    return re.sub(r"^.*\berror: ", "", said)


def tell(text: str) -> None:
    """Say it on stderr, and also on that of who builds: pip and others show their builds' own only with `-v`."""
    print(text, file=sys.stderr, flush=True)
    try:
        theirs = Path(f"/proc/{os.getppid()}/fd/2")
        if os.path.sameopenfile(2, descriptor := os.open(theirs, os.O_WRONLY | os.O_APPEND | os.O_NOCTTY)):
            return
        os.write(descriptor, f"\n{text}\n".encode())
    except OSError:
        pass  # there is no such place here


class build_with_the_way_in(build_py):  # noqa: N801
    """Puts `fate_stage.pth` where Python looks for such files when it starts: beside the packages, not inside."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            self.copy_file(str(SOURCE / "fate/cli/stage/fate_stage.pth"), self.build_lib)


if __name__ == "__main__":  # Cython's processes import this file; from Python 3.14 on they are not forked
    setup(
        ext_modules=extensions(),
        cmdclass={"build_ext": build_all_or_nothing, "build_py": build_with_the_way_in},
        options={"build_ext": {"parallel": CORES}},
    )
