"""What people complain about in programs of this kind, as far as no other file shows that it is not so here (README.md has
all of it): who the client of a datagram is, edits that disturb others or cost memory, ports of several addresses, IPv6."""
import os
import re
import signal
import socket
import struct
import threading

import pytest
from agent import AgentFleet
from portway import SANITIZED, TcpServer, UdpEcho, connect, echo, eventually, free_port, receive_all
from test_restarts import successor_of, zombie

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.fixture(scope="module")
def fleet():
    f = AgentFleet()
    try:
        yield f.start(relay_env={"RELAYD_DRAIN_TIMEOUT": "20s"})
    finally:
        f.stop()


def test_each_is_shown_by_a_test_that_there_is():
    here = os.path.dirname(__file__)
    with open(os.path.join(here, "README.md")) as f:
        named = re.findall(r"`((?:\.\./fault/)?test_\w+\.py)::(test_\w+)`", f.read())
    assert len(named) > 50
    for file, test in named:
        with open(os.path.join(here, file)) as f:
            assert f"\ndef {test}(" in f.read(), f"{file}::{test}"


def client_of(datagram):
    """Where the client is as its PROXY header (v2) says, and what it sent."""
    assert datagram.startswith(SIGNATURE), datagram[:20]
    version, family, size = struct.unpack(">BBH", datagram[12:16])
    assert version == 0x21 and family in (0x12, 0x22), (version, family)
    n = 4 if family == 0x12 else 16
    host = socket.inet_ntop(socket.AF_INET if n == 4 else socket.AF_INET6, datagram[16:16 + n])
    return (host, struct.unpack(">H", datagram[16 + 2 * n:18 + 2 * n])[0]), datagram[16 + size:]


@pytest.mark.parametrize("way", ["relay", "agent"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_each_datagram_names_its_client(fleet, way, host):
    with UdpEcho() as server:
        more = {"protocol": "udp", "proxy_protocol": "v2", "proxy_every_datagram": True, "bind_address": host, "on_delete": "cut"}
        if way == "agent":
            client = fleet.client()
            agent = fleet.agent(client, f"agent-{client['id']}")
            agent.wait_up(2)
            made = fleet.agent_mapping(client, server.port, **more)
        else:
            made = fleet.mapping(server.port, **more)
        for _ in range(2):
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(10)
                sock.connect((host, made["source_port"]))
                for n in range(3):
                    sock.send(b"ping %d" % n)
                    sock.recv(200)
                    assert client_of(server.seen[-1][0]) == (sock.getsockname()[:2], b"ping %d" % n)
        assert len(server.seen) == 6
        fleet.api.delete(f"/api/v1/mappings/{made['id']}", expect=204)  # its sessions' descriptors with it, which others count


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return f.read().split()


def test_edits_cost_nothing_that_stays(fleet):
    """Hundreds of edits beside a connection that goes on: the same process, no children more, descriptors and memory as before."""
    edits = 200 if SANITIZED else 1000
    with TcpServer(echo) as server:
        witness, other = fleet.mapping(server.port), fleet.mapping(server.port)
        with connect(witness["source_port"]) as sock:
            def edit(n):
                fleet.api.put(f"/api/v1/mappings/{other['id']}", {"limits": {"max_connections": n + 1}, "allow": ["127.0.0.0/8"] * (n % 3)})
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"
            for n in range(50):
                edit(n)
            eventually(lambda: fleet.node()["lag"] == 0, "the relay has them")
            before = (fleet.relay.pid, len(children(fleet.relay.pid)), fleet.relay.fds())
            rss = fleet.relay.rss_kib()
            for n in range(edits):
                edit(n)
            eventually(lambda: fleet.node()["lag"] == 0, "the relay has them")
            def as_before():
                now = (fleet.relay.pid, len(children(fleet.relay.pid)), fleet.relay.fds())
                assert now[:2] == before[:2] and now[2] <= before[2], now
                return True
            eventually(as_before, f"{before} again")
            grown = fleet.relay.rss_kib() - rss
            print(f"{edits} edits: {grown} KiB more than before")
            assert SANITIZED or grown < 2048, grown  # a sanitizer keeps what was freed


def test_ports_come_without_a_restart(fleet):
    """A hundred ports more, one after the other: the one that was there is not touched, and none costs much."""
    with TcpServer(echo) as server:
        first = fleet.mapping(server.port)
        with connect(first["source_port"]) as sock:
            for _ in range(100):
                made = fleet.mapping(server.port)
                with connect(made["source_port"]) as new:
                    new.sendall(b"y")
                    assert new.recv(1) == b"y"
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"


def test_one_port_on_two_addresses(fleet):
    """Each address has ports of its own; what one cannot have, the other can, and the relay's own words say why."""
    port = free_port()
    with TcpServer(echo) as server, TcpServer(echo, host="127.0.0.3", port=port):
        def at(address, **more):
            return fleet.mapping(server.port, source_port=port, bind_address=address, **more)
        for address in ("127.0.0.1", "127.0.0.2"):
            at(address)
            with connect(port, address) as sock:
                sock.sendall(b"z")
                assert sock.recv(1) == b"z"
        taken = at("127.0.0.3", active=False)
        error = fleet.wait_status(taken["id"], "error")["error"]["edge-1"]
        assert error["code"] == "ADDRESS_IN_USE" and f"127.0.0.3:{port}" in error["message"], error


def test_no_time_out_is_infinite(fleet):
    """What nobody set has an end: idle, half-closed, being connected."""
    for protocol in ("tcp", "udp"):
        made = fleet.mapping(9, protocol=protocol)
        assert made["timeouts"] and all(re.fullmatch(r"[1-9]\d*(ms|s|m|h)", value) for value in made["timeouts"].values()), made["timeouts"]


@pytest.fixture(scope="module")
def six():
    """Agents meet the relay over IPv6."""
    f = AgentFleet()
    try:
        f.outside = "::1"
        yield f.start()
    finally:
        f.stop()


@pytest.mark.parametrize("target", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("public", ["127.0.0.1", "::1"])
def test_an_agent_over_ipv6(six, public, target):
    """Links over IPv6; tunnel port and target of either family."""
    with TcpServer(echo, host=target) as server, UdpEcho(target) as udp:
        client = six.client()
        agent = six.agent(client, f"agent-{client['id']}")
        agent.wait_up(2)
        assert all(link["address"].startswith("[::1]:") for link in agent.links())
        made = six.agent_mapping(client, server.port, target_host=target, bind_address=public)
        with connect(made["source_port"], public) as sock:
            sock.sendall(b"six")
            sock.shutdown(socket.SHUT_WR)
            assert receive_all(sock) == b"six"
        made = six.agent_mapping(client, udp.port, target_host=target, bind_address=public, protocol="udp")
        with socket.socket(socket.AF_INET6 if ":" in public else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(10)
            sock.connect((public, made["source_port"]))
            sock.send(b"six")
            assert sock.recv(10) == b"six"


def test_a_mapped_address_is_the_same_client(fleet):
    """Who comes over IPv4 to a port of both families is known by his IPv4 address, to lists as well as to the target."""
    with TcpServer(lambda sock, _: sock.sendall(sock.recv(200))) as server:
        made = fleet.mapping(server.port, bind_address="", allow=["127.0.0.1/32"], proxy_protocol="v1")
        with connect(made["source_port"]) as sock:
            sock.sendall(b"\n")
            assert sock.recv(200).startswith(b"PROXY TCP4 127.0.0.1 ")


def test_datagrams_through_an_agent_while_its_relay_is_replaced(fleet):
    """The port never closes; what is under way when the agent changes over may be lost, as datagrams may, and it goes on by itself."""
    answered, stop = [], threading.Event()
    with UdpEcho() as server:
        client = fleet.client()
        agent = fleet.agent(client, "moves")
        agent.wait_up(2)
        made = fleet.agent_mapping(client, server.port, protocol="udp")

        def ping():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(1)
                sock.connect(("127.0.0.1", made["source_port"]))
                while not stop.is_set():
                    try:
                        sock.send(b"ping")
                        answered.append(sock.recv(10) == b"ping")
                    except TimeoutError:
                        answered.append(False)
                    except ConnectionRefusedError:
                        answered.append(None)
        thread = threading.Thread(target=ping)
        thread.start()
        pid, old = None, fleet.relay.pid
        try:
            eventually(lambda: answered.count(True) > 20, "they pass")
            os.kill(old, signal.SIGUSR2)
            pid = eventually(lambda: successor_of(fleet, [old]), "a successor that serves", 40)
            before = len(answered)
            eventually(lambda: answered[before:].count(True) > 50, "they pass by the successor", 40)
        finally:
            stop.set()
            thread.join()
            if pid:
                os.kill(pid, signal.SIGTERM)
                eventually(lambda: not os.path.exists(f"/proc/{pid}") or zombie(pid), "the successor ended", 40)
        print(f"{answered.count(False)} of {len(answered)} lost")
        assert answered.count(None) == 0, "the port was never closed"
        assert answered.count(False) < 20
