"""adaptive_ai asks backends by itself how they are: over kept connections, the page of their health check, or the way there alone."""
import threading
import time

import portway
import pytest
from routes import Routes, backend, pool, route
from test_routes_http1 import Backend, answer, body, read_length, receive_until, status

CHECK = {"type": "http", "path": "/healthz", "interval_ms": 60000}


@pytest.fixture(scope="module")
def routes():
    r = Routes(workers=1)
    yield r
    r.stop()


class Named(Backend):
    """Answers its name; its health page takes `slow` seconds and says `more`. What it was asked stands in `requests`."""

    def __init__(self, name, slow=0.0, more=b"", health="200 OK"):
        self.name, self.slow, self.more, self.health = name.encode(), slow, more, health
        super().__init__(self.handle)

    def handle(self, conn, head, left):
        _, left = read_length(conn, head, left)
        if head.split()[1] == "/healthz":
            time.sleep(self.slow)
            answer(conn, b"fine", self.health, self.more)
        else:
            answer(conn, self.name)
        return left

    def probes(self):
        return [r for r in list(self.requests) if r.startswith("GET /healthz")]


class Asking:
    """One client that asks for the host without a pause."""

    def __init__(self, routes, host):
        self.routes, self.host = routes, host

    def ask(self, n):
        seen = []
        with portway.connect(self.routes.port) as s:
            s.settimeout(15)
            for _ in range(n):
                s.sendall(f"GET / HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())
                got = receive_until(s, b"\r\n\r\n")
                while len(body(got)) < 1:
                    got += s.recv(100)
                assert status(got) == 200, got
                seen.append(body(got).decode())
                time.sleep(0.002)
        return seen


def serve(routes, name, backends, check=CHECK, algorithm="adaptive_ai", **more):
    host = f"{name}.test"
    route_more = {"retries": 3} if "retry_percent" in more else {}
    routes.put(pool(f"p-{name}", *[backend(f"b-{name}-{b.name.decode()}", b.port) for b in backends], algorithm=algorithm, health=check, **more),
               route(f"r-{name}", f"p-{name}", host, **route_more))
    assert not routes.refused, routes.refused
    return Asking(routes, host)


def test_probes_are_requests_of_the_health_page_on_kept_connections(routes):
    backends = [Named("a"), Named("b")]
    asking = serve(routes, "kept", backends)
    asking.ask(200)
    for b in backends:
        assert len(b.probes()) >= 5, b.requests[:5]
        assert "host: 127.0.0.1" in b.probes()[-1].lower() and "connection: close" not in b.probes()[-1].lower()
        assert b.connections < 8, b.connections
        assert len(b.requests) - 200 < 200  # fewer probes than requests
    routes.wait_counts("r-kept", requests=200, answers_2xx=200)  # probes are nobody's requests


def test_without_traffic_and_with_other_algorithms_nobody_is_probed(routes):
    still, other = Named("s"), Named("o")
    serve(routes, "still", [still])
    serve(routes, "other", [other], algorithm="least_connections").ask(50)
    time.sleep(0.3)
    assert len(still.probes()) <= 1 and len(other.probes()) <= 1  # the check itself


def test_one_whose_health_page_is_slow_gets_little(routes):
    quick, slow = Named("q"), Named("s", slow=0.4)
    asking = serve(routes, "slow", [quick, slow])
    asking.ask(100)
    portway.eventually(lambda: asking.ask(300).count("s") < 75, "half of its share at most", 60)  # the other's probe may be held up


def test_a_backend_tells_of_its_crowd(routes):
    free, crowded = Named("f"), Named("c", more=b"X-Requests-In-Flight: 500\r\n")
    asking = serve(routes, "crowd", [free, crowded])
    asking.ask(100)
    portway.eventually(lambda: asking.ask(300).count("c") < 75, "half of its share at most", 60)
    crowded.more = b"X-Requests-In-Flight: 1e9\r\n"  # no number: not believed
    portway.eventually(lambda: asking.ask(200).count("c") > 20, "it has its share again", 60)


def test_an_ill_health_page_is_no_news(routes):
    well, ill = Named("w"), Named("i", health="503 Service Unavailable")
    asking = serve(routes, "ill", [well, ill], check={**CHECK, "fall": 10})
    asking.ask(100)
    asking.ask(200)
    assert ill.probes()


def test_the_way_there_where_there_is_no_page(routes):
    """A TCP check: probes are connections without a request, which end by themselves."""
    b, other = Named("t"), Named("u")
    asking = serve(routes, "way", [b, other], check={"type": "tcp", "interval_ms": 60000})
    asking.ask(300)
    assert b.connections + other.connections > 8, b.connections
    assert not b.probes() and not other.probes()
    portway.eventually(lambda: len(b.open) + len(other.open) <= 4, "probes are closed")


def test_no_probe_where_no_place_is_free(routes):
    b = Named("p", slow=0.0)
    host = "place.test"
    routes.put(pool("p-place", {**backend("b-place", b.port), "max_connections": 1}, algorithm="adaptive_ai", health=CHECK,
                    queue_max=100, queue_timeout_ms=10000), route("r-place", "p-place", host))
    most, now, lock = [0], [0], threading.Lock()
    plain = b.handle

    def counted(conn, head, left):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.003)
        with lock:
            now[0] -= 1
        return plain(conn, head, left)
    b.handler = counted
    threads = [threading.Thread(target=Asking(routes, host).ask, args=(50,)) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
        assert not t.is_alive()
    assert most[0] <= 2, most  # the check of its health is beside


def test_pools_change_and_go_while_they_are_probed(routes):
    """Under load: probes that are out when their pool changes, or is no more, are let go of."""
    slow = [Named("x", slow=0.2), Named("y", slow=0.2)]
    for turn in range(12):
        asking = serve(routes, "change", slow if turn % 3 else slow[:1], slow_start_ms=turn)
        asking.ask(20)
    routes.gone("route", "r-change")
    routes.gone("pool", "p-change")
    time.sleep(0.5)
    asking = serve(routes, "change", slow)
    asking.ask(20)


def test_probes_of_one_that_is_gone_or_silent_cost_nobody_anything(routes):
    well, dead, silent = Named("w"), Named("d"), Named("z", slow=3)
    asking = serve(routes, "dead", [well, dead, silent], retry_percent=100, retry_per_second=1000)
    asking.ask(50)
    dead.kill()
    portway.eventually(lambda: asking.ask(200).count("w") > 100, "those go to the one that is well", 60)
