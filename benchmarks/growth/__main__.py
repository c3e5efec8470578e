"""``python -m benchmarks.growth``: every operation, doubled; exit status 1 if the cost of one grows."""

from __future__ import annotations

import argparse
import sys

from benchmarks.growth.measure import measure
from benchmarks.growth.operations import OPERATIONS
from benchmarks.growth.registry import MOST
from benchmarks.registry import Unavailable


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__, allow_abbrev=False)
    parser.add_argument("--only", metavar="NAME", action="append", help="an operation, or how its name begins")
    parser.add_argument("--most", metavar="N", type=int, default=MOST, help=f"default {MOST:,}")
    parser.add_argument("--list", action="store_true", help="print the operations and end")
    options = parser.parse_args()
    begins = tuple(options.only or [""])
    chosen = [operation for name, operation in OPERATIONS.items() if name.startswith(begins)]
    if not chosen:
        parser.error(f"no operation begins with {' or '.join(begins)}")
    width = max(len(operation.name) for operation in chosen)
    if options.list:
        for operation in chosen:
            print(f"{operation.name:{width}}  {operation.title}")
        return 0
    print(f"{'':{width}}  {'n':>7}  {'ns each':>9}  {'twice costs':>11}")
    growing = []
    for operation in chosen:
        try:
            growth = measure(operation, options.most)
        except Unavailable as reason:
            print(f"{operation.name:{width}}  not measured: {reason}", flush=True)
            continue
        if growth.grows:
            growing.append(operation.name)
        last = growth.last
        verdict = "GROWS" if growth.grows else "linear"
        figures = f"{last.n:7,}  {last.ns / last.n:9,.0f}  {growth.a_doubling:11.2f}"
        print(f"{operation.name:{width}}  {figures}  {verdict:6}  {operation.title}", flush=True)
    if growing:
        print(f"\n{len(growing)} of {len(chosen)} grow faster than the work: {', '.join(growing)}")
        return 1
    print(f"\nNone of {len(chosen)} grows faster than the work.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
