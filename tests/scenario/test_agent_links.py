"""One client's agents have no more links than the relay's setting says: more are refused with the reason, others come in."""
import pytest
from agent import AgentFleet
from portway import TcpServer, connect, echo, eventually

WORKERS = 2
LINKS_PER_CLIENT = 8
AGENTS = LINKS_PER_CLIENT // WORKERS


@pytest.fixture(scope="module")
def fleet():
    f = AgentFleet()
    try:
        yield f.start(relay_env={"RELAYD_WORKERS": str(WORKERS), "RELAYD_AGENTS_LINKS_PER_CLIENT": str(LINKS_PER_CLIENT),
                                 "RELAYD_AGENTS_BACKOFF": "1s"})
    finally:
        f.stop()


def metric(fleet, name):
    return fleet.relay.metrics()[f"relayd_agent_{name}"]


def test_more_than_a_client_may_have_are_refused_and_others_served(fleet):
    crowd, other = fleet.client(name="crowd"), fleet.client(name="other")
    agents = [fleet.agent(crowd, name=f"crowd-{i}") for i in range(AGENTS)]
    for agent in agents:
        agent.wait_up(WORKERS)
    assert metric(fleet, "over_total") == 0
    late = fleet.agent(crowd, name="late")
    eventually(lambda: "agents.links_per_client" in str(late.ask()["relays"][0]), "the refusal is in its status")
    assert late.links() == []
    eventually(lambda: metric(fleet, "over_total") >= 1, "it is counted")
    assert metric(fleet, "refused_total") >= metric(fleet, "over_total")
    with TcpServer(echo) as server:
        served = fleet.agent_mapping(other, server.port)
        fleet.agent(other, name="other").wait_up(WORKERS)
        with connect(served["source_port"]) as sock:
            sock.settimeout(20)
            sock.sendall(b"there")
            assert sock.recv(5) == b"there"
    agents[0].stop()
    late.wait_up(WORKERS)
