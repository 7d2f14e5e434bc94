"""The lines of docs/certificates.md do what the page says."""
import os
import re
import subprocess

import pytest
import sites
from cli import environment
from portway import BIN, ROOT, Fleet


@pytest.fixture()
def fleet():
    """One whose certificate authority is not there: an order is taken, and waits."""
    fleet = Fleet({"CONTROLD_ACME_URL": "https://localhost:1/dir", "CONTROLD_ACME_TERMS_AGREED": "true"})
    try:
        yield fleet.start(0)
    finally:
        fleet.stop()


def test_every_line(fleet, tmp_path):
    with open(os.path.join(ROOT, "docs", "certificates.md"), encoding="utf-8") as f:
        blocks = re.findall(r"```sh\n(.*?)```", f.read(), flags=re.S)
    assert len(blocks) >= 5
    ca = sites.Authority()
    for name in ("shop", "new"):
        ca.issue("shop.example").write(tmp_path, name)
    ca.write(tmp_path, "clients")
    ca.write(tmp_path, "backends-ca")
    fleet.api.post("/api/pools", {"name": "web"})
    fleet.api.post("/api/routes", {"host": "shop.example", "path_prefix": "/", "pool": "web", "ssl_enabled": True})
    token = fleet.api.session.headers["Authorization"].split()[1]
    env = environment({"PORTWAY_URL": fleet.controld.base, "PORTWAY_TOKEN": token, "PATH": BIN + os.pathsep + os.environ["PATH"]})
    out = subprocess.run(["bash", "-exc", "\n".join(blocks)], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert out.returncode == 0, out.stdout[-3000:] + out.stderr[-3000:]
    own, first, second = fleet.api.get("/api/v1/certificates")["items"]
    assert (own["source"], own["version"], own["status"]) == ("own", 2, "valid")
    assert (first["names"], first["challenge"]) == (["shop.example", "www.shop.example"], "http-01")
    assert (second["names"], second["challenge"]) == (["api.shop.example"], "tls-alpn-01")
    route, = fleet.api.get("/api/routes")["routes"]
    assert route["client_certificate"]["mode"] == "required"
    pool, = fleet.api.get("/api/pools")["pools"]
    assert pool["tls"]["enabled"] and pool["tls"]["server_name"] == "web.internal"
