"""Fate passes every test of CPython's `test.test_asyncio` that makes a loop and that stock asyncio passes here.

The suite is that of the running interpreter; `cpython.py` beside this file runs it and can be run by hand.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("cpython.py")


def ships_asyncio_tests() -> bool:
    try:
        return importlib.util.find_spec("test.test_asyncio") is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.skipif(not ships_asyncio_tests(), reason="this interpreter ships no test.test_asyncio (Debian's does not)")
@pytest.mark.timeout(300)
def test_universes_pass_what_stock_asyncio_passes_of_sockets() -> None:
    arguments = [sys.executable, str(PROGRAM), "--universe", "--only", "test_sock_lowlevel.*"]  # all: make conformance
    run = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        pytest.fail(f"{run.stdout}{run.stderr}", pytrace=False)


@pytest.mark.skipif(not ships_asyncio_tests(), reason="this interpreter ships no test.test_asyncio (Debian's does not)")
@pytest.mark.timeout(900)
def test_fate_passes_what_stock_asyncio_passes() -> None:
    run = subprocess.run([sys.executable, str(PROGRAM)], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        pytest.fail(f"{run.stdout}{run.stderr}", pytrace=False)
    print(run.stdout)
