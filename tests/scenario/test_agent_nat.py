"""An agent behind a router that masquerades: reached, with packets lost, and after the router has got another address."""
import os
import socket
import time

import nat
import pytest
from agent import AgentFleet
from portway import connect, eventually, free_port, receive_all

pytestmark = pytest.mark.skipif(not nat.possible, reason="makes network namespaces, needs nft and socat")


class Tunnel(tuple):
    """The mapping and the agent; and whose they are."""

    def __new__(cls, made, agent, fleet, client):
        self = super().__new__(cls, (made, agent))
        self.fleet, self.client = fleet, client
        return self


@pytest.fixture(scope="module")
def home():
    with nat.Nat() as n:
        yield n


@pytest.fixture(scope="module")
def tunnel(home):
    """The mapping to an echo service at home, and its agent."""
    fleet = AgentFleet()
    try:
        fleet.outside = f"{nat.OUTSIDE}.1"
        fleet.start(relay_env={"RELAYD_AGENTS_BACKOFF": "1s"})
        client, port = fleet.client(), free_port()
        home.echo_service(port)
        eventually(lambda: home.listening(port), "the service listens")
        made = fleet.agent_mapping(client, port)
        agent = fleet.agent(client, wrap=["ip", "netns", "exec", home.home])
        agent.wait_up(2)
        yield Tunnel(made, agent, fleet, client)
    finally:
        fleet.stop()


def exchange(port, data):
    """Sends and receives at once, as an echo does not wait."""
    with connect(port) as sock:
        sock.settimeout(20)
        for i in range(0, len(data), 65536):
            sock.sendall(data[i:i + 65536])
        sock.shutdown(socket.SHUT_WR)
        return receive_all(sock) == data


def test_reached(home, tunnel):
    made, agent = tunnel
    assert exchange(made["source_port"], os.urandom(200_000))
    assert {link["address"].rsplit(":", 1)[0] for link in agent.links()} == {f"{nat.OUTSIDE}.1"}


def test_packets_are_lost(home, tunnel):
    made, _ = tunnel
    home.lose(5)
    try:
        assert exchange(made["source_port"], os.urandom(200_000))
    finally:
        home.lose(0)
    assert exchange(made["source_port"], b"after")


def echoed(sock, data):
    """Asked for again, as everybody does with datagrams: the service may not be up yet."""
    sock.settimeout(2)
    for _ in range(10):
        sock.send(data)
        try:
            return sock.recv(65536) == data
        except TimeoutError:
            continue
    return False


def test_large_datagrams_over_a_small_mtu(home, tunnel):
    """They travel in a link, so no wire on the way has to carry one whole: the largest there is passes where 1280 bytes is the most."""
    made, _ = tunnel
    port = free_port()
    home.udp_echo_service(port)
    home.mtu(1280)
    try:
        udp = tunnel.fleet.agent_mapping(tunnel.client, port, protocol="udp", udp_amplification_limit=0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", udp["source_port"]))
            for size in (1, 1232, 1280, 1472, 9000, 65507):
                assert echoed(sock, os.urandom(size)), size
        assert exchange(made["source_port"], os.urandom(2_000_000)), "and streams"
    finally:
        home.mtu(1500)


def test_another_address(home, tunnel):
    made, agent = tunnel
    assert exchange(made["source_port"], b"before")
    begun = time.monotonic()
    home.new_address()
    eventually(lambda: exchange(made["source_port"], b"after"), "served again", 60)
    print(f"served {time.monotonic() - begun:.1f} s after the address changed")
    agent.wait_up(2)
    eventually(lambda: agent.ask()["tcp"] == 0, "no stream is left")
