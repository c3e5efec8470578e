"""The errors of `fate.tx`: Fate's tree joined to Twisted's own."""

from __future__ import annotations

from twisted.internet.error import ReactorAlreadyInstalledError

from fate.errors import FateError


class ReactorInstalledError(FateError, ReactorAlreadyInstalledError):
    """Another reactor has been installed already, so Fate's cannot be."""
