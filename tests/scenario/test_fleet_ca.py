"""The CA that relays and controlds trust is followed by another one while everything runs: no connection ends, no relay goes
offline, and afterwards nobody trusts the one before."""
import os
import re
import socket
import subprocess
import threading

import portway
import pytest
from agent import AgentFleet
from cli import run
from cluster import Cluster, Work
from load import CountingServer, Load
from portway import ADMIN, connect, eventually, receive_all

CA = "/api/v1/fleet/ca"


@pytest.fixture
def new_agents():
    made = []

    def make(**kw):
        f = AgentFleet()
        made.append(f)
        return f.start(**kw)

    yield make
    for f in made:
        f.stop()


def shown(port, folder):
    """Certificates that a listener shows, leaf first."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-showcerts", "-tls1_3"], input="",
                          capture_output=True, text=True, timeout=60)
    found = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", done.stdout, re.DOTALL)
    paths = []
    os.makedirs(folder, exist_ok=True)
    for i, pem in enumerate(found):
        paths.append(os.path.join(folder, f"shown-{port}-{i}.pem"))
        with open(paths[-1], "w") as f:
            f.write(pem)
    return paths


def fingerprint(path):
    out = subprocess.run(["openssl", "x509", "-in", path, "-noout", "-fingerprint", "-sha256"], capture_output=True, text=True,
                         check=True, timeout=60).stdout
    return out.strip().rsplit("=", 1)[1].replace(":", "").lower()


def verifies(leaf, ca, *between):
    extra = [word for path in between for word in ("-untrusted", path)]
    return subprocess.run(["openssl", "verify", "-CAfile", ca, *extra, leaf], capture_output=True, timeout=60).returncode == 0


def steady(api, step, seconds=40):
    def reached():
        ca = api.get(CA)
        assert (ca["status"], ca["step"], ca["relays_behind"]) == ("steady", step, 0), ca
        return ca
    return eventually(reached, "all have taken it", seconds)


def offline_events(api):
    return [r for r in api.get("/api/v1/audit?kind=node&limit=200")["items"] if r["op"] == "offline"]


def link_downs(fleet):
    """But for those that an agent ends as it needs them no more."""
    return [line for r in fleet.relays for line in r.log().splitlines() if "agent_link_down" in line and "links enough" not in line]


class Online(threading.Thread):
    """Looks at relays all the time."""

    def __init__(self, fleet_api, names):
        super().__init__(daemon=True)
        self.api, self.names, self.stopping, self.bad, self.looks = fleet_api, names, threading.Event(), [], 0

    def run(self):
        while not self.stopping.wait(0.1):
            for name in self.names:
                status = self.api.get(f"/api/v1/nodes/{name}")["status"]
                self.looks += 1
                if status != "online":
                    self.bad.append((name, status))

    def end(self):
        self.stopping.set()
        self.join(20)
        assert self.looks > 5 and not self.bad, self.bad


def ask(port, data=b"hello"):
    with connect(port) as s:
        s.settimeout(20)
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        return receive_all(s)


def test_another_one_while_everything_runs(new_agents, tmp_path):
    fleet = new_agents(relays=2)
    before = fleet.api.get(CA)
    assert before["status"] == "steady" and before["fingerprint"] == fleet.fingerprint and before["before"] is None
    late = fleet.api.post("/api/v1/nodes/join-tokens", {"name": "late"})["token"]
    old_leaf, old_ca = shown(fleet.controld.fleet_port, str(tmp_path / "before"))
    env = {"XDG_CONFIG_HOME": str(tmp_path), "PORTWAY_URL": fleet.controld.base}
    run("login", "--email", ADMIN["email"], stdin=ADMIN["password"] + "\n", **env)
    with CountingServer() as server:
        client = fleet.client(name="box")
        mappings = [fleet.mapping(server.port, node="edge-1"), fleet.agent_mapping(client, server.port, node="edge-1"),
                    fleet.mapping(server.port, node="edge-2")]
        agent = fleet.agent(client)
        agent.wait_up(4)
        load = Load([m["source_port"] for m in mappings], clients=6).start()
        watch = Online(fleet.api, ["edge-1", "edge-2"])
        watch.start()
        assert "status" in run("ca", "rotate", "--wait=60s", **env)
        after = steady(fleet.api, 2)
        agent.wait_up(4)  # those of before that it needs no more may be about to end
        watch.end()
        load.stop()
    assert load.broken == 0 and load.whole > 10, (load.broken, load.whole)
    assert offline_events(fleet.api) == []
    assert link_downs(fleet) == [], "no agent has lost a link"

    # the one before is trusted by nobody: what controld shows is good by the new one alone, and the cross certificate leads back
    assert after["fingerprint"] != before["fingerprint"] == after["before"]["fingerprint"] and after["before"]["retired_at"]
    leaf, cross, old, new = shown(fleet.controld.fleet_port, str(tmp_path / "after"))
    assert (fingerprint(old), fingerprint(new)) == (before["fingerprint"], after["fingerprint"])
    assert verifies(leaf, new) and not verifies(leaf, old) and verifies(leaf, old, cross)
    assert not verifies(old_leaf, new) and verifies(old_leaf, old_ca)
    ops = [(r["op"], r["actor"]) for r in fleet.api.get("/api/v1/audit?kind=fleet_ca")["items"]]
    assert [op for op, _ in ops].count("rotate") == 1 and ("retire", "system") in ops, ops

    # who has only the fingerprint of the one before: a join token, and an agent that starts now
    relay = portway.Relayd(fleet.folder, "late", fleet.controld, late)
    fleet.relays.append(relay)
    relay.start()
    fleet.wait_online("late")
    agent.stop()
    with portway.TcpServer(portway.echo) as server:
        made = fleet.agent_mapping(client, server.port, node="edge-1")
        agent.start()
        agent.wait_up(4)
        assert eventually(lambda: ask(made["source_port"]) == b"hello", "through the agent")

    # all of them come again
    for d in (fleet.controld, *fleet.relays):
        d.stop()
        d.start()
    for name in ("edge-1", "edge-2", "late"):
        fleet.wait_online(name)
    steady(fleet.api, 2)


def test_relays_that_are_away_hold_it_up(new_fleet):
    fleet = new_fleet(relays=2)
    away = fleet.relays[1]
    away.stop()
    fleet.api.post(CA + "/rotate", {})
    eventually(lambda: [r["name"] for r in fleet.api.get(CA)["relays"]] == ["edge-2"], "the other has taken it", 40)
    fleet.api.post(CA + "/retire", {}, expect=409)
    assert "edge-2" in fleet.api.last.text
    fleet.api.post(CA + "/rotate", {}, expect=409)
    assert fleet.api.get(CA)["status"] == "rotating"
    fleet.controld.kill()  # and is still at it when it comes back
    fleet.controld.start()
    fleet.api = fleet.controld.api()
    away.start()  # trusts the one before alone
    fleet.wait_online("edge-2")
    steady(fleet.api, 2)

    away.stop()
    fleet.api.post(CA + "/rotate", {})
    eventually(lambda: fleet.api.get(CA)["relays_behind"] == 1, "the other has taken it", 40)
    assert fleet.api.post(CA + "/retire", {"force": True})["status"] == "settling"
    away.start()
    eventually(lambda: "no longer trusts the CA of this relay's certificate" in away.log(), "it says what to do", 40)
    away.stop()
    away.env["RELAYD_JOIN_TOKEN"] = fleet.api.post("/api/v1/nodes/join-tokens", {"name": "edge-2"})["token"]
    away.start()
    steady(fleet.api, 4)  # it has joined: a certificate of the new CA is in use
    fleet.wait_online("edge-2")


def test_two_controlds_one_of_which_is_killed():
    with Cluster() as c:
        c.start(relays=2)
        before = c.api.get(CA)
        work = Work(c, writers=2)
        work.start()
        c.apis[1].post(CA + "/rotate", {})
        c.controlds[0].kill()
        portway.Daemon.start(c.controlds[0])
        eventually(c.controlds[0].ready, "controld ready", 60)
        after = steady(c.apis[1], 2, 60)
        work.settle()
        assert after["fingerprint"] != before["fingerprint"]
        for api in c.apis:
            assert steady(api, 2)["fingerprint"] == after["fingerprint"]
            assert offline_events(api) == []
        for controld in c.controlds:
            leaf, _, _, new = shown(controld.fleet_port, c.folder)
            assert fingerprint(new) == after["fingerprint"] and verifies(leaf, new)
