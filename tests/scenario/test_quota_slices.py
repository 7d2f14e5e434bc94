"""A quota holds while bytes run: relays spend what they were given of it, and stop with it; nothing waits for the next report."""
import contextlib
import threading

import pytest
from portway import Api, Fleet, TcpServer, connect, eventually

PASSWORD = "a long password"
QUOTA = 40_000_000


@pytest.fixture(scope="module")
def fleet():
    f = Fleet()
    try:
        yield f.start(relays=2, relay_env={"RELAYD_REPORT_INTERVAL": "5s", "RELAYD_QUOTA_OVERDRAFT": "1M"})
    finally:
        f.stop()


@pytest.fixture(scope="module")
def metered(fleet):
    tenant = fleet.api.post("/api/v1/tenants", {"name": "sliced", "dial_allow": ["127.0.0.0/8"]}, expect=201)
    fleet.api.post("/api/v1/users", {"email": "boss@sliced.example", "username": "boss", "password": PASSWORD, "role": "owner",
                                     "tenant_id": tenant["id"]}, expect=201)
    boss = Api(fleet.controld.base)
    boss.login("boss@sliced.example", PASSWORD)
    made = boss.post("/api/v1/users", {"email": "op@sliced.example", "username": "op", "password": PASSWORD,
                                       "role": "operator"}, expect=201)
    api = Api(fleet.controld.base)
    api.login("op@sliced.example", PASSWORD)
    return boss, api, f"/api/v1/users/{made['id']}/quota"


def sink(conn, _address):
    while conn.recv(1 << 18):
        pass


def pour(port, limit=None):
    """Sends until it is cut, or so many bytes; answers how many it got rid of."""
    sent, piece = 0, b"x" * (1 << 18)
    with contextlib.suppress(OSError), connect(port, timeout=30) as sock:
        while limit is None or sent < limit:
            sent += sock.send(piece if limit is None else piece[:limit - sent])
        sock.shutdown(1)
        sock.recv(1)
    return sent


def mapping_on(api, node, port):
    made = api.post("/api/v1/mappings", {"protocol": "tcp", "source_port": 0, "target_host": "127.0.0.1", "target_port": port,
                                         "node": node}, expect=201)
    eventually(lambda: api.get(f"/api/v1/mappings/{made['id']}")["status"] == "active", "mapping active")
    return made


def test_two_relays_at_full_speed(fleet, metered):
    boss, api, url = metered
    with TcpServer(sink) as server:
        boss.put(url, {"monthly_bytes": QUOTA})
        both = [mapping_on(api, node, server.port) for node in ("edge-1", "edge-2")]
        threads = [threading.Thread(target=pour, args=(m["source_port"],)) for m in both for _ in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(120)
        assert not any(t.is_alive() for t in threads), "who is over his quota is cut"
        for m in both:
            error = eventually(lambda m=m: api.get(f"/api/v1/mappings/{m['id']}")["error"], "it says why")
            assert "QUOTA_EXCEEDED" in {e["code"] for e in error.values()}
        for m in both:
            assert pour(m["source_port"], 4_000_000) < 4_000_000
        used = eventually(lambda: (q := api.get(url))["used_bytes"] > QUOTA * 0.9 and q["used_bytes"], "all is counted", 30)
        print(f"used {used} of {QUOTA}")
        assert used <= QUOTA

        boss.put(url, {"monthly_bytes": QUOTA * 3})
        for m in both:
            eventually(lambda m=m: api.get(f"/api/v1/mappings/{m['id']}")["status"] == "active", "it is on again")
            eventually(lambda m=m: pour(m["source_port"], 1_000_000) == 1_000_000, "and serves")
