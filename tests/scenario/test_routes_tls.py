"""TLS for routes: certificates over the API, shown by relays at once; resumption everywhere; clients that show who they are; what passes
through unopened beside it."""
import base64
import contextlib
import socket
import ssl
import subprocess
import warnings

import pytest
import sites
from portway import Fleet, TcpServer, eventually, free_port, receive_all

HOST = "shop.example"


def web(name):
    """Answers requests with its own name and their first line, for as long as they come."""
    def handler(conn, _address):
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = conn.recv(65536)
                if not more:
                    return
                data += more
            first, data = data.split(b"\r\n", 1)[0], data.split(b"\r\n\r\n", 1)[1]
            body = name + b"|" + first
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    return handler


class Site:
    """A fleet of two relays, a CA, and a route for HOST to one backend."""

    def __init__(self):
        self.fleet, self.ca = Fleet(), sites.Authority()
        self.ports = [(free_port(), free_port()) for _ in range(2)]
        self.backend = TcpServer(web(b"one"))

    def start(self):
        self.fleet.start(0)
        for i, (http, tls) in enumerate(self.ports):
            self.fleet.add_relay(f"edge-{i + 1}", {"RELAYD_HTTP_LISTEN": f"127.0.0.1:{http}", "RELAYD_TLS_LISTEN": f"127.0.0.1:{tls}"})
        self.api = self.fleet.api
        self.api.post("/api/pools", {"name": "web", "algorithm": "round_robin"})
        self.api.post("/api/backends", {"address": f"127.0.0.1:{self.backend.port}", "pool": "web"})
        self.route = self.api.post("/api/routes", {"host": HOST, "path_prefix": "/", "pool": "web", "ssl_enabled": True})
        return self

    def certify(self, cert, **more):
        return self.api.post("/api/v1/certificates", {"chain": cert.chain, "key": cert.key_pem, **more})

    def stop(self):
        self.backend.close()
        self.fleet.stop()

    def connect(self, name=HOST, relay=0, context=None, session=None):
        if context is None:
            context = ssl.create_default_context(cadata=self.ca.chain)
        sock = socket.create_connection(("127.0.0.1", self.ports[relay][1]), timeout=20)
        try:
            return context.wrap_socket(sock, server_hostname=name, session=session)
        except OSError:
            sock.close()
            raise

    def shown(self, name=HOST, relay=0):
        """The certificate that is shown (DER), or the reason why there is none."""
        try:
            with self.connect(name, relay) as conn:
                return conn.getpeercert(True)
        except ssl.SSLError as e:
            return e.reason

    def ask(self, conn, path="/", host=HOST):
        conn.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = receive_all(conn)
        if not answer:
            raise ConnectionResetError("no answer")
        return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2]


@pytest.fixture(scope="module")
def site():
    s = Site()
    try:
        yield s.start()
    finally:
        s.stop()


@contextlib.contextmanager
def certified(site, *names, **more):
    cert = site.ca.issue(*names, **more)
    made = site.certify(cert)
    try:
        eventually(lambda: all(site.shown(names[0].replace("*", "x"), i) == cert.der for i in range(2)), "it is shown")
        yield cert, made
    finally:
        site.api.delete(f"/api/v1/certificates/{made['id']}")


def test_a_certificate_serves_from_the_moment_it_is_there(site):
    assert site.shown() == "TLSV1_UNRECOGNIZED_NAME"
    with certified(site, HOST) as (cert, made):
        with site.connect() as conn:
            assert site.ask(conn, "/x") == (200, b"one|GET /x HTTP/1.1")
        replaced = site.ca.issue(HOST)
        with site.connect() as old:
            site.api.put(f"/api/v1/certificates/{made['id']}", {"chain": replaced.chain, "key": replaced.key_pem})
            eventually(lambda: site.shown() == replaced.der, "the new one is shown")
            assert site.ask(old)[0] == 200  # who was there is not disturbed
    eventually(lambda: site.shown() == "TLSV1_UNRECOGNIZED_NAME", "it is gone")


def test_clients_of_either_kind_of_key(site):
    with certified(site, HOST) as (ecdsa, _):
        rsa = site.ca.issue(HOST, kind="rsa")
        made = site.certify(rsa)

        def by_suite(suites):
            context = ssl.create_default_context(cadata=site.ca.chain)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(suites)
            try:
                with site.connect(context=context) as conn:
                    return conn.getpeercert(True)
            except ssl.SSLError:
                return None
        eventually(lambda: by_suite("ECDHE-RSA-AES128-GCM-SHA256") == rsa.der, "RSA for who knows no other")
        assert by_suite("ECDHE-ECDSA-AES128-GCM-SHA256") == ecdsa.der
        assert by_suite("AES128-SHA") is None
        site.api.delete(f"/api/v1/certificates/{made['id']}")


def test_sessions_are_resumed_on_every_worker_and_relay(site):
    with certified(site, HOST):
        context = ssl.create_default_context(cadata=site.ca.chain)
        with site.connect(context=context) as conn:
            assert site.ask(conn)[0] == 200  # behind it the ticket has come
            session = conn.session
        assert session.has_ticket
        for relay in (0, 1, 0, 1, 0, 1):  # two workers each
            with site.connect(context=context, relay=relay, session=session) as conn:
                assert site.ask(conn)[0] == 200
                assert conn.session_reused


def test_old_versions_and_names_that_are_nobodys(site):
    with certified(site, HOST):
        old = ssl.create_default_context(cadata=site.ca.chain)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises(ssl.SSLError):
            site.connect(context=old)
        assert site.shown("other.example") == "TLSV1_UNRECOGNIZED_NAME"
        with site.connect() as conn:  # the name of the connection is not that of the request
            assert site.ask(conn, host="other.example")[0] in (404, 421)


def test_clients_have_to_show_a_certificate(site):
    clients = sites.Authority("Clients CA")
    known, stranger = clients.issue("alice"), sites.Authority("Clients CA").issue("mallory")
    with certified(site, HOST):
        def status(client, folder):
            context = ssl.create_default_context(cadata=site.ca.chain)
            if client is not None:
                context.load_cert_chain(*client.write(folder, "client"))
            try:
                with site.connect(context=context) as conn:
                    return site.ask(conn)[0]
            except (ssl.SSLError, ConnectionError):
                return None
        folder = site.fleet.folder
        site.api.put(f"/api/routes/{site.route['id']}", {"client_certificate": {"mode": "required", "ca": clients.chain}})
        try:
            eventually(lambda: status(None, folder) is None, "who shows none is not let in")
            assert status(known, folder) == 200
            assert status(stranger, folder) is None
        finally:
            site.api.put(f"/api/routes/{site.route['id']}", {"client_certificate": None})
        eventually(lambda: status(None, folder) == 200, "nobody is asked any more")


def test_what_passes_unopened_stands_beside_it(site):
    """A mapping of the same relay's TLS port: its service has the key, the relay has not."""
    own = site.ca.issue("through.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*own.write(site.fleet.folder, "own"))

    def handler(conn, address):
        with contextlib.suppress(OSError), context.wrap_socket(conn, server_side=True) as inside:
            if inside.recv(65536):
                inside.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nbehind")
    with TcpServer(handler) as service, certified(site, HOST):
        made = site.api.post("/api/v1/mappings", {"protocol": "tls", "host_names": ["through.example"], "target_host": "127.0.0.1",
                                                  "target_port": service.port})
        eventually(lambda: site.shown("through.example") == own.der, "the service's own certificate")
        with site.connect("through.example") as conn:
            assert site.ask(conn, host="through.example") == (200, b"behind")
        with site.connect() as conn:
            assert site.ask(conn)[0] == 200
        site.api.delete(f"/api/v1/mappings/{made['id']}")


def test_in_clear_is_led_to_tls(site):
    site.api.put(f"/api/routes/{site.route['id']}", {"https_only": True})
    try:
        def answer():
            with socket.create_connection(("127.0.0.1", site.ports[0][0]), timeout=20) as conn:
                conn.sendall(f"GET /a?b HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
                return receive_all(conn)
        eventually(lambda: answer().split()[1] == b"301", "a redirect")
        assert f"location: https://{HOST}/a?b".encode() in answer()
    finally:
        site.api.put(f"/api/routes/{site.route['id']}", {"https_only": None})


def test_a_staple_is_shown(site, tmp_path):
    with certified(site, HOST) as (cert, made):
        chain, _ = cert.write(tmp_path, "site")
        ca, ca_key = site.ca.write(tmp_path, "ca")
        number = f"{cert.cert.serial_number:X}"
        number = "0" * (len(number) % 2) + number
        (tmp_path / "index").write_text(f"V\t301231235959Z\t\t{number}\tunknown\t/CN={HOST}\n")

        def ocsp(*words):
            subprocess.run(["openssl", "ocsp", *map(str, words)], check=True, capture_output=True)
        ocsp("-issuer", ca, "-cert", chain, "-reqout", tmp_path / "ask")
        ocsp("-index", tmp_path / "index", "-CA", ca, "-rsigner", ca, "-rkey", ca_key, "-reqin", tmp_path / "ask", "-respout",
             tmp_path / "staple", "-ndays", 2)
        der = (tmp_path / "staple").read_bytes()
        site.api.put(f"/api/v1/certificates/{made['id']}", {"ocsp": base64.urlsafe_b64encode(der).decode().rstrip("=")})

        def stapled():
            out = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{site.ports[0][1]}", "-servername", HOST, "-status"],
                                 input=b"", capture_output=True, timeout=20).stdout
            return b"OCSP Response Status: successful" in out and b"Cert Status: good" in out
        eventually(stapled, "the staple")
