"""Backends behind an agent are checked through it, as the others are; one that nobody checks is no more than unknown."""
import json
import os
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from agent import AgentFleet
from portway import TcpServer, echo, eventually, free_port
from sites import Authority
from test_health_checks import reason, wait_status


class Page(BaseHTTPRequestHandler):
    status, asked = 200, []

    def do_GET(self):
        Page.asked.append(self.path)
        self.send_response(Page.status)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(name="fleet", scope="module")
def started():
    f = AgentFleet()
    try:
        f.http_port, f.access_log = free_port(), os.path.join(f.folder, "access.log")
        f.start(relay_env={"RELAYD_AGENTS_BACKOFF": "1s", "RELAYD_WORKERS": "2", "RELAYD_HTTP_LISTEN": f"127.0.0.1:{f.http_port}",
                           "RELAYD_ACCESS_LOG": f.access_log})
        f.box = f.client(name="box")
        f.agent(f.box).wait_up(2)
        yield f
    finally:
        f.stop()


def add(fleet, name, port, client=None, tls=None, **check):
    """A time-out that a busy machine keeps: the first reason is the one that is told."""
    fleet.api.post("/api/pools", {"name": name, "tls": tls or {}, "health_check": {"interval": "3s", "timeout": "3s", "rise": 1, "fall": 1, **check}},
                   expect=201)
    return fleet.api.post("/api/backends", {"address": f"127.0.0.1:{port}", "pool": name, "client_id": (client or fleet.box)["id"]}, expect=201)["id"]


def serve_page():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def test_a_connection(fleet):
    port = free_port()
    backend = add(fleet, "tcp", port, type="tcp")
    wait_status(fleet, backend, "unhealthy")
    assert "its agent did not reach it" in reason(fleet, backend), reason(fleet, backend)
    with TcpServer(echo, port=port):
        wait_status(fleet, backend, "healthy")
    wait_status(fleet, backend, "unhealthy")


def test_a_page(fleet):
    server = serve_page()
    backend = add(fleet, "http", server.server_port, path="/well")
    wait_status(fleet, backend, "healthy")
    assert "/well" in Page.asked
    Page.status = 503
    wait_status(fleet, backend, "unhealthy")
    assert reason(fleet, backend) == "status 503"
    Page.status = 200
    wait_status(fleet, backend, "healthy")
    server.shutdown()


def test_tls(fleet, tmp_path):
    authority = Authority()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("web.example").write(tmp_path, "web"))

    def shake_hands(conn, _address):
        try:
            context.wrap_socket(conn, server_side=True).close()
        except OSError:
            pass
    with TcpServer(shake_hands) as speaks:
        trust = {"enabled": True, "ca": authority.chain}
        known = add(fleet, "tls-known", speaks.port, tls={**trust, "server_name": "web.example"}, type="tls")
        other = add(fleet, "tls-other", speaks.port, tls={**trust, "server_name": "other.example"}, type="tls")
        wait_status(fleet, known, "healthy")
        wait_status(fleet, other, "unhealthy")
        assert "TLS" in reason(fleet, other)


def test_no_agent(fleet):
    with TcpServer(echo) as there:
        backend = add(fleet, "away", there.port, client=fleet.client(name="away"), type="tcp")
        wait_status(fleet, backend, "unhealthy")
        assert "no agent of its client is here" in reason(fleet, backend)


def test_why_nobody_answers(fleet):
    """Each of these is 502 for who asks; the reason is in the log and counted."""
    def serve(name, port, client):
        fleet.api.post("/api/pools", {"name": name, "health_check": {"enabled": False}}, expect=201)
        fleet.api.post("/api/backends", {"address": f"127.0.0.1:{port}", "pool": name, "client_id": client["id"]}, expect=201)
        fleet.api.post("/api/routes", {"host": f"{name}.example", "path_prefix": "/", "pool": name, "retries": {"max": 0}}, expect=201)

    def ask(name):
        return requests.get(f"http://127.0.0.1:{fleet.http_port}/", timeout=60, headers={"Host": f"{name}.example"})
    shut = fleet.client(name="shut")
    fleet.agent(shut, "shut").wait_up(2)
    server = serve_page()
    fleet.api.put(f"/api/v1/clients/{shut['id']}/config", {"blocked_ports": [server.server_port]})
    serve("why-shut", server.server_port, shut)
    serve("why-none", server.server_port, fleet.client(name="nowhere"))
    serve("why-refused", free_port(), fleet.box)
    for name, reasons in (("why-shut", {"agent_shut"}), ("why-none", {"no_agent"}), ("why-refused", {"agent_failed", "agent_down"})):
        eventually(lambda name=name: ask(name).status_code == 502, f"{name} is served")
        before = fleet.relay.metrics()
        said = ask(name)
        assert said.status_code == 502 and "the server of this site cannot be reached now" in said.text and "127.0.0.1" not in said.text, said.text

        def line(at=said.headers["X-Request-ID"]):
            with open(fleet.access_log, encoding="utf-8") as log:
                return next((json.loads(one) for one in log if at in one), None)
        seen = eventually(line, "its line")
        assert seen["reason"] in reasons and seen["error"], seen
        key = f'relayd_http_unserved_total{{reason="{seen["reason"]}"}}'
        assert fleet.relay.metrics()[key] == before[key] + 1
    server.shutdown()


def test_nobody_checks(fleet):
    with TcpServer(echo) as there:
        unchecked = add(fleet, "unchecked", there.port, enabled=False)
        checked = add(fleet, "checked", there.port, type="tcp")
        wait_status(fleet, checked, "healthy")
        wait_status(fleet, unchecked, "unknown")
        fleet.api.put("/api/pools/unchecked", {"health_check": {"enabled": True, "type": "tcp"}})
        wait_status(fleet, unchecked, "healthy")
        fleet.api.put("/api/pools/unchecked", {"health_check": {"enabled": False}})
        wait_status(fleet, unchecked, "unknown")
