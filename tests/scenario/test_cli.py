"""Operators' verbs: every resource listed, shown, made, changed, deleted; forms of output; what goes wrong is told well."""
import json
import os
import subprocess

import pytest
import yaml
from cli import PROGRAM, Terminal, Watch, environment, portway, run
from portway import ADMIN, TcpServer, echo, eventually


@pytest.fixture(scope="module")
def op(fleet, tmp_path_factory):
    """Environment of an operator who is logged in."""
    env = {"XDG_CONFIG_HOME": str(tmp_path_factory.mktemp("xdg")), "PORTWAY_URL": fleet.controld.base}
    run("login", "--email", ADMIN["email"], stdin=ADMIN["password"] + "\n", **env)
    return env


def made(op, *fields):
    return json.loads(run("create", "mapping", "protocol=tcp", "target_host=127.0.0.1", *fields, "--json", **op))


def test_a_mapping_from_create_to_delete(op):
    with TcpServer(echo) as server:
        out = run("create", "mapping", "protocol=tcp", "target_host=127.0.0.1", f"target_port={server.port}", "name=web",
                  "limits.bandwidth_in=10M", "allow=127.0.0.0/8,10.0.0.0/8", "--wait", **op)
        assert out.splitlines()[0].split()[:3] == ["ID", "NAME", "PROTO"] and "active" in out.splitlines()[1]
        ident = run("list", "mapping", "q=web", "-o", "name", **op).strip()
        mapping = json.loads(run("get", "mapping", ident, "-o", "json", **op))
        assert mapping["limits"]["bandwidth_in"] == 10 << 20 and mapping["allow"] == ["127.0.0.0/8", "10.0.0.0/8"]
        assert yaml.safe_load(run("get", "mapping", ident, "-o", "yaml", **op)) == mapping
        assert "limits.bandwidth_in" in run("get", "mapping", ident, **op)
        run("update", "mapping", ident, "limits.bandwidth_in=null", "allow=", "name=other", **op)
        mapping = json.loads(run("get", "mapping", ident, "--json", **op))
        assert mapping["limits"]["bandwidth_in"] == 0 and mapping["allow"] == [] and mapping["name"] == "other"
        assert "1 connection" not in run("ls", **op) and ident in run("ls", "q=other", **op)
        run("delete", "mapping", ident, **op)
        assert run("get", "mapping", ident, status=4, **op)


def test_a_port_that_is_taken_is_waited_for_and_told(op):
    with TcpServer(echo, host="0.0.0.0") as taken:
        text = run("create", "mapping", "protocol=tcp", "target_port=1", "target_host=127.0.0.1", f"source_port={taken.port}",
                   "--wait=20s", "-o", "json", status=1, **op)
        assert "edge-1" in text and "in use" in text
        for ident in run("list", "mapping", "status=error", "-o", "name", **op).split():
            run("delete", "mapping", ident, **op)


def test_nobody_is_logged_in(fleet):
    done = portway("ls", PORTWAY_URL=fleet.controld.base)
    assert done.returncode == 3 and done.stdout == ""
    assert f"portway login --url {fleet.controld.base}" in done.stderr


def test_all_that_is_wrong_is_told_a_line_each(op):
    text = run("create", "mapping", "protocol=tcp", "source_port=70000", "target_port=x", "limits.nope=1", status=1, **op)
    assert "3 fields are wrong" in text
    assert "source_port=70000: source_port must be from 0 to 65535" in text
    assert "target_port=x: target_port must be a whole number" in text and "limits.nope" in text
    assert "write FIELD=VALUE" in run("create", "mapping", "protocol", status=2, **op)


def test_update_only_if_it_is_still_that_version(op):
    ident = made(op, "target_port=1")["id"]
    run("update", "mapping", ident, "name=a", "--if-match", "1", **op)
    assert "changed" in run("update", "mapping", ident, "name=b", "--if-match", "1", status=6, **op)
    run("delete", "mapping", ident, "--if-match", "v1", status=6, **op)
    run("update", "mapping", ident, "name=b", "--if-match", '"v2"', **op)
    assert "nothing to change" in run("update", "mapping", ident, status=2, **op)
    run("delete", "mapping", ident, "--if-match", "v3", **op)


def test_what_was_read_can_be_written_back(op, tmp_path):
    ident = made(op, "target_port=1", "name=round")["id"]
    path = tmp_path / "mapping.json"
    path.write_text(run("get", "mapping", ident, "--json", **op))
    run("update", "mapping", ident, "-f", str(path), **op)
    assert json.loads(run("get", "mapping", ident, "--json", **op))["version"] == 1, "nothing has changed"
    run("update", "mapping", ident, "-f", str(path), "name=new", **op)
    run("update", "mapping", ident, "-f", "-", stdin='{"description": "from a pipe"}', **op)
    mapping = json.loads(run("get", "mapping", ident, "--json", **op))
    assert (mapping["name"], mapping["description"]) == ("new", "from a pipe")
    assert "line 1" in run("update", "mapping", ident, "-f", "-", stdin="{", status=2, **op)
    run("delete", "mapping", ident, **op)


def test_many_at_once_and_one_bad_among_them(op):
    text = run("create", "group", "-f", "-", "-o", "name", stdin='[{"name": "g1"}, {"name": "bad name"}, {"name": "g2"}]',
               status=1, **op)
    assert "bad name" in text
    groups = json.loads(run("list", "group", "--json", **op))
    assert {"g1", "g2"} <= {g["name"] for g in groups}
    text = run("delete", "group", "g1", "nope", "g2", status=4, **op)
    assert "nope" in text and {g["name"] for g in json.loads(run("list", "groups", "--json", **op))} == {"default"}


def test_pages_are_followed(op):
    bodies = json.dumps([{"protocol": "udp", "target_host": "127.0.0.1", "target_port": 1, "name": f"page-{i:03}"}
                         for i in range(230)])
    run("create", "mapping", "-f", "-", "-o", "name", stdin=bodies, **op)
    names = run("list", "mapping", "q=page-", "-o", "name", **op).split()
    assert len(names) == len(set(names)) == 230
    assert len(json.loads(run("list", "mapping", "q=page-", "--limit", "205", "--json", **op))) == 205
    assert len(run("list", "mapping", "--limit", "3", **op).splitlines()) == 4
    items = yaml.safe_load(run("list", "mapping", "q=page-", "-o", "yaml", **op))
    assert len(items) == 230 and items[0]["name"].startswith("page-")
    out = run("list", "mapping", "q=page-000", "--columns", "name,limits.bandwidth_in,error", **op).splitlines()
    assert out[0].split() == ["NAME", "LIMITS.BANDWIDTH_IN", "ERROR"] and out[1].split() == ["page-000", "0", "-"]
    run("delete", "mapping", *names, **op)


def test_names_of_others_are_letters_on_a_terminal(op):
    evil = "a\"b\n\x1b[31mred\x1b]0;title\x07\u202etxt"
    ident = json.loads(run("create", "mapping", "-f", "-", "--json", stdin=json.dumps(
        {"protocol": "tcp", "target_host": "127.0.0.1", "target_port": 1, "name": evil}), **op))["id"]
    for form in ("table", "json", "yaml"):
        for command in (("get", "mapping", ident), ("list", "mapping", "q=a\"b")):
            with Terminal(*command, "-o", form, size=(50, 200), **op) as t:
                assert t.wait() == 0
                assert "\x1b" not in t.text and "\x07" not in t.text and "\u202e" not in t.text, (form, t.text)
                assert "red" in t.text and (form == "json" or '"' in t.text)
    assert json.loads(run("get", "mapping", ident, "--json", **op))["name"] == evil
    assert yaml.safe_load(run("get", "mapping", ident, "-o", "yaml", **op))["name"] == evil
    text = run("get", "mapping", "\x1b[31m", status=4, **op)
    assert "\x1b" not in text
    run("delete", "mapping", ident, **op)


def test_secrets_are_not_taken_from_arguments(op, tmp_path):
    assert "others" in run("create", "user", "email=a@example.com", "password=a long password", status=2, **op)
    path = tmp_path / "password"
    path.write_text("a long password\n")
    user = json.loads(run("create", "user", "email=a@example.com", f"password=@{path}", "--json", **op))
    run("login", "--profile", "a", "--email", "a@example.com", stdin="a long password\n", **op)
    assert "viewer" in run("whoami", "--profile", "a", **op)
    assert run("create", "group", "name=x", "--profile", "a", status=3, **op)
    run("update", "user", user["id"], "password=@-", stdin="another password\n", **op)
    assert run("whoami", "--profile", "a", status=3, **op), "its sessions have ended"
    with Terminal("create", "user", "email=b@example.com", **op) as t:
        t.expect("password: ")
        t.type_secret("typed on a terminal\n")
        t.expect("b@example.com")
        assert t.wait() == 0 and "typed" not in t.text
    for ident in run("list", "user", "role=viewer", "-o", "name", **op).split():
        run("delete", "user", ident, **op)


def test_what_is_shown_once(op):
    out = run("create", "api-key", "name=script", "role=viewer", **op)
    assert "shown this once" in out
    key = out.splitlines()[-1]
    assert "viewer" in run("whoami", **{**op, "PORTWAY_API_KEY": key})
    ident = run("list", "api-key", "-o", "name", **op).split()[0]
    assert key not in run("get", "api-key", ident, "--json", **op)
    run("delete", "api-key", ident, **op)
    assert "token" in json.loads(run("create", "join-token", "name=edge-2", "expires_in=1h", "--json", **op))
    for ident in run("list", "join-tokens", "-o", "name", **op).split():
        portway("delete", "join-token", ident, **op)


def test_resources_without_a_row_and_without_a_place(op):
    assert "there is no resource 'frob'" in run("list", "frob", status=2, **op)
    assert "cannot be updated" in run("update", "api-key", "x", "name=y", status=2, **op)
    assert "cannot be created" in run("create", "node", "name=y", status=2, **op)
    assert run("get", "mapping", "..", status=4, **op) and run("get", "mapping", "a/b?c", status=4, **op)
    assert "nope" in run("list", "mapping", "nope=1", status=1, **op)


def test_explain_says_what_controld_says(op):
    out = run("explain", "mapping", **op)
    line = next(row for row in out.splitlines() if row.startswith("source_port "))
    assert "0..65535" in line and "a free one is picked" in line
    assert "limits.max_connections" in out and "tcp|udp" in out
    assert "traffic_stats" not in out, "answers only"
    needed = ["yes" in row.split() for row in out.splitlines() if row.startswith("protocol ")]
    assert needed[-2:] == [True, False], "to create it, not to update it; before them it is a filter"


def test_explain_says_what_stands_in_lists(op):
    out = run("explain", "route", **op)
    assert "400..599" in next(row for row in out.splitlines() if row.startswith("error_pages[].status "))
    assert "targets[].weight" in out and "headers[].name" in out


def test_watch_tells_what_changes(op):
    first = made(op, "target_port=1", "name=watched-1")["id"]
    with Watch("list", "mapping", "q=watched", "--watch", "--interval", "100ms", **op) as table, \
            Watch("list", "mapping", "q=watched", "--watch", "--interval", "100ms", "--json", **op) as lines, \
            Watch("get", "mapping", first, "--watch", "--interval", "100ms", "--json", **op) as single:

        def happened(event, ident):
            def check():
                rows = [line.split() for line in table.lines]
                objects = [json.loads(line) for line in lines.lines]
                return any(r[0] == event and r[1] == ident for r in rows) and \
                    any(o["event"] == event and o["object"]["id"] == ident for o in objects)
            eventually(check, f"{event} {ident}")

        happened("present", first)
        second = made(op, "target_port=1", "name=watched-2")["id"]
        happened("new", second)
        run("update", "mapping", first, "status=inactive", **op)
        happened("changed", first)
        run("delete", "mapping", first, second, **op)
        happened("gone", first)
        happened("gone", second)
        eventually(lambda: single.process.poll() is not None, "a watched object that is gone ends the watch")
        assert single.process.returncode == 0 and json.loads(single.lines[-1])["event"] == "gone"
        assert table.process.poll() is None


def test_watch_survives_a_restart_of_controld(new_fleet, tmp_path):
    fleet = new_fleet(relays=0)
    env = {"XDG_CONFIG_HOME": str(tmp_path), "PORTWAY_URL": fleet.controld.base}
    run("login", "--email", ADMIN["email"], stdin=ADMIN["password"] + "\n", **env)
    with Watch("list", "group", "--watch", "--interval", "100ms", "--tries", "1", "-o", "name", **env) as groups:
        eventually(lambda: groups.lines, "the first look")
        fleet.controld.kill()
        fleet.controld.start()
        fleet.api.login()
        fleet.api.post("/api/v1/groups", {"name": "later"})
        eventually(lambda: len(groups.lines) == 2, "it goes on")
        assert groups.process.poll() is None


def test_a_reader_that_goes_away_ends_the_watch(op):
    with Watch("list", "node", "--watch", "--interval", "100ms", **op) as nodes:
        eventually(lambda: nodes.lines, "the first look")
    read, write = os.pipe()
    os.close(read)  # before it begins: it would be quick to write what a pipe takes
    child = subprocess.Popen([PROGRAM, "list", "node", "-o", "json"], stdin=subprocess.DEVNULL, stdout=write, env=environment(op))
    os.close(write)
    assert child.wait(60) == 1, "what could not be written is no success"
