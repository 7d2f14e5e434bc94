"""When an agent ends by itself, what it takes over while it runs, and what a relay's going or dying leaves behind."""
import os
import signal
import socket
import subprocess
import threading
import time

import pytest
from agent import AgentFleet
from portway import BIN, TcpServer, connect, echo, eventually, receive_all
from test_restarts import successor_of, zombie


@pytest.fixture
def fleet():
    f = AgentFleet()
    try:
        yield f.start(relay_env={"RELAYD_AGENTS_BACKOFF": "1s", "RELAYD_DRAIN_TIMEOUT": "120s"})
    finally:
        f.stop()


def ended(fleet, agent, code):
    assert eventually(lambda: agent.process.poll() is not None and [agent.process.poll()], "the agent has ended", 60) == [code]
    fleet.agents.remove(agent)


def works(port):
    with connect(port) as sock:
        sock.settimeout(20)
        sock.sendall(b"ping")
        sock.shutdown(socket.SHUT_WR)
        return receive_all(sock) == b"ping"


def test_deleted_client_is_final(fleet):
    client = fleet.client(name="short-lived")
    agent = fleet.agent(client, UNKNOWN_TIMEOUT="2s")
    agent.wait_up(2)
    fleet.api.delete(f"/api/v1/clients/{client['id']}")
    ended(fleet, agent, 3)


def test_another_authority_is_final(fleet):
    """Nobody is waited for who can never come: the fingerprint in the token is not that of this relay's authority."""
    client = fleet.client(name="mistyped")
    right, fleet.fingerprint = fleet.fingerprint, "ab" * 32
    agent = fleet.agent(client)
    ended(fleet, agent, 3)
    assert f"CA fingerprint expected {'ab' * 32}, seen {right}" in agent.log()


def test_no_reconnect(fleet):
    client = fleet.client(name="once", config={"auto_reconnect": True})
    agent = fleet.agent(client)
    agent.wait_up(2)
    fleet.api.put(f"/api/v1/clients/{client['id']}", {"config": {"auto_reconnect": False}})  # while it is there
    with TcpServer(echo) as server:
        assert works(fleet.agent_mapping(client, server.port)["source_port"])  # what the agent was told before has come to it
    fleet.relay.kill()
    ended(fleet, agent, 1)
    fleet.relay.start()
    eventually(fleet.relay.metrics, "the relay runs")


def test_reload_command(fleet):
    client = fleet.client(name="reloaded")
    with TcpServer(echo) as server:
        mapping = fleet.agent_mapping(client, server.port)
        agent = fleet.agent(client, ALLOW="localhost:1")
        agent.wait_up(2)
        since = [link["since"] for link in agent.links()]

        def reload():
            return subprocess.run([os.path.join(BIN, "portway"), "agent", "reload"], capture_output=True, text=True, timeout=60,
                                  env={**os.environ, **agent.env})
        with pytest.raises(ConnectionResetError), connect(mapping["source_port"]) as sock:
            sock.recv(1)
        agent.allow("localhost")
        done = reload()
        assert done.returncode == 0 and "anew" in done.stdout, done.stderr
        assert works(mapping["source_port"])
        agent.allow("not a rule ((")
        done = reload()
        assert done.returncode == 1 and "old ones hold" in done.stderr and "'((' is not host" in done.stderr
        assert agent.ask()["settings_error"]
        assert works(mapping["source_port"])
        assert [link["since"] for link in agent.links()] == since


@pytest.mark.parametrize("transport", ["mux", "dedicated"])
def test_another_secret_interrupts_nothing(fleet, tmp_path, transport):
    """Links go on with the new one: a connection that is there outlives the secret that its link came in with."""
    client = fleet.client(name=f"rotated-{transport}")
    token = tmp_path / "token"
    token.write_text(f"{client['id']}.{client['secret_key']}.{fleet.fingerprint}")
    with TcpServer(echo) as server:
        mapping = fleet.agent_mapping(client, server.port, transport=transport)
        agent = fleet.agent(client, f"rotated-{transport}", TOKEN="", TOKEN_FILE=str(token))
        agent.wait_up(2)
        since = [link["since"] for link in agent.links()]
        with connect(mapping["source_port"]) as sock:
            sock.settimeout(20)
            sock.sendall(b"a")
            assert sock.recv(1) == b"a"
            made = fleet.api.post(f"/api/v1/clients/{client['id']}/rotate-secret", {"overlap": "1h"}, expect=200)
            eventually(lambda: fleet.node()["lag"] == 0, "the relay knows")
            token.write_text(f"{client['id']}.{made['secret_key']}.{fleet.fingerprint}")
            agent.reload()
            assert works(mapping["source_port"])
            old = next(s["id"] for s in made["secrets"] if s["expires_at"])
            fleet.api.delete(f"/api/v1/clients/{client['id']}/secrets/{old}")
            time.sleep(3)  # a relay looks who may stay when it hears of it, and once a second
            sock.sendall(b"b")
            assert sock.recv(1) == b"b"
        assert works(mapping["source_port"])
        assert [link["since"] for link in agent.links()] == since and "link_lost" not in agent.log()


def test_relay_hands_over(fleet):
    """Connections that run finish in the old process, new ones never find the port closed, nothing is left over."""
    client = fleet.client(name="moves")
    with TcpServer(echo) as server:
        mapping = fleet.agent_mapping(client, server.port)
        agent = fleet.agent(client)
        agent.wait_up(2)
        over, errors, n = threading.Event(), [], 0

        def keep_connecting():
            nonlocal n
            while not over.is_set():
                try:
                    assert works(mapping["source_port"])
                    n += 1
                except (OSError, AssertionError) as error:
                    errors.append(repr(error))
        with connect(mapping["source_port"]) as old:
            old.sendall(b"before")
            assert old.recv(6) == b"before"
            thread = threading.Thread(target=keep_connecting)
            thread.start()
            first = fleet.relay.pid
            fleet.relay.signal(signal.SIGUSR2)
            eventually(lambda: [link for link in agent.links() if link["state"] == "up"] and len(agent.links()) == 2
                       and fleet.relay.log().count("agent_link_up") >= 4, "its links are the successor's", 60)
            reached = n
            eventually(lambda: n > reached + 20, "served by the successor", 60)
            old.sendall(b"after")
            assert old.recv(5) == b"after"
            over.set()
            thread.join(30)
        assert not errors, errors[:3]
        eventually(lambda: (s := agent.ask())["tcp"] == 0 and all(link["streams"] == 0 for link in agent.links()), "nothing is left")
        fleet.wait_stats(mapping["id"], seconds=40, connections_active=0)
        print(f"{n} connections, first process {first}")
        pid = eventually(lambda: successor_of(fleet, [first]), "a successor that serves", 40)
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: not os.path.exists(f"/proc/{pid}") or zombie(pid), "the successor ended", 40)


def test_relay_is_killed_in_the_middle(fleet):
    client = fleet.client(name="robust")
    with TcpServer(echo) as server:
        mapping = fleet.agent_mapping(client, server.port)
        agent = fleet.agent(client)
        agent.wait_up(2)
        socks = [connect(mapping["source_port"]) for _ in range(20)]
        for sock in socks:
            sock.settimeout(20)
            sock.sendall(os.urandom(100_000))
            assert sock.recv(1)
        fleet.relay.kill()
        eventually(lambda: agent.ask()["tcp"] == 0, "the agent has let go of its targets")
        for sock in socks:
            sock.close()
        fleet.relay.start()
        agent.wait_up(2)
        eventually(lambda: works(mapping["source_port"]), "served again")
        fleet.wait_stats(mapping["id"], seconds=40, connections_active=0)
