"""What a fault excuses: sound programs have no failure, and a mistake cannot hide behind a fault."""

from __future__ import annotations

import asyncio

import pytest

from fate.sim.explore import Search
from fate.sim.programs import Held
from fate.sim.report import history
from fate.sim.trial import Rules, Trial, attempt

from .buggy_programs import BUGGY
from .sound_programs import SOUND

SEEDS = 20


@pytest.mark.parametrize("program", SOUND, ids=lambda program: program.__name__)
def test_nothing_is_found_in_a_sound_program(program):
    found = Search(Held(program.__name__, program), Rules.make(), range(SEEDS)).find()
    assert found is None, (found.trouble, found.faults())


@pytest.mark.parametrize("program", BUGGY, ids=lambda program: program.__name__)
def test_a_mistake_is_found_also_where_it_looks_like_a_faults_own_error(program):
    found = Search(Held(program.__name__, program), Rules.make(), range(SEEDS)).find()
    assert found is not None and found.trouble is not None
    assert found.trouble.error == BUGGY[program], found.trouble


async def hand_over() -> None:
    """A task waits from the beginning on, for what comes after a second."""
    loop = asyncio.get_running_loop()
    coming: asyncio.Future[None] = loop.create_future()
    loop.call_later(1, coming.set_result, None)

    async def wait() -> None:
        await coming

    task = asyncio.create_task(wait(), name="patient")
    await asyncio.wait([task])
    assert not task.cancelled()


def test_a_hand_off_is_told_where_it_strikes_with_the_others_and_the_tasks_name():
    trial = Trial(forced=(("cancel wait", 0, 2),))
    result, failure = attempt(Held("hand_over", hand_over), Rules.make("cancel"), trial, history=True)
    assert failure is not None
    [fault] = result.faults()
    assert fault.when > 999_000_000 and fault.note.endswith("(it is called patient)")
    lines = list(history(result.events, result.faults()))
    at = next(number for number, line in enumerate(lines) if "FAULT" in line)
    assert " patient " in lines[at - 1] and lines[at - 1].strip().startswith("1.0")
    assert "meanwhile main at test_excuses.py:" in lines[at + 1]


def test_what_an_asyncio_function_makes_for_the_program_can_be_cancelled_unless_it_is_spared():
    from fate.sim.faults import Faults

    async def main() -> None:
        await asyncio.gather(asyncio.sleep(1))

    def labels(faults: object) -> set[str]:
        found = Search(Held("main", main), Rules.make(faults), []).program
        result, _ = attempt(found, Rules.make(faults), Trial())
        return {decision.label for decision in result.decisions}

    assert labels(Faults(["cancel"])) == {"cancel sleep, unbegun", "cancel sleep"}
    assert labels(Faults(["cancel"], spared=["sl*"])) == set()
