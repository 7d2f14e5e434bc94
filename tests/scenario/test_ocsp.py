"""OCSP stapling by itself: controld asks the responder that a certificate names, relays show what it says, at half its life it is asked anew."""
import http.server
import os
import socket
import sqlite3
import subprocess
import threading

import pytest
import requests
import sites
from acme import Pebble, wait_valid
from portway import Fleet, TcpServer, eventually, free_port, postgres_server


class Responder:
    """Of a CA: what openssl says of the certificates that it was told of, over HTTP."""

    def __init__(self, folder, ca=None):
        self.folder, self.asked, self.status, self.minutes = str(folder), 0, 200, 60
        self.known = {}  # serial number -> "V" or "R"
        self.go, self.lock = threading.Event(), threading.Lock()
        self.go.set()
        self.ca, self.ca_key = ca.write(self.folder, "ca") if ca else (None, None)
        responder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.headers["Content-Type"] == "application/ocsp-request"
                responder.asked += 1
                responder.go.wait(60)
                with responder.lock:
                    answer = responder.answer(body) if responder.status == 200 else b""
                self.send_response(responder.status)
                self.send_header("Content-Type", "application/ocsp-response")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/ocsp"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def know(self, number, revoked=False):
        with self.lock:
            self.known[number] = "R" if revoked else "V"

    def answer(self, body):
        with open(os.path.join(self.folder, "index"), "w") as f:
            for number, state in self.known.items():
                text = f"{number:X}"
                text = "0" * (len(text) % 2) + text
                f.write(f"{state}\t391231235959Z\t{'231231235959Z' if state == 'R' else ''}\t{text}\tunknown\t/CN={text}\n")
        with open(os.path.join(self.folder, "ask"), "wb") as f:
            f.write(body)
        out = os.path.join(self.folder, "answer")
        subprocess.run(["openssl", "ocsp", "-index", os.path.join(self.folder, "index"), "-CA", self.ca, "-rsigner", self.ca, "-rkey",
                        self.ca_key, "-reqin", os.path.join(self.folder, "ask"), "-respout", out, "-nmin", str(self.minutes)], check=True,
                       capture_output=True)
        with open(out, "rb") as f:
            return f.read()

    def close(self):
        self.go.set()
        self.server.shutdown()
        self.server.server_close()


class World:
    def __init__(self, folder):
        self.ca = sites.Authority()
        self.responder = Responder(folder, self.ca)
        self.ports = [free_port(), free_port()]
        self.fleet = Fleet({"CONTROLD_OUTBOUND_ALLOW": "127.0.0.0/8"})
        self.backend = TcpServer(lambda conn, _: conn.recv(1))

    def start(self):
        self.fleet.start(0)
        for i, port in enumerate(self.ports):
            self.fleet.add_relay(f"edge-{i + 1}", {"RELAYD_TLS_LISTEN": f"127.0.0.1:{port}"})
        self.api = self.fleet.api
        self.api.post("/api/pools", {"name": "web", "algorithm": "round_robin"})
        self.api.post("/api/backends", {"address": f"127.0.0.1:{self.backend.port}", "pool": "web"})
        return self

    def stop(self):
        self.fleet.stop()
        self.backend.close()
        self.responder.close()

    def add(self, host, known=True, revoked=False, url=None, **more):
        cert = self.ca.issue(host, ocsp=url or self.responder.url, **more)
        if known:
            self.responder.know(cert.cert.serial_number, revoked)
        self.api.post("/api/routes", {"host": host, "path_prefix": "/", "pool": "web", "ssl_enabled": True})
        return cert, self.api.post("/api/v1/certificates", {"chain": cert.chain, "key": cert.key_pem})

    def get(self, made):
        return self.api.get(f"/api/v1/certificates/{made['id']}")

    def handshake(self, host, relay):
        return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.ports[relay]}", "-servername", host, "-status"], input="",
                              capture_output=True, text=True, timeout=20).stdout

    def stapled(self, host):
        return all("OCSP Response Status: successful" in (out := self.handshake(host, i)) and "Cert Status: good" in out for i in range(2))

    def wait_error(self, made, *words):
        def told():
            error = self.get(made)["ocsp_error"] or ""
            return all(w in error for w in words) and error
        return eventually(told, f"an error with {words}")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    w = World(tmp_path_factory.mktemp("ocsp"))
    try:
        yield w.start()
    finally:
        w.stop()


def test_it_is_asked_and_shown_and_asked_again(world):
    world.responder.minutes = 1  # half of it is half a minute
    _, made = world.add("good.example")
    assert made["ocsp_url"] == world.responder.url and made["ocsp_until"] is None
    eventually(lambda: world.stapled("good.example"), "the staple on both relays")
    first = world.get(made)
    assert first["ocsp_until"] and first["ocsp_error"] is None
    world.responder.minutes = 60
    eventually(lambda: world.get(made)["ocsp_until"] > first["ocsp_until"], "asked again at half its life", 90, 0.5)
    assert world.stapled("good.example")


def test_what_is_not_good_is_not_shown(world):
    _, revoked = world.add("revoked.example", revoked=True)
    world.wait_error(revoked, "revoked")
    _, unknown = world.add("unknown.example", known=False)
    world.wait_error(unknown, "unknown")
    for host in ("revoked.example", "unknown.example"):  # as soon as the relay has it
        eventually(lambda h=host: "OCSP response: no response sent" in world.handshake(h, 0), "shown without a staple")
    assert world.get(unknown)["status"] == "valid" and world.get(revoked)["ocsp_until"] is None


def events(api, cert, op):
    return [c for c in api.get("/api/v1/audit?kind=certificate&limit=200")["items"] if c["op"] == op and c["subject"] == cert["id"]]


def test_a_revoked_certificate_is_an_event_once(world):
    """Of one's own: its owner has to bring another one. Asked again, the CA says the same, which is no news; and it may take it back."""
    cert, made = world.add("taken.example", revoked=True)
    eventually(lambda: world.get(made)["status"] == "revoked", "it is told")
    first = world.get(made)
    assert first["revoked_at"] and "revoked" in first["ocsp_error"] and first["source"] == "own"
    told, = events(world.api, made, "revoked")
    assert told["object"]["revoked_at"] == first["revoked_at"] and told["actor"] == "system"
    assert world.fleet.controld.log().count("certificate_revoked") >= 1

    def failures():
        return world.fleet.controld.count(f"SELECT ocsp_failures FROM certificates WHERE id = '{made['id']}'")
    eventually(lambda: failures() == 1, "it will be asked again")
    ask_again(world.fleet, made)
    eventually(lambda: failures() == 2, "it is asked again", 40)
    assert len(events(world.api, made, "revoked")) == 1 and world.get(made)["revoked_at"] == first["revoked_at"]
    world.responder.know(cert.cert.serial_number)
    ask_again(world.fleet, made)
    eventually(lambda: world.get(made)["status"] == "valid", "it is good again", 40)
    assert world.get(made)["revoked_at"] is None


def ask_again(fleet, made):
    """Not only when its time has come."""
    text = f"UPDATE certificates SET ocsp_due_ms = 0 WHERE id = '{made['id']}'"
    url = fleet.controld.env.get("CONTROLD_DATABASE_URL", "")
    if url:
        postgres_server().sql(text, url)
        return
    db = sqlite3.connect(os.path.join(fleet.controld.env["CONTROLD_DATA_DIR"], "portway.db"), timeout=20)
    with db:
        db.execute(text)
    db.close()


def number_of(cert):
    return int(cert["serial"].replace(":", ""), 16)


def test_a_revoked_certificate_of_a_ca_is_ordered_anew(tmp_path):
    """One that came by ACME: nobody has to do anything."""
    http, tls, responder = free_port(), free_port(), Responder(tmp_path)
    backend = TcpServer(lambda conn, _: conn.recv(1))
    with Pebble(tmp_path, http, tls, {"PEBBLE_AUTHZREUSE": "0"}, ocspResponderURL=responder.url) as pebble:
        for what, name in (("intermediates", "ca"), ("intermediate-keys", "ca_key")):
            path = tmp_path / name
            path.write_text(requests.get(f"https://localhost:{pebble.management}/{what}/0", verify=pebble.ca_file, timeout=10).text)
            setattr(responder, name, str(path))
        fleet = Fleet(pebble.settings())
        try:
            fleet.start(1, {"RELAYD_HTTP_LISTEN": f"127.0.0.1:{http}", "RELAYD_TLS_LISTEN": f"127.0.0.1:{tls}"})
            api = fleet.api
            api.post("/api/pools", {"name": "web", "algorithm": "round_robin"})
            api.post("/api/backends", {"address": f"127.0.0.1:{backend.port}", "pool": "web"})
            api.post("/api/routes", {"host": "lost.example", "path_prefix": "/", "pool": "web", "ssl_enabled": True})
            made = api.post("/api/v1/certificates", {"source": "acme", "names": ["lost.example"]})
            first = wait_valid(api, made["id"])
            assert first["ocsp_url"] == responder.url and first["revoked_at"] is None
            responder.know(number_of(first), revoked=True)

            def another():
                ask_again(fleet, made)  # more than once: the first answer may be under way, and says when the next one is due
                one = api.get(f"/api/v1/certificates/{made['id']}")
                return one["serial"] != first["serial"] and one
            second = eventually(another, "another one", 90, every=1)
            assert second["status"] == "valid" and second["revoked_at"] is None and second["error"] is None
            assert len(events(api, made, "revoked")) == 1 and pebble.orders() == 2

            def shown():
                with socket.create_connection(("127.0.0.1", tls), timeout=10) as raw, pebble.trust().wrap_socket(raw, server_hostname="lost.example") as conn:
                    return int(conn.getpeercert()["serialNumber"], 16)
            eventually(lambda: shown() == number_of(second), "the relay shows it")
        finally:
            fleet.stop()
            backend.close()
            responder.close()


def test_a_responder_that_fails(world):
    world.responder.status = 500
    try:
        _, made = world.add("broken.example")
        world.wait_error(made, "500")
    finally:
        world.responder.status = 200
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        _, made = world.add("gone.example", url=f"http://127.0.0.1:{taken.getsockname()[1]}/")
        world.wait_error(made, "no answer")


def test_no_responder_leads_inside(world):
    """The URL comes from whoever brings a certificate: it must not reach what only controld's machine can reach."""
    for url in ("http://10.1.2.3/ocsp", "http://169.254.169.254/latest/meta-data", "ftp://ca.example/x"):
        _, made = world.add(f"x{abs(hash(url))}.example", url=url)
        eventually(lambda: world.get(made)["ocsp_error"], f"refused: {url}")  # pylint: disable=cell-var-from-loop


def test_one_that_must_be_stapled_waits_for_its_staple(world):
    world.responder.go.clear()
    asked = world.responder.asked
    cert, made = world.add("must.example", must_staple=True)
    try:
        eventually(lambda: world.responder.asked > asked, "it is asked")
        assert made["must_staple"] and world.get(made)["status"] == "waits_for_ocsp"
        assert cert.cert.subject.rfc4514_string() not in world.handshake("must.example", 0)
    finally:
        world.responder.go.set()
    eventually(lambda: world.stapled("must.example"), "shown with its staple")
    assert world.get(made)["status"] == "valid"
