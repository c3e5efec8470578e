"""Compiles Fate's hot modules: each is a plain `.py` with a sibling `.pxd`, and one `.pyx`.

`FATE_PURE=1` skips compiling; `FATE_REQUIRE_EXT=1` makes a failed compile an error. Without either, a failed
compile (no C compiler, no Python headers) leaves Fate uncompiled: slower, and the same in every other way.
`FATE_SANITIZE=address,undefined` builds in the checks of GCC's sanitizers, for `make sanitize`.
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

SOURCE = Path("src")
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
    "nonecheck": False,
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
    """Either every module compiles or none is kept: compiled and uncompiled modules do not mix."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            if os.environ.get("FATE_REQUIRE_EXT") == "1":
                raise
            for extension in self.extensions:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
                Path(self.build_lib, self.get_ext_filename(extension.name)).unlink(missing_ok=True)
            self.extensions = []
            print(f"fate: not compiled, Fate will run as plain Python, slower ({error})", file=sys.stderr)


class build_with_the_way_in(build_py):  # noqa: N801
    """Puts `fate_stage.pth` where Python looks for such files when it starts: beside the packages, not inside."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            self.copy_file(str(SOURCE / "fate/cli/stage/fate_stage.pth"), self.build_lib)


setup(
    ext_modules=extensions(),
    cmdclass={"build_ext": build_all_or_nothing, "build_py": build_with_the_way_in},
    options={"build_ext": {"parallel": CORES}},
)
