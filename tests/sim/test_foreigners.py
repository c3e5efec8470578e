"""Libraries that reach the real world from C are named when a program uses them in a universe."""

from __future__ import annotations

import importlib
import sys
import warnings

import pytest

from fate import sim
from fate.sim import notices, patches
from fate.sim.foreigners import LIBRARIES, RealWorldWarning


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Something that is called as one of them."""
    (tmp_path / "pycurl.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(notices, "_told", set())
    monkeypatch.delitem(sys.modules, "pycurl", raising=False)
    yield "pycurl"
    sys.modules.pop("pycurl", None)


def test_one_that_is_imported_in_a_universe_is_named_with_what_to_do(library):
    async def main():
        importlib.import_module(library)

    with pytest.warns(RealWorldWarning, match=r"pycurl connects by libcurl.* reaches the real world.* use aiohttp"):
        assert sim.attempt(main).ok
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sim.attempt(main).ok  # once


def test_one_that_was_there_before_is_told_to_who_listens_and_is_no_warning(library, monkeypatch):
    async def main():
        pass

    heard = []
    monkeypatch.setattr(notices, "listener", heard.append)
    monkeypatch.setattr(patches.patches(), "_modules", 0)  # as if none had been looked at
    importlib.import_module(library)
    sim.run(main)
    assert [line for line in heard if line.startswith("pycurl connects by ")]


def test_each_has_words():
    assert all(what and instead for what, instead in LIBRARIES.values())
