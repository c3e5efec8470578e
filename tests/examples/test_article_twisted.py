"""The article's two Twisted programs: word for word but for the print statements and the import, without Twisted; and
with the article's own import under `fate run`, on Twisted. They take their own time, so they take it side by side."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from .conftest import EXAMPLES, PYTHON, Program, Start

NAMES = ("slow_multiply", "mad_hatter_twisted")
FATES = "from fate import reactor, defer\n"
TWISTEDS = "from twisted.internet import reactor, defer\n"
WATCH = "import atexit; atexit.register(lambda: print(type(reactor).__name__))\n"


@pytest.fixture(scope="module")
def article(start_early: Start, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Program]:
    folder: Path = tmp_path_factory.mktemp("article")
    began: dict[tuple[str, str], Program] = {}
    for name in NAMES:
        source = (EXAMPLES / f"{name}.py").read_text()
        assert source.count(FATES) == 1
        began[name, "fate"] = start_early(EXAMPLES / f"{name}.py")
        twisteds = folder / f"{name}.py"
        twisteds.write_text(source.replace(FATES, TWISTEDS + WATCH))
        began[name, "twisted"] = start_early("-m", "fate", "run", twisteds, python=PYTHON[:1])
    return began


def ends(program: Program, way: str) -> list[str]:
    lines = program.end().lines
    if way == "twisted":
        assert lines.pop() == "FateReactor"
    return lines


@pytest.mark.parametrize("way", ["fate", "twisted"])
def test_the_product_comes_after_three_seconds(article: dict[tuple[str, str], Program], way: str) -> None:
    program = article["slow_multiply", way]
    if way == "fate":
        assert program.line() == "Determining result of 5 * 7..."
        began = time.monotonic()
        assert program.line() == "... result is 35!"
        assert time.monotonic() - began > 2.5
        assert ends(program, way) == []
    else:
        assert ends(program, way) == ["Determining result of 5 * 7...", "... result is 35!"]


@pytest.mark.parametrize("way", ["fate", "twisted"])
def test_the_firecracker_explodes_in_somebodys_hands(article: dict[tuple[str, str], Program], way: str) -> None:
    (line,) = ends(article["mad_hatter_twisted", way], way)
    hands = line.removeprefix("BOOM! Firecracker exploded in the unlucky hands of ")
    assert hands in ("Mad Hatter", "Ben Eills")
