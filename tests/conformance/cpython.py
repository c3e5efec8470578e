"""CPython's own tests of asyncio, `test.test_asyncio`, on stock asyncio's selector loop and on another.

    python tests/conformance/cpython.py [--universe] [--loop fate:Fate] [--json FILE] [--only PATTERN] [-v]

The tests are those of the running interpreter. Stock asyncio runs all of them and shows which ones make a loop;
these the loop under test must pass too, save those in `cpython_exclusions.py`. With --universe: the tests of
transports, and each runs in a universe of its own. Exit code 0 says so, 1 the contrary,
2 that there is nothing to run. The last line counts the loop under test; what fails and what breaks off is one there.

Here is the comparison. `cpython_worker.py` runs a module, in a process of its own: a test that hangs or crashes
costs only itself.
"""

import argparse
import fnmatch
import importlib.util
import json
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cpython_exclusions import EXCLUSIONS, IN_UNIVERSES, INSIDES, Exclusion

STOCK = "asyncio:SelectorEventLoop"
WORKER = Path(__file__).with_name("cpython_worker.py")
SLOWEST_FIRST = ("test_tasks", "test_subprocess", "test_ssl", "test_events", "test_sslproto", "test_locks")
OUTCOMES = ("passed", "failed", "error", "skipped")
UNIVERSE = "universe_loop:make"
OF_TRANSPORTS = (
    "test_streams",
    "test_sock_lowlevel",
    "test_server",
    "test_ssl",
    "test_sslproto",
    "test_buffered_proto",
    "test_sendfile",
)
SHOWN = 50  # a loop that cannot even start fails hundreds of tests for one reason


@dataclass
class Verdict:
    """What became of one test on one loop; `made` is how many loops it asked for."""

    outcome: str
    detail: str = ""
    made: int = 0
    seconds: float = 0.0


@dataclass
class Run:
    """What became of all tests on one loop.

    `repeats` are left out, for they are others' with one more selector; the processes of the modules in `broken` ended
    while no test ran, and what these say last is there too.
    """

    loop: str
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    repeats: set[str] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def counts(self, tests: Iterable[str]) -> str:
        counts = Counter(self.verdicts[test].outcome for test in tests)
        return ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES)


@dataclass
class Comparison:
    """The tests that make a loop, and among them those that decide about the exit code."""

    counted: list[str]
    lost: list[str]
    excluded: dict[str, str]
    needless: list[str]
    unmatched: list[str]
    broken: list[str]

    @property
    def good(self) -> bool:
        return bool(self.counted) and not (self.lost or self.needless or self.unmatched or self.broken)


def modules() -> list[str]:
    """The names of the test modules of the running interpreter, those that take longest first."""
    try:
        spec = importlib.util.find_spec("test.test_asyncio")
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.submodule_search_locations is None:
        return []
    names = [info.name for info in pkgutil.iter_modules(spec.submodule_search_locations)]
    slow = {name: place for place, name in enumerate(SLOWEST_FIRST)}
    return sorted((name for name in names if name.startswith("test_")), key=lambda name: slow.get(name, len(slow)))


class ModuleRun:
    """One module on one loop: as many processes, one after the other, as its hanging and crashing tests require.

    `only` are the wanted tests; without it, those that match the pattern are.
    """

    def __init__(self, loop: str, module: str, only: list[str] | None, settings: argparse.Namespace) -> None:
        self.loop, self.module, self.only = loop, module, only
        self.limit, self.pattern = settings.limit, settings.only or "*"
        self.verdicts: dict[str, Verdict] = {}
        self.repeats: set[str] = set()
        self.broken = ""

    def run(self) -> "ModuleRun":
        with tempfile.TemporaryDirectory(prefix="cpython-tests-") as folder:
            while (died := self.once(Path(folder))) is not None:
                running, trouble = died
                if running is None:
                    self.broken = trouble
                    break
                self.verdicts[running] = Verdict("error", trouble, made=1)
        for test in self.only or ():
            self.verdicts.setdefault(test, Verdict("error", self.broken or "the test did not run"))
        return self

    def once(self, folder: Path) -> tuple[str | None, str] | None:
        """Run what has no verdict yet; return the test during which the process died, and its last words."""
        results, words = folder / "results", folder / "output"
        results.write_text("")
        job = {
            "loop": self.loop,
            "module": self.module,
            "only": self.only,
            "pattern": self.pattern,
            "leave": list(self.verdicts),
            "limit": self.limit,
            "results": str(results),
        }
        with words.open("w") as output:
            process = subprocess.Popen(
                # -P: this folder must not hide other people's modules.
                [sys.executable, "-P", str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                start_new_session=True,
                text=True,
            )
            process.communicate(json.dumps(job))
            with suppress(ProcessLookupError):  # what the tests started and left behind
                os.killpg(process.pid, signal.SIGKILL)
        running = self.read(results)
        if process.returncode == 0:
            return None
        said = words.read_text(errors="replace").splitlines()[-60:] or ["nothing said"]
        cause = next((line for line in said if line.startswith(("Timeout (", "Fatal Python error"))), said[-1])
        timed_out = cause.startswith("Timeout (")
        end = f"took longer than {self.limit:g} s" if timed_out else f"exit code {process.returncode}: {cause}"
        return running, "\n".join([*said, end])

    def read(self, results: Path) -> str | None:
        """Take over the verdicts; return the test that started and did not end."""
        running = None
        for line in results.read_text().splitlines():
            record: dict[str, Any] = json.loads(line)
            kind, test = record.pop("kind"), record.pop("test")
            if kind == "start":
                running = test
            elif kind == "end":
                running = None
                self.verdicts[test] = Verdict(**record)
            elif kind == "repeat":
                self.repeats.add(test)
            elif kind == "fixture":
                self.verdicts[test] = Verdict("error", record["detail"], made=1)
        return running


def run_all(loop: str, only: dict[str, list[str] | None], settings: argparse.Namespace) -> Run:
    """Run modules, a few at a time; `only` maps each to its wanted tests, None for all."""
    total = Run(loop)
    since = time.monotonic()
    with ThreadPoolExecutor(settings.jobs) as pool:
        waiting = [pool.submit(ModuleRun(loop, module, tests, settings).run) for module, tests in only.items()]
        try:
            for future in waiting:
                done = future.result()
                total.verdicts |= done.verdicts
                total.repeats |= done.repeats
                if done.broken:
                    total.broken[done.module] = done.broken
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    total.seconds = time.monotonic() - since
    return total


def compare(stock: Run, other: Run, exclusions: Iterable[Exclusion], whole: bool) -> Comparison:
    counted = sorted(test for test, verdict in stock.verdicts.items() if verdict.made)
    fine = {test for test in counted if other.verdicts[test].outcome == "passed"}
    excluded: dict[str, str] = {}
    unmatched = []
    for exclusion in exclusions:
        if exclusion.pythons and sys.version_info[:2] not in exclusion.pythons:
            continue
        matched = fnmatch.filter(counted, exclusion.pattern)
        excluded |= dict.fromkeys(matched, exclusion.reason)
        if whole and not matched:
            unmatched.append(exclusion.pattern)
    lost = [
        test
        for test in counted
        if stock.verdicts[test].outcome == "passed" and test not in fine and test not in excluded
    ]
    broken = [
        f"{module} on {run.loop}: {words.splitlines()[-1]}"
        for run in (stock, other)
        for module, words in run.broken.items()
    ]
    return Comparison(counted, lost, excluded, sorted(fine & excluded.keys()), unmatched, broken)


def last_words(verdict: Verdict) -> str:
    lines = verdict.detail.strip().splitlines()
    return f"{verdict.outcome}: {lines[-1] if lines else ''}"


def report(stock: Run, other: Run, result: Comparison, verbose: bool) -> None:
    version = ".".join(map(str, sys.version_info[:3]))
    never = len(stock.verdicts) - len(result.counted)
    public = [test for test in result.counted if not any(fnmatch.fnmatch(test, inside) for inside in INSIDES)]
    print(f"test.test_asyncio of CPython {version}: {len(result.counted)} tests make a loop,")
    print(f"{never} never made a loop, {len(stock.repeats)} repeat others with one more selector")
    for run in (stock, other):
        print(f"{run.loop}: {run.counts(result.counted)} ({run.seconds:.0f} s)")
        print(f"  without asyncio's own insides: {run.counts(public)}")
    for test in result.counted:
        if stock.verdicts[test].outcome in ("failed", "error"):
            print(f"stock asyncio itself: {test}: {last_words(stock.verdicts[test])}")
    for words in result.broken:
        print(f"the process ended before its tests did: {words}")
    for test in result.lost if verbose else result.lost[:SHOWN]:
        print(f"stock passes, {other.loop} does not: {test}: {last_words(other.verdicts[test])}")
        if verbose:
            print(other.verdicts[test].detail)
    if len(result.lost) > SHOWN and not verbose:
        print(f"... and {len(result.lost) - SHOWN} more; -v shows all, --json keeps them")
    for test, reason in result.excluded.items():
        print(f"excluded: {test}: {reason}")
    for test in result.needless:
        print(f"no longer needs to be excluded: {test}")
    for pattern in result.unmatched:
        print(f"excluded, but matches no test: {pattern}")
    print(summary(other, result))


def summary(other: Run, result: Comparison) -> str:
    counts = Counter(other.verdicts[test].outcome for test in result.counted if test not in result.excluded)
    line = f"{counts['passed']} passed, {counts['failed'] + counts['error']} failed, {counts['skipped']} skipped"
    return line + (f", {len(result.excluded)} excluded" if result.excluded else "")


def save(path: Path, stock: Run, other: Run, result: Comparison) -> None:
    tests = {
        test: {"stock": asdict(stock.verdicts[test]), "loop": asdict(other.verdicts[test])} for test in result.counted
    }
    head = {"python": sys.version.split()[0], "loop": other.loop, "good": result.good, "lost": result.lost}
    path.write_text(json.dumps({**head, "excluded": result.excluded, "tests": tests}, indent=1))


def by_module(tests: Iterable[str]) -> dict[str, list[str] | None]:
    grouped: dict[str, list[str]] = {}
    for test in tests:
        grouped.setdefault(test.partition(".")[0], []).append(test)
    return {module: grouped[module] for module in modules() if module in grouped}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPython's tests of asyncio, on stock asyncio and on another loop.")
    parser.add_argument("--loop", default="fate:Fate", metavar="MODULE:ATTR", help="what makes the loop under test")
    parser.add_argument("--universe", action="store_true", help="the tests of transports, each in a universe")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the verdict on each test")
    parser.add_argument("--only", metavar="PATTERN", help="only tests whose id matches, e.g. 'test_events.*pipe*'")
    parser.add_argument("--no-exclusions", action="store_true", help="count the excluded tests like all others")
    parser.add_argument("--limit", type=float, default=60.0, metavar="SECONDS", help="the time one test may take")
    parser.add_argument("--jobs", type=int, default=3, help="modules at a time; most of the time they wait")
    parser.add_argument("-v", "--verbose", action="store_true", help="print tracebacks")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    names = [name for name in modules() if not options.universe or name in OF_TRANSPORTS]
    exclusions = IN_UNIVERSES if options.universe else EXCLUSIONS
    if options.universe:
        options.loop = UNIVERSE
    if not names:
        print("this interpreter ships no test.test_asyncio")
        return 2
    everything: dict[str, list[str] | None] = dict.fromkeys(names)
    stock = run_all(STOCK, everything, options)
    counted = [test for test, verdict in stock.verdicts.items() if verdict.made]
    other = run_all(options.loop, by_module(counted), options)
    result = compare(stock, other, () if options.no_exclusions else exclusions, whole=not options.only)
    report(stock, other, result, options.verbose)
    if options.json:
        save(options.json, stock, other, result)
    return 0 if result.good else 1


if __name__ == "__main__":
    sys.exit(main())
