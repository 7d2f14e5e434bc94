"""Mirroring: a share of a route's requests is copied to another pool, and no client waits for that or notices it."""
import collections
import http.client
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import routes as routes_
from portway import eventually, free_port

Seen = collections.namedtuple("Seen", "method path headers body")


class Service:
    """Keeps what it is asked; `hold` makes it silent until it is set."""

    def __init__(self, word):
        self.seen, self.hold = [], threading.Event()
        self.hold.set()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and content are written apart

            def do_GET(self):
                headers = {k.lower(): v for k, v in self.headers.items()}
                body = self.chunks() if "transfer-encoding" in headers else self.rfile.read(int(headers.get("content-length", 0)))
                service.seen.append(Seen(self.command, self.path, headers, body))
                service.hold.wait(60)
                self.send_response(200)
                self.send_header("Content-Length", str(len(word)))
                self.end_headers()
                self.wfile.write(word)

            do_POST = do_PUT = do_GET

            def chunks(self):
                body = b""
                while (n := int(self.rfile.readline().split(b";")[0], 16)) > 0:
                    body += self.rfile.read(n)
                    self.rfile.readline()
                while self.rfile.readline() not in (b"\r\n", b""):
                    pass
                return body

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 512
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.hold.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(name="site", scope="module")
def served():
    made = routes_.Routes({"RELAYD_HTTP_MIRROR_MAX": "4", "RELAYD_HTTP_MIRROR_BODY_MAX": "100000",
                           "RELAYD_HTTP_RESPONSE_TIMEOUT": "10s"}, workers=1)
    yield made
    made.stop()


@pytest.fixture(name="main")
def main_of():
    service = Service(b"main")
    yield service
    service.close()


@pytest.fixture(name="shadow")
def shadow_of():
    service = Service(b"shadow")
    yield service
    service.close()


def mirrored(site, name, main, shadow_port, percent=100):
    host = f"{name}.example"
    site.put(routes_.pool(f"m{name}", routes_.backend(f"bm{name}", main.port)), routes_.pool(f"s{name}", routes_.backend(f"bs{name}", shadow_port)),
             routes_.route(f"r{name}", f"m{name}", host=host, mirror_pool=f"s{name}", mirror_percent=percent))
    return host


def ask(site, host, method="GET", path="/", body=None, **headers):
    conn = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    conn.request(method, path, body=body, headers={"Host": host, **{k.replace("_", "-"): v for k, v in headers.items()}})
    answer = conn.getresponse()
    said = answer.status, answer.read()
    conn.close()
    return said


def counted(site, name):
    return site.relay.metrics()[f"relayd_http_{name}"]


def test_copies_are_what_was_asked(site, main, shadow):
    host = mirrored(site, "same", main, shadow.port)
    before = counted(site, "mirrored_total"), counted(site, "mirror_answered_total"), counted(site, "requests_total")
    assert ask(site, host, path="/a?b=c", X_Mine="1") == (200, b"main")
    assert ask(site, host, "POST", "/post", b"y" * 90000) == (200, b"main")
    assert ask(site, host, "PUT", "/put", iter([b"one", b"two" * 1000])) == (200, b"main")
    eventually(lambda: len(shadow.seen) == 3, "all three are copied")
    for one, copy in zip(sorted(main.seen), sorted(shadow.seen)):
        assert one == copy  # the id of the request, too
    assert sorted(len(s.body) for s in shadow.seen) == [0, 3003, 90000]
    assert [s.headers.get("x-mine") for s in shadow.seen if s.method == "GET"] == ["1"]
    eventually(lambda: counted(site, "mirror_answered_total") == before[1] + 3, "their answers are counted, and dropped")
    assert counted(site, "mirrored_total") == before[0] + 3 and counted(site, "requests_total") == before[2] + 3
    eventually(lambda: counted(site, "mirrors_now") == 0, "none is left")
    site.wait_counts("rsame", requests=3, answers_2xx=3)  # a copy is no request of the route
    site.wait_counts("bssame", requests=3, answers_2xx=3)


def test_a_share_of_them(site, main, shadow):
    host = mirrored(site, "share", main, shadow.port, percent=25)
    dropped = counted(site, "mirror_dropped_total")
    for _ in range(400):
        assert ask(site, host) == (200, b"main")
    eventually(lambda: counted(site, "mirrors_now") == 0, "all are answered")
    assert 50 < len(shadow.seen) + counted(site, "mirror_dropped_total") - dropped < 150
    none = mirrored(site, "none", main, shadow.port, percent=0)
    before = len(shadow.seen)
    assert ask(site, none) == (200, b"main") and len(shadow.seen) == before


def test_a_pool_that_is_silent_holds_up_nobody(site, main, shadow):
    host = mirrored(site, "silent", main, shadow.port)
    shadow.hold.clear()
    failed, dropped = counted(site, "mirror_failed_total"), counted(site, "mirror_dropped_total")
    for i in range(20):
        assert ask(site, host, "POST", f"/{i}", b"z" * 1000) == (200, b"main")
    assert len(shadow.seen) <= 4 and counted(site, "mirrors_now") == 4
    assert counted(site, "mirror_dropped_total") == dropped + 16
    eventually(lambda: counted(site, "mirror_failed_total") == failed + 4, "they are out of time", 60)
    assert counted(site, "mirrors_now") == 0


def test_a_pool_that_is_dead_fails_nobody(site, main):
    host = mirrored(site, "dead", main, free_port())
    failed, bad = counted(site, "mirror_failed_total"), counted(site, "bad_gateway_total")
    for i in range(20):
        assert ask(site, host, path=f"/{i}") == (200, b"main")
        eventually(lambda: counted(site, "mirrors_now") == 0, "it is over")
    assert counted(site, "mirror_failed_total") == failed + 20
    assert counted(site, "bad_gateway_total") == bad  # no client saw any of it
    site.wait_counts("rdead", requests=20, answers_2xx=20)


def test_what_is_too_long_is_not_copied(site, main, shadow):
    host = mirrored(site, "long", main, shadow.port)
    dropped = counted(site, "mirror_dropped_total")
    assert ask(site, host, "POST", "/", b"a" * 100001) == (200, b"main")
    assert ask(site, host, "POST", "/", iter([b"a" * 60000, b"b" * 60000])) == (200, b"main")
    assert ask(site, host, "POST", "/", b"a" * 100000) == (200, b"main")
    eventually(lambda: [len(s.body) for s in shadow.seen] == [100000], "the one that fits")
    assert counted(site, "mirror_dropped_total") == dropped + 2


def test_what_is_not_whole_is_not_copied(site, main, shadow):
    host = mirrored(site, "half", main, shadow.port)
    dropped = counted(site, "mirror_dropped_total")
    conn = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    conn.putrequest("POST", "/", skip_host=True)
    conn.putheader("Host", host)
    conn.putheader("Content-Length", "10")
    conn.endheaders(b"12345")
    eventually(lambda: counted(site, "mirrors_now") == 1, "it is being taken")
    conn.close()
    eventually(lambda: counted(site, "mirror_dropped_total") == dropped + 1, "it is dropped")
    assert not shadow.seen and counted(site, "mirrors_now") == 0


def test_without_its_own_pool_the_copy_still_goes(site, shadow):
    host = "alone.example"
    site.put(routes_.pool("palone"), routes_.pool("salone", routes_.backend("bsalone", shadow.port)),
             routes_.route("ralone", "palone", host=host, mirror_pool="salone", mirror_percent=100))
    assert ask(site, host)[0] == 503
    eventually(lambda: len(shadow.seen) == 1, "the copy")


def test_a_route_that_goes_or_changes(site, main, shadow):
    """Copies under way hold what they need; those of a route that is off are ended with its requests."""
    host = mirrored(site, "gone", main, shadow.port)
    shadow.hold.clear()
    assert ask(site, host) == (200, b"main")
    eventually(lambda: shadow.seen, "the copy is at its backend")
    site.gone("route", "rgone")
    site.gone("pool", "sgone")
    shadow.hold.set()
    answered = counted(site, "mirror_answered_total")
    eventually(lambda: counted(site, "mirrors_now") == 0, "it came to its end")
    assert counted(site, "mirror_answered_total") >= answered
    host = mirrored(site, "off", main, shadow.port)
    shadow.hold.clear()
    assert ask(site, host) == (200, b"main")
    eventually(lambda: len(shadow.seen) == 2, "another one")
    failed, began = counted(site, "mirror_failed_total"), time.monotonic()
    site.put(routes_.route("roff", "moff", host=host, mirror_pool="soff", mirror_percent=100, enabled=False))
    eventually(lambda: counted(site, "mirror_failed_total") == failed + 1, "it was cut")
    assert time.monotonic() - began < 9  # before its time was over
    shadow.hold.set()
