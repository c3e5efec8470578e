"""`@pytest.mark.universe`: async tests in many universes, beside the plugins that people have.

Each test writes a small suite and runs it in a pytest of its own, as a user would.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

Suite = Callable[..., "Done"]


@dataclass
class Done:
    """How a pytest ended."""

    code: int
    out: str

    def has(self, *patterns: str) -> bool:
        """Whether each regular expression is found in the output."""
        for pattern in patterns:
            assert re.search(pattern, self.out), f"no {pattern!r} in\n{self.out}"
        return True


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """Write a file of tests (None: leave it) and run pytest on it."""

    def run(source: str | None, *words: str) -> Done:
        if source is not None:
            (tmp_path / "test_it.py").write_text("import asyncio, random, pytest\n" + textwrap.dedent(source))
        scope = "" if "no:asyncio" in words else "asyncio_default_fixture_loop_scope = function\n"
        (tmp_path / "pytest.ini").write_text(f"[pytest]\naddopts = --strict-markers\n{scope}")
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "FATE"))}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", *words],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        return Done(done.returncode, done.stdout + done.stderr)

    return run


UNLUCKY = """
@pytest.mark.universe
async def test_luck():
    print("drawing")
    await asyncio.sleep(3600)
    assert random.random() < 0.95, "bad luck"
"""


def test_a_failing_test_prints_its_report_and_is_replayed(suite: Suite, tmp_path: Path) -> None:
    done = suite(UNLUCKY)
    assert done.code == 1
    done.has(
        r"by fate call",
        r"test_it.py::test_luck failed: AssertionError: bad luck",
        r"at test_it.py:\d+ in test_luck, 3600",
        r"It needs no fault",
        r"E       AssertionError: bad luck",
        r"1 failed",
    )
    assert done.out.count("drawing") <= 3  # the source in the traceback, and the output of one run
    [kept] = (tmp_path / ".fate").iterdir()
    done.has(rf"Replay it: pytest test_it.py::test_luck --fate-replay {kept.stem}")
    again = suite(None, "test_it.py::test_luck", "--fate-replay", kept.stem)
    assert again.code == 1 and again.has(r"caused by #", "bad luck")
    assert "has changed" not in again.out
    words = [sys.executable, "-m", "fate", "replay", kept.stem]
    by_fate = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert by_fate.returncode == 1 and "caused by #" in by_fate.stdout and "1 failed" in by_fate.stdout
    suite(UNLUCKY.replace("print", "await asyncio.sleep(1); print"), "--collect-only")
    changed = suite(None, "--fate-replay", kept.stem)
    assert changed.has("the program has changed since", r"The first event that differs is number \d+")


def test_seeds_are_chosen_on_the_command_line(suite: Suite) -> None:
    assert suite(UNLUCKY, "--fate-seeds", "1").has("1 passed")
    one = suite(UNLUCKY)
    seed = re.search(r"with seed (\d+)", one.out)
    found = suite(None, "--fate-seed", "3")
    assert found.has("1 passed|with seed 3")
    assert one.code == 1 and (seed is not None or "without faults" in one.out)
    wrong = suite(None, "--fate-seed", "many")
    assert wrong.code == 4 and wrong.has("invalid int value: 'many'")


def test_the_race_of_a_test_is_found_by_a_fault(suite: Suite) -> None:
    done = suite("""
        @pytest.mark.universe(seeds=5, faults=["latency"])
        async def test_echo():
            async def serve(reader, writer):
                writer.write(await reader.readline())
                writer.close()
            server = await asyncio.start_server(serve, "127.0.0.1", 7)
            reader, writer = await asyncio.open_connection("127.0.0.1", 7)
            before = asyncio.get_running_loop().time()
            writer.write(b"hello\\n")
            await reader.readline()
            assert asyncio.get_running_loop().time() - before < 0.02
            writer.close()
            server.close()
    """)
    assert done.code == 1
    done.has(r"It needs this fault", r"the \d\w\w message from main to main came [\d.]+ ms late")


def test_fixtures_parameters_classes_and_skips_work(suite: Suite) -> None:
    done = suite("""
        @pytest.fixture
        def number():
            return 7

        @pytest.mark.universe(seeds=3)
        class TestMany:
            @pytest.mark.parametrize("more", [1, 2])
            async def test_sum(self, number, more, tmp_path):
                await asyncio.sleep(1)
                assert number + more in (8, 9) and tmp_path.exists()

            async def test_skip(self):
                pytest.skip("not today")
    """)
    assert done.code == 0 and done.has("2 passed, 1 skipped")


def test_other_plugins_keep_their_tests(suite: Suite) -> None:
    source = """
        import anyio, pytest_asyncio
        from fate import sim

        @pytest_asyncio.fixture
        async def real():
            await asyncio.sleep(0)
            return 5

        async def test_asyncio(real):
            with pytest.raises(Exception, match="real world"):
                sim.current()

        @pytest.mark.anyio
        async def test_anyio(anyio_backend_name):
            await anyio.sleep(0)

        @pytest.mark.universe(seeds=2)
        async def test_universe(real):
            await anyio.sleep(1000)
            assert sim.current().now >= 1000 and real == 5
    """
    done = suite(source, "-o", "asyncio_mode=auto")
    assert done.code == 0 and done.has("passed")
    alone = suite(UNLUCKY, "-p", "no:asyncio", "-p", "no:anyio", "--fate-seeds", "1")
    assert alone.has("1 passed")


def test_xdist_shares_the_tests_out(suite: Suite) -> None:
    done = suite(UNLUCKY + UNLUCKY.replace("test_luck", "test_more").replace("0.95", "2"), "-n", "2")
    assert done.code == 1 and done.has("1 failed, 1 passed", "Replay it: pytest test_it.py::test_luck --fate-replay")


def test_failures_are_allowed_by_name(suite: Suite) -> None:
    source = """
        @pytest.mark.universe(seeds=1, allow=["exception:LookupError", "leftover:waiter"])
        async def test_it():
            test_it.kept = asyncio.create_task(asyncio.sleep(10), name="waiter")

        @pytest.mark.universe(seeds=1, allow="leftover:another")
        async def test_other():
            test_it.kept = asyncio.create_task(asyncio.sleep(10), name="waiter")
    """
    assert suite(source).has("1 failed, 1 passed", "left behind: task waiter")


@pytest.mark.parametrize(
    ("mark", "function", "message"),
    [
        ("", "def test_it(): pass", "it is not async: write `async def`"),
        ("(10)", "async def test_it(): pass", "takes seeds, faults, limit, allow, strict by name, not 10"),
        ("(seed=10)", "async def test_it(): pass", "by name, not seed"),
        ("(seeds='ten')", "async def test_it(): pass", "are a number or integers, not 'ten'"),
        ("(seeds=[1.5])", "async def test_it(): pass", "a seed is an integer, not 1.5"),
        ("(seeds=-1)", "async def test_it(): pass", "cannot be negative: -1"),
        ("(faults=['rain'])", "async def test_it(): pass", "there is no fault 'rain'"),
        ("(allow='rain')", "async def test_it(): pass", "there is no failure 'rain'"),
    ],
)
def test_a_wrong_mark_is_refused(suite: Suite, mark: str, function: str, message: str) -> None:
    done = suite(f"@pytest.mark.universe{mark}\n{function}\n")
    assert done.code == 1 and done.has("ScenarioError: .*" + re.escape(message))


def test_an_unknown_id_is_refused(suite: Suite) -> None:
    done = suite(UNLUCKY, "--fate-replay", "12345678")
    assert done.code == 1 and done.has("ReplayError: there is no kept failure '12345678'")


def test_what_has_no_exception_fails_with_a_report(suite: Suite) -> None:
    done = suite("""
        @pytest.mark.universe(seeds=1)
        async def test_it():
            task = asyncio.create_task(asyncio.sleep(1000), name="forgotten")
            await asyncio.sleep(0)
    """)
    assert done.code == 1 and done.has("FailedRunError: left behind: task forgotten", "Replay it: ")
