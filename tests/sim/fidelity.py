"""The same scripts of socket calls on the real kernel's loopback and in a benign universe: where do they differ?

    python -m tests.sim.fidelity [--scripts 10000] [--seed 0]

Hypothesis writes the scripts (`socket_scripts`). A script that differs is played again on the real kernel, which gets
time to settle after each step, and then a few times more; only what differs every time counts. From its first
difference on a script says nothing more: the two worlds are no longer the same. Differences that are right as they are
stand in `fidelity_exclusions`, each with its reason; the others are told with the shortest script that shows them.
Exit code 0: there are none.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from fate import sim
from tests.sim.fidelity_exclusions import EXCLUSIONS
from tests.sim.socket_scripts import SCRIPTS, Player, Step

SETTLE = (0.003, 0.06)  # seconds; the second is longer than what a delayed acknowledgement may take
AGAIN = 8  # times: the ports that one gets may be in use by other programs, or have been a moment ago


@dataclass
class Difference:
    """Where a script first differs: the step, what it gave there, and the steps before with what they gave in both."""

    script: list[Step]
    at: int
    real: Any
    simulated: Any
    before: list[Any]

    @property
    def step(self) -> Step:
        return self.script[self.at]

    @property
    def signature(self) -> tuple[Any, ...]:
        """What differences of one cause have in common, mostly."""
        if self.real[0] != self.simulated[0]:
            return self.step[0], "gave", _kind(self.real[0]), _kind(self.simulated[0])
        pairs = zip(self.real[1], self.simulated[1], strict=False)
        return self.step[0], "ready", str(next((a, b) for a, b in pairs if a != b))

    def __str__(self) -> str:
        steps = [f"    {step!r:60} {outcome}" for step, outcome in zip(self.script, self.before, strict=False)]
        here = f"    {self.step!r}\n      real      {self.real}\n      simulated {self.simulated}"
        return "\n".join([*steps, here])


def _kind(result: Any) -> str:
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], str) and result[0].endswith("Error"):
        return str(result)
    return type(result).__name__


def play_real(script: list[Step], settle: float = 0.0) -> list[Any]:
    """What each step gives on the real kernel."""
    with tempfile.TemporaryDirectory(prefix="fate-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        return Player(Path(folder), settle).play(script)


def play_simulated(script: list[Step]) -> list[Any]:
    """What each step gives in a universe."""

    async def main() -> list[Any]:
        return Player(Path(folder)).play(script)

    with tempfile.TemporaryDirectory(prefix="fate-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        return sim.run(main)


def compare(script: list[Step]) -> Difference | None:
    """The first difference of a script, if there is one that stays when the real kernel gets time."""
    simulated = play_simulated(script)
    real: list[Any] = []
    for settle in (0.0, *SETTLE, *[0.0] * AGAIN):
        real = play_real(script, settle)
        if real == simulated:
            return None
    at = next(at for at in range(len(script)) if real[at] != simulated[at])
    return Difference(script, at, real[at], simulated[at], real[:at])


def excuse(difference: Difference) -> str | None:
    """The name of the exclusion that a difference falls under."""
    for exclusion in EXCLUSIONS:
        if exclusion.fits(difference):
            return exclusion.name
    return None


def shorten(difference: Difference) -> Difference:
    """The same difference, by its signature, from fewer steps."""
    script = difference.script[: difference.at + 1]
    shrinking = True
    while shrinking:
        shrinking = False
        for at in range(len(script) - 1, -1, -1):
            shorter = script[:at] + script[at + 1 :]
            found = compare(shorter)
            if found is not None and found.signature == difference.signature and excuse(found) is None:
                script, difference, shrinking = shorter[: found.at + 1], found, True
                break
    return difference


def search(
    scripts: int, number: int | None, told: Callable[[int], None] = lambda count: None
) -> tuple[Counter[str], dict[Any, list[Difference]]]:
    """How often each exclusion was met, and the differences without one, by signature.

    number: hypothesis's seed; None: always the same scripts. told: called with the number of scripts so far.
    """
    excused: Counter[str] = Counter()
    found: dict[Any, list[Difference]] = {}
    count = 0

    @settings(
        max_examples=scripts,
        database=None,
        deadline=None,
        derandomize=number is None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(SCRIPTS)
    def play(script: list[Step]) -> None:
        nonlocal count
        count += 1
        told(count)
        difference = compare(script)
        if difference is not None:
            name = excuse(difference)
            if name is not None:
                excused[name] += 1
            else:
                found.setdefault(difference.signature, []).append(difference)

    (play if number is None else seed(number)(play))()
    excused["scripts"] = count
    return excused, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scripts", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="another seed writes other scripts")
    parser.add_argument("--show", type=int, default=20, help="how many kinds of differences to show")
    options = parser.parse_args()
    since = time.monotonic()

    def told(count: int) -> None:
        if sys.stderr.isatty() and count % 50 == 0:
            print(f"\r{count} scripts", end="", file=sys.stderr)

    excused, found = search(options.scripts, options.seed, told)
    count = excused.pop("scripts")
    for signature, differences in sorted(found.items(), key=lambda item: -len(item[1]))[: options.show]:
        print(f"{len(differences)} scripts: {signature}")
        print(shorten(min(differences, key=lambda difference: difference.at)))
    for exclusion in EXCLUSIONS:
        print(f"{excused[exclusion.name]:6} scripts end at a difference that is known: {exclusion.name}")
    differing = sum(map(len, found.values()))
    print(
        f"{count} scripts in {time.monotonic() - since:.0f} s: {differing} differ, in {len(found)} ways, "
        f"{excused.total()} end at a known difference"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
