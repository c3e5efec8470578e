"""A universe: the same program where time, network and chance are ours.

    fate.sim.run(main, seed=7)                      what `main()` returns, or what it raises
    fate.sim.attempt(main, 7, faults="all")         a `Result`: what it returned or raised, and every decision

The map: `universe` runs one program once; `decisions` is chance as a function of (seed, label, count); `kernel` has
virtual time and readiness; `stream`, `datagram`, `sockets` and `names` are what programs see of the network,
`network` and `links` what is between machines; `hosts` and `loop` are the machines; `clocks`, `threads`, `played`
(child processes) and `patches` put all that under an unchanged program; `faults` says what may go wrong.

Above that, many runs: `programs` and `trial` are one try of a program, `explore` searches, `shrink` finds what a run
needs to fail, `keep` files it, and `report` tells it. The command line and the pytest plugin are made of these.

**For what stands on a single run** (search, shrinking, reports, replay):

- `attempt(main, seed, faults, overrides=, drawn=, history=, allow=)` runs one universe and never raises what the
  program raises. Faults are anything that `Faults.make` takes; `Faults.swarm(seed)` is a draw of them for one run.
- `Result.decisions` has every `Decision(label, n, value, bound, when, note)`, in order. Value 0 is benign and smaller
  is milder, so shrinking is: force values to 0 or nearer to it. `Result.faults()` are those that are not 0.
- To replay: `overrides={d.key: d.value for d in result.faults()}` and `drawn=False`, with the same seed and kinds of
  faults. To force single faults: run with `drawn=False` first, and override one (label, n) with 1 <= value < bound.
- `faults.describe(decision)` says a decision in words.
- `Result.failures` has what went wrong (`Failure.kind`, `.message`, `.error`, `.host`, `.when`); `Result.ok`: nothing.
  `failures` says what counts, and how each is allowed by name; `leftovers`, what a program leaves behind.
- `Result.events` is the history (`history=True`): tuples that begin with virtual nanoseconds and what happened; two
  runs of one seed are equal event for event, and the first that differs tells where they part.
- `reexec.settle()` executes the interpreter again so that string hashes and addresses are the same in every process.
"""

from __future__ import annotations

from fate.sim.decisions import Decision
from fate.sim.errors import UniverseError
from fate.sim.failures import Failure
from fate.sim.faults import Faults
from fate.sim.hosts import Host
from fate.sim.universe import Result, Universe, attempt, current, run

__all__ = ["Decision", "Failure", "Faults", "Host", "Result", "Universe", "UniverseError", "attempt", "current", "run"]
