"""The examples of what programs ask for: pages, commands and threads, and Twisted and asyncio under one roof."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from .conftest import EXAMPLES, Start


class Wonderland(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        page = "<p>Täa at six</p>".encode()
        self.send_response(200 if self.path == "/" else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    """A server in a thread of its own."""
    with HTTPServer(("127.0.0.1", 0), Wonderland) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_the_page_of_the_article(start: Start, url: str) -> None:
    assert start(EXAMPLES / "print_page.py", url).end().lines == ["Page contents:", "<p>Täa at six</p>"]


def test_a_page_that_is_not_there(start: Start, url: str) -> None:
    page = url + "rabbit"
    assert start(EXAMPLES / "print_page.py", page).end().lines == [f"No page: {page}: the server answers 404 Not Found"]


def test_steps_line_by_line(start: Start) -> None:
    lines = start(EXAMPLES / "line_by_line.py").end().lines
    ways = ("by callbacks", "by inlineCallbacks", "by await")
    ends = ("a cake of flour and butter and cherries", "no cake, for the spoon broke")
    assert lines == [f"{way}: {end}" for end in ends for way in ways]


def test_twisted_and_asyncio_share_a_house(start: Start) -> None:
    assert start(EXAMPLES / "shared_house.py").end().lines == ["Here is your TEA.", "Here is your BREAD AND BUTTER."]
