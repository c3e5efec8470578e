"""Fate's Deferreds under Twisted itself: `install` puts those of `fate.defer` in the place of Twisted's.

From then on Twisted, and what is written for it, makes and meets Fate's Deferreds, with Twisted's Failures in them and
Twisted's log for what is lost. Call it first: what has been derived from Twisted's Deferred before stays Twisted's.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from fate import defer
from fate.defer import deferred, misuse, report, subclasses, timeouts

ALSO = {
    "DebugInfo": defer.DebugInfo,
    "_CONTINUE": deferred.WAITS_ON,
    "_DEFERRED_SUBCLASSES": subclasses.DEFERRED_SUBCLASSES,
    "_DefGen_Return": misuse.ReturnValue,
    "_NO_RESULT": deferred.ABSENT,
    "_cancelledToTimedOutError": timeouts._cancelledToTimedOutError,
}
"""What is not among the public names of `fate.defer`, and belongs to them."""

STAYS = frozenset(("Failure", "NoCurrentExceptionError"))
"""Twisted's own are used."""


class TwistedLog:
    """Reports to Twisted's log, as Twisted's Deferreds do."""

    def __init__(self) -> None:
        from twisted.logger import Logger

        self.logger = Logger("twisted.internet.defer")

    def unhandled(self, failure: Any, debug: str, story: Any, made_by: str, fired_by: str) -> None:
        """Two events, as Twisted has it: that there is an error, and the error."""
        who = f" It was made by {made_by}, fired by {fired_by}." if made_by else ""
        self.logger.critical("Unhandled error in Deferred:{who}", isError=True, who=who)
        what = "\n".join(filter(None, (debug and f"(debug: {debug})", story and str(story))))
        self.logger.failure("{what}" if what else "", failure, what=what, debugInfo=debug)

    def log(self, failure: Any, what: str) -> None:
        """One event."""
        self.logger.failure(what, failure)


def install() -> None:
    """Put Fate's Deferreds in the place of Twisted's, in every module that has imported them already as well.

    A second call does nothing. Raises ImportError if there is no Twisted.
    """
    from twisted.internet import defer as twisted
    from twisted.python.failure import Failure

    if vars(twisted)["Deferred"] is defer.Deferred:
        return
    deferred.use_failure(Failure)
    report.set_reporter(TwistedLog())
    new = {name: getattr(defer, name) for name in defer.__all__ if name not in STAYS} | ALSO
    replaced = {id(vars(twisted)[name]): value for name, value in new.items() if name in vars(twisted)}
    kept = {name: vars(twisted)[name] for name in new if name in vars(twisted)}  # so that no id is used again
    vars(twisted).update(new)
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType) and not module.__name__.startswith("fate."):
            _replace(module, replaced)
    kept.clear()


def _replace(module: ModuleType, replaced: dict[int, Any]) -> None:
    """Rebind the names of `module` that refer to what was Twisted's."""
    for name, value in list(vars(module).items()):
        if id(value) in replaced and not isinstance(value, (bool, int, str)):
            setattr(module, name, replaced[id(value)])
