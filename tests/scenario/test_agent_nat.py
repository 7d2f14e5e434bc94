"""An agent behind a router that masquerades: reached, with packets lost, and after the router has got another address."""
import os
import socket
import time

import nat
import pytest
from agent import AgentFleet
from portway import connect, eventually, free_port, receive_all

pytestmark = pytest.mark.skipif(not nat.possible, reason="makes network namespaces, needs nft and socat")


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
        made = fleet.agent_mapping(client, port)
        agent = fleet.agent(client, wrap=["ip", "netns", "exec", home.home])
        agent.wait_up(2)
        yield made, agent
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


def test_another_address(home, tunnel):
    made, agent = tunnel
    assert exchange(made["source_port"], b"before")
    begun = time.monotonic()
    home.new_address()
    eventually(lambda: exchange(made["source_port"], b"after"), "served again", 60)
    print(f"served {time.monotonic() - begun:.1f} s after the address changed")
    agent.wait_up(2)
    eventually(lambda: agent.ask()["tcp"] == 0, "no stream is left")
