"""Relays join, belong to groups, are revoked and bound again; many of them are brought to a new revision."""
import os
import re
import subprocess

import pytest
from portway import BIN, TcpServer, connect, echo, eventually


def works(port):
    with connect(port, timeout=5) as s:
        s.sendall(b"ping")
        return s.recv(4) == b"ping"


def token(fleet, name, **more):
    return fleet.api.post("/api/v1/nodes/join-tokens", {"name": name, **more}, expect=201)["token"]


def test_a_group_is_a_placement(new_fleet):
    fleet = new_fleet(relays=1)
    fleet.api.post("/api/v1/groups", {"name": "eu"}, expect=201)
    token(fleet, "edge-2", group="eu")
    fleet.add_relay("edge-2")
    with TcpServer(echo) as server:
        here = fleet.mapping(server.port)
        there = fleet.mapping(server.port, group="eu")
        one = fleet.mapping(server.port, group="eu", node="edge-2")
        assert all(works(m["source_port"]) for m in (here, there, one))
        fleet.relays[1].stop()
        eventually(lambda: fleet.node("edge-2")["status"] == "offline", "edge-2 offline", 30)
        assert works(here["source_port"])
        for gone in (there, one):
            with pytest.raises(OSError):
                connect(gone["source_port"])
        fleet.api.delete("/api/v1/groups/eu", expect=409)


def test_a_token_works_once_and_a_name_that_is_up_is_taken(new_fleet):
    fleet = new_fleet(relays=1)
    before = fleet.node()
    fleet.add_relay("edge-2")
    assert {n["name"] for n in fleet.api.get("/api/v1/nodes")["items"]} == {"edge-1", "edge-2"}
    used = fleet.relays[1].env["RELAYD_JOIN_TOKEN"]
    again = type(fleet.relay)(os.path.join(fleet.folder, "again"), "again", fleet.controld, used)
    os.makedirs(again.folder)
    again.start()
    eventually(lambda: "join_refused" in again.log(), "refused")
    again.kill()
    thief = type(fleet.relay)(os.path.join(fleet.folder, "thief"), "edge-1", fleet.controld, token(fleet, "edge-1"))
    os.makedirs(thief.folder)
    thief.start()
    eventually(lambda: "online" in thief.log(), "refused")
    assert fleet.node()["joined_at"] == before["joined_at"]
    thief.kill()


def test_revoked_and_bound_again(new_fleet):
    fleet = new_fleet(relays=1)
    old = fleet.relay
    node = fleet.node()
    fleet.api.delete(f"/api/v1/nodes/{node['id']}")
    assert fleet.node()["status"] == "revoked"
    eventually(lambda: "link_down" in old.log(), "its connection is closed")
    old.stop()
    fleet.relays.remove(old)
    new = type(old)(os.path.join(fleet.folder, "new"), "edge-1", fleet.controld, token(fleet, "edge-1"))
    os.makedirs(new.folder)
    fleet.relays.append(new)
    new.start()
    assert fleet.wait_online()["id"] == node["id"]
    with TcpServer(echo) as server:
        assert works(fleet.mapping(server.port)["source_port"])


def test_many_relays_are_brought_to_a_new_revision(new_fleet):
    count = 40
    fleet = new_fleet(relays=0, controld_env={"CONTROLD_HTTP_RATE_LIMIT": "0"})
    path = os.path.join(fleet.folder, "tokens")
    with open(path, "w") as f:
        f.writelines(token(fleet, f"sim-{i}") + "\n" for i in range(count))
    argv = [os.path.join(BIN, "relaysim"), "--controld", f"127.0.0.1:{fleet.controld.fleet_port}", "--join-tokens", path,
            "--relays", str(count), "--heartbeat", "500"]
    sim = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        assert next(line for line in sim.stdout if line.startswith("ready"))
        for _ in range(3):
            made = fleet.mapping(80, target_host="192.0.2.1")
            line = next(line for line in sim.stdout if line.startswith("revision"))
            assert int(re.search(r"relays=(\d+)", line)[1]) == count
            assert made["status"] == "active"
        eventually(lambda: [n["status"] for n in fleet.api.get("/api/v1/nodes?limit=200")["items"]] == ["online"] * count, "all are online")
        eventually(lambda: all(n["lag"] == 0 for n in fleet.api.get("/api/v1/nodes?limit=200")["items"]), "no lag")
        fleet.controld.kill()
        fleet.controld.start()
        fleet.api = fleet.controld.api()
        for i in range(count):
            fleet.wait_online(f"sim-{i}", 90)
    finally:
        sim.kill()
        sim.wait()


def test_a_relay_that_calls_itself_otherwise(new_fleet):
    """Its token says which node it is; that the names differ is to be seen."""
    fleet = new_fleet(relays=1)
    fleet.add_relay("edge-named", {"RELAYD_NAME": "something-else"})
    assert fleet.node("edge-named")["status"] == "online"
    lines = [line for line in fleet.controld.log().splitlines() if "node_joins_under_another_name" in line]
    assert len(lines) == 1 and "node=edge-named" in lines[0] and "calls_itself=something-else" in lines[0]
    said = [line for line in fleet.relays[1].log().splitlines() if "node_has_another_name" in line]
    assert len(said) == 1 and "node=edge-named" in said[0] and "calls_itself=something-else" in said[0]
    assert "node_has_another_name" not in fleet.relay.log()
    eventually(lambda: (fleet.node("edge-named")["load"] or {}).get("name") == "something-else", "told by the API")
    eventually(lambda: fleet.node("edge-1")["load"]["name"] == "edge-1", "and of the other")
