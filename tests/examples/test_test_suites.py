"""The ways to run a test suite on Fate that `docs/howto/test_suites.md` shows: each as it stands there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from .conftest import DOCS, Start

PAGE = (DOCS / "howto" / "test_suites.md").read_text()
KIND = "print('loop:', type(asyncio.get_running_loop()).__name__)"
ASYNC = """
import asyncio, pytest
@pytest.mark.{plugin}
async def test_it():
    """


def block(holding: str) -> str:
    """The first program of the page with `holding` in it."""
    return next(body for body in re.findall(r"^```py\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) if holding in body)


WAYS = {
    "fate run": ("", "asyncio", ["Fate"]),
    "the hook": ("def pytest_asyncio_loop_factories", "asyncio", ["Fate"]),
    "the hook, twice": ('"asyncio": asyncio.new_event_loop', "asyncio", ["Fate", "_UnixSelectorEventLoop"]),
    "the policy": ("def event_loop_policy", "asyncio", ["Fate"]),
    "anyio": ("def anyio_backend", "anyio", ["Fate"]),
}


@pytest.mark.parametrize("way", WAYS)
def test_pytest(start: Start, tmp_path: Path, way: str) -> None:
    holding, plugin, kinds = WAYS[way]
    (tmp_path / "conftest.py").write_text(block(holding) if holding else "")
    (tmp_path / "test_it.py").write_text(ASYNC.format(plugin=plugin) + KIND)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    run = [] if holding else ["-m", "fate", "run"]
    done = start(*run, "-m", "pytest", "-qsp", "no:cacheprovider", python=[sys.executable]).end()
    assert done.code == 0, done.out
    assert sorted(re.findall(r"loop: (\w+)", done.out)) == kinds


@pytest.mark.parametrize("run", ["python", "fate run"])
def test_unittest(start: Start, tmp_path: Path, run: str) -> None:
    case = block("IsolatedAsyncioTestCase") + f"    async def test_it(self):\n        import asyncio\n        {KIND}\n"
    runner = f"import asyncio\nasync def transfer():\n    {KIND}\n" + block("asyncio.Runner")
    (tmp_path / "test_it.py").write_text(case + runner.replace("TestBank", "TestTransfer"))
    done = start(*(["-m", "fate", "run"] if run != "python" else []), "-m", "unittest", python=[sys.executable]).end()
    assert done.code == 0, done.err
    named = run == "fate run" or sys.version_info >= (3, 13)
    assert re.findall(r"loop: (\w+)", done.out) == ["Fate" if named else "_UnixSelectorEventLoop", "Fate"]
