"""`fate explore FILE::function`: searches for a run of a program that fails, and reports the fewest faults it takes.

What is searched and how lives in `fate.sim.explore`; here are the options, the progress bar and the exit code.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fate.sim.reexec import settle

if TYPE_CHECKING:
    from fate.sim.groups import Group, Groups
    from fate.sim.keep import Kept, Store
    from fate.sim.programs import Program
    from fate.sim.trial import Rules

__all__ = ["command"]

GO_ON_RUNS, GO_ON_SECONDS = 200, 10.0  # so far others are looked for after the first failure, see `Search.go_on`
TOLD_EVERY = 9.0  # seconds: nothing is silent for longer than ten
MOST_OUTPUT = 40  # lines of what a run has written


@click.command("explore")
@click.argument("program", metavar="FILE::FUNCTION")
@click.option("--seeds", type=click.IntRange(0), default=1000, show_default=True, help="How many random runs.")
@click.option("--seed", type=int, help="Only this seed, at random.")
@click.option("-j", "--jobs", type=click.IntRange(1), default=1, show_default=True, help="How many processes.")
@click.option("--faults", default="all", show_default=True, help="Which faults, by name, with commas; or none.")
@click.option("--relaxed", is_flag=True, help="Shuffle call_soon too; on asyncio what that finds cannot happen.")
@click.option("--task", "tasks", multiple=True, help="Cancel only this task or async function. May be repeated.")
@click.option("--not-task", "spared", multiple=True, help="Never cancel this task or async function. May be repeated.")
@click.option(
    "--allow",
    multiple=True,
    help="A failure that is none here: a kind, or KIND:NAME, such as leftover:worker. May be repeated.",
)
@click.option(
    "--limit", type=float, default=2592000.0, help="Virtual seconds after which a run hangs.  [default: 30 days]"
)
@click.option("--strict", is_flag=True, help="A fault's own error, such as a reset connection, is a failure too.")
@click.option("--seconds", type=click.FloatRange(0), help="Begin no more runs after so many seconds.")
@click.option("--first", is_flag=True, help="Stop at the first failure; else others are looked for too.")
@click.option("--check-determinism", "twice", is_flag=True, help="Run one seed twice; show where the runs part.")
@click.option("--output", "loud", is_flag=True, help="Show what the program writes, in every run.")
@click.option("--env", "kept", multiple=True, help="An environment variable that the program needs. May be repeated.")
def command(
    program: str,
    seeds: int,
    seed: int | None,
    jobs: int,
    faults: str,
    relaxed: bool,
    tasks: tuple[str, ...],
    spared: tuple[str, ...],
    allow: tuple[str, ...],
    limit: float,
    strict: bool,
    seconds: float | None,
    first: bool,
    twice: bool,
    kept: tuple[str, ...],
    loud: bool,
) -> None:
    """Find a run of a program that fails.

    FILE::FUNCTION is an async function without arguments. It is run in a universe: once as it is, then with each
    single fault, then with many at random. The first failure is shrunk, reported, and kept in .fate/ for
    `fate replay`; next time it is tried first. Then it goes on, for failures that come from other faults or at other
    lines. The exit code is 1 if there is one, else 0; 130 after Ctrl-C.

    The faults: order, latency, split, reset, refuse, loss, duplicate, reorder, partition, dns, clock, job (of an
    executor), crash (of a host), cancel (of a task, also before its first step), stall (a step of a host takes up to
    1 s), timer (one is set late). A task is cancelled if the program has made it or given its coroutine to a library;
    what runs inside of libraries is left alone, unless --task names it. In both --task and --not-task `*` stands for
    anything.

    \b
      fate explore bank.py::transfer --seeds 1000 -j 2
      fate explore bank.py::transfer --faults latency,cancel --seconds 60
    """
    uncovered = settle(keep=kept)
    faulthandler.enable()  # a process that dies says where it was
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # what a program is called by may be anything
    from fate.sim import silence
    from fate.sim.faults import RELAXED, Faults
    from fate.sim.keep import Store
    from fate.sim.programs import Program
    from fate.sim.trial import Rules

    silence.loud = loud
    names = [] if faults == "none" else [name for name in faults.split(",") if name]
    if faults == "all":
        names = list(Faults.all().kinds)
    if relaxed:
        names.append(RELAXED)
    rules = Rules.make(Faults(names, tasks or None, spared), limit, allow, strict)
    scenario = Program.parse(program)
    scenario.load()
    if uncovered:
        click.echo(f"not covered here: {uncovered}", err=True)
    if twice:
        raise SystemExit(_check(scenario, rules, seed or 0))
    chosen = range(seeds) if seed is None else [seed]
    singles = seed is None
    raise SystemExit(_explore(scenario, rules, chosen, jobs, Store(Path.cwd()), singles, seconds, first))


def _explore(
    program: Program,
    rules: Rules,
    seeds: range | list[int],
    jobs: int,
    store: Store,
    singles: bool,
    budget: float | None,
    first: bool,
) -> int:
    from fate.sim.errors import ScenarioError
    from fate.sim.explore import Search
    from fate.sim.groups import Groups
    from fate.sim.guard import heeding_ctrl_c
    from fate.sim.report import excused_in_words

    began = time.perf_counter()
    with _Bar(program.name, len(seeds)) as bar, _Pool(jobs) as executor, heeding_ctrl_c() as heed:

        def progress(runs: int, total: int | None) -> None:
            bar(runs, total)
            heed()

        old = [kept.trial for kept in store.of(program.name)] if singles else []
        search = Search(
            program,
            rules,
            seeds,
            kept=old,
            singles=singles,
            executor=executor,
            workers=jobs,
            seconds=budget,
            on_progress=progress,
        )
        groups = Groups(program, rules, "fate", executor)
        stopped = False
        try:
            for found in search.failing(not first):
                with bar.shrinking():
                    group = groups.take(found)
                if len(groups.groups) == 1 and group is not None:
                    bar.clear()
                    click.echo(_tell(program, group, search.runs, store))
                    bar.write_output()
                    search.go_on(found, max(GO_ON_SECONDS, time.perf_counter() - began), GO_ON_RUNS)
                if first:
                    break
        except KeyboardInterrupt:
            stopped = True
        except BrokenProcessPool as error:
            raise ScenarioError(
                f"a process that carries runs of {program.name} has died after {search.runs} runs: something has "
                "killed it, such as a lack of memory or a broken C extension; with -j 1 it is this process that dies"
            ) from error
    seconds = time.perf_counter() - began
    pace = f"{search.runs} runs in {seconds:.1f} s, {search.runs / seconds:,.0f} a second"
    for line in _others(program, groups, store):
        click.echo(line)
    if stopped:
        none = "" if groups.groups else ", none of which failed"
        click.echo(f"\n{program.name}: stopped after {search.runs} runs{none}", err=True)
        return 128 + signal.SIGINT
    if search.out_of_time and budget is not None:
        pace += f"; stopped after {budget:g} s"
    if groups.groups:
        click.echo(f"({pace})", err=True)
        return 1
    click.echo(f"{program.name}: no failure ({pace})")
    if search.excused:
        click.echo(excused_in_words(search.excused))
    return 0


def _tell(program: Program, group: Group, runs: int, store: Store) -> str:
    from fate.sim.report import report, unsteady

    if group.kept is None:
        return unsteady(program.name, group.found)
    return report(group.kept, runs, store.keep(group.kept, _again(program, group.kept)), group.found)


def _again(program: Program, kept: Kept) -> str:
    """The command that replays what was kept: a program of another place must be named by who asks for it."""
    from fate.sim.keep import inside

    named = "" if inside(program.name, Path.cwd()) else f" {shlex.quote(program.name)}"
    return f"fate replay {kept.id}{named}"


def _others(program: Program, groups: Groups, store: Store) -> Iterator[str]:
    """What was found besides the first failure, a few lines."""
    from fate.sim.report import also

    for number, group in enumerate(groups.groups.values()):
        kinds = ", ".join(f"{kind} ({count})" for kind, count in sorted(group.others().items()))
        if number and group.kept is not None:
            yield also(group.kept, group.runs, store.keep(group.kept, _again(program, group.kept)))
        if kinds and group.kept is not None:
            yield f"{'  ' if number else ''}The same came from other faults: {kinds}."
    if groups.more:
        yield f"{groups.more} runs failed in yet other ways."


def _check(program: Program, rules: Rules, seed: int) -> int:
    from fate.sim.explore import histories
    from fate.sim.report import difference_in_words
    from fate.sim.trial import Trial

    first, second = histories(program, rules, Trial(seed, drawn=True, origin="seed"), 2)
    lines = difference_in_words(first, second)
    if not lines:
        click.echo(f"{program.name}: seed {seed} was the same in both runs, {len(first)} events")
        return 0
    click.echo(f"{program.name}: seed {seed} was not the same in both runs.\n" + "\n".join(lines))
    return 1


class _Pool:
    """The processes that carry the runs; none for one job."""

    def __init__(self, jobs: int) -> None:
        self.executor: Executor | None = None
        if jobs > 1:  # forked, so that each has this process's hashes and addresses
            from fate.sim.guard import ignore_ctrl_c

            self.executor = ProcessPoolExecutor(jobs, multiprocessing.get_context("fork"), ignore_ctrl_c)

    def __enter__(self) -> Executor | None:
        return self.executor

    def __exit__(self, *error: object) -> None:
        if self.executor is not None:
            self.executor.shutdown(cancel_futures=True)


class _Bar:
    """A progress bar on standard error with the runs a second, where that is a terminal.

    Every ten seconds in which it does not move, and always where it is no terminal, a line says what is being done.
    """

    def __init__(self, name: str, expected: int) -> None:
        self.name = name
        self.began = self.told = time.perf_counter()
        self.stream = sys.stderr  # while a run goes on, another is in its place
        self.shrinks_from: int | None = None  # so many runs there were before it shrinks what it has found
        self.runs = 0
        self.bar: Any = click.progressbar(
            length=max(1, expected), label="exploring", file=sys.stderr, item_show_func=self._pace
        )

    def _pace(self, _item: object) -> str:
        return f"{self.runs / max(1e-9, time.perf_counter() - self.began):,.0f} runs a second"

    def __enter__(self) -> _Bar:
        from fate.sim import guard, notices

        self.bar.__enter__()
        notices.listener = self._line
        guard.each_second.append(self._tell)
        guard.begin(threading.get_ident())
        return self

    @contextmanager
    def shrinking(self) -> Iterator[None]:
        """What has failed is run again, with fewer faults."""
        from fate.sim import guard

        self.shrinks_from = guard.runs
        try:
            yield
        finally:
            self.shrinks_from = None

    def _tell(self) -> None:
        from fate.sim import guard

        if time.perf_counter() - self.told < TOLD_EVERY:
            return
        place = guard.place()
        now = f"; the present run is at {place}" if place else ""
        if self.shrinks_from is None:
            self._line(f"{self.runs:,} runs so far{now}")
        else:
            self._line(f"shrinking what was found, {guard.runs - self.shrinks_from:,} runs so far{now}")

    def _line(self, text: str) -> None:
        self.told = time.perf_counter()
        click.echo(f"{self.name}: {text}", file=self.stream)

    def write_output(self) -> None:
        """Show what the run has written that has been told of just now."""
        from fate.sim import silence

        lines = silence.written().splitlines()[-MOST_OUTPUT:]
        if lines and not silence.loud:
            click.echo("\n  ".join(["It wrote in that run:", *lines]), err=True)

    def clear(self) -> None:
        """Something else is about to be printed."""
        if sys.stderr.isatty():
            click.echo("\r\033[2K", err=True, nl=False)

    def __call__(self, runs: int, total: int | None) -> None:
        if sys.stderr.isatty():
            self.told = time.perf_counter()
        self.bar.length = max(self.bar.length or 1, total or 1, runs)
        self.bar.update(runs - self.runs, current_item=None)
        self.runs = runs

    def __exit__(self, *error: object) -> None:
        from fate.sim import guard, notices

        guard.each_second.clear()
        notices.listener = None
        self.bar.__exit__(None, None, None)
