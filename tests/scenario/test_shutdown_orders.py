"""Every order in which two sides can end a TCP connection: nothing hangs, nothing is lost, resets stay resets."""
import contextlib
import itertools
import os
import queue
import select
import socket
import struct
import threading
import time

import pytest
from portway import TcpServer, connect, eventually, receive, receive_all

REQUEST, ANSWER = os.urandom(300_000), os.urandom(700_000)


def reset(sock):
    """close() that sends RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def was_reset(sock):
    try:
        while sock.recv(1 << 16):
            pass
    except ConnectionResetError:
        return True
    return False


class Pair:
    """A connection through the tunnel: `client` and `server` are its two ends in this process."""

    def __init__(self, fleet, mapping, accepted):
        self.client = connect(mapping["source_port"])
        self.server = accepted.get(timeout=30)
        for s in (self.client, self.server):
            s.settimeout(30)

    def close(self):
        self.client.close()
        self.server.close()


@pytest.fixture(scope="module")
def ends(fleet):
    """(mapping, pair(), close_all(), made()): the far end hands each accepted socket to the test."""
    accepted = queue.Queue()

    def hand_over(conn, _address):
        accepted.put(conn.dup())

    server = TcpServer(hand_over)
    mapping = fleet.mapping(server.port)
    pairs, made = [], [0]

    def pair():
        pairs.append(Pair(fleet, mapping, accepted))
        made[0] += 1
        return pairs[-1]

    def close_all():
        for p in pairs:
            p.close()
        pairs.clear()

    yield mapping, pair, close_all, lambda: made[0]
    close_all()
    server.close()


@pytest.fixture
def tunnel(ends):
    """The same; what a test leaves open ends with it, and is not the next one's connection that is left."""
    yield ends
    ends[2]()


def none_left(fleet, tunnel):
    """Counters come with reports, so a 0 may be an old one: all that were made must be in it."""
    eventually(lambda: fleet.wait_stats(tunnel[0]["id"], connections_total=tunnel[3](), connections_active=0),
               "every connection counted, none left", 60)


def test_client_half_closes_and_still_gets_the_answer(tunnel):
    p = tunnel[1]()
    p.client.sendall(REQUEST)
    p.client.shutdown(socket.SHUT_WR)
    assert receive_all(p.server) == REQUEST
    p.server.sendall(ANSWER)
    p.server.close()
    assert receive_all(p.client) == ANSWER


def test_server_half_closes_and_still_gets_the_request(tunnel):
    p = tunnel[1]()
    writer = threading.Thread(target=lambda: (p.server.sendall(ANSWER), p.server.shutdown(socket.SHUT_WR)))
    writer.start()
    assert receive_all(p.client) == ANSWER
    writer.join()
    p.client.sendall(REQUEST)
    p.client.shutdown(socket.SHUT_WR)
    assert receive_all(p.server) == REQUEST


def test_half_close_is_seen_at_once_while_the_other_way_goes_on(tunnel):
    p = tunnel[1]()
    p.client.shutdown(socket.SHUT_WR)
    assert p.server.recv(1) == b""
    for i in range(50):
        p.server.sendall(bytes([i]) * 1000)
        assert receive(p.client, 1000) == bytes([i]) * 1000


ENDINGS = {"half-close": lambda s: s.shutdown(socket.SHUT_WR), "close": lambda s: s.close(), "reset": reset}


@pytest.mark.parametrize("first,second", itertools.product(ENDINGS, repeat=2))
@pytest.mark.parametrize("who", ["client", "server"])
def test_every_order(tunnel, who, first, second):
    p = tunnel[1]()
    a, b = (p.client, p.server) if who == "client" else (p.server, p.client)
    a.sendall(b"last words")
    assert receive(b, 10) == b"last words"
    ENDINGS[first](a)
    # the other side learns of it within the time of a round trip: EOF for half-close and close, an error for a reset
    readable, _, _ = select.select([b], [], [], 30)
    assert readable, f"{second} side heard nothing of {first}"
    if first == "reset":
        assert was_reset(b)
    else:
        assert b.recv(1) == b""
    with contextlib.suppress(OSError):  # a socket that was reset may say so once more
        ENDINGS[second](b)
    if first == "half-close":
        readable, _, _ = select.select([a], [], [], 30)
        assert readable
        assert was_reset(a) == (second == "reset")
    p.close()


def test_no_order_leaves_a_connection(fleet, tunnel):
    none_left(fleet, tunnel)


@pytest.mark.parametrize("who", ["client", "server"])
def test_reset_with_unread_data_passes_on(tunnel, who):
    p = tunnel[1]()
    a, b = (p.client, p.server) if who == "client" else (p.server, p.client)
    b.sendall(b"never read" * 1000)
    time.sleep(0)  # whatever arrived by now is thrown away by the reset
    reset(a)
    readable, _, _ = select.select([b], [], [], 30)
    assert readable and was_reset(b)


@pytest.mark.parametrize("who", ["client", "server"])
def test_close_with_data_in_flight_loses_nothing(tunnel, who):
    p = tunnel[1]()
    a, b = (p.client, p.server) if who == "client" else (p.server, p.client)
    data = os.urandom(4 << 20)
    sender = threading.Thread(target=lambda: (a.sendall(data), a.close()))
    sender.start()
    assert receive_all(b) == data
    sender.join()


@pytest.mark.parametrize("who", ["client", "server"])
def test_slow_reader_stops_the_writer_and_memory_stays_small(fleet, tunnel, who):
    p = tunnel[1]()
    writer, reader = (p.client, p.server) if who == "client" else (p.server, p.client)
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    before = fleet.relay.rss_kib()
    writer.setblocking(False)
    sent, chunk = 0, b"x" * 65536
    quiet_until = time.monotonic() + 2
    while time.monotonic() < quiet_until:
        try:
            sent += writer.send(chunk)
            quiet_until = time.monotonic() + 1
            assert sent < 256 << 20, "the writer was never stopped"
        except BlockingIOError:
            select.select([], [writer], [], 0.1)
    assert fleet.relay.rss_kib() - before < 16 << 10
    writer.setblocking(True)
    writer.settimeout(30)
    writer.shutdown(socket.SHUT_WR)
    assert len(receive_all(reader)) == sent


def test_slow_writer_byte_by_byte(tunnel):
    p = tunnel[1]()
    for i in range(200):
        p.client.sendall(bytes([i]))
        assert p.server.recv(1) == bytes([i])


def test_pipelined_both_ways_at_once(tunnel):
    p = tunnel[1]()
    up, down = os.urandom(8 << 20), os.urandom(8 << 20)
    got = {}
    threads = [threading.Thread(target=lambda: (p.client.sendall(up), p.client.shutdown(socket.SHUT_WR))),
               threading.Thread(target=lambda: (p.server.sendall(down), p.server.shutdown(socket.SHUT_WR))),
               threading.Thread(target=lambda: got.update(up=receive_all(p.server))),
               threading.Thread(target=lambda: got.update(down=receive_all(p.client)))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert got.get("up") == up and got.get("down") == down


def test_target_that_refuses_ends_the_client(fleet):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        mapping = fleet.mapping(s.getsockname()[1])  # bound, not listening
        try:
            with connect(mapping["source_port"]) as client:
                assert client.recv(1) == b""
        except ConnectionResetError:  # which may come before connect() has returned
            pass
        eventually(lambda: fleet.stats(mapping["id"])["refused_by_reason"]["dial"] == 1, "refusal counted")
        assert fleet.stats(mapping["id"])["targets_reached"] == 0


def test_the_time_to_reach_a_target_is_counted(fleet):
    with socket.create_server(("127.0.0.1", 0)) as target:
        mapping = fleet.mapping(target.getsockname()[1])
        for _ in range(3):
            with connect(mapping["source_port"]), target.accept()[0]:
                pass
        stats = fleet.wait_stats(mapping["id"], targets_reached=3)
        assert 0 < stats["connect_time_us"] < 60_000_000


def test_no_descriptor_leaks(fleet, tunnel):
    pair = tunnel[1]
    none_left(fleet, tunnel)
    before = eventually(lambda: fleet.relay.fds(), "descriptors")
    for i in range(300):
        p = pair()
        p.client.sendall(b"x")
        list(ENDINGS.values())[i % 3](p.client)
        p.close()
    eventually(lambda: fleet.relay.fds() <= before + 2, "descriptors given back")
