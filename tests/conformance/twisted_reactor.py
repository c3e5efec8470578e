"""Twisted's own tests of reactors, on Fate's reactor and on Twisted's epoll reactor.

    python tests/conformance/twisted_reactor.py [--suite builder|global|all] [--only TEXT] [--json FILE] [-v]

`builder`: the tests that Twisted generates for each reactor class. `global`: the tests of twisted.internet, .web,
.protocols and .conch with the reactor installed, as `trial --reactor=fate` runs them. What the epoll reactor passes on
this machine Fate's must pass too; exit code 0 says so, 1 the contrary. The tests are the installed Twisted's.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

WORKER = Path(__file__).with_name("twisted_worker.py")
MODULES = ("core", "fdset", "newtls", "process", "socket", "stdio", "tcp", "threads", "time", "tls", "udp", "unix")
NAMES = {
    "builder": [f"twisted.internet.test.test_{module}" for module in MODULES],
    "global": ["twisted.internet", "twisted.web", "twisted.protocols", "twisted.conch"],
}
REACTORS = {"epoll": "twisted.internet.epollreactor.EPollReactor", "fate": "fate.tx.reactor.FateReactor"}
NEVER = {
    "test_cantChangeFileMode": "run as root, it makes /dev/null read-only for everyone",
    "test_lostFileDescriptor": "an epoll forgets a closed descriptor in silence; Twisted skips it for its own by name",
}
"""Tests that are not run, and why."""

OUTCOMES = ("passed", "failed", "error", "skipped")
ATTEMPTS = 30


@dataclass
class Verdict:
    """What became of one test."""

    outcome: str
    detail: str = ""
    seconds: float = 0.0


@dataclass
class Run:
    """What became of all tests of a suite on one reactor; `broken` says why it ended before its time, if it did."""

    reactor: str
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    broken: str = ""
    seconds: float = 0.0

    def summary(self) -> str:
        counts = Counter(verdict.outcome for verdict in self.verdicts.values())
        return ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES)


def run(suite: str, reactor: str, options: argparse.Namespace) -> Run:
    """As many processes, one after the other, as the hanging and crashing tests require."""
    made, start = Run(reactor), time.monotonic()
    for _ in range(ATTEMPTS):
        with tempfile.TemporaryDirectory(prefix="twisted-tests-") as folder:
            died = once(made, suite, reactor, options, Path(folder))
        if died is None:
            break
        running, words = died
        if running is None:
            made.broken = words
            break
        made.verdicts[running] = Verdict("error", words)
    made.seconds = round(time.monotonic() - start, 1)
    return made


def once(
    made: Run, suite: str, reactor: str, options: argparse.Namespace, folder: Path
) -> tuple[str | None, str] | None:
    """Run what has no verdict yet; return the test during which the process died, and its last words."""
    results, output = folder / "results", folder / "output"
    results.write_text("")
    job = {
        "suite": suite,
        "reactor": {"epoll": "epoll", "fate": "fate"}[reactor],
        "class": REACTORS[reactor],
        "names": options.names or NAMES[suite],
        "only": options.only,
        "never": list(NEVER),
        "leave": [spoken(test, suite, reactor) for test in made.verdicts],
        "limit": options.limit,
        "results": str(results),
    }
    with output.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
            text=True,
        )
        process.communicate(json.dumps(job))
        with suppress(ProcessLookupError):  # what the tests started and left behind
            os.killpg(process.pid, signal.SIGKILL)
    running = None
    for line in results.read_text().splitlines():
        entry = json.loads(line)
        test = common(entry["test"], suite, reactor)
        if entry["kind"] == "start":
            running = test
        elif entry["kind"] == "end":
            running = None
            made.verdicts[test] = Verdict(entry["outcome"], entry["detail"], entry["seconds"])
    if process.returncode == 0:
        return None
    return running, "\n".join(output.read_text(errors="replace").splitlines()[-60:])


def suffix(reactor: str) -> str:
    return f"_{REACTORS[reactor].rpartition('.')[2]}Tests"


def common(test: str, suite: str, reactor: str) -> str:
    """The name of a generated test without that of the reactor's class."""
    return test.replace(suffix(reactor), "_Tests") if suite == "builder" else test


def spoken(test: str, suite: str, reactor: str) -> str:
    """The name as Twisted has it."""
    return test.replace("_Tests", suffix(reactor)) if suite == "builder" else test


def last_words(verdict: Verdict) -> str:
    lines = [line for line in verdict.detail.splitlines() if line.strip()]
    return lines[-1].strip()[:160] if lines else "no words"


def compare(suite: str, options: argparse.Namespace) -> dict[str, object]:
    runs = {reactor: run(suite, reactor, options) for reactor in REACTORS}
    epoll, fate = runs["epoll"], runs["fate"]
    for made in runs.values():
        print(f"{suite}: {made.reactor}: {made.summary()} in {made.seconds:g} s")
        if made.broken:
            print(f"the process ended before its tests did: {made.broken}")
    good = {test for test, verdict in epoll.verdicts.items() if verdict.outcome == "passed"}
    lost = sorted(
        test for test in good if test not in fate.verdicts or fate.verdicts[test].outcome in ("failed", "error")
    )
    unrun = sorted(test for test in good if test in fate.verdicts and fate.verdicts[test].outcome == "skipped")
    for test in lost:
        verdict = fate.verdicts.get(test, Verdict("error", "it did not run"))
        print(f"epoll passes, fate does not: {test}: {last_words(verdict)}")
        if options.verbose:
            print(verdict.detail)
    for test in unrun:
        print(f"epoll passes, fate skips: {test}: {last_words(fate.verdicts[test])}")
    both = sum(fate.verdicts[test].outcome in ("failed", "error") for test in fate.verdicts if test not in good)
    print(f"{suite}: {len(lost)} lost, {both} that epoll fails or skips as well", flush=True)
    return {
        "suite": suite,
        "good": bool(good) and not lost and not unrun and not fate.broken,
        "lost": lost,
        "skipped": unrun,
        **{name: {test: asdict(verdict) for test, verdict in made.verdicts.items()} for name, made in runs.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Twisted's tests of reactors, on Fate's and on the epoll reactor.")
    parser.add_argument("--suite", choices=[*NAMES, "all"], default="all")
    parser.add_argument("--only", default="", metavar="TEXT", help="only tests whose name has this in it")
    parser.add_argument("--names", nargs="*", metavar="MODULE", help="other packages or modules than the suite's")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the verdict on each test")
    parser.add_argument("--limit", type=float, default=150.0, metavar="SECONDS", help="the time one test may take")
    parser.add_argument("-v", "--verbose", action="store_true", help="print tracebacks")
    options = parser.parse_args()
    found = [compare(suite, options) for suite in (NAMES if options.suite == "all" else [options.suite])]
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    return 0 if all(result["good"] for result in found) else 1


if __name__ == "__main__":
    sys.exit(main())
