"""Twisted on Fate: `install()` makes a `FateReactor` the reactor that `from twisted.internet import reactor` gives.

The map: `reactor` is the reactor; `_delayed` its timed calls and `_descriptors` its readers and writers, both
compiled; `deferreds` puts Fate's Deferreds under Twisted; `stage` is what `fate run` needs; `running` is `run`,
for a loop that runs already; `errors` joins Fate's
errors to Twisted's. Nothing of Twisted is imported before `install` is called or a name is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fate.loop import Fate
    from fate.tx.errors import ReactorInstalledError
    from fate.tx.reactor import FateReactor
    from fate.tx.running import run

__all__ = ["FateReactor", "ReactorInstalledError", "install", "run"]

_HOMES = {"FateReactor": "fate.tx.reactor", "ReactorInstalledError": "fate.tx.errors", "run": "fate.tx.running"}


def install(loop: Fate | None = None, *, deferreds: bool = False) -> FateReactor:
    """Make a `FateReactor` the global reactor; a second call returns the one that is there.

    loop: the Fate to stand on; by default the one that runs in this thread, else a new one, which becomes asyncio's
        current loop of this thread as well.
    deferreds: also put Fate's Deferreds in the place of Twisted's (`fate.tx.deferreds`).
    Raises ReactorInstalledError if another reactor has been installed already: any import of
    `twisted.internet.reactor` installs Twisted's own.
    """
    if deferreds:
        import_module("fate.tx.deferreds").install()
    from fate.tx.reactor import install_reactor

    return install_reactor(loop)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
