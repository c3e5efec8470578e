"""Stands in for `uvloop.loop`, the extension module that some programs import the class from.

Nothing lives here; see the package.
"""

from fate.loop import Fate as Loop

__all__ = ["Loop"]
