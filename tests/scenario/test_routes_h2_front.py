"""HTTP/2 in front without TLS (prior knowledge); what a stream may carry: trailers, tunnels, WebSockets; connections in the list."""
import asyncio
import contextlib
import os
import re
import socket
import struct
import subprocess
import threading

import h2_peers
import pytest
import routes as routes_
import websockets
from portway import TcpServer, eventually


@pytest.fixture(name="site", scope="module")
def served():
    made = routes_.Routes({"RELAYD_HTTP_HEAD_TIMEOUT": "4s"}, workers=1)
    yield made
    made.stop()


def lead(site, name, port, protocol="http1", **more):
    host = f"{name}.example"
    site.put(routes_.pool(f"p{name}", routes_.backend(f"b{name}", port), protocol=protocol), routes_.route(f"r{name}", f"p{name}", host=host, **more))
    return host


def whole(data):
    """Whether a request has come to its end."""
    head, there, rest = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.I)
    if b"chunked" in head.lower():
        return b"\r\n0\r\n" in b"\r\n" + rest and rest.endswith(b"\r\n\r\n")
    return bool(there) and len(rest) == int(length.group(1) if length else 0)


class Recorder:
    """HTTP/1.1: keeps each request's bytes up to an end that it knows, and answers 200."""

    def __init__(self):
        self.seen = []
        self.server = TcpServer(self.talk)
        self.port = self.server.port

    def talk(self, conn, _address):
        data = b""
        while more := conn.recv(65536):
            data += more
            if whole(data):
                self.seen.append(data)
                conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                data = b""

    def close(self):
        self.server.close()


@pytest.fixture(name="plain")
def recorder():
    made = Recorder()
    yield made
    made.close()


# ---- without TLS ---------------------------------------------------------------------------------------------------------------------

def test_prior_knowledge(site, plain):
    host = lead(site, "clear", plain.port)
    client = h2_peers.Client(site.port)
    for _ in range(3):
        number = client.get(host, "/x")
        assert client.answer(number)[0] == 200
    assert client.answer(client.get("nobody.example"))[0] == 404
    client.close()
    out = subprocess.run(["curl", "-sS", "--http2-prior-knowledge", "--resolve", f"{host}:{site.port}:127.0.0.1", "-w", " %{http_version}",
                          "-d", "a=b", f"http://{host}:{site.port}/"], capture_output=True, text=True, timeout=30, check=True)
    assert out.stdout == "ok 2"
    assert site.relay.metrics()["relayd_http_h2_connections_total"] >= 2


def test_the_preface_in_pieces(site, plain):
    host = lead(site, "pieces", plain.port)
    sock = socket.create_connection(("127.0.0.1", site.port), timeout=20)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    class Slowly:
        """Byte by byte, as a network may."""

        def sendall(self, data):
            for i in range(len(data)):
                sock.sendall(data[i:i + 1])

        def __getattr__(self, name):
            return getattr(sock, name)
    client = h2_peers.Client(site.port, Slowly())
    assert client.answer(client.get(host))[0] == 200
    client.close()


def test_h2load_without_tls(site, plain):
    host = lead(site, "load", plain.port)
    out = subprocess.run(["h2load", "-n", "1000", "-c", "5", "-m", "20", "--connect-to", f"127.0.0.1:{site.port}", f"http://{host}/"],
                         capture_output=True, text=True, timeout=120, check=True).stdout
    assert "1000 succeeded, 0 failed, 0 errored" in out, out


def test_who_says_hello_may_think_about_it(site, plain):
    """A connection that was opened ahead of time is idle, not slow: it lives by the idle time-out, not by that of a head."""
    host = lead(site, "ahead", plain.port)
    client = h2_peers.Client(site.port)
    client.read(lambda: client.settings)
    threading.Event().wait(6)  # the time that it has: the time-out of a head is four seconds
    assert client.answer(client.get(host))[0] == 200
    client.close()


# ---- trailers ------------------------------------------------------------------------------------------------------------------------

def test_trailers_of_a_request(site, plain):
    host = lead(site, "trail", plain.port)
    client = h2_peers.Client(site.port)
    number = client.get(host, method="POST", end=False)
    client.send(number, b"abc")
    client.trailers(number, [("x-check", "5"), ("authorization", "7")])
    assert client.answer(number)[0] == 200
    head, _, rest = plain.seen[0].partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head.lower() and rest == b"3\r\nabc\r\n0\r\nx-check: 5\r\n\r\n"
    number = client.get(host, method="POST", end=False)
    client.trailers(number, [("x-check", "6")])  # and no content
    assert client.answer(number)[0] == 200 and plain.seen[1].endswith(b"\r\n\r\n0\r\nx-check: 6\r\n\r\n")
    number = client.get(host, method="POST", fields=[("content-length", "3")], end=False)
    client.send(number, b"abc")
    client.trailers(number, [("x-check", "7")])  # there is no place for them behind content of a known length
    assert client.answer(number)[0] == 200 and plain.seen[2].endswith(b"\r\n\r\nabc")
    number = client.get(host, method="POST", end=False)
    client.trailers(number, [("x-many", "y" * 8000)] * 5)
    said = client.answer(number)
    assert said is None or said[0] == 431
    client.close()


def test_trailers_from_end_to_end(site):
    server = h2_peers.Server(lambda request: request.answer(b"data", trailers=[("x-sum", "7")]))
    try:
        host = lead(site, "endtoend", server.port, "h2c")
        client = h2_peers.Client(site.port)
        number = client.get(host, method="POST", end=False)
        client.send(number, b"z" * 200000)
        client.trailers(number, [("x-check", "5")])
        assert client.answer(number)[2] == b"data" and client.ended[number] == {"x-sum": "7"}
        assert len(server.seen[0].body) == 200000 and server.seen[0].trailers == {"x-check": "5"}
        client.close()
    finally:
        server.close()


# ---- tunnels -------------------------------------------------------------------------------------------------------------------------

def tunnel_end(conn, _address):
    """Lets CONNECT in, says everything again, and how much it was at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = conn.recv(65536)
        if not more:
            return
        data += more
    if not data.startswith(b"CONNECT "):
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
        return
    if b"x-refuse" in data.lower():
        conn.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!")
        return
    conn.sendall(b"HTTP/1.1 200 Fine\r\n\r\n")
    total = 0
    while more := conn.recv(65536):
        total += len(more)
        conn.sendall(more)
    conn.sendall(b"end %d" % total)


def test_connect(site):
    with TcpServer(tunnel_end) as far:
        host = lead(site, "tunnel", far.port)
        client = h2_peers.Client(site.port)
        number = client.ask([(":method", "CONNECT"), (":authority", f"{host}:443")], end=False)
        sent = os.urandom(300000)
        client.read(lambda: number in client.heads)
        assert client.heads[number][":status"] == "200"
        client.send(number, b"hello")
        client.read(lambda: client.bodies[number] == b"hello")
        other = client.ask([(":method", "CONNECT"), (":authority", f"{host}:443")], end=False)
        client.send(other, b"early")  # before the answer
        client.read(lambda: client.bodies[other] == b"early")
        client.send(number, sent, end=True)
        client.read(lambda: number in client.ended)
        assert client.bodies[number] == b"hello" + sent + b"end 300005" and not client.resets
        client.h2.reset_stream(other)
        client.flush()
        refused = client.ask([(":method", "CONNECT"), (":authority", f"{host}:443"), ("x-refuse", "1")], end=False)
        client.send(refused, b"for nobody")
        client.read(lambda: refused in client.ended)
        assert client.heads[refused][":status"] == "403" and client.bodies[refused] == b"no!"
        for authority in (host, f"{host}:99999", f"other.example:443"):
            number = client.ask([(":method", "CONNECT"), (":authority", authority)], end=False)
            client.read(lambda: number in client.heads)
            assert client.heads[number][":status"] in ("400", "404")
        assert client.answer(client.get(host))[0] == 200  # the connection is as good as before
        client.close()
    eventually(lambda: site.relay.metrics()["relayd_http_requests_now"] == 0, "nothing is left")


def test_a_tunnel_whose_far_end_is_slow(site):
    """The client's end comes while the far side has not taken all: nothing of it is lost."""
    go, got = threading.Event(), []

    def slow_end(conn, _address):
        data = b""
        while b"\r\n\r\n" not in data:
            data += conn.recv(1024)
        conn.sendall(b"HTTP/1.1 200 Fine\r\n\r\n")
        conn.shutdown(socket.SHUT_WR)  # says nothing more, and goes on reading
        go.wait(60)
        total = len(data.partition(b"\r\n\r\n")[2])
        while more := conn.recv(65536):
            total += len(more)
        got.append(total)
    with TcpServer(slow_end) as far:
        far.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        host = lead(site, "halfway", far.port)
        client = h2_peers.Client(site.port)
        number = client.ask([(":method", "CONNECT"), (":authority", f"{host}:443")], end=False)
        client.read(lambda: number in client.ended)
        sender = threading.Thread(target=client.send, args=(number, b"q" * 4_000_000, True), daemon=True)
        sender.start()
        threading.Event().wait(0.3)
        go.set()
        sender.join(30)
        eventually(lambda: got == [4_000_000], "all of it came")
        client.close()


def frame(opcode, data):
    mask = os.urandom(4)
    n = len(data)
    head = bytes([0x80 | opcode, 0x80 | n]) if n < 126 else bytes([0x80 | opcode, 0xfe]) + struct.pack(">H", n)
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data))


async def say_again(connection, _path=None):
    async for message in connection:
        await connection.send(message)


@contextlib.contextmanager
def websocket_server():
    """Says everything again; its port."""
    there, port = threading.Event(), []

    async def run():
        over = asyncio.Event()
        async with websockets.serve(say_again, "127.0.0.1", 0) as server:
            port.extend([server.sockets[0].getsockname()[1], lambda: loop.call_soon_threadsafe(over.set)])
            loop = asyncio.get_running_loop()
            there.set()
            await over.wait()
    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    there.wait(20)
    try:
        yield port[0]
    finally:
        port[1]()
        thread.join(20)


def test_websocket_on_a_stream(site):
    """RFC 8441, to a WebSocket server that knows HTTP/1.1 alone."""
    with websocket_server() as port:
        speak_websocket(site, lead(site, "ws", port))


def speak_websocket(site, host):
    client = h2_peers.Client(site.port)
    client.read(lambda: client.settings)
    assert client.settings[h2_peers.Settings.ENABLE_CONNECT_PROTOCOL] == 1
    ask = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/chat"), (":authority", host),
           ("sec-websocket-version", "13"), ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")]
    number = client.ask(ask, end=False)
    client.read(lambda: number in client.heads)
    assert client.heads[number][":status"] == "200" and "sec-websocket-accept" not in client.heads[number], client.heads
    for text in (b"hello", b"x" * 60000):
        before = len(client.bodies[number])
        client.send(number, frame(1, text))
        client.read(lambda: client.bodies[number][before:].endswith(text))
    client.send(number, frame(8, b"\x03\xe8"))
    client.read(lambda: number in client.ended or number in client.resets)
    assert number in client.ended
    number = client.ask([(":method", "CONNECT"), (":protocol", "connect-udp"), *ask[2:5]], end=False)
    client.read(lambda: number in client.heads)
    assert client.heads[number][":status"] == "501"
    client.close()


def test_a_server_that_did_not_understand_is_no_websocket(site):
    def wrong(conn, _address):
        conn.recv(65536)
        conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\nbytes")
        conn.recv(1)
    with TcpServer(wrong) as far:
        host = lead(site, "wrong", far.port)
        client = h2_peers.Client(site.port)
        number = client.ask([(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/"), (":authority", host),
                             ("sec-websocket-version", "13")], end=False)
        client.read(lambda: number in client.resets)
        assert number not in client.heads and client.bodies[number] == b""
        client.close()


# ---- in the list ---------------------------------------------------------------------------------------------------------------------

def test_connections_are_listed_and_cut(site):
    server = h2_peers.Server(lambda request: None if request.path == "/wait" else request.answer())
    try:
        host, other = lead(site, "listed", server.port, "h2c"), lead(site, "also", server.port, "h2c")
        client = h2_peers.Client(site.port)
        client.answer(client.get(other))
        local = "127.0.0.1:%d" % client.sock.getsockname()[1]
        rows = [c for c in site.ask(ask="list") if c[2] == local]
        assert [r[1] for r in rows] == ["ralso"]  # idle: the route of its last request
        number = client.get(host, "/wait")
        eventually(lambda: [c[1] for c in site.ask(ask="list") if c[2] == local] == ["rlisted"], "the one under way")
        rows = [c for c in site.ask(ask="list") if c[2] == local]
        assert rows[0][3] == f"127.0.0.1:{server.port}"
        site.ask(ask="cut", conn=int(rows[0][0]))
        with pytest.raises((EOFError, OSError)):
            client.read(lambda: number in client.ended)
        assert not [c for c in site.ask(ask="list") if c[2] == local]
        eventually(lambda: server.seen[-1].reset, "its request is not wanted any more")
    finally:
        server.close()
