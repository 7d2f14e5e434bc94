"""How backends are checked: each kind against a server that is well and one that is not; what the API and the events say of it."""
import concurrent.futures
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import portway
import pytest
from portway import eventually
from sites import Authority


@pytest.fixture(name="fleet", scope="module")
def started():
    fleet = portway.Fleet()
    fleet.start()
    yield fleet
    fleet.stop()


def add(fleet, name, port, tls=None, **check):
    """A pool of one backend that is checked that way; the backend's id. A busy machine keeps the time-out: the first reason is the
    one that is told."""
    fleet.api.post("/api/pools", {"name": name, "tls": tls or {}, "health_check": {"interval": "3s", "timeout": "3s", "rise": 1, "fall": 1, **check}},
                   expect=201)
    return fleet.api.post("/api/backends", {"address": f"127.0.0.1:{port}", "pool": name}, expect=201)["id"]


def wait_status(fleet, backend, status):
    def reached():
        now = fleet.api.get(f"/api/backends/{backend}")["status"]
        assert now == status, now
        return True
    eventually(reached, f"{backend} is {status}")


def reason(fleet, backend):
    """Of the newest event that it is down."""
    def found():
        rows = fleet.api.get(f"/api/v1/audit?kind=backend&subject={backend}")["items"]
        down = [row["object"] for row in sorted(rows, key=lambda row: row["seq"]) if row["op"] == "health_changed"
                and row["object"]["current_status"] == "unhealthy"]
        return down[-1]["health_check_details"]["error"] if down else None
    return eventually(found, "an event")


def nobody():
    return portway.free_port()


def test_tcp(fleet):
    with socket.create_server(("127.0.0.1", 0)) as there:
        well, gone = add(fleet, "tcp-well", there.getsockname()[1], type="tcp"), add(fleet, "tcp-gone", nobody(), type="tcp")
        wait_status(fleet, well, "healthy")
        wait_status(fleet, gone, "unhealthy")
        assert "refused" in reason(fleet, gone)


class Pages(BaseHTTPRequestHandler):
    def do_GET(self):
        status = int(self.path.strip("/"))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b"all is well")

    def log_message(self, *_):
        pass


def test_http(fleet):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_port
    well = add(fleet, "http-well", port, path="/418", expected_status=[200, 418], expected_body="is well")
    bad = add(fleet, "http-bad", port, path="/500")
    other = add(fleet, "http-other", port, path="/200", expected_body="is ill")
    wait_status(fleet, well, "healthy")
    wait_status(fleet, bad, "unhealthy")
    wait_status(fleet, other, "unhealthy")
    assert reason(fleet, bad) == "status 500"
    assert reason(fleet, other) == "the expected text is not in the content"
    server.shutdown()


def test_tls(fleet, tmp_path):
    """That it speaks TLS; where the pool's requests go over TLS, also that it is who it should be."""
    authority = Authority()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("web.example").write(tmp_path, "web"))

    def shake_hands(conn, _address):
        try:
            context.wrap_socket(conn, server_side=True).close()
        except OSError:
            pass
    with portway.TcpServer(shake_hands) as speaks, portway.TcpServer(lambda conn, _: conn.sendall(b"SSH-2.0-x\r\n")) as does_not:
        well, bad = add(fleet, "tls-well", speaks.port, type="tls"), add(fleet, "tls-bad", does_not.port, type="tls")
        wait_status(fleet, well, "healthy")
        wait_status(fleet, bad, "unhealthy")
        assert "TLS" in reason(fleet, bad)
        trust = {"enabled": True, "ca": authority.chain}
        known = add(fleet, "tls-known", speaks.port, {**trust, "server_name": "web.example"}, type="tls")
        other = add(fleet, "tls-other", speaks.port, {**trust, "server_name": "other.example"}, type="tls")
        nameless = add(fleet, "tls-nameless", speaks.port, trust, type="tls")
        strange = add(fleet, "tls-strange", speaks.port, {"enabled": True, "server_name": "web.example"}, type="tls")
        for backend in (other, nameless, strange):
            wait_status(fleet, backend, "unhealthy")
            assert "TLS" in reason(fleet, backend)
        wait_status(fleet, known, "healthy")


def health_server(status):
    """grpc.health.v1 by hand: what a real server library makes of a relay's call."""
    def check(request, _context):
        return bytes([8, status[request[2:].decode()]])
    handler = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)})
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def test_grpc(fleet):
    status = {"": 1, "shop.Cart": 2}
    server, port = health_server(status)
    plain = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    other = plain.add_insecure_port("127.0.0.1:0")
    plain.start()
    well, cart = add(fleet, "grpc-well", port, type="grpc"), add(fleet, "grpc-cart", port, type="grpc", service="shop.Cart")
    none = add(fleet, "grpc-none", other, type="grpc")
    wait_status(fleet, well, "healthy")
    wait_status(fleet, cart, "unhealthy")
    wait_status(fleet, none, "unhealthy")
    assert reason(fleet, cart) == "NOT_SERVING" and "refused" in reason(fleet, none)
    status["shop.Cart"] = 1
    wait_status(fleet, cart, "healthy")
    server.stop(0)
    plain.stop(0)
    wait_status(fleet, well, "unhealthy")
