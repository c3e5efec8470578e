"""TLS on blocking sockets in threads, as `ssl.SSLContext.wrap_socket` gives it."""

from __future__ import annotations

import asyncio
import http.client
import http.server
import select
import socket
import ssl
import threading
import time

import httpx
import pytest
import trustme

from fate import sim


@pytest.fixture(scope="module")
def contexts():
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    return server, client


def connected(contexts, serve, use, wrap=None):
    """Serve one connection in a thread and use one in another; what `use` returns."""
    server, client = contexts

    async def main():
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def accept():
                sock, _ = listener.accept()
                with server.wrap_socket(sock, server_side=True) as tls:
                    serve(tls)

            def connect():
                sock = socket.create_connection(listener.getsockname())
                with client.wrap_socket(sock, server_hostname="localhost") as tls:
                    return use(tls)

            serving = asyncio.create_task(asyncio.to_thread(accept))
            result = await asyncio.to_thread(connect)
            await serving
            return result

    return sim.run(main)


def test_bytes_go_both_ways_and_the_connection_tells_of_itself(contexts):
    def serve(tls):
        assert isinstance(tls, ssl.SSLSocket) and isinstance(tls, socket.socket)
        tls.sendall(tls.recv(100).upper())
        assert tls.recv(1) == b""

    def use(tls):
        tls.sendall(b"secret")
        buffer = bytearray(10)
        size = tls.recv_into(buffer)
        return bytes(buffer[:size]), tls.version(), tls.getpeercert()["subjectAltName"][0], tls.context is contexts[1]

    assert connected(contexts, serve, use) == (b"SECRET", "TLSv1.3", ("DNS", "localhost"), True)
    assert ssl.SSLContext.__dict__.get("_wrap_socket") is None  # nothing stays


def test_much_goes_through_a_narrow_connection(contexts):
    much = bytes(range(256)) * 8000

    def serve(tls):
        tls.sendall(much)

    def use(tls):
        with tls.makefile("rb") as stream:
            return stream.read() == much

    assert connected(contexts, serve, use)


def test_a_timeout_is_of_virtual_time(contexts):
    def serve(tls):
        time.sleep(100)

    def use(tls):
        tls.settimeout(5)
        before = time.monotonic()
        with pytest.raises(TimeoutError, match="read operation timed out"):
            tls.recv(1)
        return time.monotonic() - before

    assert connected(contexts, serve, use) == pytest.approx(5)


def test_without_blocking_one_is_told_what_is_waited_for(contexts):
    def serve(tls):
        time.sleep(1)
        tls.sendall(b"late")

    def use(tls):
        tls.setblocking(False)
        with pytest.raises(ssl.SSLWantReadError):
            tls.recv(4)
        while True:
            select.select([tls], [], [])
            try:
                return tls.recv(4)
            except ssl.SSLWantReadError:
                pass  # a session's ticket

    assert connected(contexts, serve, use) == b"late"


def test_writing_without_blocking_says_when_there_is_no_room(contexts):
    def serve(tls):
        time.sleep(1)
        with tls.makefile("rb") as stream:
            received.append(len(stream.read()))
        tls.unwrap().close()

    def use(tls):
        tls.setblocking(False)
        sent = 0
        with pytest.raises(ssl.SSLWantWriteError):
            while True:
                sent += tls.send(bytes(10_000))
        tls.setblocking(True)
        sent += tls.send(b"the end")
        tls.unwrap().close()
        return sent

    received = []
    assert [connected(contexts, serve, use)] == received


def test_unwrap_gives_the_plain_socket_back(contexts):
    def serve(tls):
        plain = tls.unwrap()
        plain.sendall(b"plain")

    def use(tls):
        return tls.unwrap().recv(10)

    assert connected(contexts, serve, use) == b"plain"


def test_a_certificate_that_nobody_trusts_is_refused(contexts):
    def serve(tls):
        pass

    async def main():
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def accept():
                sock, _ = listener.accept()
                with sock, pytest.raises(ssl.SSLError, match="alert unknown ca"):
                    contexts[0].wrap_socket(sock, server_side=True)

            def connect():
                with socket.create_connection(listener.getsockname()) as sock:
                    ssl.create_default_context().wrap_socket(sock, server_hostname="localhost")

            serving = asyncio.create_task(asyncio.to_thread(accept))
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.to_thread(connect)
            await serving

    sim.run(main)


class Hello(http.server.BaseHTTPRequestHandler):
    """Says hello."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *args):
        pass


def test_servers_and_clients_of_libraries_with_tls(contexts):
    async def main():
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 8443), Hello)
        server.socket = contexts[0].wrap_socket(server.socket, server_side=True)
        serving = threading.Thread(target=server.serve_forever)
        serving.start()

        def ask():
            connection = http.client.HTTPSConnection("localhost", 8443, context=contexts[1])
            connection.request("GET", "/")
            first = connection.getresponse().read()
            connection.close()
            with httpx.Client(verify=contexts[1], trust_env=False) as client:
                second = client.get("https://localhost:8443/").content
            return first, second

        try:
            return await asyncio.to_thread(ask)
        finally:
            await asyncio.to_thread(server.shutdown)
            server.server_close()
            serving.join()

    assert sim.run(main) == (b"hello", b"hello")
