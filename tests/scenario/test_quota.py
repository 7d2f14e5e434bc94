"""A user's monthly traffic: counted exactly, switched off when it is used up and told why, on again when more is given."""
import contextlib
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from portway import Api, TcpServer, connect, echo, eventually, receive

PASSWORD = "a long password"


@pytest.fixture(scope="module")
def user(fleet):
    tenant = fleet.api.post("/api/v1/tenants", {"name": "metered", "dial_allow": ["127.0.0.0/8"]}, expect=201)
    fleet.api.post("/api/v1/users", {"email": "boss@metered.example", "username": "boss", "password": PASSWORD, "role": "owner",
                                     "tenant_id": tenant["id"]}, expect=201)
    boss = Api(fleet.controld.base)
    boss.login("boss@metered.example", PASSWORD)
    made = boss.post("/api/v1/users", {"email": "op@metered.example", "username": "op", "password": PASSWORD,
                                       "role": "operator"}, expect=201)
    api = Api(fleet.controld.base)
    api.login("op@metered.example", PASSWORD)
    return boss, api, f"/api/v1/users/{made['id']}/quota"


def test_used_up_and_on_again(user):
    boss, api, url = user
    assert api.get(url)["monthly_bytes"] is None
    with TcpServer(echo) as server:
        mapping = api.post("/api/v1/mappings", {"protocol": "tcp", "source_port": 0, "target_host": "127.0.0.1",
                                                "target_port": server.port}, expect=201)
        path = f"/api/v1/mappings/{mapping['id']}"
        eventually(lambda: api.get(path)["status"] == "active", "mapping active")
        with connect(mapping["source_port"]) as s:
            s.sendall(b"free")
            assert receive(s, 4) == b"free"
        eventually(lambda: api.get(path)["traffic_stats"]["bytes_sent"] == 4, "what passed without a quota")
        assert api.get(url)["used_bytes"] == 0
        api.put(url, {"monthly_bytes": 1}, expect=403)
        set_ = boss.put(url, {"monthly_bytes": 20000, "reset_day": 15, "time_zone": "+02:00"})
        assert (set_["used_bytes"], set_["remaining_bytes"], set_["time_zone"]) == (0, 20000, "+02:00")
        assert set_["resets_at"].endswith("22:00:00.000Z")
        with connect(mapping["source_port"]) as s:
            s.sendall(b"x" * 6000)
            assert len(receive(s, 6000)) == 6000
            eventually(lambda: api.get(url)["used_bytes"] == 12000, "12000 bytes counted")
            assert api.get(path)["status"] == "active"
            s.sendall(b"x" * 6000)
            eventually(lambda: api.get(url)["exceeded"], "used up")
            s.settimeout(30)
            with contextlib.suppress(ConnectionResetError):  # the connection is cut
                while s.recv(65536):
                    pass
        refused = api.get(path)
        assert refused["status"] == "error" and refused["error"]["quota"]["code"] == "QUOTA_EXCEEDED"
        late = api.post("/api/v1/mappings", {"protocol": "tcp", "source_port": 0, "target_host": "127.0.0.1",
                                             "target_port": server.port}, expect=201)
        assert late["status"] == "error" and late["error"]["quota"]["code"] == "QUOTA_EXCEEDED"
        api.delete(f"/api/v1/mappings/{late['id']}")

        def closed():
            try:
                connect(mapping["source_port"], timeout=2).close()
                return False
            except OSError:
                return True
        eventually(closed, "port closed")
        boss.put(url, {"monthly_bytes": None})
        eventually(lambda: api.get(path)["status"] == "active", "mapping active again")

        def works():
            with connect(mapping["source_port"]) as s:
                s.sendall(b"y")
                return s.recv(1) == b"y"
        eventually(works, "port open again")
        assert boss.get("/api/v1/audit?kind=quota&op=exceeded")["items"]


def test_what_is_refused(user):
    boss, _, url = user
    for body in ({"monthly_bytes": -1}, {"reset_day": 32}, {"reset_day": 0}, {"time_zone": "Mars"},
                 {"time_zone": "../../../etc/passwd"}, {"speed": 1}):
        boss.put(url, body, expect=422)
    refused = boss.put(url, {"time_zone": "Mars"}, expect=422)
    assert refused["details"]["field"] == "time_zone" and "Europe/Berlin" in refused["message"]
    both = str(boss.put(url, {"reset_day": 33, "time_zone": "Mars"}, expect=422))
    assert "reset_day" in both and "time_zone" in both, both


def test_months_by_the_clocks_of_a_place(user):
    boss, _, url = user
    for zone in ("Europe/Berlin", "America/New_York"):
        set_ = boss.put(url, {"monthly_bytes": 20000, "reset_day": 31, "time_zone": zone})
        assert (set_["time_zone"], set_["reset_day"]) == (zone, 31)
        resets = datetime.fromisoformat(set_["resets_at"].replace("Z", "+00:00")).astimezone(ZoneInfo(zone))
        assert (resets.hour, resets.minute) == (0, 0)
        assert (resets + timedelta(days=1)).day == 1  # the last day of its month
    assert boss.put(url, {"monthly_bytes": None, "time_zone": None})["time_zone"] == "UTC"
