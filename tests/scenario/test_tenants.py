"""Tenants at /api/tenants: made with their first owner, seen and named by themselves, limited by their plan, switched off."""
import gzip
import json

import pytest
import requests
from portway import Api


@pytest.fixture(scope="module")
def acme(fleet):
    made = fleet.api.post("/api/tenants", {"name": "Acme Corp", "plan": "professional", "admin_email": "admin@acme.example",
                                           "settings": {"max_users": 2, "max_requests_per_month": 500000}}, expect=201)
    api = Api(fleet.controld.base)
    api.login("admin@acme.example", made["admin"]["password"])
    return {"tenant": made, "api": api}


def test_a_tenant_is_made_with_its_owner(fleet, acme):
    made = acme["tenant"]
    assert (made["name"], made["plan"], made["status"], made["user_count"]) == ("Acme Corp", "professional", "active", 1)
    assert made["settings"] == {"max_users": 2, "max_requests_per_month": 500000}
    shown = fleet.api.get(f"/api/tenants/{made['id']}")
    assert "admin" not in shown and shown["usage"] == {"requests_per_month": 0, "bandwidth_gb": 0.0}
    assert made["id"] in [t["id"] for t in fleet.api.get("/api/tenants")["tenants"]]
    own = acme["api"].get("/api/tenants")
    assert [t["id"] for t in own["tenants"]] == [made["id"]] and own["next_cursor"] is None


def test_who_may_change_what(fleet, acme):
    path = f"/api/tenants/{acme['tenant']['id']}"
    assert acme["api"].put(path, {"name": "Acme Inc"})["name"] == "Acme Inc"
    for theirs in ({"plan": "enterprise"}, {"settings": {"max_users": 100}}, {"status": "suspended"}, {"dial_allow": ["10.0.0.0/8"]}):
        assert acme["api"].put(path, theirs, expect=403)["code"] == "INSUFFICIENT_PERMISSIONS"
    acme["api"].delete(path, expect=403)
    acme["api"].post("/api/tenants", {"name": "another"}, expect=403)
    changed = fleet.api.put(path, {"name": "Updated Company Name", "plan": "enterprise", "settings": {"max_users": 3}})
    assert (changed["name"], changed["plan"]) == ("Updated Company Name", "enterprise")
    assert changed["settings"] == {"max_users": 3, "max_requests_per_month": 500000}
    wrong = fleet.api.put(path, {"plan": "gold", "settings": {"max_users": -1}}, expect=422)
    assert sorted(d["field"] for d in wrong["details"]) == ["plan", "settings.max_users"]


def test_users_of_a_tenant(fleet, acme):
    users = f"/api/tenants/{acme['tenant']['id']}/users"
    made = acme["api"].post(users, {"email": "newuser@company.example", "first_name": "John", "last_name": "Doe", "role": "viewer",
                                    "password": "secure_password"}, expect=201)
    assert (made["email"], made["role"], made["tenant_id"]) == ("newuser@company.example", "viewer", acme["tenant"]["id"])
    changed = acme["api"].put(f"{users}/{made['id']}", {"role": "admin", "first_name": "Updated Name"})
    assert (changed["role"], changed["first_name"], changed["last_name"]) == ("admin", "Updated Name", "Doe")
    assert [u["email"] for u in acme["api"].get(users)["users"]] == ["admin@acme.example", "newuser@company.example"]
    fleet.api.put(f"/api/tenants/{acme['tenant']['id']}", {"settings": {"max_users": 2}})
    full = acme["api"].post(users, {"email": "third@company.example", "password": "secure_password"}, expect=409)
    assert full["code"] == "LIMIT_REACHED"
    acme["api"].delete(f"{users}/{made['id']}")
    acme["api"].get(f"{users}/{made['id']}", expect=404)
    other = fleet.api.get("/auth/me")["data"]
    for path in (f"/api/tenants/default/users/{other['id']}", f"{users}/{other['id']}", "/api/tenants/default/users",
                 "/api/tenants/default"):
        acme["api"].get(path, expect=404)


def test_a_plan_is_an_hour_of_requests(fleet):
    made = fleet.api.post("/api/tenants", {"name": "small", "plan": "free", "admin_email": "small@example.com"}, expect=201)
    api = Api(fleet.controld.base)
    api.login("small@example.com", made["admin"]["password"])
    for left in range(99, -1, -1):
        api.get("/api/pools")
        headers = api.last.headers
        assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"], headers["X-RateLimit-Window"]) == (
            "100", str(left), "3600")
    refused = api.get("/api/pools", expect=429)
    assert refused["code"] == "RATE_LIMIT_EXCEEDED" and 0 < int(api.last.headers["Retry-After"]) <= 3601
    fleet.api.get("/api/pools")
    assert "X-RateLimit-Limit" not in fleet.api.last.headers, "who has no plan is not counted"


def test_headers_and_compressed_bodies(fleet):
    body = gzip.compress(json.dumps({"name": "zipped", "algorithm": "round_robin"}).encode())
    answer = requests.post(fleet.controld.base + "/api/pools", data=body, timeout=10, headers={
        "Content-Type": "application/json", "Content-Encoding": "gzip", "Authorization": fleet.api.session.headers["Authorization"]})
    assert answer.status_code == 201 and answer.json()["name"] == "zipped"
    for name, value in {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "X-XSS-Protection": "1; mode=block",
                        "Content-Security-Policy": "default-src 'self'"}.items():
        assert answer.headers[name] == value
    assert "Strict-Transport-Security" not in answer.headers, "only over TLS"


def test_a_suspended_tenant_is_out_at_once(fleet, acme):
    path = f"/api/tenants/{acme['tenant']['id']}"
    fleet.api.put(path, {"status": "suspended"})
    assert acme["api"].get("/api/pools", expect=401)["code"] in ("INVALID_TOKEN", "AUTHENTICATION_FAILED")
    fleet.api.put(path, {"status": "active"})
    fleet.api.delete(path)
    fleet.api.get(path, expect=404)
