"""What a TLS audit finds at a route: testssl.sh, no finding worse than "low"."""
import json
import subprocess

import sites
from portway import Fleet, TcpServer, eventually, free_port

HOST = "shop.example"
CHECKS = ["--protocols", "--server-defaults", "--std", "--vulnerable"]
BAD = ("MEDIUM", "HIGH", "CRITICAL", "FATAL")
# Nobody revokes what a throw-away CA has issued for a test.
OF_THE_CERTIFICATE = ("cert_revocation",)
# Those that testssl.sh can look for at a server that asks for a name, with the OpenSSL that is here.
HOLES = ("heartbleed", "CCS", "ticketbleed", "ROBOT", "secure_client_renego", "CRIME_TLS", "POODLE_SSL", "SWEET32", "FREAK", "DROWN", "LOGJAM", "BEAST",
         "LUCKY13")


def answer(conn, _address):
    while conn.recv(65536):
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")


def test_an_audit_finds_nothing_worse_than_low(tmp_path):
    fleet, authority, port = Fleet(), sites.Authority(), free_port()
    (tmp_path / "ca.pem").write_text(authority.chain)
    with TcpServer(answer) as backend:
        try:
            fleet.start(relay_env={"RELAYD_TLS_LISTEN": f"127.0.0.1:{port}"})
            fleet.api.post("/api/pools", {"name": "web", "algorithm": "round_robin"})
            fleet.api.post("/api/backends", {"address": f"127.0.0.1:{backend.port}", "pool": "web"})
            fleet.api.post("/api/routes", {"host": HOST, "path_prefix": "/", "pool": "web", "ssl_enabled": True})
            for kind in ("ec", "rsa"):
                cert = authority.issue(HOST, kind=kind, days=90)
                fleet.api.post("/api/v1/certificates", {"chain": cert.chain, "key": cert.key_pem})
            eventually(lambda: get(port, tmp_path / "ca.pem") == "ok", "it serves")
            words = ["testssl", "--quiet", "--color", "0", "--warnings", "batch", "--ip", "127.0.0.1", "--add-ca", str(tmp_path / "ca.pem"), "--nodns",
                     "none", "--fast", "--jsonfile", str(tmp_path / "found.json"), *CHECKS, f"https://{HOST}:{port}"]
            out = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)
            found = json.loads((tmp_path / "found.json").read_text())
        finally:
            fleet.stop()
    by_id = {one["id"]: one for one in found}
    assert by_id["TLS1_3"]["finding"].startswith("offered") and by_id["TLS1_2"]["finding"].startswith("offered"), out.stdout
    for old in ("SSLv2", "SSLv3", "TLS1", "TLS1_1"):
        assert by_id[old]["finding"] == "not offered", by_id[old]
    for hole in HOLES:
        assert by_id[hole]["severity"] == "OK", by_id[hole]
    bad = [one for one in found if one["severity"] in BAD and not one["id"].startswith(OF_THE_CERTIFICATE)]
    assert not bad, "\n".join(f'{one["id"]} {one["severity"]} {one["finding"]}' for one in bad)


def get(port, ca):
    words = ["curl", "-sS", "--cacert", str(ca), "--resolve", f"{HOST}:{port}:127.0.0.1", f"https://{HOST}:{port}/"]
    return subprocess.run(words, capture_output=True, text=True, timeout=20, check=False).stdout
