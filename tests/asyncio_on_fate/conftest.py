"""What the tests of asyncio on Fate share: Fates on every kind of poll, and certificates of this run's own."""

from __future__ import annotations

import asyncio
import selectors
import ssl
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import trustme
from support import DEADLINE

from fate import Fate


@pytest.fixture(params=["native", "selector"])
def any_loop(request: pytest.FixtureRequest) -> Iterator[Fate]:
    """A Fate on its own poll, and one on a selector of the standard library; closed afterwards."""
    loop = Fate() if request.param == "native" else Fate(selectors.SelectSelector())
    yield loop
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


@pytest.fixture
def run(any_loop: Fate) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine to its end, within the deadline."""

    async def limited(main: Coroutine[Any, Any, Any]) -> Any:
        async with asyncio.timeout(DEADLINE):
            return await main

    return lambda main: any_loop.run_until_complete(limited(main))


@dataclass
class Certificates:
    """A server's side of TLS, and a client's that trusts it."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    """Certificates for `localhost`."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    client = ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    return Certificates(server, client)
