"""Clients: made and listed over the API, known to the relays of their mappings, off everywhere when they or their owner are
switched off. What an agent does with its links has files of its own."""
import pytest
from portway import ADMIN, Api, eventually, free_port

PASSWORD = "a long password"


def objects(fleet):
    """What the relay was told of, as it has it."""
    node = fleet.node()
    return node["revision"], node["lag"]


def current(fleet):
    return eventually(lambda: objects(fleet)[1] == 0 and objects(fleet)[0], "relay is up to date", 10)


@pytest.fixture
def client(fleet):
    made = fleet.api.post("/api/v1/clients", {"name": "box"}, expect=201)
    yield made
    fleet.api.delete(f"/api/v1/clients/{made['id']}", expect=(204, 404))


def mapping_of(api, client, **fields):
    body = {"protocol": "tcp", "target_port": 22, "target_client_id": client["id"], **fields}
    return api.post("/api/v1/mappings", body, expect=201)


def test_the_secret_is_shown_once(fleet, client):
    assert client["secret_key"].startswith("pws_") and client["auth_code"].startswith("pwa_")
    url = f"/api/v1/clients/{client['id']}"
    for path in (url, "/api/v1/clients", "/api/v1/audit?kind=client"):
        fleet.api.get(path)
        assert client["secret_key"] not in fleet.api.last.text and "pws_" not in fleet.api.last.text
    assert client["secret_key"] not in fleet.controld.log()
    rotated = fleet.api.post(url + "/rotate-secret", {"overlap": "1h"}, expect=200)
    assert rotated["secret_key"] != client["secret_key"] and len(rotated["secrets"]) == 2
    assert rotated["auth_code"] != client["auth_code"]


def test_status_is_what_relays_say(fleet, client):
    assert (client["status"], client["node_id"], client["last_seen"]) == ("offline", None, None)
    answer = fleet.api.put(f"/api/v1/clients/{client['id']}", {"status": "online", "name": "other"})
    assert answer["status"] == "offline" and answer["name"] == "other"


def test_relay_hears_of_a_client_and_its_mappings(fleet, client):
    before = current(fleet)
    mapping = mapping_of(fleet.api, client)
    assert mapping["target_host"] == "127.0.0.1"
    eventually(lambda: objects(fleet)[0] > before and objects(fleet)[1] == 0, "relay has the mapping", 10)
    listed = fleet.api.get(f"/api/v1/clients/{client['id']}/mappings")["items"]
    assert [m["id"] for m in listed] == [mapping["id"]]
    assert fleet.api.get(f"/api/v1/stats/clients/{client['id']}")["total_mappings"] == 1


@pytest.mark.parametrize("how", ["disable", "delete", "suspend the owner"])
def test_off_on_the_relay(fleet, how):
    name = how.split()[0]
    user = fleet.api.post("/api/v1/users", {"email": f"{name}@client.example", "username": name, "password": PASSWORD,
                                            "role": "operator"}, expect=201)
    api = Api(fleet.controld.base)
    api.login(f"{name}@client.example", PASSWORD)
    client = api.post("/api/v1/clients", {}, expect=201)
    mapping = mapping_of(fleet.api, client)  # of somebody else
    before = current(fleet)
    url = f"/api/v1/clients/{client['id']}"
    if how == "disable":
        api.put(url, {"enabled": False})
    elif how == "delete":
        api.delete(url)
    else:
        fleet.api.post(f"/api/v1/users/{user['id']}/suspend", {}, expect=200)
    eventually(lambda: objects(fleet)[0] > before and objects(fleet)[1] == 0, "relay was told", 10)
    if how == "delete":
        eventually(lambda: fleet.api.get(f"/api/v1/mappings/{mapping['id']}", expect=404), "mapping removed", 20)
        api.get(url, expect=404)
    else:
        assert fleet.get(mapping["id"])["status"] == "inactive"


def test_ports_that_the_config_does_not_let_through(fleet, client):
    fleet.api.put(f"/api/v1/clients/{client['id']}/config", {"allowed_ports": [22, "8000-8010"], "blocked_ports": [8005]})
    for port, good in ((22, True), (8000, True), (8005, False), (23, False)):
        body = {"protocol": "tcp", "target_port": port, "target_client_id": client["id"]}
        answer = fleet.api.post("/api/v1/mappings", body, expect=201 if good else 403)
        assert good or (answer["code"] == "TARGET_NOT_ALLOWED" and str(port) in answer["message"])


def test_where_agents_connect(new_fleet):
    port = free_port()
    fleet = new_fleet(relay_env={"RELAYD_AGENTS_LISTEN": f"127.0.0.1:{port}"})
    client = fleet.api.post("/api/v1/clients", {}, expect=201)
    url = f"/api/v1/clients/{client['id']}/relays"
    found = eventually(lambda: (lambda a: a if a["items"] else None)(fleet.api.get(url)), "relay told where")
    node = fleet.node()["id"]
    assert found["items"] == [{"id": node, "node": "edge-1", "address": f"127.0.0.1:{port}", "http_port": 0, "tls_port": 0}]
    assert found["nodes"] == [node]
    token = fleet.api.post("/api/v1/nodes/join-tokens", {"name": "other"})["token"]
    assert found["ca_fingerprint"] == token.split(".")[2]
    fleet.api.get("/api/v1/clients/1/relays", expect=404)


def test_found_by_words(fleet):
    client = fleet.api.post("/api/v1/clients", {"name": "Lighthouse keeper"}, expect=201)
    mapping = mapping_of(fleet.api, client, name="beacon of the lighthouse")
    found = fleet.api.get("/api/v1/search?q=LIGHTH")["items"]
    assert [(f["type"], f["id"]) for f in found] == [("client", str(client["id"])), ("mapping", mapping["id"])]
    assert [f["type"] for f in fleet.api.get("/api/v1/search?q=lighthouse%20beac")["items"]] == ["mapping"]
    assert [f["type"] for f in fleet.api.get("/api/v1/search?q=lighthouse&type=client")["items"]] == ["client"]
    page = fleet.api.get("/api/v1/search?q=lighthouse&limit=1")
    assert page["items"][0]["exact"] and fleet.api.get(f"/api/v1/search?q=lighthouse&cursor={page['next_cursor']}")["items"]
    fleet.api.put(f"/api/v1/mappings/{mapping['id']}", {"name": "dark"})
    assert fleet.api.get("/api/v1/search?q=beacon")["items"] == []
    fleet.api.delete(f"/api/v1/clients/{client['id']}")
    assert fleet.api.get("/api/v1/search?q=keeper")["items"] == []
    fleet.api.get("/api/v1/search", expect=400)


def test_a_code_opens_one_target_once(fleet, client):
    url = "/api/v1/connection-codes"
    made = fleet.api.post(url, {"target_client_id": client["id"], "target_port": 22, "lifetime": "1h"}, expect=201)
    assert len(made["code"].replace("-", "")) == 12
    listed = fleet.api.get(url)["items"]
    assert [c["id"] for c in listed] == [made["id"]] and made["code"] not in str(listed)
    anybody = Api(fleet.controld.base)
    anybody.post(url + "/redeem", {"code": "0000-0000-0000"}, expect=401)
    typed = made["code"].lower().replace("-", " ")
    mapping = anybody.post(url + "/redeem", {"code": typed}, expect=201)
    assert (mapping["target_client_id"], mapping["target_port"], mapping["allow"]) == (client["id"], 22, ["127.0.0.1/32"])
    assert mapping["expires_at"] is not None
    anybody.post(url + "/redeem", {"code": made["code"]}, expect=401)  # once
    fleet.api.delete(f"/api/v1/mappings/{mapping['id']}")
    udp = fleet.api.post(url, {"target_client_id": client["id"], "target_port": 53, "protocol": "udp"}, expect=201)
    mapping = anybody.post(url + "/redeem", {"code": udp["code"]}, expect=201)
    assert mapping["protocol"] == "udp" and mapping["limits"]["max_connections"] > 0
    other = fleet.api.post(url, {"target_client_id": client["id"], "target_port": 22}, expect=201)
    fleet.api.delete(f"{url}/{other['id']}")
    anybody.post(url + "/redeem", {"code": other["code"]}, expect=401)
    maker = fleet.api.post("/api/v1/users", {"email": "maker@example.com", "password": ADMIN["password"], "role": "operator"})
    his = Api(fleet.controld.base)
    his.login("maker@example.com")
    code = his.post(url, {"target_client_id": client["id"], "target_port": 22}, expect=201)["code"]
    fleet.api.post(f"/api/v1/users/{maker['id']}/suspend", {}, expect=200)
    anybody.post(url + "/redeem", {"code": code}, expect=401)  # not while its maker is off
    fleet.api.post(f"/api/v1/users/{maker['id']}/activate", {}, expect=200)
    anybody.post(url + "/redeem", {"code": code}, expect=201)
    fleet.api.put(f"/api/v1/clients/{client['id']}/config", {"blocked_ports": [23]})
    fleet.api.post(url, {"target_client_id": client["id"], "target_port": 23}, expect=403)
    fleet.api.post(url, {"target_client_id": 5, "target_port": 23}, expect=422)
    fleet.api.post(url, {"target_client_id": client["id"], "target_port": 22, "expires_in": "2d"}, expect=422)
