"""Objects by their names: one that has a name alone is meant by it; of several none is touched, and all are listed. Secrets that
are rotated, quotas, settings of controld, connection codes."""
import json

import pytest
from agent import AgentFleet
from cli import Terminal, Watch, run
from portway import ADMIN, TcpServer, echo, eventually
from test_agent_ends import works


@pytest.fixture(scope="module")
def fleet():
    f = AgentFleet()
    try:
        yield f.start()
    finally:
        f.stop()


@pytest.fixture(scope="module")
def op(fleet, tmp_path_factory):
    env = {"XDG_CONFIG_HOME": str(tmp_path_factory.mktemp("xdg")), "PORTWAY_URL": fleet.controld.base}
    run("login", "--email", ADMIN["email"], stdin=ADMIN["password"] + "\n", **env)
    return env


def got(op, *words):
    return json.loads(run(*words, "--json", **op))


def mapping(fleet, name):
    return fleet.api.post("/api/v1/mappings", {"name": name, "protocol": "tcp", "source_port": 0, "target_host": "127.0.0.1",
                                               "target_port": 9}, expect=201)["id"]


def test_by_name(fleet, op):
    web = mapping(fleet, "web")
    mapping(fleet, "web 2")  # begins alike
    assert got(op, "get", "mapping", "web")["id"] == got(op, "get", "mapping", web)["id"] == web
    run("update", "mapping", "web", "name=shop", **op)
    assert "'web'" in run("get", "mapping", "web", status=4, **op)
    assert "shop is gone" in run("delete", "mapping", "shop", **op)
    run("delete", "mapping", "web 2", **op)
    assert got(op, "list", "mapping") == []
    client = fleet.client(name="office")
    assert got(op, "get", "client", "office")["id"] == client["id"]
    assert "an id would be" not in run("get", "client", "offic", status=4, **op)
    assert got(op, "get", "user", ADMIN["email"])["email"] == ADMIN["email"]
    assert got(op, "get", "node", "edge-1")["name"] == "edge-1"


def test_of_several_all_are_listed(fleet, op):
    ids = [mapping(fleet, "twin") for _ in range(3)]
    for words in (("get", "mapping", "twin"), ("update", "mapping", "twin", "name=x"), ("delete", "mapping", "twin")):
        text = run(*words, status=6, **op)
        assert "3 mappings are named 'twin'" in text and all(i in text for i in ids)
    assert sorted(m["id"] for m in got(op, "list", "mapping", "q=twin")) == sorted(ids)
    run("delete", "mapping", *ids, **op)
    for _ in range(2):
        fleet.client(name="both")
    assert "2 clients are named 'both'" in run("client", "rotate", "both", status=6, **op)


def test_a_name_does_not_hide_behind_an_id(fleet, op):
    """A client that is named like the id of another."""
    one = fleet.client(name="one")
    fleet.client(name=str(one["id"]))
    assert got(op, "get", "client", str(one["id"]))["name"] == "one"


def test_a_secret_is_rotated(fleet, op):
    """The one before it works on for the overlap, and ends at once when it is told to."""
    client = fleet.client(name="rotated")
    with TcpServer(echo) as server:
        tunnel = fleet.agent_mapping(client, server.port)
        old = fleet.agent(client, "old")
        old.wait_up(2)
        text = run("client", "rotate", "rotated", "--overlap", "1h", **op)
        secret = text.splitlines()[1]
        assert secret.startswith("pws_") and "works until" in text
        fleet.agent({"id": client["id"], "secret_key": secret}, "new").wait_up(2)
        assert old.links() and works(tunnel["source_port"])
        ends = [s for s in got(op, "client", "show", "rotated")["secrets"] if s["expires_at"]]
        assert "has ended" in run("client", "end-secret", "rotated", ends[0]["id"], **op)
        eventually(lambda: old.process.poll() == 3, "its agent is refused for good", 60)
        fleet.agents.remove(old)
        assert works(tunnel["source_port"])
    assert "2592000s" in run("client", "rotate", "rotated", "--overlap", "60d", status=2, **op)
    assert "one client" in run("client", "rotate", status=2, **op)


def test_quota(fleet, op):
    assert got(op, "quota")["monthly_bytes"] is None
    row = run("quota", "set", ADMIN["email"], "monthly_bytes=5G", "reset_day=15", "time_zone=Europe/Berlin", **op)
    assert "5.0G" in row and "Europe/Berlin" in row
    assert got(op, "quota", "show", ADMIN["email"])["monthly_bytes"] == 5 << 30
    assert "reset_day" in run("quota", "set", ADMIN["email"], "reset_day=40", status=1, **op)
    both = run("quota", "set", ADMIN["email"], "reset_day=33", "time_zone=Mars", status=1, **op)
    assert "reset_day" in both and "time_zone" in both
    run("quota", "set", ADMIN["email"], "monthly_bytes=null", **op)
    assert got(op, "quota", "show")["monthly_bytes"] is None


def test_config(fleet, op):
    before = got(op, "config")["settings"]
    key = next(k for k, v in before.items() if isinstance(v, int) and not isinstance(v, bool))
    with Watch("config", "watch", "--interval", "1h", "--json", **op) as watch:
        eventually(lambda: len(watch.lines) == len(before), "all of them")
        assert key in run("config", "set", f"{key}={before[key] + 1}", **op)
        eventually(lambda: len(watch.lines) == len(before) + 1, "the change")
        said = json.loads(watch.lines[-1])
        assert (said["event"], said["object"]["key"], said["object"]["value"]) == ("changed", key, before[key] + 1)
    row = run("config", "get", key, **op).splitlines()
    assert len(row) == 2 and row[1].split() == [key, str(before[key] + 1), "true"]
    run("config", "set", f"{key}=null", **op)
    assert got(op, "config")["settings"] == before
    assert "no setting 'nope'" in run("config", "get", "nope", status=4, **op)
    text = run("config", "set", f"{key}=many", "nope=1", status=1, **op)
    assert "2 fields are wrong" in text and f"settings.{key}" in text and "settings.nope" in text


def test_a_code_is_redeemed(fleet, op):
    client = fleet.client(name="behind")
    with TcpServer(echo) as server:
        fleet.agent(client, "behind").wait_up(2)

        def code():
            return fleet.api.post("/api/v1/connection-codes", {"target_client_id": client["id"], "target_port": server.port},
                                  expect=201)["code"]
        nobody = {"PORTWAY_URL": fleet.controld.base}
        opened = json.loads(run("redeem", "--json", stdin=code() + "\n", **nobody))
        assert opened["allow"] == ["127.0.0.1/32"]
        eventually(lambda: works(opened["source_port"]), "it leads there")
        used = code()
        text = run("redeem", used.lower(), **nobody)
        assert "Only your address gets through, until 20" in text
        assert run("redeem", used, status=3, **nobody)
        with Terminal("redeem", **nobody) as t:
            t.expect("Connection code: ")
            t.type(code() + "\n")
            t.expect("Only your address")
            assert t.wait() == 0


def test_a_limit_has_an_exit_code_of_its_own(fleet, op):
    key = "tunnels.mappings_max"
    run("config", "set", f"{key}={len(got(op, 'list', 'mapping'))}", **op)
    text = run("create", "mapping", "protocol=tcp", "target_host=127.0.0.1", "target_port=1", status=7, **op)
    assert "which is the most" in text
    run("config", "set", f"{key}=null", **op)
