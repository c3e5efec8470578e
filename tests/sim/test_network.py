"""The simulated network, through plain asyncio and plain sockets."""

from __future__ import annotations

import asyncio
import errno
import os
import selectors
import socket
import struct

import pytest

from fate import sim
from fate.sim.errors import UnsimulatedError


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


async def echo_server(host="127.0.0.1", **options):
    server = await asyncio.get_running_loop().create_server(Echo, host, 0, **options)
    return server, server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", None])
def test_streams_talk(host):
    async def main():
        server, port = await echo_server(host)
        reader, writer = await asyncio.open_connection(host or "localhost", port)
        writer.write(b"hello\n")
        line = await reader.readline()
        names = writer.get_extra_info("peername")[1], writer.get_extra_info("sockname")[1] != port
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return line, names == (port, True)

    assert sim.run(main) == (b"hello\n", True)


def test_much_data_flows_through_bounded_buffers():
    async def main():
        received = []

        async def slow(reader, writer):
            while data := await reader.read(50_000):
                received.append(data)
                await asyncio.sleep(0.01)
            writer.close()

        server = await asyncio.start_server(slow, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        waits = 0
        for _ in range(100):
            writer.write(bytes(100_000))
            before = asyncio.get_running_loop().time()
            await writer.drain()
            waits += asyncio.get_running_loop().time() > before
        writer.close()
        while sum(map(len, received)) < 10_000_000:
            await asyncio.sleep(0.1)
        server.close()
        return waits

    assert sim.run(main) > 50


def test_one_direction_can_be_finished():
    async def main():
        async def answer(reader, writer):
            writer.write((await reader.read())[::-1])
            writer.close()

        server = await asyncio.start_server(answer, "localhost", 0)
        reader, writer = await asyncio.open_connection("localhost", server.sockets[0].getsockname()[1])
        writer.write(b"drawer")
        writer.write_eof()
        answer_ = await reader.read()
        writer.close()
        server.close()
        return answer_

    assert sim.run(main) == b"reward"


def test_nobody_listens():
    async def main():
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", 1)
        with pytest.raises(OSError):
            await asyncio.open_connection("localhost", 1)
        with pytest.raises(socket.gaierror, match=r"no host 'example\.com'"):
            await asyncio.open_connection("example.com", 80)
        with pytest.raises(OSError) as caught:
            await asyncio.open_connection("192.0.2.1", 80)
        return caught.value.errno

    assert sim.run(main) == errno.ENETUNREACH


def test_a_port_is_taken_until_it_is_given_back():
    async def main():
        server, port = await echo_server()
        with pytest.raises(OSError, match="address already in use"):
            await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)
        server.close()
        again = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)
        again.close()

    sim.run(main)


def test_many_listeners_may_share_a_port():
    async def main():
        first, port = await echo_server(reuse_port=True)
        second = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port, reuse_port=True)
        for _ in range(4):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
        first.close()
        second.close()

    sim.run(main)


def test_a_reset_is_told_after_what_came_before():
    async def main():
        async def serve(reader, writer):
            writer.write(b"so far")
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, server.sockets[0].getsockname())
        await asyncio.sleep(1)
        seen = [await loop.sock_recv(sock, 2), await loop.sock_recv(sock, 10)]
        with pytest.raises(ConnectionResetError):
            await loop.sock_recv(sock, 10)
        with pytest.raises(BrokenPipeError):
            sock.send(b"x")
        sock.close()
        server.close()
        return seen

    assert sim.run(main) == [b"so", b" far"]


def test_data_to_a_closed_end_is_answered_by_a_reset():
    async def main():
        loop = asyncio.get_running_loop()
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, listener.getsockname())
        server, _ = await loop.sock_accept(listener)
        server.close()
        told = []
        for call in (lambda: sock.send(b"x"), lambda: sock.send(b"x"), lambda: sock.recv(1)):
            try:
                told.append(call())
            except OSError as error:
                told.append(error.errno)
        sock.close()
        listener.close()
        return told

    assert sim.run(main) == [1, errno.EPIPE, b""]  # as Linux has it


def test_connections_wait_in_the_backlog():
    async def main():
        loop = asyncio.get_running_loop()
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        listener.setblocking(False)
        clients = [socket.socket() for _ in range(4)]
        for client in clients:
            client.setblocking(False)
        connecting = [asyncio.ensure_future(loop.sock_connect(c, listener.getsockname())) for c in clients]
        await asyncio.sleep(0.5)
        there = sum(future.done() for future in connecting)
        accepted = [await loop.sock_accept(listener) for _ in range(4)]
        await asyncio.gather(*connecting)
        for sock in [listener, *clients, *[sock for sock, _ in accepted]]:
            sock.close()
        return there, loop.time()

    there, _ = sim.run(main)
    assert there == 2


def test_datagrams():
    async def main():
        loop = asyncio.get_running_loop()
        came = []

        class Server(asyncio.DatagramProtocol):
            def connection_made(self, transport):
                self.transport = transport

            def datagram_received(self, data, address):
                self.transport.sendto(data.upper(), address)

        class Client(asyncio.DatagramProtocol):
            def datagram_received(self, data, address):
                came.append(data)
                done.set_result(address)

            def error_received(self, error):
                refused.set_result(error)

        done, refused = loop.create_future(), loop.create_future()
        server, _ = await loop.create_datagram_endpoint(Server, ("127.0.0.1", 0))
        address = server.get_extra_info("sockname")
        client, _ = await loop.create_datagram_endpoint(Client, remote_addr=address)
        client.sendto(b"hello")
        assert await done == address
        server.close()
        await asyncio.sleep(0)
        client.sendto(b"anybody?")
        assert isinstance(await refused, ConnectionRefusedError)
        client.close()
        return came

    assert sim.run(main) == [b"HELLO"]


def test_unix_sockets(tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        async def answer(reader, writer):
            writer.write(await reader.readline())
            writer.close()

        server = await asyncio.start_unix_server(answer, path)
        assert os.path.exists(path)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"over a path\n")
        line = await reader.read()
        writer.close()
        server.close()
        with pytest.raises((FileNotFoundError, ConnectionRefusedError)):
            await asyncio.open_unix_connection(path)
        with pytest.raises(FileNotFoundError):
            await asyncio.open_unix_connection(path + "x")
        return line

    assert sim.run(main) == b"over a path\n"
    assert not os.path.exists(path)


def test_socket_pairs_and_readers():
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        got = loop.create_future()
        loop.add_reader(ours, lambda: got.done() or got.set_result(ours.recv(100)))
        writable = loop.create_future()
        loop.add_writer(theirs, lambda: writable.done() or writable.set_result(True))
        assert await writable
        assert loop.remove_writer(theirs)
        await loop.sock_sendall(theirs, b"knock")
        data = await got
        assert loop.remove_reader(ours) and not loop.remove_reader(ours)
        theirs.close()
        end = await loop.sock_recv(ours, 10)
        ours.close()
        return data, end

    assert sim.run(main) == (b"knock", b"")


def test_the_sock_methods():
    async def main():
        loop = asyncio.get_running_loop()
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        client = socket.socket()
        client.setblocking(False)
        (server, _), _ = await asyncio.gather(
            loop.sock_accept(listener), loop.sock_connect(client, listener.getsockname())
        )
        await loop.sock_sendall(client, b"0123456789")
        buffer = bytearray(4)
        assert await loop.sock_recv_into(server, buffer) == 4
        peeked = server.recv(3, socket.MSG_PEEK)
        rest = await loop.sock_recv(server, 100)
        one, other = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
        for sock in (one, other):
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
        await loop.sock_sendto(one, b"dgram", other.getsockname())
        data, address = await loop.sock_recvfrom(other, 100)
        assert address == one.getsockname()
        for sock in (listener, client, server, one, other):
            sock.close()
        return bytes(buffer), peeked, rest, data

    assert sim.run(main) == (b"0123", b"456", b"456789", b"dgram")


def test_files_are_sent(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 3000)

    async def main():
        async def serve(reader, writer):
            with open(path, "rb") as file:
                sent = await asyncio.get_running_loop().sendfile(writer.transport, file)
                assert file.tell() == sent
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        data = await reader.read()
        writer.close()
        server.close()
        return data

    assert sim.run(main) == path.read_bytes()


def test_blocking_sockets_block_in_virtual_time():
    async def main():
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.settimeout(5)
        listener = socket.create_server(("127.0.0.1", 0))
        sock.connect(listener.getsockname())
        server, _ = listener.accept()
        server.sendall(b"now")
        assert sock.recv(10) == b"now"
        before = loop.time()
        with pytest.raises(TimeoutError):
            sock.recv(10)
        for end in (sock, server, listener):
            end.close()
        return loop.time() - before

    assert sim.run(main) == pytest.approx(5)


def test_options_and_descriptors_are_the_real_ones():
    async def main():
        with socket.socket() as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            os.fstat(sock.fileno())
            with sock.dup() as twin:
                assert twin.fileno() != sock.fileno()
                assert twin.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert isinstance(sock, socket.socket)
            return sock.getsockname(), sock.family, sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    assert sim.run(main) == (("0.0.0.0", 0), socket.AF_INET, 0)


def test_multicast_is_refused():
    async def main():
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, bytes(8))

    with pytest.raises(UnsimulatedError, match="multicast"):
        sim.run(main)


def test_names_are_the_universes():
    async def main():
        assert socket.gethostname() == "main"
        assert socket.gethostbyname("localhost") == "127.0.0.1"
        found = socket.getaddrinfo("main", 80, type=socket.SOCK_STREAM)
        assert found[0][4] == ("10.0.0.1", 80)
        return [entry[4] for entry in await asyncio.get_running_loop().getaddrinfo("localhost", 5, type=1)]

    assert sim.run(main) == [("::1", 5, 0, 0), ("127.0.0.1", 5)]


def test_faults_on_the_way_change_when_and_in_which_pieces_and_never_the_bytes():
    async def main():
        async def serve(reader, writer):
            while data := await reader.read(1000):
                writer.write(data)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        pieces = []
        for n in range(20):
            writer.write(bytes([n]) * 100)
            await asyncio.sleep(0)
        writer.write_eof()
        while data := await reader.read(1000):
            pieces.append(data)
        writer.close()
        server.close()
        return pieces

    faults = {"latency": 0.3, "split": 0.3, "order": 0.3}
    runs = [tuple(sim.run(main, seed, faults)) for seed in range(5)]
    assert len(set(runs)) > 1
    assert {b"".join(run) for run in runs} == {b"".join(bytes([n]) * 100 for n in range(20))}
    assert runs[3] == tuple(sim.run(main, 3, faults))


def test_datagrams_may_be_lost_and_doubled():
    async def main():
        loop = asyncio.get_running_loop()
        sender, receiver = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2))
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        for n in range(50):
            sender.sendto(bytes([n]), receiver.getsockname())
        came = []
        try:
            while True:
                came.append((await asyncio.wait_for(loop.sock_recv(receiver, 10), 1))[0])
        except TimeoutError:
            return came
        finally:
            sender.close()
            receiver.close()

    assert sim.run(main) == list(range(50))
    lost = sim.run(main, 1, {"loss": 0.3})
    assert 20 < len(lost) < 50 and lost == sorted(lost)
    assert len(sim.run(main, 1, {"duplicate": 0.3})) > 50
    mixed = sim.run(main, 1, {"reorder": 0.3})
    assert mixed != sorted(mixed) and sorted(mixed) == list(range(50))


def test_one_fault_can_be_forced():
    async def main():
        server, port = await echo_server()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for _ in range(3):
                writer.write(b"x")
                await reader.readexactly(1)
        finally:
            writer.close()
            server.close()

    benign = sim.attempt(main, faults="all", drawn=False, allow="report")
    assert benign.ok and not benign.faults()
    resets = [d for d in benign.decisions if d.label.startswith("reset")]
    assert len(resets) == 6
    broken = sim.attempt(main, faults="all", drawn=False, overrides={resets[2].key: 1})
    assert isinstance(broken.error, (ConnectionResetError, asyncio.IncompleteReadError))
    assert [d.key for d in broken.faults()] == [resets[2].key]


def test_a_connection_that_is_given_up_while_it_is_made_ends_for_who_accepted_it():
    async def main():
        accepted = asyncio.get_running_loop().create_future()
        server = await asyncio.start_server(
            lambda reader, writer: accepted.set_result((reader, writer)), "127.0.0.1", 7
        )
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.open_connection("127.0.0.1", 7)
        reader, writer = await accepted
        data = await reader.read()
        writer.close()
        server.close()
        return data

    late = {("latency main->main", 1): 20}  # the answer to the connection, by 2 ms
    assert sim.attempt(main, faults="latency", overrides=late, drawn=False).value == b""


def test_what_is_left_of_a_read_is_read_before_what_came_later():
    async def main():
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.send(b"abc")
            first = theirs.recv(2)
            ours.send(b"d")
            ours.send(b"e")
            return first, theirs.recv(10)

    assert sim.run(main) == (b"ab", b"cde")


def test_a_selector_of_a_threads_own_waits_in_virtual_time():
    async def main():
        def serve():
            with selectors.DefaultSelector() as selector, socket.create_server(("127.0.0.1", 7)) as listener:
                selector.register(listener, selectors.EVENT_READ)
                nothing = selector.select(3600)
                [(key, _)] = selector.select()
                sock, _ = key.fileobj.accept()
                with sock:
                    sock.sendall(b"hello")
                return nothing

        serving = asyncio.get_running_loop().run_in_executor(None, serve)
        await asyncio.sleep(4000)
        reader, writer = await asyncio.open_connection("127.0.0.1", 7)
        data = await reader.read()
        writer.close()
        return data, await serving

    assert sim.run(main) == (b"hello", [])
