"""`fate run` is not to be told from `python`: every test compares the two on the same command line."""

from __future__ import annotations

import sys
import zipfile

import pytest

from .conftest import Workshop

FINGERPRINT = """
    import os, sys
    main = sys.modules["__main__"]
    print(__name__, __file__, __package__, type(__loader__).__name__, __spec__ and __spec__.name)
    print(vars(main) is globals(), sorted(name for name in vars(main)))
    print(sys.argv, sys.path, sys.flags, sys.orig_argv, sys.warnoptions, sys.executable)
    print(os.getcwd(), sys.stdin.read())
    import inspect, traceback
    print(len(inspect.stack()), "".join(traceback.format_stack()))
"""


def test_a_file_sees_itself_as_under_python(workshop: Workshop) -> None:
    workshop.write("program.py", FINGERPRINT)
    workshop.same("program.py", "one", "two words", stdin="input")


def test_a_file_elsewhere_sees_itself_as_under_python(workshop: Workshop) -> None:
    workshop.write("far/away/program.py", FINGERPRINT)
    workshop.same("far/away/program.py")


def test_a_module_sees_itself_as_under_python(workshop: Workshop) -> None:
    workshop.write("module.py", FINGERPRINT)
    workshop.same("-m", "module", "argument")
    workshop.same("-mmodule", "argument")


def test_a_package_sees_itself_as_under_python(workshop: Workshop) -> None:
    workshop.write("package/__init__.py", "")
    workshop.write("package/sibling.py", "word = 'from the sibling'")
    workshop.write(
        "package/__main__.py", "from .sibling import word\nprint(word)\n" + FINGERPRINT.replace("\n    ", "\n")
    )
    assert "from the sibling" in workshop.same("-m", "package").out


def test_a_directory_sees_itself_as_under_python(workshop: Workshop) -> None:
    workshop.write("directory/__main__.py", FINGERPRINT)
    workshop.same("directory", "argument")


def test_a_zip_file_sees_itself_as_under_python(workshop: Workshop) -> None:
    source = workshop.write("source.py", FINGERPRINT)
    with zipfile.ZipFile(workshop.home / "program.pyz", "w") as archive:
        archive.write(source, "__main__.py")
    workshop.same("program.pyz", "argument")


def test_code_on_the_command_line_runs_as_under_python(workshop: Workshop) -> None:
    workshop.same("-c", "import sys; print(sys.argv, sys.path, __name__)", "argument", "--help")


def test_a_program_on_standard_input_runs_as_under_python(workshop: Workshop) -> None:
    workshop.same("-", "argument", stdin="import sys; print(sys.argv, sys.path, __name__)")


def test_what_follows_the_program_belongs_to_it(workshop: Workshop) -> None:
    workshop.write("program.py", "import sys; print(sys.argv)")
    for line in (["--help"], ["-x", "-m", "module"], ["--", "-"], ["-h", "--version", "-u"]):
        assert str(line)[1:-1] in workshop.same("program.py", *line).out
    assert "'--help'" in workshop.same("-m", "program", "--help").out


def test_options_before_the_program_are_pythons(workshop: Workshop) -> None:
    workshop.write("program.py", "import sys; print(sys.flags, sys.warnoptions, sys._xoptions, sys.argv)")
    workshop.same("-u", "-OO", "program.py", "argument")
    workshop.same("-uW", "error", "-Wignore", "-X", "dev", "-Xutf8", "-Bm", "program", "argument")
    workshop.same("--check-hash-based-pycs", "always", "-P", "program.py")


def test_two_dashes_end_the_options(workshop: Workshop) -> None:
    workshop.write("-program.py", "import sys; print(sys.argv)")
    workshop.same("--", "-program.py", "--", "argument")


def test_options_given_to_the_python_that_runs_fate_are_the_programs_too(workshop: Workshop) -> None:
    workshop.write("program.py", "import sys; print(sys.flags, sys.warnoptions)")
    staged = workshop.execute([sys.executable, "-OWerror", "-m", "fate", "run", "-u", "program.py"])
    assert staged == workshop.python("-OWerror", "-u", "program.py")


def test_a_script_that_is_isolated_itself_does_not_isolate_the_program(workshop: Workshop) -> None:
    workshop.write("program.py", "import sys; print(sys.flags, sys.path)")
    staged = workshop.execute([sys.executable, "-sP", *workshop.script(), "run", "program.py"])
    assert staged == workshop.python("program.py")


@pytest.mark.parametrize(
    "ending",
    [
        "sys.exit()",
        "sys.exit(3)",
        "sys.exit(300)",
        "sys.exit('a word of farewell')",
        "sys.exit([1, 2])",
        "raise SystemExit(4)",
        "os._exit(7)",
        "raise ValueError('uncaught')",
        "os.kill(os.getpid(), signal.SIGTERM)",
        "raise KeyboardInterrupt",
    ],
)
def test_it_ends_as_under_python(workshop: Workshop, ending: str) -> None:
    workshop.write("program.py", f"import os, signal, sys\nprint('begun', flush=True)\n{ending}\n")
    workshop.same("program.py")


@pytest.mark.parametrize("ending", ["sys.exit(3)", "sys.exit('farewell')", "os._exit(7)", "return"])
def test_it_ends_as_under_python_from_inside_the_loop(workshop: Workshop, ending: str) -> None:
    workshop.write("program.py", f"import asyncio, os, sys\nasync def main():\n    {ending}\nasyncio.run(main())\n")
    workshop.same("program.py")


TRACEBACKS = {
    "uncaught": """
        def inner():
            raise ValueError("uncaught")
        inner()
    """,
    "chained": """
        def inner():
            raise KeyError("first")
        try:
            inner()
        except KeyError as error:
            try:
                raise RuntimeError("second") from error
            except RuntimeError:
                raise OSError("third")
    """,
    "group": """
        try:
            raise ValueError("in the group")
        except ValueError as error:
            raise ExceptionGroup("a group", [error, TypeError("beside it")])
    """,
    "syntax": "print('never')\nif True print('no')\n",
    "indentation": "if True:\nprint('no')\n",
    "syntax in a module": "import broken",
    "thread": """
        import threading
        thread = threading.Thread(target=lambda: 1 / 0, name="worker")
        thread.start()
        thread.join()
    """,
    "unraisable": """
        class Unfinished:
            def __del__(self):
                raise ValueError("in __del__")
        Unfinished()
    """,
    "excepthook": """
        import sys, traceback
        sys.excepthook = lambda kind, error, trace: print(len(traceback.extract_tb(trace)), kind)
        raise ValueError
    """,
    "recursion": """
        def deeper(level):
            try:
                return deeper(level + 1)
            except RecursionError:
                return level
        print(deeper(0))
    """,
    "import error": "import asyncio, nowhere",
    "no asyncio": "import sys; sys.modules['selectors'] = None; import asyncio",
    "broken asyncio": "import sys, types; sys.modules['selectors'] = types.ModuleType('selectors'); import asyncio",
    "warnings": """
        import warnings
        warnings.warn("watch out")
        warnings.warn("old", DeprecationWarning)
        print(1 is 1, "\\d")
    """,
}


@pytest.mark.parametrize("kind", TRACEBACKS)
def test_what_goes_wrong_is_told_as_by_python(workshop: Workshop, kind: str) -> None:
    workshop.write("broken.py", "def f(:\n    pass\n")
    workshop.write("program.py", TRACEBACKS[kind])
    workshop.same("program.py")


LOOP_TRACEBACKS = {
    "asyncio.run": "asyncio.run(main())",
    "run_until_complete": "asyncio.new_event_loop().run_until_complete(main())",
    "a group": """
async def group():
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(main())
        tasks.create_task(main())
asyncio.run(group())
""",
    "a callback": """
async def calling():
    asyncio.get_running_loop().call_soon(fail)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
asyncio.run(calling())
""",
}


@pytest.mark.parametrize("kind", LOOP_TRACEBACKS)
def test_what_goes_wrong_inside_the_loop_is_told_as_by_python(workshop: Workshop, kind: str) -> None:
    source = "import asyncio\ndef fail():\n    raise ValueError('inside')\nasync def main():\n    fail()\n"
    workshop.write("program.py", source + LOOP_TRACEBACKS[kind])
    plain, staged = workshop.python("program.py"), workshop.run("program.py")
    assert workshop.seen(staged.err) == workshop.seen(plain.err)
    assert "ValueError: inside" in staged.err
    assert staged.code == plain.code


def test_what_is_registered_for_the_end_happens_at_the_end(workshop: Workshop) -> None:
    workshop.write(
        "program.py",
        """
        import asyncio, atexit, threading
        started = threading.Event()
        def linger():
            started.set()
            threading.main_thread().join()
            print("the last thread ends")
        threading.Thread(target=linger).start()
        atexit.register(print, "atexit")
        asyncio.run(asyncio.sleep(0))
        started.wait()
        print("the program ends")
        """,
    )
    assert workshop.same("program.py").out == "the program ends\nthe last thread ends\natexit\n"


def test_what_main_defines_can_be_pickled(workshop: Workshop) -> None:
    workshop.write(
        "program.py",
        """
        import dataclasses, pickle
        @dataclasses.dataclass
        class Point:
            x: int
        if __name__ == "__main__":
            print(pickle.loads(pickle.dumps(Point(1))))
        """,
    )
    assert workshop.same("program.py").out == "Point(x=1)\n"


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("line", [["program.py"], ["-m", "program"]], ids=["file", "module"])
@pytest.mark.filterwarnings("ignore")
def test_pools_of_processes_find_what_main_defines(workshop: Workshop, method: str, line: list[str]) -> None:
    workshop.write(
        "program.py",
        f"""
        import asyncio, multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        def double(number):
            return 2 * number
        async def main():
            with ProcessPoolExecutor(1, multiprocessing.get_context("{method}")) as pool:
                print(await asyncio.get_running_loop().run_in_executor(pool, double, 21))
        if __name__ == "__main__":
            asyncio.run(main())
        """,
    )
    assert workshop.same("-W", "ignore", *line).out == "42\n"


def test_pythonpath_stays_what_it_was(workshop: Workshop) -> None:
    workshop.write("library/far.py", "place = 'found'")
    workshop.write("program.py", "import far, sys; print(far.place, sys.path)")
    workshop.env["PYTHONPATH"] = ":".join(
        filter(None, [workshop.env.get("PYTHONPATH"), str(workshop.home / "library")])
    )
    assert "found" in workshop.same("program.py").out


def test_the_environments_own_sitecustomize_runs(workshop: Workshop) -> None:
    workshop.write("site/sitecustomize.py", "import builtins; builtins.customized = __file__")
    workshop.write("program.py", "import sys; print(customized, sys.modules['sitecustomize'].__file__)")
    workshop.env["PYTHONPATH"] = ":".join(filter(None, [workshop.env.get("PYTHONPATH"), str(workshop.home / "site")]))
    assert "site/sitecustomize.py" in workshop.same("program.py").out


def test_a_program_that_does_not_use_asyncio_loads_nothing_for_it(workshop: Workshop) -> None:
    workshop.write("program.py", "import sys; print(*sorted(sys.modules))")
    plain, staged = (set(done.out.split()) for done in (workshop.python("program.py"), workshop.run("program.py")))
    assert staged - plain <= {"fate_stage", "sitecustomize", "__future__"}


NULLS_ARE_REFUSED = int(sys.version_info >= (3, 11, 4))  # before, Python runs what stands in front of them

BAD = {
    "missing": (["missing.py"], 2, "can't open file"),
    "a directory without __main__": (["empty"], 1, "can't find '__main__' module"),
    "binary": (["binary.py"], 1, "Error"),
    "null bytes": (["null.py"], NULLS_ARE_REFUSED, "null bytes" if NULLS_ARE_REFUSED else ""),
    "wrongly encoded": (["latin.py"], 1, "Non-UTF-8 code"),
    "a module that is not there": (["-m", "nowhere"], 1, "No module named nowhere"),
    "a package without __main__": (["-m", "library"], 1, "cannot be directly executed"),
    "a module that cannot be imported": (["-m", "failing.inside"], 1, "at import"),
    "a program that fails at import": (["importing.py"], 1, "at import"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_program_is_refused_as_by_python(workshop: Workshop, kind: str) -> None:
    workshop.write("empty/README", "")
    workshop.write("binary.py", bytes(range(1, 256)))
    workshop.write("null.py", b"x = 1\n\0\0\n")
    workshop.write("latin.py", "name = 'Zürich'\n".encode("latin-1"))
    workshop.write("library/__init__.py", "")
    workshop.write("failing/__init__.py", "raise RuntimeError('at import')")
    workshop.write("failing/inside.py", "")
    workshop.write("importing.py", "import failing")
    line, code, says = BAD[kind]
    done = workshop.same(*line)
    assert done.code == code
    assert says in done.err
