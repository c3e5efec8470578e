"""The stage: how an unchanged program comes to stand on Fate.

`fate run` starts a fresh Python for the program, with this directory first on PYTHONPATH. That Python imports
`sitecustomize` from here before it looks at the program, as it would import anyone's; it loads `fate_stage`, takes
this directory off `sys.path` again and imports the environment's own `sitecustomize`. From then on everything is
Python's own doing: `__main__`, `sys.path`, tracebacks, exit codes, Ctrl-C.

    sitecustomize.py   the way in; runs in any Python that inherits the environment, so it is plain and flat
    fate_stage.pth     the other way in, for when somebody else's sitecustomize comes first or PYTHONPATH is lost: where
                       Fate is installed, this file is copied beside the packages, and Python reads it when it starts
    fate_stage.py      what is different afterwards: who makes asyncio's event loop, and who answers to `uvloop`
    uvloop/            the stand-in for uvloop

The environment is inherited, so Python processes that the program starts stand on Fate too, as long as they are of
the same installation (`MARK` says which).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from fate.errors import ProgramError

__all__ = ["MARK", "environment"]

MARK = "FATE_STAGE"
"""The environment variable that names the Python installation whose processes stand on Fate."""


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Says in which environment a program stands on Fate.

    inherited: the environment without Fate, or one that this function made already.
    Returns a new environment.
    Raises ProgramError where Fate is installed in a directory that PYTHONPATH cannot name.
    """
    stage = os.path.dirname(os.path.abspath(__file__))
    if os.pathsep in stage:
        raise ProgramError(
            f"Fate is installed in {stage!r}, and PYTHONPATH cannot hold a path with {os.pathsep!r} in it."
            " Install Fate elsewhere."
        )
    others = [path for path in inherited.get("PYTHONPATH", "").split(os.pathsep) if path != stage]
    # An empty PYTHONPATH means nothing, an empty entry beside others means the current directory.
    paths = [stage] if others in ([], [""]) else [stage, *others]
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join(paths),
        MARK: f"{sys.prefix}{os.pathsep}{sys.implementation.cache_tag}",
    }
