"""What the API says in numbers, each path once after a known exchange; and the code of each thing that is not there."""
import pytest
import requests
from agent import AgentFleet
from portway import TcpServer, connect, echo, eventually

DATA = b"x" * 1000


@pytest.fixture(scope="module")
def fleet():
    f = AgentFleet()
    try:
        yield f.start()
    finally:
        f.stop()


@pytest.fixture(scope="module")
def passed(fleet):
    """A client of the administrator's whose mapping has carried 1,000 bytes each way on one connection."""
    user = fleet.api.get("/auth/me/")["data"]["user_id"]
    client = fleet.client(name="counted", user_id=user)
    fleet.agent(client).wait_up(2)
    with TcpServer(echo) as server:
        made = fleet.agent_mapping(client, server.port)
        with connect(made["source_port"]) as sock:
            sock.sendall(DATA)
            got = b""
            while len(got) < len(DATA):
                got += sock.recv(4096)
        fleet.wait_stats(made["id"], bytes_received=1000, bytes_sent=1000, connections_total=1, connections_active=0)
    return {"user": user, "client": client["id"], "mapping": made["id"], "node": fleet.node()["id"]}


def test_of_a_client(fleet, passed):
    stats = fleet.api.get(f"/api/v1/stats/clients/{passed['client']}")
    assert stats["client_id"] == passed["client"] and stats["total_mappings"] == stats["active_mappings"] == 1
    assert stats["total_traffic"] == 2000 and stats["total_connections"] == 1 and stats["uptime"] >= 0
    assert stats["user_id"] == passed["user"] and stats["last_seen"]


def test_of_a_user(fleet, passed):
    stats = fleet.api.get(f"/api/v1/stats/users/{passed['user']}")
    assert stats["user_id"] == passed["user"] and stats["total_clients"] == stats["online_clients"] == 1
    assert stats["total_mappings"] == stats["active_mappings"] == 1 and stats["last_active"]
    assert stats["total_traffic"] == 2000 and stats["total_connections"] == 1


def test_of_the_system(fleet, passed):  # pylint: disable=unused-argument
    stats = fleet.api.get("/api/v1/stats/system")
    assert stats["total_users"] >= 1 and stats["anonymous_users"] == 0
    assert stats["total_clients"] == stats["online_clients"] == 1
    assert stats["total_mappings"] == stats["active_mappings"] == 1 and stats["total_nodes"] == stats["online_nodes"] == 1
    assert stats["total_traffic"] == 2000 and stats["total_connections"] == 1


def test_of_a_mapping_and_a_node(fleet, passed):
    for path in (f"mappings/{passed['mapping']}", f"nodes/{passed['node']}"):
        stats = fleet.api.get(f"/api/v1/stats/{path}?time_range=1h")
        total = stats["traffic_stats"]
        assert total["bytes_received"] == total["bytes_sent"] == 1000 and total["connections_total"] == 1, path
        assert stats["points"], path


@pytest.mark.parametrize("what,member,value", [("traffic", "bytes_received", 1000), ("connections", "connections_opened", 1)])
def test_series(fleet, passed, what, member, value):  # pylint: disable=unused-argument
    def points():
        found = fleet.api.get(f"/api/v1/stats/{what}?time_range=1h")["points"]
        return [p for p in found if p.get(member) == value]
    assert eventually(points, f"a point of {what}", 30)


@pytest.mark.parametrize("method,path,code", [
    ("GET", "users/usr_nobody", "USER_NOT_FOUND"), ("GET", "clients/1", "CLIENT_NOT_FOUND"), ("GET", "mappings/map_none", "MAPPING_NOT_FOUND"),
    ("GET", "nodes/nod_none", "NODE_NOT_FOUND"), ("DELETE", "connections/none", "CONNECTION_NOT_FOUND"),
    ("GET", "tenants/ten_none", "TENANT_NOT_FOUND"), ("GET", "api-keys/key_none", "API_KEY_NOT_FOUND"),
    ("GET", "stats/users/usr_nobody", "USER_NOT_FOUND"), ("GET", "stats/clients/1", "CLIENT_NOT_FOUND"),
    ("GET", "stats/mappings/map_none", "MAPPING_NOT_FOUND"), ("GET", "stats/nodes/nod_none", "NODE_NOT_FOUND")])
def test_what_is_not_there(fleet, method, path, code):
    answer = fleet.api.call(method, f"/api/v1/{path}", expect=404)
    assert answer["code"] == code


def test_what_is_there_already(fleet, passed):
    body = {"id": passed["client"], "name": "twice"}
    assert fleet.api.post("/api/v1/clients", body, expect=409)["code"] == "CLIENT_ALREADY_EXISTS"
    taken = fleet.get(passed["mapping"])["source_port"]
    mapping = {"protocol": "tcp", "source_port": taken, "target_host": "127.0.0.1", "target_port": 1}
    assert fleet.api.post("/api/v1/mappings", mapping, expect=409)["code"] == "PORT_ALREADY_IN_USE"


def test_tokens_that_are_none(fleet):
    answer = requests.get(fleet.controld.base + "/api/v1/mappings", headers={"Authorization": "Bearer a.b.c"}, timeout=5)
    assert answer.status_code == 401 and answer.json()["code"] == "INVALID_TOKEN"
