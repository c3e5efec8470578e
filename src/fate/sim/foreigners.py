"""Libraries that open sockets from C: a universe cannot see them, so it says so when one is imported inside.

They reach the real world, in real time: what they do is in no history, no fault befalls it, and who waits for them
waits for real.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from fate.sim import notices

LIBRARIES = {
    "psycopg": ("libpq, from C", "use asyncpg or pg8000"),
    "psycopg2": ("libpq, from C", "use asyncpg or pg8000"),
    "psycopg_c": ("libpq, from C", "use asyncpg or pg8000"),
    "psycopg_binary": ("libpq, from C", "use asyncpg or pg8000"),
    "MySQLdb": ("libmysqlclient, from C", "use aiomysql or PyMySQL"),
    "mysql.connector._mysql_connector": ("libmysqlclient, from C", "use aiomysql or PyMySQL"),
    "zmq": ("libzmq, with threads of its own", "put an asyncio queue or a stream in its place"),
    "pycurl": ("libcurl, from C", "use aiohttp or httpx"),
    "curl_cffi": ("libcurl, from C", "use aiohttp or httpx"),
    "grpc": ("its own core, with threads of its own", "use grpclib, or put a fake channel in its place"),
    "confluent_kafka": ("librdkafka, with threads of its own", "use aiokafka"),
    "pynng": ("nng, with threads of its own", "put an asyncio queue or a stream in its place"),
    "pyodbc": ("an ODBC driver, from C", "put a fake connection in its place"),
    "aioodbc": ("an ODBC driver, from C", "put a fake connection in its place"),
    "oracledb.thick_impl": ("Oracle's client, from C", "use oracledb's thin mode"),
    "cassandra.io.libevwrapper": ("libev, from C", "use cassandra.io.asyncioreactor"),
    "gevent": ("libev or libuv, from C", "use asyncio"),
    "uvloop": ("libuv, from C", "leave it out: the universe's loop is asyncio's"),
    "pymssql": ("FreeTDS, from C", "put a fake connection in its place"),
    "ibm_db": ("IBM's client, from C", "put a fake connection in its place"),
    "duckdb": ("its own threads, from C", "call it in one thread, and wait for its answer"),
}
"""By module: what opens the sockets, and what to do instead."""


class RealWorldWarning(RuntimeWarning):
    """A library that a universe does not simulate was imported inside one."""


def in_words(name: str) -> str:
    """What there is to say of one of them."""
    what, instead = LIBRARIES[name]
    return f"{name} connects by {what}: from a universe it reaches the real world, in real time; {instead}"


def there(names: Iterable[str]) -> None:
    """Tell whoever listens which of these modules, imported outside, reach the real world if they are used inside."""
    for name in sorted(LIBRARIES.keys() & set(names)):
        notices.tell(in_words(name))


def imported(names: Iterable[str]) -> None:
    """Warn of those among these modules, which a program has imported in a universe."""
    for name in sorted(LIBRARIES.keys() & set(names)):
        notices.tell(in_words(name))
        warnings.warn(in_words(name), RealWorldWarning, stacklevel=3)
