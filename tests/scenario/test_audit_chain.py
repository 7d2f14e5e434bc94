"""The audit log: searched, exported as NDJSON whose chain others can check, and what was tampered with shows."""
import hashlib
import json
import os
import sqlite3
import subprocess

import portway
import pytest
from portway import Api


@pytest.fixture(scope="module")
def fleet():
    """Without a relay, whose comings and goings are changes, too."""
    f = portway.Fleet()
    try:
        yield f.start(relays=0)
    finally:
        f.stop()


def export(api, query=""):
    api.last = api.session.get(api.base + "/api/v1/audit/export" + query, timeout=60)
    assert api.last.status_code == 200, api.last.text
    return [json.loads(line) for line in api.last.text.splitlines()]


def work(api):
    for n in range(3):
        made = api.post("/api/v1/clients", {"name": f"audited {n}"}, expect=201)
        api.delete(f"/api/v1/clients/{made['id']}")


def chained(rows):
    """A program that is not ours: the hashes made again from the lines alone."""
    def put(s):
        return f"{len(s.encode())}:{s}\n"

    before = rows[0]["chain"]
    for row in rows[1:]:
        line = put(before) + f"{row['seq']} {row['tx']} {row['ms']}\n" + "".join(
            put(row[k]) for k in ("tenant_id", "actor", "request_id", "kind", "op", "subject", "fields", "digest"))
        assert hashlib.sha256(line.encode()).hexdigest() == row["chain"], row["seq"]
        before = row["chain"]


def test_export_and_verify(fleet):
    api = fleet.api
    work(api)
    rows = export(api)
    assert [r["seq"] for r in rows] == sorted(r["seq"] for r in rows) and len(rows) >= 6
    assert api.last.headers["Content-Type"].startswith("application/x-ndjson") and "X-Next-After" not in api.last.headers
    chained(rows)
    said = api.get("/api/v1/audit/verify")
    assert said["intact"] is True and said["rows"] >= len(rows) and said["head"] == rows[-1]["chain"]
    # search
    assert {r["kind"] for r in export(api, "?kind=client")} == {"client"}
    assert {r["op"] for r in export(api, "?kind=client&op=delete")} == {"delete"}
    me = api.get("/auth/me")["data"]["id"]
    assert all(r["actor"] == me for r in export(api, f"?actor={me}"))
    assert export(api, f"?after={rows[-1]['seq']}") == []
    assert export(api, "?until=2001-01-01T00:00:00Z") == []
    api.get("/api/v1/audit/export?after=x", expect=422)
    api.get("/api/v1/audit/export?since=yesterday", expect=422)


def test_a_tenant_sees_its_own(fleet):
    tenant = fleet.api.post("/api/v1/tenants", {"name": "audited"}, expect=201)
    fleet.api.post("/api/v1/users", {"email": "o@audited.example", "username": "audited-owner", "password": "a long password",
                                     "role": "owner", "tenant_id": tenant["id"]}, expect=201)
    owner = Api(fleet.controld.base)
    owner.login("o@audited.example", "a long password")
    assert {r["tenant_id"] for r in export(owner)} == {tenant["id"]}
    assert {r["tenant_id"] for r in export(owner, "?tenant_id=default")} <= {tenant["id"]}
    owner.get("/api/v1/audit/verify", expect=403)


@pytest.mark.skipif(portway.DATABASE != "sqlite", reason="changes the file of an SQLite database")
def test_tampering_shows(new_fleet):
    fleet = new_fleet(relays=0)
    work(fleet.api)
    seq = export(fleet.api)[-3]["seq"]

    def db(*args, expect=0):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("CONTROLD_")}
        out = subprocess.run([os.path.join(portway.BIN, "controld"), "db", *args], env={**clean, **fleet.controld.env},
                             capture_output=True, text=True, timeout=60, check=False)
        assert out.returncode == expect, out.stdout + out.stderr
        return out.stdout + out.stderr

    assert "as they were written" in db("verify")  # also while it runs
    fleet.controld.stop()
    path = os.path.join(fleet.controld.env["CONTROLD_DATA_DIR"], "portway.db")
    with sqlite3.connect(path) as sql:
        sql.execute("UPDATE changes SET actor = 'somebody-else' WHERE seq = ?", (seq,))
    sql.close()
    assert f"row {seq}" in db("verify", expect=1)
    fleet.controld.start()
    fleet.api.login()
    said = fleet.api.get("/api/v1/audit/verify")
    assert said["intact"] is False and said["broken_at"] == seq and said["why"]
