"""Routes and pools that change while requests pass: what was promised to the requests under way, and who gets the next ones."""
import collections
import re
import socket
import threading
import time

import portway
import pytest
from routes import Routes, backend, pool, route
from test_routes_http1 import Backend, answer, body, read_length, receive_until, status


@pytest.fixture(scope="module")
def routes():
    r = Routes()
    yield r
    r.stop()


def named(name, delay=0):
    def handler(conn, head, left):
        data, left = read_length(conn, head, left)
        if delay:
            time.sleep(delay)
        answer(conn, name.encode())
        return left
    return Backend(handler)


def ask(routes, host, path="/", fields="", method="GET"):
    with portway.connect(routes.port) as s:
        s.settimeout(30)
        s.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n".encode())
        return portway.receive_all(s)


class Load:
    """Clients that ask without a pause, on connections that they keep; every answer is looked at."""

    def __init__(self, routes, host, clients=4):
        self.routes, self.host, self.over = routes, host, False
        self.seen, self.wrong = collections.Counter(), []
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]
        for t in self.threads:
            t.start()

    def _run(self):
        s = None
        while not self.over:
            try:
                if s is None:
                    s = portway.connect(self.routes.port)
                    s.settimeout(30)
                s.sendall(f"GET / HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())
                got = receive_until(s, b"\r\n\r\n")
                want = int(re.search(rb"content-length: (\d+)", got).group(1))
                while len(body(got)) < want:
                    more = s.recv(65536)
                    assert more, got
                    got += more
                if status(got) == 200:
                    self.seen[body(got).decode()] += 1
                else:
                    self.wrong.append(got)
                if b"connection: close" in got:
                    s.close()
                    s = None
            except (OSError, AssertionError) as e:
                self.wrong.append(repr(e))
                s = None

    def wait(self, what, more=20):
        """So many answers of that kind from now on."""
        before = self.seen[what]
        portway.eventually(lambda: self.seen[what] >= before + more or self.wrong, f"answers of {what}")
        assert not self.wrong, self.wrong[:3]

    def stop(self):
        self.over = True
        for t in self.threads:
            t.join(20)
        assert not self.wrong, self.wrong[:3]


def test_a_route_moves_under_load(routes):
    a, b = named("a"), named("b")
    routes.put(pool("pa", backend("ba", a.port)), pool("pb", backend("bb", b.port)), route("move", "pa", "move.test"))
    load = Load(routes, "move.test")
    load.wait("a")
    for turn in range(6):
        routes.put(route("move", "pb" if turn % 2 == 0 else "pa", "move.test"))
        load.wait("b" if turn % 2 == 0 else "a")
    load.stop()
    assert load.seen["a"] and load.seen["b"]


def test_backends_come_drain_and_go_under_load(routes):
    a, b = named("a"), named("b")
    both = [backend("da", a.port), backend("db", b.port)]
    routes.put(pool("dp", both[0]), route("dr", "dp", "drain.test"))
    load = Load(routes, "drain.test")
    load.wait("a")
    for _ in range(3):
        routes.put(pool("dp", *both))
        load.wait("b")
        routes.put(pool("dp", {**both[0], "weight": 0}, both[1]))
        time.sleep(0.1)  # what was chosen before is answered
        before = load.seen["a"]
        load.wait("b")
        assert load.seen["a"] <= before + 8
        routes.put(pool("dp", both[0]))
        load.wait("a")
    load.stop()
    kept = a.connections + b.connections
    assert kept < 60, kept  # changes do not end connections that may stay


def test_what_runs_is_finished_when_its_route_goes(routes):
    slow = named("late", delay=0.5)
    routes.put(pool("gp", backend("gb", slow.port)), route("gr", "gp", "gone.test"))
    with portway.connect(routes.port) as s:
        s.settimeout(30)
        s.sendall(b"GET / HTTP/1.1\r\nHost: gone.test\r\n\r\n")
        portway.eventually(lambda: slow.requests, "the request")
        routes.gone("route", "gr")
        routes.gone("pool", "gp")
        assert receive_until(s, b"late")
        s.sendall(b"GET / HTTP/1.1\r\nHost: gone.test\r\nConnection: close\r\n\r\n")
        assert status(portway.receive_all(s)) == 404
    routes.wait_counts("gr", requests=1, opened=1, closed=1)


def test_a_route_that_is_switched_off_cuts(routes):
    never = Backend(lambda conn, head, left: time.sleep(30))
    routes.put(pool("op", backend("ob", never.port)), route("or", "op", "off.test"))
    with portway.connect(routes.port) as s:
        s.settimeout(30)
        s.sendall(b"GET / HTTP/1.1\r\nHost: off.test\r\n\r\n")
        portway.eventually(lambda: never.requests, "the request")
        routes.put(route("or", "op", "off.test", enabled=False))
        with pytest.raises(ConnectionResetError):
            assert s.recv(100) == b"something"
    assert status(ask(routes, "off.test")) == 404


def test_longest_prefix_methods_and_fields(routes):
    backends = {name: named(name) for name in ("root", "api", "put", "beta")}
    routes.put(*(pool("x" + n, backend("xb" + n, b.port)) for n, b in backends.items()),
               route("x1", "xroot", "match.test"), route("x2", "xapi", "match.test", path_prefix="/api"),
               route("x3", "xput", "match.test", path_prefix="/api", methods=["PUT"]),
               route("x4", "xbeta", "*.match.test", fields=[{"name": "x-beta", "value": "1"}]))
    assert body(ask(routes, "match.test", "/apix")) == b"root"
    assert body(ask(routes, "MATCH.test", "/api/v1")) == b"api"
    assert body(ask(routes, "match.test", "/%61pi")) == b"api"
    assert body(ask(routes, "match.test", "/api", method="PUT")) == b"put"
    assert body(ask(routes, "a.b.match.test", fields="X-Beta: 1\r\n")) == b"beta"
    assert status(ask(routes, "a.match.test")) == 404


def test_a_share_for_the_canary(routes):
    old, new = named("old"), named("new")
    routes.put(pool("c1", backend("cb1", old.port)), pool("c2", backend("cb2", new.port)),
               {"kind": "route", "id": "cr", "hosts": ["canary.test"], "targets": [{"pool": "c1", "weight": 80}, {"pool": "c2", "weight": 20}]})
    seen = collections.Counter(body(ask(routes, "canary.test")) for _ in range(300))
    assert 25 <= seen[b"new"] <= 105, seen  # 60, four deviations each way


def test_a_backend_that_dies_is_not_seen_by_clients(routes):
    good, bad = named("good"), named("bad")
    routes.put(pool("kp", backend("kg", good.port), backend("kb", bad.port), retry_percent=100, retry_per_second=1000,
                    outlier={"failures_in_row": 3, "max_percent": 50, "base_ms": 60000, "max_ms": 60000}),
               route("kr", "kp", "kill.test", retries=2))
    load = Load(routes, "kill.test")
    load.wait("bad")
    bad.kill()
    load.wait("good", 200)
    load.stop()
    portway.eventually(lambda: routes.counts.get("kr", {}).get("retries", 0) >= 3, "retries are counted")
    assert routes.counts["kr"]["retries"] < 100  # it is put aside, not tried for ever


def test_a_post_is_not_sent_twice(routes):
    def handler(conn, head, left):
        time.sleep(0.05)  # and ends
    silent = Backend(handler)
    routes.put(pool("np", backend("nb", silent.port), retry_percent=100, retry_per_second=100), route("nr", "np", "post.test", retries=3))
    assert status(ask(routes, "post.test", method="POST", fields="Content-Length: 0\r\n")) == 502
    assert len(silent.requests) == 1
    assert status(ask(routes, "post.test")) == 502
    assert len(silent.requests) == 1 + 4  # there is nobody else to ask: the same one again


def test_a_503_is_tried_elsewhere(routes):
    def busy(conn, head, left):
        answer(conn, b"busy", "503 Service Unavailable")
        return left
    full, free = Backend(busy), named("free")
    routes.put(pool("bp", backend("bf", full.port), backend("bg", free.port), retry_percent=100, retry_per_second=1000),
               route("br", "bp", "busy.test", retries=1))
    assert {body(ask(routes, "busy.test")) for _ in range(20)} == {b"free"}
    assert full.requests


def test_requests_wait_for_a_place(routes):
    slow = named("slow", delay=0.15)
    routes.put(pool("qp", backend("qb", slow.port, max_connections=1), queue_max=10, queue_timeout_ms=30000),
               route("qr", "qp", "queue.test"))
    got, threads = [], []
    for _ in range(6):
        threads.append(threading.Thread(target=lambda: got.append(status(ask(routes, "queue.test")))))
        threads[-1].start()
    for t in threads:
        t.join(60)
    assert got == [200] * 6


@pytest.mark.parametrize("queue", [{}, {"queue_max": 10, "queue_timeout_ms": 200}], ids=["there is none", "it ends"])
def test_a_wait_for_a_place_ends(routes, queue):
    """While the one that has the place is still there."""
    go, got, name = threading.Event(), [], f"w{len(queue)}"

    def handler(conn, _head, left):
        go.wait(60)
        answer(conn, b"first")
        return left
    one = Backend(handler)
    routes.put(pool(name, backend("b" + name, one.port, max_connections=1), **queue), route("r" + name, name, f"{name}.test"))
    first = threading.Thread(target=lambda: got.append(status(ask(routes, f"{name}.test"))))
    first.start()
    portway.eventually(lambda: one.requests, "the first request")
    assert status(ask(routes, f"{name}.test")) == 503 and not got
    go.set()
    first.join(60)
    assert got == [200]


def test_a_cookie_keeps_a_client_at_its_backend(routes):
    backends = [named(f"n{i}") for i in range(4)]
    routes.put(pool("sp", *(backend(f"s{i}", b.port) for i, b in enumerate(backends)), sticky="cookie", cookie="stay", sticky_ttl_s=60),
               route("sr", "sp", "sticky.test"))
    first = ask(routes, "sticky.test")
    cookie = re.search(rb"set-cookie: (stay=[^;]+); Path=/; Max-Age=60; HttpOnly", first).group(1).decode()
    for _ in range(8):
        again = ask(routes, "sticky.test", fields=f"Cookie: a=b; {cookie}\r\n")
        assert body(again) == body(first) and b"set-cookie" not in again
    forged = cookie[:-2] + ("AA" if cookie[-2:] != "AA" else "BB")
    assert b"set-cookie" in ask(routes, "sticky.test", fields=f"Cookie: {forged}\r\n")
    assert len({body(ask(routes, "sticky.test")) for _ in range(30)}) > 1


def test_who_may_ask(routes):
    b = named("in")
    routes.put(pool("ap", backend("ab", b.port)), route("ar", "ap", "allow.test", deny=["127.0.0.0/8"]),
               route("ar2", "ap", "allow2.test", allow=["127.0.0.0/8"]))
    assert status(ask(routes, "allow.test")) == 403
    assert status(ask(routes, "allow2.test")) == 200
    routes.wait_counts("ar", refused_cidr=1, answers_4xx=1)


def test_addresses_that_may_not_be_dialled(routes):
    b = named("secret")
    routes.put(pool("fp", backend("fb", b.port, dial_any=False)), route("fr", "fp", "forbidden.test"))
    assert status(ask(routes, "forbidden.test")) == 502
    assert not b.requests
    routes.put(pool("fp", backend("fb", b.port, dial_any=False), dial_allow=["127.0.0.0/8"]), route("fr", "fp", "forbidden.test"))
    assert status(ask(routes, "forbidden.test")) == 200


def test_pools_that_are_not_there(routes):
    routes.put(route("mr", "missing", "missing.test"))
    assert status(ask(routes, "missing.test")) == 503
    b = named("here now")
    routes.put(pool("missing", backend("mb", b.port)))
    assert body(ask(routes, "missing.test")) == b"here now"


def test_every_host(routes):
    b = named("any")
    routes.put(pool("ep", backend("eb", b.port)), route("er", "ep", "*"))
    assert body(ask(routes, "whatever.test")) == b"any"
    assert body(ask(routes, "127.0.0.1")) == b"any"
    routes.gone("route", "er")
    assert status(ask(routes, "whatever.test")) == 404


def test_the_client_behind_a_proxy_header_is_not_believed_of_strangers(routes):
    b = named("p")
    routes.put(pool("hp", backend("hb", b.port)), route("hr", "hp", "header.test"))
    with portway.connect(routes.port) as s:
        s.settimeout(30)
        s.sendall(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: header.test\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            assert not s.recv(100)
            raise ConnectionResetError
    assert not b.requests


def test_a_proxy_header_to_the_backend(routes):
    def handler(conn, head, left):
        answer(conn, head.split("\r\n")[0].encode())
    b = Backend(handler)
    routes.put(pool("tp", backend("tb", b.port), proxy_out=1), route("tr", "tp", "proxyout.test"))
    got = body(ask(routes, "proxyout.test"))
    assert re.match(rb"PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ %d$" % routes.port, got), got


def test_live_connections_are_listed_and_cut(routes):
    never = Backend(lambda conn, head, left: time.sleep(30))
    routes.put(pool("lp", backend("lb", never.port)), route("lr", "lp", "live.test"))
    with portway.connect(routes.port) as s:
        s.settimeout(30)
        s.sendall(b"GET / HTTP/1.1\r\nHost: live.test\r\n\r\n")
        portway.eventually(lambda: never.requests, "the request")
        mine = [c for c in routes.ask(ask="list") if c[1] == "lr"]
        assert len(mine) == 1 and mine[0][2] == "%s:%d" % s.getsockname() and mine[0][3] == f"127.0.0.1:{never.port}"
        routes.ask(ask="cut", conn=int(mine[0][0]))
        with pytest.raises(ConnectionResetError):
            assert not s.recv(100)
            raise ConnectionResetError


def test_exact_bytes(routes):
    b = named("x" * 100)
    routes.put(pool("yp", backend("yb", b.port)), route("yr", "yp", "bytes.test"))
    got = sum(len(ask(routes, "bytes.test")) for _ in range(5))
    sent = sum(len(h) + 4 for h in b.requests)
    routes.wait_counts("yr", requests=5, bytes_out=got, bytes_in=sent, answers_2xx=5)
    routes.wait_counts("yb", requests=5, bytes_out=got, bytes_in=sent)


def test_half_of_a_request_and_gone(routes):
    b = named("z")
    routes.put(pool("zp", backend("zb", b.port)), route("zr", "zp", "half.test"))
    for data in (b"GET / HT", b"POST / HTTP/1.1\r\nHost: half.test\r\nContent-Length: 100\r\n\r\nabc"):
        s = portway.connect(routes.port)
        s.sendall(data)
        s.close()
    s = portway.connect(routes.port)
    s.sendall(b"POST / HTTP/1.1\r\nHost: half.test\r\nContent-Length: 100\r\n\r\nabc")
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    s.close()
    assert status(ask(routes, "half.test")) == 200
    portway.eventually(lambda: routes.counts.get("zr", {}).get("opened") == routes.counts.get("zr", {}).get("closed"), "all ended")
