"""Test suites of other projects, on stock asyncio and on Fate, test by test.

    python tests/conformance/others.py --suite tornado [--only TEXT] [--json FILE] [-v]

Each suite comes from its source distribution (``other_suites.py``) and runs in a virtual environment of its own,
``.venv-others/NAME``, with the servers that it needs on the loopback. What stock asyncio passes on this machine Fate
must pass too; exit code 0 says so, 1 the contrary, 2 that a suite could not be run. A test that only Fate fails is run
twice more on both: one that then behaves alike on both is called unsteady and not counted.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from other_services import Missing, service
from other_suites import SUITES, Suite

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".venv-others"
PLUGIN = Path(__file__).with_name("other_plugin.py")
STOCK, FATE = "asyncio:SelectorEventLoop", "fate:Fate"
STOCK_CLASS, FATE_CLASS = "_UnixSelectorEventLoop", "Fate"
PYTEST = ("pytest>=9", "pytest-timeout>=2.4")
OUTCOMES = ("passed", "failed", "error", "skipped")
ATTEMPTS = 20
AGAIN = 2


@dataclass
class Verdict:
    """What became of one test, and how many loops it made."""

    outcome: str
    detail: str = ""
    loops: int = 0


@dataclass
class Run:
    """What became of a suite on one loop; `broken` tells of each file that could not be collected, or "pytest"."""

    loop: str
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def summary(self) -> str:
        counts = Counter(verdict.outcome for verdict in self.verdicts.values())
        return ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES)


def python_of(suite: Suite) -> Path:
    return HOME / suite.name / "bin" / "python"


def prepare(suite: Suite) -> Path:
    """Make the suite's environment, with this checkout's Fate, and return the folder of its unpacked sources."""
    python, stamp = python_of(suite), HOME / suite.name / "made.json"
    wanted = [sys.version, suite.requirement, *suite.requirements]
    if not stamp.exists() or json.loads(stamp.read_text()) != wanted:
        print(f"setting up {suite.name}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(HOME / suite.name)], check=True)
        pip(python, "install", suite.requirement, *PYTEST, *suite.requirements)
        stamp.write_text(json.dumps(wanted))
    pip(python, "install", "--force-reinstall", "--no-deps", str(fate_wheel(python)))
    pip(python, "install", "click", "msgspec")
    return sources(suite, python)


def pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", arguments[0], "--quiet", "--disable-pip-version-check", *arguments[1:]]
    subprocess.run(command, check=True)


def fate_wheel(python: Path) -> Path:
    """Built once for all suites, again when a source has changed."""
    folder = HOME / f"wheel-{sys.version_info.major}.{sys.version_info.minor}"
    files = [ROOT / "setup.py", ROOT / "pyproject.toml", *(p for p in (ROOT / "src").rglob("*") if p.suffix in KINDS)]
    newest = max(file.stat().st_mtime for file in files)
    built = sorted(folder.glob("*.whl"))
    if built and built[-1].stat().st_mtime > newest:
        return built[-1]
    print("building Fate", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="fate-source-") as copy:
        for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy2(ROOT / name, copy)
        shutil.copytree(ROOT / "src", Path(copy, "src"), ignore=shutil.ignore_patterns("*.so", "*.c", "*.egg-info"))
        pip(python, "wheel", "--no-deps", "--wheel-dir", str(folder), copy)
    return next(folder.glob("*.whl"))


KINDS = {".py", ".pyx", ".pxd"}


def sources(suite: Suite, python: Path) -> Path:
    """The source distribution's contents, fetched once."""
    folder = HOME / "sources" / suite.name
    requirement = suite.requirement.replace("[standard]", "")
    version = requirement.partition("==")[2]
    found = [path for path in folder.glob(f"*-{version}") if path.is_dir()]
    if not found:
        project = requirement.partition("==")[0]  # not ":all:", for which pip builds even what a build needs
        pip(python, "download", "--no-deps", f"--no-binary={project}", "--dest", str(folder), requirement)
        with tarfile.open(next(folder.glob(f"*-{version}.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
        found = [path for path in folder.glob(f"*-{version}") if path.is_dir()]
    return found[0]


def run(suite: Suite, origin: Path, loop: str, only: list[str], limit: float) -> Run:
    """As many processes, one after the other, as the crashing tests require."""
    made, start = Run(loop), time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"{suite.name}-tests-") as name, service(suite.service) as variables:
        folder = Path(name)
        for part in suite.copied:
            copy(origin / part, folder / part)
        results = folder / "verdicts"
        results.write_text("")
        for _ in range(ATTEMPTS):
            status, output = once(suite, folder, loop, only, limit, variables)
            crashed = read(results, made)
            if status in (0, 1, 5) and crashed is None:
                break
            if crashed is None:
                made.broken["pytest"] = f"ended with status {status}: {output[-2000:]}"
                break
            made.verdicts[crashed] = Verdict("error", f"the process died: status {status}\n{output[-3000:]}")
            with results.open("a") as stream:
                stream.write(json.dumps({"kind": "end", "test": crashed, **asdict(made.verdicts[crashed])}) + "\n")
    made.seconds = round(time.monotonic() - start, 1)
    return made


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.exists():
        shutil.copy2(source, target)


def once(
    suite: Suite, folder: Path, loop: str, only: list[str], limit: float, variables: dict[str, str]
) -> tuple[int, str]:
    """One pytest over what has no verdict yet: its exit status and its words."""
    plugins = folder / "plugins"
    plugins.mkdir(exist_ok=True)
    shutil.copy2(PLUGIN, plugins)  # away from its neighbours here, which must not be importable there
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST"))},
        **variables,
        "PATH": f"{python_of(suite).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(plugins),
        "CONFORMANCE_LOOP": loop,
        "CONFORMANCE_REDIRECT": ",".join(suite.redirect),
        "CONFORMANCE_QUIET": ",".join(suite.quiet),
        "CONFORMANCE_RESULTS": str(folder / "verdicts"),
        "CONFORMANCE_NEVER": json.dumps(list(suite.never)),
        "CONFORMANCE_ONLY": json.dumps(only),
    }
    command = [str(python_of(suite)), "-m", "pytest", "-o", "addopts=", "-q", "-x", "--maxfail=100000", "--tb=short"]
    command += ["-p", "no:cacheprovider", "-p", "other_plugin", f"--timeout={limit}", "--timeout-method=signal"]
    command += ["--continue-on-collection-errors", *suite.options, *suite.tests]
    with (folder / "output").open("w+") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        status = process.wait()
        with suppress(ProcessLookupError):  # what the tests started and left behind
            os.killpg(process.pid, signal.SIGKILL)
        output.seek(0)
        return status, output.read()


def read(results: Path, made: Run) -> str | None:
    """Take the verdicts in; the test during which the process ended, if it did."""
    running = None
    for line in results.read_text().splitlines():
        entry = json.loads(line)
        if entry["kind"] == "start":
            running = entry["test"]
        elif entry["kind"] == "end":
            running = None
            made.verdicts[entry["test"]] = Verdict(entry["outcome"], entry["detail"], entry["loops"])
        else:
            made.broken[entry["test"]] = entry["detail"]
    return running


def lost_tests(stock: Run, fate: Run) -> list[str]:
    """What stock asyncio passes and Fate does not. A test that has the loop's class in its name has Fate's there."""

    def on_fate(test: str) -> Verdict | None:
        return fate.verdicts.get(test) or fate.verdicts.get(test.replace(STOCK_CLASS, FATE_CLASS))

    return sorted(
        test
        for test, verdict in stock.verdicts.items()
        if verdict.outcome == "passed" and (on_fate(test) or Verdict("error", "it did not run")).outcome != "passed"
    )


def steadily_lost(suite: Suite, origin: Path, lost: list[str], limit: float) -> list[str]:
    """Those of ``lost`` that Fate fails again while stock asyncio passes them again."""
    for _ in range(AGAIN):
        if lost:
            stock, fate = (run(suite, origin, loop, lost, limit) for loop in (STOCK, FATE))
            lost = [test for test in lost if test in lost_tests(stock, fate)]
    return lost


def last_words(verdict: Verdict) -> str:
    lines = [line for line in verdict.detail.splitlines() if line.startswith("E ")] or verdict.detail.splitlines()
    return lines[-1].strip()[:200] if lines else "no words"


def compare(suite: Suite, options: argparse.Namespace) -> dict[str, object]:
    try:
        origin = prepare(suite)
        only = [options.only] if options.only else []
        stock, fate = (run(suite, origin, loop, only, options.limit) for loop in (STOCK, FATE))
    except (Missing, subprocess.CalledProcessError) as error:
        print(f"{suite.name}: cannot be run: {error}")
        return {"suite": suite.name, "good": None, "why": str(error)}
    for made in (stock, fate):
        print(f"{suite.name}: {made.loop}: {made.summary()} in {made.seconds:g} s")
    for part, words in fate.broken.items():
        where = "on both" if part in stock.broken else "on Fate only"
        print(f"{suite.name}: not run {where}: {part}: {words.strip().splitlines()[-1]}")
        if options.verbose:
            print(words)
    first = lost_tests(stock, fate)
    lost = steadily_lost(suite, origin, first, options.limit)
    for test in lost:
        verdict = fate.verdicts.get(test, Verdict("error", "it did not run"))
        print(f"asyncio passes, Fate does not: {test}: {verdict.outcome}: {last_words(verdict)}")
        if options.verbose:
            print(verdict.detail)
    for test in sorted(set(first) - set(lost)):
        print(f"unsteady, not counted: {test}: {last_words(fate.verdicts[test])}")
    looped = sum(verdict.loops > 0 for verdict in fate.verdicts.values())
    better = sum(
        fate.verdicts[test].outcome == "passed" and verdict.outcome in ("failed", "error")
        for test, verdict in stock.verdicts.items()
        if test in fate.verdicts
    )
    print(f"{suite.name}: {len(lost)} lost, {better} that only Fate passes; {looped} tests made a Fate", flush=True)
    good = bool(stock.verdicts) and not lost and fate.broken.keys() <= stock.broken.keys()
    return {
        "suite": suite.requirement,
        "good": good,
        "lost": lost,
        "unsteady": sorted(set(first) - set(lost)),
        **{made.loop: {test: asdict(verdict) for test, verdict in made.verdicts.items()} for made in (stock, fate)},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Tests of other projects, on Fate and on stock asyncio.")
    parser.add_argument("--suite", choices=[*SUITES, "all"], action="append", required=True, help="repeatable")
    parser.add_argument("--only", default="", metavar="TEXT", help="only tests whose name has this in it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the verdict on each test")
    parser.add_argument("--limit", type=float, default=120.0, metavar="SECONDS", help="the time one test may take")
    parser.add_argument("-v", "--verbose", action="store_true", help="print tracebacks")
    options = parser.parse_args()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in a shell's background: its tests send Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
    names = list(SUITES) if "all" in options.suite else options.suite
    found = [compare(SUITES[name], options) for name in names]
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    if any(result["good"] is False for result in found):
        return 1
    return 0 if all(result["good"] for result in found) else 2


if __name__ == "__main__":
    sys.exit(main())
