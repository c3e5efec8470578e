"""What a run of the benchmarks says of its own figures: paired ratios, targets, noise."""

from __future__ import annotations

from benchmarks.peers import COMPETITORS, PEERS
from benchmarks.registry import AsCheapAsAny, AtMost, Group, Row, Times
from benchmarks.report import report
from benchmarks.runner import Cell
from benchmarks.summary import Line, Verdict, summarise

CHOSEN = [peer for peer in PEERS if peer.name in ("uvloop", "rloop", "fate", "c")]
DESCRIBED: dict[str, dict[str, object]] = {peer.name: {} for peer in CHOSEN}


def line(*targets: Times | AtMost | AsCheapAsAny, **values: list[float | None]) -> Line:
    row = Row("echo", "echo", "µs", Group.NETWORK, lambda bench: 0.0, targets)
    return summarise(row, {name: Cell(found) for name, found in values.items()}, CHOSEN)


def verdict(*targets: Times | AtMost | AsCheapAsAny, **values: list[float | None]) -> Verdict:
    (only,) = line(*targets, **values).verdicts
    return only


def test_ratios_are_taken_inside_a_repetition() -> None:
    """The machine was twice as slow from the second repetition on; the loops' ratio was not."""
    found = line(uvloop=[6.0, 12.0, 12.0], fate=[5.0, 10.0, 10.0]).figures["fate"]
    assert (found.ratio, found.noisy) == (1.2, False)


def test_the_first_is_nobodys_second() -> None:
    first = verdict(AsCheapAsAny(), uvloop=[6.0], rloop=[5.0], c=[3.0], fate=[4.0])
    assert (first.met, first.found, first.asked) == (True, 1.25, "first; next rloop")


def test_one_cheaper_peer_is_enough_to_miss_being_first() -> None:
    second = verdict(AsCheapAsAny(), uvloop=[6.0], rloop=[3.0], fate=[4.0])
    assert (second.met, second.found) == (False, 0.75)


def test_a_ceiling_is_no_competitor() -> None:
    assert "c" not in COMPETITORS
    assert "floor" not in COMPETITORS
    assert "fate" not in COMPETITORS


def test_what_could_not_be_measured_is_neither_met_nor_missed() -> None:
    assert verdict(AsCheapAsAny(), fate=[4.0]).met is None
    assert verdict(Times(1.1), uvloop=[None], fate=[4.0]).met is None
    assert verdict(AtMost(850), fate=[None]).met is None


def test_a_noisy_run_says_that_it_is_not_to_be_quoted() -> None:
    noisy = [line(uvloop=[6.0, 9.0, 5.0], fate=[5.0, 3.0, 8.0])]
    calm = [line(uvloop=[6.0, 6.1, 6.0], fate=[5.0, 5.0, 5.1])]
    assert "TOO NOISY TO QUOTE: 2 of 2 figures" in report(noisy, CHOSEN, DESCRIBED)
    assert "TOO NOISY" not in report(calm, CHOSEN, DESCRIBED)


def test_the_report_names_what_did_not_install_and_who_asked() -> None:
    row = Row("web", "a web server", "µs", Group.NETWORK, lambda bench: 0.0)
    cell = Cell([5.0], [{"client": "wrk", "requests_per_second": 1234.0}])
    text = report(
        [summarise(row, {"fate": cell}, CHOSEN)], CHOSEN, DESCRIBED | {"rloop": {"problem": "No module named 'rloop'"}}
    )
    assert "rloop: No module named 'rloop'" in text
    assert "a web server: asked by wrk." in text
    assert "1.23" in text
