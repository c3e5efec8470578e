"""`fate explore FILE::function`: searches for a run of a program that fails, and reports the fewest faults it takes.

What is searched and how lives in `fate.sim.explore`; here are the options, the progress bar and the exit code.
"""

from __future__ import annotations

import multiprocessing
import shlex
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fate.sim.reexec import settle

if TYPE_CHECKING:
    from fate.sim.keep import Store
    from fate.sim.programs import Program
    from fate.sim.trial import Outcome, Rules

__all__ = ["command"]


@click.command("explore")
@click.argument("program", metavar="FILE::FUNCTION")
@click.option("--seeds", type=click.IntRange(0), default=1000, show_default=True, help="How many random runs.")
@click.option("--seed", type=int, help="Only this seed, at random.")
@click.option("-j", "--jobs", type=click.IntRange(1), default=1, show_default=True, help="How many processes.")
@click.option("--faults", default="all", show_default=True, help="Which faults, by name, with commas; or none.")
@click.option("--relaxed", is_flag=True, help="Shuffle call_soon too; on asyncio what that finds cannot happen.")
@click.option("--task", "tasks", multiple=True, help="Cancel only this task or async function. May be repeated.")
@click.option(
    "--allow",
    multiple=True,
    help="A failure that is none here: a kind, or KIND:NAME, such as leftover:worker. May be repeated.",
)
@click.option(
    "--limit", type=float, default=2592000.0, help="Virtual seconds after which a run hangs.  [default: 30 days]"
)
@click.option("--strict", is_flag=True, help="A fault's own error, such as a reset connection, is a failure too.")
@click.option("--check-determinism", "twice", is_flag=True, help="Run one seed twice; show where the runs part.")
@click.option("--env", "kept", multiple=True, help="An environment variable that the program needs. May be repeated.")
def command(
    program: str,
    seeds: int,
    seed: int | None,
    jobs: int,
    faults: str,
    relaxed: bool,
    tasks: tuple[str, ...],
    allow: tuple[str, ...],
    limit: float,
    strict: bool,
    twice: bool,
    kept: tuple[str, ...],
) -> None:
    """Find a run of a program that fails.

    FILE::FUNCTION is an async function without arguments. It is run in a universe: once as it is, then with each
    single fault, then with many at random. The first failure is shrunk, reported, and kept in .fate/ for
    `fate replay`; next time it is tried first. The exit code is 1 if there is one, else 0; 130
    after Ctrl-C.

    \b
      fate explore bank.py::transfer --seeds 1000 -j 2
      fate explore bank.py::transfer --faults latency,cancel
    """
    uncovered = settle(keep=kept)
    from fate.sim.faults import RELAXED, Faults
    from fate.sim.keep import Store
    from fate.sim.programs import Program
    from fate.sim.trial import Rules

    names = [] if faults == "none" else [name for name in faults.split(",") if name]
    if faults == "all":
        names = list(Faults.all().kinds)
    if relaxed:
        names.append(RELAXED)
    rules = Rules.make(Faults(names, tasks or None), limit, allow, strict)
    scenario = Program.parse(program)
    scenario.load()
    if uncovered:
        click.echo(f"not covered here: {uncovered}", err=True)
    if twice:
        raise SystemExit(_check(scenario, rules, seed or 0))
    chosen = range(seeds) if seed is None else [seed]
    raise SystemExit(_explore(scenario, rules, chosen, jobs, Store(Path.cwd()), singles=seed is None))


def _explore(program: Program, rules: Rules, seeds: range | list[int], jobs: int, store: Store, singles: bool) -> int:
    from fate.sim.errors import ScenarioError
    from fate.sim.explore import Search
    from fate.sim.guard import heeding_ctrl_c

    began = time.perf_counter()
    with _Bar(len(seeds)) as bar, _Pool(jobs) as executor, heeding_ctrl_c() as heed:

        def progress(runs: int, total: int | None) -> None:
            bar(runs, total)
            heed()

        old = [kept.trial for kept in store.of(program.name)] if singles else []
        search = Search(
            program, rules, seeds, kept=old, singles=singles, executor=executor, workers=jobs, on_progress=progress
        )
        try:
            found = search.find()
        except KeyboardInterrupt:
            click.echo(f"\n{program.name}: stopped after {search.runs} runs, none of which failed", err=True)
            return 128 + signal.SIGINT
        except BrokenProcessPool as error:
            raise ScenarioError(
                f"a process that carries runs of {program.name} has died after {search.runs} runs: something has "
                "killed it, such as a lack of memory or a broken C extension; with -j 1 it is this process that dies"
            ) from error
    seconds = time.perf_counter() - began
    pace = f"{search.runs} runs in {seconds:.1f} s, {search.runs / seconds:,.0f} a second"
    if found is None:
        click.echo(f"{program.name}: no failure ({pace})")
        return 0
    click.echo(_tell(program, rules, found, search.runs, store))
    click.echo(f"({pace})", err=True)
    return 1


def _tell(program: Program, rules: Rules, found: Outcome, runs: int, store: Store) -> str:
    from fate.sim.explore import keep
    from fate.sim.keep import inside
    from fate.sim.report import report, unsteady

    kept = keep(program, rules, found, "fate")
    if kept is None:
        return unsteady(program.name, found)
    named = "" if inside(program.name, Path.cwd()) else f" {shlex.quote(program.name)}"
    return report(kept, runs, store.keep(kept, f"fate replay {kept.id}{named}"), found)


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
    """A progress bar on standard error with the runs a second, where that is a terminal."""

    def __init__(self, expected: int) -> None:
        self.began = time.perf_counter()
        self.runs = 0
        self.bar: Any = click.progressbar(
            length=max(1, expected), label="exploring", file=sys.stderr, item_show_func=self._pace
        )

    def _pace(self, _item: object) -> str:
        return f"{self.runs / max(1e-9, time.perf_counter() - self.began):,.0f} runs a second"

    def __enter__(self) -> Callable[[int, int | None], None]:
        self.bar.__enter__()
        return self._show

    def _show(self, runs: int, total: int | None) -> None:
        self.bar.length = max(self.bar.length or 1, total or 1, runs)
        self.bar.update(runs - self.runs, current_item=None)
        self.runs = runs

    def __exit__(self, *error: object) -> None:
        self.bar.__exit__(None, None, None)
