"""One row, one loop, one fresh process: ``python -m benchmarks.child ROW MODULE:ATTRIBUTE ...``.

Prints one JSON object as its last line: ``{"value": ..., "details": {...}}`` or ``{"unavailable": "why"}``.
Runs in the peer's own interpreter, so it imports nothing but the standard library and the rows.
"""

from __future__ import annotations

import argparse
import importlib
import json

from benchmarks import rows
from benchmarks.bench import Bench, pin, take_precedence
from benchmarks.registry import Measured, Unavailable


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    row = rows.ROWS[arguments.row]
    module, _, attribute = arguments.factory.partition(":")
    factory = getattr(importlib.import_module(module), attribute)
    bench = Bench(factory, module, arguments.scale, arguments.core, arguments.load_core, arguments.turns)
    try:
        result = row.measure(bench)
    except Unavailable as reason:
        return {"unavailable": str(reason)}
    measured = result if isinstance(result, Measured) else Measured(result)
    return {"value": measured.value, "details": measured.details}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.child", description="Measure one row once.")
    parser.add_argument("row")
    parser.add_argument("factory")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--core", type=int)
    parser.add_argument("--load-core", type=int)
    parser.add_argument("--turns", type=int)
    arguments = parser.parse_args()
    pin(arguments.core)
    take_precedence()
    print(json.dumps(measure(arguments)))


if __name__ == "__main__":
    main()
