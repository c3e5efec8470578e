"""What a fault excuses: sound programs have no failure, and a mistake cannot hide behind a fault."""

from __future__ import annotations

import pytest

from fate.sim.explore import Search
from fate.sim.programs import Held
from fate.sim.trial import Rules

from .buggy_programs import BUGGY
from .sound_programs import SOUND

SEEDS = 40


@pytest.mark.parametrize("program", SOUND, ids=lambda program: program.__name__)
def test_nothing_is_found_in_a_sound_program(program):
    found = Search(Held(program.__name__, program), Rules.make(), range(SEEDS)).find()
    assert found is None, (found.trouble, found.faults())


@pytest.mark.parametrize("program", BUGGY, ids=lambda program: program.__name__)
def test_a_mistake_is_found_also_where_it_looks_like_a_faults_own_error(program):
    found = Search(Held(program.__name__, program), Rules.make(), range(SEEDS)).find()
    assert found is not None and found.trouble is not None
    assert found.trouble.error == BUGGY[program], found.trouble
