"""HTTP/2 towards backends: many requests on a connection, and what the backend says of how many, of its end, and of its windows."""
import hashlib
import http.client
import os
import socket
import threading
import time

import h2_peers
import pytest
import routes as routes_
from portway import TcpServer, eventually


@pytest.fixture(name="site", scope="module")
def served():
    made = routes_.Routes({"RELAYD_BACKENDS_IDLE_TIMEOUT": "10s"}, workers=1)
    yield made
    made.stop()


@pytest.fixture(name="server")
def server_of():
    made = h2_peers.Server()
    yield made
    made.close()


def lead(site, name, server, **more):
    host = f"{name}.example"
    site.put(routes_.pool(f"p{name}", routes_.backend(f"b{name}", server.port), protocol="h2c"),
             routes_.route(f"r{name}", f"p{name}", host=host, **more))
    return host


def ask(site, host, method="GET", path="/", body=None, fields=None):
    conn = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
    try:
        conn.request(method, path, body=body, headers={"Host": host, **(fields or {})})
        answer = conn.getresponse()
        return answer.status, answer.read()
    finally:
        conn.close()


def unchunk(data):
    """The content of a chunked message."""
    out, at = [], 0
    while True:
        end = data.index(b"\r\n", at)
        n = int(data[at:end], 16)
        if n == 0:
            return b"".join(out)
        out.append(data[end + 2:end + 2 + n])
        at = end + 4 + n


class Askers:
    """Requests at the same time, each on a connection of its own."""

    def __init__(self, n, what):
        self.got, self.threads = [], [threading.Thread(target=self._run, args=(what, i), daemon=True) for i in range(n)]
        for t in self.threads:
            t.start()

    def _run(self, what, i):
        self.got.append(what(i))

    def all(self):
        for t in self.threads:
            t.join(60)
        assert len(self.got) == len(self.threads)
        return self.got


def test_many_requests_share_a_connection(site, server):
    host = lead(site, "share", server)
    held = []
    server.answers = held.append
    askers = Askers(40, lambda i: ask(site, host, path=f"/{i}"))
    eventually(lambda: len(held) == 40, "all of them are at the backend at once")
    assert len(server.connections) == 1 and server.connections[0].peak == 40
    for request in reversed(held):  # in another order than they came
        request.answer(request.path.encode())
    assert sorted(body for _, body in askers.all()) == sorted(b"/%d" % i for i in range(40))
    server.answers = lambda request: request.answer()
    before = site.relay.metrics()["relayd_http_reused_total"]
    assert ask(site, host) == (200, b"ok") and len(server.connections) == 1
    assert site.relay.metrics()["relayd_http_reused_total"] == before + 1


def test_no_more_than_the_backend_wants(site, server):
    server.max_streams = 3
    host = lead(site, "limit", server)
    held = []
    server.answers = held.append
    askers = Askers(10, lambda i: ask(site, host, "POST", body=b"x" * 1000))
    eventually(lambda: len(held) == 10, "all of them are somewhere")
    assert len(server.connections) == 4 and max(c.peak for c in server.connections) == 3
    for request in held:
        request.answer(request.body)
    assert askers.all() == [(200, b"x" * 1000)] * 10


def test_refused_streams_go_again(site, server):
    """Whatever the method: nothing has happened to them."""
    host = lead(site, "refused", server)
    server.refuses = 3
    assert ask(site, host, "POST") == (200, b"ok") and server.refused == 3
    server.refuses = 1000
    assert ask(site, host)[0] in (502, 503) and server.refused < 20
    server.refuses = 0
    eventually(lambda: ask(site, host) == (200, b"ok"), "it is served again")


def test_a_connection_that_goes_away_fails_no_request(site, server):
    """GOAWAY again and again under load: what was not looked at is asked on another connection, what was comes to its end."""
    host = lead(site, "goaway", server)
    lock, count = threading.Lock(), [0]

    def answers(request):
        with lock:
            count[0] += 1
            if count[0] % 10 == 0:
                request.conn.goaway(request.number)
        request.answer(request.path.encode())
    server.answers = answers

    def many(i):
        return [ask(site, host, "POST" if k % 2 else "GET", f"/{i}.{k}") for k in range(40)]
    for i, got in enumerate(sorted(Askers(8, many).all(), key=lambda g: g[0][1])):
        assert got == [(200, b"/%d.%d" % (i, k)) for k in range(40)]
    assert len(server.connections) >= 20


def test_a_backend_that_dies(site, server):
    """What is under way is lost, but what may be asked again is; then there is another connection."""
    host = lead(site, "dies", server, retries=2, retry_on=["connect", "reset"])
    held = []
    server.answers = held.append
    askers = Askers(20, lambda i: ask(site, host))
    eventually(lambda: len(held) == 20, "all of them are at the backend")
    server.answers = lambda request: request.answer()
    server.connections[0].sock.shutdown(socket.SHUT_RDWR)
    assert sorted(askers.all())[0][0] == 200
    assert ask(site, host) == (200, b"ok")


def test_one_bad_answer_is_one_answer(site, server):
    """What breaks the rules on one stream is no harm to the others."""
    host = lead(site, "bad", server)
    held = []

    def answers(request):
        if request.path == "/bad":
            request.answer(fields=[("content-length", "5")], body=b"123")
        elif request.path == "/reset":
            request.conn.h2.reset_stream(request.number)
            request.conn.flush()
        elif request.path.startswith("/hints/"):
            for _ in range(int(request.path[7:])):
                request.conn.h2.send_headers(request.number, [(":status", "100")])
            request.answer()
        else:
            held.append(request)
    server.answers = answers
    askers = Askers(3, lambda i: ask(site, host))
    eventually(lambda: len(held) == 3, "they wait")
    assert ask(site, host, "POST", "/reset")[0] == 502
    assert ask(site, host, "POST", "/hints/16")[0] == 200
    assert ask(site, host, "POST", "/hints/17")[0] == 502
    with pytest.raises((http.client.HTTPException, OSError)):
        ask(site, host, path="/bad")
    for request in held:
        request.answer()
    assert askers.all() == [(200, b"ok")] * 3 and len(server.connections) == 1


def test_idle_connections_end(site, server):
    host = lead(site, "idle", server)
    assert ask(site, host) == (200, b"ok")
    conn = server.connections[0]
    eventually(lambda: conn.sock.fileno() == -1, "nobody needed it", 60)
    assert ask(site, host) == (200, b"ok") and len(server.connections) == 2


def test_a_slow_client_holds_up_nobody(site, server):
    """Its answer stops at the stream's window; others on the connection go on, and so does it when it reads."""
    host = lead(site, "slow", server)
    big = os.urandom(1 << 20) * 24
    server.answers = lambda request: request.answer(big if request.path == "/big" else b"small")
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        slow.settimeout(60)
        slow.connect(("127.0.0.1", site.port))
        slow.sendall(f"GET /big HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        eventually(lambda: server.connections and sum(server.connections[0].sent.values()) > 0, "it begins")
        conn, before = server.connections[0], []

        def stands():
            before.append(sum(conn.sent.values()))
            return len(before) > 6 and len(set(before[-6:])) == 1
        eventually(stands, "it is held up", every=0.3)
        assert before[-1] < 16 << 20  # the window, and what the kernel takes for the client
        for _ in range(20):
            assert ask(site, host) == (200, b"small")
        assert len(server.connections) == 1
        data = []
        while more := slow.recv(65536):
            data.append(more)
    data = b"".join(data)
    assert hashlib.sha256(unchunk(data.partition(b"\r\n\r\n")[2])).digest() == hashlib.sha256(big).digest()


def test_a_slow_backend_holds_up_its_own_client(site, server):
    """Content stops at the stream's window; another request's content passes meanwhile."""
    host = lead(site, "upload", server)
    server.takes_nothing = lambda request: request.path == "/slow"
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as slow:
        slow.sendall(f"POST /slow HTTP/1.1\r\nHost: {host}\r\nContent-Length: {1 << 30}\r\n\r\n".encode())
        slow.setblocking(False)
        sent, still = 0, 0
        while still < 20 or not server.seen or len(server.seen[0].body) < 65535:  # what the protocol begins with
            try:
                sent += slow.send(b"x" * 65536)
                still = 0
            except BlockingIOError:
                still += 1
                assert still < 600, server.seen
                time.sleep(0.05)
            assert sent < 16 << 20
        assert len(server.seen[0].body) == 65535
        for _ in range(5):
            assert ask(site, host, "POST", body=b"y" * 30000) == (200, b"ok")
        assert [len(r.body) for r in server.seen[1:]] == [30000] * 5 and len(server.connections) == 1
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    eventually(lambda: server.seen[0].reset, "its client has gone: the stream, too")
    assert ask(site, host) == (200, b"ok") and len(server.connections) == 1


def test_early_answers_and_clients_that_go(site, server):
    host = lead(site, "early", server)
    server.begins = lambda request: request.answer(b"no", 403) if request.path == "/early" else None
    server.answers = lambda request: None if request.path == "/early" else request.answer()
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", site.port), timeout=20) as client:
            client.sendall(f"POST /early HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000\r\n\r\nabc".encode())
            assert client.recv(65536).startswith(b"HTTP/1.1 403")
    held = []
    server.answers = held.append
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", site.port), timeout=20) as client:
            client.sendall(f"GET /gone HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            eventually(lambda: len([r for r in held if not r.reset]) == 1, "it is asked")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a mere end might wait for the answer
        eventually(lambda: all(r.reset for r in held), "it is not wanted any more")
    server.answers = lambda request: request.answer()
    assert ask(site, host) == (200, b"ok") and len(server.connections) == 1


def test_trailers_both_ways(site, server):
    host = lead(site, "trailers", server)
    server.answers = lambda request: request.answer(b"data", trailers=[("x-sum", "7")])
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as client:
        client.sendall(f"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nConnection: TE\r\n\r\n".encode()
                       + b"3\r\nabc\r\n0\r\nX-Check: 5\r\nHost: evil\r\n\r\n")
        data = b""
        while not data.endswith(b"\r\n\r\n") or b"0\r\n" not in data:
            data += client.recv(65536)
    assert b"x-sum: 7" in data
    assert server.seen[0].body == b"abc" and server.seen[0].trailers == {"x-check": "5"}


LOOKS_LIKE_A_LENGTH = {
    "another name": ("x-content-length", "5"),
    "a longer name": ("content-length-of-old", "5"),
    "a value": ("x-note", "content-length: 5"),
}


@pytest.mark.parametrize("what", LOOKS_LIKE_A_LENGTH)
def test_what_only_looks_like_a_length_is_none(site, server, what):
    """The content's length is not known: the connection goes on all the same, and the next answer begins where this one ends."""
    host = lead(site, "looks" + what.replace(" ", ""), server)
    server.answers = lambda request: request.answer(b"data" if request.path == "/data" else b"", fields=[LOOKS_LIKE_A_LENGTH[what]])
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as client:
        for path, wanted, end in (("/data", b"transfer-encoding: chunked", b"\r\n\r\n4\r\ndata\r\n0\r\n\r\n"), ("/", b"content-length: 0", b"\r\n\r\n")) * 2:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            data = b""
            while not data.endswith(end):
                more = client.recv(65536)
                assert more, data
                data += more
            fields = data.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
            assert wanted in fields and b"connection: close" not in fields, data
            assert len([f for f in fields if f.startswith((b"content-length:", b"transfer-encoding:"))]) == 1


# ---- WebSockets ----------------------------------------------------------------------------------------------------------------------

def opens(request):
    """As a server does that knows RFC 8441: what comes goes back."""
    assert request.fields[":method"] == "CONNECT" and request.fields[":protocol"] == "websocket"
    assert "sec-websocket-key" not in request.fields and "upgrade" not in request.fields
    if request.path == "/no":
        request.answer(b"no", 403)
    else:
        request.answer(b"", end=False, fields=[("sec-websocket-protocol", "chat"), ("sec-websocket-accept", "of nobody")])


def say_again(request):
    """What has come since the last time. Not since what was sent: some of that may wait for a window."""
    said = getattr(request, "said", 0)
    request.said = len(request.body)
    request.conn.send_more(request.number, request.body[said:])


def ask_websocket(site, host, path="/chat", key="dGhlIHNhbXBsZSBub25jZQ=="):
    client = socket.create_connection(("127.0.0.1", site.port), timeout=20)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n"
                   f"Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
    return client


def test_a_websocket_to_a_backend_with_h2(site, server):
    """Asked for as HTTP/1.1 does it, it becomes a CONNECT on a stream, and what comes back is what was asked for."""
    server.takes_websockets = True
    server.begins = opens
    server.has_data = say_again
    server.answers = lambda request: request.conn.send_more(request.number, b"bye", end=True)
    host = lead(site, "socket", server)
    for _ in range(2):  # at first the backend's SETTINGS are waited for
        with ask_websocket(site, host) as client:
            head, _, rest = client.recv(65536).partition(b"\r\n\r\n")
            fields = head.lower().split(b"\r\n")
            assert fields[0].startswith(b"http/1.1 101 ") and b"upgrade: websocket" in fields and b"sec-websocket-protocol: chat" in fields
            assert [f for f in head.split(b"\r\n") if f.lower().startswith(b"sec-websocket-accept")][0].endswith(b" s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            assert head.lower().count(b"sec-websocket-accept") == 1 and not rest
            sent = os.urandom(200000)
            threading.Thread(target=client.sendall, args=(sent,), daemon=True).start()
            got = b""
            while len(got) < len(sent):
                got += client.recv(65536)
            assert got == sent
            client.shutdown(socket.SHUT_WR)
            assert client.recv(65536) == b"bye" and client.recv(65536) == b""
    with ask_websocket(site, host, "/no") as client:
        data = b""
        while not data.endswith(b"no\r\n0\r\n\r\n"):
            data += client.recv(65536)
        assert data.startswith(b"HTTP/1.1 403 ") and b"upgrade" not in data.lower()
    assert len(server.connections) == 1
    assert server.seen[0].path == "/chat" and server.seen[0].fields[":authority"] == host and server.seen[0].fields["sec-websocket-version"] == "13"
    eventually(lambda: site.relay.metrics()["relayd_http_requests_now"] == 0, "nothing is left")


def test_a_backend_with_h2_that_takes_no_websocket(site, server):
    """Whoever asks is told so, at once, and it is no fault of the backend's; what is no WebSocket is an ordinary request there."""
    host = lead(site, "nosocket", server)
    for _ in range(2):
        with ask_websocket(site, host) as client:
            data = client.recv(65536)
            assert data.startswith(b"HTTP/1.1 501 "), data
    assert not server.seen
    for more in ("Upgrade: other\r\n", "Upgrade: websocket\r\n", "Upgrade: websocket\r\nSec-WebSocket-Key: short\r\n"):
        with socket.create_connection(("127.0.0.1", site.port), timeout=20) as client:
            client.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n{more}\r\n".encode())
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert server.seen[-1].fields[":method"] == "GET" and "upgrade" not in server.seen[-1].fields


def test_connect_through_an_h2_backend(site, server):
    """A tunnel is a stream there (RFC 9113 section 8.5)."""
    host = lead(site, "tunnel", server)
    server.begins = lambda request: request.answer(b"", end=False)
    server.has_data = lambda request: request.conn.send_more(request.number, request.body[-5:])
    server.answers = lambda request: request.conn.send_more(request.number, b"bye", end=True)
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as client:
        client.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
        assert b" 200 " in client.recv(65536)
        client.sendall(b"hello")
        assert client.recv(65536) == b"hello"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(65536) == b"bye" and client.recv(65536) == b""
    assert server.seen[0].fields[":method"] == "CONNECT" and server.seen[0].fields[":authority"] == f"{host}:443"
    assert ":path" not in server.seen[0].fields


def test_a_backend_that_says_nothing(site):
    """Its SETTINGS are awaited as a connection is; who waits for them is told, and not kept for the time of an answer."""
    with TcpServer(lambda conn, _address: [None for _ in iter(lambda: conn.recv(65536), b"")]) as silent:
        site.put(routes_.pool("psilent", routes_.backend("bsilent", silent.port), protocol="h2c", connect_timeout_ms=300),
                 routes_.route("rsilent", "psilent", host="silent.example"))
        assert Askers(5, lambda i: ask(site, "silent.example")).all()[0][0] in (502, 503)
