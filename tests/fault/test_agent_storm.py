"""Many agents whose relay restarts: all are back, each with all of its links, without being told to come one by one."""
import os
import resource
import subprocess
import time

import pytest
from agent import AgentFleet
from portway import BIN, eventually

AGENTS = 500


@pytest.fixture
def storm():
    """A fleet, and AGENTS agents in one process, each of a client of its own."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    fleet, sim = AgentFleet(), None
    try:
        fleet.start()
        tokens = os.path.join(fleet.folder, "tokens")
        with open(tokens, "w") as f:
            for _ in range(AGENTS):
                client = fleet.client()
                f.write(f"{client['id']}.{client['secret_key']}.{fleet.fingerprint}\n")
        sim = subprocess.Popen([os.path.join(BIN, "agentsim"), tokens, fleet.agents_at["edge-1"], os.path.join(fleet.folder, "sim")])
        yield fleet
        assert sim.poll() is None
    finally:
        if sim:
            sim.kill()
            sim.wait()
        fleet.stop()


def all_there(relay):
    """Of this run of the relay: every link was greeted."""
    values = relay.metrics()
    return values["relayd_agent_greeted_total"] >= 2 * AGENTS and values["relayd_agent_links"] == 2 * AGENTS


def test_restarts_of_the_relay(storm):
    eventually(lambda: all_there(storm.relay), "all agents are there", 120, 0.1)
    for how in ("kill", "stop", "kill"):
        getattr(storm.relay, how)()
        storm.relay.start()
        begun = time.monotonic()
        eventually(lambda: all_there(storm.relay), "all agents are back", 120, 0.05)
        print(f"{how}: {AGENTS} agents with {2 * AGENTS} links back after {time.monotonic() - begun:.1f} s, "
              f"{storm.relay.metrics().get('relayd_agent_delayed_total', 0):.0f} handshakes had to wait")
