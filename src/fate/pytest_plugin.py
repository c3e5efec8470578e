"""pytest: `@pytest.mark.universe(seeds=200, faults=...)` runs an async test in many universes.

The test is searched as `fate explore` searches a program, in this process; the first failure is shrunk, kept in
`.fate/` and raised with its report. The plugin takes a marked test over from whatever plugin else runs async tests,
and leaves all others alone. What runs a program and what searches is `fate.sim`'s.
"""

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # a test suite without universes does not pay for them
    from fate.sim.programs import Held
    from fate.sim.trial import Outcome, Rules

SEEDS = 200
ARGUMENTS = ("seeds", "faults", "limit", "allow", "strict")
OUTCOMES = ("Skipped", "XFailed")  # what pytest.skip() and pytest.xfail() raise: no failures


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("fate", "universes")
    group.addoption("--fate-seed", type=int, metavar="N", help="Run tests in universes with this seed only.")
    group.addoption("--fate-seeds", type=int, metavar="COUNT", help="How many seeds tests in universes get.")
    group.addoption("--fate-replay", metavar="ID", help="Run a failure again that was kept in .fate/.")


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    config.addinivalue_line(
        "markers",
        "universe(seeds=200, faults='all', limit=..., allow=(), strict=False): "
        "run this async test in simulated universes, with faults.",
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Takes the marked tests over."""
    for item in items:
        mark = item.get_closest_marker("universe")
        if mark is not None and isinstance(item, pytest.Function):
            item.runtest = functools.partial(_run, item, item.obj, mark)  # type: ignore[method-assign]


def _run(item: pytest.Function, test: Any, mark: pytest.Mark) -> None:
    __tracebackhide__ = True
    from fate.sim.explore import Search
    from fate.sim.keep import Store
    from fate.sim.programs import Held

    seeds, rules = _settings(item, mark)
    if not inspect.iscoroutinefunction(test):
        _refuse(f"{item.nodeid} is marked to run in universes, but it is not async: write `async def`")
    arguments = {name: item.funcargs[name] for name in item._fixtureinfo.argnames}
    program = Held(item.nodeid, functools.partial(test, **arguments))
    replay = item.config.getoption("--fate-replay")
    if replay:
        _replay(item, program, rules, replay)
        return
    seed = item.config.getoption("--fate-seed")
    store = Store(item.config.rootpath)
    old = [kept.trial for kept in store.of(item.nodeid)] if seed is None else []
    search = Search(program, rules, seeds if seed is None else [seed], kept=old, singles=seed is None)
    found = search.find()
    if found is not None:
        _fail(item, program, rules, found, search.runs)


def _settings(item: pytest.Function, mark: pytest.Mark) -> tuple[Iterable[int], Rules]:
    from fate.sim.trial import Rules

    unknown = [*map(repr, mark.args), *(name for name in mark.kwargs if name not in ARGUMENTS)]
    if unknown:
        _refuse(f"the mark `universe` of {item.nodeid} takes {', '.join(ARGUMENTS)} by name, not {unknown[0]}")
    given = dict(mark.kwargs)
    seeds = given.pop("seeds", SEEDS)
    count = item.config.getoption("--fate-seeds")
    if count is not None:
        seeds = count
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        if seeds < 0:
            _refuse(f"the number of seeds of {item.nodeid} cannot be negative: {seeds}")
        seeds = range(seeds)
    elif isinstance(seeds, (str, bytes)) or not isinstance(seeds, Iterable):
        _refuse(f"the seeds of {item.nodeid} are a number or integers, not {seeds!r}")
    return seeds, Rules.make(**given)


def _refuse(message: str) -> None:
    from fate.sim.errors import ScenarioError

    raise ScenarioError(message)


def _fail(item: pytest.Function, program: Held, rules: Rules, found: Outcome, runs: int) -> None:
    __tracebackhide__ = True
    from fate.sim.explore import keep
    from fate.sim.keep import Store
    from fate.sim.report import report, unsteady
    from fate.sim.trial import attempt

    assert found.trouble is not None
    if found.trouble.error in OUTCOMES:
        _raise(attempt(program, rules, found.trial)[1])
    kept = keep(program, rules, found, "pytest")
    if kept is None:
        pytest.fail(unsteady(item.nodeid, found), pytrace=False)
    store = Store(item.config.rootpath)
    line = store.keep(kept, f"pytest {shlex.quote(item.nodeid)} --fate-replay {kept.id}")
    item.add_report_section("call", "by fate", report(kept, runs, line, found))
    _raise(attempt(program, rules, kept.trial)[1], kept.trouble.message)


def _replay(item: pytest.Function, program: Held, rules: Rules, id: str) -> None:
    __tracebackhide__ = True
    from fate.sim.errors import ReplayError
    from fate.sim.keep import Store, lines_of
    from fate.sim.report import first_difference, history
    from fate.sim.trial import attempt

    kept = Store(item.config.rootpath).get(id)
    if kept.program != item.nodeid:
        raise ReplayError(f"{id} is a failure of {kept.program}, not of {item.nodeid}")
    result, failure = attempt(program, kept.rules, kept.trial, history=True)
    item.add_report_section("call", "by fate", "\n".join(history(result.events, result.faults())))
    difference = first_difference(kept.events, lines_of(result.events))
    if difference is not None:
        number, then, now = difference
        text = f"The first event that differs is number {number + 1}:\n  then: {then}\n  now:  {now}"
        item.add_report_section("call", "by fate: the program has changed since", text)
    if failure is not None:
        _raise(failure, kept.trouble.message)


def _raise(failure: Any, message: str = "") -> None:
    __tracebackhide__ = True
    from fate.sim.errors import FailedRunError

    if failure is not None and failure.error is not None:
        raise failure.error
    raise FailedRunError(message if failure is None else failure.message)
