"""SOCKS5 into a client's network: curl by name, who may come in, what may be reached, and the answers of RFC 1928."""
import contextlib
import socket
import subprocess

import pytest
from agent import AgentFleet
from portway import TcpServer, connect, eventually, free_port, receive_all

PASSWORD = "correct-horse-battery"


def page(conn, _address):
    conn.recv(65536)
    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")


@pytest.fixture(scope="module")
def fleet():
    f = AgentFleet()
    try:
        f.start()
        f.box = f.client(name="box")
        f.agent(f.box).wait_up(2)
        yield f
    finally:
        f.stop()


def socks_mapping(fleet, **fields):
    body = {"protocol": "socks5", "source_port": 0, "target_client_id": fleet.box["id"], **fields}
    made = fleet.api.post("/api/v1/mappings", body, expect=201)
    return fleet.wait_status(made["id"])


def curl(url, port, user=None):
    login = f"{user}:{PASSWORD}@" if user else ""
    return subprocess.run(["curl", "-sS", "-m", "20", "--noproxy", "", "-x", f"socks5h://{login}127.0.0.1:{port}", url],
                          capture_output=True, text=True, timeout=60, check=False)


def code_of(port, host, to, command=1):
    """What a CONNECT without a login is answered, byte by byte."""
    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        for byte in b"\x05\x01\x00":
            sock.sendall(bytes([byte]))
        assert sock.recv(2) == b"\x05\x00"
        name = host.encode()
        for byte in bytes([5, command, 0, 3, len(name)]) + name + to.to_bytes(2, "big"):
            sock.sendall(bytes([byte]))
        answer = receive_all(sock)
        assert len(answer) == 10 and answer[0] == 5
        return answer[1]


def test_curl_by_name_with_a_login(fleet):
    with TcpServer(page) as server:
        made = socks_mapping(fleet, socks_user="me", socks_password=PASSWORD)
        done = curl(f"http://localhost:{server.port}/", made["source_port"], "me")
        assert done.stdout == "hello", done.stderr
        assert curl(f"http://localhost:{server.port}/", made["source_port"], "you").returncode == 97
        assert curl(f"http://localhost:{server.port}/", made["source_port"]).returncode == 97
        eventually(lambda: fleet.get(made["id"])["traffic_stats"]["bytes_sent"] > 5, "counted")
    fleet.wait_refused(made["id"], login=2)
    assert made["socks_user"] == "me" and "socks_password" not in made
    assert PASSWORD not in fleet.relay.log() and PASSWORD not in fleet.controld.log()


def test_without_a_login_needs_a_list(fleet):
    body = {"protocol": "socks5", "target_client_id": fleet.box["id"]}
    refused = fleet.api.post("/api/v1/mappings", body, expect=422)
    assert "needs an `allow` list" in str(refused)
    with TcpServer(page) as server:
        made = socks_mapping(fleet, allow=["127.0.0.1"])
        assert curl(f"http://127.0.0.1:{server.port}/", made["source_port"]).stdout == "hello"


def test_what_may_be_reached(fleet):
    with TcpServer(page) as server:
        made = socks_mapping(fleet, allow=["127.0.0.1"], socks_allow=f"127.0.0.0/8:{server.port}")
        assert curl(f"http://127.0.0.1:{server.port}/", made["source_port"]).stdout == "hello"
        # a name is looked at where it leads to; the family that the list lacks is passed over
        assert curl(f"http://localhost:{server.port}/", made["source_port"]).stdout == "hello"
        assert code_of(made["source_port"], "localhost", 1) == 2
        assert code_of(made["source_port"], "192.0.2.1", server.port) == 2
        fleet.wait_refused(made["id"], dial=1, destination=1)  # the name by the agent, the address by the relay
        wide = socks_mapping(fleet, allow=["127.0.0.1"], socks_allow="any")
        assert code_of(wide["source_port"], "192.0.2.1", 80) == 2  # the agent's own list wins


def test_answers(fleet):
    made = socks_mapping(fleet, allow=["127.0.0.1"])
    assert code_of(made["source_port"], "127.0.0.1", free_port()) == 5
    assert code_of(made["source_port"], "nowhere.invalid", 80) in (2, 4)
    assert code_of(made["source_port"], "127.0.0.1", 80, command=2) == 7
    with connect(made["source_port"]) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(10) == b""
    connect(made["source_port"]).close()  # who hangs up was refused by nobody
    fleet.wait_refused(made["id"], dial=2, protocol=2)


def test_private(fleet):
    """A local port of a client's own machine that leads into another network."""
    with TcpServer(page) as server:
        made = socks_mapping(fleet, source_client_id=fleet.box["id"], source_port=free_port())
        agent = fleet.agents[0]
        eventually(lambda: any(v["mapping"] == made["id"] and v["listening"] for v in agent.ask()["visits"]), "listened on")
        assert curl(f"http://localhost:{server.port}/", made["source_port"]).stdout == "hello"
