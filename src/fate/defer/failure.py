"""Failure: an exception that has happened, carried from callback to callback.

The public surface is that of `twisted.python.failure.Failure`. A Failure keeps the exception and its traceback as they
are: frames, names and texts are made when somebody asks for them, so that making one costs little more than any object.

Under Twisted its own class is used in place of this one (`fate.defer.deferred.use_failure`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import StringIO
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from fate.defer.errors import NoCurrentExceptionError
from fate.defer.frames import Frame, fake_traceback, frames_of, qualified_name, safe_repr, safe_str, write_frames

_count = 0


class Failure(BaseException):
    """An exception that has happened.

    type, value, tb: the exception's class, the exception, and its traceback (or None).
    """

    if TYPE_CHECKING:
        type: Any
        value: Any
        tb: TracebackType | None
        captureVars: bool
        count: int
        pickled: int
        _frames: list[Frame] | None
        _parents: list[Any] | None

    def __init__(
        self, exc_value: Any = None, exc_type: Any = None, exc_tb: TracebackType | None = None, captureVars: Any = False
    ) -> None:
        """
        exc_value: the exception; by default the one that is being handled.
        exc_type, exc_tb: its class and traceback, if they are not its own.
        captureVars: keep the local and global variables of the frames as well, for `printDetailedTraceback`.
        Raises NoCurrentExceptionError if there is no exception.
        """
        global _count
        _count += 1
        self.count = _count
        self.pickled = 0
        self._frames = None
        self._parents = None
        self.captureVars = captureVars
        self.tb = None
        if exc_value is None:
            self.type, self.value, self.tb = sys.exc_info()
            if self.type is None:
                raise NoCurrentExceptionError("there is no exception to make a Failure of: give it one")
        else:
            self.type = exc_value.__class__ if exc_type is None else exc_type
            self.value = exc_value
        if isinstance(self.value, Failure):
            self._copy(self.value)
            return
        if self.tb is None:
            self.tb = exc_tb if exc_tb is not None else getattr(self.value, "__traceback__", None)
        if captureVars:
            self._frames = frames_of(self.tb, True)

    def _copy(self, other: Failure) -> None:
        self.type = other.type
        self.value = other.value
        self.tb = other.tb
        self.captureVars = other.captureVars
        self._frames = other._frames
        self._parents = other._parents

    @staticmethod
    def _withoutTraceback(value: BaseException) -> Failure:
        return Failure(value, None, None)

    @property
    def frames(self) -> list[Frame]:
        """The traceback as a list of (function, file, line, locals, globals), innermost last."""
        if self._frames is None:
            self._frames = frames_of(self.tb, False)
        return self._frames

    @frames.setter
    def frames(self, frames: list[Frame]) -> None:
        self._frames = frames

    @property
    def stack(self) -> list[Frame]:
        """Always empty, as in Twisted."""
        return []

    @property
    def parents(self) -> list[Any]:
        """The full names of the exception's class and of those it derives from."""
        if self._parents is None:
            if isinstance(self.type, type) and issubclass(self.type, BaseException):
                self._parents = [qualified_name(cls) for cls in self.type.__mro__]
            else:
                self._parents = [self.type]
        return self._parents

    @parents.setter
    def parents(self, parents: list[Any]) -> None:
        self._parents = parents

    def check(self, *errorTypes: Any) -> Any:
        """The first of `errorTypes` (classes, or their full names) that the exception is an instance of, or None."""
        for error in errorTypes:
            if isinstance(error, type):
                if isinstance(self.type, type) and issubclass(self.type, error):
                    return error
                if issubclass(error, BaseException) and qualified_name(error) in self.parents:
                    return error
            elif error in self.parents:
                return error
        return None

    def trap(self, *errorTypes: Any) -> Any:
        """As `check`, but raise the exception if it is none of them."""
        error = self.check(*errorTypes)
        if error is None:
            self.raiseException()
        return error

    def raiseException(self) -> NoReturn:
        """Raise the exception, with its traceback."""
        raise self.value.with_traceback(self.tb)

    def throwExceptionIntoGenerator(self, g: Any) -> Any:
        """Raise the exception inside generator `g`, where it waits; what `g` yields next."""
        return g.throw(self.value.with_traceback(self.tb))

    def cleanFailure(self) -> None:
        """Let go of the frames, and of all that their variables hold; their names and lines stay."""
        self.frames = [
            (name, file, line, _shown(local), _shown(of_module)) for name, file, line, local, of_module in self.frames
        ]
        self.tb = None
        if getattr(self.value, "__traceback__", None) is not None:
            self.value.__traceback__ = None

    def getTracebackObject(self) -> Any:
        """The traceback, or one made of what is left of it, for `traceback.extract_tb`; None if there is none."""
        if self.tb is not None:
            return self.tb
        return fake_traceback(self.frames) if self.frames else None

    def getErrorMessage(self) -> str:
        """The exception as a string."""
        if isinstance(self.value, Failure):
            return self.value.getErrorMessage()
        return safe_str(self.value)

    def getTraceback(self, elideFrameworkCode: int = 0, detail: str = "default") -> str:
        """What `printTraceback` prints."""
        text = StringIO()
        self.printTraceback(text, elideFrameworkCode, detail)
        return text.getvalue()

    def getBriefTraceback(self) -> str:
        """What `printBriefTraceback` prints."""
        return self.getTraceback(detail="brief")

    def printTraceback(self, file: TextIO | None = None, elideFrameworkCode: int = 0, detail: str = "default") -> None:
        """Write the traceback, as Python does, to `file` (by default the standard error).

        elideFrameworkCode: ignored. detail: "default", "brief" or "verbose".
        """
        if detail not in ("default", "brief", "verbose"):
            raise ValueError(f"detail is 'default', 'brief' or 'verbose', not {detail!r}")
        write: Callable[[str], object] = (sys.stderr if file is None else file).write
        if detail == "brief":
            title = "Traceback" if self.frames else "Traceback (failure with no frames)"
            write(f"{title}: {safe_str(self.type)}: {safe_str(self.value)}\n")
        elif detail == "verbose":
            write(f"*--- Failure #{self.count}{' (pickled) ' if self.pickled else ' '}---\n")
        else:
            write("Traceback (most recent call last):\n")
        if self.frames:
            write_frames(self.frames, write, detail, bool(self.captureVars))
        elif detail != "brief":
            write("Failure: ")
        if detail != "brief":
            write(f"{qualified_name(self.type)}: {safe_str(self.value)}\n")
        if isinstance(self.value, Failure):
            write(" (chained Failure)\n")
            self.value.printTraceback(file, elideFrameworkCode, detail)
        if detail == "verbose":
            write(f"*--- End of Failure #{self.count} ---\n")

    def printBriefTraceback(self, file: TextIO | None = None, elideFrameworkCode: int = 0) -> None:
        """Write the traceback, a short line each."""
        self.printTraceback(file, elideFrameworkCode, "brief")

    def printDetailedTraceback(self, file: TextIO | None = None, elideFrameworkCode: int = 0) -> None:
        """Write the traceback with local and global variables, if they were captured."""
        self.printTraceback(file, elideFrameworkCode, "verbose")

    def __repr__(self) -> str:
        return f"<{qualified_name(self.__class__)} {qualified_name(self.type)}: {self.getErrorMessage()}>"

    def __str__(self) -> str:
        return f"[Failure instance: {self.getBriefTraceback()}]"

    def __reduce__(self) -> Any:
        """A pickled Failure has names and lines, no frames."""
        frames = [(name, file, line, _shown(local), _shown(world)) for name, file, line, local, world in self.frames]
        return (_restore, (self.__class__, self.value, self.type, frames, self.parents, self.captureVars))


def _shown(variables: Any) -> list[tuple[str, str]]:
    return [(name, safe_repr(value)) for name, value in variables]


def _restore(cls: Any, value: Any, kind: Any, frames: list[Frame], parents: list[Any], captured: bool) -> Failure:
    failure: Failure = cls(value, kind)
    failure.pickled = 1
    failure.tb = None
    failure.captureVars = captured
    failure.frames = frames
    failure.parents = parents
    return failure
