"""Long answers in clear, whose content goes through a pipe and is not looked at: it is the same content, counted, held back and cut as any other."""
import gzip
import hashlib
import http.client
import os
import re
import signal
import socket
import threading
import time

import h2_peers
import portway
import pytest
from routes import Routes, backend, pool, route
from test_routes_http1 import Backend

MIB = 1 << 20
LEAST = 64 * 1024  # of what is to come: less is read (h1_back.h)
RST = b"\1\0\0\0\0\0\0\0"
BLOB = bytes(os.urandom(MIB)) * 24
SIZES = [0, 1, LEAST - 1, LEAST, LEAST + 1, 2 * LEAST - 150, 2 * LEAST, 2 * LEAST + 1, 4 * LEAST - 1, 4 * LEAST, 4 * LEAST + 1, 5 * LEAST,
         MIB - 1, MIB, MIB + 1, 5 * MIB + 7]


def content(size, salt=0):
    """Differs by size and salt, so that bytes of another answer are seen."""
    return BLOB[salt * 1001:salt * 1001 + size]


def head_of(size, status="200 OK", more=""):
    return f"HTTP/1.1 {status}\r\n{more}Content-Length: {size}\r\n\r\n".encode()


def asked(head):
    """/SIZE/SALT"""
    return [int(n) for n in re.match(r"\w+ /(\d+)/(\d+)", head).groups()]


def at_once(conn, head, left):
    size, salt = asked(head)
    conn.sendall(head_of(size) + content(size, salt))
    return left


def head_first(conn, head, left):
    size, salt = asked(head)
    conn.sendall(head_of(size))
    time.sleep(0.02)
    conn.sendall(content(size, salt))
    return left


def in_pieces(step, wait=0.0):
    def handler(conn, head, left):
        size, salt = asked(head)
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conn.sendall(head_of(size))
        whole = content(size, salt)
        for at in range(0, size, step):
            conn.sendall(whole[at:at + step])
            time.sleep(wait)
        return left
    return handler


class Reader:
    """A client's connection, of which answers are read one after the other."""

    def __init__(self, routes, small=False):
        self.s = socket.socket()
        if small:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.s.settimeout(30)
        self.s.connect(("127.0.0.1", routes.port))
        self.left, self.bytes = b"", 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def ask(self, host, path, method="GET", fields="", version="1.1"):
        self.s.sendall(f"{method} {path} HTTP/{version}\r\nHost: {host}\r\n{fields}\r\n".encode())

    def more(self):
        got = self.s.recv(1 << 18)
        self.bytes += len(got)
        return got

    def head(self):
        while b"\r\n\r\n" not in self.left:
            got = self.more()
            assert got, "the end before a head"
            self.left += got
        head, self.left = self.left.split(b"\r\n\r\n", 1)
        return head.decode()

    def length(self, size):
        parts, have = [self.left], len(self.left)
        while have < size:
            got = self.more()
            assert got, f"the end after {have} of {size}"
            parts.append(got)
            have += len(got)
        whole = b"".join(parts)
        self.left = whole[size:]
        return whole[:size]

    def answer(self, size, salt=0):
        head = self.head()
        assert head.startswith("HTTP/1.1 200") and f"content-length: {size}" in head.lower(), head
        got = self.length(size)
        assert hashlib.sha256(got).digest() == hashlib.sha256(content(size, salt)).digest(), f"{size}: other bytes"

    def get(self, host, size, salt=0, **kw):
        self.ask(host, f"/{size}/{salt}", **kw)
        self.answer(size, salt)


class Case:
    n = 0

    def __init__(self, routes, handler, **more):
        Case.n += 1
        self.name = f"long{Case.n}"
        self.host, self.routes, self.backend = f"{self.name}.test", routes, Backend(handler)
        routes.put(pool("p" + self.name, backend("b" + self.name, self.backend.port)), route("r" + self.name, "p" + self.name, self.host, **more))
        assert not routes.refused

    def counted(self, what):
        return self.routes.counts.get("r" + self.name, {}).get(what, 0)


def pipes(routes):
    """Ends of pipes that the relay has."""
    found, folder = 0, f"/proc/{routes.relay.pid}/fd"
    for name in os.listdir(folder):
        try:
            found += os.readlink(f"{folder}/{name}").startswith("pipe:")
        except FileNotFoundError:
            pass
    return found


@pytest.fixture(scope="module", name="routes")
def of_one_worker():
    r = Routes({"RELAYD_HTTP_BODY_TIMEOUT": "5s"}, workers=1)
    yield r
    r.stop()


@pytest.mark.parametrize("handler", [at_once, head_first, in_pieces(200_000), in_pieces(10_000), in_pieces(30_011, 0.001)],
                         ids=["at once", "head first", "large pieces", "small pieces", "slow pieces"])
def test_content_is_the_same_and_connections_are_kept(routes, handler):
    """Sizes about the bounds, two hosts in turns on one connection: no byte of the next answer is taken for one of this, and each is counted."""
    one, two = Case(routes, handler), Case(routes, at_once)
    with Reader(routes) as r:
        for i, size in enumerate(SIZES):
            r.get(one.host, size, i)
            r.get(two.host, SIZES[-1 - i], i)
        for c in (one, two):
            assert c.backend.connections == 1, "a connection is used again"
            routes.wait_counts("r" + c.name, requests=len(SIZES), answers_2xx=len(SIZES), closed=len(SIZES))
        assert one.counted("bytes_out") + two.counted("bytes_out") == r.bytes


def test_a_pipe_is_used(routes):
    """The first of all: pipes are opened when they are needed, and kept for the next answer."""
    c, before = Case(routes, at_once), pipes(routes)
    with Reader(routes, small=True) as r:
        r.ask(c.host, f"/{20 * MIB}/0")
        portway.eventually(lambda: c.counted("bytes_out") == (time.sleep(0.5), c.counted("bytes_out"))[1] > 0, "it stands still")
        assert pipes(routes) >= max(before, 2)
        r.answer(20 * MIB)
    with Reader(routes) as r:
        r.get(c.host, LEAST // 2)


def test_pipelined(routes):
    c = Case(routes, at_once)
    with Reader(routes) as r:
        for i, size in enumerate(SIZES):
            r.ask(c.host, f"/{size}/{i}")
        for i, size in enumerate(SIZES):
            r.answer(size, i)


def test_http_1_0(routes):
    c = Case(routes, at_once)
    with Reader(routes) as r:
        r.ask(c.host, f"/{2 * MIB}/1", version="1.0")
        assert r.head().startswith("HTTP/1.1 200") and r.length(2 * MIB) == content(2 * MIB, 1) and not r.more()


@pytest.mark.parametrize("method, status", [("HEAD", "200 OK"), ("GET", "304 Not Modified"), ("HEAD", "404 Not Found")])
def test_a_length_without_content_is_not_waited_for(routes, method, status):
    def handler(conn, head, left):
        if "/none" in head:
            conn.sendall(head_of(100 * MIB, status))
        else:
            at_once(conn, head, left)
        return left
    c = Case(routes, handler)
    with Reader(routes) as r:
        for _ in range(3):
            r.ask(c.host, "/none", method)
            assert r.head().split(" ")[1] == status.split(" ")[0]
            r.get(c.host, MIB, 3)
    assert c.backend.connections == 1


def test_no_content(routes):
    def handler(conn, head, left):
        conn.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        return left
    c = Case(routes, handler)
    with Reader(routes) as r:
        for _ in range(3):
            r.ask(c.host, "/")
            assert " 204 " in r.head()


@pytest.mark.parametrize("garbage", [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nBAD"])
@pytest.mark.parametrize("wait", [0, 0.05])
def test_what_comes_behind_is_never_an_answer(routes, garbage, wait):
    """A backend that says more than was asked: its connection is not used again, whenever that comes."""
    def handler(conn, head, left):
        size, salt = asked(head)
        conn.sendall(head_of(size) + content(size, salt) + (b"" if wait else garbage))
        if wait:
            time.sleep(wait)
            conn.sendall(garbage)
        return left
    c = Case(routes, handler)
    with Reader(routes) as r:
        for i, size in enumerate(SIZES):
            r.get(c.host, size, i)
            time.sleep(2 * wait)
    assert c.backend.connections == len(SIZES)


def test_what_came_with_the_last_bytes_is_never_an_answer(routes):
    """All of it is there before the relay looks, so that nothing tells it of the rest."""
    def handler(conn, head, left):
        size, salt = asked(head)
        if "/rest" not in head:
            return at_once(conn, head, left)
        routes.relay.signal(signal.SIGSTOP)
        conn.setblocking(False)
        sent = conn.send(head_of(size) + content(size, salt) + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nBAD")
        conn.setblocking(True)
        time.sleep(0.2)
        routes.relay.signal(signal.SIGCONT)
        assert sent > size
        return left
    c = Case(routes, handler)
    with Reader(routes) as r:
        for i in range(3):
            for _ in range(8):
                r.get(c.host, 2 * MIB, i)  # the kernel has room for as much by then
            r.ask(c.host, f"/{3 * LEAST}/{i}/rest")
            r.answer(3 * LEAST, i)
            assert c.backend.connections == i + 1
            time.sleep(0.1)


def test_a_slow_reader_holds_the_backend_back(routes):
    sent = []

    def handler(conn, head, left):
        size, salt = asked(head)
        conn.sendall(head_of(size))
        whole = memoryview(content(size, salt))
        for at in range(0, size, LEAST):
            conn.sendall(whole[at:at + LEAST])
            sent.append(LEAST)
        return left
    c = Case(routes, handler)
    with Reader(routes, small=True) as r:
        r.ask(c.host, f"/{20 * MIB}/2")
        portway.eventually(lambda: sent and len(sent) == (time.sleep(0.5), len(sent))[1], "the backend is stopped")
        assert sum(sent) < 18 * MIB, "what kernels hold, and a pipe"
        counted = portway.eventually(lambda: c.counted("bytes_out"), "bytes are counted while it is under way")
        assert counted < 18 * MIB
        r.answer(20 * MIB, 2)
        routes.wait_counts("r" + c.name, bytes_out=r.bytes)


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
@pytest.mark.parametrize("slow", [False, True], ids=["quick", "slow"])
def test_a_backend_that_dies_in_the_middle(routes, reset, slow):
    """What is cut looks cut, however much came, and though all that came is passed on first where that can be."""
    def handler(conn, head, left):
        size, salt = asked(head)
        conn.sendall(head_of(8 * MIB) + content(size, salt))
        if reset:
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
        conn.close()
    c = Case(routes, handler)
    for i, size in enumerate((1, LEAST, 3 * LEAST, MIB, 6 * MIB, 8 * MIB - 1)):
        with Reader(routes, small=slow) as r:
            r.ask(c.host, f"/{size}/{i}")
            if reset:  # it may overtake even the head
                with pytest.raises((ConnectionResetError, AssertionError)):
                    r.head()
                    r.length(8 * MIB)
                continue
            r.head()
            if slow:
                time.sleep(0.3)
            with pytest.raises(ConnectionResetError):
                r.length(8 * MIB)
    routes.wait_counts("r" + c.name, requests=6, closed=6)


def test_a_client_that_goes_in_the_middle(routes):
    ended = []

    def handler(conn, head, left):
        try:
            return at_once(conn, head, left)
        except OSError:
            ended.append(1)
            raise
    c = Case(routes, handler)
    for i in range(12):
        r = Reader(routes, small=i % 2 == 0)
        r.ask(c.host, f"/{20 * MIB}/0")
        r.head()
        r.length(i * 100_000 + 1)
        if i % 3:
            r.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
        r.s.close()
    portway.eventually(lambda: len(ended) == 12, "the backend is told")
    routes.wait_counts("r" + c.name, requests=12, closed=12)
    with Reader(routes) as r:
        r.get(c.host, 5 * MIB)


def test_cut_and_switched_off_in_the_middle(routes):
    c = Case(routes, at_once)
    for end in ("cut", "off"):
        with Reader(routes, small=True) as r:
            r.ask(c.host, f"/{20 * MIB}/0")
            r.head()
            mine = portway.eventually(lambda: [one for one in routes.ask(ask="list") if one[1] == "r" + c.name], "it is listed")
            if end == "cut":
                routes.ask(ask="cut", conn=int(mine[0][0]))
            else:
                routes.put(route("r" + c.name, "p" + c.name, c.host, enabled=False))
            with pytest.raises(ConnectionResetError):
                r.length(20 * MIB)


def test_a_route_that_changes_in_the_middle(routes):
    """The answer goes on with what it began with, also where its pipe belongs to."""
    c = Case(routes, at_once)
    with Reader(routes, small=True) as r:
        r.ask(c.host, f"/{20 * MIB}/5")
        r.head()
        routes.put(route("r" + c.name, "p" + c.name, c.host, retries=1))
        time.sleep(0.2)
        routes.put(route("r" + c.name, "p" + c.name, c.host, retries=2))
        assert r.length(20 * MIB) == content(20 * MIB, 5)
        r.get(c.host, MIB, 2)
        routes.wait_counts("r" + c.name, requests=2, closed=2)
        r.ask(c.host, f"/{20 * MIB}/5")
        r.head()
        routes.put(route("r" + c.name, "p" + c.name, c.host, retries=1))
        r.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
    routes.wait_counts("r" + c.name, requests=3, closed=3)


def test_content_that_a_filter_changes_is_read(routes):
    text = b"all work and no play\n" * 100_000

    def handler(conn, head, left):
        conn.sendall(head_of(len(text), more="Content-Type: text/plain\r\n") + text)
        return left
    c = Case(routes, handler, gzip={"types": "text/plain"})
    client = http.client.HTTPConnection("127.0.0.1", routes.port, timeout=30)
    for _ in range(2):
        client.request("GET", "/", headers={"Host": c.host, "Accept-Encoding": "gzip"})
        said = client.getresponse()
        packed = said.read()
        assert said.headers["Content-Encoding"] == "gzip" and len(packed) < len(text) / 10 and gzip.decompress(packed) == text
    client.close()


@pytest.mark.parametrize("limit", [1_000_000, 20_000_000])
def test_bandwidth(routes, limit):
    """Long answers one after the other; what is free at first is a second's tenth."""
    c = Case(routes, at_once, rate_out=limit)
    with Reader(routes) as r:
        r.get(c.host, 2 * LEAST)
        began, at = time.monotonic(), r.bytes
        while time.monotonic() - began < 3:
            r.get(c.host, max(limit // 4, 3 * LEAST))
        off = (r.bytes - at) / limit / (time.monotonic() - began) - 1
        assert off <= 0.03, f"{off:+.1%}"
        assert off >= (-0.03 if limit < MIB else -0.4), f"{off:+.1%}"  # a busy machine does not come to more


def test_a_silent_backend_in_the_middle():
    def handler(conn, head, left):
        conn.sendall(head_of(8 * MIB) + content(MIB))
        time.sleep(20)
    routes = Routes({"RELAYD_HTTP_RESPONSE_TIMEOUT": "1s"}, workers=1)
    try:
        c = Case(routes, handler)
        with Reader(routes) as r:
            r.ask(c.host, "/0/0")
            r.head()
            began = time.monotonic()
            with pytest.raises(ConnectionResetError):
                r.length(8 * MIB)
            assert 0.5 < time.monotonic() - began < 10
        routes.wait_counts("r" + c.name, timed_out=1)
    finally:
        routes.stop()


def stalled(routes, c, n, size):
    readers = [Reader(routes, small=True) for _ in range(n)]
    for i, r in enumerate(readers):
        r.ask(c.host, f"/{size}/{i % 50}")
    portway.eventually(lambda: len(c.backend.requests) == n, "all are asked for", 60)
    portway.eventually(lambda: c.counted("bytes_out") == (time.sleep(1), c.counted("bytes_out"))[1] > 0, "they stand still", 60)
    return readers


def test_no_pipe_is_left():
    """Clients of one route that read nothing leave pipes to another's; whoever finds none is served all the same, and nobody's bytes are lost."""
    routes, n, size = Routes(workers=1, nofile=4000), 150, 6 * MIB
    try:
        slow, other, none = Case(routes, at_once), Case(routes, at_once), pipes(routes)
        readers = stalled(routes, slow, n, size)
        most = pipes(routes) - none
        assert 100 < most <= 2 * 128, most
        with Reader(routes) as r:
            for i in range(5):
                r.get(other.host, 5 * MIB, i)
        assert pipes(routes) - none <= 2 * 128
        threads = [threading.Thread(target=r.answer, args=(size, i % 50)) for i, r in enumerate(readers)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(120)
        for i, r in enumerate(readers):
            r.get(slow.host, 3, i)
            r.s.close()
        routes.wait_counts("r" + slow.name, requests=2 * n, closed=2 * n, bytes_out=sum(r.bytes for r in readers))
        portway.eventually(lambda: pipes(routes) - none <= 2 * 16, "only what is kept ready stays")
    finally:
        routes.stop()


def test_no_descriptors_for_pipes():
    """Hardly more descriptors than clients and backends need."""
    routes = Routes(workers=1, nofile=140)
    try:
        c = Case(routes, at_once)
        readers = []
        for i in range(20):
            readers.append(Reader(routes, small=True))
            readers[-1].ask(c.host, f"/{6 * MIB}/{i}")
        portway.eventually(lambda: len(c.backend.requests) == 20, "all are asked for")
        for i, r in enumerate(readers):
            r.answer(6 * MIB, i)
            r.s.close()
        routes.wait_counts("r" + c.name, requests=20, closed=20)
    finally:
        routes.stop()


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_the_last_of_it_is_not_taken(version):
    """An answer that was given whole, of any size, holds nothing for ever when its client stops reading; one who reads slowly has it."""
    routes = Routes({"RELAYD_HTTP_BODY_TIMEOUT": "2s", "RELAYD_HTTP_RESPONSE_TIMEOUT": "2s", "RELAYD_HTTP_IDLE_TIMEOUT": "2s"})
    readers = []
    try:
        c = Case(routes, at_once)
        with Reader(routes, small=True) as slow:
            slow.ask(c.host, f"/{4 * MIB}/0", version=version)
            for size in range(LEAST, 5 * MIB, 80_000):
                readers.append(Reader(routes, small=True))
                readers[-1].ask(c.host, f"/{size}/1", version=version)
            assert slow.head()
            for at in range(0, 4 * MIB, MIB // 2):
                time.sleep(0.5)
                assert slow.length(MIB // 2) == BLOB[at:at + MIB // 2]
        portway.eventually(lambda: routes.relay.metrics()["relayd_http_connections_now"] == 0, "all are left", 60)
        assert routes.relay.metrics()["relayd_http_slow_client_total"] > 0
        portway.eventually(lambda: pipes(routes) <= 2 * 2 * 16, "only what is kept ready stays")
    finally:
        for reader in readers:
            reader.s.close()
        routes.stop()


def test_the_last_of_it_is_not_taken_over_http2():
    """A stream whose window stays shut is given up; its connection and the others on it stay."""
    routes = Routes({"RELAYD_HTTP_BODY_TIMEOUT": "2s", "RELAYD_HTTP_RESPONSE_TIMEOUT": "60s"}, workers=1)
    c = Case(routes, at_once)
    client = h2_peers.Client(routes.port)
    try:
        client.slow.add(1)
        client.h2.increment_flow_control_window(1 << 20)  # of the connection
        assert client.get(c.host, "/100000/1") == 1
        client.read(lambda: len(client.bodies[1]) == 65535)
        other = client.get(c.host, "/100000/2")
        assert client.answer(other)[2] == content(100000, 2)
        client.read(lambda: 1 in client.resets)
        assert client.resets[1] == 8, "CANCEL"
        assert client.answer(client.get(c.host, "/10/3"))[2] == content(10, 3)
        assert routes.relay.metrics()["relayd_http_slow_client_total"] == 1
    finally:
        client.close()
        routes.stop()


def test_two_workers_and_a_relay_that_ends():
    """Answers that are under way when it is told to end are given whole."""
    routes = Routes({"RELAYD_DRAIN_TIMEOUT": "30s"})
    c = Case(routes, at_once)
    readers = [Reader(routes, small=True) for _ in range(12)]
    for i, r in enumerate(readers):
        r.ask(c.host, f"/{8 * MIB}/{i}")
        r.head()
    ending = threading.Thread(target=routes.stop)
    ending.start()
    time.sleep(0.5)
    assert routes.relay.alive()
    for i, r in enumerate(readers):
        assert r.length(8 * MIB) == content(8 * MIB, i)
        r.s.close()
    ending.join(40)
    assert not ending.is_alive() and not routes.relay.alive()
