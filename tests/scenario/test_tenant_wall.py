"""A tenant is a wall: another tenant's ids do not exist, on any row of the API; roles hold."""
import re

import portway
import pytest
import requests
from portway import Api, TcpServer, echo

PASSWORD = "a long password"


@pytest.fixture(scope="module")
def fleet():
    """One that may be asked often: the wall has many doors."""
    f = portway.Fleet({"CONTROLD_HTTP_RATE_LIMIT": "100000", "CONTROLD_HTTP_RATE_BURST": "100000"})
    try:
        yield f.start()
    finally:
        f.stop()


@pytest.fixture(scope="module")
def two(fleet):
    """Two tenants, each with an owner and a mapping of its own."""
    sides = {}
    with TcpServer(echo) as server:
        for name in ("red", "blue"):
            tenant = fleet.api.post("/api/v1/tenants", {"name": name, "dial_allow": ["127.0.0.0/8"]}, expect=201)
            user = fleet.api.post("/api/v1/users", {"email": f"{name}@example.com", "username": name, "password": PASSWORD,
                                                    "role": "owner", "tenant_id": tenant["id"]}, expect=201)
            api = Api(fleet.controld.base)
            api.login(f"{name}@example.com", PASSWORD)
            mapping = api.post("/api/v1/mappings", {"protocol": "tcp", "source_port": 0, "target_host": "127.0.0.1",
                                                    "target_port": server.port}, expect=201)
            client = api.post("/api/v1/clients", {"name": f"client of {name}"}, expect=201)
            key = api.post("/api/v1/api-keys", {"name": "k", "role": "viewer"}, expect=201)
            pool = api.post("/api/pools", {"name": f"pool-of-{name}"}, expect=201)
            backend = api.post("/api/backends", {"address": f"127.0.0.1:{server.port}", "pool": pool["name"]}, expect=201)
            route = api.post("/api/routes", {"host": f"{name}.example", "pool": pool["name"]}, expect=201)
            sides[name] = {"tenant": tenant, "user": user, "api": api, "mapping": mapping, "key": key, "client": client,
                           "pool": pool, "backend": backend, "route": route}
        yield sides


def versions(api):
    """Of all that a tenant has of the balancer: how its backends are is not a change of theirs."""
    return {o["id"]: o["version"] for kind in ("pools", "backends", "routes") for o in api.get(f"/api/{kind}")[kind]}


def test_every_row_with_a_foreign_id(fleet, two):
    red, blue = two["red"]["api"], two["blue"]
    ids = [blue["mapping"]["id"], blue["user"]["id"], blue["tenant"]["id"], blue["key"]["id"], str(blue["client"]["id"]),
           blue["pool"]["id"], blue["pool"]["name"], blue["backend"]["id"], blue["route"]["id"]]
    before = blue["api"].get(f"/api/v1/mappings/{blue['mapping']['id']}")
    balanced = versions(blue["api"])
    description = requests.get(fleet.controld.base + "/openapi.json", timeout=10).json()
    knocked = 0
    for path, methods in description["paths"].items():
        if "{" not in path:
            continue
        for method in methods:
            for i in ids:
                red.call(method.upper(), re.sub(r"\{[^}]+\}", i, path), None if method in ("get", "delete") else {}, timeout=20)
                assert red.last.status_code in (400, 403, 404, 405, 422), (method, path, i, red.last.status_code, red.last.text)
                assert blue["user"]["email"] not in red.last.text
                knocked += 1
    assert knocked > 20
    assert balanced == versions(blue["api"]), "pools, backends and routes are as they were"
    after = blue["api"].get(f"/api/v1/mappings/{blue['mapping']['id']}")
    assert (before["updated_at"], before["name"]) == (after["updated_at"], after["name"])
    blue["api"].get("/auth/me")


def test_lists_show_only_the_own_tenant(two):
    for mine, other in (("red", "blue"), ("blue", "red")):
        api = two[mine]["api"]
        for path in ("/api/v1/mappings", "/api/v1/users", "/api/v1/api-keys", "/api/v1/audit", "/api/v1/connections",
                     "/api/v1/clients", "/api/pools", "/api/backends", "/api/routes", "/api/tenants",
                     f"/api/tenants/{two[mine]['tenant']['id']}/users"):
            api.get(path)
            for secret in (two[other]["pool"]["id"], two[other]["backend"]["id"], two[other]["route"]["id"],
                           two[other]["tenant"]["id"], two[other]["mapping"]["id"], two[other]["user"]["id"], two[other]["key"]["id"],
                           str(two[other]["client"]["id"])):
                assert secret not in api.last.text, path
        for spoof in (f"tenant_id={two[other]['tenant']['id']}", f"user_id={two[other]['user']['id']}"):
            api.get(f"/api/v1/mappings?{spoof}", expect=(200, 400, 403, 404, 422))
            assert two[other]["mapping"]["id"] not in api.last.text


def test_platform_rows_are_closed_to_tenants(two):
    api = two["red"]["api"]
    api.post("/api/v1/nodes/join-tokens", {"name": "x"}, expect=403)
    api.post("/api/v1/tenants", {"name": "x"}, expect=403)
    api.get("/api/v1/tenants", expect=(200, 403))
    assert two["blue"]["tenant"]["id"] not in api.last.text


def test_roles(fleet, two):
    owner = two["red"]["api"]
    for role, may_write, may_admin in (("viewer", False, False), ("operator", True, False), ("admin", True, True)):
        owner.post("/api/v1/users", {"email": f"{role}@red.example", "username": f"red-{role}", "password": PASSWORD,
                                     "role": role}, expect=201)
        api = Api(fleet.controld.base)
        api.login(f"{role}@red.example", PASSWORD)
        api.get("/api/v1/mappings")
        made = api.post("/api/v1/mappings", {"protocol": "udp", "source_port": 0, "target_host": "127.0.0.1", "target_port": 1},
                        expect=201 if may_write else 403)
        if may_write:
            api.delete(f"/api/v1/mappings/{made['id']}")
        api.post("/api/v1/users", {"email": f"by-{role}@red.example", "username": f"by-{role}", "password": PASSWORD,
                                   "role": "viewer"}, expect=201 if may_admin else 403)
        api.post("/api/v1/users", {"email": f"up-{role}@red.example", "username": f"up-{role}", "password": PASSWORD,
                                   "role": "owner"}, expect=(403, 422))


def test_api_key_acts_with_its_role_and_ends_when_revoked(fleet, two):
    made = two["red"]["key"]
    key = made["key"]
    headers = {"X-API-Key": key}
    base = fleet.controld.base
    assert requests.get(base + "/api/v1/mappings", headers=headers, timeout=5).status_code == 200
    assert requests.get(base + f"/api/v1/mappings?api_key={key}", timeout=5).status_code == 200
    assert requests.post(base + "/api/v1/mappings", headers=headers, json={}, timeout=5).status_code == 403
    assert key not in fleet.controld.log(), "a key is masked in the log"
    two["red"]["api"].delete(f"/api/v1/api-keys/{made['id']}")
    assert requests.get(base + "/api/v1/mappings", headers=headers, timeout=5).status_code == 401
