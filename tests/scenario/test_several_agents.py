"""One mapping served by several agents of its client: who cannot reach the target is passed over, checks say who is down and why."""
import socket

import pytest
from agent import AgentFleet
from portway import TcpServer, connect, echo, eventually, free_port, receive_all


@pytest.fixture(scope="module")
def fleet():
    f = AgentFleet()
    try:
        yield f.start()
    finally:
        f.stop()


def served(port):
    with connect(port) as sock:
        sock.settimeout(20)
        sock.sendall(b"ping")
        sock.shutdown(socket.SHUT_WR)
        return receive_all(sock) == b"ping"


def instances(fleet, client):
    return fleet.api.get(f"/api/v1/clients/{client['id']}")["instances"]


def status_of(fleet, mapping):
    return fleet.api.get(f"/api/v1/mappings/{mapping['id']}")


def test_connections_pass_over_an_agent_that_fails(fleet):
    client = fleet.client(name="pair")
    good = fleet.agent(client, "pair-good")
    bad = fleet.agent(client, "pair-bad", ALLOW="localhost:1")
    good.wait_up(2)
    bad.wait_up(2)
    with TcpServer(echo) as server:
        mapping = fleet.agent_mapping(client, server.port)
        assert all(served(mapping["source_port"]) for _ in range(40))
    assert good.ask()["counters"]["tcp_opened"] == 40
    assert 1 <= bad.ask()["counters"]["refused_not_allowed"] < 40
    stats = fleet.wait_stats(mapping["id"], connections_total=40, connections_active=0)
    assert stats["connections_refused"] == 0
    assert stats["bytes_received"] == stats["bytes_sent"] == 4 * 40


def test_checks_say_who_is_down(fleet):
    client = fleet.client(name="checked")
    good = fleet.agent(client, "checked-good")
    bad = fleet.agent(client, "checked-bad", ALLOW="localhost:1")
    good.wait_up(2)
    bad.wait_up(2)
    port = free_port()  # still free when a server comes back
    with TcpServer(echo, port=port):  # a check that is late is not a bad one: it has more time than the machine may be held up
        mapping = fleet.agent_mapping(client, port, health={"type": "tcp", "interval": "1s", "timeout": "20s", "fall": 1, "rise": 1})
        down = eventually(lambda: [i for i in instances(fleet, client) if i["targets_down"]], "one of them is down")
        assert len(down) == 1 and down[0]["targets_down"][0]["mapping_id"] == mapping["id"]
        assert "allow" in down[0]["targets_down"][0]["reason"]
        assert all(served(mapping["source_port"]) for _ in range(20))
        assert bad.ask()["counters"]["refused_not_allowed"] == 0
        assert [t["status"] for t in good.ask()["targets"]] == ["up"]
        assert status_of(fleet, mapping)["status"] == "active"

    found = eventually(lambda: (m := status_of(fleet, mapping))["status"] == "error" and m, "no agent has a target")
    assert found["error"]["edge-1"]["code"] == "TARGET_DOWN" and "agent" in found["error"]["edge-1"]["message"]
    with pytest.raises(ConnectionResetError), connect(mapping["source_port"]) as sock:
        sock.recv(1)
    eventually(lambda: fleet.stats(mapping["id"])["refused_by_reason"]["target_down"] == 1, "counted by its reason")

    with TcpServer(echo, port=port):
        eventually(lambda: status_of(fleet, mapping)["status"] == "active", "it works again")
        assert served(mapping["source_port"])
