"""A short torture of a loop: no crash, no hang, no difference from the model. ``make torture`` is the long one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fate

ROOT = Path(__file__).parents[2]
BATCHES = (
    4 if fate.compiled else 1
)  # the same everywhere: what a faster machine would try besides is for `make torture`


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="its pipes, signals and descriptors are Linux's")
@pytest.mark.timeout(300)
def test_a_loop_survives_whatever_is_done_to_it_and_does_what_the_model_says() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.torture", "--seconds=200", f"--batches={BATCHES}", "--first"],
        cwd=ROOT,
        env={**os.environ, "PYTHONMALLOC": "debug"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " 0 examples" not in f" {done.stdout}"
