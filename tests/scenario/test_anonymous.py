"""The anonymous door: closed unless opened; a client without an account, within limits, that ends by itself."""
import requests
from portway import eventually

OPEN = {"CONTROLD_ANONYMOUS_ENABLED": "true", "CONTROLD_ANONYMOUS_PER_HOUR": "6", "CONTROLD_ANONYMOUS_MAPPINGS_MAX": "2",
        "CONTROLD_ANONYMOUS_BIND": "127.0.0.1", "CONTROLD_ANONYMOUS_BANDWIDTH": "1000"}


class Comer:
    def __init__(self, fleet):
        self.base = fleet.controld.base
        answer = requests.post(self.base + "/api/v1/anonymous/clients", json={"name": "guest"}, timeout=60)
        assert answer.status_code == 201, answer.text
        self.made = answer.json()
        self.id = self.made["client"]["id"]

    def call(self, method, path, body=None, expect=200):
        answer = requests.request(method, self.base + path, json=body, timeout=60,
                                  headers={"Authorization": "Bearer " + self.made["token"]})
        assert answer.status_code == expect, (path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def mapping(self, expect=201, **more):
        return self.call("POST", "/api/v1/self/mappings", {"protocol": "tcp", "target_port": 22, **more}, expect)


def test_closed_unless_opened(fleet):
    answer = requests.post(fleet.controld.base + "/api/v1/anonymous/clients", json={}, timeout=60)
    assert answer.status_code == 403 and "anonymous.enabled" in answer.json()["message"]


def test_a_guest_from_coming_to_going(new_fleet):
    fleet = new_fleet(controld_env=OPEN)
    guest = Comer(fleet)
    assert guest.made["client"]["type"] == "anonymous" and guest.made["secret_key"].startswith("pws_")
    assert guest.made["client"]["config"]["bandwidth_limit"] == 1000
    one = guest.mapping()
    assert (one["type"], one["target_client_id"], one["bind_address"]) == ("anonymous", guest.id, "127.0.0.1")
    assert one["expires_at"] == guest.made["client"]["expires_at"]
    guest.mapping(422, source_port=80)
    guest.mapping(422, target_client_id=1)
    guest.mapping(name="two")
    assert "at most 2" in guest.mapping(409)["message"]
    assert guest.call("GET", "/api/v1/self")["id"] == guest.id
    assert len(guest.call("GET", "/api/v1/self/mappings")["items"]) == 2
    assert len(guest.call("GET", "/api/v1/self/relays")["ca_fingerprint"]) == 64
    guest.call("GET", "/api/v1/mappings", expect=403)

    other = Comer(fleet)
    other.call("DELETE", f"/api/v1/self/mappings/{one['id']}", expect=404)
    assert other.call("GET", "/api/v1/self/mappings")["items"] == []
    guest.call("DELETE", f"/api/v1/self/mappings/{one['id']}", expect=204)

    # whoever runs the platform sees them, a tenant does not
    assert fleet.api.get("/api/v1/clients")["items"] == [] and fleet.api.get("/api/v1/mappings")["items"] == []
    assert {c["id"] for c in fleet.api.get("/api/v1/anonymous/clients")["items"]} == {guest.id, other.id}
    assert len(fleet.api.get("/api/v1/anonymous/mappings")["items"]) == 1
    assert fleet.api.get("/api/v1/stats/system")["anonymous_users"] == 2
    fleet.api.delete(f"/api/v1/anonymous/clients/{other.id}")
    other.call("GET", "/api/v1/self", expect=401)
    guest.call("DELETE", "/api/v1/self", expect=204)
    eventually(lambda: fleet.api.get("/api/v1/anonymous/mappings")["items"] == [], "mappings are gone", 20)


def test_so_many_from_one_address(new_fleet):
    fleet = new_fleet(relays=0, controld_env={**OPEN, "CONTROLD_ANONYMOUS_CLIENTS_MAX": "4"})
    for _ in range(4):
        Comer(fleet)
    url = fleet.controld.base + "/api/v1/anonymous/clients"
    full = requests.post(url, json={}, timeout=60)
    assert full.status_code == 503 and "4 anonymous clients" in full.json()["message"]
    requests.post(url, json={}, timeout=60)
    refused = requests.post(url, json={}, timeout=60)
    assert refused.status_code == 429 and int(refused.headers["Retry-After"]) > 0


def test_one_network_is_one_comer(new_fleet):
    """Who has IPv6 has as many addresses as he likes: limits hold for the network that they are in."""
    fleet = new_fleet(relays=0, controld_env={**OPEN, "CONTROLD_HTTP_TRUSTED_PROXIES": "127.0.0.1/32"})

    def statuses(path, body, network, n):
        return [requests.post(fleet.controld.base + path, json=body, timeout=60,
                              headers={"X-Forwarded-For": f"2001:db8:0:{network}::{i + 1}"}).status_code for i in range(n)]
    assert statuses("/api/v1/anonymous/clients", {}, 1, 7) == [201] * 6 + [429]
    assert statuses("/api/v1/anonymous/clients", {}, 2, 1) == [201]
    wrong = {"email": "admin@example.com", "password": "not this one"}
    assert 429 in statuses("/auth/login", wrong, 1, 15)
    assert statuses("/auth/login", wrong, 2, 1) == [401]


def test_it_ends_by_itself(new_fleet):
    fleet = new_fleet(controld_env={**OPEN, "CONTROLD_ANONYMOUS_LIFETIME": "5s"})
    guest = Comer(fleet)
    mapping = guest.mapping()
    eventually(lambda: guest.call("GET", "/api/v1/self", expect=401), "its token ends", 30)
    fleet.api.post("/api/v1/anonymous/cleanup", expect=204)
    eventually(lambda: fleet.api.get("/api/v1/anonymous/clients")["items"] == [], "client is gone", 20)
    eventually(lambda: fleet.api.get("/api/v1/anonymous/mappings")["items"] == [], "mapping is gone", 20)
    assert mapping["id"] in str(fleet.api.get("/api/v1/audit?kind=mapping&op=delete"))
