"""Strangers at the agents' address, from one address or from thousands, do not keep agents out."""
import contextlib
import random
import socket
import threading
import time

import pytest
from agent import AgentFleet
from portway import TcpServer, connect, echo, eventually

HELLO = bytes.fromhex("16030102000100")  # begins as TLS does, and goes on as nothing


@pytest.fixture(scope="module")
def fleet():
    f = AgentFleet()
    try:
        yield f.start(relay_env={"RELAYD_AGENTS_HANDSHAKES": "100"})
    finally:
        f.stop()


class Crowd:
    """Connects as fast as it can until it is told to stop, and has some hundred connections at any time."""

    def __init__(self, at, addresses, says):
        host, port = at.split(":")
        self.at, self.addresses, self.says = (host, int(port)), addresses, says
        self.n, self.over = 0, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        open_ones = []
        while not self.over.is_set():
            sock = socket.socket()
            with contextlib.suppress(OSError):
                sock.settimeout(5)
                sock.bind((self.addresses(), 0))
                sock.connect(self.at)
                if self.says:
                    sock.sendall(self.says + bytes(64))
                self.n += 1
            open_ones.append(sock)
            if len(open_ones) > 400:
                open_ones.pop(0).close()
        for sock in open_ones:
            sock.close()

    def stop(self):
        self.over.set()
        self.thread.join(30)


def one():
    return "127.0.0.2"


def many():
    return f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}"


@pytest.mark.parametrize(("addresses", "says"), [(one, HELLO), (many, HELLO), (many, b"GET / HTTP/1.1\r\n\r\n"), (many, b"")],
                         ids=["one address", "many addresses", "no TLS", "silent"])
def test_agents_come_in(fleet, addresses, says):
    client = fleet.client(name=f"home-{addresses.__name__}-{len(says)}")
    at = fleet.agents_at["edge-1"]
    with TcpServer(echo) as server:
        mapping = fleet.agent_mapping(client, server.port)
        agent = fleet.agent(client, f"agent-{addresses.__name__}-{len(says)}")
        agent.wait_up(2)
        crowd = Crowd(at, addresses, says)
        try:
            eventually(lambda: crowd.n >= 2500, "a crowd", 60)
            agent.kill()
            begun, before = time.monotonic(), crowd.n
            agent.start()
            agent.wait_up(2, 60)
            with connect(mapping["source_port"]) as sock:
                sock.settimeout(20)
                sock.sendall(b"ping")
                assert sock.recv(4) == b"ping"
            print(f"\nback in {time.monotonic() - begun:.2f} s beside {crowd.n - before} strangers")
            eventually(lambda: crowd.n >= 10_000, "ten thousand of them", 120)
            assert len(agent.links()) == 2, "who is in stays in"
        finally:
            crowd.stop()
        agent.stop()
