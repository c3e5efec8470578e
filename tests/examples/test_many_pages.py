"""Many pages at once: all of them arrive, in far less time than one after the other."""

from __future__ import annotations

import re

from .conftest import EXAMPLES, Start


def test_five_hundred_pages_arrive_at_once(start: Start) -> None:
    *progress, summary = start(EXAMPLES / "many_pages.py", "500").end().lines
    assert progress == [f"{done}/500" for done in range(50, 501, 50)]
    found = re.fullmatch(
        r"500 pages, ([\d,]+) bytes, in ([\d.]+) s; one after the other they take ([\d.]+) s\.", summary
    )
    assert found is not None
    assert int(found[1].replace(",", "")) >= 500 * len("<h1>Page /1</h1>\n")
    assert float(found[2]) < float(found[3]) / 10


def test_one_page_is_enough(start: Start) -> None:
    *progress, summary = start(EXAMPLES / "many_pages.py", "1").end().lines
    assert progress == ["1/1"]
    assert summary.startswith("1 pages, ")
