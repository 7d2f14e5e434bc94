"""Certificates that a CA gives by itself (ACME, RFC 8555): pebble orders from controld, all relays answer, nothing is ordered twice."""
import signal
import socket
import ssl

import pytest
import requests
from acme import Pebble, wait_valid
from portway import Fleet, TcpServer, eventually, free_port, receive_all

ADDRESSES = ("127.0.0.1", "127.0.0.2")  # of the two relays, which listen at the same ports


def hello(conn, _address):
    if conn.recv(65536):
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")


class Sites:
    """A fleet of two relays, a CA that looks for them, and routes with TLS for hosts of a test's choice."""

    def __init__(self, folder, **pebble):
        self.http, self.tls = free_port(), free_port()
        self.backend = TcpServer(hello)
        # each seventh nonce is refused, half of the proofs of before are taken again: what a CA may do
        self.pebble = Pebble(folder, self.http, self.tls, {"PEBBLE_WFE_NONCEREJECT": "15", "PEBBLE_AUTHZREUSE": "0"}, **pebble)

    def __enter__(self):
        self.pebble.__enter__()
        self.fleet = Fleet(self.pebble.settings())
        self.fleet.start(0)
        for i, address in enumerate(ADDRESSES):
            self.fleet.add_relay(f"edge-{i + 1}", {"RELAYD_HTTP_LISTEN": f"{address}:{self.http}", "RELAYD_TLS_LISTEN": f"{address}:{self.tls}"})
        self.api = self.fleet.api
        self.api.post("/api/pools", {"name": "web", "algorithm": "round_robin"})
        self.api.post("/api/backends", {"address": f"127.0.0.1:{self.backend.port}", "pool": "web"})
        return self

    def __exit__(self, *_):
        self.fleet.stop()
        self.backend.close()
        self.pebble.__exit__()

    def route(self, *hosts, at="127.0.0.1"):
        for host in hosts:
            self.api.post("/api/routes", {"host": host, "path_prefix": "/", "pool": "web", "ssl_enabled": True})
            self.pebble.point(host, at)

    def order(self, *names, expect=201, **more):
        return self.api.post("/api/v1/certificates", {"source": "acme", "names": list(names), **more}, expect=expect)

    def shown(self, host, address):
        """The certificate's serial number, if it is the CA's and the site behind it answers."""
        with socket.create_connection((address, self.tls), timeout=60) as raw, \
                self.pebble.trust().wrap_socket(raw, server_hostname=host) as conn:
            conn.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            assert receive_all(conn).endswith(b"hi")
            return int(conn.getpeercert()["serialNumber"], 16)

    def wait_shown(self, host, cert, addresses=ADDRESSES):
        wanted = int(cert["serial"].replace(":", ""), 16)
        eventually(lambda: all(self.shown(host, a) == wanted for a in addresses), "all relays show it")

    def wait_waiting(self, ident, *relays):
        eventually(lambda: self.api.get(f"/api/v1/certificates/{ident}")["waiting_for"] == list(relays), f"waiting for {relays}")

    def jobs(self, ident):
        listed = self.api.get("/api/v1/jobs?kind=certificate&limit=200")["items"]
        return [j for j in listed if (j["args"] or {}).get("certificate") == ident]


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    with Sites(tmp_path_factory.mktemp("acme")) as s:
        yield s


def test_over_http(sites):
    sites.route("one.example", "two.example", at="127.0.0.2")
    made = sites.order("one.example", "Two.Example", "one.example", name="both")
    assert (made["status"], made["source"], made["challenge"], made["chain"]) == ("pending", "acme", "http-01", "")
    assert made["names"] == ["one.example", "two.example"]
    cert = wait_valid(sites.api, made["id"], failures=0, error=None, waiting_for=[])
    assert cert["issuer"].startswith("Pebble Intermediate") and cert["key_type"] == "ECDSA P-256"
    assert cert["not_before"] < cert["renew_at"] < cert["not_after"]
    for host in cert["names"]:
        sites.wait_shown(host, cert)
    assert sites.pebble.proofs() == 2
    # what was answered is gone again
    assert sites.fleet.controld.count("SELECT count(*) FROM certificate_answers") == 0
    assert requests.get(f"http://127.0.0.1:{sites.http}/.well-known/acme-challenge/x", headers={"Host": "one.example"},
                        timeout=60).status_code in (200, 404)
    job, = sites.jobs(made["id"])
    eventually(lambda: sites.api.get(f"/api/v1/jobs/{job['id']}")["state"] == "completed", "the job has ended")
    text = sites.fleet.controld.log() + str(sites.api.get("/api/v1/audit?limit=200"))
    assert "PRIVATE KEY" not in text


def test_over_tls(sites):
    sites.route("alpn.example", at="127.0.0.2")
    made = sites.order("alpn.example", challenge="tls-alpn-01")
    cert = wait_valid(sites.api, made["id"], challenge="tls-alpn-01")
    sites.wait_shown("alpn.example", cert)


def test_it_is_renewed_when_asked_for(sites):
    sites.route("again.example")
    made = sites.order("again.example")
    first = wait_valid(sites.api, made["id"])
    answer = sites.api.post(f"/api/v1/certificates/{made['id']}/renew", expect=202)
    assert answer["job_id"].startswith("job_")
    second = eventually(lambda: (c := sites.api.get(f"/api/v1/certificates/{made['id']}"))["serial"] != first["serial"] and c, "another one", 40)
    assert second["names"] == first["names"] and second["version"] > first["version"]
    sites.wait_shown("again.example", second)
    own = sites.pebble.ca.issue("mine.example")
    mine = sites.api.post("/api/v1/certificates", {"chain": own.chain, "key": own.key_pem})
    assert mine["source"] == "own" and mine["renew_at"] is None
    sites.api.post(f"/api/v1/certificates/{mine['id']}/renew", expect=409)


def test_a_proof_that_fails_is_told_and_tried_again(sites):
    sites.route("away.example", at="127.0.0.9")  # where nobody is
    made = sites.order("away.example")

    def failing():
        cert = sites.api.get(f"/api/v1/certificates/{made['id']}")
        return cert["status"] == "failing" and cert["failures"] >= 1 and cert["error"]
    error = eventually(failing, "it fails", 40)
    assert "away.example" in error and "connection" in error, error
    told = [c for c in sites.api.get("/api/v1/audit?kind=certificate&limit=200")["items"] if c["op"] == "issue_failed"]
    assert told[0]["subject"] == made["id"] and "away.example" in str(told[0]["object"]), told
    sites.pebble.point("away.example", "127.0.0.1")
    cert = wait_valid(sites.api, made["id"], failures=0, error=None)
    sites.wait_shown("away.example", cert)


def test_without_a_route_the_ca_is_not_asked(sites):
    orders = sites.pebble.orders()
    made = sites.order("nowhere.example")
    cert = eventually(lambda: (c := sites.api.get(f"/api/v1/certificates/{made['id']}"))["failures"] and c, "it fails")
    assert "no route" in cert["error"] and "nowhere.example" in cert["error"]
    assert sites.pebble.orders() == orders
    sites.api.delete(f"/api/v1/certificates/{made['id']}")


def test_what_is_refused(sites):
    for names, word in ((["*.example.org"], "dns-01"), (["localhost"], "localhost"), (["127.0.0.1"], "127.0.0.1"), (["a_b.example"], "a_b.example"),
                        (["ok.example", "x..example"], "x..example")):
        assert word in str(sites.order(*names, expect=422)), names
    for nothing in ({"names": []}, {"names": None}, {}):
        for source in ({"source": "acme"}, {"source": "own"}, {}):
            said = str(sites.api.post("/api/v1/certificates", {**source, **nothing}, expect=(400, 422)))
            assert "names" in said if source.get("source") == "acme" else "chain" in said and "key" in said, (source, nothing, said)
    assert "names" in str(sites.order(expect=400))
    for nothing in ({"chain": None, "key": None}, {"source": None, "chain": None, "key": None}):
        assert "chain" in str(sites.api.post("/api/v1/certificates", nothing, expect=(400, 422)))
    assert "chain" in str(sites.order("ok.example", chain="x", expect=422))
    assert "names" in str(sites.api.post("/api/v1/certificates", {"names": ["ok.example"], "chain": "x", "key": "y"}, expect=422))
    assert "dns-01" in str(sites.order("ok.example", challenge="dns-01", expect=422))
    made = sites.order("fixed.example")
    for change in ({"names": ["other.example"]}, {"source": "own"}, {"challenge": "tls-alpn-01"}, {"chain": "x", "key": "y"}):
        sites.api.put(f"/api/v1/certificates/{made['id']}", change, expect=422)
    sites.api.put(f"/api/v1/certificates/{made['id']}", {"name": "renamed"})
    sites.api.delete(f"/api/v1/certificates/{made['id']}")


def test_the_ca_is_told_when_all_relays_know_and_a_death_orders_nothing_twice(sites):
    sites.route("slow.example")
    orders, proofs = sites.pebble.orders(), sites.pebble.proofs()
    second = sites.fleet.relays[1]
    second.signal(signal.SIGSTOP)  # it is online still, and hears nothing
    try:
        made = sites.order("slow.example")
        sites.wait_waiting(made["id"], "edge-2")
        assert sites.pebble.orders() == orders + 1 and sites.pebble.proofs() == proofs
        sites.fleet.controld.kill()
        sites.fleet.controld.start()
        sites.wait_waiting(made["id"], "edge-2")
        assert sites.pebble.proofs() == proofs
    finally:
        second.signal(signal.SIGCONT)
    cert = wait_valid(sites.api, made["id"], seconds=60)
    assert sites.pebble.orders() == orders + 1 and sites.pebble.proofs() == proofs + 1
    sites.wait_shown("slow.example", cert)


def test_a_relay_that_is_away_is_not_waited_for(sites):
    sites.route("few.example")
    second = sites.fleet.relays[1]
    second.stop()
    eventually(lambda: sites.fleet.node("edge-2")["status"] == "offline", "edge-2 offline", 90)
    made = sites.order("few.example")
    cert = wait_valid(sites.api, made["id"])
    sites.wait_shown("few.example", cert, ADDRESSES[:1])
    second.start()
    sites.fleet.wait_online("edge-2")
    sites.wait_shown("few.example", cert)


def test_it_is_counted(sites):
    text = requests.get(sites.fleet.controld.base + "/metrics", headers=sites.api.session.headers, timeout=60).text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("certificates_"))
    assert float(values["certificates_issued_total"]) >= 1, values


def test_renewal_by_the_clock(tmp_path):
    """Certificates that live for half a minute: the next one comes by itself, and nobody sees one that has ended."""
    with Sites(tmp_path, certificateValidityPeriod=30) as sites:
        sites.route("short.example")
        made = sites.order("short.example")
        first = wait_valid(sites.api, made["id"])
        sites.wait_shown("short.example", first)
        serials = set()

        def renewed():
            for address in ADDRESSES:
                serials.add(sites.shown("short.example", address))  # fails with one that has ended
            return len(serials) >= 2
        try:
            eventually(renewed, "another one is shown", 60, 0.5)
        except ssl.SSLError as e:
            raise AssertionError(serials) from e
