"""Tests of CPython's `test.test_asyncio` that cannot apply to Fate, each with the reason.

The list is honest by force: an excluded test that passes, and a pattern that matches no test, fail the run.
Whatever a program could notice does not belong here.
"""

from typing import NamedTuple


class Exclusion(NamedTuple):
    """`pattern` matches test ids as `fnmatch` does; `pythons` are the versions it is about, `()` for every one."""

    pattern: str
    reason: str
    pythons: tuple[tuple[int, int], ...] = ()


# Tests written against the private parts of asyncio's own selector loop. They make loops like all others and Fate,
# which inherits these parts, must pass them; they are counted apart for the sake of loops that do not inherit them.
INSIDES = ("test_base_events.BaseEventLoopWithSelectorTests.*", "test_unix_events.SelectorEventLoop*")

EXCLUSIONS: tuple[Exclusion, ...] = ()

BLOCKING_TLS = "the test has one side in a thread and wraps a blocking socket in TLS: universes refuse that"
IN_UNIVERSES: tuple[Exclusion, ...] = (
    Exclusion("test_streams.StreamTests.test_open_*connection_no_loop_ssl", BLOCKING_TLS),
    *[
        Exclusion(f"test_ssl.TestSSL.test_{name}", BLOCKING_TLS)
        for name in (
            "create_connection_memory_leak",
            "create_connection_ssl_1",
            "create_connection_ssl_failed_certificate",
            "create_server_ssl_1",
            "create_server_ssl_over_ssl",
            "flush_before_shutdown",
            "remote_shutdown_receives_trailing_data",
            "shutdown_cleanly",
            "shutdown_timeout_handler_leak",
            "shutdown_timeout_handler_not_set",
            "start_tls_client_buf_proto_1",
            "start_tls_client_corrupted_ssl",
            "start_tls_client_reg_proto_1",
            "start_tls_server_1",
        )
    ],
    *[
        Exclusion(f"test_sslproto.SelectorStartTLSTests.test_{name}", BLOCKING_TLS)
        for name in (
            "create_connection_memory_leak",
            "create_connection_ssl_failed_certificate",
            "start_tls_client_buf_proto_1",
            "start_tls_client_corrupted_ssl",
            "start_tls_client_reg_proto_1",
            "start_tls_server_1",
        )
    ],
    Exclusion(
        "test_streams.StreamTests.test_read_all_from_pipe_reader",
        "universes refuse connect_read_pipe: a pipe is of the real world",
    ),
)
