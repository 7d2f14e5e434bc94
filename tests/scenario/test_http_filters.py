"""What routes do to requests and answers on their way: headers, paths, CORS, compression, limits, pages, the log."""
import gzip
import http.client
import json
import os
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import portway
import pytest
from portway import eventually

TEXT = b"What is said twice is said twice. " * 400
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Handler(BaseHTTPRequestHandler):
    """Says what it was asked; /text is text, /slow comes in pieces."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = TEXT if self.path.startswith("/text") else json.dumps({"path": self.path, "headers": dict(self.headers)}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain" if self.path.startswith("/text") else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Server", "secret/1.0")
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("ETag", '"strong"')
        if self.path.endswith("no-transform"):
            self.send_header("Cache-Control", "no-transform")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(name="site", scope="module")
def served():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fleet = portway.Fleet()
    fleet.http_port = portway.free_port()
    fleet.access_log = os.path.join(fleet.folder, "access.log")
    fleet.start(relay_env={"RELAYD_HTTP_LISTEN": f"127.0.0.1:{fleet.http_port}", "RELAYD_ACCESS_LOG": fleet.access_log})
    fleet.api.post("/api/pools", {"name": "web", "health_check": {"enabled": False}}, expect=201)
    fleet.api.post("/api/backends", {"address": f"127.0.0.1:{server.server_port}", "pool": "web"}, expect=201)
    yield fleet
    fleet.stop()
    server.shutdown()


def ask(site, host, path="/", method="GET", **headers):
    conn = http.client.HTTPConnection("127.0.0.1", site.http_port, timeout=60)
    conn.request(method, path, headers={"Host": host, **{k.replace("_", "-"): v for k, v in headers.items()}})
    answer = conn.getresponse()
    answer.body = answer.read()
    conn.close()
    return answer


def route(site, host, **fields):
    made = site.api.post("/api/routes", {"host": host, "path_prefix": "/", "pool": "web", **fields}, expect=201)
    eventually(lambda: ask(site, host, made["path_prefix"]).status not in (404, 503), f"{host} is served")
    return made


def test_names_of_a_request(site):
    route(site, "names.example")
    said = ask(site, "names.example")
    seen = json.loads(said.body)["headers"]
    seen = {k.lower(): v for k, v in seen.items()}
    assert re.fullmatch(r"[0-9a-f-]{32,36}", seen["x-request-id"]) and said.headers["X-Request-ID"] == seen["x-request-id"], seen
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", seen["traceparent"]), seen
    seen = json.loads(ask(site, "names.example", traceparent=TRACE, tracestate="a=b").body)["headers"]
    assert {k.lower(): v for k, v in seen.items()}["traceparent"] == TRACE
    seen = {k.lower(): v for k, v in json.loads(ask(site, "names.example", traceparent="nonsense", tracestate="a=b").body)["headers"].items()}
    assert seen["traceparent"].startswith("00-") and "tracestate" not in seen


def test_headers_and_paths(site):
    route(site, "headers.example", path_prefix="/api", rewrite={"prefix": "/v2", "host": "inner.example"},
          request_headers={"set": {"X-From": "{client_ip} {host}"}, "remove": ["X-Secret"]},
          response_headers={"set": {"X-Route": "{route}"}, "remove": ["Server"]})
    said = ask(site, "headers.example", "/api/x?y=1", X_Secret="s")
    seen = json.loads(said.body)
    headers = {k.lower(): v for k, v in seen["headers"].items()}
    assert seen["path"] == "/v2/x?y=1" and headers["host"] == "inner.example", seen
    assert headers["x-from"] == "127.0.0.1 headers.example" and "x-secret" not in headers
    assert said.headers["X-Route"].startswith("rte_") and said.headers["Server"] is None


def test_redirect(site):
    route(site, "moved.example", redirect={"status": 301, "location": "https://new.example{path}{query}"}, pool=None)
    said = ask(site, "moved.example", "/a?b=c")
    assert said.status == 301 and said.headers["Location"] == "https://new.example/a?b=c"


def test_cors(site):
    route(site, "cors.example", cors={"origins": ["https://app.example"], "methods": ["GET", "PUT"], "max_age": 600})
    said = ask(site, "cors.example", method="OPTIONS", Origin="https://app.example", Access_Control_Request_Method="PUT")
    assert said.status == 204 and said.headers["Access-Control-Allow-Origin"] == "https://app.example", said.headers
    said = ask(site, "cors.example", Origin="https://app.example")
    assert said.headers.get_all("Access-Control-Allow-Origin") == ["https://app.example"] and "Origin" in said.headers["Vary"]
    assert ask(site, "cors.example", Origin="https://other.example").headers["Access-Control-Allow-Origin"] is None


def test_gzip(site):
    route(site, "gzip.example", gzip={"enabled": True, "min_size": 100})
    said = ask(site, "gzip.example", "/text", Accept_Encoding="gzip")
    assert said.headers["Content-Encoding"] == "gzip" and gzip.decompress(said.body) == TEXT and len(said.body) < len(TEXT) / 5
    assert said.headers["ETag"] == 'W/"strong"' and "Accept-Encoding" in said.headers["Vary"]
    said = ask(site, "gzip.example", "/text")
    assert said.headers["Content-Encoding"] is None and said.body == TEXT and "Accept-Encoding" in said.headers["Vary"]
    said = ask(site, "gzip.example", "/text/no-transform", Accept_Encoding="gzip")
    assert said.headers["Content-Encoding"] is None and said.body == TEXT


def test_rate_limit(site):
    route(site, "rate.example", rate_limit={"per_second": 1, "burst": 20, "key": "header", "header": "X-Key"})
    for _ in range(20):
        assert ask(site, "rate.example", X_Key="one").status == 200
    refused = eventually(lambda: next((a for a in [ask(site, "rate.example", X_Key="one")] if a.status == 429), None), "one too many", every=0)
    assert int(refused.headers["Retry-After"]) >= 1
    assert ask(site, "rate.example", X_Key="two").status == 200


def test_bandwidth(site):
    """Many short answers together are as slow as one long one: what is owed is owed by the route."""
    route(site, "slow.example", bandwidth={"out": 100000})
    began, got = time.monotonic(), 0
    while got < 250000:
        got += len(ask(site, "slow.example", "/text").body)
    assert time.monotonic() - began > (got - 100000) / 100000, "faster than it may be"


def test_error_pages(site):
    site.api.post("/api/pools", {"name": "empty", "health_check": {"enabled": False}}, expect=201)
    site.api.post("/api/routes", {"host": "page.example", "path_prefix": "/", "pool": "empty",
                                  "error_pages": [{"status": 503, "content_type": "text/html", "body": "<h1>{status}, {request_id}</h1>"}]}, expect=201)
    said = eventually(lambda: next((a for a in [ask(site, "page.example")] if a.status == 503), None), "nobody serves it")
    assert said.body.decode() == f"<h1>503, {said.headers['X-Request-ID']}</h1>", said.body


def test_access_log(site):
    route(site, "log.example")
    ask(site, "log.example", "/x?y=1", User_Agent="probe", X_Request_ID="find-me")

    def line():
        with open(site.access_log, encoding="utf-8") as log:
            return next((json.loads(one) for one in log if "find-me" in one and one.endswith("\n")), None)
    seen = eventually(line, "its line")
    wanted = {"request_id": "find-me", "method": "GET", "host": "log.example", "path": "/x", "query": "y=1", "status": 200, "upstream_status": 200,
              "client": "127.0.0.1", "scheme": "http", "protocol": "HTTP/1.1", "user_agent": "probe", "attempts": 1}
    assert {k: seen.get(k) for k in wanted} == wanted, seen
    assert seen["route"].startswith("rte_") and seen["pool"].startswith("pol_") and seen["backend"].startswith("bck_") and seen["bytes_out"] > 0
    assert seen["queue_ms"] == 0 and 0 <= seen["connect_ms"] <= seen["first_byte_ms"] <= seen["duration_ms"], seen


def lines(site, what):
    """Of the access log."""
    def found():
        with open(site.access_log, encoding="utf-8") as log:
            return [json.loads(one) for one in log if what in one and one.endswith("\n")]
    return eventually(found, f"lines of {what}")


def serve_nobody(site, name, status, at=None, backend=None, **pool):
    """A host, where requests are answered with that status."""
    site.api.post("/api/pools", {"name": name, "health_check": {"enabled": False}, **pool}, expect=201)
    if at is not None:
        site.api.post("/api/backends", {"address": f"127.0.0.1:{at}", "pool": name, **(backend or {})}, expect=201)
    site.api.post("/api/routes", {"host": f"{name}.example", "path_prefix": "/", "pool": name, "retries": {"max": 0}}, expect=201)
    eventually(lambda: ask(site, f"{name}.example").status == status, f"{name} answers {status}")


def say_why(site, name, status, reason, told):
    """Who asks is told that much, in his own format; the log and the metrics have the reason."""
    key = f'relayd_http_unserved_total{{reason="{reason}"}}'
    before = site.relay.metrics()[key]
    wants = {"text/html": f"<p>{told}</p>", "application/json": f'"message":"{told}"', "text/plain": f": {told}\n"}
    for n, (accept, words) in enumerate(wants.items()):
        said = ask(site, f"{name}.example", Accept=accept, X_Request_ID=f"why-{name}-{n}")
        assert said.status == status and words in said.body.decode(), said.body
        assert "127.0.0.1" not in said.body.decode() and "backend" not in said.body.decode(), said.body
    for line in lines(site, f"why-{name}-"):
        assert line["status"] == status and line["reason"] == reason and line["error"], line
    assert site.relay.metrics()[key] - before >= len(wants)


def test_why_nobody_answers(site):
    nobody, down = portway.free_port(), "no server of this site is up now"
    away = "the server of this site cannot be reached now"
    with portway.TcpServer(lambda conn, _: conn.recv(100)) as ends, portway.TcpServer(lambda conn, _: time.sleep(5)) as silent:
        for name, status, reason, told, fields in (
                ("none", 503, "no_backends", down, {}),
                ("drained", 503, "drained", down, {"at": nobody, "backend": {"weight": 0}}),
                ("unhealthy", 503, "down", down, {"at": nobody, "health_check": {"interval": "1s", "rise": 1, "fall": 1}}),
                ("refuses", 502, "not_listening", away, {"at": nobody}),
                ("no-tls", 502, "tls", away, {"at": ends.port, "tls": {"enabled": True, "verify": False}}),
                ("ends", 502, "ended", "the server of this site broke off before it had answered", {"at": ends.port}),
                ("silent", 504, "timeout", "the server of this site did not answer in time", {"at": silent.port, "timeouts": {"response": "100ms"}})):
            serve_nobody(site, name, status, **fields)
            say_why(site, name, status, reason, told)


def test_access_log_of_what_nobody_took(site):
    """No route, no backend, no request at all: each is a line that says so."""
    assert ask(site, "nobody.example", "/lost", X_Request_ID="lost-one").status == 404
    lost = lines(site, "lost-one")[0]
    assert (lost["status"], lost["method"], lost["host"], lost["path"], lost["client"]) == (404, "GET", "nobody.example", "/lost", "127.0.0.1"), lost
    assert lost["error"] == "no route takes this request" and "route" not in lost and "backend" not in lost
    with portway.connect(site.http_port) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: junk.example\r\nContent-Length: x\r\n\r\n")
        portway.receive_all(s)
    junk = eventually(lambda: next((line for line in lines(site, '"status":400') if "path" not in line), None), "the junk")
    assert junk["client"] == "127.0.0.1" and junk["error"] and junk["duration_ms"] >= 0, junk
    site.api.post("/api/pools", {"name": "gone", "health_check": {"enabled": False}}, expect=201)
    site.api.post("/api/routes", {"host": "gone.example", "path_prefix": "/", "pool": "gone"}, expect=201)
    assert ask(site, "gone.example", X_Request_ID="no-backend").status == 503
    none = lines(site, "no-backend")[0]
    assert none["status"] == 503 and none["pool"].startswith("pol_") and "backend" not in none and "connect_ms" not in none, none
