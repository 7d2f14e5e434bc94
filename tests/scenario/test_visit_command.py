"""portway visit: what another client reaches, on a port of this machine until Ctrl-C, with programs nobody here wrote."""
import filecmp
import os
import signal
import socket
import subprocess

import cli
import pytest
from agent import AgentFleet
from portway import Api, TcpServer, connect, echo, eventually, free_port, listening, program, run
from test_quick_tunnels import Quick, answers, token

PASSWORD = "a long password"


@pytest.fixture(scope="module")
def fleet():
    """A client `office`, whose agent is at the first of two relays only."""
    f = AgentFleet()
    try:
        f.start()
        f.office = f.client(name="office")
        f.agent(f.office, "office").wait_up(2)
        f.add_relay("edge-2")
        yield f
    finally:
        f.stop()


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    port = free_port()
    argv = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir",
            str(tmp_path_factory.mktemp("redis"))]
    with program(argv, listening(port)):
        yield port


def private(fleet):
    return [m["id"] for m in fleet.api.get("/api/v1/mappings")["items"] if m["source_client_id"]]


def env(fleet, home, account=True):
    return {"PORTWAY_URL": fleet.controld.base, "XDG_STATE_HOME": str(home),
            **({"PORTWAY_TOKEN": token(fleet)} if account else {})}


def test_redis_and_what_is_left(fleet, tmp_path, redis):
    """By a client's name; the port is this machine's alone, gone at the end, and the same the next time."""
    with Quick(fleet, tmp_path, "visit", f"office:{redis}", "--json") as quick:
        said = quick.said
        out = run(["redis-benchmark", "-h", "127.0.0.1", "-p", str(said["port"]), "-n", "2000", "-c", "10", "-t", "set,get",
                   "--csv"], 120)
        assert "SET" in out and said["address"] == f"127.0.0.1:{said['port']}"
        assert said["target_client"] == fleet.office["id"] and said["client"] != fleet.office["id"]
        table = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
        lines = [line for line in table.splitlines() if f":{said['port']} " in line]
        assert len(lines) == 1 and f"127.0.0.1:{said['port']}" in lines[0] and f"pid={quick.process.pid}," in lines[0], lines
        eventually(lambda: (lambda s: s["connections_active"] == 0 and s["connections_total"] >= 20)(fleet.stats(said["mapping"])), "counted")
        quick.end()
        assert quick.process.returncode == 0
    assert private(fleet) == [] and not listening(said["port"])()
    with Quick(fleet, tmp_path, "visit", f"office:127.0.0.1:{redis}") as text:
        assert text.line.startswith("127.0.0.1:") and text.line.endswith(f" leads to office:127.0.0.1:{redis}\n")
        text.end(signal.SIGTERM)
    with Quick(fleet, tmp_path, "visit", f"office:127.0.0.1:{redis}") as again:
        assert again.line == text.line
        again.end()
    assert private(fleet) == []


def test_ssh_by_a_mappings_name(fleet, tmp_path):
    """The visit has the limits of the mapping that it goes by."""
    os.makedirs("/run/sshd", exist_ok=True)
    port = free_port()
    for key in ("host", "user"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / key)])
    (tmp_path / "authorized").write_text((tmp_path / "user.pub").read_text())
    sshd = ["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-h", str(tmp_path / "host"), "-p", str(port),
            "-o", "ListenAddress=127.0.0.1", "-o", f"AuthorizedKeysFile={tmp_path}/authorized", "-o", "StrictModes=no",
            "-o", "UsePAM=no", "-o", "PidFile=none", "-o", "PermitRootLogin=yes", "-o", "Subsystem=sftp internal-sftp"]
    options = ["-F", "/dev/null", "-i", str(tmp_path / "user"), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
               "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
    made = fleet.mapping(port, target_client_id=fleet.office["id"], name="ssh of the office", active=False,
                         limits={"max_connections": 7})
    with program(sshd, listening(port)), Quick(fleet, tmp_path, "visit", "ssh of the office", "--json") as quick:
        here = str(quick.said["port"])
        assert fleet.get(quick.said["mapping"])["limits"]["max_connections"] == 7
        user = run(["id", "-un"]).strip()
        assert run(["ssh", *options, "-p", here, f"{user}@127.0.0.1", "echo through the visit"]).strip() == "through the visit"
        (tmp_path / "file").write_bytes(os.urandom(5 << 20))
        run(["scp", "-q", *options, "-P", here, str(tmp_path / "file"), f"{user}@127.0.0.1:{tmp_path}/copy"], 120)
        assert filecmp.cmp(tmp_path / "file", tmp_path / "copy", shallow=False)
        quick.end()
    fleet.api.delete(f"/api/v1/mappings/{made['id']}", expect=204)


NGINX = """daemon off; pid {dir}/pid; error_log {dir}/error.log; worker_processes 1;
events {{ worker_connections 256; }}
http {{ access_log off; client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c;
  uwsgi_temp_path {dir}/d; scgi_temp_path {dir}/e;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "from nginx\\n"; }} }} }}
"""


def test_nginx_by_a_mappings_id(fleet, tmp_path):
    port = free_port()
    (tmp_path / "conf").write_text(NGINX.format(dir=tmp_path, port=port))
    made = fleet.mapping(port, target_client_id=fleet.office["id"], active=False)
    wanted = free_port()
    with program(["nginx", "-p", str(tmp_path), "-c", str(tmp_path / "conf")], listening(port)), \
            Quick(fleet, tmp_path, "visit", made["id"], "--port", str(wanted), "--json") as quick:
        assert quick.said["port"] == wanted
        for _ in range(20):
            assert run(["curl", "-sS", "-m", "20", "--noproxy", "*", f"http://127.0.0.1:{wanted}/"]) == "from nginx\n"
        quick.end()
    fleet.api.delete(f"/api/v1/mappings/{made['id']}", expect=204)


def test_a_killed_visit(fleet, tmp_path):
    """The next one removes what it left, and is at the same port."""
    with TcpServer(echo) as server:
        with Quick(fleet, tmp_path, "visit", f"{fleet.office['id']}:{server.port}", "--json") as quick:
            assert answers(quick.said["port"])
            quick.process.kill()
            quick.process.wait()
        assert private(fleet) == [quick.said["mapping"]]
        with Quick(fleet, tmp_path, "visit", f"{fleet.office['id']}:{server.port}", "--json") as again:
            assert again.said["port"] == quick.said["port"] and private(fleet) == [again.said["mapping"]]
            assert answers(again.said["port"])
            again.end()


def test_remembered_port_is_taken(fleet, tmp_path):
    """By another program of this machine: another port then. One that is asked for is refused at once."""
    with TcpServer(echo) as server:
        with Quick(fleet, tmp_path, "visit", f"office:{server.port}", "--json") as quick:
            port = quick.said["port"]
            quick.end()
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", port))
            other.listen()
            with Quick(fleet, tmp_path, "visit", f"office:{server.port}", "--json") as quick:
                assert quick.said["port"] != port and answers(quick.said["port"])
                quick.end()
            said = cli.run("visit", f"office:{server.port}", "--port", str(port), status=6, **env(fleet, tmp_path))
            assert f"port {port} of 127.0.0.1 is taken" in said
    assert private(fleet) == []


def test_taken_away_meanwhile(fleet, tmp_path):
    with TcpServer(echo) as server, Quick(fleet, tmp_path, "visit", f"office:{server.port}", "--json") as quick:
        fleet.api.delete(f"/api/v1/mappings/{quick.said['mapping']}", expect=204)
        eventually(lambda: not listening(quick.said["port"])(), "not listened on")
        out, err = quick.process.communicate(timeout=30)
        assert "is not there now: the mapping is gone, or off" in err and "mapping_deleted" in out and quick.process.returncode == 4


def test_what_the_agent_does_not_let(fleet, tmp_path):
    """The other client's own list holds."""
    with Quick(fleet, tmp_path, "visit", "office:192.0.2.1:80", "--json") as quick:
        with pytest.raises(ConnectionResetError), connect(quick.said["port"]) as sock:  # which connect() may say itself
            sock.settimeout(30)
            sock.recv(1)
        quick.end()


def test_complaints(fleet, tmp_path):
    mine = env(fleet, tmp_path)
    for word in ("office:0", ":22", "office:x", "office:host:0"):
        assert "is not MAPPING, CLIENT:PORT or CLIENT:HOST:PORT" in cli.run("visit", word, status=2, **mine)
    assert "--bind: 'here' is not an IP address" in cli.run("visit", "office:1", "--bind", "here", status=2, **mine)
    assert "portway login" in cli.run("visit", "office:22", status=3, **env(fleet, tmp_path, account=False))
    assert "'nowhere'" in cli.run("visit", "nowhere", status=4, **mine)
    assert "'nobody'" in cli.run("visit", "nobody:22", status=4, **mine)
    cli.run("visit", "map_01m80r1djz1f2b3c81mv", status=4, **mine)
    cli.run("visit", "99999999:22", status=4, **mine)
    direct = fleet.mapping(9, active=False)
    assert "leads to no client" in cli.run("visit", direct["id"], status=1, **mine)
    twins = [fleet.client(name="twin")["id"] for _ in range(2)]
    said = cli.run("visit", "twin:22", status=6, **mine)
    assert all(str(twin) in said for twin in twins)
    assert private(fleet) == []


def test_another_tenant(fleet, tmp_path):
    """Its user visits its own client, by a name that the first tenant has as well, and sees nothing of the first."""
    tenant = fleet.api.post("/api/v1/tenants", {"name": "blue"}, expect=201)
    fleet.api.post("/api/v1/users", {"email": "blue@example.com", "username": "blue", "password": PASSWORD, "role": "owner",
                                     "tenant_id": tenant["id"]}, expect=201)
    blue = Api(fleet.controld.base)
    blue.login("blue@example.com", PASSWORD)
    mine = {"PORTWAY_TOKEN": blue.session.headers["Authorization"].split()[1]}
    assert "'office'" in cli.run("visit", "office:22", status=4, **{**env(fleet, tmp_path), **mine})
    cli.run("visit", f"{fleet.office['id']}:22", status=4, **{**env(fleet, tmp_path), **mine})
    box = blue.post("/api/v1/clients", {"name": "office"}, expect=201)
    fleet.agent(box, "blue")
    with TcpServer(echo) as server, Quick(fleet, tmp_path, "visit", f"office:{server.port}", "--json", **mine) as quick:
        assert quick.said["target_client"] == box["id"]
        eventually(lambda: answers(quick.said["port"]), "its agent is there")
        assert quick.said["mapping"] in [m["id"] for m in blue.get("/api/v1/mappings")["items"]]
        assert private(fleet) == []
        quick.end()
    assert blue.get("/api/v1/mappings")["items"] == []
