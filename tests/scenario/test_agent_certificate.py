"""An agent signs in with a certificate, made by other people's tools, in the place of a secret."""
import datetime
import os
import socket
import subprocess

import pytest
from agent import AgentFleet
from portway import TcpServer, connect, echo, eventually, receive_all


@pytest.fixture
def fleet():
    f = AgentFleet()
    try:
        yield f.start(relay_env={"RELAYD_AGENTS_BACKOFF": "1s"})
    finally:
        f.stop()


class Certificate:
    def __init__(self, folder, name, algorithm="ed25519", days="30"):
        self.key, self.cert = os.path.join(folder, name + ".key"), os.path.join(folder, name + ".pem")
        made = ["-algorithm", algorithm] + (["-pkeyopt", "ec_paramgen_curve:P-256"] if algorithm == "EC" else [])
        subprocess.run(["openssl", "genpkey", *made, "-out", self.key], check=True, capture_output=True)
        subprocess.run(["openssl", "req", "-new", "-x509", "-key", self.key, "-subj", f"/CN={name}", "-days", days,
                        "-out", self.cert], check=True, capture_output=True)
        with open(self.cert) as f:
            self.pem = f.read()

    def not_after(self):
        done = subprocess.run(["openssl", "x509", "-in", self.cert, "-noout", "-enddate", "-dateopt", "iso_8601"], check=True,
                              capture_output=True, text=True)
        return done.stdout.strip().split("=")[1].replace(" ", "T")

    def settings(self, fleet, client):
        return {"TOKEN": "", "CLIENT_ID": str(client["id"]), "CA_FINGERPRINT": fleet.fingerprint, "TLS_CERT": self.cert,
                "TLS_KEY": self.key}


def ended(fleet, agent, code):
    assert eventually(lambda: agent.process.poll() is not None and [agent.process.poll()], "the agent has ended", 60) == [code]
    fleet.agents.remove(agent)


def keys_url(client):
    return f"/api/v1/clients/{client['id']}/keys"


def told(fleet, client):
    """What was changed before is at the relays: a later change is."""
    fleet.agent_mapping(client, 9)


def works(port):
    with connect(port) as sock:
        sock.settimeout(20)
        sock.sendall(b"ping")
        sock.shutdown(socket.SHUT_WR)
        return receive_all(sock) == b"ping"


def test_serves_until_the_key_is_removed(fleet):
    client, mine = fleet.client(name="office"), Certificate(fleet.folder, "office")
    with TcpServer(echo) as server:
        mapping = fleet.agent_mapping(client, server.port)
        kept = fleet.api.post(keys_url(client), {"pem": mine.pem})["secrets"][0]
        assert kept["kind"] == "certificate" and kept["expires_at"][:19] == mine.not_after()[:19]
        told(fleet, client)
        agent = fleet.agent(client, **mine.settings(fleet, client))
        agent.wait_up(2)
        assert works(mapping["source_port"])
        fleet.api.post(f"/api/v1/clients/{client['id']}/rotate-secret", {"overlap": "0s"}, expect=200)
        assert works(mapping["source_port"])
        with connect(mapping["source_port"]) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
            sock.settimeout(20)
            fleet.api.delete(f"/api/v1/clients/{client['id']}/secrets/{kept['id']}")
            try:
                assert sock.recv(1) == b""
            except ConnectionResetError:
                pass
        ended(fleet, agent, 3)


def test_one_that_ends_while_it_serves(fleet):
    client, mine = fleet.client(name="short"), Certificate(fleet.folder, "short")
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=15)
    fleet.api.post(keys_url(client), {"pem": mine.pem, "expires_at": end.strftime("%Y-%m-%dT%H:%M:%SZ")})
    told(fleet, client)
    agent = fleet.agent(client, **mine.settings(fleet, client))
    agent.wait_up(2)
    ended(fleet, agent, 3)
    assert datetime.datetime.now(datetime.timezone.utc) >= end - datetime.timedelta(seconds=1)


def test_one_that_nobody_registered(fleet):
    client, mine, other = fleet.client(name="c"), Certificate(fleet.folder, "mine"), Certificate(fleet.folder, "other")
    fleet.api.post(keys_url(client), {"pem": other.pem})
    told(fleet, client)
    ended(fleet, fleet.agent(client, "stranger", **mine.settings(fleet, client)), 3)
    ended(fleet, fleet.agent(client, "mixed", **{**mine.settings(fleet, client), "TLS_KEY": other.key}), 2)


def test_what_cannot_be_registered(fleet):
    client = fleet.client(name="c")
    ec = Certificate(fleet.folder, "ec", "EC")
    assert "Ed25519" in fleet.api.post(keys_url(client), {"pem": ec.pem}, expect=422)["message"]
    with open(Certificate(fleet.folder, "whole").key) as f:
        private = f.read()
    answer = fleet.api.post(keys_url(client), {"pem": private}, expect=422)
    assert "private key" in answer["message"] and private.splitlines()[1] not in str(answer)


def test_an_instance_takes_over_from_one_with_a_secret(fleet):
    client, mine = fleet.client(name="both", single=True), Certificate(fleet.folder, "both")
    fleet.api.post(keys_url(client), {"pem": mine.pem})
    told(fleet, client)
    before = fleet.agent(client, "before", INSTANCE="one")
    before.wait_up(2)
    after = fleet.agent(client, "after", INSTANCE="one", **mine.settings(fleet, client))
    ended(fleet, before, 6)
    after.wait_up(2)
