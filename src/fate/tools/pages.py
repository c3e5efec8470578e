"""Pages: `get_page` fetches one by HTTP, on aiohttp, which the extra `http` installs.

aiohttp does the talking; what lives here is the form in which it ends: a `Page`, or one of the typed errors, whichever
of aiohttp's many it was. A connection serves one page and is closed when the Deferred fires. Programs that fetch many
pages from one server give a session of their own, or use aiohttp itself.
"""

from __future__ import annotations

import math
import socket
import ssl
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fate.errors import (
    FateError,
    MissingExtraError,
    PageBrokenError,
    PageConnectionError,
    PageError,
    PageHostError,
    PageRefusedError,
    PageSizeError,
    PageStatusError,
    PageTimeoutError,
    PageTLSError,
    PageURLError,
)
from fate.tools.ground import checked_callable, current_fate, deferred_of

if TYPE_CHECKING:
    import aiohttp

MAX_SIZE = 64 * 2**20
CHUNK = 2**18


class Page(bytes):
    """A page, as bytes; `str()` of it, and so `print`, gives its text.

    status: HTTP's number, such as 200. url: where it came from in the end. headers: a mapping, in which case does not
    matter. encoding: that of the text, as the server says, else UTF-8.
    """

    status: int
    url: str
    headers: Mapping[str, str]
    encoding: str

    def __new__(cls, data: bytes, status: int, url: str, headers: Mapping[str, str], encoding: str) -> Page:
        page = super().__new__(cls, data)
        page.status = status
        page.url = url
        page.headers = headers
        page.encoding = encoding
        return page

    def __reduce__(self) -> tuple[Any, ...]:
        return (Page, (bytes(self), self.status, self.url, self.headers, self.encoding))

    def text(self, encoding: str | None = None) -> str:
        """As text; what cannot be decoded becomes U+FFFD. Raises LookupError for an encoding that does not exist."""
        return self.decode(encoding or self.encoding, "replace")

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<Page {self.url}: status {self.status}, {len(self):,} bytes>"


def get_page(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    data: Any = None,
    timeout: float | None = 60.0,
    max_size: int | None = MAX_SIZE,
    max_redirects: int = 10,
    on_progress: Callable[[int, int | None], Any] | None = None,
    tls: ssl.SSLContext | None = None,
    session: aiohttp.ClientSession | None = None,
) -> Any:
    """Fetch a page.

    url: with http:// or https://. method, headers, data: of the request; `data` may be anything that aiohttp takes.
    timeout: seconds for all of it; None: no limit.
    max_size: bytes that the page may have, unpacked; None: no limit.
    max_redirects: how many to follow; 0: none.
    on_progress: called with the bytes that have come and the bytes that there will be, None if the server does not say.
    tls: the context of an https connection; by default the server must have a certificate that this machine trusts.
    session: an aiohttp session to use, with its connections, cookies and headers; by default one for this page only.

    Returns a Deferred, which can be awaited, of the `Page`; cancelling it closes the connection. It fails with one of
    the kinds of PageError (`fate.errors`), all of them with the `url`; an answer with an error's status is
    PageStatusError, which has the status and the page.
    Raises MissingExtraError if aiohttp is not installed, NoFateError, and TypeError or ValueError for arguments that
    make no sense.
    """
    if on_progress is not None:
        checked_callable("on_progress", on_progress)
    if timeout is not None and not timeout > 0:
        raise ValueError(f"a page's timeout is a number of seconds, more than 0: {timeout!r}")
    if max_redirects < 0:
        raise ValueError(f"max_redirects cannot be negative: {max_redirects!r}")
    loop = current_fate()
    library = _aiohttp()
    options: dict[str, Any] = {
        "headers": headers,
        "data": data,
        "allow_redirects": max_redirects > 0,
        "max_redirects": max_redirects + 1,  # aiohttp counts the one that is too many
        "timeout": library.ClientTimeout(total=None if timeout == math.inf else timeout),
        "ssl": True if tls is None else tls,
    }
    return deferred_of(loop, _fetch(library, url, method, options, max_size, on_progress, session))


def _aiohttp() -> Any:
    try:
        import aiohttp
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"get_page needs {error.name}: pip install fate-loop[http]", name=error.name) from error
    return aiohttp


async def _fetch(
    library: Any,
    url: str,
    method: str,
    options: dict[str, Any],
    max_size: int | None,
    on_progress: Callable[[int, int | None], Any] | None,
    session: aiohttp.ClientSession | None,
) -> Page:
    if not isinstance(url, str):
        raise PageURLError(f"a URL is text, not {url!r}", url=repr(url))
    if url.startswith("//") and getattr(session, "_base_url", None) is None:
        # As HTML has them, with the scheme of the page they stand in. aiohttp takes such a one for whole.
        raise PageURLError(f"{url} is no URL of a page: it lacks http: or https: at its beginning", url=url)
    handlers = Handler(on_progress)
    own = None
    try:
        if session is None:
            session = own = library.ClientSession(connector=library.TCPConnector(force_close=True))
        async with session.request(method, url, **options) as response:
            page = await _read(url, response, max_size, handlers)
    except FateError:
        raise
    except (library.ClientError, OSError, ValueError) as error:  # a timeout is an OSError
        if error is handlers.error:
            raise
        raise _typed(library, url, error, options["timeout"].total) from error
    finally:
        if own is not None:
            await own.close()
    if not 200 <= page.status < 300:
        raise PageStatusError(f"{url}: the server answers {_status(page)}", url=url, status=page.status, page=page)
    return page


class Handler:
    """The program's `on_progress`, and the error that it raised, which must not be taken for one of the network."""

    def __init__(self, call: Callable[[int, int | None], Any] | None) -> None:
        self.call = call
        self.error: BaseException | None = None

    def __call__(self, received: int, total: int | None) -> None:
        if self.call is None:
            return
        try:
            self.call(received, total)
        except BaseException as error:
            self.error = error
            raise


async def _read(url: str, response: Any, max_size: int | None, on_progress: Handler) -> Page:
    """The page of a response whose head is there. Raises PageSizeError and what aiohttp raises."""
    packed = "Content-Encoding" in response.headers
    total = None if packed else response.content_length
    if max_size is not None and total is not None and total > max_size and response.method != "HEAD":
        raise PageSizeError(f"{url}: {total:,} bytes, where max_size allows {max_size:,}", url=url)
    pieces = []
    size = 0
    async for piece in response.content.iter_chunked(CHUNK):
        size += len(piece)
        if max_size is not None and size > max_size:
            raise PageSizeError(f"{url}: more bytes than the {max_size:,} that max_size allows", url=url)
        pieces.append(piece)
        on_progress(size, total)
    return Page(b"".join(pieces), response.status, str(response.url), response.headers.copy(), _encoding(response))


def _encoding(response: Any) -> str:
    charset = response.charset or "utf-8"
    try:
        b"?".decode(charset, "replace")  # of no bytes at all, Python would not even look it up
    except (LookupError, ValueError):
        return "utf-8"
    return str(charset)


def _status(page: Page) -> str:
    try:
        words = f"{page.status} {HTTPStatus(page.status).phrase}"
    except ValueError:
        words = str(page.status)
    location = page.headers.get("Location")
    return f"{words}, to {location}" if location and 300 <= page.status < 400 else words


def _typed(library: Any, url: str, error: Exception, timeout: float | None) -> PageError:
    """The typed form of an error of aiohttp's or of the system."""
    if isinstance(error, (library.InvalidURL, library.NonHttpUrlClientError)):
        where = "redirects to" if isinstance(error, library.RedirectClientError) else "is"
        return PageURLError(f"{url} {where} no URL of a page: {error}", url=url)
    if isinstance(error, library.TooManyRedirects):
        count = len(error.history) - 1
        return PageStatusError(
            f"{url}: the server redirects more than {count} times", url=url, status=error.history[-1].status
        )
    if isinstance(error, TimeoutError):
        return PageTimeoutError(f"{url} did not come in {timeout or 0:g} seconds", url=url)
    cause = getattr(error, "os_error", error)
    if isinstance(cause, ssl.SSLError) or isinstance(error, library.ClientSSLError):
        return PageTLSError(f"{url}: no safe connection to this server: {_words(error)}", url=url)
    if isinstance(cause, socket.gaierror):
        return PageHostError(f"{url}: there is no such host: {_words(cause)}", url=url)
    if isinstance(error, library.ClientConnectorError):
        if isinstance(cause, ConnectionRefusedError):
            return PageRefusedError(f"{url}: nobody listens there: connection refused", url=url)
        return PageConnectionError(f"{url}: no connection: {_words(cause)}", url=url)
    if isinstance(error, (library.ClientError, ConnectionError)):
        return PageBrokenError(f"{url}: the answer is broken: {_words(error)}", url=url)
    if isinstance(error, ValueError):
        return PageURLError(f"{url!r} cannot be asked for: {error}", url=url)
    return PageConnectionError(f"{url}: {_words(error)}", url=url)


def _words(error: BaseException) -> str:
    words = str(getattr(error, "message", None) or getattr(error, "strerror", None) or error or type(error).__name__)
    return " ".join(words.split()[:40])  # on one line: a parser quotes what it cannot read
