"""`fate replay ID`: runs a kept failure again and shows everything that happens in it.

Kept failures are `fate.sim.keep`'s; how a history is told, `fate.sim.report`'s.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from fate.sim.reexec import settle

__all__ = ["command"]


@click.command("replay")
@click.argument("id")
@click.option("--pdb", "debug", is_flag=True, help="Open the debugger where it fails.")
@click.option("--all", "everything", is_flag=True, help="Show a long history whole too.")
@click.option("--env", "kept", multiple=True, help="An environment variable that the program needs. May be repeated.")
def command(id: str, debug: bool, everything: bool, kept: tuple[str, ...]) -> None:
    """Run a failure that was found once more.

    Shows the whole history: virtual time, host, task, event, and which callback caused it. If the program changed
    since, says so, with the first event that differs. The exit code is 1 if it fails again, 0 if it does not.
    """
    from fate.sim.keep import Store

    found = Store(Path.cwd()).get(id)
    if found.runner == "pytest":
        words = [sys.executable, "-m", "pytest", found.program, "--fate-replay", id, *(["--pdb"] if debug else [])]
        os.execv(sys.executable, words)
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
        click.echo(f"  then: {before}\n  now:  {now}")
    if failure is None:
        click.echo(f"\n{found.program} does not fail any more.")
        raise SystemExit(0)
    trouble = trouble_of(failure)
    click.echo(f"\n{found.program} fails: {trouble.message}" + (f"\n  at {trouble.where}" if trouble.where else ""))
    if not trouble.like(found.trouble):
        click.echo(f"That is another failure than the one that was kept: {found.trouble.message}")
    click.echo("\n".join(faults_in_words(result.faults())))
    if debug and failure.error is not None and failure.error.__traceback__ is not None:
        import pdb

        pdb.post_mortem(failure.error.__traceback__)
    raise SystemExit(1)
