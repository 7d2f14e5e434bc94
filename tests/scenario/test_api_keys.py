"""API keys: what one is for beside its role, when and from where it was shown last, its end; and that it is in no log."""
import json
from datetime import datetime, timedelta, timezone

import portway
import pytest
import requests
from portway import Api, eventually

KEYS = "/api/v1/api-keys"


@pytest.fixture(scope="module")
def fleet():
    f = portway.Fleet({"CONTROLD_LOG_LEVEL": "debug", "CONTROLD_HTTP_ACCESS_LOG": "all"})
    try:
        yield f.start(relays=0)
    finally:
        f.stop()


def make(fleet, role="admin", **more):
    return fleet.api.post(KEYS, {"name": "k", "role": role, **more}, expect=201)


def keyed(fleet, key):
    api = Api(fleet.controld.base)
    api.session.headers["X-API-Key"] = key["key"]
    return api


def test_a_key_without_scopes_may_do_what_its_role_may(fleet):
    key = make(fleet)
    assert key["scopes"] == ["*"]
    api = keyed(fleet, key)
    api.get("/api/v1/mappings")
    api.delete(f"/api/v1/clients/{api.post('/api/v1/clients', {'name': 'c'}, expect=201)['id']}")


def test_scopes_hold_for_resource_and_verb(fleet):
    key = make(fleet, scopes=["mappings:read", "clients:*"])
    assert key["scopes"] == ["mappings:read", "clients:*"]
    assert fleet.api.get(f"{KEYS}/{key['id']}")["scopes"] == key["scopes"]
    api = keyed(fleet, key)
    api.get("/api/v1/mappings")
    made = api.post("/api/v1/clients", {"name": "c"}, expect=201)
    api.delete(f"/api/v1/clients/{made['id']}")
    said = api.post("/api/v1/mappings", {"protocol": "tcp", "target_host": "127.0.0.1", "target_port": 1}, expect=403)
    assert said["code"] == "INSUFFICIENT_PERMISSIONS" and "mappings:write" in said["message"]
    assert said["details"]["field"] == "scope" and said["details"]["provided_value"] == "mappings:write"
    for path in ("/api/v1/users", "/api/v1/audit", "/api/v1/audit/export", "/api/v1/jobs", "/auth/me", KEYS, "/api/v1/events"):
        assert ":read" in api.get(path, expect=403)["details"]["provided_value"], path
    fleet.api.get("/metrics")
    assert 'http_requests_refused_total{reason="scope"}' in fleet.api.last.text


def test_any_resource_or_any_verb(fleet):
    reads = keyed(fleet, make(fleet, scopes=["*:read"]))
    for path in ("/api/v1/mappings", "/api/v1/clients", "/api/v1/audit", "/auth/me"):
        reads.get(path)
    assert "clients:write" in reads.post("/api/v1/clients", {"name": "c"}, expect=403)["message"]
    keyed(fleet, make(fleet, scopes=["*"])).get("/api/v1/users")
    # a scope gives nothing that the role has not
    viewer = keyed(fleet, make(fleet, role="viewer", scopes=["*:write", "clients:write"]))
    assert "role" in viewer.post("/api/v1/clients", {"name": "c"}, expect=403)["message"]
    assert viewer.post("/api/v1/sync/full", {}, expect=403)["message"].endswith("/api/v1/sync/{type}, which needs system_admin")


def test_a_key_is_no_way_to_a_login(fleet):
    """Whoever sets a password logs in with it, and is no key of a few scopes any more."""
    person = {"email": "keys@example.com", "password": "long enough to pass", "role": "owner"}
    user = fleet.api.post("/api/v1/users", person, expect=201)
    owner = fleet.controld.api()
    owner.login(person["email"], person["password"])
    thief = keyed(fleet, owner.post(KEYS, {"name": "k", "role": "owner", "scopes": ["users:*", "tenants:*"]}, expect=201))
    for path in (f"/api/v1/users/{user['id']}", f"/api/tenants/{user['tenant_id']}/users/{user['id']}"):
        said = thief.put(path, {"password": "a password of the thief's"}, expect=403)
        assert said["details"]["field"] == "password"
        thief.put(path, {"first_name": "Still"})
    owner.login(person["email"], person["password"])


def test_a_key_of_some_scopes_makes_nobody_mightier(fleet):
    """What a login may is more than the scopes of the key that made it, or gave it a password."""
    person = {"email": "scoped@example.com", "password": "long enough to pass"}
    tenant = fleet.api.get("/auth/me")["data"]["tenant_id"]
    operator = fleet.api.post("/api/v1/users", {**person, "email": "operator@example.com", "role": "operator"}, expect=201)
    places = ("/api/v1/users", f"/api/tenants/{tenant}/users")
    thief = keyed(fleet, make(fleet, role="owner", system_admin=True, scopes=["users:*", "tenants:*"]))
    for place in places:
        for wish in ({"role": "owner"}, {"role": "operator"}, {"system_admin": True}):
            said = thief.post(place, {**person, **wish}, expect=403)
            assert said["details"]["field"] == "role" and "scope *" in said["message"], said
        made = thief.post(place, person, expect=201)
        one = f"{place}/{made['id']}"
        assert made["role"] == "viewer"
        for wish in ({"role": "owner"}, {"role": "operator"}, {"system_admin": True}, {"role": "admin", "password": "another password"}):
            assert thief.put(one, wish, expect=403)["details"]["field"] == "role", wish
        thief.put(one, {"password": "another password", "first_name": "Still"})
        other = f"{place}/{operator['id']}"
        for wish in ({"password": "a password of the thief's"}, {"email": "thief@example.com"}, {"username": "thief"},
                     {"role": "viewer", "password": "a password of the thief's"}):
            assert "scope *" in thief.put(other, wish, expect=403)["message"], wish
        thief.put(other, {"last_name": "Still"})
        thief.delete(one)
    fleet.controld.api().login("operator@example.com", person["password"])
    # without a limit it may what its role may
    full = keyed(fleet, make(fleet, role="owner", scopes=["clients:read", "*:*"]))
    made = full.post(places[0], {**person, "email": "full@example.com", "role": "operator"}, expect=201)
    full.put(f"{places[0]}/{made['id']}", {"role": "admin", "password": "another password"})


def test_what_is_no_scope_is_refused(fleet):
    for scopes in (["mappings"], ["mappings:delete"], [":read"], ["mappings:"], ["Mappings:read"], ["mappings:read clients:write"],
                   ["horses:read"], [""], [], ["mappings:read"] * 33, "mappings:read", ["*:*:*"], ["x" * 200 + ":read"]):
        fleet.api.post(KEYS, {"name": "k", "role": "admin", "scopes": scopes}, expect=422)
        assert "scopes" in fleet.api.last.text, scopes
    said = fleet.api.post(KEYS, {"name": "k", "role": "admin", "scopes": ["horses:read", "mappings:eat"]}, expect=422)
    assert len(said["details"]) == 2 and "horses" in json.dumps(said)


def test_the_scopes_there_are(fleet):
    """Each row of the API that a key may call is under one; the description of the API says the same."""
    items = {i["scope"]: i["calls"] for i in fleet.api.get(KEYS + "/scopes")["items"]}
    assert "GET /api/v1/mappings" in items["mappings:read"] and "POST /api/v1/mappings" in items["mappings:write"]
    paths = fleet.api.get("/openapi.json")["paths"]
    said = {}
    for path, methods in paths.items():
        for method, operation in methods.items():
            for way in operation["security"]:
                for scope in way.get("api_key", []):
                    said.setdefault(scope, set()).add(f"{method.upper()} {path}")
    assert {k: set(v) for k, v in items.items()} == {k: v & {c for calls in items.values() for c in calls} for k, v in said.items() if k in items}
    for scope in items:
        assert make(fleet, scopes=[scope])["scopes"] == [scope]


def test_when_it_was_used_last(fleet):
    first = make(fleet, role="viewer")
    keyed(fleet, first).get("/api/v1/mappings")
    eventually(lambda: fleet.api.get(f"{KEYS}/{first['id']}")["last_used_at"], "written down, and what was used before it")
    key = make(fleet, role="viewer")
    assert (key["last_used_at"], key["last_used_ip"]) == (None, None)
    before = datetime.now(timezone.utc)
    api = keyed(fleet, key)
    writes = fleet.controld.count("SELECT count(*) FROM api_key_uses")
    for _ in range(50):
        api.get("/api/v1/mappings")
    assert fleet.controld.count("SELECT count(*) FROM api_key_uses") <= writes + 1
    used = eventually(lambda: (k := fleet.api.get(f"{KEYS}/{key['id']}"))["last_used_at"] and k, "written down")
    assert used["last_used_ip"] == "127.0.0.1"
    assert before - timedelta(seconds=1) <= datetime.fromisoformat(used["last_used_at"].replace("Z", "+00:00"))
    assert next(k for k in fleet.api.get(KEYS + "?limit=200")["items"] if k["id"] == key["id"])["last_used_at"] == used["last_used_at"]
    # one that is refused for its scope was used as well
    narrow = make(fleet, scopes=["clients:read"])
    keyed(fleet, narrow).get("/api/v1/mappings", expect=403)
    eventually(lambda: fleet.api.get(f"{KEYS}/{narrow['id']}")["last_used_at"], "written down")
    # what is not there any more leaves nothing, and what was not written yet is when controld ends
    late = make(fleet, role="viewer")
    keyed(fleet, late).get("/api/v1/mappings")
    fleet.api.delete(f"{KEYS}/{key['id']}")
    fleet.controld.stop()
    fleet.controld.start()
    fleet.api.login()
    assert fleet.api.get(f"{KEYS}/{late['id']}")["last_used_ip"] == "127.0.0.1"


def test_its_end(fleet):
    soon = datetime.now(timezone.utc) + timedelta(seconds=5)
    key = make(fleet, role="viewer", expires_at=soon.strftime("%Y-%m-%dT%H:%M:%SZ"))
    api = keyed(fleet, key)
    api.call("GET", "/api/v1/mappings", expect=(200, 401))
    said = eventually(lambda: (s := api.call("GET", "/api/v1/mappings")).get("code") and s, "its end")
    assert said["code"] == "TOKEN_EXPIRED"
    fleet.api.post(KEYS, {"name": "k", "role": "viewer", "expires_at": "2001-01-01T00:00:00Z"}, expect=422)


def test_a_key_in_the_query_is_in_no_log_and_no_answer(fleet):
    """However it is written, and whatever goes wrong with the request."""
    key = make(fleet, role="viewer")
    base, text, n = fleet.controld.base, key["key"], 0
    for path in ("/api/v1/mappings?api_key={}", "/api/v1/mappings?limit=1&api_key={}", "/api/v1/mappings?api%5Fkey={}",
                 "/api/v1/mappings?API_KEY={}", "/api/v1/mappings?api_key={}&api_key={}", "/api/v1/mappings?apikey={}",
                 "/api/v1/mappings?api_key={}&limit=none", "/api/v1/nothing?api_key={}", "/api/v1/users?api_key={}",
                 "/api/v1/mappings?api_key={}&x=%zz", "/api/v1/mappings/?api_key={}#", "/metrics?api_key={}", "/?api_key={}",
                 "/api/v1/mappings?api_key=pw_wrong{}"):
        for method in ("GET", "POST", "OPTIONS", "HEAD"):
            answer = requests.request(method, base + path.replace("{}", text), timeout=60)
            assert text not in answer.text and text not in str(answer.headers), (method, path)
            n += 1
    for header in ({"X-API-Key": text, "X-Request-ID": "asked"}, {"Authorization": f"Bearer {text}"}, {"X-API-Key": (text + "\u00e9").encode()}):
        answer = requests.get(base + "/api/v1/mappings", headers=header, timeout=60)
        assert text not in answer.text
    assert requests.get(base + f"/api/v1/mappings?api_key={text}", timeout=60).status_code == 200
    log = fleet.controld.log()
    assert text not in log and text[3:] not in log and log.count("http_request") >= n / 2
