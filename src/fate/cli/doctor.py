"""`fate doctor`: tells whether Fate is well on this machine, what is wrong, and what to do about it.

`examine` finds the facts, `RULES` judges them: one function a rule, each returning findings. A finding is "broken"
(the exit code is 1) or "advice". The page for people and the JSON are drawn from the same report.
"""

from __future__ import annotations

import os
import platform
import resource
import socket
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Literal

import click
import msgspec

from fate.cli.group import version

__all__ = ["Finding", "Limit", "Report", "command", "examine"]

TESTED = ((3, 11), (3, 12), (3, 13))
"""The Python versions that Fate is tested on."""

ENOUGH_FILES = 4096
"""Open files that a busy server needs at least; each connection takes one."""

COMPILER = (
    "Install a C compiler and Python's headers"
    " (Debian, Ubuntu: apt install build-essential python3-dev; macOS: xcode-select --install)"
)
"""How a machine comes by what compiling Fate needs."""

NOTE = "not_compiled.txt"
"""A file in the package that says why it could not be compiled; `setup.py` writes it."""

COSTS = "callbacks, timers and messages take 3 to 9 times as long"

PEERS = ("click", "msgspec", "uvloop", "twisted")
"""The distributions whose versions are worth knowing."""


class Finding(msgspec.Struct, frozen=True):
    """Something to know: how bad it is, what it is, and what to do."""

    level: Literal["broken", "advice"]
    what: str
    do: str


class Limit(msgspec.Struct, frozen=True):
    """A limit of this process, soft (in force) and hard (the highest it may ask for); None means unlimited."""

    soft: int | None
    hard: int | None


class Report(msgspec.Struct):
    """What `fate doctor` found.

    `modules` tells of each module that can be compiled whether it is; `not_compiled`, why compiling failed.
    """

    fate: str
    python: str
    executable: str
    platform: str
    kernel: str
    poll: str
    compiled: bool
    modules: dict[str, bool]
    versions: dict[str, str | None]
    limits: dict[str, Limit]
    debug: str | None = None
    not_compiled: str | None = None
    failure: str | None = None
    findings: list[Finding] = []

    @property
    def broken(self) -> bool:
        """Whether something keeps Fate from working."""
        return any(finding.level == "broken" for finding in self.findings)


def examine() -> Report:
    """Finds the facts about Fate in this process and judges them."""
    poll, failure = _try_loop()
    modules = _modules()
    report = Report(
        fate=version(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        executable=sys.executable,
        platform=f"{platform.system()} {platform.machine()}",
        kernel=platform.release(),
        poll=poll,
        compiled=_compiled(modules),
        modules=modules,
        versions={name: _version(name) for name in PEERS},
        limits={name: _limit(number) for name, number in _limit_numbers()},
        debug=_debug(),
        not_compiled=_why_not_compiled(),
        failure=failure,
    )
    report.findings = [finding for rule in RULES for finding in rule(report)]
    return report


def _try_loop() -> tuple[str, str | None]:
    """Sends one byte from a socket to its peer on a Fate; returns what it polls with and what went wrong."""
    try:
        from fate.loop import Fate

        loop = Fate()
        try:
            poll = _poll(loop)
            here, there = socket.socketpair()
            with here, there:
                here.setblocking(False)
                there.send(b"?")
                loop.run_until_complete(loop.sock_recv(here, 1))
        finally:
            loop.close()
    except Exception as error:
        return "none", f"{type(error).__name__}: {error}"
    return poll, None


def _poll(loop: object) -> str:
    """Names what a Fate waits with: its own poll, or the standard library's selector under it."""
    poll = getattr(loop, "_selector", None)
    waits = type(getattr(poll, "selector", poll))
    name = waits.__name__.removesuffix("Poll").removesuffix("Selector").lower()
    return f"{name} ({waits.__module__}.{waits.__name__})" if poll is not None else "unknown"


def _modules() -> dict[str, bool]:
    """Says of each module that can be compiled, those with a .pxd or .pyx beside them, whether Python loads it so."""
    home = Path(__file__).parents[1]
    names = {
        ".".join(source.relative_to(home.parent).with_suffix("").parts)
        for kind in ("*.pxd", "*.pyx")
        for source in home.rglob(kind)
        if source.stem != "__init__"
    }
    return {name: _is_compiled(name) for name in sorted(names)}


def _is_compiled(name: str) -> bool:
    try:
        spec = find_spec(name)
    except ImportError:
        return False
    return spec is not None and str(spec.origin).endswith(tuple(EXTENSION_SUFFIXES))


def _compiled(modules: dict[str, bool]) -> bool:
    import fate

    return bool(getattr(fate, "compiled", modules and all(modules.values())))


def _why_not_compiled() -> str | None:
    try:
        return Path(__file__).parents[1].joinpath(NOTE).read_text().strip() or None
    except OSError:
        return None


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as of

    try:
        return of(name)
    except PackageNotFoundError:
        return None


def _limit_numbers() -> Iterator[tuple[str, int]]:
    yield "open files", resource.RLIMIT_NOFILE
    yield "processes and threads", resource.RLIMIT_NPROC


def _limit(number: int) -> Limit:
    soft, hard = (None if value == resource.RLIM_INFINITY else value for value in resource.getrlimit(number))
    return Limit(soft, hard)


def _debug() -> str | None:
    """Returns what switches asyncio's debug mode on for every loop, None where nothing does."""
    if os.environ.get("PYTHONASYNCIODEBUG") and not sys.flags.ignore_environment:
        return "PYTHONASYNCIODEBUG"
    return "python -X dev" if sys.flags.dev_mode else None


def _works(report: Report) -> Iterator[Finding]:
    if report.failure:
        yield Finding(
            "broken",
            f"Fate does not run here: {report.failure}",
            "Install it again: pip install --force-reinstall fate-loop",
        )


def _python_is_tested(report: Report) -> Iterator[Finding]:
    if sys.version_info[:2] in TESTED and platform.python_implementation() == "CPython":
        return
    yield Finding(
        "advice",
        f"Fate is not tested on {report.python}.",
        "It is on CPython " + ", ".join(f"{major}.{minor}" for major, minor in TESTED) + ".",
    )


def _is_compiled_all(report: Report) -> Iterator[Finding]:
    if report.compiled and all(report.modules.values()):
        return
    plain = [name for name, compiled in report.modules.items() if not compiled]
    what = f"Fate is not compiled: it works, but {COSTS}."
    if report.not_compiled:
        what += f" Compiling failed when it was installed: {report.not_compiled}."
    if report.compiled or len(plain) < len(report.modules):
        what = f"Fate is compiled in part; not so: {', '.join(plain)}."
    do = "FATE_REQUIRE_EXT=1 pip install --force-reinstall --no-cache-dir --no-binary fate-loop fate-loop"
    if not any(which(name) for name in ("cc", "gcc", "clang")):
        do = f"{COMPILER}, then: {do}"
    yield Finding("advice", what, do)


def _has_files_enough(report: Report) -> Iterator[Finding]:
    limit = report.limits["open files"]
    if limit.soft is None or limit.soft >= ENOUGH_FILES:
        return
    room = ENOUGH_FILES if limit.hard is None else min(ENOUGH_FILES, limit.hard)
    do = f"Before starting the program: ulimit -n {room}"
    if room < ENOUGH_FILES:
        do = f"Have the hard limit of {limit.hard} raised (/etc/security/limits.conf, LimitNOFILE= in systemd)."
    yield Finding("advice", f"Only {limit.soft} files may be open, and each connection is one.", do)


def _is_not_hidden(report: Report) -> Iterator[Finding]:
    """Looks for a file or package of the user's that programs in this folder would get for `import fate`."""
    for path in (Path("fate.py"), Path("fate", "__init__.py")):
        if path.is_file() and path.resolve().parent != Path(__file__).resolve().parents[1]:
            yield Finding(
                "advice",
                f"{path.resolve()} hides this package from the programs in that folder: `import fate` finds it first.",
                "Rename it, and remove the __pycache__ beside it.",
            )


def _is_not_debugging(report: Report) -> Iterator[Finding]:
    if report.debug:
        yield Finding(
            "advice",
            f"asyncio's debug mode is on, by {report.debug}; every loop is several times slower.",
            "Good for finding mistakes. For speed, leave it out.",
        )


RULES: tuple[Callable[[Report], Iterator[Finding]], ...] = (
    _works,
    _python_is_tested,
    _is_compiled_all,
    _has_files_enough,
    _is_not_hidden,
    _is_not_debugging,
)


def _page(report: Report) -> Iterator[str]:
    """Draws the report for a person, a fact a line."""
    number = sum(report.modules.values())
    compiled = "compiled" if report.compiled else "not compiled"
    yield f"fate      {report.fate}, {compiled} ({number} of {len(report.modules)} modules)"
    yield f"python    {report.python}, {report.executable}"
    yield f"system    {report.platform}, kernel {report.kernel}"
    yield f"poll      {report.poll}"
    yield "beside    " + ", ".join(f"{name} {version or 'absent'}" for name, version in report.versions.items())
    yield "limits    " + ", ".join(f"{name} {_shown(limit)}" for name, limit in report.limits.items())
    for finding in report.findings:
        yield f"{finding.level:9} {finding.what}"
        yield f"          {finding.do}"
    if not report.findings:
        yield "All is well."


def _shown(limit: Limit) -> str:
    soft, hard = ("unlimited" if value is None else str(value) for value in (limit.soft, limit.hard))
    return soft if soft == hard else f"{soft} (at most {hard})"


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(as_json: bool) -> None:
    """Tell whether Fate is well on this machine.

    Says what is compiled, which versions and limits there are, what is wrong and what to do about it. The exit code
    is 1 when something is broken, 0 otherwise.
    """
    report = examine()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report)))
    else:
        for line in _page(report):
            click.echo(line)
    sys.exit(1 if report.broken else 0)
