"""What a quick command says while it runs: nothing listens at its target, its mapping is off, gone or over its quota, its client is
refused. As it happens, with what to do; and what is final ends it."""
import contextlib
import json
import re
import threading
import time

import pytest
from agent import AgentFleet
from portway import TcpServer, connect, echo, eventually, free_port
from test_quick_tunnels import Quick, answers, mappings


@pytest.fixture(scope="module")
def fleet():
    f = AgentFleet({"CONTROLD_ANONYMOUS_ENABLED": "true", "CONTROLD_ANONYMOUS_BIND": "127.0.0.1"})
    try:
        yield f.start()
    finally:
        f.stop()


def news(quick, event):
    """The next line of its output, which must be this one."""
    start = time.monotonic()
    watchdog = threading.Timer(120, quick.process.kill)  # the line is empty then
    watchdog.start()
    line = quick.process.stdout.readline()
    watchdog.cancel()
    assert line, f"nothing is told where {event} should be"
    said = json.loads(line)
    assert said["event"] == event, said
    print(f"{event} told after {time.monotonic() - start:.2f} s")
    return said


def ended(quick, code):
    _, err = quick.process.communicate(timeout=30)
    assert quick.process.returncode == code, err
    assert "Sanitizer" not in err and "runtime error" not in err, err
    return err


def is_turned_away(port):
    try:
        with connect(port) as sock:
            sock.settimeout(20)
            return sock.recv(1) == b""
    except ConnectionResetError:  # which connect() itself says, when it came that soon
        return True


def test_nothing_listens(fleet, tmp_path):
    port = free_port()
    with Quick(fleet, tmp_path, "tcp", str(port), "--json") as quick:
        said = news(quick, "target_down")
        assert said["message"].count(f"127.0.0.1:{port}") == 1 and "refused" in said["message"] and "start it" in said["what_to_do"]
        assert is_turned_away(quick.said["port"])
        with TcpServer(echo, port=port):
            news(quick, "target_up")
            assert answers(quick.said["port"])
        assert is_turned_away(quick.said["port"])
        news(quick, "target_down")
        quick.end()
        assert quick.process.returncode == 0
    with Quick(fleet, tmp_path, "http", str(port)) as quick:
        line = quick.process.stderr.readline()
        assert line.startswith(f"portway http: nothing answers at 127.0.0.1:{port}: ") and "; start it" in line
        quick.end()


def test_a_service_that_works_is_left_alone(fleet, tmp_path):
    """It is knocked at once, at the beginning; after that only clients come."""
    came = []

    def count(sock, address):
        came.append(1)
        echo(sock, address)
    with TcpServer(count) as server, Quick(fleet, tmp_path, "tcp", str(server.port), "--json") as quick:
        for n in range(1, 4):
            assert answers(quick.said["port"])
            eventually(lambda n=n: len(came) >= n + 1, "each has come")  # threads tell of them in any order
            assert len(came) == n + 1
        quick.end()


def test_the_quota_ends_while_it_runs(fleet, tmp_path):
    quota = f"/api/v1/users/{fleet.api.get('/auth/me')['data']['id']}/quota"
    with TcpServer(echo) as server, Quick(fleet, tmp_path, "tcp", str(server.port), "--json") as quick:
        fleet.api.put(quota, {"monthly_bytes": 4})
        with contextlib.suppress(OSError), connect(quick.said["port"]) as sock:  # what passed before may be counted only now
            sock.sendall(b"hello")
            sock.recv(1)
        said = news(quick, "mapping_down")
        assert "quota" in said["message"] and "used up" in said["message"] and "portway quota show usr_" in said["what_to_do"]
        fleet.api.put(quota, {"monthly_bytes": None})
        news(quick, "mapping_up")
        eventually(lambda: answers(quick.said["port"]), "served again")
        quick.end()
        assert quick.process.returncode == 0


def test_switched_off_and_deleted(fleet, tmp_path):
    with TcpServer(echo) as server, Quick(fleet, tmp_path, "tcp", str(server.port), "--json") as quick:
        path = f"/api/v1/mappings/{quick.said['mapping']}"
        fleet.api.put(path, {"status": "inactive"})
        assert "switched off" in news(quick, "mapping_down")["message"]
        fleet.api.put(path, {"status": "active"})
        news(quick, "mapping_up")
        fleet.api.delete(path)
        assert "run it again" in news(quick, "mapping_deleted")["what_to_do"]
        ended(quick, 4)
    with TcpServer(echo) as server, Quick(fleet, tmp_path, "tcp", str(server.port)) as quick:
        fleet.api.delete(f"/api/v1/mappings/{mappings(fleet)[0]}")
        err = ended(quick, 4)
        assert err.count("was deleted by somebody else") == 1 and "run it again" in err
    assert mappings(fleet) == []


def test_its_client_is_refused(fleet, tmp_path):
    """The next command has another one."""
    with TcpServer(echo) as server:
        with Quick(fleet, tmp_path, "tcp", str(server.port), "--json") as quick:
            client = f"/api/v1/clients/{quick.said['client']}"
            secret = fleet.api.get(client)["secrets"][0]["id"]
            fleet.api.delete(f"{client}/secrets/{secret}")
            err = ended(quick, 3)
            assert "no relay takes this agent" in err and "run it again" in err
        assert mappings(fleet) == []
        with Quick(fleet, tmp_path, "tcp", str(server.port), "--json") as again:
            assert again.said["client"] != quick.said["client"] and answers(again.said["port"])
            again.end()


def test_its_login_has_ended(fleet, tmp_path):
    """The tunnel goes on: its client is another one than the user."""
    session = fleet.controld.api()
    with TcpServer(echo) as server, Quick(fleet, tmp_path, "tcp", str(server.port), "--json", account=False,
                                          PORTWAY_TOKEN=session.session.headers["Authorization"].split()[1]) as quick:
        session.post("/auth/logout", {})
        assert "log in again" in news(quick, "unwatched")["what_to_do"]
        assert answers(quick.said["port"])
        out, err = quick.end()
        assert out == "" and "is still there" in err
    with Quick(fleet, tmp_path, "tcp", "1", "--json") as quick:  # removes it
        assert mappings(fleet) == [quick.said["mapping"]]
        quick.end()


def test_without_an_account(fleet, tmp_path):
    with TcpServer(echo) as server, Quick(fleet, tmp_path, "tcp", str(server.port), account=False) as quick:
        assert re.search(r"it ends by itself at \S+Z\. No more than 1024 KiB/s pass\.$", quick.process.stdout.readline().strip())
        quick.end()
    with TcpServer(echo) as server, Quick(fleet, tmp_path, "tcp", str(server.port), "--json", account=False) as quick:
        assert answers(quick.said["port"])
        fleet.api.delete(f"/api/v1/anonymous/clients/{quick.said['client']}")
        assert "does not know this client" in news(quick, "client_gone")["message"]
        ended(quick, 3)


def test_controld_is_away(fleet, tmp_path):
    """Nothing is said of it: the tunnel goes on. It is watched again when controld is back."""
    with TcpServer(echo) as server, Quick(fleet, tmp_path, "tcp", str(server.port), "--json", account=False,
                                          PORTWAY_API_KEY=fleet.api.post("/api/v1/api-keys", {"name": "k", "role": "operator"})["key"]) as quick:
        fleet.controld.stop()
        assert answers(quick.said["port"])
        fleet.controld.start()
        fleet.api = fleet.controld.api()
        fleet.api.put(f"/api/v1/mappings/{quick.said['mapping']}", {"status": "inactive"})
        news(quick, "mapping_down")
        quick.end()
    assert mappings(fleet) == []
