"""A private mapping: a port on one client's own machine leads to a target of another's. Nothing is public."""
import os
import signal
import socket
import struct
import subprocess
import time

import pytest
from agent import AgentFleet
from portway import TcpServer, UdpEcho, connect, echo, eventually, free_port, receive_all
from test_mapping_life import hold_all_but_one


@pytest.fixture(scope="module")
def fleet():
    f = AgentFleet()
    try:
        yield f.start(relay_env={"RELAYD_AGENTS_BACKOFF": "1s"})
    finally:
        f.stop()


@pytest.fixture(scope="module")
def ends(fleet):
    """The client whose machine is listened on, and the one whose network is reached."""
    source, target = fleet.client(name="laptop"), fleet.client(name="server")
    fleet.source, fleet.target = fleet.agent(source, "source"), fleet.agent(target, "target")
    fleet.source.wait_up(2)
    fleet.target.wait_up(2)
    return source, target


def visit_mapping(fleet, ends, port, **fields):
    """Not at a port that controld picks: a machine may give those to outgoing connections too, which keep one for a minute after
    their end, and an agent waits for the port that it is told."""
    made = fleet.agent_mapping(ends[1], port, source_client_id=ends[0]["id"], source_port=free_port(), **fields)
    wait_listening(fleet.source, made["id"])
    return made


def wait_listening(agent, mapping_id, what="it is listened on"):
    def is_so():
        visit = visits(agent).get(mapping_id)
        assert visit and visit["listening"], visit  # with the reason
        return True
    eventually(is_so, what)


def visits(agent):
    return {visit["mapping"]: visit for visit in agent.ask()["visits"]}


def listens(agent, mapping_id):
    return visits(agent).get(mapping_id, {}).get("listening")


def ask(port, data=b"hello", seconds=20):
    with connect(port) as sock:
        sock.settimeout(seconds)
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return receive_all(sock)


def is_reset(port):
    try:
        with connect(port) as sock:
            sock.settimeout(40)
            return sock.recv(1) == b"never"
    except ConnectionResetError:
        return True


def idle(agent):
    status = agent.ask()
    return not any(status[n] for n in ("tcp", "udp", "visits_tcp", "visits_udp")) and \
        all(link["streams"] == 0 for link in agent.links())


def traffic_of(fleet, ends):
    return [fleet.api.get(f"/api/v1/stats/clients/{client['id']}")["total_traffic"] for client in ends]


def test_bytes_ends_and_counters(fleet, ends):
    data, traffic = os.urandom(3_000_000), traffic_of(fleet, ends)
    with TcpServer(echo) as server:
        made = visit_mapping(fleet, ends, server.port)
        assert ask(made["source_port"], data) == data
    eventually(lambda: idle(fleet.source) and idle(fleet.target), "no stream is left")
    fleet.wait_stats(made["id"], bytes_received=len(data), bytes_sent=len(data), connections_active=0, connections_total=1)
    counters = fleet.source.ask()["counters"]
    assert counters["visit_bytes_out"] == counters["visit_bytes_in"] == len(data)
    assert [after - before for before, after in zip(traffic, traffic_of(fleet, ends))] == 2 * [2 * len(data)], "both ends have it"


def test_nothing_is_public(fleet, ends):
    """The port is the source's; the relay itself does not listen, and controld has no port of it."""
    with TcpServer(echo) as server:
        made = visit_mapping(fleet, ends, server.port)
        fleet.source.signal(signal.SIGSTOP)
        try:
            listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
        finally:
            fleet.source.signal(signal.SIGCONT)
        lines = [line for line in listening.splitlines() if f":{made['source_port']} " in line]
        assert len(lines) == 1 and f"127.0.0.1:{made['source_port']}" in lines[0], lines
        assert f"pid={fleet.source.process.pid}," in lines[0]
        got = fleet.get(made["id"])
        assert (got["source_client_status"], got["target_client_status"]) == ("online", "online")


def test_reset_passes(fleet, ends):
    def hang_up(conn, _address):
        conn.recv(1)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with TcpServer(hang_up) as server:
        made = visit_mapping(fleet, ends, server.port)
        with connect(made["source_port"]) as sock:
            sock.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
    eventually(lambda: idle(fleet.source) and idle(fleet.target), "no stream is left")


def test_slow_reader_stops_the_writer(fleet, ends):
    """What is in flight between the two ends is bounded, and nothing of it is lost when the reader goes on."""
    def swallow_later(conn, _address):
        go.wait(60)
        got.append(sum(len(piece) for piece in iter(lambda: conn.recv(65536), b"")))

    import threading
    go, got = threading.Event(), []
    with TcpServer(swallow_later) as server:
        made = visit_mapping(fleet, ends, server.port)
        with connect(made["source_port"]) as sock:
            sock.settimeout(5)
            sent = 0
            with pytest.raises(TimeoutError):
                while sent < 256_000_000:
                    sent += sock.send(bytes(65536))
            assert sent < 64_000_000
            go.set()
            sock.settimeout(30)
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b""
    assert got == [sent]


def test_changes_are_followed(fleet, ends):
    """Another port, a switch, an end: the agent listens on what the API says now."""
    with TcpServer(echo) as server:
        made = visit_mapping(fleet, ends, server.port)
        other = free_port()
        fleet.api.put(f"/api/v1/mappings/{made['id']}", {"source_port": other}, expect=200)
        eventually(lambda: visits(fleet.source)[made["id"]]["port"] == other and listens(fleet.source, made["id"]), "the new port")
        assert ask(other) == b"hello"
        fleet.api.put(f"/api/v1/mappings/{made['id']}", {"status": "inactive"}, expect=200)
        eventually(lambda: made["id"] not in visits(fleet.source), "not listened on")
        with pytest.raises(ConnectionRefusedError):
            connect(other)
        fleet.api.put(f"/api/v1/mappings/{made['id']}", {"status": "active"}, expect=200)
        wait_listening(fleet.source, made["id"], "listened on again")
        assert ask(other) == b"hello"
        fleet.api.delete(f"/api/v1/mappings/{made['id']}", expect=204)
        eventually(lambda: made["id"] not in visits(fleet.source), "not listened on")


def test_own_settings_win(fleet, ends):
    """A port that the agent's settings do not have is not opened, and its status says so."""
    with TcpServer(echo) as server:
        made = fleet.agent_mapping(ends[1], server.port, active=False, source_client_id=ends[0]["id"], source_port=1023)
        refused = eventually(lambda: visits(fleet.source).get(made["id"]), "offered")
        assert not refused["listening"] and "`listen` does not let it" in refused["reason"]
        other = fleet.agent_mapping(ends[1], server.port, active=False, source_client_id=ends[0]["id"], bind_address="0.0.0.0")
        refused = eventually(lambda: visits(fleet.source).get(other["id"]), "offered")
        assert not refused["listening"]
        for mapping in (made, other):
            fleet.api.delete(f"/api/v1/mappings/{mapping['id']}", expect=204)


def test_port_is_taken(fleet, ends):
    """By another program: said in the status of the agent and of the mapping, tried again. By another mapping of the client: refused
    by controld."""
    with TcpServer(echo) as server:
        with TcpServer(echo, port=free_port()) as squatter:  # a port that is still free when it is given back
            made = fleet.agent_mapping(ends[1], server.port, active=False, source_client_id=ends[0]["id"], source_port=squatter.port)
            why = fleet.wait_status(made["id"], "error")["error"]["edge-1"]
            assert why["code"] == "ADDRESS_IN_USE" and f"127.0.0.1:{squatter.port}" in why["message"], why
            eventually(lambda: "in use" in (visits(fleet.source).get(made["id"], {}).get("reason") or ""), "said")
        wait_listening(fleet.source, made["id"], "listened on when it is free")
        assert ask(made["source_port"]) == b"hello"
        assert fleet.wait_status(made["id"])["error"] is None
        body = {"protocol": "tcp", "source_client_id": ends[0]["id"], "target_client_id": ends[1]["id"],
                "source_port": made["source_port"], "target_port": 1}
        refused = fleet.api.post("/api/v1/mappings", body, expect=409)
        assert refused["code"] == "PORT_ALREADY_IN_USE"
        # another client's machine, and the relays, have ports of their own
        fleet.api.post("/api/v1/mappings", {**body, "source_client_id": ends[1]["id"]}, expect=201)


def test_one_of_several_agents_cannot_listen(fleet, ends):
    """Each listens on its own machine. Here both have the same one, so the second cannot: its trouble, and not the mapping's."""
    client = fleet.client(name="two laptops")
    for name in ("laptop-1", "laptop-2"):
        fleet.agent(client, name).wait_up(2)

    def shut(mapping):
        instances = fleet.api.get(f"/api/v1/clients/{client['id']}")["instances"]
        return [t["reason"] for i in instances for t in i["targets_down"] if t["mapping_id"] == mapping["id"]]

    with TcpServer(echo) as server, TcpServer(echo) as squatter:
        made = fleet.agent_mapping(ends[1], server.port, active=False, source_client_id=client["id"], source_port=free_port())
        reasons = eventually(lambda: shut(made), "one of them says so")
        assert len(reasons) == 1 and f"cannot listen on its machine: 127.0.0.1:{made['source_port']}: " in reasons[0], reasons
        assert fleet.wait_status(made["id"])["error"] is None
        assert ask(made["source_port"]) == b"hello"
        other = fleet.agent_mapping(ends[1], server.port, active=False, source_client_id=client["id"], source_port=squatter.port)
        eventually(lambda: len(shut(other)) == 2, "none of them can")
        assert fleet.wait_status(other["id"], "error")["error"]["edge-1"]["code"] == "ADDRESS_IN_USE"
        assert fleet.wait_status(made["id"])["error"] is None


def test_a_picked_port_that_is_taken_there_is_another_one():
    first, wanted, holders = hold_all_but_one(8)
    fleet = AgentFleet({"CONTROLD_TUNNELS_PORT_MIN": str(first), "CONTROLD_TUNNELS_PORT_MAX": str(first + 7)})
    try:
        fleet.start()
        ends = fleet.client(name="laptop"), fleet.client(name="server")
        for client in ends:
            fleet.agent(client, client["name"]).wait_up(2)
        with TcpServer(echo) as server:
            made = fleet.agent_mapping(ends[1], server.port, active=False, source_client_id=ends[0]["id"])
            eventually(lambda: fleet.get(made["id"])["source_port"] == wanted, "it is moved", 60)  # a step, of seven at most, takes about a second
            eventually(lambda: ask(wanted) == b"hello", "it leads there")
            fleet.wait_status(made["id"])
    finally:
        fleet.stop()
        for holder in holders:
            holder.close()


def test_a_picked_port(fleet, ends):
    """One of those that controld picks from; whether it is free on that machine only its agent can say, and does."""
    made = fleet.agent_mapping(ends[1], 9, source_client_id=ends[0]["id"])
    visit = eventually(lambda: visits(fleet.source).get(made["id"]), "offered")
    assert visit["port"] == made["source_port"] >= 10000
    assert visit["listening"] or "in use" in (visit["reason"] or ""), visit
    fleet.api.delete(f"/api/v1/mappings/{made['id']}", expect=204)


def test_target_away(fleet, ends):
    """Who comes then learns it at once by a reset, and the source's log says why."""
    stranger = fleet.client(name="never started")
    made = visit_mapping(fleet, (ends[0], stranger), 9)
    assert fleet.get(made["id"])["target_client_status"] == "offline"
    eventually(lambda: is_reset(made["source_port"]), "reset", 30)
    assert "agent is not connected to this relay" in fleet.source.log()


def test_target_refuses(fleet, ends):
    made = visit_mapping(fleet, ends, free_port())
    assert is_reset(made["source_port"])
    eventually(lambda: idle(fleet.source) and idle(fleet.target), "no stream is left")


def test_both_ends_are_one_client(fleet, ends):
    data = os.urandom(1_000_000)
    with TcpServer(echo) as server:
        made = visit_mapping(fleet, (ends[0], ends[0]), server.port)
        assert ask(made["source_port"], data) == data


def test_limits(fleet, ends):
    with TcpServer(echo) as server:
        made = visit_mapping(fleet, ends, server.port, limits={"max_connections": 1})
        with connect(made["source_port"]) as sock:
            sock.settimeout(20)
            sock.sendall(b"a")
            assert sock.recv(1) == b"a"
            assert is_reset(made["source_port"])
        eventually(lambda: idle(fleet.source) and idle(fleet.target), "no stream is left")
        assert ask(made["source_port"]) == b"hello"
        fleet.wait_stats(made["id"], connections_active=0, connections_total=2, connections_refused=1)
        for client in ends:  # the limits of both clients hold
            fleet.api.put(f"/api/v1/clients/{client['id']}/config", {"max_connections": 1}, expect=200)
            free = visit_mapping(fleet, ends, server.port)
            with connect(free["source_port"]) as sock:
                sock.settimeout(20)
                sock.sendall(b"a")
                assert sock.recv(1) == b"a"
                assert is_reset(free["source_port"])
            # the place is free again when the relay has seen the end
            fleet.wait_stats(free["id"], connections_active=0, connections_total=2, connections_refused=1)
            fleet.api.put(f"/api/v1/clients/{client['id']}/config", {"max_connections": 0}, expect=200)


def test_rate_of_both_clients(fleet, ends):
    """A million bytes at 500,000 a second take more than a second, whichever end the limit is of."""
    with TcpServer(echo) as server:
        made = visit_mapping(fleet, ends, server.port)
        for client in ends:
            fleet.api.put(f"/api/v1/clients/{client['id']}/config", {"bandwidth_limit": 500_000}, expect=200)

            def limited():
                begun = time.monotonic()
                assert len(ask(made["source_port"], bytes(1_000_000), 60)) == 1_000_000
                return time.monotonic() - begun > 1
            eventually(limited, "what was set is in force")
            fleet.api.put(f"/api/v1/clients/{client['id']}/config", {"bandwidth_limit": 0}, expect=200)


def test_listed_and_cut(fleet, ends):
    with TcpServer(echo) as server:
        made = visit_mapping(fleet, ends, server.port)
        with connect(made["source_port"]) as sock:
            sock.settimeout(20)
            sock.sendall(b"a")
            assert sock.recv(1) == b"a"
            items = eventually(lambda: fleet.api.get(f"/api/v1/mappings/{made['id']}/connections")["items"], "it is listed")
            assert len(items) == 1 and items[0]["bytes_received"] == 1
            fleet.api.delete(f"/api/v1/connections/{items[0]['id']}", expect=204)
            with pytest.raises(ConnectionResetError):
                sock.recv(1)


def test_source_is_killed_and_frozen(fleet, ends):
    made_by = fleet.source
    with TcpServer(echo) as server:
        made = visit_mapping(fleet, ends, server.port)
        made_by.kill()
        eventually(lambda: fleet.get(made["id"])["source_client_status"] == "offline", "offline")
        made_by.start()
        wait_listening(made_by, made["id"], "listened on again")
        assert ask(made["source_port"]) == b"hello"
        before = fleet.relay.log().count("agent_link_down")
        made_by.signal(signal.SIGSTOP)
        eventually(lambda: fleet.relay.log().count("agent_link_down") >= before + 2, "its links are given up", 60)
        made_by.signal(signal.SIGCONT)
        eventually(lambda: ask(made["source_port"]) == b"hello", "served again", 80)


def test_relay_restarts(fleet, ends):
    """Who connects meanwhile waits for the relay, and is served when it is back."""
    with TcpServer(echo) as server:
        made = visit_mapping(fleet, ends, server.port)
        fleet.relay.kill()
        eventually(lambda: fleet.source.ask()["relays"][0]["state"] != "up", "the loss is seen")
        with connect(made["source_port"]) as sock:
            sock.settimeout(40)
            sock.sendall(b"early")
            sock.shutdown(socket.SHUT_WR)
            fleet.relay.start()
            assert receive_all(sock) == b"early"
        fleet.source.wait_up(2)
        fleet.target.wait_up(2)


def test_listen_setting_is_reloaded(fleet, ends):
    with TcpServer(echo) as server:
        made = visit_mapping(fleet, ends, server.port)
        with open(fleet.source.conf, "a") as f:
            f.write('listen: "off"\n')
        fleet.source.reload()
        assert not listens(fleet.source, made["id"])
        fleet.source.allow("localhost")
        fleet.source.reload()
        wait_listening(fleet.source, made["id"], "listened on again")
        assert ask(made["source_port"]) == b"hello"
