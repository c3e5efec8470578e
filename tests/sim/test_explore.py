"""Search: what is tried in which order, what counts as a failure, and that a failure comes again."""

from __future__ import annotations

import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from fate.sim.decisions import Decision
from fate.sim.errors import ReplayError, ScenarioError
from fate.sim.excuses import Excuses
from fate.sim.explore import Search, histories, keep, shrink
from fate.sim.faults import describe
from fate.sim.keep import Store, lines_of
from fate.sim.programs import Held, Program
from fate.sim.report import MOST_LINES, difference_in_words, first_difference, history, report, shortened
from fate.sim.strikes import Strikes
from fate.sim.trial import Rules, Trial, attempt, run

from . import scenarios

FILE = str(Path(scenarios.__file__))


@pytest.fixture(autouse=True)
def _count_anew() -> None:
    scenarios.runs = 0


def program(name: str) -> Held:
    return Held(name, getattr(scenarios, name))


def find(name: str, faults: object = "all", seeds: int = 50, **more: object):
    return Search(program(name), Rules.make(faults), range(seeds), **more).find()  # type: ignore[arg-type]


def test_a_good_program_has_no_failure():
    search = Search(program("good"), Rules.make(), range(20))
    assert search.find() is None
    assert search.runs == search.total == 25  # a late timer and a stall, each short and long


def test_a_single_fault_is_found_and_made_as_mild_as_can_be():
    rules = Rules.make()
    found = Search(program("late"), rules, range(50)).find()
    assert found is not None and found.trial.origin == "one fault"
    rules = Rules.make("latency")
    least = shrink(program("late"), rules, find("late", "latency"))
    assert least is not None
    [fault] = least.faults()
    assert 19 <= fault.value / 10 <= 20  # ms
    assert describe(fault).endswith("ms late")


def test_many_faults_of_a_random_run_shrink_to_the_one_that_matters():
    rules = Rules.make({"latency": 0.5, "order": 0.5, "reset": 0.0})
    search = Search(program("late"), rules, range(200), singles=False)
    found = max((run(program("late"), rules, trial) for trial in search.random()), key=lambda each: len(each.faults()))
    assert found.trouble is not None and len(found.faults()) > 1 and found.trial.origin == "seed"
    least = shrink(program("late"), rules, found)
    assert least is not None and len(least.faults()) == 1


def test_what_fails_without_a_fault_fails_at_once():
    found = find("always_bad")
    assert found is not None and found.trial == Trial() and not found.faults()
    assert found.trouble.message == "LookupError: gone"
    assert found.trouble.where.startswith("scenarios.py:") and found.trouble.where.endswith(" in always_bad")
    assert found.trouble.when == pytest.approx(2e9)


def test_a_seed_whose_chance_is_bad_is_found_and_comes_again():
    found = find("by_seed", None)
    assert found is not None and found.trial.seed > 0
    least = shrink(program("by_seed"), Rules.make(None), found)
    assert least is not None and least.trial.seed == found.trial.seed and least.trouble == found.trouble


def test_what_fails_only_once_is_told_from_what_comes_again():
    found = find("once")
    assert found is not None
    assert keep(program("once"), Rules.make(), found, "fate") is None


@pytest.mark.parametrize(("name", "kind"), [("forgetful", "leftover"), ("stuck", "stuck"), ("hosts", "exception")])
def test_each_kind_of_failure_is_found_and_can_be_allowed(name, kind):
    found = find(name)
    assert found is not None and found.trouble.kind == kind
    assert Search(program(name), Rules.make(None, allow=kind), range(3)).find() is None


def test_a_failure_on_another_host_says_so():
    found = find("hosts")
    kept = keep(program("hosts"), Rules.make(), found, "fate")
    assert kept is not None and "on host db, 1 s after the beginning" in report(kept, 1, "")


def test_any_executor_carries_the_runs_and_finds_the_same():
    alone = find("by_seed", None)
    name = Program(FILE, "by_seed")
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        search = Search(name, Rules.make(None), range(50), executor=executor, workers=2)
        assert search.find() == alone
    with ThreadPoolExecutor(1) as executor:
        assert find("by_seed", None, executor=executor) == alone


def test_kept_failures_are_tried_first():
    found = find("by_seed", None)
    search = Search(program("by_seed"), Rules.make(None), [], kept=[Trial(2), found.trial])
    again = search.find()
    assert again is not None and again.trouble == found.trouble and search.runs <= 2


def test_a_faults_own_error_is_no_failure_unless_it_shall_be():
    async def main() -> None:
        async with await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 7):
            _, writer = await asyncio.open_connection("127.0.0.1", 7)
            writer.close()

    refusing = Trial(forced=(("refuse main->main", 0, 1),))
    rules = Rules.make("refuse", allow="leftover")
    assert run(Held("main", main), rules, refusing).trouble is None
    strict = Rules.make("refuse", allow="leftover", strict=True)
    assert run(Held("main", main), strict, refusing).trouble.error == "ConnectionRefusedError"


def excused(error: BaseException | None, kinds: set[str], network: bool = True) -> bool:
    strikes = Strikes()
    strikes.names += ["work"] if "cancel" in kinds else []
    faults = [Decision(f"{kind} main", 0, 1, 2, 0, "") for kind in sorted(kinds)]
    return Excuses(faults, strikes, network=network).cover(error)


@pytest.mark.parametrize(
    ("error", "kinds", "is_excused"),
    [
        (ConnectionResetError(), {"reset"}, True),
        (ConnectionResetError(), {"split", "order"}, False),
        (ConnectionResetError(), set(), False),
        (asyncio.CancelledError(), {"cancel"}, False),
        (asyncio.CancelledError(), {"reset"}, False),
        (ConnectionResetError(), {"cancel"}, True),
        (TimeoutError(), {"latency"}, True),
        (TimeoutError(), {"stall"}, True),
        (TimeoutError(), {"cancel"}, False),
        (FileNotFoundError(), {"reset"}, False),
        (AssertionError(), {"reset", "cancel"}, False),
        (ExceptionGroup("", [EOFError(), TimeoutError()]), {"reset"}, True),
        (ExceptionGroup("", [EOFError(), KeyError()]), {"reset"}, False),
        (None, {"reset"}, False),
    ],
)
def test_what_is_excused(error, kinds, is_excused):
    assert excused(error, kinds) is is_excused


@pytest.mark.parametrize(("name", "is_excused"), [("ConnectionError", True), ("ReadTimeout", True), ("Full", False)])
def test_what_libraries_call_a_broken_connection_is_excused_too(name, is_excused):
    error = type(name, (type(name, (Exception,), {}),), {})("of a library")
    assert excused(error, {"reset"}) is is_excused
    assert not excused(error, {"order"}) and not excused(error, set())


def test_an_error_of_the_network_is_a_failure_where_there_is_none():
    assert excused(ConnectionError("the pool is closed"), {"cancel"})
    assert not excused(ConnectionError("the pool is closed"), {"cancel"}, network=False)


def test_an_error_that_was_raised_from_a_faults_error_is_excused():
    error = RuntimeError("the store is away")
    error.__cause__ = ConnectionResetError()
    assert excused(error, {"reset"}) and not excused(error, {"order"})


def test_a_run_that_goes_on_many_times_as_long_as_without_faults_hangs(monkeypatch):
    monkeypatch.setattr("fate.sim.explore.STEPS", 500)
    monkeypatch.setattr("fate.sim.explore.TIMES", 10)
    search = Search(program("restless"), Rules.make("latency"), [])
    found = search.find()
    assert found is not None and found.trouble.kind == "hang" and found.trial.steps == search.steps
    assert found.trouble.message.startswith(f"HangError: the program did not end within {search.steps:,} steps, ")
    kept = keep(program("restless"), search.rules, found, "fate")
    assert kept is not None and kept.trial.steps == search.steps and len(kept.faults) == 1


def test_call_soon_is_shuffled_by_relaxed_alone_and_the_report_says_so():
    assert find("overtaken") is None
    rules = Rules.make("relaxed")
    found = Search(program("overtaken"), rules, []).find()
    assert found is not None and found.trouble.message.startswith("AssertionError: the order was ")
    kept = keep(program("overtaken"), rules, found, "fate")
    assert kept is not None
    assert [describe(fault) for fault in kept.faults] == [
        "the 1st callback of main that had to wait changed places with one 1 before it"
    ]
    assert "Found by --relaxed: on asyncio, callbacks run in the order of call_soon" in report(kept, 1, "")


def test_what_a_cut_network_still_holds_at_the_end_is_not_left_behind():
    cut = Trial(forced=(("partition main->main", 0, 20),))  # for 5 s, at the first message
    assert run(program("late"), Rules.make(), cut).trouble.message == "AssertionError: too late"
    assert run(program("good_bye"), Rules.make(), cut).trouble is None


def test_a_run_of_a_thousand_faults_shrinks_to_one_in_few_runs():
    async def main() -> None:
        left, right = await _pair()
        for number in range(2100):
            left[1].write(b"x" * 10)
            before = asyncio.get_running_loop().time()
            await right[0].readexactly(10)
            assert number != 2050 or asyncio.get_running_loop().time() - before < 0.001, "late"
        for _, writer in (left, right):
            writer.close()

    async def _pair():
        accepted: asyncio.Future = asyncio.get_running_loop().create_future()
        server = await asyncio.start_server(lambda *streams: accepted.set_result(streams), "127.0.0.1", 7)
        left = await asyncio.open_connection("127.0.0.1", 7)
        server.close()
        return left, await accepted

    rules = Rules.make(["latency", "order"])
    forced = tuple(("latency main->main", n, 1 + n % 900) for n in range(2, 2100))
    found = run(Held("main", main), rules, Trial(forced=forced))
    assert found.trouble is not None and len(found.faults()) > 1000
    runs = []

    async def counted() -> None:
        runs.append(1)
        await main()

    least = shrink(Held("main", counted), rules, found)
    assert least is not None and len(least.faults()) == 1 and len(runs) < 60


# -- keeping and telling ----------------------------------------------------------------------------------------------


def kept_late(tmp_path: Path):
    kept = keep(program("late"), Rules.make("latency"), find("late", "latency"), "fate")
    assert kept is not None
    Store(tmp_path).put(kept)
    return kept


def test_what_is_kept_is_read_again_and_fails_in_the_same_way(tmp_path):
    kept = kept_late(tmp_path)
    again = Store(tmp_path).get(kept.id)
    assert again == kept and Store(tmp_path).of("late") == [kept] and Store(tmp_path).of("good") == []
    result, failure = attempt(program("late"), again.rules, again.trial, history=True)
    assert failure is not None and isinstance(failure.error, AssertionError)
    assert lines_of(result.events) == kept.events


def test_a_report_says_what_where_which_faults_and_how_to_replay(tmp_path):
    kept = kept_late(tmp_path)
    lines = report(kept, 12, f"fate replay {kept.id}").splitlines()
    assert len(lines) <= MOST_LINES
    assert lines[0] == "late failed: AssertionError: too late"
    assert lines[1].startswith("  at scenarios.py:") and " in late, " in lines[1]
    assert lines[2:4] == ["It needs this fault:", f"  - {describe(kept.faults[0])}"]
    assert lines[-1] == f"Replay it: fate replay {kept.id}"


def test_a_report_is_never_long():
    found = find("stuck")
    kept = keep(program("stuck"), Rules.make(), found, "fate")
    assert kept is not None
    many = [fault._replace(n=n) for n in range(40) for fault in find("late", "latency").faults()]
    import msgspec

    text = report(msgspec.structs.replace(kept, faults=tuple(many)), 12, "fate replay x")
    assert len(text.splitlines()) <= MOST_LINES and text.endswith("Replay it: fate replay x")


def test_a_report_says_by_which_search_it_was_found(tmp_path):
    rules, found = Rules.make("latency"), find("late", "latency")
    kept = keep(program("late"), rules, found, "fate")
    assert "Found in 12 runs, one fault at a time; fails every time with seed 0." in report(kept, 12, "", found)


def test_a_long_history_is_shown_by_its_beginning_and_its_end():
    lines = [str(number) for number in range(100)]
    assert list(shortened(lines, None)) == list(shortened(lines, 100)) == lines
    assert list(shortened(lines, 4)) == ["0", "1", "... 96 lines left out; --all shows them", "98", "99"]


def test_where_two_runs_part_is_told_with_both_stacks():
    first, second = histories(program("drifting"), Rules.make(None), Trial(), 2)
    lines = difference_in_words(first, second)
    assert lines[0].startswith("The first event that differs is number ")
    for which, seconds in (("first", 1), ("second", 2)):
        start = next(number for number, line in enumerate(lines) if line.startswith(f"  {which} run: {seconds}.0"))
        assert lines[start + 1] == "    main (drifting)"
        assert lines[start + 2].startswith("      at scenarios.py:")
    assert difference_in_words(first, first) == []


def test_a_history_tells_time_host_task_event_cause_and_faults(tmp_path):
    kept = kept_late(tmp_path)
    result, _ = attempt(program("late"), kept.rules, kept.trial, history=True)
    lines = list(history(result.events, result.faults()))
    assert sum("FAULT" in line for line in lines) == 1
    assert any("main       Task-" in line and " serve at scenarios.py:" in line for line in lines)
    assert any("caused by #" in line for line in lines) and any("6 bytes came, main->main" in line for line in lines)


def test_the_first_event_that_differs():
    assert first_difference(["a", "b"], ["a", "b"]) is None
    assert first_difference(["a", "b"], ["a", "c"]) == (1, "b", "c")
    assert first_difference(["a"], ["a", "c"]) == (1, "the end", "c")


@pytest.mark.parametrize("id", ["12345678", "../../etc", "", "zzz"])
def test_an_unknown_id_is_refused(tmp_path, id):
    with pytest.raises(ReplayError, match=r"there is no kept failure .* there are: none"):
        Store(tmp_path).get(id)


def test_a_kept_failure_that_cannot_be_read_is_refused_and_passed_over(tmp_path):
    kept = kept_late(tmp_path)
    Store(tmp_path).put(kept).write_text("{")
    with pytest.raises(ReplayError, match="remove it and explore again"):
        Store(tmp_path).get(kept.id)
    assert Store(tmp_path).of("late") == []


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bank.py", "FILE::function"),
        ("::main", "FILE::function"),
        (f"{FILE}::", "FILE::function"),
        ("nowhere.py::main", "there is no file nowhere.py"),
        (f"{FILE}::nobody", "no function 'nobody'"),
        (f"{FILE}::not_async", "async function"),
        (f"{FILE}::number", "async function"),
    ],
)
def test_what_cannot_be_explored_is_refused(text, message):
    with pytest.raises(ScenarioError, match=message):
        Program.parse(text).load()


def test_a_file_that_cannot_be_imported_says_where(tmp_path):
    (tmp_path / "broken.py").write_text("\n1 / 0\n")
    with pytest.raises(ScenarioError, match=r"ZeroDivisionError: division by zero \(at .*broken.py:2\)"):
        Program(str(tmp_path / "broken.py"), "main").load()


@pytest.mark.parametrize("seed", [1.5, "7", None, True])
def test_a_seed_that_is_not_an_integer_is_refused(seed):
    with pytest.raises(ScenarioError, match="seed"):
        Search(program("good"), Rules.make(), [seed])
