"""Where errors that nobody handled are reported: the logger `fate.defer`, or Twisted's log under Twisted.

A reporter is an object with two methods, `unhandled` and `log`; there is one at a time (`set_reporter`).
"""

from __future__ import annotations

import logging
from typing import Any, Protocol

from fate.defer.story import Story


class Reporter(Protocol):
    """Tells somebody of errors. What it raises is lost: nobody is left who could handle it."""

    def unhandled(self, failure: Any, debug: str, story: Story | None, made_by: str, fired_by: str) -> None:
        """A Deferred was lost with `failure` as its result.

        debug: the stacks of who made and fired it, if debugging is on, else "". story: its story, if it has one; if
        not, made_by: where it was made, and fired_by: where it came to fail, else "".
        """

    def log(self, failure: Any, what: str) -> None:
        """`failure` happened while `what` was done ("" if that is not known)."""


class Logging:
    """Reports to the standard library's logger `fate.defer`, as critical."""

    def __init__(self) -> None:
        self.logger = logging.getLogger("fate.defer")

    def unhandled(self, failure: Any, debug: str, story: Story | None, made_by: str, fired_by: str) -> None:
        """One record: the error, where it was raised, and the Deferred's story."""
        parts = [f"Unhandled error in Deferred: {failure.getErrorMessage()}", failure.getTraceback().rstrip()]
        if story is not None:
            parts.append(str(story))
        elif fired_by:
            parts.append(f"It was made by {made_by}\nand fired by {fired_by}; fate.defer.setStory(True) tells more.")
        if debug:
            parts.append(debug.rstrip())
        self.logger.critical("%s", "\n".join(parts), extra={"failure": failure})

    def log(self, failure: Any, what: str) -> None:
        """One record with the traceback."""
        title = f"{what}: " if what else ""
        self.logger.critical("%s%s", title, failure.getTraceback().rstrip(), extra={"failure": failure})


_reporter: Reporter = Logging()


def reporter() -> Reporter:
    """The one errors are reported to."""
    return _reporter


def set_reporter(new: Reporter | None) -> None:
    """Report errors to `new` from now on; None: to the logger `fate.defer`."""
    global _reporter
    _reporter = Logging() if new is None else new


def logError(err: Any) -> Any:
    """Report the Failure `err` and return it: an errback that passes it on."""
    _reporter.log(err, "")
    return err
