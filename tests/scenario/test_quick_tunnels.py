"""portway tcp, udp, http: one command makes a service reachable, and nothing of it is left at the end."""
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import cli
import pytest
from agent import AgentFleet
from portway import BIN, Controld, TcpServer, UdpEcho, connect, echo, eventually, receive_all, run
from test_real_tcp_programs import ssh_login, ssh_server


@pytest.fixture(scope="module")
def fleet():
    f = AgentFleet({"CONTROLD_ANONYMOUS_ENABLED": "true", "CONTROLD_ANONYMOUS_BIND": "127.0.0.1"})
    try:
        yield f.start()
    finally:
        f.stop()


class Quick:
    """A quick command in the foreground; its first line of JSON is `said`."""

    def __init__(self, fleet, home, *words, account=True, wrap=(), **more):
        env = cli.environment({"PORTWAY_URL": fleet.controld.base, "XDG_STATE_HOME": str(home),
                               **({"PORTWAY_TOKEN": token(fleet)} if account else {}), **more})
        self.process = subprocess.Popen([*wrap, os.path.join(BIN, "portway"), *words], env=env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        watchdog = threading.Timer(60, self.process.kill)
        watchdog.start()
        self.line = self.process.stdout.readline()
        watchdog.cancel()
        if not self.line:
            raise AssertionError(self.process.stderr.read())

    @property
    def said(self):
        return json.loads(self.line)

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        assert "Sanitizer" not in err and "runtime error" not in err, err
        return out, err

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def answers(port):
    with connect(port) as sock:
        sock.settimeout(20)
        sock.sendall(b"hello")
        sock.shutdown(socket.SHUT_WR)
        return receive_all(sock) == b"hello"


def mappings(fleet):
    return [m["id"] for m in fleet.api.get("/api/v1/mappings")["items"]]


def test_tcp_and_what_is_left(fleet, tmp_path):
    with TcpServer(echo) as server:
        start = time.monotonic()
        with Quick(fleet, tmp_path, "tcp", str(server.port), "--json", "--name", "mine") as quick:
            assert answers(quick.said["port"])
            print(f"usable after {time.monotonic() - start:.2f} s")
            assert quick.said["addresses"] == [f"127.0.0.1:{quick.said['port']}"]
            assert fleet.get(quick.said["mapping"])["name"] == "mine"
            quick.end()
            assert quick.process.returncode == 0
            first = quick.said
        assert mappings(fleet) == []
        with Quick(fleet, tmp_path, "tcp", f"127.0.0.1:{server.port}", "--json") as again:
            assert (again.said["client"], again.said["port"]) == (first["client"], first["port"])
            assert answers(first["port"])
            again.end(signal.SIGTERM)


@pytest.mark.parametrize("account", [True, False], ids=["account", "anonymous"])
def test_ssh(fleet, tmp_path, account):
    """Usable as soon as the command has said where."""
    with ssh_server(tmp_path) as port:
        options, who = ssh_login(tmp_path)
        begun = time.monotonic()
        with Quick(fleet, tmp_path, "tcp", str(port), "--json", account=account) as quick:
            said = time.monotonic() - begun
            assert run(["ssh", *options, "-p", str(quick.said["port"]), who, "echo through"]).strip() == "through"
            print(f"said after {said:.2f} s, ssh was through after {time.monotonic() - begun:.2f} s")
            quick.end()


def test_http_by_a_client_like_a_browser(fleet, tmp_path):
    """By a name of its own, with all that a browser sends; what comes is as it was."""
    page = os.urandom(300_000)

    def serve(sock, _address):
        head = b""
        while b"\r\n\r\n" not in head:
            more = sock.recv(65536)
            if not more:  # the command knocks once, and asks nothing
                return
            head += more
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % len(page) + page)
    with TcpServer(serve) as server:
        begun = time.monotonic()
        with Quick(fleet, tmp_path, "http", str(server.port), "--json") as quick:
            said = time.monotonic() - begun
            got = subprocess.run(["curl", "-sS", "-m", "20", "--compressed", "-A", "Mozilla/5.0", "-H", "Accept: text/html,*/*;q=0.8",
                                  quick.said["addresses"][0]], capture_output=True, check=True).stdout
            assert got == page
            print(f"said after {said:.2f} s, the page was there after {time.monotonic() - begun:.2f} s")
            quick.end()


def test_killed(fleet, tmp_path):
    """The next command removes what a killed one left, and is at the same place."""
    with TcpServer(echo) as server:
        with Quick(fleet, tmp_path, "tcp", str(server.port), "--json") as quick:
            quick.process.kill()
            quick.process.wait()
            first = quick.said
        assert mappings(fleet) == [first["mapping"]]
        with Quick(fleet, tmp_path, "tcp", str(server.port), "--json") as again:
            assert again.said["port"] == first["port"] and mappings(fleet) == [again.said["mapping"]]
            assert answers(first["port"])
            again.end()
        assert mappings(fleet) == []


def test_two_at_once(fleet, tmp_path):
    """Each has its own client: an agent allows its own target only."""
    with TcpServer(echo) as one, TcpServer(echo) as two:
        with Quick(fleet, tmp_path, "tcp", str(one.port), "--json") as first, \
                Quick(fleet, tmp_path, "http", str(two.port), "--json") as second:
            assert first.said["client"] != second.said["client"]
            assert second.said["addresses"] == [f"http://127.0.0.1:{second.said['port']}"]
            for _ in range(5):
                assert answers(first.said["port"]) and answers(second.said["port"])
            first.end()
            second.end()


def test_udp_and_text(fleet, tmp_path):
    with UdpEcho() as server, Quick(fleet, tmp_path, "udp", str(server.port)) as quick:
        assert quick.line.startswith(f"127.0.0.1:{server.port} is reachable at 127.0.0.1:")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(10)
            sock.sendto(b"x", ("127.0.0.1", int(quick.line.rsplit(":", 1)[1])))
            assert sock.recv(10) == b"x"
        assert quick.process.stdout.readline() == "Ctrl-C ends it.\n"
        quick.end()


def test_remembered_port_is_taken(fleet, tmp_path):
    """It is asked for again, as long as nobody else has it on the relay."""
    with TcpServer(echo) as server, socket.socket() as other:
        with Quick(fleet, tmp_path, "tcp", str(server.port), "--json") as quick:
            port = quick.said["port"]
            quick.end()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        eventually(lambda: other.bind(("127.0.0.1", port)) is None, "the relay has left it")  # the command does not wait for that
        other.listen()
        with Quick(fleet, tmp_path, "tcp", str(server.port), "--json") as quick:
            assert quick.said["port"] != port and answers(quick.said["port"])
            assert mappings(fleet) == [quick.said["mapping"]]
            quick.end()
    assert mappings(fleet) == []


def test_keep(fleet, tmp_path):
    with TcpServer(echo) as server, Quick(fleet, tmp_path, "tcp", str(server.port), "--keep", "--json") as quick:
        quick.end()
        assert mappings(fleet) == [quick.said["mapping"]]
        fleet.api.delete(f"/api/v1/mappings/{quick.said['mapping']}")


def test_without_an_account(fleet, tmp_path):
    """The client is remembered; its mapping is gone at the end, also of a command that was killed."""
    clients = set()
    with TcpServer(echo) as server:
        for number in (signal.SIGINT, signal.SIGKILL, signal.SIGTERM):
            start = time.monotonic()
            with Quick(fleet, tmp_path, "tcp", str(server.port), "--json", account=False) as quick:
                assert answers(quick.said["port"])
                print(f"usable after {time.monotonic() - start:.2f} s")
                assert quick.said["anonymous"] and quick.said["expires_at"] and quick.said["bandwidth_limit"] == 1 << 20
                assert len(fleet.api.get("/api/v1/anonymous/mappings")["items"]) == 1
                clients.add(quick.said["client"])
                quick.end(number)
    assert fleet.api.get("/api/v1/anonymous/mappings")["items"] == []
    assert len(clients) == 1
    guest = clients.pop()
    fleet.api.delete(f"/api/v1/anonymous/clients/{guest}")
    with TcpServer(echo) as server, Quick(fleet, tmp_path, "tcp", str(server.port), "--json", account=False) as quick:
        assert quick.said["client"] != guest and answers(quick.said["port"])
        quick.end()


def test_complaints(fleet, tmp_path):
    env = {"PORTWAY_URL": fleet.controld.base, "XDG_STATE_HOME": str(tmp_path)}
    assert "portway login" in cli.run("tcp", "22", "--port", "2222", status=3, **env)
    assert "portway login" in cli.run("tcp", "22", "--port", "2222", "--anonymous", status=2, **env)
    assert "not PORT or HOST:PORT" in cli.run("tcp", "0", status=2, **env)
    assert "not PORT or HOST:PORT" in cli.run("udp", "host", status=2, **env)
    with TcpServer(echo) as server:
        taken = cli.run("tcp", "22", "--port", str(server.port), status=1, **env, PORTWAY_TOKEN=token(fleet))
        assert f"{server.port} cannot be opened: address already in use" in taken
        assert re.search(r":\d+ on node \S+", taken)
    assert mappings(fleet) == []


def test_the_quota_is_used_up(fleet, tmp_path):
    """The command says so in place of an address that nobody reaches, and leaves nothing."""
    env = {"PORTWAY_URL": fleet.controld.base, "XDG_STATE_HOME": str(tmp_path), "PORTWAY_TOKEN": token(fleet)}
    quota = f"/api/v1/users/{fleet.api.get('/auth/me')['data']['id']}/quota"
    with TcpServer(echo) as server:
        fleet.api.put(quota, {"monthly_bytes": 4})
        with Quick(fleet, tmp_path, "tcp", str(server.port), "--json") as quick:
            port = quick.said["port"]
            with connect(port) as sock:
                sock.sendall(b"hello")
            eventually(lambda: fleet.api.get(quota)["exceeded"], "used up")
            quick.end()
        assert "quota of this month is used up" in cli.run("tcp", str(server.port), status=7, **env)
        text = cli.run("create", "mapping", "protocol=tcp", "target_host=127.0.0.1", "target_port=1", "--wait", status=7, **env)
        assert "used up" in text and "on node" not in text
        for mapping in mappings(fleet):
            fleet.api.delete(f"/api/v1/mappings/{mapping}")
        fleet.api.put(quota, {"monthly_bytes": None})
        with Quick(fleet, tmp_path, "tcp", str(server.port), "--json") as quick:
            assert quick.said["port"] == port and answers(port)
            quick.end()
    assert mappings(fleet) == []


def test_no_door(tmp_path):
    closed = Controld(str(tmp_path)).start()
    try:
        said = cli.run("tcp", "22", status=3, PORTWAY_URL=closed.base, XDG_STATE_HOME=str(tmp_path))
        assert "portway login" in said and "anonymous.enabled" in said
    finally:
        closed.stop()


def token(fleet):
    return fleet.api.session.headers["Authorization"].split()[1]
