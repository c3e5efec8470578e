"""The web site that is crawled: pages that link to each other, some moved, missing, broken or compressed.

It is served by threads of the test's own process, so it is the same for every way the crawler runs.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

PAGES = 200


class Handler(BaseHTTPRequestHandler):
    """Page n has links to 2n + 1 and 2n + 2."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.lstrip("/")
        number = int(path.removeprefix("page")) if path.startswith("page") else 0
        if path.startswith("old"):
            self.answer(301, b"", Location="/page" + path.removeprefix("old"))
        elif path and not path.startswith("page"):
            self.answer(404 if path.startswith("missing") else 500, b"no")
        else:
            self.page(number)

    def page(self, number: int) -> None:
        links = [self.link(child) for child in (2 * number + 1, 2 * number + 2) if child < PAGES]
        text = f"<title>Page {number}</title><p>{'word ' * (number + 1)}</p>{''.join(links)}".encode()
        if number % 5 == 0:
            self.answer(200, gzip.compress(text), **{"Content-Encoding": "gzip", "X-Was": "gzip"})
        else:
            self.answer(200, text)

    def link(self, number: int) -> str:
        also = {3: f'<a href="/missing{number}">', 4: f'<a href="/broken{number}">'}.get(number % 9, "")
        return f'<a href="/{"old" if number % 7 == 0 else "page"}{number}">{also}'

    def answer(self, code: int, body: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Be quiet."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


@contextmanager
def served() -> Iterator[str]:
    """The site's address, while it is served."""
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()
