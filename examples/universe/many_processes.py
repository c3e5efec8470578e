"""A search over several processes: any `concurrent.futures.Executor` carries the runs.

    python examples/universe/many_processes.py

What is found does not depend on how many there are. With dask, on as many machines: `executor=client.get_executor()`.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from fate.sim.explore import Search, keep
from fate.sim.programs import Program
from fate.sim.report import report
from fate.sim.trial import Rules

PROCESSES = 2


def search(file: Path, function: str, seeds: int = 200) -> str:
    """What a person reads of the first failure of a program; "no failure"."""
    program = Program(str(file), function)  # text: each process imports the file itself
    rules = Rules.make("all")
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as executor:
        runs = Search(program, rules, range(seeds), executor=executor, workers=PROCESSES)
        found = runs.find()
    if found is None:
        return "no failure"
    least = keep(program, rules, found, "fate")  # with the fewest faults, in this process
    return "it did not fail a second time" if least is None else report(least, runs.runs, "fate explore")


if __name__ == "__main__":
    print(search(Path(__file__).with_name("lost_update.py"), "main"))
