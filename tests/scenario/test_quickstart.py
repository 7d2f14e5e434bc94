"""`make run` and the command line as a newcomer meets them."""
import json
import os
import subprocess

from portway import BIN, ROOT, Api


def test_run_shows_bytes_passing_and_leaves_nothing_behind(tmp_path):
    env = {**os.environ, "PORTWAY_BIN": BIN, "PORTWAY_VAR": str(tmp_path / "var"), "PORTWAY_RUN_ONCE": "1"}
    done = subprocess.run([os.path.join(ROOT, "scripts", "run")], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Hello from the service behind the tunnel." in done.stdout and "1 connection(s)" in done.stdout
    assert "administrator  admin@example.com" in done.stdout and "curl" in done.stdout
    out = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in out
    again = subprocess.run([os.path.join(ROOT, "scripts", "run")], env=env, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, "a second run finds its data: " + again.stdout + again.stderr


def portway(*args, **env):
    return subprocess.run([os.path.join(BIN, "portway"), *args], capture_output=True, text=True, timeout=30,
                          env={**os.environ, **env})


def test_version_and_help():
    assert portway("version").stdout.startswith("portway ")
    assert json.loads(portway("--json", "version").stdout)["version"]
    assert "status" in portway("--help").stdout and portway().returncode == 2
    assert "frobnicate" in portway("frobnicate").stderr


def test_status(fleet):
    out = portway("status", PORTWAY_CONTROLD=fleet.controld.base)
    assert out.returncode == 0 and "healthy" in out.stdout, out.stderr
    api = Api(fleet.controld.base)
    token = api.login()["token"]
    out = portway("status", "--json", PORTWAY_CONTROLD=fleet.controld.base, PORTWAY_TOKEN=token)
    assert [n["name"] for n in json.loads(out.stdout)["nodes"]] == ["edge-1"]
    assert portway("status", PORTWAY_CONTROLD=fleet.controld.base, PORTWAY_TOKEN="x.y.z").returncode == 4
    assert portway("status", PORTWAY_CONTROLD="http://127.0.0.1:1").returncode == 3
