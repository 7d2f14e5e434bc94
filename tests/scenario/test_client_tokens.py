"""Tokens of clients: a pair for its secret, refresh with rotation, reuse ends the family, revoking holds at once, and such a
token opens nothing that belongs to users."""
import pytest
import requests


@pytest.fixture
def client(fleet):
    made = fleet.api.post("/api/v1/clients", {"name": "box"}, expect=201)
    yield made
    fleet.api.delete(f"/api/v1/clients/{made['id']}", expect=(204, 404))


class Public:
    """Calls without credentials."""

    def __init__(self, fleet):
        self.base = fleet.controld.base

    def __call__(self, path, body, expect=200):
        answer = requests.post(self.base + "/api/v1/client-tokens" + path, json=body, timeout=60)
        assert answer.status_code == expect, (path, answer.status_code, answer.text)
        return answer.json() if answer.content else None


@pytest.fixture
def public(fleet):
    return Public(fleet)


def login(public, client):
    return public("", {"client_id": client["id"], "secret_key": client["secret_key"]}, 201)


def test_a_pair_for_the_secret(fleet, public, client):
    pair = login(public, client)
    assert pair["client_id"] == client["id"] and pair["token"].count(".") == 2
    seen = public("/validate", {"token": pair["token"]})
    assert (seen["client_id"], seen["client_type"], seen["token_id"]) == (client["id"], "registered", pair["token_id"])
    public("/validate-refresh", {"refresh_token": pair["refresh_token"]})
    for wrong in ({"client_id": client["id"], "secret_key": client["secret_key"][:-2] + "AA"},
                  {"client_id": client["id"] + 1, "secret_key": client["secret_key"]}):
        assert public("", wrong, 401)["code"] == "AUTHENTICATION_FAILED"
    log = fleet.controld.log()
    assert pair["token"] not in log and pair["refresh_token"] not in log and client["secret_key"] not in log


def metric(fleet, name):
    text = requests.get(fleet.controld.base + "/metrics", timeout=60).text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.split(" ")[0].endswith(name))


def test_guessing_is_counted_and_no_writer_waits_for_it(fleet, public, client):
    refused = metric(fleet, "client_logins_failed_total")
    writes = metric(fleet, "db_writes_failed_total")
    for _ in range(20):
        public("", {"client_id": client["id"], "secret_key": "not the secret"}, 401)
    assert metric(fleet, "client_logins_failed_total") == refused + 20
    assert metric(fleet, "db_writes_failed_total") == writes, "none was begun, and undone"


def test_it_opens_nothing_of_users(fleet, public, client):
    headers = {"Authorization": "Bearer " + login(public, client)["token"]}
    for method, path in (("GET", "/api/v1/clients"), ("GET", "/api/v1/api-keys"), ("GET", "/auth/me"), ("POST", "/auth/logout"),
                         ("GET", f"/api/v1/clients/{client['id']}"), ("POST", "/api/v1/mappings")):
        answer = requests.request(method, fleet.controld.base + path, headers=headers, json={} if method == "POST" else None,
                                  timeout=60)
        assert answer.status_code == 403, (path, answer.status_code, answer.text)


def test_refresh_rotates_and_reuse_ends_the_family(public, client):
    first = login(public, client)
    second = public("/refresh", {"refresh_token": first["refresh_token"]})
    again = public("/refresh", {"refresh_token": first["refresh_token"]})  # the answer was lost
    assert again["refresh_token"] == second["refresh_token"]
    third = public("/refresh", {"refresh_token": second["refresh_token"]})
    public("/validate", {"token": third["token"]})
    public("/validate-refresh", {"refresh_token": first["refresh_token"]}, 401)
    public("/validate-refresh", {"refresh_token": third["refresh_token"]})  # looking ends nothing
    assert "used before" in public("/refresh", {"refresh_token": first["refresh_token"]}, 401)["message"]
    for token in (second, third):
        public("/validate", {"token": token["token"]}, 401)
        public("/refresh", {"refresh_token": token["refresh_token"]}, 401)


@pytest.mark.parametrize("by", ["token", "refresh_token"])
def test_revoking_holds_at_once(public, client, by):
    one, other = login(public, client), login(public, client)
    public("/validate", {"token": one["token"]})
    public("/revoke", {by: one[by]}, 204)
    public("/validate", {"token": one["token"]}, 401)
    public("/refresh", {"refresh_token": one["refresh_token"]}, 401)
    public("/validate", {"token": other["token"]})
    public("/revoke", {}, 400)


def test_the_tenant_makes_and_ends_them(fleet, public, client):
    url = f"/api/v1/clients/{client['id']}"
    pair = fleet.api.post(url + "/tokens", expect=201)
    public("/validate", {"token": pair["token"]})
    fleet.api.delete(url + "/tokens")
    public("/validate", {"token": pair["token"]}, 401)
    pair = login(public, client)
    fleet.api.put(url, {"enabled": False})
    public("/validate", {"token": pair["token"]}, 401)
    public("/refresh", {"refresh_token": pair["refresh_token"]}, 401)
    public("", {"client_id": client["id"], "secret_key": client["secret_key"]}, 401)
    fleet.api.put(url, {"enabled": True})
    public("/validate", {"token": pair["token"]})
    fleet.api.delete(url)
    public("/validate", {"token": pair["token"]}, 401)


def test_what_is_no_token(public):
    for junk in ("x", "a.b.c", "e30.e30.e30", "x" * 4097):
        public("/validate", {"token": junk}, 422 if len(junk) > 4096 else 401)
        public("/refresh", {"refresh_token": junk}, 422 if len(junk) > 4096 else 401)
