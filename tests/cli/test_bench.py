"""`fate bench` measures loops side by side, and says what it measured."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import ClassVar

import msgspec
import pytest

import fate
from fate.cli.bench import BATCH, JOBS, LOOPS, Report, measure

from .conftest import Workshop


class Counting(asyncio.SelectorEventLoop):
    """Counts what a job asks of it."""

    asked: ClassVar[Counter[str]] = Counter()

    def call_soon(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        self.asked["call_soon"] += 1
        return super().call_soon(*args, **kwargs)

    def call_later(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        self.asked["call_later"] += 1
        return super().call_later(*args, **kwargs)

    def call_soon_threadsafe(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        self.asked["call_soon_threadsafe"] += 1
        return super().call_soon_threadsafe(*args, **kwargs)

    def close(self) -> None:
        self.asked["close"] += 1
        super().close()


@pytest.fixture
def asked() -> Counter[str]:
    Counting.asked = Counter()
    return Counting.asked


def test_fate_and_asyncio_are_always_measured(workshop: Workshop) -> None:
    done = workshop.fate("bench", "--quick", "--repetitions", "2", "--json")
    assert (done.code, done.err) == (0, "")
    report = msgspec.json.decode(done.out, type=Report)
    assert report.compiled is fate.compiled
    assert report.repetitions == 2
    assert {"fate", "asyncio"} <= set(report.versions) <= set(LOOPS)
    assert [row.job for row in report.rows] == list(JOBS)
    for row in report.rows:
        assert set(row.cost) == set(report.versions)
        assert all(cost > 0 for cost in row.cost.values())
        assert set(row.ratio) == set(report.versions) - {"asyncio"}


def test_a_person_reads_a_table(workshop: Workshop) -> None:
    done = workshop.fate("bench", "--quick", "--repetitions", "1", "--loop", "asyncio")
    assert (done.code, done.err) == (0, "")
    head, *rows = done.out.splitlines()[: 1 + len(JOBS)]
    assert head.split()[-2:] == ["fate", "asyncio"]
    assert all(row.startswith(job) for row, job in zip(rows, JOBS, strict=True))


def test_a_loop_that_is_not_installed_is_named(workshop: Workshop) -> None:
    done = workshop.fate("bench", "--loop", "loop-of-nobody")
    assert done.code == 2
    assert "not installed here: loop-of-nobody" in done.err


@pytest.mark.parametrize(
    ("job", "call", "least"),
    [
        ("call_soon, 1000 then drain", "call_soon", 10 * BATCH),
        ("call_soon, a chain of one", "call_soon", 5000),
        ("call_later + cancel", "call_later", 5000),
        ("call_soon_threadsafe, another thread", "call_soon_threadsafe", 5000),
        ("create_task + await", "call_soon", 2000),
    ],
)
def test_a_job_asks_the_loop_as_often_as_its_cost_is_divided_by(
    job: str, call: str, least: int, asked: Counter[str]
) -> None:
    assert measure(job, Counting, 0.1) > 0
    assert asked[call] >= least
    assert asked["close"] == 1


def test_the_echo_job_compares_every_echo(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def garbled(self, data: bytes) -> None:  # type: ignore[no-untyped-def]
        self.write(bytes(len(data)))

    monkeypatch.setattr("fate.cli.bench.Echo.data_received", garbled)
    with pytest.raises(Exception, match="clients of the echo server failed"):
        measure("protocol echo, 1 KiB, 50 connections", asyncio.SelectorEventLoop, 0.01)
    assert "an echo is not what was sent" in capfd.readouterr().err
