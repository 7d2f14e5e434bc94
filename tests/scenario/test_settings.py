"""Settings of both daemons: one table, every error at once, files and environment, reload."""
import os
import signal
import subprocess

import pytest
import requests
import yaml
from portway import BIN, ROOT, eventually


def daemon(program, *args, **env):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CONTROLD_", "RELAYD_"))}
    return subprocess.run([os.path.join(BIN, program), *args], capture_output=True, text=True, timeout=30, env={**clean, **env})


@pytest.mark.parametrize("program,env", [("controld", "CONTROLD_HTTP_LISTEN"), ("relayd", "RELAYD_METRICS_LISTEN")])
def test_all_errors_at_once(program, env, tmp_path):
    conf = tmp_path / "conf.yaml"
    conf.write_text("log:\n  level: loud\nno_such_key: 1\n")
    out = daemon(program, "--check-config", "--config", str(conf), **{env: "nonsense"})
    assert out.returncode != 0
    for word in ("log.level", "loud", "no_such_key", "nonsense"):
        assert word in out.stderr, out.stderr


def test_what_does_not_go_together_is_told_beside_the_rest(tmp_path):
    conf = tmp_path / "conf.yaml"
    conf.write_text("log:\n  level: loud\n")
    out = daemon("controld", "--check-config", "--config", str(conf), CONTROLD_HTTP_TLS_CERT="/a/file", CONTROLD_ACME_URL="http://ca.example")
    assert out.returncode != 0
    for word in ("log.level", "http.tls_key", "acme.url"):
        assert word in out.stderr, out.stderr
    conf.write_text("log: [\n")  # what cannot be read may hold what is missing
    out = daemon("controld", "--check-config", "--config", str(conf), CONTROLD_HTTP_TLS_CERT="/a/file")
    assert out.returncode != 0 and "http.tls_key" not in out.stderr, out.stderr


@pytest.mark.parametrize("program", ["controld", "relayd"])
def test_printed_settings_can_be_read_back(program, tmp_path):
    first = daemon(program, "--print-config")
    assert first.returncode == 0, first.stderr
    (tmp_path / "again.yaml").write_text(first.stdout)
    second = daemon(program, "--print-config", "--config", str(tmp_path / "again.yaml"))
    assert second.stdout == first.stdout
    assert daemon(program, "--check-config", "--config", str(tmp_path / "again.yaml")).returncode == 0


@pytest.mark.parametrize("program", ["controld", "relayd"])
def test_example_file_is_the_table(program, tmp_path):
    path = os.path.join(ROOT, "deploy", "examples", f"{program}.yaml")
    printed = daemon(program, "--print-example").stdout
    with open(path) as f:
        assert f.read() == printed, f"deploy/examples/{program}.yaml is not what --print-example prints"
    assert daemon(program, "--check-config", "--config", path).returncode == 0


def agent(*args, **env):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PORTWAY_")}
    return subprocess.run([os.path.join(BIN, "portway"), "agent", *args], capture_output=True, text=True, timeout=30,
                          env={**clean, **env})


def test_agent_settings(tmp_path):
    with open(os.path.join(ROOT, "deploy", "examples", "agent.yaml")) as f:
        assert f.read() == agent("--print-example").stdout, "deploy/examples/agent.yaml is not what --print-example prints"
    wrong = agent("--check-config", "--set", "allow=10.0.0.1/8", "--set", "instance=a b")
    assert wrong.returncode == 2
    for word in ("relays", "PORTWAY_AGENT_TOKEN", "10.0.0.1/8", "a b"):
        assert word in wrong.stderr, wrong.stderr
    kinds = agent("--check-config", "--set", "bogus=1", "--set", "relays=x", "--set", "dial_timeout=soon", "--set", "instance=a b")
    assert kinds.returncode == 2
    for word in ("bogus", "'x' is not host:port", "soon", "a b", "PORTWAY_AGENT_TOKEN"):
        assert kinds.stderr.count(word) == 1, kinds.stderr
    long = agent("--check-config", "--set", "relays=" + 100000 * "x")
    assert long.stderr.count("relays") == 1 and "PORTWAY_AGENT_TOKEN" in long.stderr, "not called missing as well: " + long.stderr
    torn = tmp_path / "torn.yaml"
    torn.write_text("relays: [\n")
    unread = agent("--check-config", "--config", str(torn))
    assert unread.returncode == 2 and "not YAML" in unread.stderr and "missing" not in unread.stderr, unread.stderr
    token = "42.pws_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8." + 64 * "a"
    good = {"PORTWAY_AGENT_TOKEN": token, "PORTWAY_AGENT_RELAYS": "127.0.0.1:1", "XDG_RUNTIME_DIR": str(tmp_path)}
    first = agent("--print-config", **good)
    assert first.returncode == 0, first.stderr
    assert token not in first.stdout
    (tmp_path / "again.yaml").write_text(first.stdout)
    assert agent("--print-config", "--config", str(tmp_path / "again.yaml"), **good).stdout == first.stdout


def test_agent_service(tmp_path):
    def service(*args, **env):
        return subprocess.run([os.path.join(BIN, "portway"), "service", *args], capture_output=True, text=True, timeout=30,
                              env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path), **env})

    with open(os.path.join(ROOT, "deploy", "systemd", "portway-agent.service")) as f:
        assert f.read() == service("print", "--program", "@PREFIX@/bin/portway", "--config", "/etc/portway/agent.yaml").stdout
    unit = tmp_path / "systemd" / "user" / "portway-agent.service"
    assert service("install", "--user", "--no-start").returncode == 0
    assert f"ExecStart={os.path.realpath(os.path.join(BIN, 'portway'))} agent --config %E/portway/agent.yaml\n" in unit.read_text()
    assert service("uninstall", "--user", "--no-start").returncode == 0 and not unit.exists()
    assert service("uninstall", "--user", "--no-start").returncode == 4
    assert service("install", "--user", "--no-start", "--config", "agent.yaml").returncode == 2
    assert service("install", "--user", "--no-start").returncode == 0
    (tmp_path / "systemctl").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "systemctl").chmod(0o755)
    gone = service("uninstall", "--user", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert gone.returncode == 0 and not unit.exists()
    assert gone.stderr == "portway service: systemctl could not stop it\n"


@pytest.mark.parametrize("program", ["controld", "relayd"])
def test_precedence_file_environment_flag(program, tmp_path):
    conf = tmp_path / "conf.yaml"
    conf.write_text("log:\n  level: warn\n")
    name = f"{program.upper()}_LOG_LEVEL"

    def level(*args, **env):
        return yaml.safe_load(daemon(program, "--print-config", *args, **env).stdout)["log"]["level"]

    assert level() == "info"
    assert level("--config", str(conf)) == "warn"
    assert level("--config", str(conf), **{name: "error"}) == "error"
    assert level("--config", str(conf), "--set", "log.level=debug", **{name: "error"}) == "debug"


def test_secrets_are_not_printed():
    out = daemon("controld", "--print-config", CONTROLD_ADMIN_PASSWORD="hunter2hunter2")
    assert "hunter2" not in out.stdout + out.stderr


@pytest.mark.parametrize("program,section", [("controld", "8"), ("relayd", "8"), ("portway", "1")])
def test_man_page_and_help_tell_of_every_setting(program, section):
    with open(os.path.join(ROOT, "docs", "man", f"{program}.{section}")) as f:
        page = f.read()
    text = daemon(program, "--help").stdout
    assert "usage:" in text.lower()
    if program == "portway":
        return
    printed = yaml.safe_load(daemon(program, "--print-config").stdout)

    def keys(tree, prefix=""):
        for key, value in tree.items():
            if isinstance(value, dict):
                yield from keys(value, f"{prefix}{key}.")
            else:
                yield prefix + key

    for key in keys(printed):
        assert key in page, f"{key} is not in {program}({section})"
        assert key in text, f"{key} is not in {program} --help"


def test_reload_takes_what_may_change_and_names_the_rest(new_fleet, tmp_path):
    conf = tmp_path / "controld.yaml"
    conf.write_text("log:\n  level: info\n")
    fleet = new_fleet(relays=0, controld_env={"CONFIG_FILE": str(conf)})
    conf.write_text("log:\n  level: nonsense\n")
    fleet.controld.signal(signal.SIGHUP)
    eventually(lambda: "nonsense" in fleet.controld.log(), "the bad file is refused, by name")
    assert requests.get(fleet.controld.base + "/ready", timeout=5).status_code == 200
    conf.write_text("log:\n  level: debug\nfleet:\n  listen: 127.0.0.1:1\n")
    fleet.controld.signal(signal.SIGHUP)
    eventually(lambda: "debug" in fleet.controld.log(), "the good one is taken")


def test_relay_reloads(new_fleet, tmp_path):
    conf = tmp_path / "relayd.yaml"
    conf.write_text("log:\n  level: info\n")
    relay = new_fleet(relay_env={"CONFIG_FILE": str(conf)}).relay
    relay.signal(signal.SIGHUP)
    eventually(lambda: "settings_reloaded prog=relayd log_level=info" in relay.log(), "it says what it took")


def test_database_commands_that_cannot_be():
    for words, complaint in (("nonsense",), "no command nonsense"), (("backup",), "backup: wrong number"), (("list", "x"), "list: wrong number"):
        out = daemon("controld", "db", *words)
        assert out.returncode == 2 and complaint in out.stderr.splitlines()[0] and "usage:" in out.stderr


def test_migrations_are_listed_without_a_database(tmp_path):
    out = daemon("controld", "db", "list", CONTROLD_DATA_DIR=str(tmp_path / "nowhere"))
    assert out.returncode == 0 and "controld db init" in out.stderr and out.stdout.startswith("0001"), out
    assert all("not applied" in line for line in out.stdout.splitlines()) and not (tmp_path / "nowhere" / "portway.db").exists()


def test_database_commands(new_fleet, tmp_path):
    fleet = new_fleet(relays=0)
    fleet.api.post("/api/v1/users", {"email": "kept@example.com", "username": "kept", "password": "a long password",
                                     "role": "viewer"}, expect=201)
    where = {k: v for k, v in fleet.controld.env.items() if k in ("CONTROLD_DATA_DIR", "CONTROLD_DATABASE_URL")}
    copy = str(tmp_path / "backup.db")
    out = daemon("controld", "db", "backup", copy, **where)
    again = daemon("controld", "db", "backup", copy, **where)
    assert again.returncode == 1 and "--force" in again.stderr and "is there already" in again.stderr
    assert daemon("controld", "db", "backup", "--force", copy, **where).returncode == 0
    assert out.returncode == 0, out.stderr
    out = daemon("controld", "db", "restore", copy, **where)
    assert out.returncode != 0 and "running" in out.stderr, "never under a running controld"
    gone = fleet.api.post("/api/v1/users", {"email": "gone@example.com", "username": "gone", "password": "a long password",
                                            "role": "viewer"}, expect=201)
    fleet.controld.stop()
    assert "0001" in daemon("controld", "db", "list", **where).stdout
    out = daemon("controld", "db", "copy", "-", "-", **where)
    assert out.returncode == 1 and "FROM and TO are the same database" in out.stderr, out.stderr
    for file, said in ((__file__, "is not a file that 'controld db backup' wrote"), (str(tmp_path / "none"), "No such file")):
        out = daemon("controld", "db", "restore", file, **where)
        assert out.returncode == 1 and said in out.stderr, out.stderr
    out = daemon("controld", "db", "restore", copy, **where)
    assert out.returncode == 0, out.stderr
    fleet.controld.start()
    fleet.api = fleet.controld.api()
    names = {u["username"] for u in fleet.api.get("/api/v1/users")["items"]}
    assert "kept" in names and "gone" not in names
    fleet.api.get(f"/api/v1/users/{gone['id']}", expect=404)


def test_man_page_of_the_command_is_its_tables():
    with open(os.path.join(ROOT, "docs", "man", "portway.1")) as f:
        page = f.read()
    for part in ("commands", "options", "resources", "exits"):
        assert daemon("portway", "help", "mdoc:" + part).stdout in page, f"{part} of portway(1): run scripts/man"
