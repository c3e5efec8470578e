"""The page about asyncio's bugs names tests that exist, and says of each bug where it stands."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "howto" / "asyncio_bugs.md"
ROWS = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "::" in line]


@pytest.mark.parametrize("row", ROWS)
def test_each_bug_has_an_issue_its_pythons_and_a_test_that_exists(row: str) -> None:
    _, _, issue, pythons, named, _ = (cell.strip() for cell in row.split("|"))
    assert issue == "none known" or re.fullmatch(r"gh-\d+(, gh-\d+)*", issue)
    assert {*pythons.split(", ")} <= {"3.11", "3.12", "3.13"}
    path, _, name = named.strip("`").partition("::")
    tree = ast.parse((ROOT / path).read_text())
    assert name in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def test_the_page_is_in_the_table_of_contents() -> None:
    assert "\nasyncio_bugs\n" in (PAGE.parent / "index.md").read_text()
