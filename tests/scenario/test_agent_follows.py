"""An agent that asks controld which relays there are: nobody touches it when they come and go."""
import socket

import pytest
from agent import AgentFleet
from portway import TcpServer, connect, echo, eventually, free_port, listening, program, receive_all, run
from test_agent_certificate import Certificate, ended, keys_url, told

RELAY = {"RELAYD_AGENTS_BACKOFF": "1s"}


@pytest.fixture
def fleet():
    f = AgentFleet()
    try:
        yield f.start(relay_env=RELAY)
    finally:
        f.stop()


def following(fleet, **settings):
    return {"RELAYS": "", "CONTROLD": fleet.controld.base, "CONTROLD_INTERVAL": "1s", **settings}


def works(port):
    with connect(port) as sock:
        sock.settimeout(20)
        sock.sendall(b"ping")
        sock.shutdown(socket.SHUT_WR)
        return receive_all(sock) == b"ping"


def listed(agent):
    return {relay["relay"] for relay in agent.ask()["relays"]}


def asked_again(agent, times):
    for _ in range(times):
        before = agent.ask()["relays_told_at"]
        eventually(lambda: agent.ask()["relays_told_at"] > before, "controld has told again")


def test_relays_come_and_go(fleet):
    client = fleet.client(name="follower")
    with TcpServer(echo) as server:
        first = fleet.agent_mapping(client, server.port, node="edge-1")
        agent = fleet.agent(client, **following(fleet))
        agent.wait_up(2)
        assert works(first["source_port"])
        since = [link["since"] for link in agent.links()]
        fleet.add_relay("edge-2", RELAY)
        second = fleet.agent_mapping(client, server.port, node="edge-2")
        agent.wait_up(4)
        assert works(second["source_port"])
        assert set(since) <= {link["since"] for link in agent.links()}
        fleet.relays[1].kill()  # away, and still one of them
        eventually(lambda: fleet.node("edge-2")["status"] == "offline", "controld has lost sight of it", 90)
        eventually(lambda: len(agent.links()) == 2, "its links are lost")
        asked_again(agent, 2)  # once may have been under way before
        assert listed(agent) == set(fleet.agents_at.values())
        fleet.relays[1].start()
        agent.wait_up(4)
        fleet.api.delete(f"/api/v1/mappings/{second['id']}")
        fleet.api.delete(f"/api/v1/nodes/{fleet.node('edge-2')['id']}")
        eventually(lambda: listed(agent) == {fleet.agents_at["edge-1"]}, "it is listed no more", 30)
        assert works(first["source_port"])
        assert sorted(link["since"] for link in agent.links()) == sorted(since)


def test_controld_away_changes_nothing(fleet):
    client = fleet.client(name="steady")
    with TcpServer(echo) as server:
        mapping = fleet.agent_mapping(client, server.port)
        agent = fleet.agent(client, **following(fleet))
        agent.wait_up(2)
        since = sorted(link["since"] for link in agent.links())
        fleet.controld.kill()
        eventually(lambda: agent.ask()["relays_error"], "it could not ask")
        assert works(mapping["source_port"])
        fleet.controld.start()
        eventually(lambda: not agent.ask()["relays_error"], "it asked again", 60)
        assert works(mapping["source_port"])
        assert sorted(link["since"] for link in agent.links()) == since


def test_with_a_certificate(fleet):
    client, mine = fleet.client(name="c"), Certificate(fleet.folder, "c")
    fleet.api.post(keys_url(client), {"pem": mine.pem})
    told(fleet, client)
    fleet.agent(client, **following(fleet, **mine.settings(fleet, client))).wait_up(2)


def test_over_tls_by_a_certificate_of_ones_own(fleet, tmp_path):
    """controld behind TLS: known by the authority in controld_ca, and asked by nobody who does not know it."""
    cert, key, port = str(tmp_path / "cert"), str(tmp_path / "key"), free_port()
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert])
    inner = fleet.controld.base.rsplit(":", 1)[1]
    with program(["socat", f"OPENSSL-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,verify=0,cert={cert},key={key}",
                  f"TCP:127.0.0.1:{inner}"], listening(port)):
        there = {"CONTROLD": f"https://localhost:{port}"}
        knows = fleet.agent(fleet.client(name="knows"), "knows", **following(fleet, **there, CONTROLD_CA=cert))
        knows.wait_up(2)
        stranger = fleet.agent(fleet.client(name="stranger"), "stranger", **following(fleet, **there))
        eventually(lambda: "certificate" in (stranger.ask()["relays_error"] or ""), "it does not know who that is")
        assert not stranger.links()
        other = fleet.agent(fleet.client(name="other"), "other", **following(
            fleet, CONTROLD=f"https://127.0.0.1:{port}", CONTROLD_CA=cert))
        eventually(lambda: other.ask()["relays_error"], "the certificate is for another name")


def test_refused_before_it_knows_a_relay(fleet):
    client = fleet.client(name="c")
    fleet.api.post(f"/api/v1/clients/{client['id']}/rotate-secret", {"overlap": "0s"}, expect=200)
    ended(fleet, fleet.agent(client, **following(fleet)), 3)
    fleet.api.call("POST", "/api/v1/client-relays", {"client_id": client["id"], "signed_at": 1, "signature": "AA"}, expect=401)
