"""HTTP/1.1 through a route: what clients and backends may do, each beside a backend that is a few lines of Python."""
import contextlib
import re
import socket
import threading
import time

import portway
import pytest
from routes import Routes, backend, pool, route

CRLF = b"\r\n"


class Backend:
    """handler(connection, head, body_begun) is called for each request head; it answers itself. False ends the connection."""

    def __init__(self, handler):
        self.handler, self.requests, self.connections, self.open = handler, [], 0, set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        left = b""
        self.open.add(conn)
        try:
            while True:
                while b"\r\n\r\n" not in left:
                    more = conn.recv(65536)
                    if not more:
                        return
                    left += more
                head, left = left.split(b"\r\n\r\n", 1)
                self.requests.append(head.decode())
                left = self.handler(conn, head.decode(), left)
                if left is None:
                    return
        except OSError:
            pass
        finally:
            self.open.discard(conn)
            conn.close()

    def kill(self):
        """As kill -9: everything is reset."""
        self.close()
        for conn in list(self.open):
            with contextlib.suppress(OSError):  # one that has just ended by itself
                conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                conn.shutdown(socket.SHUT_RDWR)
                conn.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def read_length(conn, head, left):
    found = re.search(r"content-length: (\d+)", head, re.I)
    want = int(found.group(1)) if found else 0
    while len(left) < want:
        more = conn.recv(65536)
        if not more:
            raise OSError
        left += more
    return left[:want], left[want:]


def answer(conn, body, status="200 OK", more=b""):
    conn.sendall(b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (status.encode(), more, len(body), body))


def echo(conn, head, left):
    body, left = read_length(conn, head, left)
    answer(conn, head.split("\r\n")[0].encode() + b"|" + body)
    return left


@pytest.fixture(scope="module")
def routes():
    r = Routes({"RELAYD_HTTP_HEAD_TIMEOUT": "5s", "RELAYD_HTTP_BODY_TIMEOUT": "5s", "RELAYD_HTTP_IDLE_TIMEOUT": "60s"})
    yield r
    r.stop()


class Case:
    """A backend behind a route of its own."""
    n = 0

    def __init__(self, routes, handler, pool_more=None, backend_more=None, **more):
        Case.n += 1
        self.routes, self.name = routes, f"c{Case.n}"
        self.host = f"{self.name}.test"
        self.backend = Backend(handler)
        routes.put(pool("p" + self.name, backend("b" + self.name, self.backend.port, **(backend_more or {})), **(pool_more or {})),
                   route("r" + self.name, "p" + self.name, self.host, **more))
        assert not routes.refused

    def connect(self):
        s = portway.connect(self.routes.port)
        s.settimeout(30)
        return s

    def head(self, method="GET", path="/", fields="", version="1.1"):
        return f"{method} {path} HTTP/{version}\r\nHost: {self.host}\r\n{fields}\r\n".encode()

    def ask(self, data):
        """All that is answered until the end."""
        with self.connect() as s:
            s.sendall(data)
            return portway.receive_all(s)

    def get(self, **kw):
        return self.ask(self.head(fields="Connection: close\r\n", **kw))


def receive_until(s, what):
    got = b""
    while what not in got:
        more = s.recv(65536)
        assert more, got
        got += more
    return got


def status(answer_bytes):
    return int(answer_bytes.split(b" ")[1])


def body(answer_bytes):
    return answer_bytes.split(b"\r\n\r\n", 1)[1]


def test_keep_alive_both_ways(routes):
    c = Case(routes, echo)
    with c.connect() as s:
        for i in range(20):
            s.sendall(c.head(path=f"/{i}"))
            got = receive_until(s, f"GET /{i} HTTP/1.1|".encode())
            assert status(got) == 200 and b"connection: close" not in got
    assert c.backend.connections == 1
    routes.wait_counts("r" + c.name, requests=20, answers_2xx=20, opened=20, closed=20)
    routes.wait_counts("b" + c.name, requests=20)


def test_pipelined_requests_are_answered_in_order(routes):
    c = Case(routes, echo)
    data = b"".join(c.head(path=f"/{i}") for i in range(30)) + c.head(path="/last", fields="Connection: close\r\n")
    got = c.ask(data)
    assert re.findall(rb"GET /(\w+) ", got) == [b"%d" % i for i in range(30)] + [b"last"]


def test_bytes_one_by_one(routes):
    c = Case(routes, echo)
    with c.connect() as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in c.head("POST", fields="Content-Length: 3\r\nConnection: close\r\n") + b"abc":
            s.sendall(bytes([byte]))
        assert body(portway.receive_all(s)) == b"POST / HTTP/1.1|abc"


def test_chunks_and_trailers(routes):
    def handler(conn, head, left):
        got = left
        while b"0\r\n" not in got or not got.endswith(b"\r\n\r\n"):
            got += conn.recv(65536)
        handler.got = got
        conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nx-sum: 5\r\n\r\n")
        return b""
    c = Case(routes, handler)
    got = c.ask(c.head("POST", fields="Transfer-Encoding: chunked\r\nConnection: close\r\n") +
                b"5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nx-check: 7\r\n\r\n")
    assert b"transfer-encoding: chunked" in got.lower()
    assert got.endswith(b"0\r\nx-sum: 5\r\n\r\n")
    assert b"abc" in got and b"de" in got and b"ext=1" not in got
    assert b"x-check: 7" in handler.got and b"a=b" not in handler.got
    assert re.sub(rb"[0-9a-f]+\r\n(.*?)\r\n", rb"\1", handler.got.split(b"0\r\nx-check")[0]) == b"hello world"


def test_an_answer_that_ends_with_its_connection(routes):
    def handler(conn, head, left):
        conn.sendall(b"HTTP/1.1 200 OK\r\n\r\nall of it")
    c = Case(routes, handler)
    got = c.get()
    assert b"transfer-encoding: chunked" in got and b"9\r\nall of it\r\n0\r\n\r\n" in got
    old = c.ask(c.head(version="1.0"))
    assert b"chunked" not in old and body(old) == b"all of it" and b"connection: close" in old


@pytest.mark.parametrize("method, line, more, content", [
    ("HEAD", b"200 OK", b"Content-Length: 1000\r\n", b""),
    ("GET", b"204 No Content", b"", b""),
    ("GET", b"304 Not Modified", b"ETag: \"x\"\r\nContent-Length: 77\r\n", b""),
    ("GET", b"200 OK", b"Content-Length: 0\r\n", b""),
])
def test_answers_without_content(routes, method, line, more, content):
    def handler(conn, head, left):
        conn.sendall(b"HTTP/1.1 " + line + b"\r\n" + more + b"\r\n")
        return left
    c = Case(routes, handler)
    with c.connect() as s:
        for _ in range(3):
            s.sendall(c.head(method))
            got = receive_until(s, b"\r\n\r\n")
            assert got.startswith(b"HTTP/1.1 " + line) and body(got) == content
            if b"Content-Length" in more:
                assert more.split(b"Content-Length: ")[1].strip() in got
    assert c.backend.connections == 1


def test_expect_100_continue(routes):
    def handler(conn, head, left):
        assert "100-continue" in head and left == b""
        conn.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        data, left = read_length(conn, head, left)
        answer(conn, data)
        return left
    c = Case(routes, handler)
    with c.connect() as s:
        s.sendall(c.head("PUT", fields="Expect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n"))
        early = receive_until(s, b"100 Continue\r\n\r\n")
        assert early.startswith(b"HTTP/1.1 103 ") and b"</a>" in early
        s.sendall(b"data")
        assert body(portway.receive_all(s)) == b"data"


def test_a_final_answer_instead_of_100(routes):
    def handler(conn, head, left):
        answer(conn, b"no", "417 Expectation Failed")
        return left
    c = Case(routes, handler)
    with c.connect() as s:
        s.sendall(c.head("PUT", fields="Expect: 100-continue\r\nContent-Length: 4000000\r\n"))
        got = portway.receive_all(s)  # the content was never sent, so nothing can follow it
    assert status(got) == 417 and body(got) == b"no"


def test_an_early_answer_while_the_client_still_sends(routes):
    def handler(conn, head, left):
        answer(conn, b"enough", "413 Content Too Large", b"Connection: close\r\n")
    c = Case(routes, handler)
    with c.connect() as s:
        s.sendall(c.head("POST", fields="Content-Length: 100000000\r\n") + b"x" * 100000)
        got = portway.receive_all(s)
    assert status(got) == 413 and body(got) == b"enough"


def test_both_ways_at_once(routes):
    """A backend that answers what it gets, while it gets it."""
    def handler(conn, head, left):
        conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b"one", b"two"):
            while piece not in left:
                left += conn.recv(65536)
            conn.sendall(b"3\r\n" + piece.upper() + b"\r\n")
        while b"0\r\n\r\n" not in left:
            left += conn.recv(65536)
        conn.sendall(b"0\r\n\r\n")
        return b""
    c = Case(routes, handler)
    with c.connect() as s:
        s.sendall(c.head("POST", fields="Transfer-Encoding: chunked\r\n") + b"3\r\none\r\n")
        receive_until(s, b"ONE\r\n")
        s.sendall(b"3\r\ntwo\r\n")
        receive_until(s, b"TWO\r\n")
        s.sendall(b"0\r\n\r\n")
        receive_until(s, b"0\r\n\r\n")
        s.sendall(c.head("POST", fields="Transfer-Encoding: chunked\r\nConnection: close\r\n") + b"6\r\nonetwo\r\n0\r\n\r\n")
        assert b"ONE" in portway.receive_all(s)


def test_half_close_of_the_client(routes):
    def handler(conn, head, left):
        data, left = read_length(conn, head, left)
        time.sleep(0.2)  # the client has shut down its side by now
        answer(conn, b"%d" % len(data))
        return left
    c = Case(routes, handler)
    with c.connect() as s:
        s.sendall(c.head("POST", fields="Content-Length: 10\r\n") + b"0123456789")
        s.shutdown(socket.SHUT_WR)
        assert body(portway.receive_all(s)) == b"10"


def test_big_content_both_ways(routes):
    size = 20_000_000

    def handler(conn, head, left):
        data, left = read_length(conn, head, left)
        answer(conn, data)
        return left
    c = Case(routes, handler)
    blob = bytes(range(256)) * (size // 256)
    with c.connect() as s:
        threading.Thread(target=s.sendall, args=(c.head("POST", fields=f"Content-Length: {len(blob)}\r\nConnection: close\r\n") + blob,),
                         daemon=True).start()
        got = portway.receive_all(s)
    assert body(got) == blob
    kib = routes.relay.rss_kib()
    assert kib < 400_000, kib  # nothing is held whole (the sanitizers have their part in this number)


def test_a_slow_reader_holds_the_backend_back(routes):
    sent = []

    def handler(conn, head, left):
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        conn.settimeout(1)
        try:
            while True:
                sent.append(conn.send(b"x" * 65536))
        except TimeoutError:
            pass
    c = Case(routes, handler)
    with c.connect() as s:
        s.sendall(c.head())
        receive_until(s, b"\r\n\r\n")
        portway.eventually(lambda: sent and len(sent) == (time.sleep(0.5), len(sent))[1], "the backend is stopped")
        assert sum(sent) < 50_000_000  # what kernels hold, and one read of ours


def test_websocket_and_raw_bytes_both_ways(routes):
    def handler(conn, head, left):
        assert "upgrade: websocket" in head.lower() and "connection: upgrade" in head.lower()
        conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nfirst")
        while True:
            data = left or conn.recv(65536)
            left = b""
            if not data:
                conn.sendall(b"bye")
                return None
            conn.sendall(data.upper())
    c = Case(routes, handler)
    with c.connect() as s:
        s.sendall(c.head(fields="Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n") + b"early")
        head = receive_until(s, b"first")
        assert head.startswith(b"HTTP/1.1 101 ") and b"upgrade: websocket" in head.lower()
        got = head.split(b"first", 1)[1]
        while b"EARLY" not in got:
            got += s.recv(65536)
        s.sendall(b"\x00\xff raw")
        receive_until(s, b"\x00\xff RAW")
        s.shutdown(socket.SHUT_WR)
        assert portway.receive_all(s) == b"bye"


def test_an_upgrade_that_is_not_taken(routes):
    c = Case(routes, echo)
    with c.connect() as s:
        s.sendall(c.head(fields="Connection: Upgrade\r\nUpgrade: other\r\n") + c.head(path="/next", fields="Connection: close\r\n"))
        got = portway.receive_all(s)
    assert got.count(b"HTTP/1.1 200 OK") == 2 and b"GET /next" in got


@pytest.mark.parametrize("fields", ["Upgrade: h2c\r\n", "Upgrade: foo, H2C\r\n", "Upgrade: websocket\r\nUpgrade: h2c\r\n"])
def test_h2c_is_asked_of_no_backend(routes, fields):
    """It would be a way past all routes and rules to whatever the backend serves."""
    def handler(conn, head, left):
        assert "upgrade" not in head.lower() and "http2-settings" not in head.lower(), head
        return echo(conn, head, left)
    c = Case(routes, handler)
    with c.connect() as s:
        s.sendall(c.head(fields="Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n" + fields) +
                  c.head(path="/next", fields="Connection: close\r\n"))
        got = portway.receive_all(s)
    assert got.count(b"HTTP/1.1 200 OK") == 2 and b"GET /next" in got


def test_connect(routes):
    def handler(conn, head, left):
        assert head.startswith("CONNECT db.test:5432 HTTP/1.1")
        conn.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        while data := conn.recv(65536):
            conn.sendall(data[::-1])
    c = Case(routes, handler)
    c.routes.put(route("rc" + c.name, "p" + c.name, "db.test"))
    with c.connect() as s:
        s.sendall(b"CONNECT db.test:5432 HTTP/1.1\r\nHost: db.test:5432\r\n\r\n")
        assert status(receive_until(s, b"\r\n\r\n")) == 200
        s.sendall(b"abc")
        receive_until(s, b"cba")


def test_what_is_for_one_hop_stays_and_the_way_is_told(routes):
    def handler(conn, head, left):
        answer(conn, head.encode(), more=b"Keep-Alive: timeout=5\r\nConnection: keep-alive, X-Own\r\nX-Own: 1\r\nX-Kept: 2\r\n")
        return left
    c = Case(routes, handler)
    got = c.ask(c.head(fields="Connection: close, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nX-Real-IP: 9.9.9.9\r\n"
                              "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Request-ID: mine-1\r\nProxy-Connection: x\r\n"))
    seen = body(got).decode().lower()
    for gone in ("x-secret", "keep-alive", "proxy-connection", "6.6.6.6", "9.9.9.9", "close"):
        assert gone not in seen, gone
    for there in ("x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http", f"x-forwarded-host: {c.host}", "via: 1.1 portway",
                  "x-request-id: mine-1", f'forwarded: for=127.0.0.1;proto=http;host="{c.host}"', "x-real-ip: 127.0.0.1", "te: trailers"):
        assert there in seen, there
    head = got.split(b"\r\n\r\n")[0].lower()
    assert b"x-own" not in head and b"x-kept: 2" in head and b"x-request-id: mine-1" in head and b"connection: close" in head


def test_a_request_without_an_id_gets_one(routes):
    c = Case(routes, echo)
    ids = {re.search(rb"x-request-id: ([0-9a-f]{32})\r", c.get()).group(1) for _ in range(3)}
    assert len(ids) == 3


# ---- limits ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("request_text, want", [
    ("GET /%zz HTTP/1.1\r\nHost: {host}\r\n\r\n", 400),
    ("GET /../../x HTTP/1.1\r\nHost: {host}\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    ("GET / HTTP/2.7\r\nHost: {host}\r\n\r\n", 505),
    ("GET /{long} HTTP/1.1\r\nHost: {host}\r\n\r\n", 414),
    ("GET / HTTP/1.1\r\nHost: {host}\r\n{many}\r\n", 431),
    ("POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
])
def test_bad_requests_after_a_good_one(routes, request_text, want):
    """The second on a connection: the first one's host is looked at before the engine has it."""
    c = Case(routes, echo)
    text = request_text.format(host=c.host, long="x" * 9000, many="".join(f"x-{i}: 1\r\n" for i in range(120)))
    with c.connect() as s:
        s.sendall(c.head(path="/good"))
        receive_until(s, b"GET /good HTTP/1.1|")
        s.sendall(text.encode())
        assert status(receive_until(s, b"\r\n\r\n")) == want


def test_content_longer_than_the_route_takes(routes):
    c = Case(routes, echo, max_body=10)
    assert status(c.ask(c.head("POST", fields="Content-Length: 11\r\n") + b"x" * 11)) == 413
    assert status(c.ask(c.head("POST", fields="Transfer-Encoding: chunked\r\n") + b"b\r\n" + b"x" * 11 + b"\r\n0\r\n\r\n")) == 413
    assert status(c.ask(c.head("POST", fields="Content-Length: 10\r\nConnection: close\r\n") + b"x" * 10)) == 200


def test_slow_heads_and_slow_content(routes):
    c = Case(routes, echo)
    with c.connect() as s:
        s.sendall(c.head(path="/good"))
        receive_until(s, b"GET /good HTTP/1.1|")
        s.sendall(b"GET / HT")
        assert status(portway.receive_all(s)) == 408
    with c.connect() as s:
        s.sendall(c.head("POST", fields="Content-Length: 10\r\n") + b"abc")
        assert status(portway.receive_all(s)) == 408


def test_a_backend_that_does_not_answer(routes):
    c = Case(routes, lambda conn, head, left: time.sleep(20), response_timeout_ms=300)
    got = c.get()
    assert status(got) == 504
    routes.wait_counts("r" + c.name, answers_5xx=1, timed_out=1)


def test_a_backend_that_cannot_be_reached(routes):
    c = Case(routes, echo)
    c.backend.close()
    time.sleep(0.05)
    assert status(c.get()) == 502


@pytest.mark.parametrize("bytes_back", [b"", b"HTTP/1.1 200 OK\r\nContent-Len", b"garbage\r\n\r\n",
                                        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n"])
def test_a_backend_that_breaks_off_or_talks_nonsense(routes, bytes_back):
    def handler(conn, head, left):
        conn.sendall(bytes_back)
    c = Case(routes, handler)
    assert status(c.get()) == 502


def test_an_answer_that_breaks_off_looks_broken(routes):
    def handler(conn, head, left):
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        time.sleep(0.1)
    c = Case(routes, handler)
    with c.connect() as s, pytest.raises(ConnectionResetError):
        s.sendall(c.head())
        while s.recv(65536):
            pass
        raise AssertionError("a clean end")


def test_the_client_is_told_whose_host_it_is_not(routes):
    c = Case(routes, echo)
    with c.connect() as s:
        s.sendall(c.head(path="/good"))
        receive_until(s, b"GET /good HTTP/1.1|")
        s.sendall(b"GET / HTTP/1.1\r\nHost: nobody.test\r\nConnection: close\r\n\r\n")
        assert status(portway.receive_all(s)) == 404
    c2 = Case(routes, echo)
    with c.connect() as s:  # one connection, two hosts: each request goes by its own
        s.sendall(c.head(path="/one"))
        receive_until(s, b"GET /one HTTP/1.1|")
        s.sendall(c2.head(path="/two", fields="Connection: close\r\n"))
        assert b"GET /two" in portway.receive_all(s)
    assert len(c2.backend.requests) == 1


def test_a_host_that_comes_and_goes_under_an_open_connection(routes):
    """Whom a host led to is remembered; who has it now counts."""
    c, host = Case(routes, echo), "moves-around.example"

    def ask(s, spelling):
        s.sendall(f"GET /x HTTP/1.1\r\nHost: {spelling}\r\n\r\n".encode())
        got = receive_until(s, b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", got, re.I).group(1))
        while len(body(got)) < length:
            more = s.recv(65536)
            assert more, got
            got += more
        return status(got)

    def answers(s):
        return [ask(s, host) for _ in range(4)] + [ask(s, "Moves-Around.Example."), ask(s, host + ":81"), ask(s, "other-one.example")]

    with c.connect() as s, c.connect() as other:  # of both workers, as a rule
        for _ in range(2):
            assert answers(s) == answers(other) == [404] * 7
            routes.put(route("moving", "p" + c.name, host))
            assert answers(s) == answers(other) == [200] * 6 + [404]
            routes.gone("route", "moving")
    routes.put(route("moving", "p" + c.name, "*.example"))
    with c.connect() as s:
        assert answers(s) == [200] * 7
        routes.gone("route", "moving")
        assert answers(s) == [404] * 7
