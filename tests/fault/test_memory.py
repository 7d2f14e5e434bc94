"""Thousands of connections, agents that come and go, edits: memory of each program stays where it was (PORTWAY_ROUNDS)."""
import concurrent.futures
import os
import socket

from agent import AgentFleet
from portway import TcpServer, UdpEcho, connect, echo, eventually

ROUNDS = int(os.environ.get("PORTWAY_ROUNDS", "20"))
WARM, TCP, UDP = 3, 1000, 500
GROWN_KIB = 2048  # what an allocator may still spread out after the first rounds


def exchange(port):
    with connect(port, timeout=30) as sock:
        sock.settimeout(30)
        sock.sendall(b"x" * 3000)
        sock.shutdown(socket.SHUT_WR)
        n = 0
        while data := sock.recv(65536):
            n += len(data)
        return n == 3000


def one_round(fleet, pool, agent, tcp, udp):
    assert all(pool.map(exchange, [m["source_port"] for m in tcp] * (TCP // len(tcp)), chunksize=50))
    for mapping in udp:
        for _ in range(UDP // len(udp)):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"x" * 500, ("127.0.0.1", mapping["source_port"]))
    agent.kill()
    agent.start()
    agent.wait_up(2)
    for mapping in tcp:
        fleet.api.put(f"/api/v1/mappings/{mapping['id']}", {"limits": {"max_connections": 5000}})
        fleet.api.put(f"/api/v1/mappings/{mapping['id']}", {"limits": {"max_connections": 6000}})


def test_memory_stays():
    fleet = AgentFleet({"CONTROLD_HTTP_RATE_LIMIT": "0"})
    try:
        fleet.start()
        client = fleet.client()
        agent = fleet.agent(client)
        agent.wait_up(2)
        with TcpServer(echo) as server, UdpEcho() as datagrams, concurrent.futures.ThreadPoolExecutor(8) as pool:
            more = {"timeouts": {"idle": 2}, "protocol": "udp"}
            tcp = [fleet.mapping(server.port), fleet.agent_mapping(client, server.port)]
            udp = [fleet.mapping(datagrams.port, **more), fleet.agent_mapping(client, datagrams.port, **more)]
            sizes = []
            for _ in range(ROUNDS + WARM):
                one_round(fleet, pool, agent, tcp, udp)
                eventually(lambda: all(fleet.stats(m["id"])["connections_active"] == 0 for m in tcp + udp), "all ended", 60)
                sizes.append((fleet.relay.rss_kib(), fleet.controld.rss_kib()))
            # an agent that is not killed
            held = []
            for _ in range(ROUNDS + WARM):
                assert all(pool.map(exchange, [tcp[1]["source_port"]] * TCP, chunksize=50))
                held.append(agent.rss_kib())
        print(f"KiB of relayd and controld after each round: {sizes}\nof the agent: {held}")
        for name, first, last in (("relayd", sizes[WARM][0], sizes[-1][0]), ("controld", sizes[WARM][1], sizes[-1][1]),
                                  ("agent", held[WARM], held[-1])):
            assert last - first < GROWN_KIB, (name, first, last)
    finally:
        fleet.stop()
