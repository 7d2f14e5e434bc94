"""A private mapping of UDP: datagrams to a port on one client's own machine come out in another's network."""
import contextlib
import os
import re
import socket

import pytest
from agent import AgentFleet
from name_server import name_server
from portway import SANITIZED, UdpEcho, eventually, free_port, run


@pytest.fixture(scope="module")
def fleet():
    f = AgentFleet()
    try:
        f.start(relay_env={"RELAYD_AGENTS_BACKOFF": "1s"})
        f.ends = f.client(name="laptop"), f.client(name="server")
        f.source, f.target = f.agent(f.ends[0], "source"), f.agent(f.ends[1], "target")
        f.source.wait_up(2)
        f.target.wait_up(2)
        yield f
    finally:
        f.stop()


def visits(agent):
    return {visit["mapping"]: visit for visit in agent.ask()["visits"]}


def visit_mapping(fleet, port, **fields):
    made = fleet.agent_mapping(fleet.ends[1], port, protocol="udp", source_client_id=fleet.ends[0]["id"],
                               source_port=free_port(socket.SOCK_DGRAM), **fields)
    eventually(lambda: visits(fleet.source).get(made["id"], {}).get("listening"), "it is listened on")
    return made


@contextlib.contextmanager
def sender(made):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        sock.connect(("127.0.0.1", made["source_port"]))
        yield sock


def ask(sock, data=b"hello"):
    sock.send(data)
    return sock.recv(65536)


def answers(sock):
    """Until datagrams get through again: those before are lost, as UDP's may be."""
    sock.settimeout(0.5)
    try:
        return ask(sock) == b"hello"
    except (TimeoutError, ConnectionRefusedError):
        return False


def test_dig(fleet, tmp_path):
    with name_server(tmp_path) as port:
        made = visit_mapping(fleet, port)
        dig = ["dig", "+short", "+time=3", "+tries=2", "-p", str(made["source_port"]), "@127.0.0.1"]
        assert run([*dig, "a.example.test", "A"]).strip() == "192.0.2.1"
        assert run([*dig, "a.example.test", "AAAA"]).strip() == "2001:db8::1"
        out = run([*dig, "+ignore", "+bufsize=4096", "big.example.test", "TXT"])
        assert out.count("a" * 200) == 1 and out.count("j" * 200) == 1


def test_dnsperf(fleet, tmp_path):
    (tmp_path / "queries").write_text("a.example.test A\na.example.test AAAA\n")
    with name_server(tmp_path) as port:
        made = visit_mapping(fleet, port)
        out = run(["dnsperf", "-s", "127.0.0.1", "-p", str(made["source_port"]), "-d", os.path.join(tmp_path, "queries"),
                   "-l", "2" if SANITIZED else "5", "-c", "8", "-q", "16", "-t", "20"], 60)
        sent = int(re.search(r"Queries sent:\s+(\d+)", out).group(1))
        done = int(re.search(r"Queries completed:\s+(\d+)", out).group(1))
        lost = int(re.search(r"Queries lost:\s+(\d+)", out).group(1))
        assert done > 100 and lost <= sent // 1000, out
        stats = eventually(lambda: (lambda s: s if s["packets_sent"] >= done else None)(fleet.stats(made["id"])), "counted")
        assert done <= stats["packets_received"] <= sent


def test_each_sender_by_itself_and_counted(fleet):
    with UdpEcho() as server:
        made = visit_mapping(fleet, server.port)
        sizes = (0, 1, 100, 1400, 9000, 60000)
        with sender(made) as one, sender(made) as two:
            for size in sizes:
                assert ask(one, b"1" * size) == b"1" * size
                assert ask(two, b"2" * size) == b"2" * size
            ports = {address for _, address in server.seen}
            assert len(ports) == 2
            assert all(len({data[:1] for data, address in server.seen if address == port} - {b""}) == 1 for port in ports)
        total, n = 2 * sum(sizes), 2 * len(sizes)
        fleet.wait_stats(made["id"], bytes_received=total, bytes_sent=total, packets_received=n, packets_sent=n,
                         connections_total=2, dropped_in=0, dropped_out=0)


def test_idle(fleet):
    with UdpEcho() as server:
        made = visit_mapping(fleet, server.port, timeouts={"idle": 4})
        before = fleet.source.ask()["visits_udp"], fleet.target.ask()["udp"]
        with sender(made) as sock:
            assert ask(sock) == b"hello"
            eventually(lambda: fleet.stats(made["id"])["connections_active"] == 0, "the session has ended")
            eventually(lambda: fleet.source.ask()["visits_udp"] <= before[0], "so has the source's")
            eventually(lambda: fleet.target.ask()["udp"] <= before[1], "so has the target's")
            assert ask(sock) == b"hello"  # and begins anew
        fleet.wait_stats(made["id"], connections_total=2)


def test_one_place(fleet):
    """It is free again when who had it is silent, or at once where both came to one thread of the relay."""
    with UdpEcho() as server:
        made = visit_mapping(fleet, server.port, limits={"max_connections": 1}, timeouts={"idle": 4})
        with sender(made) as one, sender(made) as two:
            assert ask(one) == b"hello"
            eventually(lambda: answers(two), "in its place")
            assert fleet.stats(made["id"])["connections_active"] <= 1
        stats = eventually(lambda: (lambda t: t if t["connections_total"] >= 2 else None)(fleet.stats(made["id"])), "counted")
        assert stats["connections_refused"] + stats["timed_out"] >= 1


def test_who_may_not_come_in(fleet):
    with UdpEcho() as server:
        made = visit_mapping(fleet, server.port, allow=["192.0.2.0/24"])
        with sender(made) as sock:
            assert not answers(sock)
            fleet.api.put(f"/api/v1/mappings/{made['id']}", {"allow": []}, expect=200)
            eventually(lambda: answers(sock), "let in")
        assert {data for data, _ in server.seen} == {b"hello"}


def test_target_comes_back(fleet):
    with UdpEcho() as server:
        made = visit_mapping(fleet, server.port)
        with sender(made) as sock:
            assert ask(sock) == b"hello"
            fleet.target.stop()
            assert not answers(sock)
            fleet.target.start()
            fleet.target.wait_up(2)
            eventually(lambda: answers(sock), "reached again")


def test_switched_off(fleet):
    with UdpEcho() as server:
        made = visit_mapping(fleet, server.port)
        with sender(made) as sock:
            assert ask(sock) == b"hello"
            fleet.api.put(f"/api/v1/mappings/{made['id']}", {"status": "inactive"}, expect=200)
            eventually(lambda: made["id"] not in visits(fleet.source), "not listened on")
            assert not answers(sock)
            fleet.api.put(f"/api/v1/mappings/{made['id']}", {"status": "active"}, expect=200)
            eventually(lambda: answers(sock), "serves again")


def test_header_in_front(fleet):
    """The target learns where the client's agent is."""
    with UdpEcho() as server:
        made = visit_mapping(fleet, server.port, proxy_protocol="v2")
        with sender(made) as sock:
            assert b"hello" in ask(sock)
        data = server.seen[0][0]
        assert data.startswith(b"\r\n\r\n\0\r\nQUIT\n\x21\x12") and data.endswith(b"hello")
