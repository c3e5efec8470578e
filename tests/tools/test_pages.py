"""get_page against real servers on this machine: good ones, and those that lie, stall, flood and hang up."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import math
import pickle
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trustme
from aiohttp import ClientSession, web
from hypothesis import given, strategies
from support import DEADLINE, printed

import fate
from fate import Deferred, defer, errors
from fate.tools import Page, get_page

from .conftest import Run, descriptors

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def raw(talk: Talk) -> AsyncIterator[str]:
    """A server that does with each connection what `talk` does; gives its URL."""
    conversations = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        conversations.add(task)
        try:
            with contextlib.suppress(ConnectionError):
                await talk(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            conversations.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}/"
    finally:
        server.close()
        await server.wait_closed()
        while conversations:  # each ends because its client has gone
            await asyncio.wait(conversations, timeout=DEADLINE)


def says(answer: bytes, *, then: Callable[[asyncio.StreamReader], Awaitable[Any]] | None = None) -> Talk:
    """Reads a request, writes `answer`, waits for `then`, closes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if then is not None:
            await then(reader)

    return talk


async def until_the_client_goes(reader: asyncio.StreamReader) -> None:
    await reader.read()


@contextlib.asynccontextmanager
async def site(tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """An aiohttp server with pages of all kinds; gives its URL without the slash at the end."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="Tea at six. ☕", headers={"X-Guest": "Dormouse"})

    async def latin(request: web.Request) -> web.Response:
        return web.Response(body="Thé".encode("latin-1"), content_type="text/plain", charset="latin-1")

    async def strange(request: web.Request) -> web.Response:
        return web.Response(body=b"?", headers={"Content-Type": "text/plain; charset=no-such"})

    async def echo(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.method} {request.headers.get('X-Hat')} {await request.text()}")

    async def large(request: web.Request) -> web.Response:
        return web.Response(body=bytes(1_000_000))

    async def packed(request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(bytes(1_000_000)), headers={"Content-Encoding": "gzip"})

    async def missing(request: web.Request) -> web.Response:
        raise web.HTTPNotFound(text="no tea here")

    async def hop(request: web.Request) -> web.Response:
        left = int(request.match_info["left"])
        raise web.HTTPFound(f"/hop/{left - 1}" if left else "/")

    async def away(request: web.Request) -> web.Response:
        raise web.HTTPFound(request.query["to"])

    app = web.Application()
    app.add_routes(
        [
            web.get("/", page),
            web.get("/latin", latin),
            web.get("/strange", strange),
            web.route("*", "/echo", echo),
            web.get("/large", large),
            web.get("/packed", packed),
            web.get("/missing", missing),
            web.get("/hop/{left}", hop),
            web.get("/away", away),
        ]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await server.start()
    try:
        port = runner.addresses[0][1]
        yield f"https://localhost:{port}" if tls is not None else f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def fetched(path: str, **options: Any) -> Page:
    async with site() as url:
        page: Page = await get_page(url + path, **options)
        return page


async def from_raw(talk: Talk, **options: Any) -> Any:
    async with raw(talk) as url:
        return await get_page(url, timeout=options.pop("timeout", DEADLINE), **options)


# -- what it gives ----------------------------------------------------------------------------------------------------


def test_a_page_is_bytes_and_prints_as_text(run: Run) -> None:
    page = run(fetched("/"))
    assert page == "Tea at six. ☕".encode()
    assert str(page) == page.text() == f"{page}" == "Tea at six. ☕"
    assert (page.status, page.headers["x-guest"], page.encoding) == (200, "Dormouse", "utf-8")
    assert page.url.startswith("http://127.0.0.1:")
    assert repr(page) == f"<Page {page.url}: status 200, 15 bytes>"


def test_a_page_can_be_pickled(run: Run) -> None:
    page = run(fetched("/"))
    again = pickle.loads(pickle.dumps(page))
    assert isinstance(again, Page)
    assert (again, again.status, again.url, again.headers["X-Guest"]) == (page, 200, page.url, "Dormouse")


def test_the_server_says_how_its_text_is_encoded(run: Run) -> None:
    assert run(fetched("/latin")).text() == "Thé"
    assert run(fetched("/latin")).text("utf-8") == "Th\ufffd"
    assert run(fetched("/strange")).text() == "?"


def test_it_is_a_deferred(run: Run) -> None:
    async def main() -> None:
        async with site() as url:
            deferred = get_page(url + "/")
            assert isinstance(deferred, Deferred)
            assert await deferred.addCallback(len) == 15

    run(main())


def test_the_request_is_the_callers(run: Run) -> None:
    page = run(fetched("/echo", method="POST", headers={"X-Hat": "10/6"}, data=b"more tea"))
    assert page.text() == "POST 10/6 more tea"
    assert run(fetched("/echo", method="HEAD")) == b""


def test_it_tells_how_far_it_is(run: Run) -> None:
    told: list[tuple[int, int | None]] = []
    run(fetched("/large", on_progress=lambda *numbers: told.append(numbers)))
    assert told == sorted(told)
    assert {total for _, total in told} == {1_000_000}
    assert told[-1][0] == 1_000_000
    told.clear()
    run(fetched("/packed", on_progress=lambda *numbers: told.append(numbers)))
    assert told[-1] == (1_000_000, None)  # the server says only how long it is packed


def test_what_the_callback_of_progress_raises_is_the_result(run: Run) -> None:
    error = TimeoutError("my own")

    def on_progress(received: int, total: int | None) -> None:
        raise error

    with pytest.raises(TimeoutError) as caught:
        run(fetched("/", on_progress=on_progress))
    assert caught.value is error


def test_many_pages_with_one_session(run: Run) -> None:
    async def main() -> None:
        async with site() as url, ClientSession() as session:
            pages = await asyncio.gather(*(get_page(f"{url}/hop/{n % 3}", session=session) for n in range(30)))
            assert {page.text() for page in pages} == {"Tea at six. ☕"}
            assert not session.closed

    run(main())


# -- redirects --------------------------------------------------------------------------------------------------------


def test_redirects_are_followed_as_far_as_allowed(run: Run) -> None:
    page = run(fetched("/hop/2", max_redirects=3))
    assert page.text() == "Tea at six. ☕"
    assert page.url.endswith("/")
    with pytest.raises(errors.PageStatusError, match="redirects more than 2 times") as caught:
        run(fetched("/hop/2", max_redirects=2))
    assert caught.value.status == 302


def test_no_redirect_is_followed_if_none_is_wanted(run: Run) -> None:
    with pytest.raises(errors.PageStatusError, match="answers 302 Found, to /hop/0") as caught:
        run(fetched("/hop/1", max_redirects=0))
    assert caught.value.page.headers["Location"] == "/hop/0"


def test_a_server_that_redirects_for_ever(run: Run) -> None:
    talk = says(b"HTTP/1.1 301 Moved\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(errors.PageStatusError, match="more than 10 times"):
        run(from_raw(talk))


@pytest.mark.parametrize("to", ["file:///etc/passwd", "gopher://localhost/", "http://[::1"])
def test_a_redirect_to_what_is_no_page(run: Run, to: str) -> None:
    async def main() -> None:
        async with raw(says(f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode())) as url:
            await get_page(url)

    with pytest.raises(errors.PageURLError, match="redirects to no URL"):
        run(main())


# -- errors -----------------------------------------------------------------------------------------------------------


def test_an_error_of_the_server_keeps_its_status_and_its_page(run: Run) -> None:
    with pytest.raises(errors.PageStatusError, match=r"/missing: the server answers 404 Not Found$") as caught:
        run(fetched("/missing"))
    assert (caught.value.status, caught.value.page, caught.value.page.status) == (404, b"no tea here", 404)
    assert caught.value.url.endswith("/missing")
    with pytest.raises(errors.PageStatusError, match=r"answers 799$"):
        run(from_raw(says(b"HTTP/1.1 799 Whatever\r\nContent-Length: 0\r\n\r\n")))


@pytest.mark.parametrize(
    "url",
    [
        "", "localhost", "/etc/passwd", "http://", "http:///path", "ftp://localhost/", "file:///etc/passwd",
        "http://localhost:99999/", "http://localhost:port/", "http://[::1", None, b"http://localhost/", 3,
        "http://" + "a" * 70 + "..b/", "//localhost/", "//",
    ],
)  # fmt: skip
def test_a_wrong_url(run: Run, url: Any) -> None:
    async def main() -> None:
        with pytest.raises(errors.PageURLError) as caught:
            await get_page(url)
        assert isinstance(caught.value, ValueError)
        assert caught.value.url == (url if isinstance(url, str) else repr(url))

    run(main())


PARTS = [
    "http", "HTTPS", "ws", "ftp", "file", ":", "://", "//", "/", "\\", "?", "#", "@", "[", "]", "localhost", "::",
    "é", "☃", "\u3002", "\ud800", "\x00", "\r\n", " ", "%", "%zz", "%41", ".", "..", "0", "-1", "65536", "xn--", "&",
]  # fmt: skip


@given(
    url=strategies.lists(strategies.sampled_from(PARTS), max_size=9).map("".join)
    | strategies.builds("http://{}:{}{}".format, *(strategies.text(max_size=size) for size in (8, 5, 8)))
)
def test_whatever_is_written_for_a_url_ends_in_a_typed_error(url: str) -> None:
    def unknown(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def main() -> None:
        with pytest.raises(errors.PageError) as caught:
            await get_page(url)
        assert caught.value.url == url

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", unknown)
        fate.run(main())


def test_a_session_with_a_base_takes_urls_without_a_scheme(run: Run) -> None:
    async def main() -> Page:
        async with site() as url, ClientSession(base_url=url) as session:
            return await get_page("/", session=session)

    assert run(main()).status == 200


def test_arguments_that_make_no_sense(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="more than 0: 0"):
            get_page("http://localhost/", timeout=0)
        with pytest.raises(ValueError, match="cannot be negative: -1"):
            get_page("http://localhost/", max_redirects=-1)
        with pytest.raises(TypeError, match="on_progress cannot be called"):
            get_page("http://localhost/", on_progress=3)  # type: ignore[arg-type]
        with pytest.raises(errors.PageURLError, match="cannot be asked for"):
            await get_page("http://localhost/", method="GET /secret")

    run(main())


def test_an_infinite_timeout_is_none_at_all(run: Run) -> None:
    assert run(fetched("/", timeout=math.inf)).status == 200


def test_a_host_that_nobody_knows(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def main() -> None:
        await get_page("http://tea.invalid/")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # a test asks no name server
    with pytest.raises(errors.PageHostError, match=r"^http://tea\.invalid/: there is no such host: ") as caught:
        run(main())
    assert isinstance(caught.value, OSError)


def test_a_port_where_nobody_listens(run: Run) -> None:
    async def main() -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            await get_page(f"http://127.0.0.1:{sock.getsockname()[1]}/")

    with pytest.raises(errors.PageRefusedError, match="nobody listens there") as caught:
        run(main())
    assert isinstance(caught.value, ConnectionRefusedError)


HEAD = b"HTTP/1.1 200 OK\r\n"
BROKEN = {
    "closes at once": b"",
    "closes within the status": b"HTTP/1.1 2",
    "closes within the headers": HEAD + b"Content-Le",
    "closes half-way": HEAD + b"Content-Length: 10\r\n\r\nhalf",
    "closes within a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n10\r\nhalf",
    "closes before the last chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    "gives no length of a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nlong\r\nhalf\r\n0\r\n\r\n",
    "gives a length that is none": HEAD + b"Content-Length: ten\r\n\r\n0123456789",
    "gives a negative length": HEAD + b"Content-Length: -10\r\n\r\n0123456789",
    "gives two lengths": HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nhalf",
    "sends more than it said": HEAD + b"Content-Length: 4\r\n\r\nhalf and more",
    "speaks no HTTP": b"220 mail.wonderland ESMTP\r\n",
    "sends packed what is not packed": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nhalf",
    "sends half of what is packed": HEAD
    + b"Content-Encoding: deflate\r\nContent-Length: 9\r\n\r\n"
    + zlib.compress(bytes(9000))[:9],
    "sends headers without end": HEAD + b"X-Tea: " + b"t" * 100_000,
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_a_server_that_breaks_its_answer(run: Run, answer: bytes) -> None:
    with pytest.raises(errors.PageBrokenError, match=r"the answer is broken: .") as caught:
        run(from_raw(says(answer)))
    assert isinstance(caught.value, ConnectionError)


def test_a_server_that_resets_the_connection(run: Run) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"Content-Length: 10\r\n\r\nhalf")
        await writer.drain()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    with pytest.raises(errors.PageBrokenError):
        run(from_raw(talk))


@pytest.mark.parametrize("answer", [b"", HEAD, HEAD + b"Content-Length: 10\r\n\r\nhalf"], ids=["all", "head", "half"])
def test_a_server_that_never_answers(run: Run, answer: bytes) -> None:
    with pytest.raises(errors.PageTimeoutError, match=r"did not come in 0\.2 seconds") as caught:
        run(from_raw(says(answer, then=until_the_client_goes), timeout=0.2))
    assert isinstance(caught.value, TimeoutError)


def test_a_server_that_sends_too_much(run: Run) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"\r\n")
        while True:  # until the client goes
            writer.write(bytes(65536))
            await writer.drain()

    with pytest.raises(errors.PageSizeError, match="more bytes than the 1,000,000 that max_size allows"):
        run(from_raw(flood, max_size=1_000_000))


def test_a_page_that_is_too_large(run: Run) -> None:
    with pytest.raises(errors.PageSizeError, match="1,000,000 bytes, where max_size allows 999,999"):
        run(fetched("/large", max_size=999_999))
    with pytest.raises(errors.PageSizeError, match="more bytes than the 999,999"):
        run(fetched("/packed", max_size=999_999))  # a thousand on their way
    assert len(run(fetched("/large", max_size=1_000_000))) == 1_000_000
    assert len(run(fetched("/packed", max_size=None))) == 1_000_000


def test_a_server_that_boasts_of_its_length(run: Run) -> None:
    with pytest.raises(errors.PageSizeError, match="1,000,000,000,000 bytes"):
        run(from_raw(says(HEAD + b"Content-Length: 1000000000000\r\n\r\n", then=until_the_client_goes)))


# -- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(made)
    return made


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    made = ssl.create_default_context()
    authority.configure_trust(made)
    return made


def test_a_page_by_https(run: Run, authority: trustme.CA) -> None:
    async def main() -> None:
        async with site(context(authority, "localhost")) as url:
            before = descriptors()
            assert (await get_page(url + "/large", tls=trusting(authority))).status == 200
            assert len(descriptors()) <= len(before) + 1  # the server's end, at most

    run(main())


def test_a_certificate_that_is_not_trusted(run: Run, authority: trustme.CA) -> None:
    async def main() -> None:
        async with site(context(authority, "localhost")) as url:
            await get_page(url)

    with pytest.raises(errors.PageTLSError, match=r"no safe connection to this server: .*certificate"):
        run(main())


def test_a_certificate_of_somebody_else(run: Run, authority: trustme.CA) -> None:
    async def main() -> None:
        async with site(context(authority, "wonderland.example")) as url:
            await get_page(url, tls=trusting(authority))

    with pytest.raises(errors.PageTLSError, match="localhost"):
        run(main())


def test_a_server_that_speaks_no_tls(run: Run) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"220 mail.wonderland ESMTP\r\n")
        await reader.read()

    async def main() -> None:
        async with raw(talk) as url:
            await get_page(url.replace("http", "https"))

    with pytest.raises(errors.PageTLSError):
        run(main())


# -- giving up --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["deferred", "task"])
def test_cancelling_closes_the_connection(run: Run, how: str) -> None:
    async def main() -> None:
        asked = asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await reader.read()  # returns when the client has closed

        async def fetch(deferred: Any) -> None:
            await deferred

        async with raw(talk) as url:
            deferred = get_page(url)
            if how == "deferred":
                await asked.wait()
                deferred.cancel()
                with pytest.raises(defer.CancelledError):
                    await deferred
            else:
                task = asyncio.create_task(fetch(deferred))
                await asked.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    run(main())


def test_a_page_comes_also_if_nobody_holds_the_deferred(run: Run) -> None:
    async def main() -> None:
        came: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        asked, go = asyncio.Event(), asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await go.wait()
            writer.write(HEAD + b"Content-Length: 3\r\n\r\ntea")

        async with raw(talk) as url:
            get_page(url).addCallback(came.set_result)
            await asked.wait()
            gc.collect()
            go.set()
            assert await came == b"tea"

    run(main())


def test_without_aiohttp_the_error_says_what_to_install() -> None:
    program = """
    import sys
    sys.modules["aiohttp"] = None
    import fate
    from fate.tools import get_page, run_command

    async def main():
        try:
            get_page("http://localhost/")
        except ImportError as error:
            print(type(error).__name__, error)
        print((await run_command("echo but commands run")).text(), end="")

    fate.run(main())
    """
    assert printed(program).splitlines() == [
        "MissingExtraError get_page needs aiohttp: pip install fate-loop[http]",
        "but commands run",
    ]
