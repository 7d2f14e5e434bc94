"""A user that was deleted is gone for good a little later, also when controld is killed on the way; what was used stays."""
from portway import TcpServer, connect, echo, eventually

OWNED = {"users": "id", "memberships": "user_id", "sessions": "user_id", "api_keys": "user_id", "mappings": "user_id"}


def test_a_deleted_user_is_erased(new_fleet):
    fleet = new_fleet(relays=1)
    person = {"email": "goes@example.com", "password": "long enough to pass", "role": "operator", "first_name": "Ada"}
    user = fleet.api.post("/api/v1/users", person, expect=201)["id"]
    tenant = fleet.api.get("/auth/me")["data"]["tenant_id"]
    fleet.api.put(f"/api/v1/tenants/{tenant}", {"dial_allow": ["127.0.0.0/8"]})
    api = fleet.controld.api()
    api.login(person["email"], person["password"])
    with TcpServer(echo) as server:
        body = {"protocol": "tcp", "target_host": "127.0.0.1", "target_port": server.port, "bind_address": "127.0.0.1"}
        made = [api.post("/api/v1/mappings", body, expect=201) for _ in range(150)]
        fleet.wait_status(made[-1]["id"])
        with connect(made[-1]["source_port"]) as s:
            s.sendall(b"12345")
            assert s.recv(5) == b"12345"
        fleet.wait_stats(made[-1]["id"], bytes_received=5)
    fleet.api.delete(f"/api/v1/users/{user}")
    for _ in range(3):
        fleet.controld.kill()
        fleet.controld.start()
    fleet.api.login()

    def left():
        count = fleet.controld.count
        rows = {t: count(f"SELECT count(*) FROM {t} WHERE {c} = '{user}'") for t, c in OWNED.items()}
        rows["names"] = count("SELECT count(*) FROM changes WHERE object LIKE '%goes@example.com%'")
        rows["erased"] = 1 - count(f"SELECT count(*) FROM changes WHERE op = 'erase' AND subject = '{user}'")
        return rows
    eventually(lambda: not any(left().values()), "nothing left", 90, 0.5)
    total = fleet.api.get(f"/api/v1/stats/mappings/{made[-1]['id']}")
    assert total["traffic_stats"]["bytes_received"] == 5 if "traffic_stats" in total else "5" in str(total), total
    assert sum(m["user_id"] == user for m in fleet.api.get("/api/v1/mappings")["items"]) == 0
