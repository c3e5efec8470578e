"""Suites of other projects: which version, what their tests need, how they are run, and what is not counted.

A suite comes from its source distribution at run time; nothing of it is kept here. One entry a project; how they
are fetched, run and compared is in ``others.py``.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Suite:
    """``tests`` are paths in the source distribution; ``options`` pytest's; ``copied`` what the tests stand among.

    ``requirements`` are what the tests import beside the project itself. ``never`` are parts of test names that are
    not run on any loop, each with its reason. ``service`` is the server that the tests talk to. ``redirect`` names
    attributes (``module:name``) that make loops without asking asyncio's policy, ``quiet`` loggers that the project's
    own test runner silences.
    """

    name: str
    requirement: str
    requirements: tuple[str, ...]
    tests: tuple[str, ...] = ("tests",)
    options: tuple[str, ...] = ()
    copied: tuple[str, ...] = ("tests", "pyproject.toml", "pytest.ini", "setup.cfg")
    never: dict[str, str] = field(default_factory=dict)
    service: str | None = None
    redirect: tuple[str, ...] = ()
    quiet: tuple[str, ...] = ()


REPEATS = "repeats other tests, on uvloop or Trio"

SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            "uvloop",
            "uvloop==0.23.0",
            ("psutil", "aiohttp", "pyOpenSSL"),
            never={
                "AIO": "the same test on asyncio, for comparison",
                "test_sourcecode": "lints uvloop's sources",
                "test_libuv_api": "of libuv's own interface",
                "test_cython_coro": "of uvloop's own compiled helpers",
            },
            redirect=(
                "uvloop:new_event_loop",
                "uvloop:Loop",
                "uvloop:EventLoopPolicy",
                "uvloop._testbase:new_event_loop",
            ),
        ),
        Suite(
            "tornado",
            "tornado==6.6.1",
            (),
            tests=("tornado/test",),
            options=("-o", "python_files=*_test.py", "-p", "no:logging"),  # its tests look at the log themselves
            copied=("tornado/test",),
            quiet=("tornado.access",),
        ),
        Suite(
            "aiohttp",
            "aiohttp==3.14.5",
            (
                "pytest-mock",
                "pytest-xdist",
                "pytest-cov",
                "proxy.py",
                "re-assert",
                "freezegun",
                "trustme",
                "setuptools-git",
                "isal",
                "zlib_ng",
                "pytest_codspeed",
                "gunicorn",
                "python-on-whales",
                "aiodns",
                "Brotli",
            ),
            tests=tuple(
                f"tests/test_{module}.py"
                for module in (
                    "client_functional",
                    "client_ws_functional",
                    "connector",
                    "flowcontrol_streams",
                    "loop",
                    "proxy_functional",
                    "resolver",
                    "run_app",
                    "streams",
                    "test_utils",
                    "web_app",
                    "web_functional",
                    "web_runner",
                    "web_sendfile_functional",
                    "web_server",
                    "web_websocket_functional",
                    "worker",
                )
            ),
            options=("-m", "not dev_mode and not autobahn and not internal"),
        ),
        Suite(
            "anyio",
            "anyio==4.16.0",
            ("pytest-mock", "trustme", "psutil", "hypothesis", "truststore"),
            options=("-p", "anyio"),
            never={"asyncio+uvloop": REPEATS, "[trio": REPEATS, "-trio": REPEATS},
        ),
        Suite(
            "uvicorn",
            "uvicorn[standard]==0.54.0",
            ("pytest-mock", "trustme", "cryptography", "httpx2", "a2wsgi", "wsproto"),
            redirect=("asyncio:SelectorEventLoop",),
            never={"uvloop": REPEATS},
        ),
        Suite(
            "redis",
            "redis==8.1.0",
            ("pytest-asyncio", "numpy", "pybreaker", "xxhash", "aiohttp", "PyJWT", "requests", "cachetools"),
            tests=("tests/test_asyncio",),
            options=("-o", "asyncio_mode=auto", "-m", "not onlycluster and not redismod and not ssl"),
            service="redis",
        ),
        Suite(
            "asyncpg",
            "asyncpg==0.32.0",
            ("distro",),
            never={"test__sourcecode": "lints asyncpg's sources"},
            service="postgres",
        ),
    )
}
