"""A service behind NAT through an agent: bytes, ends, losses and returns, what it refuses, how it leaves."""
import os
import signal
import socket
import struct
import time

import pytest
from agent import AgentFleet
from portway import TcpServer, UdpEcho, connect, echo, eventually, receive_all


@pytest.fixture(scope="module")
def fleet():
    f = AgentFleet()
    try:
        yield f.start(relay_env={"RELAYD_AGENTS_BACKOFF": "1s"})
    finally:
        f.stop()


@pytest.fixture(scope="module")
def client(fleet):
    return fleet.client(name="box")


@pytest.fixture(scope="module")
def mapping(fleet, client):
    """The target is started by each test, at one port."""
    with TcpServer(echo) as server:
        made = fleet.agent_mapping(client, server.port)
        fleet.agent(client).wait_up(2)
        yield made


@pytest.fixture
def agent(fleet, mapping):
    return fleet.agents[0]


def ask(port, data=b"hello", seconds=20):
    """Sends, ends its side, answers all that comes back."""
    with connect(port) as sock:
        sock.settimeout(seconds)
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return receive_all(sock)


def works(port):
    return ask(port, b"ping") == b"ping"


def idle(agent):
    status = agent.ask()
    return (status["tcp"], status["udp"]) == (0, 0) and all(link["streams"] == 0 for link in agent.links())


def test_bytes_and_half_close(fleet, client, agent):
    data = os.urandom(3_000_000)
    with TcpServer(echo) as server:
        made = fleet.agent_mapping(client, server.port)
        assert ask(made["source_port"], data) == data
    eventually(lambda: idle(agent), "no stream is left")
    fleet.wait_stats(made["id"], bytes_received=len(data), bytes_sent=len(data), connections_active=0)


def test_reset_passes(fleet, client, agent):
    def hang_up(conn, _address):
        conn.recv(1)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with TcpServer(hang_up) as server:
        made = fleet.agent_mapping(client, server.port)
        with connect(made["source_port"]) as sock:
            sock.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
    eventually(lambda: idle(agent), "no stream is left")


def test_udp(fleet, client, agent):
    with UdpEcho() as server:
        made = fleet.agent_mapping(client, server.port, protocol="udp")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(10)
            for data in (b"first", b"", os.urandom(1400)):
                sock.sendto(data, ("127.0.0.1", made["source_port"]))
                assert sock.recv(2000) == data
    assert agent.ask()["counters"]["datagrams_out"] >= 3


def test_what_it_does_not_allow(fleet, client, agent):
    made = fleet.agent_mapping(client, 80, target_host="192.0.2.1")
    with pytest.raises(ConnectionResetError), connect(made["source_port"]) as sock:
        sock.recv(1)
    assert agent.ask()["counters"]["refused_not_allowed"] >= 1


def test_killed_and_started_again(fleet, mapping, agent):
    """Who connects meanwhile waits, and is served by the next run; the port is never refused."""
    before, links = fleet.relay.log().count("agent_link_down"), len(agent.links())
    agent.kill()
    eventually(lambda: fleet.relay.log().count("agent_link_down") >= before + links, "its links are seen to be gone")
    with connect(mapping["source_port"]) as sock:
        sock.settimeout(20)
        sock.sendall(b"early")
        sock.shutdown(socket.SHUT_WR)
        begun = time.monotonic()
        agent.start()
        assert receive_all(sock) == b"early"
        print(f"served {time.monotonic() - begun:.2f} s after the agent was started again")
    agent.wait_up(2)


def test_frozen(fleet, mapping, agent):
    """The relay gives its links up when pings are lost, and has new ones as soon as it lives again."""
    assert works(mapping["source_port"])
    before = fleet.relay.log().count("agent_link_down")
    agent.signal(signal.SIGSTOP)
    eventually(lambda: fleet.relay.log().count("agent_link_down") >= before + 2, "its links are given up", 60)
    agent.signal(signal.SIGCONT)
    begun = time.monotonic()
    eventually(lambda: works(mapping["source_port"]), "served again", 60)
    print(f"served {time.monotonic() - begun:.2f} s after it lives again")
    agent.wait_up(2)
    eventually(lambda: idle(agent), "no stream is left")


def test_relay_restarts(fleet, mapping, agent):
    fleet.relay.kill()
    eventually(lambda: agent.ask()["relays"][0]["state"] != "up", "the loss is seen")
    start = time.monotonic()
    fleet.relay.start()
    eventually(lambda: works(mapping["source_port"]), "served again", 60)
    print(f"served {time.monotonic() - start:.2f} s after the relay was started again")
    agent.wait_up(2)


def test_reload_of_the_allow_list(mapping, agent):
    """What is not allowed any more is cut; links are not touched."""
    since = [link["since"] for link in agent.links()]
    with connect(mapping["source_port"]) as sock:
        sock.settimeout(20)
        sock.sendall(b"a")
        assert sock.recv(1) == b"a"
        agent.reload()
        sock.sendall(b"b")
        assert sock.recv(1) == b"b"
        agent.allow("10.0.0.0/8")
        agent.reload()
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    agent.allow("localhost")
    agent.reload()
    assert works(mapping["source_port"])
    assert [link["since"] for link in agent.links()] == since


def test_leaves_in_order(fleet, client, mapping, agent):
    with connect(mapping["source_port"]) as sock:
        sock.settimeout(20)
        sock.sendall(b"a")
        assert sock.recv(1) == b"a"
        agent.signal(signal.SIGTERM)
        eventually(lambda: agent.ask()["state"] == "draining", "draining")
        sock.sendall(b"b")
        assert sock.recv(1) == b"b"
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    assert agent.process.wait(60) == 0
    agent.start()
    agent.wait_up(2)
    assert works(mapping["source_port"])


def test_wrong_secret_is_final(fleet, client, mapping):
    other = fleet.agent({**client, "secret_key": "pws_" + 43 * "A"}, "other", INSTANCE="other")
    assert other.process.wait(60) == 3
    assert "this secret or key is not one that the client has" in other.log()
    fleet.agents.remove(other)


def test_two_relays():
    """Each has a mapping of the client; when one is gone, the other serves on, and links come back."""
    fleet = AgentFleet()
    try:
        fleet.start(2, {"RELAYD_AGENTS_BACKOFF": "1s"})
        client = fleet.client()
        with TcpServer(echo) as server:
            lost = fleet.agent_mapping(client, server.port, node="edge-1")
            made = fleet.agent_mapping(client, server.port, node="edge-2")
            agent = fleet.agent(client)
            agent.wait_up(4)
            assert works(lost["source_port"]) and works(made["source_port"])
            fleet.relay.kill()
            eventually(lambda: sorted(r["state"] for r in agent.ask()["relays"]) != ["up", "up"], "the loss is seen")
            assert works(made["source_port"])
            fleet.relay.start()
            agent.wait_up(4)
            eventually(lambda: works(lost["source_port"]), "served again")
    finally:
        fleet.stop()
