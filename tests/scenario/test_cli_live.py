"""What passes now: live connections listed and cut, the audit log followed, `top` on a terminal and elsewhere."""
import contextlib
import json
import re
import signal
import socket
import time

import pytest
from cli import PROGRAM, Terminal, Watch, run
from portway import ADMIN, TcpServer, connect, echo, eventually, receive


@pytest.fixture(scope="module")
def op(fleet, tmp_path_factory):
    env = {"XDG_CONFIG_HOME": str(tmp_path_factory.mktemp("xdg")), "PORTWAY_URL": fleet.controld.base}
    run("login", "--email", ADMIN["email"], stdin=ADMIN["password"] + "\n", **env)
    return env


@pytest.fixture(scope="module")
def tunnel(fleet):
    """A mapping with a connection that has passed known bytes."""
    with TcpServer(echo) as server:
        mapping = fleet.mapping(server.port, name="live \x1b[31m")
        with connect(mapping["source_port"]) as sock:
            sock.sendall(b"x" * 1000)
            assert receive(sock, 1000) == b"x" * 1000
            yield {**mapping, "sock": sock}


def test_connections_are_listed_and_cut(op, tunnel):
    with connect(tunnel["source_port"]) as sock:
        sock.sendall(b"hello")
        assert sock.recv(5) == b"hello"
        mine = "%s:%d" % sock.getsockname()
        rows = json.loads(run("connections", "ls", f"mapping_id={tunnel['id']}", "--json", **op))
        assert len(rows) == 2
        mine = next(r for r in rows if r["remote_addr"] == mine)
        assert mine["bytes_received"] == mine["bytes_sent"] == 5
        assert mine["id"] in run("connections", **op)
        assert "is gone" in run("connections", "cut", mine["id"], **op)
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1) == b"", "its end"
        assert run("connections", "cut", mine["id"], status=4, **op)
    assert tunnel["sock"].send(b"x") == 1 and tunnel["sock"].recv(1) == b"x", "the other one goes on"


def test_ls_counts(op, tunnel):
    def counted():
        row = next(r for r in run("ls", **op).splitlines() if tunnel["id"] in r)
        return row.split()[-5] == "1" and "1.0K" in row
    eventually(counted, "connection and bytes in ls")


def test_ls_is_watched_on_a_terminal(op, fleet, tunnel):
    """What is there, what comes, changes and goes, until ctrl-c; the terminal is as it was."""
    with Terminal("ls", "--watch", "--interval", "1h", size=(24, 160), **op) as t:
        t.expect(rf"EVENT +ID +NAME.*present +{tunnel['id']} +live")
        begun = time.monotonic()
        made = fleet.api.post("/api/v1/mappings", {"name": "watched", "protocol": "tcp", "source_port": 0, "target_host": "127.0.0.1",
                                                   "target_port": 9}, expect=201)
        t.expect(rf"new +{made['id']} +watched")
        print(f"seen {time.monotonic() - begun:.2f} s after it was made")
        fleet.api.put(f"/api/v1/mappings/{made['id']}", {"name": "renamed"})
        t.expect(rf"changed +{made['id']} +renamed")
        fleet.api.delete(f"/api/v1/mappings/{made['id']}")
        t.expect(rf"gone +{made['id']} +renamed")
        t.type("\x03")
        assert t.wait() == -signal.SIGINT and t.settings() == t.before


def test_status_shows_tunnels_with_their_latency(op, fleet, tunnel):
    with contextlib.closing(free_tcp()) as nobody:
        away = fleet.mapping(nobody.getsockname()[1], name="away")
    with contextlib.suppress(ConnectionResetError), connect(away["source_port"]) as sock:
        assert sock.recv(1) == b""
    eventually(lambda: fleet.stats(away["id"])["refused_by_reason"]["dial"] == 1, "counted")
    rows = {row.split()[0]: row for row in run("status", **op).splitlines() if " tcp " in row}
    assert re.search(r"active +- +\d+ +\d+(\.\d)?(us|ms|s) +0$", rows["live"]), rows
    assert re.search(r"active +- +0 +- +1$", rows["away"]), rows
    tunnels = {t["name"]: t for t in json.loads(run("status", "--json", **op))["tunnels"]}
    assert 0 < tunnels[tunnel["name"]]["latency_us"] < 10_000_000 and tunnels["away"]["latency_us"] is None
    fleet.api.delete(f"/api/v1/mappings/{away['id']}")


def free_tcp():
    """A port that nobody listens on once this is closed."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


def test_logs_begin_with_the_newest_and_go_on(op, fleet):
    for i in range(5):
        fleet.api.post("/api/v1/groups", {"name": f"log-{i}"})
    entries = [json.loads(line) for line in run("logs", "kind=group", "-n", "3", "--json", **op).splitlines()]
    assert [e["object"]["name"] for e in entries] == ["log-2", "log-3", "log-4"]
    assert "group" in run("logs", "-n", "3", **op)
    with Watch("logs", "kind=group", "-n", "1", "--follow", "--interval", "100ms", "--json", **op) as logs:
        eventually(lambda: len(logs.lines) == 1, "the newest")
        for i in range(5):
            fleet.api.delete(f"/api/v1/groups/log-{i}")
        eventually(lambda: len(logs.lines) == 6, "each new one, once")
        seen = [json.loads(line) for line in logs.lines]
        assert [e["op"] for e in seen] == ["create"] + ["delete"] * 5
        assert [e["object"]["name"] for e in seen[1:]] == [f"log-{i}" for i in range(5)]
    assert "kinds" in run("logs", "kinds=x", status=1, **op)


def test_changes_are_pushed(op, fleet):
    """Nothing is looked at for an hour: what is seen was pushed. The server ends a stream, and it is begun again."""
    with Watch("logs", "kind=group", "-n", "1", "--follow", "--interval", "1h", "--json", **op) as logs, \
            Watch("list", "mapping", "--watch", "--interval", "1h", "--json", **op) as mappings:
        eventually(lambda: logs.lines and mappings.lines, "what is there")
        eventually(lambda: streams(fleet) == 2, "two streams")
        for n, name in enumerate(("pushed", "and again"), 1):
            fleet.api.post("/api/v1/groups", {"name": f"push-{n}"})
            made = fleet.api.post("/api/v1/mappings", {"name": name, "protocol": "tcp", "source_port": 0, "target_host": "127.0.0.1",
                                                       "target_port": 9}, expect=201)
            eventually(lambda n=n: any(f"push-{n}" in line for line in logs.lines), "the group in the log")
            eventually(lambda name=name: any(json.loads(line)["object"]["name"] == name for line in mappings.lines), "the mapping")
            fleet.api.delete(f"/api/v1/mappings/{made['id']}")
            eventually(lambda: any(json.loads(line)["event"] == "gone" for line in mappings.lines), "its end")
            if n == 1:
                fleet.controld.stop()
                fleet.controld.start()
                fleet.api = fleet.controld.api()
                eventually(lambda: streams(fleet) == 2, "two streams again", 30)


def streams(fleet):
    return next(float(line.split()[1]) for line in fleet.api.get("/metrics").splitlines() if line.startswith("events_streams "))


def test_any_call(op, tunnel):
    stats = json.loads(run("api", "GET", f"/api/v1/stats/mappings/{tunnel['id']}", "time_range=24h", **op))
    assert stats["mapping_id"] == tunnel["id"]
    group = json.loads(run("api", "POST", "/api/v1/groups", "name=any", **op))
    assert json.loads(run("api", "PUT", "/api/v1/groups/any", "description=10", **op))["id"] == group["id"]
    assert run("api", "DELETE", f"/api/v1/groups/{group['id']}", **op) == ""
    assert run("api", "GET", "/api/v1/groups/any", status=4, **op)
    assert "method" in run("api", "get", "/x", status=2, **op)


def pump(sock):
    sock.sendall(b"y" * 20000)
    left = 20000
    while left > 0:
        got = len(sock.recv(left))
        assert got, "ended"
        left -= got


def test_top_in_lines(op, tunnel):
    looks = run("top", "-n", "2", "--interval", "100ms", "--json", **op).splitlines()
    assert len(looks) == 2 and json.loads(looks[0])["connections"] == 1
    assert [t["id"] for t in json.loads(looks[1])["tunnels"]] == [tunnel["id"]]
    with Watch("top", "--interval", "300ms", **op) as top:
        def rate_seen():
            pump(tunnel["sock"])
            return any("live" in line and line.split()[-1] not in ("0", "OUT/S") for line in top.lines)
        eventually(rate_seen, "a rate", every=0.1)
        assert "(all)" in top.lines[1] and "\x1b" not in "".join(top.lines)


def test_top_on_a_terminal(op, tunnel):
    with Terminal("top", "--interval", "300ms", size=(20, 120), **op) as t:
        t.expect(r"\x1b\[\?1049h\x1b\[\?25l.*portway top.*tunnels: 1, 1 active.*TUNNEL +PROTO")
        eventually(lambda: pump(tunnel["sock"]) or t.read() and "K/s" in t.text, "a rate", every=0.1)
        t.expect(r"live \\x1b\[31m +tcp")
        t.resize(10, 30)

        def fits():  # those that were drawn before come first
            lines = t.expect(r"\x1b\[H(.*?)\x1b\[J").group(1).replace("\x1b[K", "").split("\r\n")
            return len(lines) <= 10 and all(len(line) <= 30 for line in lines)
        eventually(fits, "a page that fits")
        assert fits(), "and so does the next one"
        t.type("q")
        assert t.wait() == 0
        assert t.text.endswith("\x1b[?25h\x1b[?1049l") and t.settings() == t.before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_top_leaves_the_terminal_as_it_was(op, number):
    with Terminal("top", **op) as t:
        t.expect("TUNNEL")
        if number == signal.SIGINT:
            t.type("\x03")
        else:
            t.process.send_signal(number)
        assert t.wait() == -number
        assert t.text.endswith("\x1b[?25h\x1b[?1049l") and t.settings() == t.before


def test_top_stops_and_goes_on(op):
    shell = ("bash", "-c", f"set -m; {PROGRAM} top; echo back in the shell; fg >/dev/null")
    with Terminal(program=shell, **op) as t:
        t.expect("TUNNEL")
        t.type("\x1a")
        t.expect(r"\x1b\[\?25h\x1b\[\?1049l.*back in the shell")
        t.expect(r"\x1b\[\?1049h.*TUNNEL")
        t.type("q")
        assert t.wait() == 0


def test_top_without_controld_shows_what_it_knew(new_fleet, tmp_path):
    fleet = new_fleet(relays=0)
    env = {"XDG_CONFIG_HOME": str(tmp_path), "PORTWAY_URL": fleet.controld.base}
    run("login", "--email", ADMIN["email"], stdin=ADMIN["password"] + "\n", **env)
    fleet.mapping(1, active=False, name="kept")
    with Terminal("top", "--interval", "200ms", "--tries", "1", **env) as t:
        t.expect("kept")
        fleet.controld.kill()
        t.expect("no answer, what is below is old.*kept")
        fleet.controld.start()
        t.text = ""
        t.expect(r"/s\x1b\[K\r\n\x1b\[K\r\nTUNNEL.*kept")
        t.type("q")
        assert t.wait() == 0


def test_top_with_refused_credentials_ends(op):
    with Terminal("top", **{**op, "PORTWAY_TOKEN": "x.y.z"}) as t:
        assert t.wait() == 3
        assert t.settings() == t.before
