"""`fate replay ID`: runs a kept failure again and shows everything that happens in it.

Kept failures are `fate.sim.keep`'s; how a history is told, `fate.sim.report`'s.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fate.sim.reexec import settle

if TYPE_CHECKING:
    from fate.sim.keep import Kept

__all__ = ["command"]


@click.command("replay")
@click.argument("id")
@click.argument("program", metavar="[FILE::FUNCTION]", required=False)
@click.option("--pdb", "debug", is_flag=True, help="Open the debugger where it fails.")
@click.option("--all", "everything", is_flag=True, help="Show a long history whole too.")
@click.option("--env", "kept", multiple=True, help="An environment variable that the program needs. May be repeated.")
def command(id: str, program: str | None, debug: bool, everything: bool, kept: tuple[str, ...]) -> None:
    """Run a failure that was found once more.

    Shows the whole history: virtual time, host, task, event, and which callback caused it. If the program changed
    since, says so, with the first event that differs. The exit code is 1 if it fails again, 0 if it does not.

    A program outside of the repository that .fate/ is in has to be named: what .fate/ says may come from others.
    """
    from fate.sim.keep import Store

    found = Store(Path.cwd()).get(id)
    _check(found, program, Path.cwd())
    if found.runner == "pytest":
        # A path that begins so is no option.
        words = ["-m", "pytest", "--fate-replay", id, *(["--pdb"] if debug else []), f"./{found.program}"]
        os.execv(sys.executable, [sys.executable, *words])
    settle(keep=kept)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]

    from fate.sim.keep import lines_of
    from fate.sim.programs import Program
    from fate.sim.report import MOST_SHOWN, faults_in_words, first_difference, history, shortened
    from fate.sim.trial import attempt, trouble_of

    result, failure = attempt(Program.parse(found.program), found.rules, found.trial, history=True)
    for line in shortened(history(result.events, result.faults()), None if everything else MOST_SHOWN):
        click.echo(line)
    difference = first_difference(found.events, lines_of(result.events))
    if difference is not None:
        number, before, now = difference
        click.echo(f"\nThe program has changed since; the first event that differs is number {number + 1}:")
        click.echo(f"  then: {_plain(before)}\n  now:  {now}")
    if failure is None:
        click.echo(f"\n{found.program} does not fail any more.")
        raise SystemExit(0)
    trouble = trouble_of(failure)
    click.echo(f"\n{found.program} fails: {trouble.message}" + (f"\n  at {trouble.where}" if trouble.where else ""))
    if not trouble.like(found.trouble):
        click.echo(f"That is another failure than the one that was kept: {_plain(found.trouble.message)}")
    click.echo("\n".join(faults_in_words(result.faults())))
    if debug and failure.error is not None and failure.error.__traceback__ is not None:
        import pdb

        pdb.post_mortem(failure.error.__traceback__)
    raise SystemExit(1)


def _check(found: Kept, program: str | None, home: Path) -> None:
    """Raise ReplayError unless what a kept failure names is this repository's, or `program`, which the user names."""
    from fate.sim.errors import ReplayError
    from fate.sim.keep import inside

    if program is not None and program != found.program:
        raise ReplayError(f"{found.id} is a failure of {_plain(found.program)}, not of {program}")
    if (os.path.isabs(found.program) and found.runner == "pytest") or not inside(found.program, home):
        if program is not None and found.runner == "fate":
            return
        raise ReplayError(
            f"{found.id} is a failure of {_plain(found.program)}, which is no file of the repository around {home}, and"
            " was not run, for what .fate/ holds may come from somebody else."
            + (" If it is yours, name it: fate replay ID FILE::FUNCTION" if found.runner == "fate" else "")
        )


def _plain(text: str) -> str:
    """Text from a file, fit for a terminal: what would move its cursor or colour it is escaped."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
