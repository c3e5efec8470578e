"""Fate's Deferreds pass every test of Deferreds that Twisted has.

`twisted_deferred.py` beside this file runs them and can be run by hand.
"""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("twisted_deferred.py")


@pytest.mark.timeout(300)
def test_fates_deferreds_pass_twisteds_tests() -> None:
    run = subprocess.run([sys.executable, str(PROGRAM)], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        pytest.fail(f"{run.stdout}{run.stderr}", pytrace=False)
    print(run.stdout)
