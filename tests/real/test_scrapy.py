"""Scrapy crawls on Fate, and finds what it finds without.

Scrapy installs the reactor that a setting names, its asyncio reactor by default, and then refuses to work if the class
of the installed reactor is not the one of that name.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from cli.conftest import FATE, PYTHON, Workshop

from .conftest import INSTALL, PROGRAMS
from .crawled import PAGES

FATES = "TWISTED_REACTOR=fate.tx.FateReactor"

PLAIN = "FateReactor twisted.internet.defer"

WAYS = {
    "by default": ([*FATE, "run"], [], PLAIN),
    "another reactor": ([*FATE, "run"], ["-s", "TWISTED_REACTOR=twisted.internet.epollreactor.EPollReactor"], PLAIN),
    "no reactor by name": ([*FATE, "run"], ["-s", "TWISTED_REACTOR="], PLAIN),
    "uvloop's loop": ([*FATE, "run"], ["-s", "ASYNCIO_EVENT_LOOP=uvloop.Loop"], PLAIN),
    "Fate's reactor, by a setting": (PYTHON, ["-s", FATES], PLAIN),
    "fate.tx.install() with Deferreds": (
        [*INSTALL, "--deferreds"],
        ["-s", FATES],
        "FateReactor fate.defer.deferred",
    ),
}
"""What stands before Scrapy, the settings, and the reactor's class and the Deferred's module that are to come of it."""

Found = tuple[list[dict[str, Any]], dict[str, Any]]


def crawl(workshop: Workshop, site: str, before: list[str], settings: list[str]) -> tuple[str, Found]:
    """The line that says what it stood on; the items by their paths and the spider's statistics."""
    words = ["-m", "scrapy", "runspider", str(PROGRAMS / "crawl.py"), "-a", f"site={site}", "-O", "items.json"]
    done = workshop.execute([*before, *words, "-s", "LOG_LEVEL=WARNING", *settings])
    assert (done.code, done.err) == (0, "")
    kind, statistics = done.out.splitlines()
    items = json.loads((workshop.home / "items.json").read_text())
    return kind, (sorted(items, key=lambda item: str(item["path"])), json.loads(statistics))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, site: str) -> Found:
    """What a crawl without Fate finds."""
    kind, found = crawl(Workshop(tmp_path_factory.mktemp("plain")), site, PYTHON, [])
    assert kind == "AsyncioSelectorReactor twisted.internet.defer"
    assert sum(item["status"] == 200 for item in found[0]) == PAGES
    return found


@pytest.mark.parametrize("way", WAYS)
def test_a_crawl_finds_what_it_finds_without_fate(workshop: Workshop, plain: Found, site: str, way: str) -> None:
    before, settings, stands_on = WAYS[way]
    assert crawl(workshop, site, before, settings) == (stands_on, plain)
