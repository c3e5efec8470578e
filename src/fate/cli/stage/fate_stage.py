"""What is different in a process that stands on Fate. Three things, each done when the program first asks for it:

- whoever makes the standard library's selector event loop gets a Fate. `asyncio.run`, `asyncio.Runner`,
  `asyncio.new_event_loop`, every policy that derives from the default one, `asyncio.SelectorEventLoop()` and
  `asyncio.EventLoop()` all end in making that one class, so this is the only place to touch, and policies, which
  Python 3.14 deprecates, stay as they are. A program's own subclasses stay what they are as well;
- `import uvloop` finds the stand-in beside this file, whether uvloop is installed or not;
- whichever of Twisted's general reactors is about to be installed, chosen by name or by `import
  twisted.internet.reactor`, a FateReactor is installed in its place (`fate.tx.stage`).

With `fate run --check`, every Fate that is made is noted in the file that FATE_CHECK names.

`import fate` finds the Fate that `fate run` belongs to, even for a program that is itself called fate.py.

It runs at the start of every staged process, so it imports nothing until it must: not fate, not asyncio.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

__all__ = ["StageFinder", "enter"]


class StageFinder:
    """Goes first on `sys.meta_path`; answers for `fate` and `uvloop`, and notices when asyncio is being imported.

    homes: for each module it answers for, the directory that module is in.
    """

    def __init__(self, homes: dict[str, str]) -> None:
        self.homes = homes
        self.cast = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Finds one of the modules that the stage provides; the arguments are importlib's."""
        home = self.homes.get(name)
        if home is not None:
            from importlib.machinery import PathFinder

            return PathFinder.find_spec(name, [home])
        if name == "twisted.internet.main":
            return _changed(name, path, _cast_reactor)
        if name == "fate.loop" and "FATE_CHECK" in os.environ:
            return _changed(name, path, _note_fates)
        if not self.cast and name.startswith("asyncio."):
            self.cast_fate()
        return None

    def cast_fate(self) -> None:
        """Gives Fate the part of asyncio's event loop, if the classes of event loops are there by now.

        asyncio loads `base_events` before the modules with the loops that can be made. Acting between the two, from
        here, leaves no frame of Fate in the traceback of an asyncio that cannot be imported.
        """
        base = getattr(sys.modules.get("asyncio.base_events"), "BaseEventLoop", None)
        if base is not None:
            base.__new__ = staticmethod(_maker(base))
            self.cast = True


def _changed(name: str, path: Sequence[str] | None, change: Any) -> ModuleSpec | None:
    """Finds a module where it is, and has `change` called with it once it is loaded."""
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec(name, path)
    if spec is not None and spec.loader is not None:
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            change(module)

        loader.exec_module = exec_module
    return spec


def _cast_reactor(module: Any) -> None:
    """Has Twisted's one function that installs reactors told of Fate."""
    module.installReactor = _installer(module.installReactor)


def _note_fates(module: Any) -> None:
    """Has every Fate noted that is made."""
    from functools import wraps

    made = module.Fate.__init__

    @wraps(made)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        try:
            with open(os.environ["FATE_CHECK"], "a", encoding="ascii") as notes:
                notes.write(f"{os.getpid()}\n")
        except (KeyError, OSError):
            pass  # whoever asked is gone

    module.Fate.__init__ = __init__


def _maker(base: type[Any]) -> Any:
    """Makes the `__new__` for the root class of asyncio's loops, `base`."""

    def __new__(cls: type[Any], *args: Any, **kwargs: Any) -> object:
        if cls.__module__ == "asyncio.unix_events":
            # The standard library's own class, not one that a program derived from it. Python then calls
            # Fate.__init__ with the same arguments, because a Fate is an instance of that class.
            from fate.loop import Fate

            return Fate.__new__(Fate, *args, **kwargs)
        new: Any = super(base, cls).__new__
        return new(cls) if new is object.__new__ else new(cls, *args, **kwargs)

    return __new__


def _installer(install: Any) -> Any:
    """Makes the `installReactor` of a program on the stage from Twisted's, `install`."""

    def installReactor(reactor: Any) -> None:  # noqa: N802
        from fate.tx.stage import recast

        install(recast(reactor))

    return installReactor


def enter(stage: str) -> None:
    """Puts this process on Fate; a second time, nothing happens.

    stage: this directory.
    """
    if any(isinstance(finder, StageFinder) for finder in sys.meta_path):
        return
    above = os.path.dirname
    finder = StageFinder({"fate": above(above(above(stage))), "uvloop": stage})
    sys.meta_path.insert(0, finder)
    finder.cast_fate()
