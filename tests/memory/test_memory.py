"""The table of trusted memory is whole: each place in the sources has its row, each row its places and its tests."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import fate
from fate import _native

from .places import places

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|\n ").split(" | ")]
    for line in (ROOT / "docs" / "memory.md").read_text().splitlines()
    if line.startswith("| `")
]


def _named() -> set[tuple[str, str]]:
    """The places that the table has: "`file`, `file` function, function; `file` function"."""
    found: set[tuple[str, str]] = set()
    for place, *_ in ROWS:
        for group in place.split("; "):
            files = re.findall(r"`([^`]+)`", group)
            functions = re.sub(r"`[^`]+`,?", "", group).split(",")
            found |= {(file, function.strip()) for file in files for function in functions}
    return found


def test_each_place_in_the_sources_has_a_row() -> None:
    assert sorted(set(places()) - _named()) == []


def test_each_row_has_a_place_in_the_sources() -> None:
    assert sorted(_named() - set(places())) == []


def test_each_test_that_a_row_names_is_there() -> None:
    missing = []
    for row in ROWS:
        file = ""
        for test in re.findall(r"`((?:tests/|::)[^`]+)`", row[-1]):
            path, _, name = test.partition("::")
            file = path or file
            source = ROOT / file
            if not source.exists() or (name and name not in _functions(source)):
                missing.append(test)
    assert missing == []
    assert all("`tests/" in row[-1] for row in ROWS)


def _functions(source: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.FunctionDef)}


@pytest.mark.skipif(not fate.compiled, reason="uncompiled, these are Python's own")
def test_what_is_no_type_has_no_instances() -> None:
    assert not _native.is_instance(1, (int, str))
    assert not _native.is_instance(1, None)
    assert _native.is_instance(1, int)
