"""HTTP/2 through a route: real clients in front, backends of every kind behind, gRPC both ways; and what a hostile client is told."""
import hashlib
import json
import os
import re
import select
import socket
import ssl
import struct
import subprocess
import sys

import portway
import pytest
import sites
from portway import Fleet, TcpServer, eventually, free_port

HOST = "localhost"
GRPC = os.path.join(os.path.dirname(__file__), "..", "lib", "grpc_echo.py")


def big(conn, _address):
    """/N answers N bytes; a request's content comes back."""
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            more = conn.recv(65536)
            if not more:
                return
            data += more
        head, data = data.split(b"\r\n\r\n", 1)
        words = head.split()
        found = re.search(rb"content-length: (\d+)", head, re.I)
        if b"chunked" in head.lower():
            while not data.endswith(b"0\r\n\r\n"):
                data += conn.recv(65536)
            body, data = unchunk(data), b""
        elif found:
            while len(data) < int(found.group(1)):
                data += conn.recv(65536)
            body, data = data[:int(found.group(1))], data[int(found.group(1)):]
        else:
            body = b"x" * int(words[1].strip(b"/") or 0)
        conn.sendall(b"HTTP/1.1 200 OK\r\nX-Version: %s\r\nContent-Length: %d\r\n\r\n" % (words[2], len(body)) + body)


def unchunk(data):
    out = b""
    while True:
        size, data = data.split(b"\r\n", 1)
        n = int(size, 16)
        if n == 0:
            return out
        out, data = out + data[:n], data[n + 2:]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    f, ca = Fleet(), sites.Authority()
    f.http, f.tls, f.ca = free_port(), free_port(), str(tmp_path_factory.mktemp("ca") / "ca.pem")
    f.authority = ca
    with open(f.ca, "w") as out:
        out.write(ca.chain)
    backend = TcpServer(big)
    f.access_log = os.path.join(f.folder, "access.log")
    try:
        f.start(relay_env={"RELAYD_HTTP_LISTEN": f"127.0.0.1:{f.http}", "RELAYD_TLS_LISTEN": f"127.0.0.1:{f.tls}",
                           "RELAYD_HTTP_BODY_TIMEOUT": "5s", "RELAYD_HTTP_HEAD_TIMEOUT": "5s", "RELAYD_ACCESS_LOG": f.access_log})
        cert = ca.issue(HOST)
        f.api.post("/api/v1/certificates", {"chain": cert.chain, "key": cert.key_pem})
        add_pool(f, "plain", backend.port)
        add_route(f, "plain", "/")
        yield f
    finally:
        backend.close()
        f.stop()


def add_pool(f, name, port, **more):
    f.api.post("/api/pools", {"name": name, "algorithm": "round_robin", "health_check": {"enabled": False}, **more})
    f.api.post("/api/backends", {"address": f"127.0.0.1:{port}", "pool": name})


def add_route(f, pool, prefix):
    f.api.post("/api/routes", {"host": HOST, "path_prefix": prefix, "pool": pool, "ssl_enabled": True})
    eventually(lambda: talks(f), "TLS is served")


def talks(f):
    try:
        Raw(f).close()
        return True
    except OSError:
        return False


def curl(f, path, *words):
    """Version, status and body."""
    out = subprocess.run(["curl", "-sS", "--cacert", f.ca, "--max-time", "30", "-w", "\n%{http_version} %{response_code}", *words,
                          f"https://{HOST}:{f.tls}{path}"], capture_output=True, timeout=60)
    assert out.returncode == 0, out.stderr
    body, _, last = out.stdout.rpartition(b"\n")
    return (*last.decode().split(), body)


# ---- real clients --------------------------------------------------------------------------------------------------------------------

def test_curl_in_both_versions(site, tmp_path):
    assert curl(site, "/5", "--http2") == ("2", "200", b"xxxxx")
    assert curl(site, "/5", "--http1.1") == ("1.1", "200", b"xxxxx")
    sent = os.urandom(3_000_000)
    (tmp_path / "in").write_bytes(sent)
    for how in (["--data-binary", f"@{tmp_path}/in"], ["-X", "POST", "-T", "-"]):
        words = ["curl", "-sS", "--cacert", site.ca, "--http2", *how, f"https://{HOST}:{site.tls}/p"]
        got = subprocess.run(words, stdin=open(tmp_path / "in", "rb"), capture_output=True, timeout=60)
        assert hashlib.sha256(got.stdout).digest() == hashlib.sha256(sent).digest(), got.stderr
    assert len(curl(site, "/20000000", "--http2")[2]) == 20_000_000


def test_nghttp_and_h2load(site):
    out = subprocess.run(["nghttp", "-nv", "--no-verify-peer", "-m", "20", f"https://{HOST}:{site.tls}/100"], capture_output=True,
                         text=True, timeout=60).stdout
    assert out.count(":status: 200") == 20
    out = subprocess.run(["h2load", "-n", "2000", "-c", "10", "-m", "20", f"https://{HOST}:{site.tls}/1000"], capture_output=True,
                         text=True, timeout=120).stdout
    assert "2000 succeeded, 0 failed, 0 errored" in out


def test_the_access_log_tells_versions(site):
    for version in ("--http2", "--http1.1"):
        curl(site, "/5", version, "-H", f"X-Request-ID: by{version}")

    def line(version):
        with open(site.access_log, encoding="utf-8") as log:
            return next((json.loads(one) for one in log if f'"by{version}"' in one), None)
    two, one = eventually(lambda: line("--http2"), "its line"), eventually(lambda: line("--http1.1"), "its line")
    assert (two["protocol"], one["protocol"]) == ("HTTP/2", "HTTP/1.1")
    assert two["tls"] == one["tls"] == "TLSv1.3" and two["scheme"] == "https"


# ---- gRPC ----------------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("tls", [False, True], ids=["h2c", "h2"])
def test_grpc_with_a_real_client_and_server(site, tmp_path, tls):
    words = [sys.executable, GRPC, "serve"]
    if tls:
        chain, key = site.authority.issue("grpc.internal").write(tmp_path, "grpc")
        words += [key, chain]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        port = int(server.stdout.readline())
        prefix = "/echo.Tls" if tls else "/echo.Clear"
        more = {"tls": {"enabled": True, "server_name": "grpc.internal", "ca": site.authority.chain}} if tls else {}
        add_pool(site, "grpc-tls" if tls else "grpc", port, protocol="h2" if tls else "h2c", **more)
        add_route(site, "grpc-tls" if tls else "grpc", prefix)
        out = subprocess.run([sys.executable, GRPC, "ask", f"{HOST}:{site.tls}", site.ca, prefix], capture_output=True, text=True,
                             timeout=120)
        assert out.stdout.split("\n")[:-1] == ["echo:hello trail=yes", "500", "1000000", "50 00 49", "NOT_FOUND nothing here",
                                                "UNIMPLEMENTED", "DEADLINE_EXCEEDED", "3000005"], out.stderr
    finally:
        server.kill()
        server.wait()


def test_a_backend_that_is_another_is_not_spoken_to(site, tmp_path):
    chain, key = site.authority.issue("somebody.else").write(tmp_path, "else")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)

    def handler(conn, address):
        with context.wrap_socket(conn, server_side=True) as inside:
            big(inside, address)
    with TcpServer(handler) as service:
        tls = {"enabled": True, "server_name": "somebody.else", "ca": site.authority.chain}
        add_pool(site, "known", service.port, tls=tls)
        add_route(site, "known", "/known")
        add_pool(site, "unknown", service.port, tls={**tls, "server_name": "who.i.want"})
        add_route(site, "unknown", "/unknown")
        eventually(lambda: curl(site, "/known", "--http2", "-X", "POST", "-d", "abc")[1:] == ("200", b"abc"), "the right one")
        assert curl(site, "/unknown", "--http2", "-X", "POST", "-d", "abc")[1] in ("502", "503")  # 503: it is out already


# ---- what may not be ------------------------------------------------------------------------------------------------------------------

def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def field(name, value):
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


GET = b"\x82\x87\x84" + field(b":authority", HOST.encode())
POST = b"\x83\x87\x84" + field(b":authority", HOST.encode())
END_STREAM, END_HEADERS = 1, 4
HEADERS, RST, SETTINGS, PING, GOAWAY, CONTINUATION = 1, 3, 4, 6, 7, 9


class Raw:
    """A connection whose frames the test writes itself."""

    def __init__(self, site):
        context = ssl.create_default_context(cafile=site.ca)
        context.set_alpn_protocols(["h2"])
        sock = socket.create_connection(("127.0.0.1", site.tls), timeout=20)
        self.conn = context.wrap_socket(sock, server_hostname=HOST)
        assert self.conn.selected_alpn_protocol() == "h2"
        self.conn.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
        self.conn.setblocking(False)
        self.out = b""

    def close(self):
        self.conn.close()

    def send(self, data):
        """As far as it goes, the rest while frames are read: whoever floods may find nobody who reads. Two threads may not use one session of TLS."""
        self.out += data
        try:
            while self.out:
                self.out = self.out[self.conn.send(self.out[:16384]):]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            self.out = b""

    def receive(self):
        """Bytes, or none at the end, or when nothing comes for long."""
        while True:
            self.send(b"")
            try:
                return self.conn.recv(65536)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                if not any(select.select([self.conn], [self.conn] if self.out else [], [], 20)):
                    return b""
            except OSError:
                return b""

    def frames(self, enough):
        """Until one that is enough, or the end: then None follows."""
        data = b""
        while True:
            more = self.receive()
            data += more
            while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
                n = int.from_bytes(data[:3], "big")
                one = data[3], int.from_bytes(data[5:9], "big"), data[9:9 + n]
                data = data[9 + n:]
                yield one
                if enough(one):
                    return
            if not more:
                yield None
                return


def status_of(head):
    """Of the first field: one of the static table's, or a literal."""
    known = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}
    if head[0] & 0x80:
        return known[head[0] & 0x7f]
    size, text = head[1] & 0x7f, head[2:]
    if not head[1] & 0x80:
        return int(text[:size])
    bits = int.from_bytes(text[:size], "big")  # Huffman: the ten digits have five or six bits
    digits, left = "", size * 8
    for _ in range(3):
        five = bits >> (left - 5) & 31
        if five < 3:
            digits, left = digits + str(five), left - 5
        else:
            digits, left = digits + str((bits >> (left - 6) & 63) - 0x19 + 3), left - 6
    return int(digits)


def outcome(site, data):
    """What becomes of it: "goaway N", "reset N", "status 0x..", or "end"."""
    raw = Raw(site)
    raw.send(data)
    last = None
    for one in raw.frames(lambda f: f[0] in (GOAWAY, RST, HEADERS)):
        last = one
    raw.close()
    if last is None:
        return "end"
    kind, _, payload = last
    if kind == GOAWAY:
        return f"goaway {int.from_bytes(payload[4:8], 'big')}"
    return f"reset {int.from_bytes(payload, 'big')}" if kind == RST else f"status {status_of(payload)}"


FLOODS = {
    "rapid reset": b"".join(frame(HEADERS, 5, 2 * k + 1, GET) + frame(RST, 0, 2 * k + 1, struct.pack(">I", 8)) for k in range(3000)),
    "settings": frame(SETTINGS, 0, 0) * 2000,
    "pings": frame(PING, 0, 0, b"12345678") * 20000,
    "empty data": frame(HEADERS, END_HEADERS, 1, POST) + frame(0, 0, 1) * 5000,
    "hardly any data": frame(HEADERS, END_HEADERS, 1, POST) + frame(0, 0, 1, b"x") * 60000,
    "pings that data pays for": frame(HEADERS, END_HEADERS, 1, POST) + (frame(PING, 0, 0, b"12345678") + frame(0, 0, 1, b"x")) * 20000,
    "continuations": frame(HEADERS, END_STREAM, 1, GET) + frame(CONTINUATION, 0, 1, field(b"a", b"b" * 100)) * 200,
}


@pytest.mark.parametrize("name", list(FLOODS))
def test_floods_end_their_connection_alone(site, name):
    good = Raw(site)
    assert outcome(site, FLOODS[name]) in ("goaway 11", "goaway 1", "end")
    good.send(frame(HEADERS, 5, 1, GET))
    seen = list(good.frames(lambda f: f[0] == HEADERS))
    assert seen[-1] is not None and seen[-1][0] == HEADERS, seen
    good.close()
    assert curl(site, "/1", "--http2")[1] == "200"


def test_small_messages_are_no_flood(site):
    """Streams as gRPC has them: a message in a frame of its own, and the end in one that is empty. Many of them are so many requests."""
    raw, number = Raw(site), 1
    for _ in range(80):
        batch = frame(8, 0, 0, struct.pack(">I", 3000))
        for _ in range(100):
            batch += frame(HEADERS, END_HEADERS, number, POST) + frame(0, 0, number, b"a small message of 30 bytes...") + frame(0, END_STREAM, number)
            number += 2
        raw.send(batch)
        last = number - 2
        ended = set()

        def all_ended(one):
            if one[0] in (GOAWAY, RST):
                raise AssertionError(one)
            if one[0] == HEADERS:
                ended.add(one[1])
            return len(ended) == 100 and last in ended  # pylint: disable=cell-var-from-loop
        seen = list(raw.frames(all_ended))
        assert seen[-1] is not None, len(ended)
    raw.close()


CONNECT = field(b":method", b"CONNECT")
HERE = field(b":authority", HOST.encode())
LONG_HEAD = frame(HEADERS, 1, 1, GET) + b"".join(frame(CONTINUATION, 4 * (i == 3), 1, field(b"a", b"y" * 100) * 120) for i in range(4))
RULES = {
    "a name in capitals": (frame(HEADERS, 5, 1, GET + field(b"X-Up", b"v")), "reset 1"),
    "a field of the hop": (frame(HEADERS, 5, 1, GET + field(b"connection", b"close")), "reset 1"),
    "a line's end in a value": (frame(HEADERS, 5, 1, GET + field(b"a", b"v\r\nx: y")), "reset 1"),
    "a blank in the path": (frame(HEADERS, 5, 1, b"\x82\x87" + field(b":path", b"/a b") + field(b":authority", b"a")), "reset 1"),
    "no host": (frame(HEADERS, 5, 1, b"\x82\x87\x84"), "reset 1"),
    "another length": (frame(HEADERS, 4, 1, POST + field(b"content-length", b"5")) + frame(0, 1, 1, b"123"), "reset 1"),
    "two hosts": (frame(HEADERS, 5, 1, GET + field(b"host", b"other")), "status 400"),
    "a head too long": (LONG_HEAD, "status 431"),
    "a protocol without CONNECT": (frame(HEADERS, 5, 1, GET + field(b":protocol", b"websocket")), "reset 1"),
    "CONNECT with a path": (frame(HEADERS, 4, 1, CONNECT + b"\x87\x84" + HERE), "reset 1"),
    "CONNECT without a port": (frame(HEADERS, 4, 1, CONNECT + HERE), "status 400"),
    "CONNECT to nowhere": (frame(HEADERS, 4, 1, CONNECT), "reset 1"),
    "CONNECT for a host that is nobody's": (frame(HEADERS, 4, 1, CONNECT + field(b":authority", b"else.where:443")), "status 404"),
    "CONNECT with a length": (frame(HEADERS, 4, 1, CONNECT + field(b":authority", b"a:1") + field(b"content-length", b"5")), "status 400"),
    "a WebSocket without a path": (frame(HEADERS, 4, 1, CONNECT + b"\x87" + HERE + field(b":protocol", b"websocket")), "reset 1"),
    "a WebSocket with a length": (frame(HEADERS, 4, 1, CONNECT + b"\x87\x84" + HERE + field(b":protocol", b"websocket") + field(b"content-length", b"5")), "status 400"),
    "a protocol that is none here": (frame(HEADERS, 4, 1, CONNECT + b"\x87\x84" + HERE + field(b":protocol", b"connect-udp")), "status 501"),
    "a protocol with a line's end": (frame(HEADERS, 4, 1, CONNECT + b"\x87\x84" + HERE + field(b":protocol", b"a\r\nb")), "reset 1"),
    "a method in trailers": (frame(HEADERS, 4, 1, POST) + frame(HEADERS, 5, 1, b"\x82"), "reset 1"),
    "trailers that do not end": (frame(HEADERS, 4, 1, POST) + frame(HEADERS, 4, 1, field(b"a", b"b")), "reset 1"),
    "another length in trailers": (frame(HEADERS, 4, 1, POST) + frame(HEADERS, 5, 1, field(b"content-length", b"7")), "reset 1"),
    "a window that overflows": (frame(8, 0, 0, struct.pack(">I", 0x7fffffff)), "goaway 3"),
    "a table that bursts": (frame(HEADERS, 5, 1, GET + b"\x3f\xff\xff\xff\x0f"), "goaway 9"),
}


@pytest.mark.parametrize("what", list(RULES))
def test_what_breaks_the_rules(site, what):
    data, wanted = RULES[what]
    got = outcome(site, data)
    assert got == wanted or (got == "end" and wanted.startswith("goaway"))  # whose last words may be lost: bytes were on their way


def test_a_head_that_does_not_end_is_not_waited_for(site):
    raw = Raw(site)
    raw.send(frame(HEADERS, END_STREAM, 1, GET))
    assert list(raw.frames(lambda f: False))[-1] is None
    raw.close()


def test_content_that_does_not_come_is_not_waited_for(site):
    raw = Raw(site)
    raw.send(frame(HEADERS, END_HEADERS, 1, POST))
    heads = [f for f in raw.frames(lambda f: f[0] == HEADERS) if f is not None and f[0] == HEADERS]
    assert status_of(heads[0][2]) == 408
    raw.close()
