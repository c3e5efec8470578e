"""What is explored: an async function in a file, found by its name in any process, or one that is at hand.

`Program` is text ("bank.py::transfer") and so travels to other processes, where it is loaded once. `Held` has the
function itself, for tests whose arguments live in this process. How often it is run, and with which faults, is not
known here.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import msgspec

from fate.sim.errors import ScenarioError
from fate.sim.universe import check_scenario

Main = Callable[[], Coroutine[Any, Any, Any]]

_loaded: dict[str, ModuleType] = {}


class Runnable(Protocol):
    """Something to explore."""

    @property
    def name(self) -> str:
        """It in words, the same in every run: what kept failures are filed under."""

    def load(self) -> Main:
        """The async function itself. Raises ScenarioError if it cannot be had."""


class Program(msgspec.Struct, frozen=True):
    """An async function without arguments in a file.

    path: the file. function: its name in that file.
    """

    path: str
    function: str

    @classmethod
    def parse(cls, text: str) -> Program:
        """Read "FILE::function". Raises ScenarioError if it is not of that form, or there is no such file."""
        path, found, function = text.rpartition("::")
        if not found or not path or not function.isidentifier():
            raise ScenarioError(f"what to explore is written FILE::function, such as bank.py::main, not {text!r}")
        if not Path(path).is_file():
            raise ScenarioError(f"there is no file {path}")
        return cls(path, function)

    @property
    def name(self) -> str:
        """As it is written on the command line."""
        return f"{self.path}::{self.function}"

    def load(self) -> Main:
        """Import the file, once in a process, and return the function.

        Raises ScenarioError if the file cannot be imported, has no such function, or that is not async.
        """
        module = _import(self.path)
        main = getattr(module, self.function, None)
        if main is None:
            raise ScenarioError(f"there is no function {self.function!r} in {self.path}")
        check_scenario(main)
        return main  # type: ignore[no-any-return]


class Held:
    """An async function of this process.

    name: it in words. main: the function.
    """

    def __init__(self, name: str, main: Main) -> None:
        self.name = name
        self.main = main

    def load(self) -> Main:
        """The function."""
        return self.main


def _import(text: str) -> ModuleType:
    here = os.path.join(os.getcwd(), text)
    module = _loaded.get(here)
    if module is not None:
        return module  # before the path is resolved, which takes a tenth of a small run
    path = Path(text).resolve()
    module = _loaded.get(str(path))
    if module is not None:
        _loaded[here] = module
        return module
    name = path.stem if path.stem not in sys.modules else f"fate_scenario_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ScenarioError(f"{text} is no Python file")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))  # as for a program that Python is started with
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename}:{last.lineno}"
        raise ScenarioError(f"{text} cannot be imported: {type(error).__name__}: {error} (at {where})") from error
    _loaded[str(path)] = _loaded[here] = module
    return module
